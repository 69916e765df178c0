"""What size costs: the candidates of a report's trials, and their figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from aes_lipi.analysis.figures.tradeoff import size_against_loss
from aes_lipi.analysis.fronts import Tradeoff, tradeoffs
from aes_lipi.analysis.reading import Measurements
from aes_lipi.analysis.report.gallery import Picture, noise_floor
from aes_lipi.analysis.report.sources import Source
from aes_lipi.analysis.tradeoff import candidates_frame, recorded_rows
from aes_lipi.analysis.units import Rows
from aes_lipi.results.trial_files import TrialId

TABLE = "tradeoff.csv"
"""Of who is on the fronts."""


def pruned_tradeoffs(data: Measurements, sources: Sequence[Source]) -> tuple[Tradeoff, ...]:
    """All that was recorded of a report's trials, by the data, where anything is pruned."""
    found: dict[TrialId, Rows] = {}
    for source in sources:
        own = data.trials[data.trials["directory"] == source.storage.shown]
        own = own[own["n_parameters"] > 0]
        ids = map(TrialId, own["variant"], own["trial"])
        sizes = dict(zip(ids, own["n_parameters"].astype(int), strict=True))
        found |= recorded_rows(source.storage, source.inventory, sizes)
    places = {variant: place for place, variant in enumerate(data.labels)}
    ordered = sorted(found, key=lambda each: (places[each.variant], each.trial))
    candidates = candidates_frame([(each, found[each]) for each in ordered], data.labels)
    return tuple(
        replace(each, floor=_floor_of(each, data.trials))
        for each in tradeoffs(candidates, data.trials)
        if each.is_pruned
    )


def tradeoff_pictures(found: Sequence[Tradeoff]) -> Iterator[Picture]:
    """What size costs, over all that was recorded; none where nothing is pruned."""
    figure = size_against_loss(found)
    if figure is None:
        return
    unit = "share" if all(each.is_of_one_size for each in found) else "number"
    two = " (left), and of those left when what pruning made dead is taken out (right)"
    sizes = two if any(each.is_compacted for each in found) else ""
    among = "" if len(found) == 1 else " of the same data"
    dotted = " Dotted: the noise in the data." if any(each.floor for each in found) else ""
    yield Picture(
        "tradeoff",
        "Capacity against loss",
        "Every point is a cell of a trial in a recorded generation: its L1 on the validation rows "
        f"over the {unit} of its parameters that are not zero{sizes}. Of points that would cover "
        f"each other, one is drawn. The line is the Pareto front over all variants{among}: nothing "
        "that was recorded is as small as one of its members and better, or as good and smaller. "
        "The front was picked on the validation rows; the L1 of its members on the test rows is "
        f"beside it in the table {TABLE}.{dotted}",
        figure,
    )


def _floor_of(tradeoff: Tradeoff, trials: pd.DataFrame) -> float | None:
    return noise_floor(trials[trials["variant"].isin(tradeoff.candidates["variant"].unique())])
