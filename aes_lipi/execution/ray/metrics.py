"""A study on Ray's dashboard and in Prometheus, through `ray.util.metrics`.

Ray puts `ray_` before every name.
"""

from __future__ import annotations

from functools import cache

from ray.util.metrics import Counter, Gauge, Histogram

from aes_lipi.coevolution.records import Record
from aes_lipi.execution.messages import Job

_TAGS = ("study", "variant")
_SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]


@cache
def _generations() -> Counter:
    return Counter("aes_lipi_generations", "Generations of whole rings computed.", _TAGS)


@cache
def _loss() -> Gauge:
    return Gauge(
        "aes_lipi_min_replacement_loss",
        "Lowest loss after training among a ring's cells, in the last generation.",
        (*_TAGS, "trial"),
    )


@cache
def _exchange() -> Histogram:
    return Histogram(
        "aes_lipi_exchange_s",
        "Seconds of a generation that were not its share of computing: exchange and waiting.",
        _SECONDS,
        _TAGS,
    )


class TrialMetrics:
    """The metrics of one trial.

    Args:
        job: the trial.
    """

    def __init__(self, job: Job) -> None:
        self._tags = {"study": job.study, "variant": job.id.variant}
        self._trial = {"trial": str(job.trial)}

    def advanced(self, generations: int) -> None:
        """Count generations."""
        if generations > 0:
            _generations().inc(generations, self._tags)

    def recorded(self, records: list[Record]) -> None:
        """Show the lowest loss among some records of one generation."""
        lowest = min(record.min_replacement_loss for record in records)
        _loss().set(lowest, self._tags | self._trial)

    def exchanged(self, seconds: float) -> None:
        """Take in how long a generation took beyond its computing."""
        _exchange().observe(max(0.0, seconds), self._tags)
