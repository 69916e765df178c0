"""Results over what was swept: lines, and maps of two numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from aes_lipi.analysis.figures.response import plot_response
from aes_lipi.analysis.read import Measurements
from aes_lipi.analysis.settings import settings_of, swept_numbers
from aes_lipi.config import Study, StudyFile, resolve_study
from aes_lipi.errors import UserError
from aes_lipi.results.schema import settings_row

X, Y = "prune_probability", "prune_amount"


def data(*variants: dict[str, Any]) -> Measurements:
    """Two trials a variant; the loss is the probability plus ten amounts, and 100 unpruned."""
    study = resolve_study("swept", StudyFile(trials=2, variants=variants), {})
    rows = pd.DataFrame(
        {"variant": each.id, "trial": trial, **settings_row(each)}
        for each in study.variants
        for trial in (0, 1)
    )
    pruned = rows[X] + 10 * rows[Y]
    rows["test_L1"] = np.where(rows["prune_method"] == "None", 100, pruned)
    failures = pd.DataFrame({"variant": pd.Series(dtype=str)})
    return Measurements(labels(study), {}, rows, failures, {}, (), "mean_L1", ())


def labels(study: Study) -> dict[str, str]:
    return {each.id: study.label(each) for each in study.variants}


def ring(**settings: Any) -> dict[str, Any]:
    return {"prune_method": ["random", "magnitude"], X: [0.4, 0.1, 0.2], Y: 0.1, **settings}


def test_a_line_for_each_other_setting_and_one_across_for_what_is_not_pruned() -> None:
    figure = plot_response(data({"prune_method": "None"}, ring()), X)
    [axes] = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == (X, "L1, test rows, chosen on them")
    [legend] = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["no pruning", "random", "magnitude"]
    level = next(line for line in axes.lines if np.asarray(line.get_ydata()).tolist() == [100, 100])
    assert np.asarray(level.get_xdata()).tolist() == [0, 1]  # from edge to edge
    first = next(line for line in axes.lines if len(np.asarray(line.get_xdata())) == 3)
    assert np.asarray(first.get_xdata()).tolist() == [0.1, 0.2, 0.4]
    assert np.asarray(first.get_ydata()).tolist() == pytest.approx([1.1, 1.2, 1.4])


def test_an_axis_says_what_is_drawn_whatever_stands_beside_it_elsewhere() -> None:
    measured = data(ring())
    measured.trials["test_L1_by_validation"] = measured.trials["test_L1"]
    [axes] = plot_response(measured, X, measure="test_L1_by_validation").axes
    assert axes.get_ylabel() == "L1, test rows"
    measured = data(ring(final_cell="best_on_validation"))
    [axes] = plot_response(measured, X).axes
    assert axes.get_ylabel() == "L1, test rows"


def test_a_scale_of_losses_far_apart_has_plain_numbers() -> None:
    measured = data(ring(**{Y: [0.01, 0.1, 0.5]}))
    measured.trials["test_L1"] = measured.trials[Y]
    figure = plot_response(measured, X, Y)
    figure.draw_without_rendering()
    scale = figure.axes[-1]
    told = [label.get_text() for label in scale.get_yticklabels() if label.get_text()]
    assert told
    assert not any("$" in text for text in told)


def test_lines_stand_beside_each_other_within_the_axes() -> None:
    [axes] = plot_response(data(ring()), X).axes
    low, high = axes.get_ylim()
    assert 1 < low < 1.1
    assert 1.4 < high < 2
    places = [line.get_transform().transform((0.2, 1.2))[0] for line in axes.lines[:1]]
    places += [line.get_transform().transform((0.2, 1.2))[0] for line in axes.lines[-1:]]
    assert 1 < abs(places[0] - places[1]) < 5
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.1", "0.2", "0.4"]


def test_many_lines_make_panels_by_another_setting() -> None:
    figure = plot_response(data(ring(**{Y: [0.1, 0.2, 0.3, 0.4, 0.5]})), X)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.axison]
    assert titles == [f"{Y}={k}" for k in (0.1, 0.2, 0.3, 0.4, 0.5)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["random", "magnitude"]


def test_a_map_of_two_numbers_for_each_other_setting() -> None:
    figure = plot_response(data(ring(**{Y: [0.1, 0.3]})), X, Y)
    random, magnitude, scale = figure.axes
    assert [each.get_title(loc="left") for each in (random, magnitude)] == ["random", "magnitude"]
    medians = np.asarray(random.images[0].get_array())
    assert medians.ravel().tolist() == pytest.approx([1.1, 1.2, 1.4, 3.1, 3.2, 3.4])
    assert [text.get_text() for text in random.texts] == ["1.1", "1.2", "1.4", "3.1", "3.2", "3.4"]
    assert [tick.get_text() for tick in random.get_yticklabels()] == ["0.1", "0.3"]
    assert scale.get_ylabel() == "L1, test rows,\nchosen on them"


def test_what_has_no_value_is_a_line_across_beside_the_points() -> None:
    measured = data(ring(**{X: 0.1}, patience=[None, 20, 40]))
    measured.trials.loc[measured.trials["patience"].isna(), "test_L1"] = 5
    [axes] = plot_response(measured, "patience").axes
    assert axes.get_xlabel() == "patience (None: a line across)"
    assert [each.lines[0].get_xdata().tolist() for each in drawn(axes)] == [[20, 40]] * 2
    assert levels(axes) == [5, 5]


def test_a_map_says_what_it_leaves_out() -> None:
    unpruned, lexicase = {"prune_method": "None"}, {"prune_method": "lexicase", X: [0.1, 0.2]}
    measured = data(unpruned, ring(**{Y: [0.1, 0.3]}, patience=[None, 20, 40]), lexicase)
    assert swept_numbers(settings_of(measured.trials, measured.labels)) == ["patience", X, Y]
    figure = plot_response(measured, X, "patience")
    assert np.asarray(figure.axes[0].images[0].get_array()).shape == (2, 3)
    assert figure.axes[0].images[0].norm.vmax == pytest.approx(3.4)
    assert figure.get_supxlabel() == "Not drawn: no pruning; patience=None"
    assert plot_response(measured, X, Y).get_supxlabel() == "Not drawn: no pruning; lexicase"
    assert plot_response(data(ring(**{Y: [0.1, 0.3]})), X, Y).get_supxlabel() == ""


def test_panels_by_a_setting_have_those_without_it_too() -> None:
    sizes = [None, 5, 20, 40]
    measured = data(ring(**{Y: [0.1, 0.3]}, latent_size=sizes), {"prune_method": "None"})
    panels = [axes for axes in plot_response(measured, X).axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in panels] == [
        f"latent_size={size}" for size in sizes
    ]
    assert [len(drawn(axes)) for axes in panels] == [4] * 4


def test_what_an_operator_or_schedule_does_not_read_is_a_line_across() -> None:
    """Its default is no place on an axis; and what alone is swept there was not."""
    lexicase = {"prune_method": "lexicase", "lexi_threshold": [0.1, 0.2]}
    measured = data(ring(**{X: 0.1, Y: [0.05, 0.4]}), lexicase)
    [axes] = plot_response(measured, Y).axes
    assert [each.lines[0].get_xdata().tolist() for each in drawn(axes)] == [[0.05, 0.4]] * 2
    assert len(levels(axes)) == 2
    [axes] = plot_response(measured, "lexi_threshold").axes
    assert [each.lines[0].get_xdata().tolist() for each in drawn(axes)] == [[0.1, 0.2]]
    assert len(levels(axes)) == 4
    late = ring(**{X: 0.1}, prune_schedule=["fixed", "final_n"], final_n_start=[0.5, 0.9])
    [axes] = plot_response(data(late), "final_n_start").axes
    assert (len(drawn(axes)), len(levels(axes))) == (2, 4)
    alone = data({"prune_method": "lexicase", Y: [0.1, 0.2], "lexi_threshold": [0.1, 0.2]})
    assert swept_numbers(settings_of(alone.trials, alone.labels)) == ["lexi_threshold"]


def drawn(axes: Axes) -> list[Any]:
    """Its series of points."""
    return list(axes.containers)


def levels(axes: Axes) -> list[float]:
    """Its lines across."""
    across = [line for line in axes.lines if np.asarray(line.get_xdata()).tolist() == [0, 1]]
    return [float(np.asarray(line.get_ydata())[0]) for line in across]


def test_what_differs_only_with_something_else_was_not_swept() -> None:
    random = {"prune_method": "random"}
    two = data({**random, X: 0.1, "patience": 20, Y: 0.1}, {**random, X: 0.2, Y: 0.3})
    assert swept_numbers(settings_of(two.trials, two.labels)) == []
    magnitude = {"prune_method": "magnitude", X: 0.1, Y: [0.1, 0.3]}
    apart = data({**random, X: [0.1, 0.2], Y: 0.1}, magnitude)
    assert swept_numbers(settings_of(apart.trials, apart.labels)) == [X, Y]
    with pytest.raises(UserError, match=f"{X} and {Y}: were not swept together"):
        plot_response(apart, X, Y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prune_method",), f"prune_method: no number that is swept.*{X}"),
        (("epochs",), "epochs: no number that is swept"),
        ((X, X), "a map needs two numbers"),
    ],
)
def test_what_is_no_swept_number_is_said(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        plot_response(data(ring()), *arguments)
    with pytest.raises(UserError, match="no numeric column"):
        plot_response(data(ring()), X, measure="variant")
