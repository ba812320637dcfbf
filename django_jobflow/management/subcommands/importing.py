"""``manage.py jobflow import``: moving in from another queue."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from django_jobflow import moving
from django_jobflow.management.output import Output
from django_jobflow.management.subcommands.acting import NOT_ALL, add_safety, jobs
from django_jobflow.management.subcommands.base import Asking

SHOWN = 20  # rows that are left alone, in words
SOURCES: tuple[type[moving.Source], ...] = (
    moving.DjangoTasksDB,
    moving.DjangoQ,
    moving.Procrastinate,
)


def lines_of(path: str) -> list[str]:
    """Read a file of names."""
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"expected a file of names, got {path!r}") from error


class Importing(Asking):
    """Moves what waits in another queue of the same database into this one."""

    name = "import"
    help = (
        "Import what waits in another queue of the same database: each row becomes a job here and "
        "is gone there, in one transaction. Ends with 1 if some rows were left alone."
    )

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        parser.add_argument(
            "source",
            choices=[source.name for source in SOURCES],
            metavar="QUEUE",
            help=f"One of {', '.join(source.name for source in SOURCES)}.",
        )
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="OLD=NEW",
            help="Rows that call OLD become jobs of the name NEW; may be given several times. "
            "Default: the job whose name or alias is the same.",
        )
        parser.add_argument(
            "--map-file",
            type=lines_of,
            default=[],
            metavar="FILE",
            help="The same from a file, a line each.",
        )
        parser.add_argument(
            "--taken",
            action="store_true",
            help="django-q2: also rows that a cluster has taken before and not acknowledged. Only "
            "while no cluster runs, or they are executed twice.",
        )
        add_safety(parser)
        super().add_arguments(parser)

    def answer(self, alias: str, output: Output, options: dict[str, Any]) -> int:
        names = moving.read_names([*options["map_file"], *options["map"]])
        move = moving.Move(_source(options), alias, names)
        is_real = options["yes"] and not options["dry_run"]
        report = move.run() if is_real else move.plan()
        if not is_real and not options["dry_run"]:
            raise CommandError(
                f"This would import {jobs(report.moved_count)}. Add --yes to do it."
            )
        if options["json"]:
            output.json({"dry_run": not is_real} | _as_json(report))
        else:
            _print(report, output, is_real=is_real)
        return NOT_ALL if report.left_count else 0


def _source(options: dict[str, Any]) -> moving.Source:
    if options["source"] == moving.DjangoQ.name:
        return moving.DjangoQ(taken=options["taken"])
    [source] = [each for each in SOURCES if each.name == options["source"]]
    return source()


def _as_json(report: moving.Report) -> dict[str, Any]:
    return {
        "imported": [
            {"calls": path, "job": job, "count": count}
            for (path, job), count in sorted(report.moved.items())
        ],
        "left": [asdict(left) for left in report.left],
        "left_count": report.left_count,
        "taken_meanwhile": report.gone,
    }


def _print(report: moving.Report, output: Output, *, is_real: bool) -> None:
    moved = report.moved_count
    output.line(f"{jobs(moved)} imported." if is_real else f"This would import {jobs(moved)}.")
    if report.moved:
        rows = [[path, job, f"{count:,}"] for (path, job), count in sorted(report.moved.items())]
        output.table(["calls", "job", "rows"], rows, numbers=["rows"])
    if report.gone:
        output.line(f"{_rows(report.gone)} taken by its own workers meanwhile.")
    if report.left_count:
        output.line(f"{_rows(report.left_count)} left alone:")
        output.table(["row", "calls", "why"], _left(report))


def _left(report: moving.Report) -> Iterator[list[str]]:
    for left in report.left[:SHOWN]:
        yield [left.id, left.path, left.why]
    if report.left_count > SHOWN:
        yield [f"and {report.left_count - SHOWN:,} more", "", ""]


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number:,} rows"
