"""What is left of a trained pair: weights that are gone, nodes that are silent, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from aes_lipi.analysis.figures.cells import block_edges, block_means
from aes_lipi.analysis.figures.style import (
    GONE,
    INK,
    PAGE,
    ShownFigure,
    laid_out,
    styled,
    whole_ticks,
)
from aes_lipi.arrays import Flags, Float32, Float64
from aes_lipi.autoencoders.network import Activation, NetworkLayout
from aes_lipi.models.model import Model


@dataclass(frozen=True)
class _Activity:
    """What the nodes of a layer did on some rows.

    Attributes:
        mean: of their outputs, float32, shape (nodes,).
        spread: standard deviation of their outputs, float32, shape (nodes,).
        active: share of the rows in which the output was not zero, float32, shape (nodes,).
    """

    mean: Float32
    spread: Float32
    active: Float32


@dataclass(frozen=True)
class _LayerStructure:
    """One layer of an encoder or decoder.

    Attributes:
        network: `encoder` or `decoder`.
        name: of the layer.
        activation: of its nodes.
        weights: float32, shape (nodes, inputs).
        constant: nodes without an incoming weight that is not zero: their output is the same for
            all rows; shape (nodes,).
        unread: nodes without an outgoing weight that is not zero: their output changes nothing;
            shape (nodes,). What no layer reads, the last layer's output or a log-variance, is never
            counted as unread.
        activity: on the rows given; None without rows.
    """

    network: str
    name: str
    activation: Activation
    weights: Float32
    constant: Flags
    unread: Flags
    activity: _Activity | None

    @property
    def gone(self) -> Flags:
        """Nodes that tell nothing: constant or unread, shape (nodes,)."""
        return self.constant | self.unread

    @property
    def silent(self) -> Flags:
        """ReLU nodes that were active in none of the rows, shape (nodes,); none without rows."""
        if self.activity is None or self.activation != "relu":
            return np.zeros(len(self.weights), dtype=np.bool_)
        silent: Flags = self.activity.active == 0
        return silent


def _structure_of(model: Model, rows: Float32 | None = None) -> tuple[_LayerStructure, ...]:
    """The layers of a model's pair, those of the encoder first.

    Args:
        model: a trained pair.
        rows: data on which to watch the nodes, float32 in [0, 1], shape (rows, n_dim).

    Raises:
        ValueError: rows are not of that shape, or there is none.
    """
    encoder, decoder = model.architecture.encoder, model.architecture.decoder
    code = None if rows is None else model.encode(rows)
    if rows is not None and not len(rows):
        raise ValueError("expected at least one row")
    read_of_code = decoder.weight(model.pair.decoder.genome, 0)
    code_layer = len(encoder.layers) - (2 if model.architecture.variational else 1)
    return (
        *_layers("encoder", encoder, model.pair.encoder.genome, rows, {code_layer: read_of_code}),
        *_layers("decoder", decoder, model.pair.decoder.genome, code, {}),
    )


def _layers(
    network: str,
    layout: NetworkLayout,
    genome: Float32,
    x: Float32 | None,
    readers: dict[int, Float32],
) -> list[_LayerStructure]:
    """The layers of one network.

    Args:
        network: its name.
        layout: of its genome.
        genome: its weights.
        x: what it reads, float32, shape (rows, n_in).
        readers: by layer, weights outside of this network that read the layer's output.
    """
    outputs = None if x is None else layout.outputs(genome, np.asarray(x, np.float32))
    found = []
    for k, layer in enumerate(layout.layers):
        reading = [
            layout.weight(genome, j) for j, other in enumerate(layout.layers) if other.reads == k
        ]
        reading += [readers[k]] if k in readers else []
        weights = layout.weight(genome, k)
        found.append(
            _LayerStructure(
                network=network,
                name=layer.name,
                activation=layer.activation,
                weights=weights,
                constant=_without_weights([weights.T], layer.n_out),
                unread=_without_weights(reading, layer.n_out),
                activity=None if outputs is None else _activity_of(outputs[k]),
            )
        )
    return found


def _without_weights(matrices: list[Float32], n_nodes: int) -> Flags:
    """Which columns are zero in all matrices, shape (nodes,); none if there are no matrices."""
    if not matrices:
        return np.zeros(n_nodes, dtype=np.bool_)
    empty: Flags = np.all([~np.any(weights, axis=0) for weights in matrices], axis=0)
    return empty


def _activity_of(outputs: Float32) -> _Activity:
    return _Activity(
        mean=outputs.mean(axis=0),
        spread=outputs.std(axis=0),
        active=(outputs != 0).mean(axis=0, dtype=np.float32),
    )


_HEIGHT = 1.35  # of a layer, in inches
_PIXELS = (300, 500)  # of a heat map, at most
_STRONG = "#0072b2"  # of weights, the more opaque the larger
_LARGE = 99  # percentile of a layer's absolute weights that is drawn as the largest
_MARKS = (
    ("constant", GONE, "constant: no weight comes in"),
    ("unread", "#e69f00", "unread: no weight goes out"),
    ("silent", INK, "silent: never active on the rows"),
)
_POSSIBLE: Mapping[Activation, tuple[float, float]] = {
    "relu": (0.0, np.inf),
    "leaky_relu": (-np.inf, np.inf),
    "tanh": (-1.0, 1.0),
    "gelu": (-0.17, np.inf),  # its minimum is -0.16997, at -0.752
    "sigmoid": (0.0, 1.0),
    "linear": (-np.inf, np.inf),
}
"""What a node's output can be, which the band of its spread stays within."""

_SLOT = 3.5  # width of a column of marks, in points


@styled
def plot_network(model: Model, rows: Float32 | None = None) -> Figure:
    """Weights and activations of a model's best pair.

    Of every layer a heat map of the absolute weights, in which weights that are exactly zero have a
    colour of their own; marks for the nodes that tell nothing; and the mean and standard
    deviation of every node's output. Of layers wider than the figure has pixels, a pixel shows the
    share of its weights that is zero and the mean of the others, and some evenly chosen nodes'
    outputs are drawn.

    Args:
        model: a trained pair.
        rows: data on which to watch the nodes, float32 in [0, 1], shape (rows, n_dim); without
            them, only weights are drawn.

    Returns:
        the encoder's layers in the left half, the decoder's in the right one.

    Raises:
        ValueError: rows are not of that shape, or there is none.
    """
    layers = _structure_of(model, rows)
    halves = [[each for each in layers if each.network == name] for name in ("encoder", "decoder")]
    n_rows = max(map(len, halves))
    widths = [1.0] if rows is None else [1.0, 0.36]
    figure = ShownFigure(figsize=(PAGE, _HEIGHT * n_rows + 0.45))
    grid = figure.subplots(n_rows, 2 * len(widths), squeeze=False, width_ratios=widths * 2)
    for axes in grid.flat:
        axes.set_axis_off()
    for half, column in zip(halves, (0, len(widths)), strict=True):
        for row, layer in enumerate(half):
            _layer(list(grid[row, column : column + len(widths)]), layer)
    _legend(figure, rows is not None)
    return laid_out(figure)


def _layer(panels: Sequence[Axes], layer: _LayerStructure) -> None:
    weights = panels[0]
    weights.set_axis_on()
    weights.set_title(_title(layer))
    n_nodes, n_inputs = layer.weights.shape
    weights.imshow(
        _weight_colours(layer.weights),
        extent=(-0.5, n_inputs - 0.5, n_nodes - 0.5, -0.5),
        aspect="auto",
        interpolation="none",
    )
    weights.set_xlabel("input", labelpad=1)
    weights.set_ylabel("node")
    whole_ticks(weights.xaxis, 5)
    whole_ticks(weights.yaxis, 4)
    _marks(weights, layer)
    if layer.activity is not None:
        _activity(panels[1], layer.activity, layer.activation)


def _title(layer: _LayerStructure) -> str:
    name = f"{layer.network} {layer.name.replace('_', ' ')}"
    counts = [f"{len(layer.weights)} nodes", f"{int(layer.gone.sum())} gone"]
    if layer.activity is not None and layer.activation == "relu":
        counts.append(f"{int(layer.silent.sum())} silent")
    return f"{name}: {', '.join(counts)}"


def _weight_colours(weights: Float32) -> Float64:
    """Weights as an image: opacity for size, another colour for zeros.

    Args:
        weights: float32, shape (nodes, inputs).

    Returns:
        red, green, blue and opacity in [0, 1], shape (at most 300, at most 500, 4).
    """
    sizes = np.abs(weights.astype(np.float64))
    there = np.where(sizes > 0, sizes, np.nan)
    large = np.nanpercentile(there, _LARGE) if np.isfinite(there).any() else 1.0
    gone = block_means(sizes == 0, _PIXELS)
    opacity = (1 - gone) * np.clip(np.nan_to_num(block_means(there, _PIXELS)) / large, 0, 1)
    whole = gone + opacity
    part = np.divide(gone, whole, out=np.zeros_like(gone), where=whole > 0)[..., np.newaxis]
    colours = part * np.array(to_rgb(GONE)) + (1 - part) * np.array(to_rgb(_STRONG))
    return np.concatenate([colours, whole[..., np.newaxis]], axis=2)


def _marks(axes: Axes, layer: _LayerStructure) -> None:
    """Squares right of the rows of nodes that tell nothing, a column for each reason."""
    size = float(np.clip(50 / len(layer.weights), 0.6, 2.6))
    flags = {"constant": layer.constant, "unread": layer.unread, "silent": layer.silent}
    for place, (reason, colour, _) in enumerate(_MARKS):
        nodes = np.flatnonzero(flags[reason])
        right = ScaledTranslation((place + 1) * _SLOT / 72, 0, axes.figure.dpi_scale_trans)
        if not len(nodes):
            continue
        axes.plot(
            np.ones(len(nodes)),
            nodes,
            "s",
            color=colour,
            markersize=size,
            mew=0,
            clip_on=False,
            transform=axes.get_yaxis_transform() + right,
        )


def _activity(axes: Axes, activity: _Activity, activation: Activation) -> None:
    """Mean and standard deviation of every node's output, beside its row.

    Of more nodes than the heat map has rows, those in the middle of each.
    """
    low, high = _POSSIBLE[activation]
    edges = block_edges(len(activity.mean), _PIXELS[0])
    shown = (edges[:-1] + edges[1:]) // 2
    mean, spread = (each[shown].astype(np.float64) for each in (activity.mean, activity.spread))
    axes.set_axis_on()
    axes.stairs(
        np.minimum(mean + spread, high),
        edges - 0.5,
        baseline=np.maximum(mean - spread, low),
        orientation="horizontal",
        fill=True,
        color=_STRONG,
        alpha=0.35,
        linewidth=0,
    )
    axes.vlines(mean, edges[:-1] - 0.5, edges[1:] - 0.5, color=INK, linewidth=0.8)
    axes.set_ylim(len(activity.mean) - 0.5, -0.5)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(2))
    axes.set_xlabel("activation", labelpad=1)


def _legend(figure: Figure, watched: bool) -> None:
    ramp = tuple(Patch(color=_STRONG, alpha=part, linewidth=0) for part in np.linspace(0.05, 1, 8))
    marks = _MARKS if watched else _MARKS[:2]
    handles: dict[str, Any] = {
        "|weight|, from 0 to its layer's 99th percentile": ramp,
        "weight that is zero": Patch(color=GONE, linewidth=0),
        **{
            label: Line2D([], [], color=colour, marker="s", markersize=3.5, mew=0, ls="")
            for _, colour, label in marks
        },
    }
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=3,
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0)},
    )
