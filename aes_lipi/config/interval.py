"""How often a trial on its way is written down."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_TIME = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(s|min|h)")
_GENERATIONS = re.compile(r"\d{1,9}")


@dataclass(frozen=True)
class CheckpointInterval:
    """Generations or seconds between checkpoints; neither where there are none.

    Attributes:
        generations: of the whole ring.
        seconds: by the clock.
    """

    generations: int | None = None
    seconds: float | None = None


NEVER = CheckpointInterval()


def parse_interval(text: str | int) -> CheckpointInterval:
    """An interval as users write it: `50` generations, `30s`, `5min`, `1h`, or `never`.

    Raises:
        ValueError: it is none of these, or no time at all.
    """
    text = str(text).strip()
    if text.lower() == "never":
        return NEVER
    if _GENERATIONS.fullmatch(text) and int(text) > 0:
        return CheckpointInterval(generations=int(text))
    found = _TIME.fullmatch(text)
    if found and float(found[1]) > 0:
        return CheckpointInterval(seconds=float(found[1]) * _UNITS[found[2]])
    raise ValueError("give generations (50), a time (30s, 5min, 1h), or never")
