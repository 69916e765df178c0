"""Which figures a study has, and what is said below each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from aes_lipi.analysis.comparisons import Comparisons
from aes_lipi.analysis.figures.boxes import final_values
from aes_lipi.analysis.figures.curves import Curves, over_generations
from aes_lipi.analysis.figures.events import prune_events
from aes_lipi.analysis.figures.losses import neighbourhood_losses
from aes_lipi.analysis.figures.panels import PANEL_SETTINGS, one_panel, panels_by
from aes_lipi.analysis.figures.rates import learning_rates
from aes_lipi.analysis.figures.ring import space_time
from aes_lipi.analysis.figures.saving import Named
from aes_lipi.analysis.figures.structure import network_structure
from aes_lipi.analysis.history import Courses
from aes_lipi.analysis.reading import Measurements
from aes_lipi.analysis.report.sources import (
    Source,
    best_trials,
    histories,
    model_of,
    test_rows,
    typical_trials,
)
from aes_lipi.analysis.samples import generation_samples, trial_samples
from aes_lipi.analysis.units import Unit
from aes_lipi.results.trial_files import TrialId

MOST_COURSES = 6
"""Variants whose single trials are drawn: those of the lowest losses."""

LOSS_AXIS = "mean L1, training rows"

_BAND = "Lines are medians over trials, bands their 95 % bootstrap intervals."


@dataclass(frozen=True)
class Picture(Named):
    """A figure of a report, and what it is called."""

    figure: Figure


@dataclass(frozen=True)
class Drawn:
    """What is drawn from.

    Attributes:
        data: the measurements.
        sources: the directories behind them.
        tables: by unit, of `describe_generations`.
        losses: the comparisons of the final losses.
    """

    data: Measurements
    sources: Sequence[Source]
    tables: Mapping[Unit, pd.DataFrame]
    losses: Comparisons

    def curves(self, unit: Unit, measure: str, axis: str, floor: float | None = None) -> Curves:
        """A measure over generations."""
        table = self.tables[unit]
        return Curves(axis, table[table["measure"] == measure], floor)


def study_pictures(drawn: Drawn) -> Iterator[Picture]:
    """The figures of whole studies, over all trials."""
    labels, noise = drawn.data.labels, noise_floor(drawn.data.trials)
    loss = drawn.curves("trial_mean", "mean_L1", LOSS_AXIS, noise)
    dotted = "" if noise is None else f" Dotted: the noise in the data, {noise:g}."
    yield Picture(
        "loss",
        "Loss over generations",
        f"Mean over a trial's cells of their L1 on the training rows. {_BAND}{dotted}",
        over_generations([loss], one_panel(labels)),
    )
    for setting, name in PANEL_SETTINGS.items():
        panels = panels_by(setting, drawn.data.trials, labels)
        if panels is not None:
            yield Picture(
                f"loss_by_{setting}",
                f"Loss over generations, by {name}",
                f"As above, a panel for each {name}. {_BAND}{dotted}",
                over_generations([loss], panels),
            )
    yield _final_values(drawn)
    yield Picture(
        "network_sizes",
        "Encoder and decoder size over generations",
        f"Parameters that are not zero, mean over a trial's cells. {_BAND}",
        over_generations(
            [
                drawn.curves("trial_mean", "encoder_size", "encoder size"),
                drawn.curves("trial_mean", "decoder_size", "decoder size"),
            ],
            one_panel(labels),
        ),
    )
    yield Picture(
        "best_size",
        "The best individual's loss and size over generations",
        "In every generation in which losses were measured, the cell of a trial whose L1 on the "
        f"training rows is lowest: that loss, and its parameters that are not zero. {_BAND}",
        over_generations(
            [
                drawn.curves("trial_best", "mean_L1", LOSS_AXIS, noise),
                drawn.curves("trial_best", "network_size", "network size"),
            ],
            one_panel(labels),
        ),
    )


def _final_values(drawn: Drawn) -> Picture:
    """Loss and capacity in the end, with the letters of the losses."""
    letters = drawn.losses.letters()
    return Picture(
        "final_values",
        "Loss and capacity in the last generation",
        "Every point is a trial: the mean over its cells. Boxes span the quartiles, whiskers reach "
        "to the last point within one and a half times that. Variants that share a letter are not "
        "shown to differ in their loss.",
        final_values(
            [
                (LOSS_AXIS, generation_samples(drawn.data, "mean_L1")),
                ("capacity", generation_samples(drawn.data, "capacity")),
            ],
            letters,
        ),
    )


def answer_picture(drawn: Drawn) -> Picture:
    """What the trials' answers are worth on the test rows, and how large they are."""
    return Picture(
        "answers",
        "Test loss and size of the trials' answers",
        f"Every point is the answer of a trial, {_choice(drawn.data.trials)}: its L1 on the test "
        "rows, and its parameters that are not zero.",
        final_values(
            [
                ("L1, test rows", trial_samples(drawn.data, "test_L1")),
                ("network size", trial_samples(drawn.data, "network_size")),
            ]
        ),
    )


def _choice(trials: pd.DataFrame) -> str:
    """How answers were chosen."""
    ways = {
        "first": "its first cell",
        "best_on_test": "the cell of the lowest loss on these rows",
        "best_on_validation": "the cell of the lowest loss on the validation rows",
    }
    kinds = trials["final_cell"].dropna().unique()
    return ways.get(kinds[0], "one of its cells") if len(kinds) == 1 else "one of its cells"


def course_pictures(drawn: Drawn) -> Iterator[Picture]:
    """The figures of single trials: the ring in space and time, and what goes on in it."""
    chosen = _lowest(drawn)
    typical = {
        v: each for v, each in typical_trials(drawn.data, drawn.sources).items() if v in chosen
    }
    found = histories(typical)
    rows = [(drawn.data.labels[variant], history) for variant, history in found.items()]
    trials = ", ".join(f"{drawn.data.labels[v]}: {typical[v][1]}" for v in found)
    whose = (
        "Of the variants shown, the trial whose final loss is the median (all variants' trials: "
        f"{trials}).{_left_out(drawn, chosen)}"
    )
    drawings: Sequence[tuple[str, str, str, Callable[[Courses], Figure | None]]] = (
        (
            "ring",
            "The cells in space and time",
            "Left: the loss of every cell's pair on one training batch, after training and before "
            "it is pruned (lipi_simple_pte: after). Right: from which "
            "cell each centre descends; the strip beside the panel is the key, and colours begin "
            "anew at every vertical line, where one pair's descendants hold all cells. In rings of "
            "five and more cells a line shows the descent of the pair that is best in the end.",
            space_time,
        ),
        (
            "prune_events",
            "Prune events",
            "When pruning struck which cell, and the probability that the schedule gave.",
            prune_events,
        ),
        (
            "learning_rates",
            "Learning rates",
            "The rate of every cell, and their median; rates far below it leave the axis.",
            learning_rates,
        ),
        (
            "neighbourhood_losses",
            "Losses in a neighbourhood",
            "Every encoder with every decoder of the neighbourhood of the cell that is best in the "
            "end, on the batch on which the generation selected; the scale leaves out the first.",
            neighbourhood_losses,
        ),
    )
    for name, title, caption, draw in drawings:
        figure = draw(rows)
        if figure is not None:
            yield Picture(name, title, f"{caption} {whose}", figure)


def structure_pictures(drawn: Drawn) -> Iterator[Picture]:
    """The best pair of every variant: its weights, and which nodes are gone."""
    chosen = _lowest(drawn)
    for variant, (source, number) in best_trials(drawn.data, drawn.sources).items():
        model = model_of(source, TrialId(variant, number)) if variant in chosen else None
        if model is None:
            continue
        settings = source.variant(variant)
        rows = None if settings is None else test_rows(settings, model.architecture.n_dim)
        seen = "" if rows is None else f" Activations are those on {len(rows)} test rows."
        yield Picture(
            f"structure_{variant}",
            f"The best pair: {drawn.data.labels[variant]}",
            f"The answer of trial {number}, which has the lowest test loss.{seen}"
            f"{_left_out(drawn, chosen)}",
            network_structure(model, rows),
        )


def _left_out(drawn: Drawn, chosen: Sequence[str]) -> str:
    if len(chosen) == len(drawn.losses.samples):
        return ""
    return f" Drawn for the {len(chosen)} variants of the lowest losses."


def _lowest(drawn: Drawn) -> list[str]:
    """The variants of the lowest final losses."""
    known = [sample for sample in drawn.losses.samples if len(sample.values)]
    ordered = sorted(known, key=lambda sample: float(pd.Series(sample.values).median()))
    return [sample.variant for sample in ordered[:MOST_COURSES]]


def noise_floor(trials: pd.DataFrame) -> float | None:
    """The L1 of an answer without fault on generated data; None where it is not one value."""
    generated = trials["data"].isna() & trials["n_dim"].notna()
    levels = trials.loc[generated, "noise_probability"].unique()
    return float(levels[0]) if generated.all() and len(levels) == 1 and levels[0] > 0 else None
