"""The space-time diagram: losses, lineage, and the descent of the final best cell."""

from __future__ import annotations

import functools
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from histories import drifting, made_up_history
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aes_lipi.analysis.figures.ring import lineage_colours, plot_ring
from aes_lipi.analysis.figures.style import INK, PAPER, _figure_bytes
from aes_lipi.analysis.history import History

NAN = float("nan")
N_CELLS = 5


def spreading() -> History:
    """Five cells; cell 2 spreads to one more on each side in every generation, and goes on.

    Its line in the end goes from cell 0 back to cell 4, where it came from round the end.
    """
    parents = [[0, 2, 2, 2, 4], [1, 1, 2, 3, 3], [4, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    losses = np.array([[0.5, 0.4, 0.3, 0.2, 0.1]]).T[:4] * np.ones(N_CELLS)
    last = np.where(np.arange(N_CELLS) == 0, 1.0, 2.0)
    return made_up_history(parents, min_replacement_loss=losses, test_L1=last)


@functools.cache
def spread() -> Figure:
    return drawn(("ours", spreading()))


def drawn(*rows: tuple[str, History]) -> Figure:
    figure = plot_ring(rows)
    assert figure is not None
    return figure


def image(axes: Axes, place: int = 0) -> npt.NDArray[np.float64]:
    return np.ma.filled(np.ma.asarray(axes.images[place].get_array()), NAN)


def test_losses_are_on_the_left_and_founders_on_the_right() -> None:
    losses, lineage, scale = spread().axes
    assert losses.get_title(loc="left") == "ours"
    np.testing.assert_allclose(image(losses)[:, 1], [0.4] * N_CELLS)
    assert image(losses).shape == (N_CELLS, 4)
    assert image(lineage)[:, 0].tolist() == [0, 2, 2, 2, 4]
    assert image(lineage)[:, 1].tolist() == [2] * N_CELLS
    assert image(lineage)[:, 2].tolist() == [4, 1, 2, 3, 4]
    assert list(losses.images[0].get_extent()) == [-0.5, 3.5, -0.5, 4.5]
    assert scale.get_xlabel() == "loss on a training batch, after training"
    assert losses.get_ylabel() == "cell"
    assert losses.get_xlabel() == lineage.get_xlabel() == "generation"


def test_a_key_beside_the_panel_has_the_colour_of_every_cell() -> None:
    lineage = spread().axes[1]
    key = lineage.images[1]
    assert image(lineage, 1)[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert key.get_extent()[1] < lineage.get_xlim()[0]
    assert key.get_clim() == lineage.images[0].get_clim() == (0, N_CELLS)


def test_windows_are_parted_by_lines_of_the_ground() -> None:
    lineage = spread().axes[1]
    parted = [line for line in lineage.lines if line.get_color() == PAPER]
    assert [float(np.asarray(line.get_xdata())[0]) for line in parted] == [1.5]


def test_the_line_of_descent_is_broken_where_it_goes_round_the_end() -> None:
    lineage = spread().axes[1]
    [line] = [line for line in lineage.lines if line.get_color() == INK]
    np.testing.assert_array_equal(np.asarray(line.get_xdata()), [0, 1, NAN, 2, 3])
    np.testing.assert_array_equal(np.asarray(line.get_ydata()), [3, 4, NAN, 0, 0])


def test_variants_share_a_robust_scale_and_the_generations() -> None:
    calm, wild = drifting(6, 50, min_replacement_loss=0.2), drifting(6, 20)
    wild.measures["min_replacement_loss"][:] = np.linspace(0.1, 0.3, 120).reshape(20, 6)
    wild.measures["min_replacement_loss"][3, 3] = 99
    figure = drawn(("calm", calm), ("wild", wild))
    first, second = figure.axes[0].images[0], figure.axes[2].images[0]
    assert first.get_clim() == second.get_clim()
    assert np.less(first.get_clim()[1], 0.31)
    assert {axes.get_xlim() for axes in figure.axes[:4]} == {(-0.5, 49.5)}


def test_what_is_not_known_stays_empty() -> None:
    history = drifting(5, 9, min_replacement_loss=0.2)
    history.measures["min_replacement_loss"][4, 1] = NAN
    assert np.isnan(image(drawn(("ours", history)).axes[0])[1, 4])
    figure = drawn(("ours", drifting(5, 9)))  # none is known
    assert _figure_bytes(figure, "svg")


def test_another_loss_can_be_drawn() -> None:
    figure = plot_ring([("ours", drifting(5, 9, test_loss=0.25))], "test_loss")
    assert figure is not None
    assert figure.axes[2].get_xlabel() == "loss on a test batch"
    assert (image(figure.axes[0]) == 0.25).all()


def test_single_cells_are_left_out_and_few_are_not_hidden_by_a_line() -> None:
    alone = made_up_history([[0]] * 9, min_replacement_loss=0.1)
    assert plot_ring([("alone", alone)]) is None
    assert plot_ring([]) is None
    figure = drawn(("alone", alone), ("two", drifting(2, 30, min_replacement_loss=0.1)))
    assert len(figure.axes) == 3
    assert figure.axes[0].get_title(loc="left") == "two"
    assert not [line for line in figure.axes[1].lines if line.get_color() == INK]
    assert figure.axes[1].get_legend() is None
    assert spread().axes[1].get_legend() is not None


def test_many_cells_and_generations_are_an_image_of_few_pixels() -> None:
    figure = drawn(("large", drifting(500, 1500, min_replacement_loss=0.1)))
    for axes in figure.axes[:2]:
        assert image(axes).shape == (160, 640)
    assert len(_figure_bytes(figure, "svg")) < 500_000


@pytest.mark.parametrize("shape", [(5, 1), (2, 1), (3, 2), (20, 60)])
def test_every_ring_can_be_written(shape: tuple[int, int]) -> None:
    label = "a label that is longer than half a page is wide: " * 2
    assert _figure_bytes(drawn((label, drifting(*shape, min_replacement_loss=0.1))), "svg")


@pytest.mark.parametrize("n_cells", [5, 10])
@pytest.mark.parametrize("sight", ["all", "deuteranopic", "protanopic", "tritanopic"])
def test_colour_blind_readers_tell_cells_apart(sight: str, n_cells: int) -> None:
    colours = np.asarray(lineage_colours()(np.arange(n_cells) / n_cells))[:, :3]
    seen = lab(np.clip(linear(colours) @ SIGHT[sight].T, 0, 1))
    apart = np.linalg.norm(seen[:, np.newaxis] - seen, axis=2)
    assert apart[~np.eye(n_cells, dtype=bool)].min() > 15
    ends = lineage_colours()(np.array([0.0, 1.0]))
    np.testing.assert_allclose(ends[0], ends[1])


def test_the_colours_go_round_evenly() -> None:
    colours = np.asarray(lineage_colours()(np.arange(33) / 32))[:, :3]
    steps = [np.linalg.norm(a - b) for a, b in pairwise(lab(linear(colours)))]
    assert max(steps) < 4 * min(steps)


SIGHT = {
    "all": np.eye(3),
    "deuteranopic": np.array(
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
    ),
    "protanopic": np.array(
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
    ),
    "tritanopic": np.array(
        [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]
    ),
}
"""Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB."""

Colours = npt.NDArray[np.float64]


def linear(colours: Colours) -> Colours:
    """Linear RGB from sRGB."""
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def lab(colours: Colours) -> Colours:
    """CIELAB (D65) from linear RGB."""
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = colours @ to_xyz.T / np.array([0.9505, 1, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )
