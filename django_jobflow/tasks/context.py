"""What the function of a task is given as its ``context``."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import sync_to_async

from django_jobflow.declare.context import DETACHED, JobContext
from django_jobflow.tasks.compat import TaskContext, normalize_json, task_backends
from django_jobflow.tasks.notes import merged, visible
from django_jobflow.tasks.results import JobflowTaskResult


@dataclass(frozen=True, slots=True, kw_only=True)
class JobflowTaskContext(TaskContext):  # type: ignore[type-arg, misc]  # the stubs have it thawed
    """The context of one attempt, with the metadata of the call.

    Attributes:
        job: The context of the job behind the task: progress, log, heartbeat, cancellation.
        metadata: A dict that the function may change; what it has changed is kept when it has
            ended, however that was.
    """

    task_result: JobflowTaskResult
    job: JobContext = DETACHED
    metadata: dict[str, Any] = field(init=False, default_factory=dict)
    _saving: list[bool] = field(init=False, default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "metadata", visible(self._raw))

    @property
    def metadata_modified(self) -> bool:
        """Whether ``metadata`` is another than what was saved last."""
        return self.metadata != visible(self._raw)

    def save_metadata(self) -> None:
        """Keep ``metadata`` now; inside of a transaction, once the function has ended.

        There the row of the job would stay locked, and with it the worker's heartbeat.

        Raises:
            TypeError, ValueError: It is not JSON.

        Database:
            One SELECT and one UPDATE by key.
        """
        if not self._save(force=False):
            self._saving[:] = [True]

    async def asave_metadata(self) -> None:
        """Do what ``save_metadata`` does, from async code."""
        await sync_to_async(self.save_metadata)()

    def flush(self) -> None:
        """Keep ``metadata`` if that is still to be done: the function has ended."""
        if self._saving or self.metadata_modified:
            self._save(force=True)
            self._saving.clear()

    async def aflush(self) -> None:
        """Do what ``flush`` does, from async code."""
        if self._saving or self.metadata_modified:
            await sync_to_async(self.flush)()

    def plain_metadata(self) -> dict[str, Any]:
        """Return ``metadata`` as JSON; what was saved last if it is none."""
        try:
            return self._checked()
        except (TypeError, ValueError):
            return visible(self._raw)

    @property
    def _raw(self) -> dict[str, Any]:
        return self.task_result.raw_metadata

    def _checked(self) -> dict[str, Any]:
        if not isinstance(self.metadata, dict) or not all(
            isinstance(key, str) for key in self.metadata
        ):
            raise TypeError(
                f"expected metadata to be a dict with texts as keys, got {self.metadata!r}."
            )
        plain: Any = normalize_json(self.metadata)
        return dict(plain)

    def _save(self, *, force: bool) -> bool:
        metadata = merged(self._raw, self._checked())
        backend: Any = task_backends[self.task_result.backend]
        saved: bool = backend.keep_metadata(self.task_result, metadata, force=force)
        object.__setattr__(self.task_result, "raw_metadata", deepcopy(metadata))
        return saved
