"""An examination: each question asked alone, so that one that fails keeps no other from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.db import Error
from django.utils.translation import gettext as _

from django_jobflow.doctor import clocks, mysql, postgresql, schema, sqlite
from django_jobflow.doctor.asking import Check, Patient
from django_jobflow.doctor.values import Diagnosis, Finding, Severity, Size
from django_jobflow.engines import engine_for

OF_ALL: tuple[Check, ...] = (schema.migrations, schema.drift)
OF_WORKERS: tuple[Check, ...] = (clocks.clocks, clocks.wake_ups)
OF_VENDOR: dict[str, tuple[Check, ...]] = {
    "postgresql": (schema.storage, *postgresql.CHECKS),
    "mysql": mysql.CHECKS,
    "sqlite": sqlite.CHECKS,
}
SIZES: dict[str, Callable[[Patient], list[Size]]] = {
    "postgresql": postgresql.sizes,
    "mysql": mysql.sizes,
    "sqlite": sqlite.sizes,
}
SCHEMA_CODES = {"migrations_missing", "table_missing", "column_missing"}
"""After these the tables cannot be asked."""


def examine(alias: str | None = None) -> Diagnosis:
    """Return what is to be said of the database behind *alias*, or behind JOBFLOW["DATABASE"].

    Database:
        Some tens of small statements, on SQLite some hundred: on the catalogs, on the
        statistics of the server, and on the rows of the workers. None reads a table of jobs.
    """
    patient = Patient(engine_for(alias))
    try:
        patient.connection.ensure_connection()
    except Error as error:
        return Diagnosis(
            database=patient.alias,
            server=patient.connection.vendor,
            findings=(_unreachable(error),),
        )
    findings = list(_findings(patient))
    findings.sort(key=lambda finding: -finding.severity)
    return Diagnosis(
        database=patient.alias,
        server=_server(patient),
        findings=tuple(findings),
        sizes=tuple(_sizes(patient)),
    )


def _findings(patient: Patient) -> Iterator[Finding]:
    codes: set[str] = set()
    for check in (*OF_ALL, *OF_VENDOR.get(patient.connection.vendor, ())):
        for finding in _asked(check, patient):
            codes.add(finding.code)
            yield finding
    if not codes & SCHEMA_CODES:
        for check in OF_WORKERS:
            yield from _asked(check, patient)


def _asked(check: Check, patient: Patient) -> list[Finding]:
    try:
        with patient.aside():
            return list(check(patient))
    except Error as error:
        return [
            Finding(
                "not_answered",
                Severity.NOTICE,
                _("The question for %(check)s was not answered: %(error)s")
                % {"check": check.__name__, "error": " ".join(str(error).split())},
                _("The user of the database may lack a right, or the server is another one."),
                {"check": check.__name__},
            )
        ]


def _sizes(patient: Patient) -> list[Size]:
    measure = SIZES.get(patient.connection.vendor)
    try:
        return measure(patient) if measure else []
    except Error:
        return []


def _server(patient: Patient) -> str:
    connection = patient.connection
    number = ".".join(map(str, connection.get_database_version()))
    return f"{connection.display_name} {number}"


def _unreachable(error: Exception) -> Finding:
    return Finding(
        "database_unreachable",
        Severity.ERROR,
        _("The database cannot be reached: %(error)s") % {"error": " ".join(str(error).split())},
        _("Look whether the server runs, and whether HOST, PORT and the password are right."),
    )
