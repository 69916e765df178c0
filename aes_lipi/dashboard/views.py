"""The figures of variants: from what was read of their trials to what is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from aes_lipi.analysis.figures.curves import ENOUGH_RECORDINGS
from aes_lipi.analysis.figures.style import Look, looks
from aes_lipi.analysis.history import Courses, History
from aes_lipi.analysis.measures import MEASURE_NAMES
from aes_lipi.analysis.pareto import CANDIDATE_MEASURES, measured_candidates, tradeoffs
from aes_lipi.analysis.read import Measurements, read_folders
from aes_lipi.analysis.settings import loss_kinds, published_baselines, without_batches
from aes_lipi.analysis.tables import describe_generations, describe_trials, trial_samples
from aes_lipi.arrays import Float64
from aes_lipi.dashboard.plots import curves_plot, finals_plot, tradeoff_plot
from aes_lipi.dashboard.rings import OF_BASELINES
from aes_lipi.dashboard.spec import Heading, Plot
from aes_lipi.results.reading import StudyFolder

LossChoice = Literal["mean_L1", "test_L1"]

LOSS_CHOICES: Mapping[LossChoice, str] = {
    "mean_L1": "L1, training rows",
    "test_L1": "L1, test rows",
}
"""What losses can be looked at, and what they are called."""

OF_TRIALS: Mapping[LossChoice, str] = {"mean_L1": "mean_L1", "test_L1": "mean_test_L1"}
"""Their columns of the table of trials."""

SIZE_NAMES = {"encoder_size": "encoder size", "decoder_size": "decoder size"}
"""What sizes are drawn, and what they are called."""

BATCH_LOSS = "min_replacement_loss"
"""The loss that is known of every generation."""

_READ = (*LOSS_CHOICES, BATCH_LOSS, *SIZE_NAMES, *CANDIDATE_MEASURES)
_BAND = "Lines are medians over committed trials, bands their 95 % bootstrap intervals"


def read_variants_of(folders: Sequence[StudyFolder], variants: Iterable[str]) -> Measurements:
    """What the figures are made of.

    Args:
        folders: of the studies.
        variants: ids of those to read.

    Raises:
        UserError: a folder cannot be read.
    """
    return read_folders(folders, _READ, ("trial_mean", "pooled_cells"), set(variants))


def variant_plots(
    data: Measurements,
    variants: Sequence[str],
    measure: LossChoice,
    running: Iterable[History] = (),
) -> list[Plot]:
    """Losses, sizes and trade-offs of variants.

    Args:
        data: of `read_variants_of`.
        variants: ids, in the order of their looks.
        measure: which loss.
        running: courses of trials on their way; those of other variants are not drawn.
    """
    names = {**data.untried, **data.labels}
    styles = looks([names[variant] for variant in variants if variant in names])
    table = describe_generations(data, "trial_mean", (*LOSS_CHOICES, BATCH_LOSS, *SIZE_NAMES))
    named = [(names.get(each.trial.variant), each) for each in running]
    shown = [(label, each) for label, each in named if label is not None and label in styles]
    headings: dict[str, Heading] = {measure: Heading("loss", "Loss over generations", "")}
    is_seldom = is_seldom_recorded(data, measure, shown)
    why_not = of_several_losses(data, shown) if is_seldom else ""
    if is_seldom and not why_not:
        headings[BATCH_LOSS] = Heading("batch_loss", "Loss on a training batch", "")
    told = {each: f"{_of_losses(data, each, shown)} {why_not}".rstrip() for each in headings}
    plots = [
        _losses(replace(heading, caption=told[each]), table, each, styles, shown)
        for each, heading in headings.items()
    ]
    if len(data.trials):
        plots += [_finals(data, measure, styles), *_sizes(table, styles), *_fronts(data, styles)]
    return plots


def is_seldom_recorded(data: Measurements, measure: str, running: Courses = ()) -> bool:
    """Whether a loss is known of so few generations that it makes no curve.

    Args:
        data: of `read_variants_of`.
        measure: the loss.
        running: trials on their way.
    """
    known, every = (_generations(data, name, running) for name in (measure, BATCH_LOSS))
    return known < min(ENOUGH_RECORDINGS, every)


def of_several_losses(data: Measurements, running: Courses = ()) -> str:
    """Why trials' losses on a training batch are not drawn, as a sentence; empty if they can be.

    Args:
        data: of `read_variants_of`.
        running: trials on their way.
    """
    return without_batches(loss_kinds(data.trials) | {each.trained_on for _, each in running})


def _generations(data: Measurements, measure: str, running: Courses) -> int:
    """In how many a measure is known of any trial."""
    rows = data.units["trial_mean"]
    known = set(rows.loc[rows[measure].notna(), "generation"].unique().tolist())
    ways = [_over_cells(history, measure) for _, history in running]
    return len(known.union(*(np.flatnonzero(np.isfinite(way)).tolist() for way in ways)))


def _losses(
    named: Heading,
    table: pd.DataFrame,
    measure: str,
    styles: Mapping[str, Look],
    running: Courses,
) -> Plot:
    ways = [
        (label, history.trial.trial, _over_cells(history, measure)) for label, history in running
    ]
    rows = table[table["measure"] == measure]
    return curves_plot(named, MEASURE_NAMES[measure], rows, styles, ways)


def _of_losses(data: Measurements, measure: str, running: Courses) -> str:
    note = "; thin lines are trials on their way." if running else "."
    is_mixed = measure == BATCH_LOSS and (
        published_baselines(data.trials) or any(each.n_cells == 1 for _, each in running)
    )
    return f"Mean over a trial's cells. {_BAND}{note}{OF_BASELINES if is_mixed else ''}"


def _finals(data: Measurements, measure: LossChoice, styles: Mapping[str, Look]) -> Plot:
    column = OF_TRIALS[measure]
    samples = trial_samples(data, column)
    return finals_plot(
        Heading(
            "final_loss",
            "Losses at the end, by variant",
            "Every committed trial is a point, the mean over its cells; the large ones are medians "
            "with their 95 % bootstrap intervals.",
        ),
        LOSS_CHOICES[measure],
        describe_trials(data, [column]),
        samples,
        [styles[each.label] for each in samples],
    )


def _sizes(table: pd.DataFrame, styles: Mapping[str, Look]) -> list[Plot]:
    return [
        curves_plot(
            Heading(
                measure, f"{name.capitalize()} over generations", f"Parameters not zero. {_BAND}."
            ),
            name,
            table[table["measure"] == measure],
            styles,
            is_count=True,
        )
        for measure, name in SIZE_NAMES.items()
    ]


def _fronts(data: Measurements, styles: Mapping[str, Look]) -> list[Plot]:
    found = [each for each in tradeoffs(measured_candidates(data), data.trials) if each.is_pruned]
    caption = (
        "Every recorded cell that could be the answer, by its size and its loss on validation "
        "rows; the line joins those that no other one beats in both."
    )
    titles = ["Size and loss" if len(found) == 1 else f"Size and loss: {e.data}" for e in found]
    return [
        tradeoff_plot(Heading(f"tradeoff_{place}", title, caption), each, styles)
        for place, (title, each) in enumerate(zip(titles, found, strict=True))
    ]


def _over_cells(history: History, measure: str) -> Float64:
    """Means over a trial's cells by generation, NaN where one was not measured."""
    means: Float64 = np.mean(history.measures[measure], axis=1)
    return means
