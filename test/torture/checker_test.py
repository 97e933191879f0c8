#!/usr/bin/env python3
"""The checker, checked: a good history passes, a doctored one is noticed.

Speaks TAP.  Each case takes the same history of two events, does one thing to
it that must never happen, and names the check that has to complain.
"""
import copy

from checker import CHECKS, History, check

ENDPOINT = "1"
PATH = "/ok"


def request(event_id, attempt, monotonic, status):
    return {"id": event_id, "path": PATH, "attempt": attempt,
            "monotonic": monotonic, "sha256": "aa" + event_id,
            "status": status, "signature": "valid"}


def attempt(event_id, number, started, outcome, **more):
    return {"event_id": event_id, "endpoint_id": ENDPOINT, "attempt": number,
            "started": started, "duration": 0.1, "outcome": outcome,
            "error_class": None if outcome == "succeeded" else "http",
            "response_status": 200 if outcome == "succeeded" else 500, **more}


def good_history():
    """Event a is retried and arrives; b fails; c and d are taken back."""
    journal = []
    for time, kind, transaction, facts in (
            (0, "intent", "1", {}),
            (0, "emitted", "1", {"id": "a", "key": "k"}),
            (1, "ok", "1", {}),
            (2, "emitted", "2", {"id": "b"}),
            (2, "emitted", "2", {"id": "c", "is_taken_back": True}),
            (3, "unknown", "2", {}),
            (4, "emitted", "3", {"id": "d"}),
            (5, "failed", "3", {}),
            (6, "emitted", "4", {"id": "e"}),
            (6, "asynchronous", "4", {}),
            (30, "fault", "worker_kill", {})):
        journal.append({"kind": kind, "transaction": transaction,
                        "time": time, **({
                            "organization": "o", "key": None,
                            "is_taken_back": False} | facts
                            if kind == "emitted" else facts)})
    return History(
        journal=journal,
        requests=[request("a", 1, 10, 500), request("a", 2, 12, 200),
                  request("b", 1, 29, 500), request("b", 1, 31, 500),
                  request("b", 2, 33, 500)],
        endpoints={ENDPOINT: {"organization": "o", "path": PATH,
                              "schedule": [1.0]}},
        events={"a": "o", "b": "o"},
        attempts=[attempt("a", 1, 10, None), attempt("a", 2, 11.2, "succeeded"),
                  attempt("b", 1, 31, None), attempt("b", 2, 33, "failed")],
        deliveries=[
            {"event_id": "a", "endpoint_id": ENDPOINT, "status": "succeeded",
             "attempts": 2},
            {"event_id": "b", "endpoint_id": ENDPOINT, "status": "failed",
             "attempts": 2}],
        queued=0,
        partitions=(["p1"], ["p1", "p2"]))


def lose_event(history):
    del history.events["a"]


def keep_half_a_transaction(history):
    history.journal.append({**history.journal[1], "id": "z", "key": None})


def record_key_twice(history):
    history.events["b"] = "o"
    history.journal[3]["key"] = "k"


def lose_delivery(history):
    del history.deliveries[0]


def leave_on_the_wire(history):
    history.deliveries[0]["status"] = "sending"


def succeed_unseen(history):
    history.requests[1]["status"] = 500


def give_up_early(history):
    history.endpoints[ENDPOINT]["schedule"] = [1.0, 1.0]


def send_what_was_rolled_back(history):
    history.requests.append(request("d", 1, 20, 200))


def send_what_a_savepoint_took_back(history):
    history.requests.append(request("c", 1, 20, 200))


def send_what_a_crash_took_back(history):
    history.requests.append(request("e", 1, 20, 200))


def change_body(history):
    history.requests[1]["sha256"] = "other"


def break_signature(history):
    history.requests[0]["signature"] = "INVALID"


def log_attempt_twice(history):
    history.attempts.append(attempt("a", 2, 11.2, None))


def forget_attempt(history):
    history.attempts = history.attempts[1:]


def send_after_success(history):
    history.requests.append(request("a", 3, 40, 200))


def log_another_answer(history):
    history.attempts[0]["response_status"] = 503


def repeat_undisturbed(history):
    history.requests.append(request("a", 2, 13, 200))


def retry_early(history):
    history.attempts[1]["started"] = 10.5


def leave_row(history):
    history.queued = 1


def be_in_two_states(history):
    history.deliveries.append(history.deliveries[0])


def drop_partition(history):
    history.partitions = (["p1"], ["p2"])


CASES = (
    (lose_event, "committed_events_are_kept"),
    (keep_half_a_transaction, "a_transaction_is_all_or_nothing"),
    (record_key_twice, "a_key_is_one_event"),
    (lose_delivery, "committed_events_end"),
    (leave_on_the_wire, "committed_events_end"),
    (succeed_unseen, "committed_events_end"),
    (give_up_early, "committed_events_end"),
    (send_what_was_rolled_back, "nothing_else_is_sent"),
    (send_what_a_savepoint_took_back, "nothing_else_is_sent"),
    (send_what_a_crash_took_back, "nothing_else_is_sent"),
    (change_body, "bodies_are_the_same"),
    (break_signature, "bodies_are_the_same"),
    (log_attempt_twice, "attempts_are_numbered"),
    (forget_attempt, "attempts_are_numbered"),
    (send_after_success, "attempts_are_numbered"),
    (log_another_answer, "results_are_what_was_answered"),
    (repeat_undisturbed, "repetitions_are_explained"),
    (retry_early, "retries_are_not_early"),
    (leave_row, "nothing_is_left"),
    (be_in_two_states, "a_delivery_is_one_row"),
    (drop_partition, "partitions_are_kept"),
)


def main():
    number = 0

    def test(is_fine, what, found=""):
        nonlocal number
        number += 1
        print(f"{'ok' if is_fine else 'not ok'} {number} - {what}")
        if not is_fine:
            print(f"# {found}")

    found = check(good_history())
    test(not found, "a good history has no complaint", found)
    for doctor, name in CASES:
        history = copy.deepcopy(good_history())
        doctor(history)
        found = check(history)
        test(name in found, f"{doctor.__name__}: {name} complains", found)
    untested = {one.__name__ for one in CHECKS} - {name for _, name in CASES}
    test(not untested, "each check is tested", untested)
    print(f"1..{number}")


if __name__ == "__main__":
    main()
