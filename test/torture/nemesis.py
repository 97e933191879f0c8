"""Who breaks things: one fault after the other, chosen by a seed.

Each fault is a method that does harm and undoes what must be undone, so that
the server can come back by itself.  What was done and when is told to the
journal: some of it explains why a request came twice.
"""
import os
import random
import threading
import time

import pq
from server import children_of, send_signal, wait_for

# Weights: how often, relative to the others.
FAULTS = {
    "worker_term": 4, "worker_kill": 3, "worker_segv": 2, "worker_stop": 2,
    "backend_kill": 2, "backend_terminate": 3, "immediate_stop": 3,
    "fast_stop": 3, "postmaster_kill": 3, "launcher_term": 1,
    "receiver_restart": 3, "receiver_hang": 2, "change_workers": 3,
    "lock_tables": 3, "lock_rows": 3, "rewrite": 3, "reload": 2, "disk_full": 2,
}
TABLES = ("queue", "attempt", "event", "endpoint", "cursor", "organization",
          "idempotency_key", "endpoint_secret")


class Nemesis(threading.Thread):
    def __init__(self, server, receiver, journal, seed, only=None):
        super().__init__(daemon=True)
        self.server, self.receiver = server, receiver
        self.journal = journal
        self.random = random.Random(f"nemesis {seed}")
        faults = {name: weight for name, weight in FAULTS.items()
                  if (not only or name in only)
                  and (name != "disk_full" or server.disk)}
        self.names, self.weights = list(faults), list(faults.values())
        self.is_over = threading.Event()
        self.trouble = None

    def run(self):
        try:
            while not self.is_over.wait(self.random.uniform(0.1, 1.5)):
                name = self.random.choices(self.names, self.weights)[0]
                self.journal.write("fault", name)
                getattr(self, name)()
                self.journal.write("undone", name)
        except Exception as error:  # told by whoever joins us
            self.trouble = error
            raise

    def signal_one(self, kind, name):
        pids = self.server.children(kind)
        return bool(pids) and send_signal(self.random.choice(pids), name)

    def worker_term(self):
        self.signal_one("webhook worker", "TERM")

    def worker_kill(self):
        self.signal_one("webhook worker", "KILL")

    def worker_segv(self):
        self.signal_one("webhook worker", "SEGV")

    def worker_stop(self):
        pids = self.server.children("webhook worker")
        for pid in pids:
            send_signal(pid, "STOP")
        self.is_over.wait(self.random.uniform(0.2, 3))
        for pid in pids:
            send_signal(pid, "CONT")

    def launcher_term(self):
        self.signal_one("webhook launcher", "TERM")

    def backend_kill(self):
        self.signal_one("postgres postgres [local]", "KILL")

    def backend_terminate(self):
        self.signal_one("postgres postgres [local]", "TERM")

    def immediate_stop(self):
        self.server.stop("immediate")
        self.server.start()

    def fast_stop(self):
        self.server.stop("fast")
        self.server.start()

    def postmaster_kill(self):
        """And its children, sometimes: they notice, but some bytes late."""
        postmaster = self.server.postmaster()
        children = children_of(postmaster)
        send_signal(postmaster, "KILL")
        if self.random.random() < 0.5:
            for pid in children:
                send_signal(pid, "KILL")
        self.server.start()

    def receiver_restart(self):
        self.receiver.kill()
        self.is_over.wait(self.random.uniform(0, 0.6))
        self.receiver.start()

    def receiver_hang(self):
        send_signal(self.receiver.process.pid, "STOP")
        self.is_over.wait(self.random.uniform(0.5, 3))
        send_signal(self.receiver.process.pid, "CONT")

    def change_workers(self):
        self.set("webhook.workers", self.random.randrange(1, 5))

    def reload(self):
        for _ in range(self.random.randrange(1, 10)):
            self.set("webhook.max_in_flight_per_endpoint",
                     self.random.randrange(1, 64))

    def set(self, name, value):
        with open(self.server.data / "postgresql.conf", "a",
                  encoding="ascii") as file:
            file.write(f"{name} = {value}\n")
        self.server.pg_ctl("reload", check=False)

    def run_in_session(self, *statements):
        """As far as the server and the locks of others let us."""
        try:
            session = self.server.connect()
        except pq.Lost:
            return
        try:
            session.run("set lock_timeout = '2s'")
            for statement in statements:
                session.run(statement)
        except (pq.Lost, pq.Refused):
            pass
        finally:
            session.close()

    def hold(self, statement):
        """What a session holds with it for a while, if it gets it."""
        seconds = self.random.uniform(0.1, 2)
        self.run_in_session("begin", statement,
                            f"select pg_sleep({seconds})", "rollback")

    def lock_tables(self):
        table = self.random.choice(TABLES)
        self.hold(f"lock table webhook.{table} in access exclusive mode")

    def lock_rows(self):
        table = self.random.choice(("queue", "endpoint", "cursor",
                                    "organization"))
        self.hold(f"select from webhook.{table} for update")

    def rewrite(self):
        """Rows move, and plans go by what is there just then."""
        how = self.random.choice(("vacuum analyze", "vacuum full",
                                  "reindex table"))
        table = self.random.choice(TABLES)
        self.run_in_session(f"{how} webhook.{table}")

    def disk_full(self):
        """Every block that is free, on the small disk of the data."""
        path = os.path.join(self.server.disk, "filling")
        block = bytes(1 << 16)
        with open(path, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(block)
            except OSError:
                pass
        self.is_over.wait(self.random.uniform(0.2, 2))
        os.unlink(path)
        wait_for("a server that the full disk stopped", self.is_up_or_started)

    def is_up_or_started(self):
        try:
            self.server.connect().close()
            return True
        except pq.Lost:
            postmaster = self.server.postmaster()
            if postmaster is None or not send_signal(postmaster, "CONT"):
                self.server.start()
            time.sleep(0.1)
            return False
