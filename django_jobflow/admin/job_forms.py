"""What an operator says of one job beside a verb: other arguments, another time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_variables

from django_jobflow.arguments import DOTS, decode
from django_jobflow.declare.secrecy import secrecy_of
from django_jobflow.exceptions import ArgumentError
from django_jobflow.models import JobRecord

MOMENT = "%Y-%m-%dT%H:%M:%S"  # as browsers write it


class RescheduleForm(forms.Form):
    """When a job is to run."""

    run_at = forms.DateTimeField(
        label=gettext_lazy("Run at"),
        input_formats=[MOMENT, "%Y-%m-%dT%H:%M"],
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": 1}, format=MOMENT),
        help_text=gettext_lazy("In the time zone of this page."),
    )


class Json(forms.CharField):
    """A text that holds JSON of one kind.

    Args:
        kind: The class of what it holds.
        expected: What that is called.
    """

    def __init__(self, kind: type, expected: Any, **kwargs: Any) -> None:
        super().__init__(widget=forms.Textarea(attrs={"rows": 8, "cols": 80}), **kwargs)
        self.kind, self.expected = kind, expected

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value) or "null"
        try:
            read = json.loads(text)
        except json.JSONDecodeError as error:
            said = _("This is no JSON: there is a mistake in line %(line)s, at character %(at)s.")
            told = {"line": error.lineno, "at": error.colno}
            raise ValidationError(said % told) from error
        except (ValueError, RecursionError) as error:
            said = _("This JSON is nested too deep, or has a number of too many digits.")
            raise ValidationError(said) from error
        if read is None:
            return self.kind()
        if not isinstance(read, self.kind):
            raise ValidationError(_("Expected %(what)s.") % {"what": self.expected})
        return read


class ArgumentsForm(forms.Form):
    """What a job is to run with, in the form in which arguments are stored.

    What is hidden is shown as dots; dots that are left say what the record has there.

    Args:
        record: The job.
    """

    args = Json(
        list,
        gettext_lazy("a list"),
        label=gettext_lazy("Positional arguments"),
        required=False,
    )
    kwargs = Json(
        dict,
        gettext_lazy("an object"),
        label=gettext_lazy("Arguments"),
        required=False,
        help_text=gettext_lazy("As JSON. Dots stand for what is hidden, and keep it."),
    )

    def __init__(self, record: JobRecord, data: Mapping[str, Any] | None = None) -> None:
        self.record = record
        self.hides = secrecy_of(record.name).hides
        shown = secrecy_of(record.name).masked(record.args, record.kwargs)
        initial = {
            name: json.dumps(stored, indent=2, ensure_ascii=False, default=str)
            for name, stored in zip(("args", "kwargs"), shown, strict=True)
        }
        super().__init__(data, initial=initial)

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        """Return the arguments as ``record.retry`` takes them."""
        said: dict[str, Any] = super().clean() or {}
        if not {"args", "kwargs"} <= said.keys():
            return said
        args = [self._whole(place, item) for place, item in enumerate(said["args"])]
        kwargs = {name: self._whole(name, item) for name, item in said["kwargs"].items()}
        try:
            read = decode(args, kwargs, name=self.record.name, hides=self.hides)
        except ArgumentError as error:
            raise ValidationError(error.translated()) from error
        return dict(zip(("args", "kwargs"), read, strict=True))

    def _whole(self, key: int | str, item: Any) -> Any:
        """Return *item*, or what the record has in the place of dots."""
        if item != DOTS or not self.hides(key):
            return item
        stored: Any = self.record.args if isinstance(key, int) else self.record.kwargs
        try:
            return stored[key]
        except (LookupError, TypeError):
            return item
