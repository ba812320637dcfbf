"""The parts of the pages that follow from the code.

A block ``{generated}`` of a page is replaced by what the function of its name returns: MyST
text, so that it reads like the page around it.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import diagram
from django.core.management.base import BaseCommand, CommandParser
from sphinx.application import Sphinx

from django_jobflow import Definition, InvalidJob, conf, states
from django_jobflow.declare import options
from django_jobflow.declare.call_options import READERS as CALL_OPTIONS
from django_jobflow.declare.call_options import read_call_options
from django_jobflow.management.commands.runjobs import Command
from django_jobflow.management.subcommands import SUBCOMMANDS, Subcommand
from django_jobflow.models import AuditEntry, Batch, JobLog, JobRecord, SucceededJob, Worker

BLOCK = re.compile(r"^```\{generated\} (\S+)\n```$", re.MULTILINE)
CHANGES = Path(__file__).parent.parent / "changes"
KINDS = ["breaking", "migration", "deprecated", "added", "changed", "fixed", "security"]


def table(heads: Iterable[str], rows: Iterable[Iterable[str]], name: str) -> str:
    """Return a table whose HTML has the id *name*."""
    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    lines += [" | ".join(cell.replace("|", r"\|") for cell in row) for row in rows]
    return f"{{#{name}}}\n" + "\n".join(f"| {line} |" for line in lines)


def code(word: Any) -> str:
    return f"`{word}`"


def codes(words: Iterable[Any], otherwise: str) -> str:
    return ", ".join(code(word) for word in words) or otherwise


def in_order(some: Iterable[states.JobState]) -> list[str]:
    """Return *some* states as words, in the order of their declaration."""
    return [state.value for state in states.JobState if state in some]


def transitions() -> str:
    rows = [
        (
            code(move.verb),
            codes(in_order(move.origins), "(no row)"),
            codes(in_order(move.targets), "(`SucceededJob`)"),
            move.by,
            move.changes,
        )
        for move in states.TRANSITIONS.values()
    ]
    return table(["verb", "from", "to", "by", "what else"], rows, "transitions")


SETS = {
    "UNFINISHED": "The record holds its queue key.",
    "PENDING": "Becomes AVAILABLE when `available_at` has come.",
    "REPLACEABLE": "An enqueue with the same queue key may replace the arguments.",
    "EDITABLE": "The record waits: its arguments, options and time may be changed.",
    "ATTEMPT_LEFT": "Another execution is promised: `attempt` is below `max_attempts`.",
    "DUE": "The record runs as soon as a worker is free, or its execution key.",
    "KEYED": "The record holds its execution key.",
    "HELD": "One worker holds the record: there is a holder and an expiry.",
    "ENDED": "The record is finished: it has `finished_at`, and holds no key.",
}


def state_sets() -> str:
    rows = [(code(name), codes(in_order(getattr(states, name)), ""), SETS[name]) for name in SETS]
    return table(["set", "states", "what they have in common"], rows, "state-sets")


def attributes(of: type) -> dict[str, str]:
    """Return what the docstring of *of* says about each attribute, on one line."""
    text = inspect.getdoc(of) or ""
    section = re.split(r"^Attributes:\n", text, flags=re.MULTILINE)[1]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", said).replace("``", "`") for name, said in entries}


def shown(value: Any) -> str:
    """Return *value* as one would type it into the settings."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        days = f"{value.days} days"
        return days if value.days else f"{seconds:g} second{'' if seconds == 1 else 's'}"
    if value == 1024 * 1024:
        return "`1024 * 1024`"
    return code(value) if not isinstance(value, str) else code(repr(value))


def expected(read: Callable[[object], Any]) -> str:
    """Return what *read* says that it takes, when it is given something absurd."""
    try:
        read(object())
    except InvalidJob as error:
        return str(re.search(r"to be (.*), got <object", str(error))[1])  # type: ignore[index]
    raise AssertionError("An object() should have been refused.")


def job_options() -> str:
    meanings = attributes(Definition) | {
        "abstract": "Whether this class is only a base: not registered, and without a body."
    }
    defaults = {option: shown(value) for option, value in options._BUILT_IN.items()} | {
        "step": "the queue",
        "backoff": "`Exponential(base_delay)`",
        "retain_succeeded": '`JOBFLOW["RETAIN_SUCCEEDED"]`',
        "sensitive": "none but those [whose name says it](#sensitive-arguments)",
        "name": "the dotted path of the class",
        "aliases": "none",
        "abstract": "`False`",
    }
    rows = [
        (
            code(option),
            meanings[option],
            expected(lambda value, option=option: options.read_option("", option, value)),
            defaults[option],
        )
        for option in options.NAMES
    ]
    return table(["option", "meaning", "takes", "default"], rows, "job-options")


CALL_MEANINGS = {
    "delay": "How long from now the job must not run. 0 is now. Excludes `run_at`.",
    "run_at": "The moment before which the job must not run. Excludes `delay`.",
    "queue": "In place of the job's `queue`.",
    "priority": "In place of the job's `priority`.",
    "max_attempts": "In place of the job's `max_attempts`.",
    "timeout": "In place of the job's `timeout`; here `None` means no limit.",
    "queue_key": "In place of what the job's `queue_key` method returns.",
    "execution_key": "In place of what the job's `execution_key` method returns.",
    "unique_for": "In place of the job's `unique_for`.",
    "debounce": "In place of the job's `debounce`. Excludes `delay` and `run_at`.",
    "debounce_max": "In place of the job's `debounce_max`.",
    "partition": "Name of a tenant, say: partitions take [fair turns](../how-to/partition.md), "
    "and keys of different ones do not meet.",
    "tags": "Short texts to find the record by.",
    "meta": "Plain JSON that goes with the record; the body sees it as `self.context.meta`.",
    "notify": "In place of the job's `notify`.",
    "keep_logs": "In place of the job's `keep_logs`.",
    "expires_at": "The moment after which the job is pointless: not started by then, it fails.",
    "expires_in": "The same as a span from when it is due. Excludes `expires_at`.",
    "batch": "The [batch](../how-to/batches.md) that it becomes a member of.",
    "database": "Alias of the database to store it in.",
}


def call_options() -> str:
    rows = [
        (
            code(option),
            CALL_MEANINGS[option],
            expected(
                lambda value, option=option: read_call_options("", {option: value})
            ).partition(" [")[0],
        )
        for option in CALL_OPTIONS
    ]
    return table(["option", "meaning", "takes"], rows, "call-options")


SETTINGS_ADVICE = {
    "DATABASE": "Change it to keep jobs in [another database](../how-to/several-databases.md).",
    "QUEUES": "Name all queues once there are several, so that a mistyped one is noticed. "
    "A queue's own settings are `concurrency`: jobs of it that one worker process executes at a "
    "time; `limit`: jobs of it that run at a time over all hosts; `rate`: jobs of it that start "
    "in a time over all hosts, as `'100/m'` (s, m, h or d) or `(100, timedelta(minutes=1))`; "
    "`burst`: starts at once after a time without any, as many as the rate unless it is set. "
    "Each is None by default, which means no limit. See [how to limit](../how-to/limit.md).",
    "DEFAULTS": "Set what most of your jobs have in common. Its keys are the "
    "[options of a job](declaring.md#options) but for `name`, `aliases`, `step` and `abstract`.",
    "MIDDLEWARE": "[Hooks and middleware](../how-to/hooks-and-middleware.md#middleware) tells how "
    "to write one.",
    "EXECUTOR": "[Run bodies on another executor](../how-to/run-on-an-executor.md) tells when and "
    "which.",
    "LEASE": "Lengthen it if the log says `reservation_lost` or `lease_lost` of workers that are "
    "alive; shorten it to have the jobs of dead ones sooner. It has to hold two heartbeats.",
    "HEARTBEAT": "There is seldom a reason to set it.",
    "RESERVATION_TIMEOUT": "It matters where the verbs are used by hand, since a worker starts at "
    "once what it has reserved; and with an `EXECUTOR`, which has to begin in that time.",
    "POLL_INTERVAL": "Shorten it if jobs have to begin sooner after a quiet time where workers "
    "only poll; each of them then asks more often. It is also how often a worker looks whether "
    "somebody cancelled what it runs.",
    "WAKE_UP": 'Set "poll" where all processes reach PostgreSQL through a '
    "[pooler of transactions](../how-to/use-a-pooler.md).",
    "SWEEP_INTERVAL": "Lengthen it if very many workers share one database.",
    "SHUTDOWN_TIMEOUT": "It has to be shorter than the time after which the system kills the "
    "process.",
    "TIMEOUT_GRACE": "Lengthen it if bodies have much to clean up after their time limit.",
    "RETAIN_SUCCEEDED": "A job can have its own, `retain_succeeded`. See "
    "[how to prune](../how-to/prune.md).",
    "RETAIN_FAILED": "Set it if nobody looks at old failures.",
    "RETAIN_AUDIT": "Set it to what your rules ask for. See [the audit](../how-to/audit.md).",
    "RETAIN_FAILURES": "See [how to find what fails](../how-to/failures.md).",
    "RELEASE": "Set it to see [what a deploy has broken]"
    "(../how-to/failures.md#see-what-a-deploy-has-broken).",
    "RETAIN_HISTORY": "Set it to 0 where other tools draw the charts. See "
    "[how to watch](../how-to/watch.md).",
    "MAX_ARGUMENTS_SIZE": "Store large data and pass its key, rather than raise this.",
    "MAX_RESULT_SIZE": "Store large data and return its key, rather than raise this.",
    "INLINE": "For [tests](../how-to/test-code-that-enqueues.md#execute-at-once) and for "
    "development without a worker; a deployment check warns of it.",
}


def settings() -> str:
    meanings = attributes(conf.Settings)
    parts = []
    for field in fields(conf.Settings):
        (problem,) = conf.problems({field.name: object()})
        takes = str(re.search(r"expected (.*), got <object", problem.message)[1])  # type: ignore[index]
        default = field.default_factory() if field.default is MISSING else field.default
        parts.append(
            f"(setting-{field.name.lower().replace('_', '-')})=\n### `{field.name}`\n\n"
            f"{meanings[field.name]}\n\n{SETTINGS_ADVICE[field.name]}\n\n"
            f"Takes {takes.partition(' [')[0]}.\nThe default is {shown(default)}.\n"
        )
    return "\n".join(parts)


def command_options() -> str:
    return options_of(Command().create_parser("manage.py", "runjobs"), "command-options")


def subcommand_options(subcommand: type[Subcommand]) -> str:
    parser = CommandParser()
    subcommand.add_arguments(parser)
    return options_of(parser, f"{subcommand.name}-options")


def options_of(parser: CommandParser, name: str) -> str:
    common = {action.dest for action in BaseCommand().create_parser("", "")._actions}
    rows = [
        (code(usage(action)), str(action.help or ""))
        for action in parser._actions
        if action.dest not in common
    ]
    return table(["option", "what it does"], rows, name)


def usage(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"{action.metavar} ..." if action.nargs else str(action.metavar)
    metavar = f" {action.metavar}" if action.metavar else ""
    return f"{action.option_strings[-1]}{metavar}"


FIELD_MEANINGS = {
    "id": "Key; a success keeps it.",
    "name": "Name of the job.",
    "queue": "Lane that it waits in.",
    "partition": "Space of its keys; empty for the common one.",
    "state": "One of the [states](../explanation/life-of-a-job.md).",
    "priority": "-100 to 100, larger runs sooner.",
    "args": "Positional arguments, encoded.",
    "kwargs": "Keyword arguments, encoded.",
    "attempt": "Attempts counted so far; a body sees 1 on its first execution.",
    "max_attempts": "Executions in all.",
    "timeout": "Time limit of one attempt. None means no limit.",
    "queue_key": "What at most one unfinished record may hold. None means no key.",
    "execution_key": "What at most `concurrency` running records hold. None means no key.",
    "available_at": "Not before this moment.",
    "reserved_by": "Name of the worker that holds it; None when nobody does.",
    "reserved_at": "When that worker reserved it.",
    "started_at": "When its latest attempt was started.",
    "created_at": "When it was enqueued.",
    "errors": "One entry for each attempt that failed: `number`, `at`, `worker`, `exception`, "
    "`message`, `traceback`.",
    "tags": "Texts to find it by.",
    "meta": "What the caller enqueued as `meta`.",
    "batch_id": "Key of the batch that it is a member of. None means of none.",
    "fingerprint": "Of what kind its last failure was, while it is FAILED.",
    "progress": "Percent, as the body told it. None means that it told none.",
    "progress_message": "What the body said with it.",
    "expires": "When the reservation or the lease lapses.",
    "expires_at": "When running it becomes pointless. None means never.",
    "finished_at": "When it failed or was cancelled.",
    "updated_at": "When a verb last changed it.",
    "cancel_requested_at": "When somebody asked to cancel it while it ran.",
    "reserved_count": "How often it was reserved; never goes back, unlike `attempt`.",
    "held_queue_key": "Digest of the queue key while it is held.",
    "held_execution_key": "Digest of the execution key while it is held.",
    "parked_for": "Name of the job whose pause or limit holds the record back, while it does.",
    "result": "What the body returned, as plain JSON.",
    "succeeded_at": "When the attempt was settled.",
}
BATCH_MEANINGS = {
    "id": "Key.",
    "description": "What it was opened with.",
    "on_success": "The prepared call that follows when all members have succeeded.",
    "on_finish": "The prepared call that follows when all members have ended.",
    "created_at": "When it was opened.",
    "closed_at": "When it was closed: it takes no members any more.",
    "finished_at": "When its last member had ended, and what follows was enqueued.",
    "total": "Members in all. None until it has finished, like the next three.",
    "failed": "Members that had failed.",
    "cancelled": "Members that had been cancelled.",
    "deleted": "Members that had been deleted.",
}
LOG_MEANINGS = {
    "id": "Key.",
    "job_id": "Key of the record, or of the success that it has become.",
    "reserved_count": "Which of the record's reservations it is.",
    "attempt": "Number of the attempt.",
    "worker": "Name of the worker.",
    "entries": "The newest lines, each as seconds since 1970, level, logger and message.",
    "left_out": "How many lines there were before these.",
}
AUDIT_MEANINGS = {
    "id": "Key.",
    "at": "When it was done, by the database's clock.",
    "action": "A word of `AuditAction`.",
    "by": "Name of the user; at the command line, what `--by` says, or the account.",
    "via": "A word of `AuditVia`: `admin`, `command` or `code`.",
    "origin": "Address of the browser, or account and host of the command line.",
    "subject": "What it was done to, as a search for it: `id:42`, `queue:email`.",
    "count": "How many things were changed.",
    "detail": "More: what was skipped or asked to stop, what was set, the first 100 jobs.",
}
WORKER_MEANINGS = {
    "name": "Host, process and random letters.",
    "host": "Name of its machine.",
    "pid": "Number of its process.",
    "queues": "The queues it was told to serve. Empty means all.",
    "excluded": "Queues that it does not serve.",
    "partitions": "The partitions it was told to serve. Empty means all.",
    "threads": "Its slots.",
    "release": "Of the project, as `RELEASE` names it.",
    "names": "Names of the jobs that it knows, former ones too. None means that it has not said.",
    "supervisor": "What all processes of one `runjobs` share. Empty without a supervisor.",
    "version": "That of django_jobflow.",
    "memory": "Bytes that its process had at its last heartbeat.",
    "started_at": "When it began.",
    "heartbeat_at": "When it last renewed its row.",
    "stop_requested_at": "When it was asked to stop. None means that it was not.",
    "stop_requested_by": "Who asked.",
    "stops": "`process` for it alone, `command` for all of its `runjobs`.",
    "clock_at": "What the worker's host took for the time of its last heartbeat.",
    "wake_up": "How it learns of new work: `notify`, `changes` or `poll`. Empty until "
    "its first heartbeat.",
}


def model_fields(model: type[Any], meanings: dict[str, str], name: str) -> str:
    rows = [
        (code(field.attname), meanings[field.attname]) for field in model._meta.concrete_fields
    ]
    return table(["field", "meaning"], rows, name)


def changes() -> str:
    parts = []
    for kind in KINDS:
        fragments = sorted(
            CHANGES.glob(f"*.{kind}.md"), key=lambda path: int(path.name.split(".")[0])
        )
        if fragments:
            parts.append(f"### {kind.capitalize()}")
            parts += [path.read_text() for path in fragments]
    return "\n\n".join(parts)


def state_diagram() -> str:
    return f'```{{raw}} html\n<div class="jobflow-diagram">{diagram.svg()}</div>\n```'


GENERATORS: dict[str, Callable[[], str]] = {
    "audit-fields": lambda: model_fields(AuditEntry, AUDIT_MEANINGS, "audit-fields"),
    "batch-fields": lambda: model_fields(Batch, BATCH_MEANINGS, "batch-fields"),
    "call-options": call_options,
    "changes": changes,
    "command-options": command_options,
    "job-options": job_options,
    "log-fields": lambda: model_fields(JobLog, LOG_MEANINGS, "log-fields"),
    "record-fields": lambda: model_fields(JobRecord, FIELD_MEANINGS, "record-fields"),
    "settings": settings,
    "state-diagram": state_diagram,
    "state-sets": state_sets,
    "succeeded-fields": lambda: model_fields(SucceededJob, FIELD_MEANINGS, "succeeded-fields"),
    "transitions": transitions,
    "worker-fields": lambda: model_fields(Worker, WORKER_MEANINGS, "worker-fields"),
} | {f"{each.name}-options": partial(subcommand_options, each) for each in SUBCOMMANDS}


def expand(app: Sphinx, name: str, source: list[str]) -> None:
    """Put the generated parts into the text of a page, before it is parsed."""
    source[0] = BLOCK.sub(lambda block: GENERATORS[block[1]](), source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Be a Sphinx extension."""
    app.connect("source-read", expand)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
