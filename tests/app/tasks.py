"""The tasks that tests enqueue; the worker finds them here."""

import asyncio

import django

from django_jobflow import Cancel, Discard, Retry
from django_jobflow.tasks import task

if django.VERSION >= (6, 0):
    from django.tasks import task as stock_task
else:
    from django_tasks import task as stock_task

from tests.app.models import Order


class Odd(BaseException):
    """Neither an Exception nor a SystemExit."""


ENDS = {
    "odd": Odd("odd"),
    "error": ValueError("no"),
    "exit": SystemExit(3),
    "discard": Discard("of no use"),
    "cancel": Cancel("not needed"),
    "retry": Retry("later", delay=0),
}


RETURNED = [
    {1: "a", None: {True: 2.5}, "b": [{0.5: b"c"}]},
    {1: "a", "1": "b"},
    "a\0b",
    float("nan"),
]


@stock_task
def add(a, b=1):
    return a + b


@stock_task(takes_context=True)
def tell_attempt(context, note=""):
    return [context.task_result.id, context.attempt, context.task_result.worker_ids]


@stock_task
async def add_async(a, b=1):
    return a + b


@stock_task
def return_strangely():
    return {1, 2}


@stock_task
def return_one_of(number):
    return RETURNED[number]


@task(timeout=0.3)
async def wait_forever():
    await asyncio.sleep(60)


@task(max_attempts=3, base_delay=0, takes_context=True)
def fail_until(context, attempt, how="error"):
    if context.attempt < attempt:
        raise ENDS[how]
    return context.attempt


@task(queue_name="email", transactional=True)
def make_order(number, fails=False):
    Order.objects.create(number=number, email="a@example.com", total=1)
    if fails:
        raise ValueError("after the write")
    return number


@task(queue_key=lambda key: f"unique:{key}", on_duplicate="raise")
def unique(key):
    return key


@task(takes_context=True, max_attempts=2, base_delay=0)
def count_up(context, how="return"):
    context.metadata["count"] = context.metadata.get("count", 0) + 1
    if how == "save":
        context.save_metadata()
    if how == "break":
        context.metadata["count"] = object()
    if how == "fail" and context.attempt == 1:
        raise ValueError("once")
    return context.metadata["count"] if how != "break" else None


@task(takes_context=True)
async def count_up_async(context):
    context.metadata["count"] = 1
    await context.asave_metadata()
    return context.metadata_modified


@task(sensitive={"card"})
def charge(card):
    raise ValueError(f"refused: {card}")


no_task = add.func
nameless = stock_task(lambda: None)


class Within:
    @stock_task
    def inside():
        return "inside"
