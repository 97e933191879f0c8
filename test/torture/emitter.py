"""Who emits: transactions of every shape, and a journal beside them.

A line of the journal is a fact about one transaction, written before the
next step is taken: intent, emitted (an id, and whether it was rolled back to
a savepoint), then ok, failed, or unknown when the connection broke.  A
commit that nobody flushed is only "asynchronous": a crash may take it back.
"""
import json
import random
import threading
import time

import pq

SHAPES = ("plain", "several", "rollback", "savepoints", "two_phase",
          "two_phase_rollback", "key", "asynchronous", "error", "large")
WEIGHTS = (6, 3, 2, 3, 2, 1, 3, 4, 1, 1)


class Journal:
    def __init__(self, path):
        self.file = open(path, "a", encoding="ascii", buffering=1)
        self.lock = threading.Lock()
        self.entries = []

    def write(self, kind, transaction, **facts):
        entry = {"kind": kind, "transaction": transaction,
                 "time": time.monotonic(), **facts}
        with self.lock:
            self.entries.append(entry)
            self.file.write(json.dumps(entry) + "\n")


class Emitter(threading.Thread):
    def __init__(self, server, journal, organizations, seed):
        super().__init__(daemon=True)
        self.server, self.journal = server, journal
        self.organizations = organizations
        self.name = f"emitter {seed}"
        self.random = random.Random(seed)
        self.seed, self.number = seed, 0
        self.is_over = threading.Event()
        self.session = None
        self.trouble = None

    def run(self):
        try:
            while not self.is_over.is_set():
                self.one_transaction()
                self.is_over.wait(self.random.uniform(0.005, 0.06))
        except Exception as error:  # told by whoever joins us
            self.trouble = error
            raise

    def one_transaction(self):
        shape = self.random.choices(SHAPES, WEIGHTS)[0]
        self.number += 1
        self.transaction = f"{self.seed}.{self.number}"
        try:
            if self.session is None:
                self.session = self.server.connect()
        except pq.Lost:
            return
        self.journal.write("intent", self.transaction, shape=shape)
        self.is_ending = False
        try:
            getattr(self, shape)()
        except pq.Refused as error:
            self.journal.write("failed", self.transaction, why=str(error))
            self.forget_session()
        except pq.Lost as error:
            # Before the last statement nothing can have been committed.
            self.journal.write("unknown" if self.is_ending else "failed",
                               self.transaction, why=str(error))
            self.forget_session()

    def forget_session(self):
        self.session.close()
        self.session = None

    def emit(self, size=0, key=None, is_taken_back=False):
        organization = "calm" if key else \
            self.random.choice(self.organizations)
        key_argument = f", '{key}'" if key else ""
        event_id = self.session.value(
            f"select webhook.emit('review.completed', '{organization}',"
            f" json_build_object('of', '{self.transaction}',"
            f" 'filling', repeat('x', {size})){key_argument})")
        self.journal.write("emitted", self.transaction, id=event_id,
                           organization=organization, key=key,
                           is_taken_back=is_taken_back)

    def end(self, statement, outcome="ok"):
        self.is_ending = True
        self.session.run(statement)
        self.journal.write(outcome, self.transaction)

    def plain(self):
        self.session.run("begin")
        self.emit(self.random.randrange(400))
        self.end("commit")

    def several(self):
        self.session.run("begin")
        for _ in range(self.random.randrange(2, 9)):
            self.emit()
        self.end("commit")

    def large(self):
        self.session.run("begin")
        self.emit(self.random.randrange(30000, 200000))
        self.end("commit")

    def rollback(self):
        self.session.run("begin")
        self.emit()
        self.end("rollback", "failed")

    def error(self):
        self.session.run("begin")
        self.emit()
        self.session.run("select 1 / 0")

    def savepoints(self):
        self.session.run("begin")
        self.emit()
        self.session.run("savepoint one")
        self.emit(is_taken_back=True)
        self.session.run("savepoint two")
        self.emit(is_taken_back=True)
        self.session.run("rollback to one")
        self.emit()
        self.session.run("release one")
        self.end("commit")

    def prepare(self):
        self.session.run("begin")
        self.emit()
        self.is_ending = True  # who finds it prepared decides
        self.session.run(f"prepare transaction '{self.transaction}'")
        self.is_over.wait(self.random.uniform(0, 0.3))

    def two_phase(self):
        self.prepare()
        self.end(f"commit prepared '{self.transaction}'")

    def two_phase_rollback(self):
        self.prepare()
        self.end(f"rollback prepared '{self.transaction}'", "failed")

    def key(self):
        """As an application does: once more with the same key."""
        key = self.transaction
        for name in (key, key + ".again"):
            self.transaction = name
            self.session.run("begin")
            self.emit(key=key)
            self.end("commit")
            self.is_ending = False

    def asynchronous(self):
        self.session.run("begin; set local synchronous_commit = off")
        self.emit()
        self.end("commit", "asynchronous")
