"""The demo as README tells a stranger to run it, on a small file with every kind of dirt."""

import os
import re
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import closing, suppress
from email import message_from_bytes, policy
from itertools import takewhile
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.example.project import HEADER, Project, order_file, row, server_module

NAMES = ("Zoë Müller", "Łukasz Żółć", "山田　太郎", "Siân O'Connor", 'Renée "Coco" Diaz, Dr.')

BAD_ROWS = (
    (
        row("B-1", email="zoe.mail.example"),
        "email: expected an address such as name@example.org, got 'zoe.mail.example'.",
    ),
    (row("B-2", city=""), "city: expected a value, got nothing."),
    (
        row("B-3", unit_price="12,50"),
        "unit_price: expected an amount such as 12.50, above 0, got '12,50'.",
    ),
    (
        row("B-4", unit_price="-7.90", quantity="0"),
        "quantity: expected a whole number from 1 to 999, got '0'. "
        "unit_price: expected an amount such as 12.50, above 0, got '-7.90'.",
    ),
    (
        row("B-5", placed_at="2026-02-30T10:00:00+01:00"),
        "placed_at: expected a date and time such as 2026-08-03T14:05:00+02:00, "
        "got '2026-02-30T10:00:00+01:00'.",
    ),
    (row("B-6")[:11], "currency: expected a value, got nothing."),
    ([*row("B-7"), "left over"], "The row has values beyond its last column: 'left over'."),
    (
        row("B-8", sku="COFFEE"),
        "sku: expected the SKU of a product that the shop sells, got 'COFFEE'.",
    ),
)

READ_BOOKS = """
from django_jobflow.models import FailedJob, JobRecord, SucceededJob
from shop.models import ImportedRow, Order
lines = dict(ImportedRow.objects.values_list("pk", "line"))
answer = {
    "orders": {
        order.number: [order.name, order.state, order.is_receipted]
        for order in Order.objects.all()
    },
    "failed": {
        lines[job.kwargs["row_id"]]: [job.name, job.attempt, job.errors[-1]["message"]]
        for job in FailedJob.objects.all()
    },
    "problems": dict(ImportedRow.objects.exclude(problem="").values_list("line", "problem")),
    "unfinished": JobRecord.objects.exclude(state="FAILED").count(),
    "retried": list(
        SucceededJob.objects.filter(attempt__gt=1).values_list("name", flat=True).distinct()
    ),
}
"""


def numbers_with_faults() -> list[str]:
    """Return order numbers, some of which the gateway fails at first, in each of its ways."""
    faults = server_module("gateway").Faults()
    by_fault: dict[str, list[str]] = {}
    for count in range(5_000):
        number = f"A-{count}"
        by_fault.setdefault(faults.pick(f"order-{number}", 1), []).append(number)
    wanted = {"": 25, "unavailable": 3, "hanging": 1, "late": 1}
    return [number for fault, count in wanted.items() for number in by_fault[fault][:count]]


def receipts(outbox: Path) -> Counter[tuple[str, str]]:
    """Return the mails in *outbox*, as order number and addressee."""
    mails = [
        message_from_bytes(file.read_bytes(), policy=policy.default) for file in outbox.iterdir()
    ]
    return Counter(
        (mail["Subject"].rsplit(" ")[-1], mail["To"].addresses[0].display_name) for mail in mails
    )


def test_each_good_order_is_paid_once_and_each_bad_row_fails(
    project: Project, tmp_path: Path
) -> None:
    numbers = numbers_with_faults()
    names = {number: NAMES[at % len(NAMES)] for at, number in enumerate(numbers)}
    good = [row(number, name=name) for number, name in names.items()]
    padded_copy = row(f" {numbers[0]} ", name="Somebody Else", country="de ")
    rows = [*good, *(bad for bad, _ in BAD_ROWS), padded_copy, good[1]]

    file = order_file(tmp_path / "dirty.csv", rows)
    run = project.manage("demo", f"--file={file}", "--threads=4")

    assert run.returncode == 0, run.stdout + run.stderr
    first_bad = 2 + len(good)
    problems = dict(enumerate((problem for _, problem in BAD_ROWS), first_bad))
    problems |= {
        first_bad + len(BAD_ROWS) + at: f"order_number: {numbers[at]} was already taken from "
        f"line {2 + at} of dirty.csv."
        for at in (0, 1)
    }
    books = project.ask(READ_BOOKS)
    failed = {
        line: ["shop.jobs.ProcessOrder", 1, books["failed"].get(str(line), [""])[-1]]
        for line in problems
    }
    assert {number: [name, "PAID", True] for number, name in names.items()} == books["orders"]
    assert {str(line): problem for line, problem in problems.items()} == books["problems"]
    assert {str(line): job for line, job in failed.items()} == books["failed"]
    for line, problem in problems.items():
        assert books["failed"][str(line)][-1].startswith(f"line {line} of dirty.csv: {problem} ")
    assert (0, ["shop.jobs.ProcessOrder"]) == (books["unfinished"], books["retried"])
    assert Counter(names.items()) == receipts(tmp_path / "outbox")


def test_table_tells_what_became_of_the_jobs(project: Project, tmp_path: Path) -> None:
    file = order_file(tmp_path / "orders.csv", [row("A-1"), row("A-2", email="")])

    run = project.manage("demo", f"--file={file}", COLUMNS="140")

    cells = [re.split(r"\s*│\s*", line.strip("│ ")) for line in run.stdout.splitlines()]
    counts = {cell[0]: cell[1:4] for cell in cells if len(cell) == 6}
    expected = {
        "ImportOrders": ["1", "0", "0"],
        "ProcessOrder": ["1", "1", "0"],
        "SendReceipt": ["1", "0", "0"],
        "all": ["3", "1", "0"],
    }
    assert expected == counts, run.stdout + run.stderr
    for told in (
        "jobs per second",
        "orders paid: 1, charges at the gateway: 1",
        "orders paid: 1, mails received: 1",
        "line 3 of orders.csv: email: expected a value, got nothing.",
        "manage.py serve",
        "http://127.0.0.1:8000/admin/jobflow/failedjob/",
        "Log in as admin with the password admin.",
    ):
        assert told in run.stdout


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "The file is empty."),
        (HEADER.encode(), "The file has a header and no orders."),
        (b"name,email\n", "The header lacks 'order_number', 'placed_at', 'street',"),
        (b"\xff\xfeo\x00", "The file is not UTF-8: line 1 holds the byte 0xff."),
        (None, "No such file or directory"),
    ],
)
def test_malformed_file_is_told_before_anything_is_written(
    project: Project, tmp_path: Path, content: bytes | None, told: str
) -> None:
    file = tmp_path / "orders.csv"
    if content is not None:
        file.write_bytes(content)

    run = project.manage("demo", f"--file={file}")

    assert run.returncode == 1
    assert f"CommandError: {file}: " in run.stderr
    assert told in run.stderr
    with closing(sqlite3.connect(tmp_path / "shop.sqlite3")) as database:
        assert [] == database.execute("SELECT name FROM sqlite_master").fetchall()
    assert not (tmp_path / "uploads").exists()


def test_database_with_something_in_it_is_left_alone(project: Project, tmp_path: Path) -> None:
    file = order_file(tmp_path / "orders.csv", [row("A-1")])
    first = project.manage("demo", f"--file={file}")

    again = project.manage("demo", f"--file={file}")
    flushed = project.manage("demo", f"--file={file}", "--flush")

    assert (0, 1, 0) == (first.returncode, again.returncode, flushed.returncode)
    assert "The database that DATABASE_URL names is not empty." in again.stderr


def children(pid: int) -> list[int]:
    """Return the processes that *pid* started and that still run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            if f"\nPPid:\t{pid}\n" in status.read_text():
                found.append(int(status.parent.name))
    return found


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_serve_keeps_the_shop_open_until_it_is_stopped(project: Project) -> None:
    with subprocess.Popen(
        project.command("serve", "--port=0"),
        env=project.environment | {"COLUMNS": "140", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as serve:
        lines = iter(serve.stdout)  # type: ignore[arg-type]
        told = "".join(takewhile(lambda line: "Ctrl-C" not in line, lines))
        addresses = re.findall(r"http://\S+", told)
        pages = [urlopen(address, timeout=20).read().decode() for address in addresses]
        serve.terminate()
        code = serve.wait(60)

    assert ["The Tea Shop" in pages[0], "Log in" in pages[1], code] == [True, True, 143]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Needs /proc to see processes.")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_demo_and_all_that_it_started(
    project: Project, tmp_path: Path, number: int
) -> None:
    file = order_file(tmp_path / "orders.csv", [row(f"A-{count}") for count in range(2_000)])
    with subprocess.Popen(
        project.command("demo", f"--file={file}"),
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A shell starts what runs in the background deaf to Ctrl-C, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as demo:
        deadline = time.monotonic() + 60
        while not (workers := children(demo.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)  # until it has started a worker
        workers += [child for worker in workers for child in children(worker)]
        demo.send_signal(number)
        code = demo.wait(60)

    assert ([], 128 + number) == ([pid for pid in workers if is_running(pid)], code)
    assert workers
