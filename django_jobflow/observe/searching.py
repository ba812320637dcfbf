"""What a search finds, by indexes and bounded reads.

What an index can answer (a state, a key, a number, when something ended) is looked up. All else
(an argument, a name) is looked for among the first ``WINDOW`` rows of that. The class of an error
is looked up by the kinds of failures where more have failed, if these kinds are few.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.models import Q, Subquery

from django_jobflow import states
from django_jobflow.engines import Engine, engine_for
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.models.querysets import OF_ANY_QUEUE
from django_jobflow.observe.counting import SUCCEEDED
from django_jobflow.observe.held import HELD
from django_jobflow.observe.lists import LIST_ORDERS, Rows
from django_jobflow.observe.selecting import NEWEST_FIRST, ids_of_key
from django_jobflow.observe.sifting import sifted
from django_jobflow.search import Search, Term
from django_jobflow.search.keys import local_day
from django_jobflow.states import JobState

WINDOW = 10_000  # rows that are looked through where no index can answer
MOST_KINDS = 500  # kinds of failures of which the class is looked up
MOST_WELLS = 20  # of these, that are looked through for one search

OPERATORS = {":": "exact", ">": "gt", "<": "lt", ">=": "gte", "<=": "lte"}
OLDEST_FIRST = ("id",)
LATEST_SUCCESS = ("-succeeded_at", "-id")
FIRST_SUCCESS = ("succeeded_at", "id")


class Window(Subquery):
    """The ids of the first of some rows. The second SELECT is for MySQL, which asks for it."""

    template = "(SELECT id FROM (%(subquery)s) jobflow_window)"


@dataclass(frozen=True)
class Well:
    """Rows in the order of an index over them."""

    rows: Rows
    order: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """What a search finds.

    Attributes:
        rows: The query, in an order.
        wells: What was looked through for it.
        window: How many rows of each well were looked through; None means that an index
            answers for all.
    """

    rows: Rows
    wells: tuple[Well, ...]
    window: int | None

    @property
    def looked_at(self) -> int | None:
        """How many rows were looked through; None means that an index answers for all."""
        return None if self.window is None else self.window * len(self.wells)

    @cached_property
    def is_cut(self) -> bool:
        """Whether there are more rows than were looked through.

        Database:
            One statement for each well, along its index.
        """
        if self.window is None:
            return False
        # Without exists(), which forgets the order: a planner might then read all of the table.
        next_one = slice(self.window, self.window + 1)
        return any(
            list(well.rows.order_by(*well.order[:-1] or well.order).values_list("pk")[next_one])
            for well in self.wells
        )


class Plan:
    """How a search is answered.

    Args:
        search: What is looked for.
        rows: Among these: all rows of a table, or some that an index has.
        now: The moment that ages count back from. None means the database's clock.
    """

    def __init__(self, search: Search, rows: Rows, now: datetime | None = None) -> None:
        self.search = search
        self.base = rows
        self.engine: Engine = engine_for(rows.db)
        self.is_of_succeeded = rows.model is SucceededJob
        self.ended_at = "succeeded_at" if self.is_of_succeeded else "finished_at"
        self.states = chosen_states(search)
        self._now = now

    @cached_property
    def now(self) -> datetime:
        """The moment that ages count back from."""
        return self.engine.now(self._now)

    # What an index answers

    @cached_property
    def seek(self) -> Rows:
        """What an index answers of the search, in no order."""
        rows = self.base
        if self._kind is not None:
            return self._of_kind(self._kind)
        if self.is_of_succeeded:
            rows = rows if self.states in (None, [SUCCEEDED]) else rows.none()
        elif self.states is not None:
            rows = rows.filter(state__in=self.states)
        for term in self.search.of("id"):
            rows = rows.filter(pk__in=term.values)
        if not self.is_of_succeeded:
            for term in self.search.of("batch"):
                rows = rows.filter(batch_id__in=term.values)
        if self._is_of_key:
            for term in self.search.of("key"):
                rows = rows.filter(self._of_key(term))
        for term in self._timed:
            rows = rows.filter(self._time(term))
        if self._has_queue_index:
            rows = rows.filter(queue=self._queue)
        return rows.filter(state__in=HELD) if self._is_of_worker else rows

    @property
    def _kind(self) -> str | None:
        """The fingerprint of the failures that it is about."""
        terms = self.search.of("fingerprint")
        return terms[0].values[0] if terms else None

    def _of_kind(self, kind: str) -> Rows:
        """Return the failed jobs of a *kind*, in no order: a range of the index over them.

        Their state is not asked for. It follows, and a planner might take the index of that.
        """
        others = [term for term in self.search.of("fingerprint") if term.values[0] != kind]
        has_failed = self.states is None or JobState.FAILED in self.states
        if self.is_of_succeeded or others or not has_failed:
            return self.base.none()
        rows = self.base.filter(fingerprint=kind)
        for term in self.search.of("id"):
            rows = rows.filter(pk__in=term.values)
        return rows

    @cached_property
    def _kinds(self) -> list[str] | None:
        """The kinds of failures of the classes that are asked for, if they are looked up.

        That is of use only where more have failed than are looked through.
        """
        terms = [term for term in self.search.of("error") if not term.is_negated]
        if not terms or self.states != [JobState.FAILED] or self.search.of("id", "batch"):
            return None
        failed = self.base.filter(state=JobState.FAILED).order_by("-finished_at")
        if self._kind is not None or not list(failed.values_list("pk")[WINDOW : WINDOW + 1]):
            return None
        firsts = self.engine.first_of_each_kind(MOST_KINDS)
        found = self.base.filter(pk__in=firsts)
        for term in terms:
            found = sifted(found, term, self.engine)
        kinds = sorted(found.values_list("fingerprint", flat=True))
        return kinds if len(firsts) < MOST_KINDS and len(kinds) <= MOST_WELLS else None

    @property
    def _is_of_worker(self) -> bool:
        """Whether it is about what a worker holds now."""
        return self._is_of_any_state and bool(self.search.of("worker"))

    @property
    def _is_of_key(self) -> bool:
        """Whether it is about what holds a key or waits for it, which three indexes know."""
        return self._is_of_any_state and bool(self.search.of("key"))

    @property
    def _is_of_any_state(self) -> bool:
        return not self.is_of_succeeded and self.states is None and self._kind is None

    @cached_property
    def _timed(self) -> tuple[Term, ...]:
        """The terms about a time that stands in the index of the chosen states."""
        if self._kind is not None or self._kinds is not None:
            return ()
        if self.is_of_succeeded:
            return self.search.of("ended", "age")
        if not self.states:
            return ()
        if set(self.states) <= states.ENDED:
            return self.search.of("ended", "age")
        return self.search.of("due") if set(self.states) <= states.PENDING else ()

    @cached_property
    def wells(self) -> tuple[Well, ...]:
        """What the index answers, for each order that there is."""
        if self.search.of("id") or self._is_of_key or self._kind is not None:
            return (Well(self.seek, NEWEST_FIRST),)
        if self._kinds is not None:
            of_kinds = (self.base.filter(fingerprint=kind) for kind in self._kinds)
            return tuple(Well(rows, NEWEST_FIRST) for rows in of_kinds)
        if self.is_of_succeeded:
            is_old = any(term.sign in {">", ">="} for term in self.search.of("age"))
            return (Well(self.seek, FIRST_SUCCESS if is_old else LATEST_SUCCESS),)
        if self.search.of("batch"):
            return (Well(self.seek, ("batch_id", "finished_at", "id")),)
        if self._is_of_worker:
            return (Well(self.seek, ("state", "expires", "id")),)
        if self.states is None:
            return (Well(self.seek, self._order_of_all()),)
        return tuple(self._well_of(state) for state in self.states if state in LIST_ORDERS)

    def _well_of(self, state: str) -> Well:
        rows, order = self.seek.filter(state=state), LIST_ORDERS[state]
        if state != JobState.AVAILABLE:
            return Well(rows, order)
        if queue := self._queue:
            return Well(rows.filter(queue=queue), ("partition", *order))
        return Well(rows.filter(OF_ANY_QUEUE), order)

    @property
    def _queue(self) -> str | None:
        """The one queue that is asked for by its full name."""
        named = {term.values[0].value for term in self.search.of("queue") if _is_one(term)}
        return str(named.pop()) if len(named) == 1 else None

    @property
    def _has_queue_index(self) -> bool:
        """Whether the index of what is available in a queue answers for the queue."""
        return self.states == [JobState.AVAILABLE] and self._queue is not None

    def _order_of_all(self) -> tuple[str, ...]:
        """Return the order in which the ids follow the time that is asked for."""
        asks_for_old = any(term.sign in {">", ">="} for term in self.search.of("age"))
        asks_for_old |= any(term.sign in {"<", "<="} for term in self.search.of("enqueued"))
        return OLDEST_FIRST if asks_for_old else NEWEST_FIRST

    # What has to be looked for

    @cached_property
    def rest(self) -> tuple[Term, ...]:
        """The terms that no index answers."""
        answered = ["id", "state", "fingerprint"]
        if not self.is_of_succeeded and self._kind is None:
            answered.append("batch")
        if self._is_of_key:
            answered.append("key")
        known = set(map(id, (*self.search.of(*answered), *self._timed)))
        if self._has_queue_index:
            known |= {id(term) for term in self.search.of("queue") if _is_one(term)}
        return tuple(term for term in self.search.terms if id(term) not in known)

    @property
    def is_answered(self) -> bool:
        """Whether the wells have what is looked for and nothing else."""
        classes = self.search.of("error") if self._kinds is not None else ()
        return all(term in classes and not term.is_negated for term in self.rest)

    def sift(self, rows: Rows) -> Rows:
        """Return those of *rows* that the terms hold for which no index answers."""
        for term in self.rest:
            if term.key in {"age", "enqueued", "due", "ended"}:
                rows = rows.filter(self._time(term))
            else:
                rows = sifted(rows, term, self.engine)
        return rows

    def found(self, window: int = WINDOW) -> Found:
        """Return what is found, by an index alone or among the first rows of one."""
        wells = self.wells
        if self.is_answered and len(wells) == 1:
            [well] = wells
            return Found(well.rows.order_by(*well.order), wells, None)
        if not wells:
            return Found(self.base.none(), wells, None)
        each = max(window // len(wells), 1)
        if self.search.of("id") or self._is_of_key or self._is_of_worker:  # few anyway
            return Found(self.sift(self.seek).order_by(*wells[0].order), wells, None)
        within = Q()
        for well in wells:
            within |= Q(pk__in=Window(well.rows.order_by(*well.order).values("id")[:each]))
        order = wells[0].order if len(wells) == 1 else NEWEST_FIRST
        return Found(self.sift(self.base.filter(within)).order_by(*order), wells, each)

    # Conditions

    def _of_key(self, term: Term) -> Q:
        key = str(term.values[0].value)
        partitions = [value.value for each in self.search.of("partition") for value in each.values]
        return Q(pk__in=ids_of_key(key, partitions[0] if partitions else "", self.engine.alias))

    def _time(self, term: Term) -> Q:
        if term.key == "age":
            sign = {">": "lt", ">=": "lte", "<": "gt", "<=": "gte"}[term.sign]
            return self._since(sign, self.now - term.values[0])
        column = {"enqueued": "created_at", "due": "available_at", "ended": self.ended_at}
        return _moment(column[term.key], term)

    def _since(self, comparison: str, moment: datetime) -> Q:
        ended, enqueued = f"{self.ended_at}__{comparison}", f"created_at__{comparison}"
        if self.is_of_succeeded or (self.states and set(self.states) <= states.ENDED):
            return Q(**{ended: moment})
        if self.states and not set(self.states) & states.ENDED:
            return Q(**{enqueued: moment})
        return Q(**{ended: moment}) | Q(finished_at__isnull=True, **{enqueued: moment})


def _is_one(term: Term) -> bool:
    """Say whether *term* asks for one text as it is."""
    return len(term.values) == 1 and not term.values[0].is_prefix and not term.is_negated


def _moment(column: str, term: Term) -> Q:
    [value] = term.values
    if isinstance(value, datetime):
        return Q(**{f"{column}__{OPERATORS[term.sign]}": value})
    begins, ends = local_day(value)
    match term.sign:
        case ":":
            return Q(**{f"{column}__gte": begins, f"{column}__lt": ends})
        case ">":
            return Q(**{f"{column}__gte": ends})
        case "<=":
            return Q(**{f"{column}__lt": ends})
    return Q(**{f"{column}__{OPERATORS[term.sign]}": begins})


def chosen_states(search: Search) -> list[str] | None:
    """Return the states that *search* leaves, in their order; None means that it says nothing."""
    terms = search.of("state")
    if not terms:
        return None
    known = [*JobState.values, SUCCEEDED]
    for term in terms:
        known = [word for word in known if (word in term.values) != term.is_negated]
    is_negative = all(term.is_negated for term in terms)
    return [word for word in known if not (is_negative and word == SUCCEEDED)]


def wants_succeeded(search: Search) -> bool:
    """Say whether *search* is about jobs that have succeeded."""
    chosen = chosen_states(search)
    return chosen is not None and SUCCEEDED in chosen


def find_rows(
    search: Search,
    alias: str | None = None,
    *,
    rows: Rows | None = None,
    now: datetime | None = None,
    window: int = WINDOW,
) -> Found:
    """Return what *search* finds.

    Args:
        alias: The database. None means JOBFLOW["DATABASE"].
        rows: Only among these. None means all live records, or all successes if it asks for
            these.
        now: The moment that ages count back from. None means the database's clock.
        window: How many rows are looked through where no index can answer.

    Database:
        None yet but for a key without a state, which takes three, for an age, which takes one,
        and for the class of an error of what has failed, which takes up to three. The query
        reads an index, and where that does not answer all, the rows of *window* ids along it.
    """
    if rows is None:
        model: Any = SucceededJob if wants_succeeded(search) else JobRecord
        rows = model._base_manager.using(engine_for(alias).alias)
    return Plan(search, rows, now).found(window)
