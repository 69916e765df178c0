"""Learning rates: a line per cell, the median over all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from histories import made_up_history
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from aes_lipi.analysis.figures.cells import plot_learning_rates
from aes_lipi.analysis.figures.style import _figure_bytes
from aes_lipi.analysis.history import History


def walking(rates: npt.ArrayLike) -> History:
    values = np.asarray(rates, dtype=np.float64)
    parents = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return made_up_history(parents, learning_rate=values)


def walks(n_generations: int, n_cells: int, seed: int = 0) -> npt.NDArray[np.float64]:
    """As a cell's rates go: a walk that is reflected near zero."""
    steps = np.random.default_rng(seed).normal(0, 1e-5, (n_generations, n_cells))
    return np.maximum(np.abs(1e-5 + steps.cumsum(axis=0)), 1e-9)


def drawn(*rows: tuple[str, History]) -> Figure:
    figure = plot_learning_rates(rows)
    assert figure is not None
    return figure


def lines(axes: Axes) -> list[npt.NDArray[np.float64]]:
    [cells] = axes.collections
    assert isinstance(cells, LineCollection)
    return [np.asarray(segment) for segment in cells.get_segments()]


def test_a_line_per_cell_and_their_median() -> None:
    rates = np.array([[1e-5, 2e-5, 9e-5], [2e-5, 1e-5, 3e-5]])
    [axes] = drawn(("ours", walking(rates))).axes
    assert axes.get_yscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("generation", "learning rate")
    for cell, line in enumerate(lines(axes)):
        np.testing.assert_array_equal(line, np.column_stack([[0, 1], rates[:, cell]]))
    [median] = axes.lines
    np.testing.assert_array_equal(np.asarray(median.get_ydata()), [2e-5, 2e-5])


def test_a_short_axis_has_more_ticks_than_powers_of_ten_and_no_markup() -> None:
    figure = drawn(("a", walking(np.full((5, 2), 3e-3))))
    figure.draw_without_rendering()
    axis = figure.axes[0].yaxis
    names = [text.get_text() for text in axis.get_ticklabels(which="both")]
    assert {"0.001", "0.002"} <= set(names)
    assert not any("$" in name for name in names)


def test_variants_share_the_axis_and_a_panel_where_their_walks_are_the_same() -> None:
    first, second = walks(30, 4, 1), walks(30, 4, 2)
    figure = drawn(("a", walking(first)), ("b", walking(second)), ("c", walking(first)))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a; c", "b"]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    alike = drawn(("a", walking(first)), ("b", walking(first)))
    assert [axes.get_title(loc="left") for axes in alike.axes] == ["the same in all variants"]
    assert plot_learning_rates([]) is None


def test_jumps_to_nothing_do_not_stretch_the_axis() -> None:
    rates = np.full((9, 5), 1e-4)
    rates[4, 0] = 1e-9
    low, high = drawn(("ours", walking(rates))).axes[0].get_ylim()
    assert low == pytest.approx(2e-5)
    assert high == pytest.approx(1.5e-4)


def test_rates_that_end_at_zero_leave_an_axis() -> None:
    falling = walking([[1e-2], [1e-3], [0.0]])
    low, high = drawn(("cosine", falling)).axes[0].get_ylim()
    assert 0 < low < 1e-3
    assert high > 1e-2


def test_rates_that_are_cut_are_all_shown() -> None:
    cut = 1e-5 * 0.1 ** (np.arange(40)[:, np.newaxis] // 10)
    low, high = drawn(("canonical", walking(cut))).axes[0].get_ylim()
    assert low < cut.min() < cut.max() < high


def test_many_walks_are_thinned_to_what_can_be_seen() -> None:
    rates = walks(4000, 300)
    [axes] = drawn(("large", walking(rates))).axes
    shown = lines(axes)
    assert len(shown) == 20
    assert {len(line) for line in shown} == {200}
    assert {(line[0, 0], line[-1, 0]) for line in shown} == {(0, 3999)}
    median = np.asarray(axes.lines[0].get_ydata())
    assert median[-1] == np.median(rates[-1])


@pytest.mark.parametrize("shape", [(1, 1), (2, 2)])
def test_all_walks_can_be_written(shape: tuple[int, int]) -> None:
    rows = [(f"{'a long label ' * 4}{seed}", walking(walks(*shape, seed))) for seed in range(2)]
    assert _figure_bytes(drawn(*rows), "svg")
    constant = walking(np.full(shape, 1e-5))
    assert _figure_bytes(drawn(("constant", constant)), "svg")
