"""How often trials that were lost are tried again, after which wait, and with whom."""

from __future__ import annotations

from aes_lipi.results.trial_files import TrialId

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
