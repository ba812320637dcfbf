"""What is read of the tables to be shown: each statement stays cheap at ten million rows."""

from django_jobflow.observe.allowing import LimitFacts, declared_limits, limits
from django_jobflow.observe.configured import SettingFacts, definitions, settings_in_force
from django_jobflow.observe.counting import COLUMNS, SUCCEEDED, Count, Counts, counts
from django_jobflow.observe.declared import declared_names, declared_queues
from django_jobflow.observe.failures import failed_like
from django_jobflow.observe.held import held_by, held_counts
from django_jobflow.observe.keys import (
    KeyFacts,
    WaitedFor,
    Waits,
    held_for_a_time,
    held_while_running,
    key_facts,
    waited_for,
)
from django_jobflow.observe.lists import LIST_ORDERS, count_up_to, first_and_last, named_like
from django_jobflow.observe.overview import MEASURED, Overview, QueueFigures, overview
from django_jobflow.observe.past import RATED, SPANS, Period, history, recent
from django_jobflow.observe.queues import QueueFacts, Queues, purgeable, queues
from django_jobflow.observe.reasons import Cause, Reason, why
from django_jobflow.observe.searching import Found, find_rows
from django_jobflow.observe.selecting import Selection, find, order_of, select
from django_jobflow.observe.workforce import WorkerFacts, workers

__all__ = [
    "COLUMNS",
    "LIST_ORDERS",
    "MEASURED",
    "RATED",
    "SPANS",
    "SUCCEEDED",
    "Cause",
    "Count",
    "Counts",
    "Found",
    "KeyFacts",
    "LimitFacts",
    "Overview",
    "Period",
    "QueueFacts",
    "QueueFigures",
    "Queues",
    "Reason",
    "Selection",
    "SettingFacts",
    "WaitedFor",
    "Waits",
    "WorkerFacts",
    "count_up_to",
    "counts",
    "declared_limits",
    "declared_names",
    "declared_queues",
    "definitions",
    "failed_like",
    "find",
    "find_rows",
    "first_and_last",
    "held_by",
    "held_counts",
    "held_for_a_time",
    "held_while_running",
    "history",
    "key_facts",
    "limits",
    "named_like",
    "order_of",
    "overview",
    "purgeable",
    "queues",
    "recent",
    "select",
    "settings_in_force",
    "waited_for",
    "why",
    "workers",
]
