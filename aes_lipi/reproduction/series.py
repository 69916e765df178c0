"""A figure's series beside the published values."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from aes_lipi.config import Variant
from aes_lipi.reproduction.estimates import Estimate, estimate
from aes_lipi.reproduction.evidence import Evidence
from aes_lipi.reproduction.published import Epoch, Figure, Series


@dataclass(frozen=True)
class Point:
    """A series at one epoch.

    Attributes:
        epoch: as published: a number, or `last`.
        generation: the same in our trials.
        ours: mean over trials of the trial's mean over cells.
        published: None where nothing was read, or where our trials are shorter and the epoch is not
            the last one.
        agrees: whether the published value lies in our interval, widened by the error of reading
            it; None without both.
    """

    epoch: Epoch
    generation: int
    ours: Estimate
    published: float | None
    agrees: bool | None


@dataclass(frozen=True)
class SeriesFinding:
    """One series.

    Attributes:
        name: of the series.
        label: what tables call it.
        variant: the id of its variant.
        n_trials: committed trials.
        n_failed: failed trials.
        points: one per epoch that our trials reach.
        capacity: mean over trials and cells of the share of parameters that are not zero at the
            end; NaN without trials.
    """

    name: str
    label: str
    variant: str
    n_trials: int
    n_failed: int
    points: tuple[Point, ...]
    capacity: float


@dataclass(frozen=True)
class FigureFinding:
    """One figure."""

    name: str
    title: str
    preset: str
    series: tuple[SeriesFinding, ...]

    def table(self) -> pd.DataFrame:
        """A row per series and point.

        Returns:
            columns `series`, `label`, `epoch` (text), `generation`, `n`, `mean`, `low`, `high`,
            `published` (NaN where there is none), `agrees` (missing where nothing is compared).
        """
        rows = [_row(series, point) for series in self.series for point in series.points]
        return pd.DataFrame(rows).astype({"published": "float64", "agrees": "boolean"})


def find_figure(figure: Figure, evidence: Evidence) -> FigureFinding:
    """Set a figure's series beside the published ones.

    Args:
        figure: which; it is part of the plan.
        evidence: of the plan's studies.
    """
    variants = evidence.plan.variants[figure.name]
    found = [_series(series, variants[series.name], evidence) for series in figure.series]
    return FigureFinding(figure.name, figure.title, figure.preset, tuple(found))


def _series(series: Series, variant: Variant, evidence: Evidence) -> SeriesFinding:
    epochs = evidence.plan.published.epochs
    points = [_point(epoch, series, variant, evidence) for epoch in epochs]
    return SeriesFinding(
        name=series.name,
        label=series.label,
        variant=variant.id,
        n_trials=len(evidence.trials.get(variant.id, ())),
        n_failed=evidence.failed.get(variant.id, 0),
        points=tuple(point for point in points if point is not None),
        capacity=evidence.capacity(variant),
    )


def _point(epoch: Epoch, series: Series, variant: Variant, evidence: Evidence) -> Point | None:
    """None where our trials end before that epoch."""
    plan, last = evidence.plan, variant.epochs - 1
    generation = last if epoch == "last" else epoch
    if generation >= last and epoch != "last":
        return None
    ours = estimate(evidence.values(variant, generation))
    is_shorter = plan.scale is not None and plan.scale.epochs < plan.published.source.epochs
    is_comparable = epoch == "last" or not is_shorter
    published = series.published.get(epoch) if is_comparable else None
    error = plan.published.source.reading_error
    agrees = None if published is None or ours.n < 2 else ours.agrees(published, error)
    return Point(epoch, generation, ours, published, agrees)


def _row(series: SeriesFinding, point: Point) -> dict[str, object]:
    ours = point.ours
    return {
        **{"series": series.name, "label": series.label, "epoch": str(point.epoch)},
        **{"generation": point.generation, "n": ours.n, "mean": ours.mean},
        **{"low": ours.low, "high": ours.high},
        **{"published": point.published, "agrees": point.agrees},
    }
