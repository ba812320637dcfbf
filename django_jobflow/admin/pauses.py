"""The pauses."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobflow import conf, control
from django_jobflow.admin import cells
from django_jobflow.admin.controlling import ControlAdmin, ControlForm, resume
from django_jobflow.audit import Actor
from django_jobflow.models import Pause


class PauseForm(ControlForm):
    """What is paused, until when and why."""

    class Meta:
        model = Pause
        fields = ("kind", "value", "until", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "until" in self.fields:
            _label_parts(self.fields["until"])

    def clean_until(self) -> datetime | None:
        until: datetime | None = self.cleaned_data["until"]
        if until is not None and until <= timezone.now():
            raise forms.ValidationError(_("This moment has passed: nothing would be paused."))
        return until


def _label_parts(field: Any) -> None:
    """Tell screen readers what the two inputs are for: Django 5.2 writes it beside them only."""
    said = field.widget.get_context("", None, {})
    for part, name in zip(field.widget.widgets, ("date_label", "time_label"), strict=True):
        part.attrs["aria-label"] = f"{capfirst(field.label)}, {said[name]}"


class PauseAdmin(ControlAdmin):
    """Pauses, those that are over too, as long as nobody has resumed or paused it anew."""

    form = PauseForm
    fields = ("kind", "value", "until", "reason")
    told = ("by", "created_at")
    has_one = gettext_lazy("This is paused already.")
    list_display = ("what", "kind", "signs", "ends", "reason", "by", "since")
    actions = (resume,)

    def in_force(self, kind: str, value: str) -> Pause | None:
        return pause_of(kind, value)

    def save(self, row: Pause, by: Actor, alias: str) -> None:
        said: dict[str, Any] = {row.kind: row.value}
        control.pause(**said, until=row.until, reason=row.reason, by=by, database=alias)

    def end(self, row: Pause, by: Actor, alias: str) -> bool:
        said: dict[str, Any] = {row.kind: row.value}
        return control.resume(**said, by=by, database=alias)

    @admin.display(description=gettext_lazy("state"))
    def signs(self, pause: Pause) -> SafeString:
        """Say in a word whether it is in force."""
        if pause.until is not None and pause.until <= timezone.now():
            return cells.badge_of("", _("Over"))
        return cells.badge_of("waiting", _("Paused"))

    @admin.display(description=gettext_lazy("until"))
    def ends(self, pause: Pause) -> SafeString | str | None:
        return cells.moment(pause.until) or _("it is resumed")

    @admin.display(description=gettext_lazy("since"))
    def since(self, pause: Pause) -> SafeString | None:
        return cells.moment(pause.created_at)


def pause_of(kind: str, value: str) -> Pause | None:
    """Return the pause of it that lasts."""
    lasting = control.paused(database=conf.current().DATABASE)
    return next((row for row in lasting if (row.kind, row.value) == (kind, value)), None)
