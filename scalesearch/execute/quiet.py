"""Where latencies are measured: on a machine that has no other task meanwhile, since a training beside it is measured, too.

Measurements go before trainings. A machine where one is to be made gets no trainings until those that it has are done, and
other measurements are made there, too, so that as few machines as possible stand still. Plain bookkeeping, no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from scalesearch.execute.hired import Hired, QueuedWork
from scalesearch.execute.site import Place


def measures(sent: QueuedWork | None) -> bool:
    """Return whether this is a measurement."""
    return sent is not None and sent.tasks[0].latency is not None


class QuietMachines:
    """The machines that are kept for measurements."""

    def __init__(self) -> None:
        self._ended: set[str] = set()
        """Machines where a measurement has ended, until the driver waits: it may send another one."""
        self._machine: dict[str, str] = {}
        self._room: Counter[str] = Counter()
        self._there: Counter[str] = Counter()
        self._busy: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()

    def ended(self, place: Place) -> None:
        """Note that a measurement has ended there."""
        self._ended.add(place.machine)

    @property
    def waiting(self) -> bool:
        """Whether trainings wait for `release` somewhere."""
        return bool(self._ended)

    def release(self) -> None:
        """Let trainings begin where measurements have ended: the driver sends no more for now."""
        self._ended.clear()

    def look(self, members: Sequence[Hired], places: Iterable[Place]) -> None:
        """Begin to arrange what waits, anew."""
        self._machine = {place.key: place.machine for place in (*places, *(member.place for member in members))}
        self._room = Counter()
        for place in places:
            self._room[place.machine] += place.room
        self._there = Counter(member.place.machine for member in members)
        self._busy = Counter(member.place.machine for member in members if member.sent)
        self._kept = Counter(member.place.machine for member in members if measures(member.sent))

    def keep(self, keys: Collection[str]) -> set[str]:
        """Keep a machine of one of these places for the next measurement: where others are made, up to its room, else the
        least busy one. Return its places among them; none where it waits for trainings or another measurement."""
        if not keys:
            return set()

        def unlike(machine: str) -> tuple[bool, int, int, str]:
            others = 0 < self._kept[machine] < self._room[machine]
            return not others, self._busy[machine], -self._there[machine], machine

        machine = min({self._machine[key] for key in keys}, key=unlike)
        self._kept[machine] += 1
        if self._busy[machine]:
            return set()
        self._busy[machine] += 1
        return {key for key in keys if self._machine[key] == machine}

    def without(self, keys: set[str]) -> set[str]:
        """Return those of these places that may have trainings now."""
        return {key for key in keys if not self._kept[self._machine[key]] and self._machine[key] not in self._ended}
