"""Asks for each page several times, and takes the time of Django's own answer."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks.desk.requests import Request, Sample, requests

TIMES = 5  # that each request is made; the first one is not counted


@dataclass(frozen=True, slots=True)
class Cost:
    """What a request costs.

    Attributes:
        title: What somebody does.
        statements: That Django has sent, those for session and user included.
        milliseconds: The median, from the request to the last byte of the answer.
        slowest: The longest, the first one included: nothing was in memory then.
        worst: The statement that took longest of all, in milliseconds, and its text.
    """

    title: str
    statements: int
    milliseconds: float
    slowest: float
    worst: float
    worst_statement: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class _Undone(Exception):
    """What was done is to be undone, so that it can be done again."""


def measure(times: int = TIMES) -> Iterator[Cost]:
    """Yield what each request costs, each made *times* times; nothing of it stays."""
    user = get_user_model().objects.create_superuser("root")
    client = Client()
    client.force_login(user)
    for request in requests(Sample()):
        yield _cost(client, request, times)


def _cost(client: Client, request: Request, times: int) -> Cost:
    taken, captured = [], []
    for _ in range(times):
        with CaptureQueriesContext(connection) as statements:
            began = time.perf_counter()
            _ask(client, request)
            taken.append(1000 * (time.perf_counter() - began))
        captured = statements.captured_queries
    slowest = max(captured, key=lambda each: float(each["time"]))
    return Cost(
        title=request.title,
        statements=len([each for each in captured if not is_frame(each["sql"])]),
        milliseconds=round(statistics.median(taken[1:]), 1),
        slowest=round(max(taken), 1),
        worst=round(1000 * float(slowest["time"]), 1),
        worst_statement=slowest["sql"][:2000],
    )


def _ask(client: Client, request: Request) -> None:
    if request.data is None:
        assert client.get(request.path).status_code in {200, 302}, request
        return
    try:
        with transaction.atomic():
            answer = client.post(request.path, request.data)
            assert answer.status_code in {200, 302}, (request, answer.status_code)
            raise _Undone
    except _Undone:
        return


def is_frame(sql: str) -> bool:
    """Say whether a statement only begins or ends something."""
    return re.match(r"BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE", sql) is not None
