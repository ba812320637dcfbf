"""What can be seen of a worker from outside, whatever it does, and after its death."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from itertools import count
from struct import Struct

from django_jobflow.worker.execution import Execution

Attempt = tuple[int, int]
"""The id of a record, and which of its reservations it is: numbers of attempts come again."""

HEADER = Struct("=QQQQ")
CURRENT = Struct("=QQd")
DEADLINE = Struct("=d")
ENTRY = Struct("=QQ")
NEVER = float("inf")

KEPT = 1024  # bodies of one slot that are remembered: more than can wait to be settled

BEATS, CONTACTS, LEAVING, STOPPING_ALL = range(4)


class Trace:
    """What one slot runs, with its deadline, and has run, in a ring; one body at a time.

    Args:
        memory: Where it is written to.
        current: From where on what it runs.
        ring: From where on all that it has run.
    """

    __slots__ = ("_current", "_memory", "_number", "_ring")

    def __init__(self, memory: mmap.mmap, current: int, ring: int) -> None:
        self._memory = memory
        self._current = current
        self._ring = ring
        self._number = -1

    def begin(self, execution: Execution) -> None:
        """Note that a body is about to run."""
        self._number = (self._number + 1) % KEPT
        reservation = execution.reservation
        attempt = reservation.id, reservation.reserved_count
        deadline = NEVER if execution.deadline is None else execution.deadline
        ENTRY.pack_into(self._memory, self._ring + self._number * ENTRY.size, *attempt)
        CURRENT.pack_into(self._memory, self._current, *attempt, deadline)

    def end(self) -> None:
        """Note that the body has ended: its attempt is begun, its deadline past caring."""
        DEADLINE.pack_into(self._memory, self._current + CURRENT.size - DEADLINE.size, NEVER)


class NoTrace:
    """The trace of a worker without a supervisor."""

    def begin(self, execution: Execution) -> None:
        pass

    def end(self) -> None:
        pass


class Unwatched:
    """The vitals of a worker without a supervisor: nobody looks, and nobody would replace it.

    Args:
        on_contact: Called each time that the database has answered.
    """

    is_watched = False

    def __init__(self, on_contact: Callable[[], object] = lambda: None) -> None:
        self.contact = on_contact

    def leave(self) -> None:
        pass

    def stop_all(self) -> None:
        pass

    def trace(self) -> NoTrace:
        return NoTrace()


class Vitals:
    """What one worker says of itself in memory that its supervisor shares.

    A job that holds the interpreter lock and does not come back stops all of its process: the
    time limits, the renewal of the leases, and the beats. And a process that dies leaves
    nothing but this: which attempts it had really begun, and which it only held.

    Args:
        threads: Slots. As many async bodies may run beside what these run, and a process that
            has to replace a slot is about to be replaced itself.
    """

    is_watched = True

    def __init__(self, threads: int) -> None:
        self._traces = 3 * threads
        self._rings = HEADER.size + self._traces * CURRENT.size
        # The rings are zeros, so that what no slot has come to yet takes no memory.
        self._memory = mmap.mmap(-1, self._rings + self._traces * KEPT * ENTRY.size)
        self._memory[HEADER.size : self._rings] = CURRENT.pack(0, 0, NEVER) * self._traces
        self._header = memoryview(self._memory)[: HEADER.size].cast("Q")
        self._deadlines = memoryview(self._memory)[HEADER.size : self._rings].cast("d")[2::3]
        self._taken = count()

    # In the worker

    def beat(self) -> None:
        """Say that the interpreter runs."""
        self._count_up(BEATS)

    def contact(self) -> None:
        """Say that the database has answered."""
        self._count_up(CONTACTS)

    def leave(self) -> None:
        """Say that this worker takes no more work, and is to be replaced."""
        self._header[LEAVING] = 1

    def stop_all(self) -> None:
        """Say that the supervisor and all of its workers are to stop."""
        self._header[STOPPING_ALL] = 1

    def trace(self) -> Trace:
        """Return where one more slot leaves its trace; those that are too many share one.

        Of these, one that ends hides the deadline of another: the process is leaving by then.
        """
        number = min(next(self._taken), self._traces - 1)
        current = HEADER.size + number * CURRENT.size
        return Trace(self._memory, current, self._rings + number * KEPT * ENTRY.size)

    # In the supervisor

    @property
    def beats(self) -> int:
        return self._header[BEATS]

    @property
    def contacts(self) -> int:
        return self._header[CONTACTS]

    @property
    def is_leaving(self) -> bool:
        return bool(self._header[LEAVING])

    @property
    def stops_all(self) -> bool:
        return bool(self._header[STOPPING_ALL])

    def begun(self) -> frozenset[Attempt]:
        """Return what has begun and may not be settled, and some that is settled."""
        attempts: Iterator[Attempt] = ENTRY.iter_unpack(self._memory[self._rings :])
        return frozenset(attempt for attempt in attempts if attempt[0])

    def overdue(self, since: float) -> frozenset[Attempt]:
        """Return what runs and had to end by *since*, a moment of ``time.monotonic``."""
        if min(self._deadlines) > since:  # read each second, so without making an entry of each
            return frozenset()
        return frozenset(
            (job_id, count)
            for job_id, count, deadline in CURRENT.iter_unpack(
                self._memory[HEADER.size : self._rings]
            )
            if job_id and deadline <= since
        )

    def _count_up(self, place: int) -> None:
        self._header[place] = (self._header[place] + 1) % 2**64


class Pulse:
    """Follows a counter that ought to go up.

    No clock is read. After a pause of the whole host the first look finds an old count, and the
    worker has as many looks as ever to come up with a new one.

    Args:
        read: Returns the count.

    Attributes:
        still: How many looks in a row have found nothing new.
    """

    def __init__(self, read: Callable[[], int]) -> None:
        self._read = read
        self._seen = read()
        self.still = 0

    def look(self) -> None:
        count = self._read()
        self.still = self.still + 1 if count == self._seen else 0
        self._seen = count
