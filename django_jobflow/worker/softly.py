"""Warning an async body of its end: ``SoftTimeout`` is raised where it awaits."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

from django_jobflow.exceptions import SoftTimeout

T = TypeVar("T")


async def warned(body: Coroutine[Any, Any, T], seconds: float, warning: SoftTimeout) -> T:
    """Await *body*, and raise *warning* in it after so many *seconds*.

    A task can be stopped by a cancellation only. So it is cancelled, and on its way into the
    body the cancellation is taken back and *warning* put in its place. One that comes from
    elsewhere at the same time stays what it is.
    """
    task = asyncio.current_task()
    assert task is not None
    bell = _Bell(task, warning)
    handle = asyncio.get_running_loop().call_later(seconds, bell.ring)
    try:
        return await _driven(body, bell)
    finally:
        handle.cancel()


class _Bell:
    def __init__(self, task: asyncio.Task[Any], warning: SoftTimeout) -> None:
        self.task = task
        self.warning = warning
        self.rings = False

    def ring(self) -> None:
        self.rings = True
        self.task.cancel()

    def replace(self, error: BaseException) -> BaseException:
        """Return what to raise in the body in place of *error*."""
        if not self.rings or not isinstance(error, asyncio.CancelledError):
            return error
        self.rings = False
        return error if self.task.uncancel() else self.warning


@types.coroutine
def _driven(body: Coroutine[Any, Any, T], bell: _Bell) -> Generator[Any, Any, T]:
    """Do what ``yield from`` does, with another exception where *bell* has one."""
    error: BaseException | None = None
    try:
        while True:
            try:
                awaited = body.send(None) if error is None else body.throw(error)
            except StopIteration as end:
                value: T = end.value
                return value
            error = None
            try:
                yield awaited
            except BaseException as raised:
                error = bell.replace(raised)
    finally:
        body.close()
