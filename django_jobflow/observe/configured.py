"""What is in force here: the settings, and the jobs that are declared. Asks no table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from datetime import timedelta
from typing import Any

from django.utils import formats
from django.utils.translation import gettext as _

from django_jobflow import conf
from django_jobflow.declare import Definition, registry
from django_jobflow.observe import spans

NOTHING = "-"  # in place of a value that there is not
DERIVED = {"HEARTBEAT": "heartbeat", "RELEASE": "release"}
"""Settings that may be left to others or to the environment, with what is in force then."""


@dataclass(frozen=True, slots=True)
class SettingFacts:
    """A setting that is in force.

    Attributes:
        name: Its key in ``JOBFLOW``.
        value: What is in force, as text.
        default: What it is where ``JOBFLOW`` says nothing, as text.
        is_given: Whether ``JOBFLOW`` says it.
    """

    name: str
    value: str
    default: str
    is_given: bool

    @property
    def is_default(self) -> bool:
        """Whether the value is the one that it would be anyway."""
        return self.value == self.default


def settings_in_force() -> list[SettingFacts]:
    """Return all settings of ``JOBFLOW``, in the order of the reference."""
    # Of no use to a worker, which has this package, too.
    from django.views.debug import SafeExceptionReporterFilter

    current, raw = conf.current(), conf.raw_settings()
    hide = SafeExceptionReporterFilter().cleanse_setting
    return [
        SettingFacts(
            name=each.name,
            value=_said(each.name, hide(each.name, _in_force(current, each.name))),
            default=_said(each.name, _default_of(each, current)),
            is_given=each.name in raw,
        )
        for each in fields(conf.Settings)
    ]


def _in_force(current: conf.Settings, name: str) -> Any:
    """Return what workers use, also where the setting leaves it to something else."""
    return getattr(current, DERIVED.get(name, name))


def _default_of(field: Any, current: conf.Settings) -> Any:
    """Return the value without the setting, which may follow from others."""
    own = _default(field)
    if field.name in DERIVED:
        return getattr(replace(current, **{field.name: own}), DERIVED[field.name])
    return own


def _said(name: str, value: Any) -> str:
    if name.startswith("RETAIN_") and value is None:
        return _("for ever")
    return _size(value) if name.endswith("_SIZE") and isinstance(value, int) else shown(value)


def _size(count: int) -> str:
    """Return a number of bytes in the largest unit that it is a whole number of."""
    for unit in ("bytes", "kB", "MB"):
        if count % 1024 or unit == "MB":
            break
        count //= 1024
    number = formats.number_format(count, force_grouping=True)
    return f"{number}{spans.NO_BREAK_SPACE}{unit}"


def definitions() -> list[Definition]:
    """Return what each declared job is, by name."""
    return [job.definition() for job in registry.all_jobs()]


def shown(value: Any) -> str:
    """Return a value of a setting or of an option as text, without what is as by default."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, timedelta):
        return spans.length(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {shown(each)}" for name, each in value.items())
    if is_dataclass(value) and not isinstance(value, type):
        own = {
            each.name: getattr(value, each.name)
            for each in fields(value)
            if getattr(value, each.name) != _default(each)
        }
        return f"({shown(own)})"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(shown, sorted(value) if isinstance(value, frozenset) else value))
    return str(value)


def _default(field: Any) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
