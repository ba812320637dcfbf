"""Model instances, stored by label, key and database, and read again when needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django_jobflow.arguments.form import Json, tagged
from django_jobflow.arguments.refusal import Refusal, shown
from django_jobflow.sentences import Sentence
from django_jobflow.sentences import noop as _

if TYPE_CHECKING:
    from django.db.models import Model


def write_instance(value: Model, write: Callable[[Any], Json]) -> Json:
    """Return label, key and alias of a saved instance; *write* encodes the key.

    A proxy stays one. Deferred fields and unsaved changes are not kept.
    """
    from django.db import DEFAULT_DB_ALIAS

    label = value._meta.label_lower
    refuse_unregistered(value, label)
    key = value.pk
    if value._state.adding or key is None or (isinstance(key, tuple) and None in key):
        raise Refusal(f"an unsaved {label}", advice="Save it first, or pass its values.")
    try:
        return tagged("model", [label, write(key), value._state.db or DEFAULT_DB_ALIAS])
    except Refusal as refusal:
        refusal.passed(value, ".pk")
        raise


def refuse_unregistered(value: Model, label: str) -> None:
    """Raise Refusal for a model that is not the one of its label, as in migrations."""
    from django.apps import apps

    try:
        known = apps.get_model(label)
    except LookupError:
        known = None
    if known is not type(value):
        raise Refusal(
            f"an instance of {label}",
            why="is not the model that is installed under this label",
            advice="Pass its key.",
        )


def read_instance(stored: Any, read: Callable[[Any], Any]) -> Model:
    """Return the row of today; *read* decodes the key.

    Raises:
        Refusal: The model or the row is gone; from the error that says so.

    Database:
        One statement, by primary key, in the database that the instance came from.
    """
    from django.apps import apps
    from django.core.exceptions import ObjectDoesNotExist, ValidationError
    from django.db import connections

    label, key, alias = stored
    try:
        model = apps.get_model(label)
    except LookupError as error:
        raise Refusal(
            shown(label), why=Sentence(_("is not an installed model any more"))
        ) from error
    if alias not in connections:
        got = Sentence(_("the database %(alias)s of %(label)s"), alias=shown(alias), label=label)
        raise Refusal(got, why=Sentence(_("is not configured any more")))
    try:
        row: Model = model._base_manager.using(alias).get(pk=read(key))
        return row
    except ObjectDoesNotExist as error:
        why = Sentence(_("is not in database %(alias)s any more"), alias=repr(alias))
        raise Refusal(f"{label} {shown(read(key))}", why=why) from error
    except ValidationError as error:
        raise ValueError("not a key of this model") from error
