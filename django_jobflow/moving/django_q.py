"""The rows of django-q2's ORM broker."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, cast

from django.core import signing
from django.db import models
from django.utils import timezone

from django_jobflow.moving.pickled import Name, read
from django_jobflow.moving.rebuilding import NotPlain
from django_jobflow.moving.sources import Source
from django_jobflow.moving.values import Waiting

UNKEPT = ("hook", "chain", "iter_count", "iter_cached", "sync")
"""Options of a task after which something is to follow that would be lost."""

UNREAD = "?"  # what a row calls that cannot be read


class PlainPickle:
    """Reads what ``django_q.signing`` has written, once its signature is known to be right."""

    def loads(self, data: bytes) -> Any:
        return read(data)


class DjangoQ(Source):
    """``OrmQ``: a row is a signed package, and the moment until which it is locked.

    Args:
        taken: Also rows that a cluster has taken before and not acknowledged. Whether it still
            executes them cannot be seen: no cluster may run.
    """

    name = "django-q2"
    app = "django_q"
    label = "django_q"
    model_name = "OrmQ"

    def __init__(self, *, taken: bool = False) -> None:
        self.taken = taken
        super().__init__()

    @cached_property
    def conf(self) -> Any:
        """Its settings, as it has read them."""
        from django_q.conf import Conf

        return Conf

    def database(self) -> str:
        return str(self.conf.ORM) if self.conf.ORM else super().database()

    def waiting(self) -> models.QuerySet[Any]:
        # A cluster that takes a row locks it for "retry" seconds, and so do we not see it.
        return self.rows.filter(lock__lte=timezone.now()).order_by("pk")

    def read(self, row: Any) -> Waiting:
        try:
            package = self._package(row.payload)
        except signing.BadSignature:
            return _refused(row, "it is not signed with the key and the name of this project")
        except NotPlain as error:
            return _refused(row, f"its pickle is not plain data: {error}")
        path = _path(package["func"])
        if path is None:
            return _refused(row, "it calls something that is no function of a module")
        refusal = self._refusal(row, package)
        return Waiting(
            id=row.pk,
            path=path,
            args=package["args"],
            kwargs=package["kwargs"],
            options=self._options(row, package),
            origin={"task": package["id"], "name": package["name"]},
            refusal=refusal,
        )

    def _package(self, payload: str) -> dict[str, Any]:
        package = signing.loads(
            payload,
            key=self.conf.SECRET_KEY,
            salt=self.conf.PREFIX,
            serializer=cast(Any, PlainPickle),
        )
        if type(package) is not dict or not {"id", "name", "func", "args", "kwargs"} <= {*package}:
            raise NotPlain("it is no package of django-q2")
        if type(package["args"]) not in (list, tuple) or type(package["kwargs"]) is not dict:
            raise NotPlain("it is no package of django-q2")
        return package

    def _refusal(self, row: Any, package: dict[str, Any]) -> str:
        for option in UNKEPT:
            if package.get(option):
                return f"it has the option {option}, which would be lost"
        if self._was_taken(row, package) and not self.taken:
            return "a cluster has taken it before, and may still execute it"
        return ""

    def _was_taken(self, row: Any, package: dict[str, Any]) -> bool:
        """Say whether the lock is later than that of a row that was just enqueued."""
        started = package.get("started")
        if not isinstance(started, datetime) or timezone.is_aware(started) != timezone.is_aware(
            row.lock
        ):
            return True
        return bool(row.lock >= started + timedelta(seconds=self.conf.RETRY))

    def _options(self, row: Any, package: dict[str, Any]) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if row.key != self.conf.PREFIX:  # of the cluster that all tasks go to by default
            options["queue"] = row.key
        if package.get("timeout"):
            options["timeout"] = package["timeout"]
        if package.get("group"):
            options["tags"] = [package["group"]]
        return options

    def take(self, row: Any) -> bool:
        # A cluster guards its own taking by the lock as well, so that one of the two misses.
        return self.rows.filter(pk=row.pk, lock=row.lock)._raw_delete(self.alias) == 1


def _path(function: Any) -> str | None:
    if isinstance(function, Name):
        return function.path
    return function if isinstance(function, str) else None


def _refused(row: Any, why: str) -> Waiting:
    return Waiting(id=row.pk, path=UNREAD, refusal=why)
