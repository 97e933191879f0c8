"""What must hold in the end, whatever happened on the way.

History is everything that was written down: the emitters' journal, the
receiver's, and the tables afterwards.  Each check is a function that yields
complaints; none may be left.  checker_test.py doctors histories and sees each
check complain.
"""
import collections
import dataclasses
import datetime

# What explains that a request came again although its attempt has one result
# only: the worker, or all of it, ended or moved.
DISTURBANCES = {"worker_term", "worker_kill", "worker_segv", "backend_kill",
                "immediate_stop", "fast_stop", "postmaster_kill",
                "change_workers", "disk_full", "launcher_term", "failover"}
SETTLING = 15  # seconds that a disturbance may take to end a worker


@dataclasses.dataclass
class History:
    journal: list     # of the emitters and the nemesis
    requests: list    # of the receiver
    endpoints: dict   # id: {"organization", "path", "schedule"} (seconds)
    events: dict      # id: organization, as in webhook.event
    attempts: list    # of webhook.attempt; times are seconds
    deliveries: list  # of webhook.delivery
    queued: int       # rows of webhook.queue
    partitions: tuple  # names before, and names after


class Facts:
    """What the history says, put in order."""

    def __init__(self, history):
        self.history = history
        self.outcomes = {}
        self.emitted = {}
        for entry in history.journal:
            self.note(entry)
        self.committed = {id for id, entry in self.emitted.items()
                          if self.is_committed(entry)}
        self.requests = collections.defaultdict(list)
        for request in history.requests:
            self.requests[request["id"], request["path"]].append(request)
        self.attempts = collections.defaultdict(list)
        for attempt in history.attempts:
            key = attempt["event_id"], attempt["endpoint_id"]
            self.attempts[key].append(attempt)
        for rows in self.attempts.values():
            rows.sort(key=lambda row: (row["attempt"], row["started"]))
        self.deliveries = {(row["event_id"], row["endpoint_id"]): row
                           for row in history.deliveries}
        self.disturbed = [entry["time"] for entry in history.journal
                          if entry["kind"] in ("fault", "undone")
                          and entry["transaction"] in DISTURBANCES]

    def note(self, entry):
        kind, transaction = entry["kind"], entry["transaction"]
        if kind == "emitted":
            known = self.emitted.setdefault(
                entry["id"], {**entry, "transactions": []})
            known["transactions"].append(transaction)
        elif kind in ("ok", "failed", "unknown", "asynchronous"):
            if self.outcomes.get(transaction) not in ("ok", "failed"):
                self.outcomes[transaction] = kind

    def is_committed(self, entry):
        """What nobody knows is settled by the table."""
        if entry["is_taken_back"]:
            return False
        outcomes = {self.outcomes.get(transaction, "unknown")
                    for transaction in entry["transactions"]}
        if "ok" in outcomes:
            return True
        return outcomes != {"failed"} and entry["id"] in self.history.events

    def pairs(self):
        """Each delivery that there must be: event id, endpoint id."""
        for event_id in self.committed:
            for endpoint_id, endpoint in self.history.endpoints.items():
                organization = self.emitted[event_id]["organization"]
                if endpoint["organization"] == organization:
                    yield event_id, endpoint_id

    def requests_of(self, event_id, endpoint_id):
        return self.requests[event_id,
                             self.history.endpoints[endpoint_id]["path"]]

    def is_disturbed_between(self, start, end):
        return any(start - SETTLING < time < end for time in self.disturbed)


def committed_events_are_kept(facts):
    for event_id in facts.committed - facts.history.events.keys():
        yield f"event {event_id} was committed and is gone"


def a_transaction_is_all_or_nothing(facts):
    by_transaction = collections.defaultdict(set)
    for event_id, entry in facts.emitted.items():
        if not entry["is_taken_back"]:
            for transaction in entry["transactions"]:
                by_transaction[transaction].add(
                    event_id in facts.history.events)
    for transaction, found in by_transaction.items():
        if len(found) > 1:
            yield f"transaction {transaction} is there in part"


def a_key_is_one_event(facts):
    by_key = collections.defaultdict(set)
    for event_id in facts.committed:
        key = facts.emitted[event_id]["key"]
        if key:
            by_key[key].add(event_id)
    for key, ids in by_key.items():
        if len(ids) > 1:
            yield f"key {key} is {len(ids)} events"


def committed_events_end(facts):
    for event_id, endpoint_id in facts.pairs():
        row = facts.deliveries.get((event_id, endpoint_id))
        name = f"event {event_id} for endpoint {endpoint_id}"
        if row is None:
            yield f"{name}: no delivery"
        elif row["status"] == "succeeded":
            if not any(200 <= (request["status"] or 0) <= 299 for request
                       in facts.requests_of(event_id, endpoint_id)):
                yield f"{name}: succeeded without a request that did"
        elif row["status"] == "failed":
            schedule = facts.history.endpoints[endpoint_id]["schedule"]
            if row["attempts"] != len(schedule) + 1:
                yield f"{name}: failed after {row['attempts']} attempts"
        else:
            yield f"{name}: is {row['status']}"


def nothing_else_is_sent(facts):
    for event_id, path in facts.requests:
        if event_id not in facts.committed:
            yield f"event {event_id} was sent to {path} and never committed"


def bodies_are_the_same(facts):
    hashes = collections.defaultdict(set)
    for request in facts.history.requests:
        hashes[request["id"]].add(request["sha256"])
        if request["signature"] != "valid":
            yield f"a request of event {request['id']} is not signed"
    for event_id, found in hashes.items():
        if len(found) > 1:
            yield f"event {event_id} had {len(found)} bodies"


def attempts_are_numbered(facts):
    """Each attempt has one result, and each number that was sent is one."""
    for (event_id, endpoint_id), rows in facts.attempts.items():
        numbers = [row["attempt"] for row in rows]
        if numbers != list(range(1, len(rows) + 1)):
            yield f"event {event_id} has attempts {numbers}"
        if [row["outcome"] for row in rows[:-1]].count(None) != len(rows) - 1:
            yield f"event {event_id}: an outcome before the last attempt"
        if endpoint_id not in facts.history.endpoints:
            continue
        sent = {request["attempt"] for request
                in facts.requests_of(event_id, endpoint_id)}
        if not sent <= set(numbers):
            yield f"event {event_id}: sent {sorted(sent)}, logged {numbers}"


def results_are_what_was_answered(facts):
    for (event_id, endpoint_id), rows in facts.attempts.items():
        answers = collections.defaultdict(set)
        if endpoint_id not in facts.history.endpoints:
            continue
        for request in facts.requests_of(event_id, endpoint_id):
            answers[request["attempt"]].add(request["status"])
        for row in rows:
            if row["response_status"] is not None and \
                    row["response_status"] not in answers[row["attempt"]]:
                yield (f"event {event_id}, attempt {row['attempt']}: logged "
                       f"{row['response_status']}, which nobody answered")


def repetitions_are_explained(facts):
    """An attempt that was sent twice lost its first result with a worker."""
    for (event_id, path), requests in facts.requests.items():
        last = {}
        for request in sorted(requests, key=lambda one: one["monotonic"]):
            number = request["attempt"]
            if number in last and not facts.is_disturbed_between(
                    last[number], request["monotonic"]):
                yield f"event {event_id}: attempt {number} came again to {path}"
            last[number] = request["monotonic"]


def retries_are_not_early(facts):
    for (event_id, endpoint_id), rows in facts.attempts.items():
        schedule = facts.history.endpoints.get(
            endpoint_id, {"schedule": []})["schedule"]
        for row, following, delay in zip(rows, rows[1:], schedule):
            if row["error_class"] == "interrupted" or \
                    following["error_class"] == "interrupted":
                continue  # goes on at once; a cut-off start is not known
            waited = following["started"] - row["started"] - row["duration"]
            if waited < delay - 0.001:
                yield (f"event {event_id}, attempt {following['attempt']}: "
                       f"after {waited:.3f} s of {delay} s")


def nothing_is_left(facts):
    if facts.history.queued:
        yield f"{facts.history.queued} rows are left in the queue"


def a_delivery_is_one_row(facts):
    counts = collections.Counter((row["event_id"], row["endpoint_id"])
                                 for row in facts.history.deliveries)
    for (event_id, endpoint_id), count in counts.items():
        if count > 1:
            yield f"event {event_id} for {endpoint_id} is in {count} states"


def partitions_are_kept(facts):
    before, after = facts.history.partitions
    for name in set(before) - set(after):
        yield f"partition {name} is gone"


CHECKS = (committed_events_are_kept, a_transaction_is_all_or_nothing,
          a_key_is_one_event, committed_events_end, nothing_else_is_sent,
          bodies_are_the_same, attempts_are_numbered,
          results_are_what_was_answered, repetitions_are_explained,
          retries_are_not_early, nothing_is_left, a_delivery_is_one_row,
          partitions_are_kept)


def check(history):
    """All complaints, by the name of the check."""
    facts = Facts(history)
    found = {check.__name__: list(check(facts)) for check in CHECKS}
    return {name: said for name, said in found.items() if said}


def seconds(text):
    """Of a timestamp as PostgreSQL prints it in UTC."""
    return datetime.datetime.fromisoformat(text).timestamp()
