"""Fair turns: how a worker's room is shared among the partitions that have work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django_jobflow.attempts import Range, Turn


class Turns:
    """Remembers whose turn it is.

    Within the turn of a partition, what comes first of all its queues is taken. Where there are
    more partitions than room, each look begins behind the partition that was served last.

    Attributes:
        left_out: Whether there were more of them at the last look.
    """

    def __init__(self) -> None:
        self._last = ""
        self.left_out = False

    def share(
        self, lanes: Iterable[tuple[str, str]], room: int, budgets: dict[str, int]
    ) -> tuple[Turn, ...]:
        """Return the turns of one look.

        Args:
            lanes: Queues and partitions that have work.
            budgets: How many of a queue may be taken, where that is limited.
        """
        queues: dict[str, list[str]] = defaultdict(list)
        for queue, partition in lanes:
            if budgets.get(queue, 1) > 0:
                queues[partition].append(queue)
        names = sorted(queues)
        later = [name for name in names if name > self._last]
        served = (later + names[: len(names) - len(later)])[:room]
        if not served:
            return ()
        self._last = served[-1]
        self.left_out = len(served) < len(names)
        each, more = divmod(room, len(served))
        left = dict(budgets)
        turns = (
            _turn(partition, queues[partition], each + (place < more), left)
            for place, partition in enumerate(served)
        )
        return tuple(turn for turn in turns if turn.ranges)


def _turn(partition: str, queues: Iterable[str], limit: int, left: dict[str, int]) -> Turn:
    ranges = []
    for queue in queues:
        most = min(limit, left.get(queue, limit))
        if queue in left:
            left[queue] -= most
        if most > 0:
            ranges.append(Range(queue, partition, most))
    return Turn(tuple(ranges), limit)
