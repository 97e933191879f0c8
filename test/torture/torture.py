#!/usr/bin/env python3
"""Break everything for a while, then see that nothing was lost.

Rounds of chaos, each with a seed of its own and followed by a check: emitters
emit, a nemesis breaks, then all is healed, what was begun may end, and
checker.py looks at what everybody wrote down.  Run through test/torture/run.
"""
import argparse
import collections
import json
import pathlib
import random
import shutil
import subprocess
import sys
import time

import checker
from emitter import Emitter, Journal
from failover import Failover, Pair
from nemesis import Nemesis
from server import TOOLS, Receiver, Server, send_signal, wait_for

# Organization, path, retry schedule in seconds.  The first survives what the
# nemesis does to the receiver; the others fail on their own account, too.
LONG = [0.2, 0.4, 0.8, *[1.5] * 8]
SHORT = [0.2, 0.4, 0.6]
ENDPOINTS = [
    ("calm", "/ok", LONG),
    ("flaky", "/status/500,503,200", LONG),
    ("slow", "/delay/300", LONG),
    ("dead", "/status/500?dead", SHORT),
    ("rude", "/reset", SHORT),
    ("both", "/ok?both", LONG),
    ("both", "/status/500,200?both", LONG),
]
EMITTERS = 5


class Round:
    def __init__(self, home, options, seed):
        self.seed, self.home, self.options = seed, home, options
        subprocess.run(["sh", TOOLS / "make-certs", home / "certs"],
                       check=True)
        kind = Pair if options.failover else Server
        self.server = kind(home, options.disk)
        self.receiver = Receiver(home)
        self.journal = Journal(home / "emitters.journal")
        self.endpoints = {}

    def prepare(self):
        self.server.start()
        session = self.server.session()
        session.run("create extension webhook")
        secrets = []
        for organization, path, schedule in ENDPOINTS:
            delays = ",".join(f"{delay}s" for delay in schedule)
            session.run(f"select webhook.set_organization('{organization}',"
                        f" '{organization}')")
            endpoint_id, secret = session.run(
                f"select * from webhook.create_endpoint('{organization}',"
                f" '{self.receiver.url(path)}',"
                f" retry_schedule => '{{{delays}}}')")[0]
            self.endpoints[endpoint_id] = {
                "organization": organization, "path": path,
                "schedule": schedule}
            secrets.append(secret)
        self.receiver.secrets.write_text("\n".join(secrets) + "\n")
        session.run("select webhook.set_organization('nobody', 'Nobody')")
        session.run("select webhook.emit('review.completed', 'nobody', '{}')")
        session.close()
        self.partitions = self.list_partitions()

    def list_partitions(self):
        return [row[0] for row in self.server.ask(
            "select inhrelid::regclass::text from pg_inherits where inhparent"
            " in ('webhook.event'::regclass, 'webhook.attempt'::regclass)")]

    def nemesis(self):
        if self.options.failover:
            return Failover(self.server, self.journal, self.seed)
        return Nemesis(self.server, self.receiver, self.journal, self.seed,
                       self.options.only)

    def torture(self):
        # Few for those that fail: one request at a time is all they get.
        organizations = [row[0] for row in ENDPOINTS] + ["calm"] * 5
        emitters = [Emitter(self.server, self.journal, organizations,
                            f"{self.seed}-{number}")
                    for number in range(EMITTERS)]
        nemesis = self.nemesis()
        for thread in [*emitters, nemesis]:
            thread.start()
        nemesis.join(self.options.seconds)
        for thread in [nemesis, *emitters]:
            thread.is_over.set()
        for thread in [nemesis, *emitters]:
            thread.join(120)
            if thread.trouble or thread.is_alive():
                raise RuntimeError(f"{thread.name}: {thread.trouble}")

    def heal(self):
        """Nobody is in the way any more; what was begun is decided."""
        send_signal(self.receiver.process.pid, "CONT")
        if self.receiver.process.poll() is not None:
            self.receiver.start()
        dice = random.Random(f"two phases {self.seed}")
        for (name,) in self.server.ask("select gid from pg_prepared_xacts"):
            verb = dice.choice(("commit", "rollback"))
            self.server.ask(f"{verb} prepared '{name}'")
            self.journal.write("ok" if verb == "commit" else "failed", name)

    def wait_until_settled(self):
        """Nothing waits, and the log is complete."""
        wait_for("every delivery to end", lambda: self.server.ask(
            "select not exists (select from webhook.queue)"
            " and webhook._waiting_events() = 0") == [["t"]], 300)

    def tell_state(self):
        """What may explain why something does not end."""
        for table in ("status", "cursor", "queue limit 3"):
            yield f"{table}: {self.server.ask(f'table webhook.{table}')}"

    def history(self):
        requests = []
        with open(self.receiver.journal, encoding="ascii") as file:
            for line in file:
                if line.endswith("\n"):
                    requests.append(json.loads(line))
        return checker.History(
            journal=self.journal.entries, requests=requests,
            endpoints=self.endpoints,
            events=dict(self.server.ask(
                "select id, organization_id from webhook.event")),
            attempts=self.read(
                "select event_id, endpoint_id::text, attempt, outcome,"
                " error_class, response_status,"
                " extract(epoch from started_at)::float8 as started,"
                " extract(epoch from duration)::float8 as duration"
                " from webhook.attempt"),
            deliveries=self.read("select event_id, endpoint_id::text, status,"
                                 " attempts from webhook.delivery"),
            queued=int(self.server.ask(
                "select count(*) from webhook.queue")[0][0]),
            partitions=(self.partitions, self.list_partitions()))

    def read(self, query):
        return [json.loads(text) for (text,) in self.server.ask(
            f"select row_to_json(q) from ({query}) q")]

    def end(self):
        self.receiver.kill()
        self.server.stop("immediate")
        if self.options.disk:
            self.server.remove()


def tell(history, seconds):
    outcomes = collections.Counter(row["status"] for row
                                   in history.deliveries)
    faults = collections.Counter(entry["transaction"] for entry
                                 in history.journal
                                 if entry["kind"] == "fault")
    classes = collections.Counter(row["error_class"] for row
                                  in history.attempts)
    print(f"  {seconds:.0f} s: {len(history.events)} events,"
          f" {len(history.requests)} requests, {dict(outcomes)},"
          f" attempts: {dict(classes)}; faults: {dict(faults)}", flush=True)


def run_round(options, seed, number):
    home = pathlib.Path(options.directory) / f"round{number}"
    home.mkdir()
    print(f"seed {seed}", flush=True)
    began = time.monotonic()
    this = Round(home, options, seed)
    complaints = {}
    try:
        this.prepare()
        this.torture()
        this.heal()
        try:
            this.wait_until_settled()
        except TimeoutError as error:
            complaints["settles"] = [str(error), *this.tell_state()]
        history = this.history()
        complaints.update(checker.check(history))
        tell(history, time.monotonic() - began)
    finally:
        this.end()
    for name, said in complaints.items():
        print(f"  {name}: {len(said)} complaints, the first:")
        print("".join(f"    {line}\n" for line in said[:5]), end="")
    if not complaints:
        shutil.rmtree(home)
    return not complaints


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    option = parser.add_argument
    option("--seed", type=int, help="of the first round; the next follow")
    option("--minutes", type=float, default=0, help="rounds until then")
    option("--seconds", type=float, default=45, help="of chaos in a round")
    option("--only", type=lambda text: text.split(","),
           help="these faults, joined by commas")
    option("--failover", action="store_true",
           help="kill primaries and promote their standbys, nothing else")
    option("--directory", required=True)
    option("--disk", help="a small file system for the data")
    options = parser.parse_args()
    seed = options.seed
    if seed is None:
        seed = random.SystemRandom().randrange(1_000_000)
    end = time.monotonic() + 60 * options.minutes
    number, bad = 0, []
    while number == 0 or time.monotonic() < end:
        if not run_round(options, seed + number, number):
            bad.append(seed + number)
        number += 1
    print(f"torture: {number} rounds, {len(bad)} failed"
          + (f": seeds {bad}" if bad else ""))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
