"""How everything here is timed: in processor time, so that other work matters little."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Contender:
    """One way of doing the same work.

    Attributes:
        name: for the table.
        work: does the work once.
        units: units of work (training steps, say) that it does.
    """

    name: str
    work: Callable[[], object]
    units: int


@dataclass(frozen=True)
class Measured:
    """Processor seconds per unit of work, in each round."""

    name: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median over the rounds, seconds per unit."""
        return statistics.median(self.rounds)


def measure(contenders: Sequence[Contender], rounds: int) -> list[Measured]:
    """Time contenders in turn, round after round, so that a noisy moment hits all of them.

    Every contender works once beforehand, to compile and to warm caches.
    """
    for contender in contenders:
        contender.work()
    times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            started = time.process_time()
            contender.work()
            times[contender.name].append((time.process_time() - started) / contender.units)
    return [Measured(name, tuple(seconds)) for name, seconds in times.items()]


def ratio(slow: Measured, fast: Measured) -> float:
    """Median over the rounds of the ratio of two contenders."""
    return statistics.median(
        one / other for one, other in zip(slow.rounds, fast.rounds, strict=True)
    )
