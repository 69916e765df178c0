"""Pictures that explain: drawn of the package's own functions, for light and for dark pages.

`python -m sitegen.pictures FOLDER` draws all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from aes_lipi.autoencoders.network import ActivationStatistics, chain, initial_genome
from aes_lipi.coevolution.schedule import update_order
from aes_lipi.coevolution.topology import ring
from aes_lipi.config import Variant
from aes_lipi.pruning.contract import Evidence, Settings
from aes_lipi.pruning.operators import OPERATORS
from aes_lipi.pruning.schedules import SCHEDULES, prune_amount, prune_probability
from sitegen.colours import SCHEMES, Colours

_STEPS = (
    ("gather", "copies of the\nneighbours' pairs"),
    ("evaluate", "every encoder with\nevery decoder"),
    ("select", "tournament of two:\nthe winner's pair"),
    ("train", "one pass over\nthe rows"),
    ("prune", "if the schedule's\ndraw says so"),
    ("replace", "the pair is the\nnew centre"),
)


def _bare(axes: Axes) -> None:
    axes.set_aspect("equal")
    axes.set_axis_off()


def _box(
    axes: Axes, place: tuple[float, float, float, float], text: str, colours: Colours, fill: str
) -> None:
    """A rounded box with text in it; `place` is its left, bottom, width and height."""
    x, y, width, height = place
    axes.add_patch(
        FancyBboxPatch(
            *((x, y), width, height),
            boxstyle="round,pad=0,rounding_size=0.12",
            facecolor=fill,
            edgecolor=colours.soft,
        )
    )
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", color=colours.ink)


def _arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str,
    bend: float = 0.0,
) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0, "lw": 1.3}
    style["connectionstyle"] = f"arc3,rad={bend}"
    axes.annotate("", xy=end, xytext=start, arrowprops=style)


def _ring(colours: Colours) -> Figure:
    """Ten cells, the neighbourhood of one, and what happens in a generation of it."""
    figure = Figure(figsize=(9.6, 3.6))
    cells, steps = figure.subplots(1, 2, width_ratios=(1, 1.75))
    n = 10
    angles = np.pi / 2 - 2 * np.pi * np.arange(n) / n
    places = np.column_stack([np.cos(angles), np.sin(angles)])
    members = ring(n, 1)[0]
    cells.plot(*(1.0 * np.vstack([places, places[:1]])).T, color=colours.soft, lw=1, zorder=0)
    for i, (x, y) in enumerate(places):
        fill = colours.series[0] if i == 0 else colours.tint if i in members else colours.paper
        ink = colours.paper if i == 0 else colours.ink
        cells.scatter(x, y, s=420, color=fill, edgecolors=colours.ink, linewidths=1)
        cells.text(x, y, str(i), ha="center", va="center", color=ink)
    for j in members[1:]:
        start, end = places[j] * 1.22, places[0] * 1.24 + 0.1 * np.sign(places[j] - places[0])
        bend = 0.25 if places[j][0] > 0 else -0.25
        _arrow(cells, tuple(start), tuple(end), colours.series[0], bend)
    cells.text(0, 0.12, "each cell: an encoder\nand a decoder", ha="center", color=colours.ink)
    cells.text(0, -0.35, "cell 0 reads copies\nof 1 and 9", ha="center", color=colours.ink)
    cells.set(xlim=(-1.4, 1.4), ylim=(-1.3, 1.55))
    _bare(cells)
    for k, (name, text) in enumerate(_STEPS):
        row, column = divmod(k, 3)
        x, y = 2.35 * column, 1.75 * (1 - row)
        fill = colours.tint if name == "prune" else colours.paper
        _box(steps, (x, y, 2.0, 1.3), f"{k + 1}. {name}\n{text}", colours, fill)
        if column:
            _arrow(steps, (x - 0.35, y + 0.65), (x, y + 0.65), colours.ink)
    _arrow(steps, (5.7, 1.75), (1.0, 1.3), colours.ink)
    steps.text(0, 3.25, "one generation of one cell", color=colours.ink, weight="bold")
    steps.set(xlim=(-0.1, 6.9), ylim=(-0.2, 3.6))
    _bare(steps)
    return figure


_SIZES = (6, 5, 3)
_SHOWN = {
    "random": "random\n40 % of every tensor",
    "activation": "activation (VARIANCE)\nmost varied nodes lose most",
    "lexicase": "lexicase (CONJUNCTIVE)\nnodes quiet on every row",
    "magnitude": "magnitude\nthe 40 % of smallest weights",
    "hidden_node": "magnitude, hidden nodes\nthe 40 % of weakest nodes",
}


def _operators(colours: Colours) -> Figure:
    """A small encoder before and after one event of each operator."""
    rng = np.random.default_rng(4)
    layout = chain(("hidden", "code"), _SIZES, "relu")
    genome = initial_genome(layout, rng)
    rows = rng.random((100, _SIZES[0]), dtype=np.float32)
    seen = np.concatenate(layout.outputs(genome, rows), axis=1)
    statistics = ActivationStatistics.of_batch(seen[:5], 5)
    for first in range(5, len(seen), 5):
        statistics = statistics.merged(ActivationStatistics.of_batch(seen[first : first + 5], 5))
    known = Evidence(statistics, seen)
    figure = Figure(figsize=(8.4, 4.9))
    panels = figure.subplots(2, 3).ravel()
    _network(panels[0], genome, np.ones(layout.size, dtype=bool), colours)
    panels[0].set_title("before\nwidth: size of a weight", color=colours.ink, fontsize=9)
    for axes, (name, title) in zip(panels[1:], _SHOWN.items(), strict=True):
        method = "magnitude" if name == "hidden_node" else name
        unit = "hidden_node" if name == "hidden_node" else "weight"
        settings = Settings(method, amount=0.4, threshold=0.3, unit=unit)  # type: ignore[arg-type]
        keep = OPERATORS[method].function(genome, layout, known, settings, rng)
        _network(axes, genome, keep, colours)
        axes.set_title(title, color=colours.ink, fontsize=9)
    return figure


def _network(axes: Axes, genome: np.ndarray, keep: np.ndarray, colours: Colours) -> None:
    """Nodes in columns; what is pruned is dotted, a node without what leads to it is hollow."""
    layout = chain(("hidden", "code"), _SIZES, "relu")
    heights = [np.linspace(1, -1, n) * n / 6 for n in _SIZES]
    for k in range(2):
        weights = layout.weight(genome, k)
        kept = keep[layout.weight_slice(k)].reshape(weights.shape)
        for node, row in enumerate(weights):
            for source, weight in enumerate(row):
                ends = (heights[k][source], heights[k + 1][node])
                is_kept = bool(kept[node, source])
                colour = colours.series[0] if is_kept else colours.soft
                width = 0.4 + 4 * abs(float(weight)) if is_kept else 0.8
                line = "-" if is_kept else ":"
                axes.plot((k, k + 1), ends, zorder=1, color=colour, lw=width, ls=line)
            fill = colours.ink if kept[node].any() else colours.paper
            place = (k + 1, heights[k + 1][node])
            axes.scatter(*place, s=90, color=fill, edgecolors=colours.ink, zorder=2)
    ends = (np.zeros(_SIZES[0]), heights[0])
    axes.scatter(*ends, s=90, color=colours.tint, edgecolors=colours.ink, zorder=2)
    axes.set_axis_off()


def _schedules(colours: Colours) -> Figure:
    """The probability of a prune event over the generations, for every schedule."""
    figure = Figure(figsize=(8.4, 3.6))
    axes = figure.subplots()
    epochs = 400
    for k, name in enumerate(SCHEDULES):
        variant = Variant(prune_method="random", prune_schedule=name, epochs=epochs)
        values = [prune_probability(variant, t, 3) for t in range(epochs)]
        dashes = "-" if k < 4 else "--"
        if name == "gradual":
            values = [prune_amount(variant, t) / variant.prune_amount for t in range(epochs)]
        label = "gradual: share of its amount" if name == "gradual" else name
        axes.plot(values, color=colours.series[k % 4], ls=dashes, lw=1.8, label=label)
    axes.set(xlabel="generation", ylabel="probability of a prune event", ylim=(-0.02, 1.05))
    axes.legend(ncols=1, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure


def _order(colours: Colours) -> Figure:
    """Sequential order as data flow: what each step reads, and what can be computed at once."""
    variant, n, generations = Variant(population_size=6, epochs=3), 6, 3
    members, reached = ring(n, 1), [-1] * n
    wave: dict[tuple[int, int], int] = {}
    arrows = []
    for t in range(generations):
        for i in update_order(variant, 0, t):
            reads = [(j, reached[j]) for j in members[i]]
            start = max((wave.get(each, 0) for each in reads), default=0) + 1
            wave[i, t] = start
            arrows += [(each, (i, t)) for each in reads if each in wave and each[0] != i]
            reached[i] = t
    figure = Figure(figsize=(8.4, 3.3))
    axes = figure.subplots()
    for (j, s), (i, t) in arrows:
        _arrow(axes, (wave[j, s] + 0.27, j), (wave[i, t] - 0.28, i), colours.soft)
    for (i, t), x in wave.items():
        axes.scatter(x, i, s=430, color=colours.series[t], edgecolors="none", zorder=3)
        axes.text(x, i, str(t), ha="center", va="center", color=colours.paper, zorder=4)
    axes.set(xlabel="steps that can be computed at the same time", yticks=range(n))
    axes.set(ylabel="cell", ylim=(n - 0.5, -0.5), xticks=range(1, max(wave.values()) + 1))
    axes.tick_params(length=0)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    return figure


def _commit(colours: Colours) -> Figure:
    """What is written of a trial, in order, and what counts if the driver dies in between."""
    steps = (
        ("checkpoints/\nwhile it runs", "goes on from\nthe last one"),
        ("models/\ntrial.safe-\ntensors", "goes on from\nthe last one"),
        ("generations/\ntrial.parquet", "goes on from\nthe last one"),
        ("trials/\ntrial.parquet", "goes on from\nthe last one"),
        ("committed/\ntrial.json", "is done, with\nits digests"),
        ("checkpoints/\nremoved", "is done"),
    )
    figure = Figure(figsize=(8.4, 2.3))
    axes = figure.subplots()
    for k, (what, then) in enumerate(steps):
        fill = colours.tint if what.startswith("committed") else colours.paper
        _box(axes, (2.1 * k, 1.2, 1.75, 1.0), what, colours, fill)
        if k:
            _arrow(axes, (2.1 * k - 0.35, 1.7), (2.1 * k, 1.7), colours.ink)
        colour = colours.series[1] if "done" in then else colours.series[3]
        axes.text(2.1 * k + 0.875, 0.55, then, ha="center", va="center", color=colour)
    axes.text(0, 0.02, "killed after this, the trial ...", color=colours.ink, style="italic")
    axes.set(xlim=(-0.1, 12.5), ylim=(-0.1, 2.4))
    _bare(axes)
    return figure


def _bits(colours: Colours) -> Figure:
    """A draw has an address; who computes it, and when, does not matter."""
    figure = Figure(figsize=(8.4, 2.6))
    axes = figure.subplots()
    address = "seed 1, trial 7, cell 3,\ngeneration 120, TOURNAMENT"
    for k, where in enumerate(("one process", "eight workers", "a cluster, after a crash")):
        y = 2.2 - 1.1 * k
        _box(axes, (0, y, 2.6, 0.85), where, colours, colours.paper)
        _box(axes, (3.3, y, 3.4, 0.85), address, colours, colours.tint)
        _arrow(axes, (2.6, y + 0.42), (3.3, y + 0.42), colours.ink)
        _arrow(axes, (6.7, y + 0.42), (7.7, 1.52), colours.ink)
    _box(axes, (7.7, 1.1, 2.5, 0.85), "the same two\nnumbers drawn", colours, colours.tint)
    axes.set(xlim=(-0.1, 10.3), ylim=(-0.1, 3.2))
    _bare(axes)
    return figure


PICTURES: Mapping[str, Callable[[Colours], Figure]] = {
    "ring": _ring,
    "operators": _operators,
    "schedules": _schedules,
    "order": _order,
    "commit": _commit,
    "bits": _bits,
}
"""What pages can have drawn, by name."""


def draw(name: str, folder: Path) -> None:
    """Draw a picture for light and for dark pages: `<name>-light.svg` and `<name>-dark.svg`.

    Args:
        name: of the picture.
        folder: where the files go.
    """
    for scheme, colours in SCHEMES.items():
        chosen: Any = {**colours.settings(), "font.size": 8.5, "svg.hashsalt": name}
        with mpl.rc_context(chosen):
            figure = PICTURES[name](colours)
            figure.savefig(
                folder / f"{name}-{scheme}.svg",
                bbox_inches="tight",
                transparent=True,
                metadata={"Date": None},
            )


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    for each in PICTURES:
        draw(each, Path(sys.argv[1]))
