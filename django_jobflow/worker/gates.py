"""Which jobs are paused or limited by their names, and when to ask for their records."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping

from django_jobflow.attempts import Exchange, Gate, Reservation
from django_jobflow.declare import registry
from django_jobflow.engines.controlling import Controls
from django_jobflow.engines.limiting import FULL
from django_jobflow.quotas import Quota
from django_jobflow.worker.shutters import Shutters

DEAF = 0.05  # seconds after news in which more of them are no reason to look at the parked


class Gates:
    """What one process knows of the jobs that are held back."""

    def __init__(self) -> None:
        self.quotas: dict[str, Quota | None] = {}
        self.freed: Counter[str] = Counter()
        self._open_names: tuple[frozenset[str], frozenset[str]] | None = None
        self._gate_of: dict[str, str] = {}
        self._shutters = Shutters()
        self._maybe_parked: set[str] = set()
        self._queues: dict[str, set[str]] = {}
        self._heard_at = 0.0
        self._has_missed_news = False
        self._served: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self.quotas)

    def learn(self, controls: Controls, *, waits: bool = True) -> set[str]:
        """Take in what is declared and what operators say.

        Args:
            waits: Whether there may be records that are parked.

        Returns:
            The jobs that are not held back any more.
        """
        former, quotas = self.quotas, _quotas(controls)
        if quotas != former:
            self._shutters.clear()
            self._gate_of = {name: gate for gate in quotas for name in names_of(gate)}
            self._open_names = None
        self.quotas = quotas
        self._maybe_parked = set(quotas) if waits else set()
        return former.keys() - quotas.keys()

    def names(self) -> frozenset[str]:
        """Return the names of the jobs that may start as they come; mostly the same object."""
        known = registry.names()
        if not self.quotas:
            return known
        if self._open_names is None or self._open_names[0] is not known:
            self._open_names = known, frozenset(known - self._gate_of.keys())
        return self._open_names[1]

    def asked(self) -> tuple[Gate, ...]:
        """Return the gates of one look, first those that have been served least of late."""
        self._catch_up()
        now = time.monotonic()
        in_turn = sorted(self.quotas.items(), key=lambda item: self._served[item[0]])
        return tuple(
            Gate(
                name,
                names_of(name),
                quota,
                asks=quota is not None and not self._shutters.is_shut(name, now),
                has_parked=name in self._maybe_parked,
            )
            for name, quota in in_turn
        )

    @property
    def is_worth_a_look(self) -> bool:
        """Whether records may be parked that may start: a glance does not see them."""
        self._catch_up()
        now = time.monotonic()
        return any(
            self.quotas[name] is not None and not self._shutters.is_shut(name, now)
            for name in self._maybe_parked & self.quotas.keys()
        )

    def took(self, gates: Iterable[Gate], exchange: Exchange) -> bool:
        """Take in what was found; say whether some could not be asked for all."""
        full, without_token = exchange.full_gates, exchange.gates_without_token
        if (token := min(exchange.out_of_tokens.values(), default=None)) is None:
            full = dict.fromkeys(exchange.cut_gates, FULL) | full
        else:  # of a queue
            without_token = dict.fromkeys(exchange.cut_gates, token) | without_token
        self._shutters.shut(full, without_token)
        self._maybe_parked |= exchange.parked.keys()
        self._maybe_parked -= exchange.empty_gates - exchange.cut_gates
        self._note_turns(exchange)
        answered = full.keys() | without_token.keys()
        asked = {gate.name for gate in gates if gate.asks}
        return not (asked & self._maybe_parked) <= answered

    def _note_turns(self, exchange: Exchange) -> None:
        """Put those of which something was started behind the others."""
        last = max(self._served.values(), default=0) + 1
        for gate in {self._gate_of.get(each.name) for each in exchange.started}:
            if gate is not None:
                self._served[gate] = last

    def opens_in(self) -> float | None:
        """Return after how many seconds to ask again where nothing was found; None means never."""
        pauses = [self._shutters.opens_in()]
        if self._has_missed_news:
            pauses.append(max(self._heard_at + DEAF - time.monotonic(), 0.0))
        return min((pause for pause in pauses if pause is not None), default=None)

    def note_end(self, reservation: Reservation) -> None:
        """Take in that a record has ended here, so that its place is free."""
        gate = self._gate_of.get(reservation.name)
        quota = self.quotas.get(gate) if gate else None
        if gate and quota and quota.concurrency:
            self.freed[gate] += 1
            self._queues.setdefault(gate, set()).add(reservation.queue)
            self._shutters.open(gate)

    def note_room(self) -> None:
        """Take in that a queue with a limit has room again."""
        self._shutters.open_full()

    def left_over(self, exchange: Exchange) -> set[str]:
        """Return the queues of jobs with places that this process has freed and not taken."""
        taken = Counter(self._gate_of.get(each.name) for each in exchange.started)
        freed = [gate for gate, count in self.freed.items() if taken[gate] < count]
        queues = {queue for gate in freed for queue in self._queues[gate]}
        self.freed.clear()
        self._queues.clear()
        return queues

    def hear(self) -> None:
        """Take in that there may be work that another has parked, or a place."""
        self._has_missed_news = bool(self.quotas)
        self._catch_up()

    def _catch_up(self) -> None:
        """Take in the news since the last time, if that was long enough ago."""
        now = time.monotonic()
        if self._has_missed_news and now - self._heard_at >= DEAF:
            self._heard_at = now
            self._has_missed_news = False
            self._maybe_parked = set(self.quotas)
            self._shutters.open_full()

    def forgotten(self, parked: Iterable[str]) -> tuple[set[str], set[str]]:
        """Return those of *parked* that nothing holds back here.

        Returns:
            The jobs that this process knows, and those of which others may know more.
        """
        loose = {name for name in parked if name not in self.quotas}
        known = {name for name in loose if registry.find(name)}
        return known, loose - known


def names_of(gate: str) -> tuple[str, ...]:
    """Return what the records of a job are called."""
    job = registry.find(gate)
    return (gate,) if job is None else (gate, *job.definition().aliases)


def _quotas(controls: Controls) -> dict[str, Quota | None]:
    """Return what may run of each job that is paused (None) or limited."""
    quotas: dict[str, Quota | None] = {
        job.definition().name: job.definition().quota for job in registry.all_jobs()
    }
    quotas |= _by_job(controls.limits_of("job"))
    quotas = {name: quota for name, quota in quotas.items() if quota and not quota.is_open}
    paused = [value for kind, value in controls.paused if kind == "job"]
    return dict(sorted((quotas | dict.fromkeys(map(_name_of, paused))).items()))


def _by_job(limits: Mapping[str, Quota]) -> dict[str, Quota]:
    """Return the *limits* of the jobs that may start here, by their names."""
    known = ((registry.find(value), quota) for value, quota in limits.items())
    return {job.definition().name: quota for job, quota in known if job is not None}


def _name_of(value: str) -> str:
    """Return the name of the job that is, or was, called *value*."""
    job = registry.find(value)
    return value if job is None else job.definition().name
