"""The options that say which jobs are meant."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from django_jobflow.audit import subject_of_jobs
from django_jobflow.management.arguments import (
    WRONG_USAGE,
    batch_id,
    job_id,
    span,
    state_word,
    text,
)
from django_jobflow.management.output import printable
from django_jobflow.observe import Selection
from django_jobflow.search import Search, SearchError, parse

FILTERS = ("state", "queue", "name", "partition", "key", "tag", "batch", "worker")
AGES = ("older_than", "newer_than")


def add_filters(parser: CommandParser) -> None:
    """Add an option for each thing that jobs may have in common."""
    add = parser.add_argument
    add("--state", type=state_word, metavar="STATE", help="In this state, or succeeded.")
    add("--queue", type=text, metavar="QUEUE", help="On this queue.")
    add("--name", type=text, metavar="NAME", help="Of the job of this name.")
    add("--partition", type=text, metavar="P", help="Of this partition; '' is the common one.")
    add(
        "--key",
        type=text,
        metavar="KEY",
        help="With this queue key or execution key. Without --state: what holds it or waits for "
        "it, of the common partition if --partition names no other.",
    )
    add("--tag", type=text, metavar="TAG", help="With this tag.")
    add("--batch", type=batch_id, metavar="ID", help="Members of the batch of this number.")
    add(
        "--worker",
        type=text,
        metavar="WORKER",
        help="Held by this worker; with --state succeeded, executed by it.",
    )
    add(
        "--older-than",
        type=span,
        metavar="AGE",
        help="Enqueued at least so long ago; of what has ended, ended. In seconds, or as 90s, "
        "15m, 6h, 7d.",
    )
    add("--newer-than", type=span, metavar="AGE", help="Enqueued, or ended, at most so long ago.")


def add_ids(parser: CommandParser) -> None:
    """Add the numbers of jobs."""
    parser.add_argument("ids", nargs="*", type=job_id, metavar="ID", help="The jobs' numbers.")


def add_search(parser: CommandParser) -> None:
    """Add the search, which is used in place of the filters."""
    parser.add_argument(
        "--search",
        metavar="SEARCH",
        help="What they are, in the language of the admin's search: "
        "'queue:email state:failed age>1h'. In place of the other filters.",
    )


def searched(options: dict[str, Any]) -> Search:
    """Return the search of *options*, which has no other filter beside it."""
    text = options["search"]
    used = [f"--{name.replace('_', '-')}" for name in (*FILTERS, *AGES) if _is_used(options, name)]
    if used or options.get("ids"):
        raise CommandError(
            f"Expected --search or {', '.join(used) or 'numbers of jobs'}, got both.",
            returncode=WRONG_USAGE,
        )
    try:
        return parse(text)
    except SearchError as error:
        raise CommandError(f"{error}\n{picture_of(error)}", returncode=WRONG_USAGE) from error


def picture_of(error: SearchError) -> str:
    """Return the search with a mark below the mistake, each on a line."""
    return "\n".join(map(printable, error.picture.split("\n")))


def _is_used(options: dict[str, Any], name: str) -> bool:
    return options.get(name) is not None


def subject_of(selection: Selection) -> str:
    """Return *selection* as the audit has it: a search for it."""
    said = [subject_of_jobs(selection.ids)] if selection.ids else []
    for name in FILTERS:
        value = getattr(selection, name)
        if value is not None:
            said.append(f"{name}:{value.lower() if name == 'state' else value}")
    for name, sign in (("older_than", ">"), ("newer_than", "<")):
        if (age := getattr(selection, name)) is not None:
            said.append(f"age{sign}{age.total_seconds():g}s")
    return " ".join(said)


def selection_of(options: dict[str, Any]) -> Selection:
    """Return what the options mean."""
    return Selection(
        ids=tuple(options.get("ids", ())),
        **{name: options[name] for name in (*FILTERS, *AGES)},
    )
