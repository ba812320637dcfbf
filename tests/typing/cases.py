"""Read by type checkers, and never run: a line says what is wrong with it, others are right."""

from typing import assert_type

from django_jobflow import Job, JobContext, job
from django_jobflow.models import JobRecord
from django_jobflow.tasks import JobflowTaskContext, task


class SendReceipt(Job):
    queue = "email"

    def perform(self, order_id: int, *, copy_to: str | None = None) -> dict[str, bool]:
        return {"sent": True}


class Fetch(Job):
    async def perform(self, url: str) -> bytes:
        return b""


@job(queue="reports")
def build_report(report_id: int) -> str:
    return f"{report_id}.pdf"


@job
def plain(number: float) -> None: ...


@task
def add(a: int, b: int = 1) -> int:
    return a + b


@task(max_attempts=3, queue_key=lambda order_id: f"order:{order_id}")
def charge(order_id: int) -> str:
    return str(order_id)


@task(takes_context=True, timeout=60)
async def report(context: JobflowTaskContext, report_id: int) -> bytes:
    return b""


async def right() -> None:
    add.enqueue(1, b=2)
    add.using(priority=3, max_attempts=9).enqueue(1)
    add.enqueue_on_commit(1, 2)
    charge.enqueue(order_id=7)
    await charge.using(tags=["a"]).aenqueue(7)
    report.enqueue(report_id=7)
    assert_type(charge.call(7), str)
    assert_type(SendReceipt.enqueue(7), JobRecord)
    assert_type(SendReceipt.enqueue(order_id=7, copy_to="a@example.com"), JobRecord)
    assert_type(await SendReceipt.aenqueue(7), JobRecord)
    assert_type(SendReceipt.using(delay=60).enqueue(7, copy_to=None), JobRecord)
    assert_type(await SendReceipt.using(delay=60).aenqueue(order_id=7), JobRecord)
    assert_type(SendReceipt.run(JobContext(), 7), dict[str, bool])
    assert_type(SendReceipt().perform(7), dict[str, bool])
    assert_type(await Fetch.run(JobContext(), "https://example.com"), bytes)
    assert_type(build_report(7), str)
    assert_type(build_report.enqueue(report_id=7), JobRecord)
    assert_type(await build_report.aenqueue(7), JobRecord)
    assert_type(build_report.using(priority=3).enqueue(7), JobRecord)
    assert_type(build_report.run(JobContext(), 7), str)
    plain.enqueue(1)


async def wrong() -> None:
    SendReceipt.enqueue("7")  # wrong
    SendReceipt.enqueue()  # wrong
    SendReceipt.enqueue(7, copy=None)  # wrong
    await SendReceipt.aenqueue(order="7")  # wrong
    SendReceipt.using(delay=60).enqueue("7")  # wrong
    SendReceipt.run(JobContext(), "7")  # wrong
    SendReceipt().perform("7")  # wrong
    Fetch.enqueue(7)  # wrong
    build_report("7")  # wrong
    build_report.enqueue("7")  # wrong
    await build_report.aenqueue()  # wrong
    build_report.using(priority=3).enqueue("7")  # wrong
    build_report.run(JobContext(), "7")  # wrong
    plain.enqueue("1")  # wrong
    add.enqueue("1")  # wrong
    add.using(priority=3).enqueue("1")  # wrong
    add.enqueue_on_commit()  # wrong
    charge.enqueue("7")  # wrong
    charge.using(max_attempts=9).enqueue("7")  # wrong
    await charge.aenqueue(order=7)  # wrong
    report.enqueue("7")  # wrong
    report.using(max_attempts=9).enqueue()  # wrong
    report.enqueue(None, 7)  # wrong
    charge.call("7")  # wrong
