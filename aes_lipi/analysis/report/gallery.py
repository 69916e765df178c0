"""Which figures a study has, and what is said below each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from aes_lipi.analysis.comparisons import Comparisons
from aes_lipi.analysis.distances import Distances
from aes_lipi.analysis.figures.boxes import MOST_ROWS, plot_final_values
from aes_lipi.analysis.figures.cells import cell_name, plot_learning_rates, plot_prune_events
from aes_lipi.analysis.figures.columns import plot_columns
from aes_lipi.analysis.figures.curves import (
    ENOUGH_RECORDINGS,
    MOST_LINES,
    PANEL_SETTINGS,
    TOGETHER,
    is_of_chosen,
    panels_by,
    panels_of,
    plot_curves,
)
from aes_lipi.analysis.figures.distances import plot_distances
from aes_lipi.analysis.figures.losses import plot_neighbourhood
from aes_lipi.analysis.figures.response import plot_response
from aes_lipi.analysis.figures.ring import plot_ring
from aes_lipi.analysis.figures.structure import plot_network
from aes_lipi.analysis.figures.style import Named
from aes_lipi.analysis.figures.tradeoff import plot_tradeoff
from aes_lipi.analysis.history import Courses, History
from aes_lipi.analysis.measures import MEASURE_NAMES, AnalysisUnit
from aes_lipi.analysis.pareto import Tradeoff
from aes_lipi.analysis.read import Measurements
from aes_lipi.analysis.report.sources import Sources, StudySource, histories, test_rows
from aes_lipi.analysis.settings import (
    are_swept_together,
    loss_kinds,
    noise_of,
    published_baselines,
    settings_of,
    swept_numbers,
    without_batches,
)
from aes_lipi.analysis.tables import generation_samples, is_chosen_on_test, trial_samples
from aes_lipi.results.trial_files import TrialId

_MOST_COURSES = 6
"""Variants whose single trials are drawn: those of the lowest losses."""

_MOST_SWEPT = 3  # numbers whose responses are drawn

TRADEOFF_TABLE = "tradeoff.csv"
"""Of who is on the fronts."""

_BAND = "Lines are medians over trials, bands their 95 % bootstrap intervals."


@dataclass(frozen=True)
class _Picture(Named):
    """A figure of a report, and what it is called."""

    figure: Figure


@dataclass(frozen=True)
class Drawn:
    """What is drawn from.

    Attributes:
        sources: the measurements, and the directories behind them.
        tables: by unit, of `describe_generations`.
        losses: the comparisons of the final losses.
        pruned: what was recorded, where anything is pruned.
        columns: names of models, and their errors by column.
    """

    sources: Sources
    tables: Mapping[AnalysisUnit, pd.DataFrame]
    losses: Comparisons
    pruned: Sequence[Tradeoff]
    columns: Sequence[tuple[str, pd.DataFrame]] = ()

    def curves(self, unit: AnalysisUnit, *measures: str, by: str | None = None) -> Figure:
        """Measures over generations."""
        return plot_curves(self.sources.data, measures, unit=unit, by=by, table=self.tables[unit])


def pictures(drawn: Drawn) -> Iterator[_Picture]:
    """All figures, in the order of the page; each is drawn when it is asked for."""
    yield from _study_pictures(drawn)
    yield _answer_picture(drawn)
    yield from _response_pictures(drawn.sources.data)
    yield from _column_pictures(drawn.columns)
    yield from _tradeoff_pictures(drawn.pruned)
    yield from _course_pictures(drawn)
    yield from _structure_pictures(drawn)


def _study_pictures(drawn: Drawn) -> Iterator[_Picture]:
    """The figures of whole studies, over all trials."""
    data, noise = drawn.sources.data, noise_of(drawn.sources.data.trials)
    panels = panels_of(data)
    grey = " Grey: the medians of the other variants." if len(panels) > 1 else ""
    lowest = f" {_of_lowest(panels)}" if is_of_chosen(panels, data.labels) else ""
    dotted = "" if noise is None else f" Dotted: the noise in the data, {noise:g}."
    early = _EARLY if data.trials["stopped"].isin(_STOPPED).any() else ""
    dotted += early
    losses, table, beside = _losses(drawn.tables["trial_mean"], data.trials)
    yield _Picture(
        "loss",
        "Loss over generations",
        f"Medians over trials and their 95 % intervals.{grey}{dotted}",
        f"The mean over a trial's cells of their L1 on the training rows{beside}. {_BAND}{lowest}",
        plot_curves(data, losses, table=table),
    )
    for setting, name in PANEL_SETTINGS.items():
        found = panels_by(setting, data.trials, data.labels)
        if found is None or found == panels:
            continue
        most = max(len(panel.lines) for panel in found)
        bands = _BAND if most <= TOGETHER else "Lines are medians over trials."
        if most <= MOST_LINES:
            yield _Picture(
                f"loss_by_{setting}",
                f"Loss over generations, by {name}",
                f"A panel for each {name}. Grey: the medians of the other variants.{dotted}",
                f"The mean over a trial's cells of their L1 on the training rows. {bands}",
                drawn.curves("trial_mean", "mean_L1", by=setting),
            )
    yield _final_values(drawn)
    yield _Picture(
        "network_sizes",
        "Encoder and decoder size over generations",
        f"Parameters that are not zero, mean over a trial's cells.{grey}",
        f"{_BAND}{lowest}{early}",
        drawn.curves("trial_mean", "encoder_size", "decoder_size"),
    )
    yield _Picture(
        "network_sizes_published",
        "Encoder and decoder size over generations, by the published definition",
        f"Parameters less those that were zero after the last prune event.{grey}",
        "The last prune event of a network's line (n_pruned); the mean over a trial's cells. "
        f"{_BAND}{lowest}{early}",
        drawn.curves("trial_mean", "encoder_size_published", "decoder_size_published"),
    )
    yield _Picture(
        "best_size",
        "The best individual's loss and size over generations",
        f"Of every trial the cell that was best in a generation: its loss, and its size.{grey}",
        "In every generation in which losses were measured, the cell of a trial whose L1 on the "
        "training rows is lowest: that loss, its parameters that are not zero, and those that were "
        f"not after the last prune event (the published definition). {_BAND}{lowest}{early}",
        drawn.curves("trial_best", "mean_L1", "network_size", "network_size_published"),
    )


_STOPPED = ("patience", "target_loss", "callback")
_EARLY = " Trials stopped early: towards its end a line is of those that went on."


def _of_lowest(panels: Sequence[object]) -> str:
    return f"A panel each for the {len(panels)} variants of the lowest losses, or fewer."


def _losses(table: pd.DataFrame, trials: pd.DataFrame) -> tuple[Sequence[str], pd.DataFrame, str]:
    """The losses to draw, their table, and what is said of the second, that of a batch."""
    one, of_batch = "mean_L1", "min_replacement_loss"
    known = table[table["n"] > 0].groupby("measure")["generation"].nunique()
    recorded, every = (int(known.get(name, 0)) for name in (one, of_batch))
    if recorded >= min(ENOUGH_RECORDINGS, every):
        return (one,), table, ""
    if why_not := without_batches(loss_kinds(trials)):
        return (one,), table, f". {why_not.removesuffix('.')}"
    baselines = published_baselines(trials)
    if trials["variant"].isin(baselines).all():
        return (one, of_batch), table, ", and the lowest loss of an epoch's training batches"
    left_out = (table["measure"] == of_batch) & table["variant"].isin(baselines)
    why = " (not of baselines, which record the lowest of an epoch's)" if baselines else ""
    return (one, of_batch), table[~left_out], f", and of their loss on one training batch{why}"


def _response_pictures(data: Measurements) -> Iterator[_Picture]:
    """How the answers' loss depends on what was swept; none where no number was."""
    settings = settings_of(data.trials, data.labels)
    swept = swept_numbers(settings)[:_MOST_SWEPT]
    measure, what = _of_answers(data.trials)
    for x in swept:
        yield _Picture(
            f"response_{x}",
            f"Loss by {x}",
            f"Medians over trials and their 95 % intervals: {what}.",
            "A line for every combination of the other settings. Nothing was measured between the "
            "points, and lines stand a little beside each other. A line across is of what has no "
            "such number: it is None, or means nothing there.",
            plot_response(data, x, measure=measure),
        )
    pairs = itertools.combinations(swept, 2)
    for x, y in (pair for pair in pairs if are_swept_together(settings, *pair)):
        yield _Picture(
            f"response_{x}_{y}",
            f"Loss by {x} and {y}",
            f"Medians over trials: {what}.",
            "A map for every combination of the other settings, of what has both numbers.",
            plot_response(data, x, y, measure=measure),
        )


def _of_answers(trials: pd.DataFrame) -> tuple[str, str]:
    """The loss by which trials are drawn, and what it is: of no cell that was chosen by it."""
    if trials["test_L1"].isna().all():
        return "mean_L1", f"{MEASURE_NAMES['mean_L1']}, the mean over a trial's cells"
    if is_chosen_on_test(trials) and trials["test_L1_by_validation"].notna().any():
        named = MEASURE_NAMES["test_L1"]
        return "test_L1_by_validation", f"{named}, of the cell that is best on validation rows"
    return "test_L1", f"{MEASURE_NAMES['test_L1']}, of the trials' answers"


def _final_values(drawn: Drawn) -> _Picture:
    """Loss and capacity in the end, with the letters of the losses."""
    data = drawn.sources.data
    letters = drawn.losses.telling_letters
    left_out = f" Of the {MOST_ROWS} lowest." if len(data.labels) > MOST_ROWS else ""
    lettered = " Who shares a letter is not shown to differ in the loss." if letters else ""
    return _Picture(
        "final_values",
        "Loss and capacity in the end",
        f"Every point is a trial, the mean over its cells.{left_out}{lettered}",
        "Values are of a trial's last generation, or with patience of its best. Boxes span the "
        "quartiles, whiskers reach to the last point within one and a half times that. Capacity is "
        "the share of parameters that are not zero; by the published definition, of those that "
        "were not after the last prune event.",
        plot_final_values(
            [
                (MEASURE_NAMES["mean_L1"], generation_samples(data, "mean_L1")),
                ("capacity, not zero", generation_samples(data, "capacity")),
                ("capacity, published", generation_samples(data, "capacity_published")),
            ],
            letters,
        ),
    )


_SIZES = "network_size", "network_size_published"
_BESIDE_CHOSEN = (
    " Answers were chosen on the rows that they are shown for; the panel beside has the cell of "
    "each trial that is best on the validation rows."
)


def _answer_picture(drawn: Drawn) -> _Picture:
    """What the trials' answers are worth on the test rows, and how large they are."""
    data = drawn.sources.data
    losses = [("L1, test rows", trial_samples(data, "test_L1"))]
    beside = ""
    if is_chosen_on_test(data.trials):
        losses = [
            ("L1, test rows, chosen on them", losses[0][1]),
            ("chosen on validation rows", trial_samples(data, "test_L1_by_validation")),
        ]
        beside = _BESIDE_CHOSEN
    return _Picture(
        "answers",
        "Test loss and size of the trials' answers",
        "Every point is the answer of a trial: its L1 on the test rows, and its size.",
        f"The answer is {_choice(data.trials)}; its size are its parameters that are not zero, and "
        f"by the published definition those that were not after the last prune event.{beside}",
        plot_final_values([*losses, *((MEASURE_NAMES[n], trial_samples(data, n)) for n in _SIZES)]),
    )


def _choice(trials: pd.DataFrame) -> str:
    """How answers were chosen."""
    ways = {
        "first": "its first cell",
        "best_on_test": "the cell of the lowest loss on these rows",
        "best_on_validation": "the cell of the lowest loss on the validation rows",
    }
    if (trials["cell_evaluation"] == "all_vs_all").all():
        return "the pair that was trained last"
    kinds = trials["final_cell"].dropna().unique()
    return ways.get(kinds[0], "one of its cells") if len(kinds) == 1 else "one of its cells"


def _column_pictures(tables: Sequence[tuple[str, pd.DataFrame]]) -> Iterator[_Picture]:
    """How much of each column is explained; none where baselines are not measured."""
    figure = plot_columns(tables)
    if figure is not None:
        which = "; ".join(name for name, _ in tables)
        yield _Picture(
            "columns",
            "What is explained of each column",
            "R2 on the test rows of every column that varies. Dotted: below it a column counts as "
            "not learnt.",
            f"Of the model that an export takes ({which}) and of PCA with a code of the same "
            "width, in the order of PCA's. What lies below the axis is drawn at its lower end.",
            figure,
        )


def _tradeoff_pictures(found: Sequence[Tradeoff]) -> Iterator[_Picture]:
    """What size costs, over all that was recorded; none where nothing is pruned."""
    figure = plot_tradeoff(found)
    if figure is None:
        return
    unit = "share" if all(each.is_of_one_size for each in found) else "number"
    two = " (left), and of those left when what pruning made dead is taken out (right)"
    sizes = two if any(each.is_compacted for each in found) else ""
    among = "" if len(found) == 1 else " of the same data"
    dotted = " Dotted: the noise in the data." if any(each.floor for each in found) else ""
    yield _Picture(
        "tradeoff",
        "Capacity against loss",
        "Every point is a cell in a recorded generation; the line is the Pareto front over all "
        f"variants{among}.{dotted}",
        f"Drawn is a cell's {' or '.join(dict.fromkeys(each.loss for each in found))} on the "
        "validation rows over the "
        f"{unit} of its parameters that are not zero{sizes}. Of points that would cover each "
        "other, one is drawn. On the front, nothing "
        "that was recorded is as small as one of its members and better, or as good and smaller. "
        "The front was picked on the validation rows; the L1 of its members on the test rows is "
        f"beside it in the table {TRADEOFF_TABLE}.",
        figure,
    )


_COURSES: Sequence[tuple[str, str, str, str, Callable[[Courses], Figure | None]]] = (
    (
        "ring",
        "The cells in space and time",
        "Left: the loss of every cell's pair. Right: from which cell it descends.",
        "The loss is on one training batch, after training and before the pair is pruned "
        "(lipi_simple_pte: after). Right: from which "
        "cell each centre descends; the strip beside the panel is the key, and colours begin "
        "anew at every vertical line, where one pair's descendants hold all cells. In rings of "
        "five and more cells a line shows the descent of the pair that is best in the end.",
        plot_ring,
    ),
    (
        "prune_events",
        "Prune events",
        "When pruning struck which {cell}, and the probability that the schedule gave.",
        "",
        plot_prune_events,
    ),
    (
        "learning_rates",
        "Learning rates",
        "The rate of every {cell}, and their median.",
        "Rates far below the median leave the axis.",
        plot_learning_rates,
    ),
    (
        "neighbourhood_losses",
        "Losses in a neighbourhood",
        "Every encoder with every decoder of one neighbourhood.",
        "That of the cell that is best in the end, on the batch on which the generation "
        "selected; the scale leaves out the first.",
        plot_neighbourhood,
    ),
)
"""Name, title, caption (`{cell}`: what each is called), note and function, of single trials."""

_OF_CELLS = ("ring", "neighbourhood_losses")
"""Those that say nothing where all pairs meet, whose records are of no cells."""


def _course_pictures(drawn: Drawn) -> Iterator[_Picture]:
    """The figures of single trials: the ring in space and time, and what goes on in it."""
    chosen, labels = _lowest(drawn), drawn.sources.data.labels
    typical = {v: each for v, each in drawn.sources.typical_trials().items() if v in chosen}
    found = histories(typical)
    rows = [(labels[variant], history) for variant, history in found.items()]
    trials = ", ".join(f"{labels[v]}: {typical[v][1]}" for v in found)
    whose = (
        "Of the variants shown, the trial whose final loss is the median (all variants' trials: "
        f"{trials}).{_left_out(drawn, chosen)}"
    )
    kinds = drawn.sources.data.trials.groupby("variant")["cell_evaluation"].first()
    of_cells = [(labels[v], each) for v, each in found.items() if kinds[v] != "all_vs_all"]
    for name, title, caption, note, draw in _COURSES:
        figure = draw(of_cells if name in _OF_CELLS else rows)
        if figure is not None:
            said = caption.format(cell=cell_name(rows))
            yield _Picture(name, title, said, f"{note} {whose}".lstrip(), figure)
    stored = _stored_distances(drawn, {v: typical[v] for v in found}, found)
    figure = plot_distances(stored)
    if figure is not None:
        yield _Picture(
            "distances",
            "Distances between cells",
            "How far the weights of two cells lie apart, by the exchanges between them.",
            "The root of the mean square difference of all weights of two cells' centres, in every "
            "generation: a line is the mean over the pairs that are so many exchanges between "
            "neighbours from each other, the band reaches from the nearest to the farthest pair. "
            f"Networks that compute the same may lie apart. {whose}",
            figure,
        )


def _stored_distances(
    drawn: Drawn,
    trials: Mapping[str, tuple[StudySource, int]],
    courses: Mapping[str, History],
) -> list[tuple[str, Distances]]:
    """How far cells lay apart, of the trials whose study stored all centres of a ring or grid."""
    rows = drawn.sources.data.trials.drop_duplicates("variant").set_index("variant")
    found = []
    for variant, (source, number) in trials.items():
        of = rows.loc[variant]
        if of["store_generations"] == "all" and of["cell_evaluation"] != "all_vs_all":
            members = courses[variant].members
            distances = source.distances(TrialId(variant, number), members)
            found += [] if distances is None else [(drawn.sources.data.labels[variant], distances)]
    return found


def _structure_pictures(drawn: Drawn) -> Iterator[_Picture]:
    """The best pair of every variant: its weights, and which nodes are gone."""
    chosen = _lowest(drawn)
    for variant, (source, number) in drawn.sources.best_trials().items():
        model = source.model(TrialId(variant, number)) if variant in chosen else None
        if model is None:
            continue
        settings = source.variant(variant)
        rows = None if settings is None else test_rows(settings, model.architecture.n_dim)
        seen = "" if rows is None else f" Activations are those on {len(rows)} test rows."
        yield _Picture(
            f"structure_{variant}",
            f"The best pair: {drawn.sources.data.labels[variant]}",
            f"The answer of trial {number}, which has the lowest test loss.",
            f"{seen}{_left_out(drawn, chosen)}".lstrip(),
            plot_network(model, rows),
        )


def _left_out(drawn: Drawn, chosen: Sequence[str]) -> str:
    if len(chosen) == len(drawn.losses.samples):
        return ""
    return f" Drawn for the {len(chosen)} variants of the lowest losses."


def _lowest(drawn: Drawn) -> list[str]:
    """The variants of the lowest final losses."""
    known = [sample for sample in drawn.losses.samples if len(sample.values)]
    ordered = sorted(known, key=lambda sample: float(pd.Series(sample.values).median()))
    return [sample.variant for sample in ordered[:_MOST_COURSES]]
