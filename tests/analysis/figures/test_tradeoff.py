"""Size against loss: the points, the front, and the axes that show them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from analysis.candidates import candidates
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aes_lipi.analysis.figures.style import INK, _figure_bytes, looks
from aes_lipi.analysis.figures.tradeoff import FRONT, plot_tradeoff, thinned
from aes_lipi.analysis.pareto import Tradeoff

POINTS: dict[str, Any] = {
    "capacity": [1.0, 0.5, 0.75, 0.4],
    "validation_L1": [0.1, 0.2, 0.3, 0.4],
    "variant": ["a", "b", "a", "b"],
}
LOOKS = looks(["a", "b"])


def drawn(*each: Tradeoff) -> Figure:
    figure = plot_tradeoff(each)
    assert figure is not None
    return figure


def places(lines: Iterable[Line2D]) -> list[tuple[float, float]]:
    return [
        (float(x), float(y))
        for line in lines
        for x, y in zip(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), strict=True)
    ]


def steps(axes: Axes) -> Line2D:
    [line] = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    return line


def points(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if line.get_alpha() is not None]


def members(axes: Axes) -> list[Line2D]:
    return [
        line
        for line in axes.lines
        if line.get_alpha() is None and line.get_marker() != "None" and line is not steps(axes)
    ]


def test_of_many_variants_those_on_the_front_are_named() -> None:
    names = [f"v{k:02}" for k in range(20)]
    losses = [0.1 if k == 3 else 0.5 for k in range(20)]
    sizes = [0.5 if k in (3, 7) else 0.9 for k in range(20)]
    sizes[7] = 0.4
    found = candidates(capacity=sizes, validation_L1=losses, variant=names)
    [legend] = drawn(Tradeoff("bits", found)).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "v03",
        "v07",
        FRONT,
        "other variants",
    ]


def test_every_candidate_is_a_light_point_of_its_variant() -> None:
    [axes] = drawn(Tradeoff("bits", candidates(**POINTS))).axes
    first, second = points(axes)
    assert places([first]) == [(1, 0.1), (0.75, 0.3)]
    assert places([second]) == [(0.5, 0.2), (0.4, 0.4)]
    for line, look in zip((first, second), LOOKS.values(), strict=True):
        assert to_hex(str(line.get_color())) == look.colour
        assert line.get_marker() == look.marker
        assert line.get_linestyle() == "None"
    assert axes.get_xlabel() == "capacity: share of parameters that are not zero"
    assert axes.get_ylabel() == "L1, validation rows"
    assert axes.get_title(loc="left") == ""


def test_the_front_is_a_step_line_whose_members_have_an_edge() -> None:
    [axes] = drawn(Tradeoff("bits", candidates(**POINTS))).axes
    assert places([steps(axes)]) == [(0.4, 0.4), (0.5, 0.2), (1, 0.1), (1, 0.1)]
    assert steps(axes).get_color() == INK
    assert sorted(places(members(axes))) == [(0.4, 0.4), (0.5, 0.2), (1, 0.1)]
    for line in members(axes):
        assert line.get_markeredgecolor() == INK
        assert line.get_markerfacecolor() in {look.colour for look in LOOKS.values()}
        assert line.get_zorder() > max(other.get_zorder() for other in points(axes))


def test_the_front_goes_on_to_the_largest() -> None:
    rows = candidates(capacity=[0.4, 1], validation_L1=[0.1, 0.2])
    [axes] = drawn(Tradeoff("bits", rows)).axes
    assert places([steps(axes)]) == [(0.4, 0.1), (1, 0.1)]


def test_what_compaction_leaves_stands_beside_it_on_the_same_axes() -> None:
    left, right = drawn(Tradeoff("", candidates(**POINTS, n_compact=[100, 90, 60, 50]))).axes
    assert right.get_xlabel() == "share of parameters left by compaction"
    assert places([steps(right)]) == [(0.5, 0.4), (0.6, 0.3), (0.9, 0.2), (1, 0.1), (1, 0.1)]
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()


def test_where_compaction_removes_nothing_or_all_zeros_there_is_one_panel() -> None:
    assert len(drawn(Tradeoff("", candidates(**POINTS))).axes) == 1
    assert len(drawn(Tradeoff("", candidates(**POINTS, n_compact=[100, 50, 75, 40]))).axes) == 1


def test_without_pruning_there_is_no_figure() -> None:
    same = candidates(capacity=[1, 1, 1], validation_L1=[0.1, 0.2, 0.3])
    assert plot_tradeoff([]) is None
    assert plot_tradeoff([Tradeoff("", same)]) is None
    assert plot_tradeoff([Tradeoff("", same[:0])]) is None
    assert len(drawn(Tradeoff("", same), Tradeoff("", candidates(**POINTS))).axes) == 1


def test_studies_may_have_other_variants_each() -> None:
    others = candidates(**{**POINTS, "variant": ["c", "d", "c", "d"]})
    figure = drawn(Tradeoff("one", candidates(**POINTS)), Tradeoff("other", others))
    [legend] = figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert [name for name in named if name != FRONT] == ["a", "b", "c", "d"]


def test_networks_of_several_sizes_are_drawn_by_numbers() -> None:
    rows = candidates(**POINTS, n_parameters=[100, 1000, 100, 1000])
    [axes] = drawn(Tradeoff("bits", rows)).axes
    assert axes.get_xlabel() == "parameters that are not zero"
    assert places([steps(axes)])[:2] == [(75, 0.3), (100, 0.1)]


def test_every_data_set_has_a_front_of_its_own() -> None:
    other = candidates(capacity=[0.4, 0.9], validation_L1=[3, 2], variant="b", among="ab")
    above, below = drawn(Tradeoff("bits", candidates(**POINTS)), Tradeoff("bytes", other)).axes
    assert [each.get_title(loc="left") for each in (above, below)] == ["bits", "bytes"]
    assert places([steps(below)]) == [(0.4, 3), (0.9, 2), (0.9, 2)]
    assert to_hex(str(points(below)[0].get_color())) == LOOKS["b"].colour
    assert above.get_ylim() != below.get_ylim()
    assert above.get_xlim() == below.get_xlim()


def test_the_legend_names_the_variants_that_are_there_and_the_front() -> None:
    figure = drawn(Tradeoff("", candidates(**{**POINTS, "variant": "c"}, among="abc")))
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["c", FRONT]
    [line] = points(figure.axes[0])
    assert to_hex(str(line.get_color())) == looks(["a", "b", "c"])["c"].colour


def test_axes_are_logarithmic_where_values_are_far_apart() -> None:
    near = drawn(Tradeoff("", candidates(capacity=[0.3, 1], validation_L1=[0.3, 0.1]))).axes[0]
    assert (near.get_xscale(), near.get_yscale()) == ("linear", "linear")
    far = drawn(Tradeoff("", candidates(capacity=[0.01, 1], validation_L1=[0.5, 0.1]))).axes[0]
    assert (far.get_xscale(), far.get_yscale()) == ("log", "log")
    assert {"0.01", "0.1", "1"} <= ticks(far)
    assert not {"0.02", "0.05"} & ticks(far)
    apart = drawn(Tradeoff("", candidates(capacity=[0.05, 1], validation_L1=[0.5, 0.1]))).axes[0]
    assert {"0.05", "0.1", "0.2", "0.5", "1"} <= ticks(apart)
    empty = drawn(Tradeoff("", candidates(capacity=[0, 1], validation_L1=[0.5, 0]))).axes[0]
    assert (empty.get_xscale(), empty.get_yscale()) == ("linear", "linear")


def ticks(axes: Axes) -> set[str]:
    return {text.get_text() for text in axes.get_xticklabels()}


def test_the_noise_in_the_data_is_a_dotted_line() -> None:
    [axes] = drawn(Tradeoff("bits", candidates(**POINTS), 0.05)).axes
    [floor] = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert set(np.asarray(floor.get_ydata())) == {0.05}


def cloud(n: int) -> Tradeoff:
    rng = np.random.default_rng(1)
    capacity = rng.integers(1, 1001, n) / 1000
    loss = 0.05 + 0.02 / (capacity + 0.05) * rng.uniform(1, 2, n)
    names = np.array(list("abcde"), dtype=object)[rng.integers(5, size=n)]
    return Tradeoff(
        "bits",
        candidates(
            capacity,
            loss,
            variant=names,
            n_parameters=1000,
            n_compact=np.rint(1000 * np.sqrt(capacity)).astype(int),
        ),
    )


def test_many_points_are_thinned_to_what_can_be_seen_and_the_front_is_whole() -> None:
    large = cloud(100_000)
    figure = drawn(large)
    for axes, size in zip(figure.axes, ("capacity", "compact"), strict=True):
        assert 500 < len(places(points(axes))) <= 2000
        front = large.front(size)  # type: ignore[arg-type]
        assert sorted(y for _, y in places(members(axes))) == sorted(large.losses[front])
    assert len(_figure_bytes(figure, "svg")) < 600_000


def test_members_of_a_crowded_front_are_small() -> None:
    n = np.arange(1, 61)
    rows = candidates(n / 60, 1 / n, n_parameters=60)
    few = drawn(Tradeoff("", candidates(**POINTS))).axes[0]
    many = drawn(Tradeoff("", rows)).axes[0]
    assert members(many)[0].get_markersize() < members(few)[0].get_markersize()


def test_of_thinned_points_none_is_far_from_one_that_is_kept() -> None:
    rng = np.random.default_rng(2)
    everywhere = np.concatenate([rng.normal(size=(5000, 2)), [[9, 9], [-9, 9]]])
    kept = thinned(everywhere, 300)
    assert (np.diff(kept) > 0).all()
    assert len(kept) <= 300
    assert {5000, 5001} <= set(kept)
    distances = np.abs(everywhere[:, np.newaxis] - everywhere[kept]).max(axis=2).min(axis=1)
    assert distances.max() < 18 / 10
    few = everywhere[:100]
    assert thinned(few, 300).tolist() == list(range(100))
    assert thinned(np.ones((9, 2)), 300).tolist() == [0]


@pytest.mark.parametrize("n", [2, 300])
def test_every_figure_can_be_written(n: int) -> None:
    long = cloud(n).candidates
    names = {name: f"a label, {name}, that is long " * 4 for name in long["label"].cat.categories}
    renamed = long.assign(label=long["label"].cat.rename_categories(names))
    data = "a/path/to/some/data/in/a/folder/that/is/far/down.csv"
    assert _figure_bytes(drawn(Tradeoff(data, renamed, 0.05), Tradeoff(data, renamed)), "svg")
