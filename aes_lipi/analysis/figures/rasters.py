"""Cells over generations as images, of no more pixels than a figure has."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from aes_lipi.analysis.figures.style import whole_ticks
from aes_lipi.arrays import Float64, Int64

MOST_PIXELS = (160, 640)
"""Rows and columns of an image: 200 to an inch, in a panel as wide as half a page."""

_KINDS = 20  # how many times higher losses of another kind are, at least


def block_means(values: npt.ArrayLike, most: tuple[int, int] = MOST_PIXELS) -> Float64:
    """The values, or their means over blocks where there are too many.

    Args:
        values: float, shape (rows, columns); NaN is left out of a mean.
        most: rows and columns to have at most.

    Returns:
        float64, shape (at most rows, at most columns); NaN where a block has nothing else.
    """
    known = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(known)
    sums = _block_sums(np.where(present, known, 0.0), most)
    counts = _block_sums(present.astype(np.float64), most)
    means = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def block_middles(values: Int64, most: tuple[int, int] = MOST_PIXELS) -> Int64:
    """The values, or those in the middle of blocks where there are too many.

    Args:
        values: numbers of cells, which have no mean; int64, shape (rows, columns).
        most: rows and columns to have at most.
    """
    edges = [block_edges(length, bound) for length, bound in zip(values.shape, most, strict=True)]
    rows, columns = ((edge[:-1] + edge[1:]) // 2 for edge in edges)
    picked: Int64 = values[np.ix_(rows, columns)]
    return picked


def _block_sums(values: Float64, most: tuple[int, int]) -> Float64:
    for axis in (0, 1):
        edges = block_edges(values.shape[axis], most[axis])
        values = np.add.reduceat(values, edges[:-1], axis=axis)
    return values


def block_edges(length: int, most: int) -> Int64:
    """Where blocks of equal length, but for one, begin and end, shape (blocks + 1,)."""
    return np.linspace(0, length, min(length, most) + 1).astype(np.int64)


def cells_over_generations(axes: Axes, shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """Lay out axes for an image of generations (across) and cells (up).

    Args:
        axes: to lay out.
        shape: numbers of generations and cells.

    Returns:
        the image's place, as matplotlib's `extent`; its first row is cell 0, at the bottom.
    """
    n_generations, n_cells = shape
    axes.set_ylim(-0.5, n_cells - 0.5)
    whole_ticks(axes.yaxis, min(5, n_cells))
    whole_ticks(axes.xaxis, 5)
    return (-0.5, n_generations - 0.5, -0.5, n_cells - 0.5)


def loss_scale(losses: npt.ArrayLike, robust: tuple[float, float] = (0, 100)) -> Normalize:
    """A scale of colours for losses.

    It is logarithmic where losses are of several kinds, such as L1 and a negative ELBO.

    Args:
        losses: of any shape; what is not finite does not count.
        robust: percentiles that the scale reaches from and to.
    """
    values = np.asarray(losses, dtype=np.float64)
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, robust) if len(known) else (0.0, 1.0)
    return LogNorm(low, high) if 0 < low * _KINDS < high else Normalize(low, high)
