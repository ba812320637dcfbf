"""The producer: enqueues at a steady pace until SIGTERM, and survives what its database does."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import threading
from collections import defaultdict

import django
from django.db import Error, close_old_connections, connections, transaction

from tests.chaos import ledger
from tests.chaos.workload import Batch, Call, batches

PAUSE_AFTER_TROUBLE = 0.2  # seconds


class Undone(Exception):
    """Rolls a transaction back."""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", required=True)
    parser.add_argument("--pause", type=float, required=True, help="seconds between transactions")
    options = parser.parse_args(arguments)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    django.setup()
    chance = random.Random()
    for batch in batches(options.seed):
        close_old_connections()  # as Django does before each request
        outcome = store(batch)
        broken = outcome not in {"committed", "rolled back"}
        if broken:
            connections.close_all()
        if stopped.wait(PAUSE_AFTER_TROUBLE if broken else chance.uniform(0, 2 * options.pause)):
            return


def store(batch: Batch) -> str:
    """Enqueue *batch*, and note what is known of its end before and after."""
    kinds = {call.key: call.kind for call in batch.calls}
    ledger.note(ledger.ENQUEUED, outcome="unknown", kinds=kinds)
    outcome = _store(batch)
    ledger.note(ledger.ENQUEUED, outcome=outcome, kinds=kinds)
    return outcome


def _store(batch: Batch) -> str:
    is_whole = False
    try:
        if batch.ends == "autocommit":
            is_whole = True
            _enqueue(batch.calls)
            return "committed"
        with transaction.atomic():
            _enqueue(batch.calls)
            if batch.ends == "rollback":
                raise Undone
            is_whole = True
    except Undone:
        return "rolled back"
    except Error as error:
        print(repr(error), file=sys.stderr)
        return "unknown" if is_whole else "rolled back by trouble"
    return "committed"


def _enqueue(calls: tuple[Call, ...]) -> None:
    """Enqueue those of a job together, if there are several."""
    from tests.chaos import jobs

    alike: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        if call.delay:
            getattr(jobs, call.job).using(delay=call.delay).enqueue(key=call.key)
        else:
            alike[call.job].append(call)
    for name, some in alike.items():
        rows = [{"key": call.key, **call.arguments} for call in some]
        if len(rows) == 1:
            getattr(jobs, name).enqueue(**rows[0])
        else:
            getattr(jobs, name).enqueue_many(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
