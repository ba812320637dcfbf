"""What a source of rows is: another queue's table in the same database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models, router
from django.utils import timezone

from django_jobflow.moving.values import Waiting


class Source:
    """The rows that wait in another queue.

    Its app has to be installed: its model says what the table is like. Nothing of its own code
    is asked to run, to lock or to delete anything.

    Attributes:
        name: The package, as people install it.
        app: What stands in INSTALLED_APPS for it.
        label: Its app label.
        model_name: The model of its rows.
    """

    name: ClassVar[str]
    app: ClassVar[str]
    label: ClassVar[str]
    model_name: ClassVar[str]

    def __init__(self) -> None:
        if not apps.is_installed(self.app):
            raise ImproperlyConfigured(
                f"{self.name}: expected {self.app!r} in INSTALLED_APPS. Keep it there until its "
                "rows are imported."
            )
        self.model: type[models.Model] = apps.get_model(self.label, self.model_name)
        self.alias = self.database()

    def database(self) -> str:
        """Return the alias of the database that holds the rows."""
        return router.db_for_write(self.model)

    @property
    def rows(self) -> models.QuerySet[Any]:
        """All rows, whatever its own managers leave out or forbid."""
        return self.model._base_manager.using(self.alias)

    def waiting(self) -> models.QuerySet[Any]:
        """Return the rows that no worker has, in the order in which they are to be imported."""
        raise NotImplementedError

    def read(self, row: Any) -> Waiting:
        """Return what *row* says."""
        raise NotImplementedError

    def take(self, row: Any) -> bool:
        """Keep the workers of the other queue from *row* for good; False if one has it already.

        Database:
            One statement, guarded by what makes the row a waiting one.
        """
        raise NotImplementedError

    def ids(self) -> list[Any]:
        """Return the keys of the rows that wait now."""
        return list(self.waiting().values_list("pk", flat=True))

    def some(self, ids: Sequence[Any], *, lock: bool) -> Iterator[Any]:
        """Return those of the rows *ids* that still wait, in order.

        Args:
            lock: Keep other transactions from them, and pass over those that another has.
        """
        rows = self.waiting().filter(pk__in=ids)
        features = connections[self.alias].features
        if lock and features.has_select_for_update:
            skips = features.has_select_for_update_skip_locked
            rows = rows.select_for_update(skip_locked=skips, of=())
        return iter(rows)


def later(moment: Any) -> Any:
    """Return *moment* if it is still to come; what is due already is due at once here."""
    return moment if moment is not None and moment > timezone.now() else None
