"""The tables: live records, successes and workers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import models, router
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from django_jobflow import states
from django_jobflow.models.fields import ExactCharField, PartialIndex
from django_jobflow.models.querysets import OF_ANY_QUEUE, JobQuerySet
from django_jobflow.service import Service
from django_jobflow.states import JobState

if TYPE_CHECKING:
    from django_jobflow.engines import Engine
    from django_jobflow.logs import LogLine
    from django_jobflow.observe import Reason


def _in(some: frozenset[JobState]) -> Q:
    return Q(state__in=sorted(state.value for state in some))


def _either(condition: Q, then: Q, otherwise: Q) -> Q:
    """*then* where the *condition* holds, and *otherwise* where not."""
    return (condition & then) | (~condition & otherwise)


def _held_while(key: str, holding: Q) -> Q:
    """A record that is *holding* has *key* for itself if it has one; no other record does."""
    holds = holding & Q(**{f"{key}__isnull": False})
    held = f"held_{key}__isnull"
    return _either(holds, Q(**{held: False}), Q(**{held: True}))


class JobFacts(models.Model):
    """What is kept of a job, whether it is live or has succeeded."""

    name = ExactCharField(_("job"), max_length=200)
    queue = ExactCharField(_("queue"), max_length=100, default="default")
    partition = ExactCharField(_("partition"), max_length=100, blank=True, default="")
    priority = models.SmallIntegerField(_("priority"), default=0)
    args = models.JSONField(_("positional arguments"), blank=True, default=list)
    kwargs = models.JSONField(_("arguments"), blank=True, default=dict)
    attempt = models.IntegerField(_("attempt"), default=0)
    max_attempts = models.IntegerField(_("attempts at most"), default=1)
    timeout = models.DurationField(_("time limit"), null=True, blank=True)
    queue_key = ExactCharField(_("queue key"), max_length=255, null=True, blank=True)
    execution_key = ExactCharField(_("execution key"), max_length=255, null=True, blank=True)
    available_at = models.DateTimeField(_("due at"), db_default=Now())
    reserved_by = ExactCharField(_("worker"), max_length=200, null=True, blank=True)
    reserved_at = models.DateTimeField(_("reserved at"), null=True, blank=True)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    created_at = models.DateTimeField(_("enqueued at"), db_default=Now())
    errors = models.JSONField(_("errors"), blank=True, default=list)
    tags = models.JSONField(_("tags"), blank=True, default=list)
    meta = models.JSONField(_("meta"), blank=True, default=dict)
    # No foreign key: a member outlives its batch, and rows are deleted without looking at it.
    batch_id = models.BigIntegerField(_("batch"), null=True, blank=True)
    progress = models.SmallIntegerField(_("progress"), null=True, blank=True)
    progress_message = models.CharField(
        _("progress message"), max_length=200, blank=True, default=""
    )

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.name} {self.pk}"

    @property
    def exception(self) -> str:
        """The text of the last error; empty when there was none."""
        return (
            f"{self.errors[-1]['exception']}: {self.errors[-1]['message']}" if self.errors else ""
        )

    def logs(self) -> list[LogLine]:
        """Return the lines that are kept of its attempts, oldest first.

        Of an attempt that runs, those that were written: about one second ago, or more.

        Database:
            One SELECT.
        """
        return [line for log in self._engine.logs_of(self.pk) for line in log.lines]

    @property
    def _engine(self) -> Engine:
        from django_jobflow.engines import engine_for

        return engine_for(self._state.db)


class JobRecord(JobFacts):
    """One call to be made: a row of the live table."""

    id = models.BigAutoField(primary_key=True)
    state = ExactCharField(
        _("state"), max_length=11, choices=JobState.choices, default=JobState.AVAILABLE
    )
    expires = models.DateTimeField(_("lease ends at"), null=True, blank=True)
    expires_at = models.DateTimeField(_("pointless after"), null=True, blank=True)
    finished_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    updated_at = models.DateTimeField(_("changed at"), db_default=Now())
    cancel_requested_at = models.DateTimeField(_("cancel requested at"), null=True, blank=True)
    # Never goes back, unlike attempts, so that no two holds of a record are alike.
    reserved_count = models.IntegerField(_("reservations"), default=0)
    # Digests of the keys while they are held, NULL otherwise: a unique index on them decides
    # who holds a key, the same way on every database.
    held_queue_key = ExactCharField(max_length=32, null=True, editable=False)
    held_execution_key = ExactCharField(max_length=32, null=True, editable=False)
    # Name of the job whose pause or limit keeps it out of the fetch; it then is WAITING.
    parked_for = ExactCharField(_("held back with"), max_length=200, null=True, editable=False)
    # What kind of failure the last one was, while it is FAILED; see FailureGroup.
    fingerprint = ExactCharField(max_length=32, null=True, editable=False)

    duplicate = False
    """Whether ``enqueue`` stored nothing and returned this holder of the queue key."""

    objects: ClassVar[models.Manager[JobRecord]] = JobQuerySet.as_manager()

    class Meta:
        db_table = "jobflow_job"
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        default_permissions = ("view", "delete")
        permissions = [
            ("retry_jobrecord", _("Can retry jobs")),
            ("cancel_jobrecord", _("Can cancel jobs")),
            ("run_now_jobrecord", _("Can run scheduled jobs now")),
            ("reschedule_jobrecord", _("Can reschedule jobs")),
            ("edit_jobrecord", _("Can retry jobs with other arguments")),
        ]
        indexes = [
            PartialIndex(
                name="jobflow_job_fetch_queue",
                fields=["queue", "partition", "-priority", "available_at", "id"],
                fallback=["state", "queue", "partition", "-priority", "available_at", "id"],
                where=Q(state=JobState.AVAILABLE.value),
            ),
            PartialIndex(
                name="jobflow_job_fetch_any",
                fields=["-priority", "available_at", "id"],
                fallback=["state", "-priority", "available_at", "id"],
                where=Q(state=JobState.AVAILABLE.value) & OF_ANY_QUEUE,
            ),
            PartialIndex(
                name="jobflow_job_due",
                fields=["state", "available_at"],
                where=_in(states.PENDING),
            ),
            PartialIndex(
                name="jobflow_job_lease",
                fields=["state", "expires"],
                where=_in(states.HELD),
            ),
            PartialIndex(
                name="jobflow_job_ended",
                fields=["state", "finished_at"],
                where=_in(states.ENDED),
            ),
            PartialIndex(
                name="jobflow_job_waiting",
                fields=["partition", "execution_key", "-priority", "available_at", "id"],
                fallback=[
                    "state",
                    "partition",
                    "execution_key",
                    "-priority",
                    "available_at",
                    "id",
                ],
                where=Q(state=JobState.WAITING.value),
            ),
            PartialIndex(
                name="jobflow_job_parked",
                fields=["parked_for", "queue", "-priority", "available_at", "id"],
                where=Q(parked_for__isnull=False),
                on_sqlite=True,
            ),
            PartialIndex(
                name="jobflow_job_pointless",
                fields=["expires_at"],
                fallback=["finished_at", "expires_at"],
                where=Q(expires_at__isnull=False, finished_at__isnull=True),
                on_sqlite=True,
            ),
            PartialIndex(
                name="jobflow_job_batch",
                fields=["batch_id", "finished_at", "id"],
                where=Q(batch_id__isnull=False),
                on_sqlite=True,
            ),
            PartialIndex(
                name="jobflow_job_fingerprint",
                fields=["fingerprint", "id"],
                where=Q(fingerprint__isnull=False),
                on_sqlite=True,
            ),
            PartialIndex(
                name="jobflow_job_queue_key",
                fields=["held_queue_key"],
                where=Q(held_queue_key__isnull=False),
                unique=True,
            ),
            PartialIndex(
                name="jobflow_job_execution_key",
                fields=["held_execution_key"],
                where=Q(held_execution_key__isnull=False),
                unique=True,
            ),
        ]
        # PostgreSQL reads the text of each from its catalogue at every statement that writes a
        # row, and lists of states are long. So what follows of a state is asked instead where
        # another constraint sees to it: ``reserved_by`` for HELD, ``finished_at`` for ENDED.
        constraints = [
            models.CheckConstraint(name="jobflow_job_state", condition=_in(frozenset(JobState))),
            models.CheckConstraint(
                name="jobflow_job_priority", condition=Q(priority__range=(-100, 100))
            ),
            models.CheckConstraint(
                name="jobflow_job_attempts",
                condition=Q(max_attempts__gte=1, attempt__range=(0, models.F("max_attempts"))),
            ),
            models.CheckConstraint(
                name="jobflow_job_attempt_left",
                condition=Q(attempt__lt=models.F("max_attempts"))
                | Q(finished_at__isnull=False)
                | _in(states.UNFINISHED - states.ATTEMPT_LEFT),
            ),
            models.CheckConstraint(
                name="jobflow_job_holder",
                condition=_either(
                    _in(states.HELD),
                    Q(reserved_by__isnull=False, reserved_at__isnull=False)
                    & Q(expires__isnull=False),
                    Q(reserved_by__isnull=True, expires__isnull=True),
                ),
            ),
            models.CheckConstraint(
                name="jobflow_job_started",
                condition=~Q(state=JobState.IN_PROGRESS.value)
                | Q(attempt__gte=1, started_at__isnull=False),
            ),
            models.CheckConstraint(
                name="jobflow_job_ended_at",
                condition=_either(
                    _in(states.ENDED), Q(finished_at__isnull=False), Q(finished_at__isnull=True)
                ),
            ),
            models.CheckConstraint(
                name="jobflow_job_queue_key_held",
                condition=_held_while("queue_key", Q(finished_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="jobflow_job_execution_key_held",
                condition=_held_while(
                    "execution_key",
                    _in(states.KEYED - states.HELD)
                    | Q(reserved_by__isnull=False)
                    | Q(parked_for__isnull=False),
                ),
            ),
            models.CheckConstraint(
                name="jobflow_job_failed_as",
                condition=Q(fingerprint__isnull=True) | Q(state=JobState.FAILED.value),
            ),
            models.CheckConstraint(
                name="jobflow_job_parked_waits",
                condition=Q(parked_for__isnull=True) | Q(state=JobState.WAITING.value),
            ),
        ]

    def start(self, now: datetime | None = None) -> None:
        """Move this RESERVED record to IN_PROGRESS and count the attempt.

        Raises:
            ReservationLost: It is not reserved any more, or the reservation has lapsed.

        Database:
            One SELECT that locks the row and one UPDATE, on PostgreSQL and SQLite one UPDATE;
            and one SELECT by key.
        """
        self._engine.start_record(self, now)

    def succeed(self, result: Any = None, now: datetime | None = None) -> None:
        """End the attempt: the row moves to ``SucceededJob`` with its *result*, plain JSON.

        Raises:
            ReservationLost: Another has the record, or it has ended; nothing was written.

        Database:
            Three statements in one transaction; one on PostgreSQL.
        """
        self._engine.succeed_record(self, result, now)

    def fail(self, exception: BaseException, now: datetime | None = None) -> None:
        """End the attempt as failed: RETRY while attempts remain, else FAILED.

        Raises:
            ReservationLost: Another has the record, or it has ended; nothing was written.
        """
        self._engine.fail_record(self, exception, now)

    def release(self, now: datetime | None = None) -> None:
        """Give the record back unharmed: AVAILABLE, a started attempt is not counted.

        Raises:
            ReservationLost: Another has the record, or it has ended; nothing was written.
        """
        self._engine.release_record(self, now)

    @sensitive_variables()
    def retry(self, now: datetime | None = None, **changes: Any) -> None:
        """Let a FAILED or CANCELLED record run again, from attempt 0; its errors are kept.

        Args:
            changes: What it is to run with, as ``update`` takes it.

        Raises:
            NotRetryable: It is in another state, or its queue key is held by another.
        """
        self._engine.retry_record(self, now, changes)

    def cancel(self, now: datetime | None = None) -> bool:
        """Cancel a waiting record at once, or ask a running one to stop.

        Returns:
            Whether it is CANCELLED now; False means that it was running and was asked.

        Raises:
            NotCancellable: It has ended already.
        """
        return self._engine.cancel_record(self, now)

    def run_now(self, now: datetime | None = None) -> bool:
        """Make a SCHEDULED or RETRY record due at once; say whether it was one."""
        return self._engine.run_now(self._same(), now) == 1

    def reschedule(
        self,
        *,
        run_at: datetime | None = None,
        delay: float | timedelta | None = None,
        now: datetime | None = None,
    ) -> None:
        """Make a waiting record due at another time; it is SCHEDULED afterwards.

        Args:
            run_at: The moment before which it must not run, or
            delay: for how long from now it must not: seconds or a timedelta.

        Raises:
            NotEditable: It does not wait; nothing was written.
            InvalidJob: Not just one of them is given, or it is no such value.

        Database:
            One SELECT that locks the row, one UPDATE and one SELECT by key. An execution key
            that becomes free costs up to three more.
        """
        self._engine.reschedule_record(self, run_at, delay, now)

    @sensitive_variables()
    def update(self, *, now: datetime | None = None, **changes: Any) -> None:
        """Change what a waiting record is to run, or how; what is not named stays.

        New arguments are bound and stored as by ``enqueue``. They are the whole call: of
        ``args`` and ``kwargs``, what is left out is empty. The job's own ``queue_key`` and
        ``execution_key`` methods are asked anew; a key from ``using`` stays where the job has
        no such method.

        Args:
            changes: ``args``, ``kwargs``, ``queue``, ``priority``, ``max_attempts``,
                ``timeout``, ``tags``, ``meta``, ``expires_at``, ``queue_key``,
                ``execution_key``. None means none for the keys, ``timeout`` and
                ``expires_at``.

        Raises:
            NotEditable: It does not wait, or another record holds its new queue key; nothing
                was written.
            InvalidJob: A change is unknown or has a wrong value.
            UnknownJob: Arguments are given, and nothing is registered under the job's name.
            TypeError: ``perform`` does not take these arguments.
            ArgumentError: An argument cannot be stored.

        Database:
            One UPDATE and one SELECT by key. With a key, one SELECT more that locks the row;
            an execution key that is another than before costs up to six.
        """
        self._engine.update_record(self, changes, now)

    def result(self, timeout: float | timedelta | None = None) -> Any:
        """Wait until the job has ended, and return what it returned.

        Args:
            timeout: Seconds or timedelta. None waits for as long as it takes.

        Raises:
            JobFailed: It is FAILED.
            JobCancelled: It is CANCELLED.
            NoResult: It was deleted, keeps no result, or cannot be waited for here: inside a
                transaction.
            TimeoutError: The time is up.

        Database:
            One SELECT by key for each look: some in the first moments, then one a second. On
            PostgreSQL the worker wakes who has waited for longer than that, through one
            connection for all who wait in a process. And two SELECTs for the end.
        """
        return self._engine.result_of(self, timeout)

    async def aresult(self, timeout: float | timedelta | None = None) -> Any:
        """Do what ``result`` does, from async code."""
        return await self._engine.aresult_of(self, timeout)

    def why(self, now: datetime | None = None) -> Reason:
        """Say why this record does not run, or that it does: a sentence, and a cause in a word.

        The database is asked; what this object holds may be old.

        Database:
            Two statements, for one that is due up to eight.
        """
        from django_jobflow.observe import why

        return why(self, now)

    def delete(
        self, using: str | None = None, keep_parents: bool = False
    ) -> tuple[int, dict[str, int]]:
        """Delete the record as Django does, and count it if it was a member of a batch."""
        from django_jobflow.engines import engine_for

        pk: int | None = self.pk
        if pk is None:
            return super().delete(using, keep_parents)  # it says what is wrong
        using = using or router.db_for_write(type(self), instance=self)
        engine = engine_for(using)
        with engine.transaction():
            members = engine.locked_members(engine.records.filter(pk=pk))
            deleted = super().delete(using, keep_parents)
            engine.note_deleted([*members.values()])
        return deleted

    delete.alters_data = True  # type: ignore[attr-defined]

    def _same(self) -> JobQuerySet:
        return type(self)._base_manager.using(self._state.db).filter(pk=self.pk)  # type: ignore[return-value]


class FailedJobManager(models.Manager.from_queryset(JobQuerySet)):  # type: ignore[misc]
    def get_queryset(self) -> JobQuerySet:
        return super().get_queryset().filter(state=JobState.FAILED)  # type: ignore[no-any-return]


class FailedJob(JobRecord):
    """The FAILED records, for the admin."""

    objects: ClassVar[Any] = FailedJobManager()

    class Meta:
        proxy = True
        verbose_name = _("failed job")
        verbose_name_plural = _("failed jobs")
        default_permissions = ("view", "delete")


class SucceededJob(JobFacts):
    """A job that succeeded: the facts of its record, and its result."""

    id = models.BigIntegerField(primary_key=True)
    result = models.JSONField(_("result"), null=True, blank=True)
    succeeded_at = models.DateTimeField(_("succeeded at"))

    class Meta:
        db_table = "jobflow_succeeded"
        verbose_name = _("succeeded job")
        verbose_name_plural = _("succeeded jobs")
        default_permissions = ("view", "delete")
        indexes = [models.Index(name="jobflow_succeeded_at", fields=["succeeded_at"])]


class StopKind(models.TextChoices):
    """What of a worker an operator has asked to end."""

    PROCESS = "process", _("this process")
    COMMAND = "command", _("the whole command")


class Worker(models.Model):
    """A worker process; its row is there while it lives.

    ``supervisor`` is the same for all processes of one ``runjobs``, and empty where there is
    none.
    """

    name = ExactCharField(_("worker"), max_length=200, primary_key=True)
    host = models.CharField(_("host"), max_length=200)
    pid = models.PositiveIntegerField(_("process"))
    queues = models.JSONField(_("queues"), default=list, help_text=_("Empty means all."))
    excluded = models.JSONField(_("queues not served"), blank=True, default=list)
    partitions = models.JSONField(
        _("partitions"), blank=True, default=list, help_text=_("Empty means all.")
    )
    threads = models.PositiveIntegerField(_("slots"))
    release = models.CharField(_("release"), max_length=100, blank=True, default="")
    names = models.JSONField(
        _("jobs"), null=True, blank=True, help_text=_("That it knows. Empty means not said.")
    )
    supervisor = ExactCharField(_("supervisor"), max_length=200, blank=True, default="")
    version = models.CharField(_("version"), max_length=50, blank=True, default="")
    memory = models.BigIntegerField(
        _("memory"), null=True, blank=True, help_text=_("Bytes, at the last heartbeat.")
    )
    started_at = models.DateTimeField(_("started at"))
    heartbeat_at = models.DateTimeField(_("last heartbeat at"))
    stop_requested_at = models.DateTimeField(_("stop requested at"), null=True, blank=True)
    stop_requested_by = models.CharField(
        _("stop requested by"), max_length=200, blank=True, default=""
    )
    stops = ExactCharField(
        _("what stops"), max_length=7, choices=StopKind.choices, blank=True, default=""
    )
    # What its host took for the time of that heartbeat.
    clock_at = models.DateTimeField(_("clock of the host"), null=True, blank=True)
    wake_up = models.CharField(
        _("wake-ups"), max_length=10, blank=True, default="", help_text=_("Empty means not yet.")
    )

    class Meta:
        db_table = "jobflow_worker"
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        default_permissions = ("view", "delete")
        permissions = [
            ("stop_worker", _("Can stop workers")),
            ("examine_database", _("Can see the database's health")),
        ]
        indexes = [models.Index(name="jobflow_worker_stop", fields=["stop_requested_at"])]

    def __str__(self) -> str:
        return str(self.name)

    @property
    def service(self) -> Service:
        """What it takes work from."""
        return Service(
            queues=tuple(self.queues),
            excluded=tuple(self.excluded),
            partitions=tuple(self.partitions),
        )
