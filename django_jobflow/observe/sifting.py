"""What no index answers: the conditions that are looked for row by row, among few."""

from __future__ import annotations

from collections import defaultdict
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import CharField, F, Func, Q

from django_jobflow.arguments.binding import POSITIONAL
from django_jobflow.declare import registry
from django_jobflow.declare.secrecy import secrecy_of
from django_jobflow.engines import Engine
from django_jobflow.observe.lists import Rows, named_like
from django_jobflow.search import WORD, Scalar, Term, Text

COLUMNS = {
    "queue": "queue",
    "name": "name",
    "partition": "partition",
    "worker": "reserved_by",
    "priority": "priority",
    "attempt": "attempt",
}
OPERATORS = {":": "exact", ">": "gt", "<": "lt", ">=": "gte", "<=": "lte"}


class LastError(Func):
    """The dotted name of the class of the last error; NULL without one."""

    output_field = CharField()

    def as_postgresql(self, compiler: Any, connection: Any, **more: Any) -> Any:
        template = "(%(expressions)s -> -1 ->> 'exception')"
        return self.as_sql(compiler, connection, template=template, **more)

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        template = "JSON_EXTRACT(%(expressions)s, '$[#-1].exception')"
        return self.as_sql(compiler, connection, template=template, **more)

    def as_mysql(self, compiler: Any, connection: Any, **more: Any) -> Any:
        # The path '$[last]' is one of MySQL's, and of MariaDB's from 10.9 only.
        template = (
            "JSON_UNQUOTE(JSON_EXTRACT(%(expressions)s, "
            "CONCAT('$[', JSON_LENGTH(%(expressions)s) - 1, '].exception')))"
        )
        return self.as_sql(compiler, connection, template=template, **more)


def sifted(rows: Rows, term: Term, engine: Engine) -> Rows:
    """Return those of *rows* that *term* holds for."""
    match term.key:
        case "" if term.key == WORD:
            return named_like(rows, term.values[0].value)
        case "tag":
            return engine.tagged(rows, term.values[0].value)
        case "key":
            key = term.values[0].value
            return rows.filter(Q(queue_key=key) | Q(execution_key=key))
        case "batch":
            return rows.filter(batch_id__in=term.values)
        case "arg":
            return rows.filter(_argument(term))
        case "error":
            rows = rows.annotate(last_error_class=LastError(F("errors")))
            wanted = _any(map(_of_class, term.values))
        case key if key in {"priority", "attempt"}:
            wanted = _any(
                Q(**{f"{COLUMNS[key]}__{OPERATORS[term.sign]}": value}) for value in term.values
            )
        case key:
            wanted = _any(_text(COLUMNS[key], value) for value in term.values)
    if not term.is_negated:
        return rows.filter(wanted)
    if term.key == "error":  # what has had no error has not had this one
        return rows.filter(~wanted | Q(last_error_class__isnull=True))
    return rows.filter(~wanted)


def _any(conditions: Any) -> Q:
    found: Q = reduce(or_, conditions)
    return found


def _text(column: str, text: Text) -> Q:
    return Q(**{f"{column}__startswith" if text.is_prefix else column: text.value})


def _of_class(text: Text) -> Q:
    """Return the condition that the last error is of a class, named with its module or without."""
    column = "last_error_class"
    if text.is_prefix:
        short = Q(**{f"{column}__contains": f".{text.value}"})
        return Q(**{f"{column}__startswith": text.value}) | short
    return Q(**{column: text.value}) | Q(**{f"{column}__endswith": f".{text.value}"})


def _argument(term: Term) -> Q:
    """Return the condition that an argument has a value, by name or by position.

    Only where the job's code says that the argument may be seen: a search must not be a way to
    guess it.
    """
    by_name: list[str] = []
    by_place: dict[int, list[str]] = defaultdict(list)
    for job in registry.all_jobs():
        definition = job.definition()
        names = [definition.name, *definition.aliases]
        if secrecy_of(definition.name).hides(term.member):
            continue
        by_name += names
        positional = [
            parameter.name
            for parameter in job._signature.parameters.values()
            if parameter.kind in POSITIONAL
        ]
        if term.member in positional:
            by_place[positional.index(term.member)] += names
    found = Q(name__in=by_name) & _any(_has(f"kwargs__{term.member}", v) for v in term.values)
    for place, names in by_place.items():
        found |= Q(name__in=names) & _any(_has(f"args__{place}", v) for v in term.values)
    return found


def _has(path: str, scalar: Scalar) -> Q:
    """Return the condition that what stands at *path* is *scalar*, or a tagged text of it."""
    if scalar.value is None and not scalar.is_quoted:
        return Q(**{path: None}) | Q(**{path: scalar.text})
    found = Q(**{path: scalar.text}) | Q(**{f"{path}__value": scalar.text})
    if not isinstance(scalar.value, str):
        found |= Q(**{path: scalar.value}) | Q(**{f"{path}__value__1": scalar.value})
    return found
