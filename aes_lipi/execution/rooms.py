"""Who is where, and who waits: the queue of `StudyState`, and its retries.

How often trials that were lost are tried again, after which wait, and with whom.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from aes_lipi.results.trial_files import TrialId


@dataclass(frozen=True)
class Waiting:
    """Trials that wait for a room, together, and not to be started before some moment."""

    trials: tuple[TrialId, ...]
    not_before: float = 0.0


@dataclass
class Room:
    """Where trials run.

    Attributes:
        kind: rooms of a kind take each other's trials.
        running: trials that do.
        leaving: trials that have stopped, to go on elsewhere.
        resting: trials that are to go on here, and nowhere else.
    """

    kind: int
    running: dict[TrialId, None] = field(default_factory=dict)
    leaving: list[TrialId] = field(default_factory=list)
    resting: Waiting | None = None


class Rooms:
    """Rooms, the trials in them, and those that wait."""

    def __init__(self) -> None:
        self._rooms: dict[int, Room] = {}
        self._idle: dict[int, None] = {}
        self._room_of: dict[TrialId, int] = {}
        self._waiting: defaultdict[int, deque[Waiting]] = defaultdict(deque)

    def __contains__(self, number: int) -> bool:
        """Whether there is such a room."""
        return number in self._rooms

    def runs(self, trial: TrialId) -> bool:
        """Whether a trial is in a room."""
        return trial in self._room_of

    @property
    def any_runs(self) -> bool:
        """Whether any trial is in a room."""
        return bool(self._room_of)

    @property
    def any_waits(self) -> bool:
        """Whether any trial waits."""
        resting = any(self._rooms[number].resting for number in self._idle)
        return resting or any(self._waiting.values())

    @property
    def busy(self) -> list[int]:
        """The rooms in which trials run."""
        return [number for number, room in self._rooms.items() if room.running]

    def open(self, number: int, kind: int) -> None:
        """Have another room."""
        self._rooms[number] = Room(kind)
        self._idle[number] = None

    def queue(self, kind: int, stacks: Iterable[Waiting]) -> None:
        """Let trials wait behind those that do."""
        self._waiting[kind].extend(stacks)

    def put_first(self, kind: int, stacks: Sequence[Waiting]) -> None:
        """Let trials wait before those that do."""
        self._waiting[kind].extendleft(reversed(stacks))

    def forget_waiting(self) -> None:
        """Let no trial wait any more."""
        self._waiting.clear()
        for room in self._rooms.values():
            room.resting = None

    def fill(self, now: float) -> list[tuple[int, tuple[TrialId, ...]]]:
        """Give idle rooms what waits; the rooms, and the trials in them from now on."""
        filled = []
        for number in tuple(self._idle):
            stack = self._next(self._rooms[number], now)
            if stack is not None:
                del self._idle[number]
                self._rooms[number].running = dict.fromkeys(stack.trials)
                self._room_of |= dict.fromkeys(stack.trials, number)
                filled.append((number, stack.trials))
        return filled

    def _next(self, room: Room, now: float) -> Waiting | None:
        """What a room is to run now: what rests there, else the first that need not wait."""
        if room.resting is not None:
            rested = room.resting if room.resting.not_before <= now else None
            room.resting = room.resting if rested is None else None
            return rested
        waiting = self._waiting[room.kind]
        stack = next((each for each in waiting if each.not_before <= now), None)
        if stack is not None:
            waiting.remove(stack)
        return stack

    def leave(self, trial: TrialId, *, moves: bool = False) -> int | None:
        """Take a trial out of its room; if it moves, it is the next to start in another.

        Returns:
            the room, if all that is left of it is to be given up: it has trials that moved, and no
            other.
        """
        number = self._room_of.pop(trial)
        room = self._rooms[number]
        del room.running[trial]
        if moves:
            room.leaving.append(trial)
        if room.running:
            return None
        if not room.leaving:
            self._idle[number] = None
            return None
        self.put_first(room.kind, [Waiting(tuple(room.leaving))])
        del self._rooms[number]
        return number

    def rest(self, trial: TrialId, not_before: float) -> None:
        """Let a trial go on later in the room where it is; it is the only one that runs there.

        Those that had left the room are the next to start.
        """
        number = self._room_of.pop(trial)
        room = self._rooms[number]
        if room.leaving:
            self.put_first(room.kind, [Waiting(tuple(room.leaving))])
        self._rooms[number] = Room(room.kind)
        self._rooms[number].resting = Waiting((trial,), not_before)
        self._idle[number] = None

    def close(self, number: int) -> tuple[int, tuple[TrialId, ...]]:
        """Have a room no more; those that had left it, or rested there, are the next to start.

        Returns:
            its kind, and the trials that ran in it.
        """
        room = self._rooms.pop(number)
        self._idle.pop(number, None)
        for trial in room.running:
            del self._room_of[trial]
        left = [Waiting(tuple(room.leaving))] if room.leaving else []
        self.put_first(room.kind, [*left, *([room.resting] if room.resting else [])])
        return room.kind, tuple(room.running)

    def close_of(self, trial: TrialId) -> int:
        """Close the room of a trial that is the only one there; its number."""
        number = self._room_of[trial]
        self.close(number)
        return number


MOST_LOSSES = 6
"""Losses without progress in between after which a trial is given up."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
"""Before the first try again, which doubles from try to try, and before any."""


def wait_s(losses: int) -> float:
    """Seconds before the next try of what was lost so often."""
    return float(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (losses - 1)))


def divided(trials: tuple[TrialId, ...], losses: int) -> list[tuple[TrialId, ...]]:
    """How trials that were lost together are started again.

    Together after the first loss; in halves if they were lost at the same point again, since one of
    them may be what ends their process; each alone before it is given up.
    """
    if losses == 1 or len(trials) <= 1:
        return [trials] if trials else []
    if losses == MOST_LOSSES - 1:
        return [(trial,) for trial in trials]
    middle = len(trials) // 2
    return [trials[:middle], trials[middle:]]
