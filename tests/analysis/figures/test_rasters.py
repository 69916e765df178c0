"""Images of no more pixels than a figure has."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from aes_lipi.analysis.figures.cells import (
    block_edges,
    block_means,
    block_middles,
    cells_over_generations,
    loss_scale,
)

NAN = float("nan")


def test_what_has_room_stays_as_it_is() -> None:
    values = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(block_means(values), values)
    np.testing.assert_array_equal(block_middles(np.arange(12).reshape(3, 4)), values)


def test_blocks_have_the_mean_of_what_is_known() -> None:
    values = np.array([[0, 2, 4, NAN], [2, 4, NAN, NAN], [1, 1, NAN, NAN]])
    np.testing.assert_array_equal(block_means(values, (3, 2)), [[1, 4], [3, NAN], [1, NAN]])
    np.testing.assert_array_equal(block_means(values, (1, 1)), [[2]])


def test_blocks_have_the_number_in_their_middle() -> None:
    numbers = np.arange(24).reshape(4, 6)
    np.testing.assert_array_equal(block_middles(numbers, (2, 2)), [[7, 10], [19, 22]])


@pytest.mark.parametrize("length", [1, 5, 7, 1000])
def test_blocks_cover_everything_and_none_is_empty(length: int) -> None:
    edges = block_edges(length, 7)
    assert (edges[0], edges[-1], len(edges)) == (0, length, min(length, 7) + 1)
    assert (np.diff(edges) > 0).all()


def test_cell_0_is_at_the_bottom_and_ticks_are_cells() -> None:
    for n_cells in (1, 2, 10, 1000):
        axes = Figure().subplots()
        assert cells_over_generations(axes, (50, n_cells)) == (-0.5, 49.5, -0.5, n_cells - 0.5)
        ticks = [tick for tick in axes.get_yticks() if -0.5 <= tick <= n_cells - 0.5]
        assert all(float(tick).is_integer() for tick in ticks)
        assert 1 <= len(ticks) <= 7


def test_losses_of_one_kind_have_a_linear_scale_and_others_a_logarithmic_one() -> None:
    scale = loss_scale([0.1, 0.5, NAN, np.inf])
    assert type(scale) is Normalize
    assert (scale.vmin, scale.vmax) == (0.1, 0.5)
    assert isinstance(loss_scale([0.1, 600]), LogNorm)
    robust = loss_scale(np.arange(101), (2, 98))
    assert (robust.vmin, robust.vmax) == (2, 98)
    assert loss_scale([NAN]).vmax == 1
