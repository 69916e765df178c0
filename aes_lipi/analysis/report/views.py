"""Tables and tests as a page shows them: text, and what it looks like."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from aes_lipi.analysis.baselines import HEAD, contenders
from aes_lipi.analysis.comparisons import Comparison, Comparisons
from aes_lipi.analysis.read import Measurements
from aes_lipi.analysis.statistics import holm, least_p

_NAMES: Mapping[str, str] = {
    "mean_L1": "L1, training rows",
    "mean_test_L1": "L1, test rows",
    "best_mean_L1": "L1, training rows",
    "test_L1": "L1, test rows",
    "test_L1_by_validation": "the same, chosen on validation rows",
    "capacity": "capacity",
    "mean_capacity": "capacity",
    "capacity_published": "capacity, published",
    "mean_capacity_published": "capacity, published",
    "network_size": "network size",
    "encoder_size": "encoder size",
    "decoder_size": "decoder size",
    "wall_time_s": "wall time, s",
}
"""What tables call measures."""

_TEST_NAMES = {
    "wilcoxon": "Wilcoxon signed-rank",
    "mann_whitney": "Mann-Whitney U",
    "none": "no test: no values",
}

_TINY = 0.01  # below which two digits are shown, wherever they stand
_SMALL, _COUNTED = 100, 10_000  # where a number has fewer decimals


@dataclass(frozen=True)
class Grid:
    """A table of text.

    Attributes:
        head: names of the columns.
        rows: the cells.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class _Square:
    """A field of a matrix of comparisons.

    Attributes:
        text: A12 of the row over the column.
        shown: `lower` or `greater` where the row is shown to be that, else empty.
        detail: the whole finding in a line.
    """

    text: str
    shown: str
    detail: str


@dataclass(frozen=True)
class _Family:
    """One family of tests.

    Attributes:
        title: what was compared.
        summary: of what the tests found.
        labels: of the variants, in the matrix's order.
        letters: of the variants, in that order.
        matrix: a row of fields for each variant; None on the diagonal.
        pairs: every comparison.
    """

    title: str
    summary: str
    labels: tuple[str, ...]
    letters: tuple[str, ...]
    matrix: tuple[tuple[_Square | None, ...], ...]
    pairs: Grid


def number(value: float) -> str:
    """A number as tables show it; a dash for NaN."""
    if not math.isfinite(value):
        return "–"
    if 0 < abs(value) < _TINY:
        return f"{value:.2g}"
    if abs(value) >= _COUNTED:
        return f"{value:,.0f}".replace(",", "\N{THIN SPACE}")
    return f"{value:.1f}" if abs(value) >= _SMALL else f"{value:.3f}"


def _told_apart(a: float, b: float) -> tuple[str, str]:
    """Two numbers, in as many decimals as tell them apart if they are nearly the same."""
    shown = number(a), number(b)
    if a == b or shown[0] != shown[1] or shown[0] == "–":
        return shown
    digits = next((n for n in range(4, 9) if round(a, n) != round(b, n)), 8)
    return f"{a:.{digits}f}", f"{b:.{digits}f}"


def _p_value(p: float) -> str:
    """A p-value as it is cited."""
    if not math.isfinite(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _spread_text(row: Any) -> str:
    """Median and quartiles of a row of a table; a dash where there is none."""
    if row is None or not row["n"]:
        return "–"
    return f"{number(row['median'])} [{number(row['q1'])}, {number(row['q3'])}]"


def _interval_text(low: float, high: float) -> str:
    """An interval; a dash where there is none."""
    return "–" if math.isnan(low) else f"{number(low)} to {number(high)}"


def at_a_glance(
    data: Measurements, table: pd.DataFrame, measures: Sequence[str], letters: Mapping[str, str]
) -> Grid:
    """A row per variant: trials, medians with quartiles, and the letters of the losses.

    Args:
        data: the measurements.
        table: of `describe_trials`.
        measures: which, in order; behind the first stands its interval.
        letters: of the comparison of the first measure, by variant id.
    """
    first, *others = measures
    head = ("variant", "trials", _NAMES[first], "95 % interval", "group")
    by_variant = {variant: rows.set_index("measure") for variant, rows in table.groupby("variant")}
    rows = []
    for variant, label in data.labels.items():
        found = by_variant[variant]
        lead: Any = found.loc[first]
        rows.append(
            (
                label,
                _trials(lead),
                _spread_text(lead),
                _interval_text(lead["low"], lead["high"]),
                letters.get(variant, ""),
                *(_spread_text(found.loc[name]) for name in others),
            )
        )
    return Grid((*head, *(_NAMES[name] for name in others)), tuple(rows))


def baselines_grid(data: Measurements) -> Grid:
    """The variants beside constant and PCA; no rows where baselines were not measured."""
    found = contenders(data.trials, data.labels)
    return Grid(("model", *HEAD), tuple((each.name, *each.cells) for each in found))


def _trials(row: Any) -> str:
    failed = f" ({row['failed']} failed)" if row["failed"] else ""
    return f"{row['committed']}{failed}"


def by_generation(table: pd.DataFrame, measures: Sequence[str], most: int) -> Grid:
    """Medians with quartiles and intervals, a row per variant and generation.

    Args:
        table: of `describe_generations`.
        measures: which.
        most: generations per variant, evenly chosen where more were recorded.
    """
    wanted = table[table["generation"].notna() & table["measure"].isin(measures)]
    found = {
        (label, int(generation), measure): row
        for label, generation, measure, row in zip(
            wanted["label"],
            wanted["generation"],
            wanted["measure"],
            wanted.to_dict("records"),
            strict=True,
        )
    }
    recorded: dict[Any, list[int]] = {}
    for label, t, measure in found:
        if measure == measures[0]:
            recorded.setdefault(label, []).append(t)
    rows = []
    for label, generations in recorded.items():
        for t in _chosen(generations, most):
            lead, *others = (found.get((label, t, name)) for name in measures)
            rows.append((str(label), str(t), *_lead(lead), *map(_spread_text, others)))
    names = [_NAMES[name] for name in measures]
    head = ("variant", "generation", "n", names[0], "95 % interval", *names[1:])
    return Grid(head, tuple(rows))


def _lead(row: Any) -> tuple[str, str, str]:
    """Number of values, median with quartiles, and interval."""
    return str(row["n"]), _spread_text(row), _interval_text(row["low"], row["high"])


def _chosen(generations: Sequence[int], most: int) -> list[int]:
    """At most so many of them, the first and the last among them."""
    if len(generations) <= most:
        return list(generations)
    step = (len(generations) - 1) / (most - 1)
    return [generations[round(k * step)] for k in range(most)]


def family(title: str, comparisons: Comparisons) -> _Family:
    """One family of comparisons as it is shown."""
    samples = comparisons.samples
    squares: dict[tuple[str, str], _Square] = {}
    for row in comparisons.pairs():
        squares[row.a, row.b], squares[row.b, row.a] = _squares(row)
    letters = comparisons.letters()
    return _Family(
        title=title,
        summary=_summary(comparisons),
        labels=tuple(sample.label for sample in samples),
        letters=tuple(letters[sample.variant] for sample in samples),
        matrix=tuple(tuple(squares.get((a.variant, b.variant)) for b in samples) for a in samples),
        pairs=pairs_grid(comparisons.pairs()),
    )


_OPPOSITE = {"lower": "greater", "greater": "lower"}


def _squares(pair: Comparison) -> tuple[_Square, _Square]:
    """The fields of a pair, from both of its sides."""
    found = f"{_TEST_NAMES[pair.test]}, p {_p_value(pair.p_holm)}"
    opposite = _OPPOSITE.get(pair.verdict, pair.verdict)
    return (
        _square(pair.a12, pair.verdict, f"{pair.label_a} over {pair.label_b}", found),
        _square(1 - pair.a12, opposite, f"{pair.label_b} over {pair.label_a}", found),
    )


def _square(a12: float, shown: str, which: str, found: str) -> _Square:
    if math.isnan(a12):
        return _Square("–", "", which)
    return _Square(f"{a12:.2f}", shown, f"{which}: A12 {a12:.3f}, {found}")


def pairs_grid(pairs: Sequence[Comparison]) -> Grid:
    """Every comparison in a row."""
    rows = [
        (
            row.label_a,
            row.label_b,
            f"{row.n_a}" if row.n_a == row.n_b else f"{row.n_a}, {row.n_b}",
            *_told_apart(row.median_a, row.median_b),
            _TEST_NAMES[row.test],
            _p_value(row.p),
            _p_value(row.p_holm),
            "–" if math.isnan(row.a12) else f"{row.a12:.3f}",
            _interval_text(row.a12_low, row.a12_high),
            row.magnitude,
            f"a is {row.verdict}" if row.verdict else "not shown to differ",
        )
        for row in pairs
    ]
    head = (
        "a",
        "b",
        "n",
        "median a",
        "median b",
        "test",
        "p",
        "p, Holm",
        "A12",
        "95 % interval",
        "effect",
        "finding",
    )
    return Grid(head, tuple(rows))


def _summary(comparisons: Comparisons) -> str:
    table = comparisons.table
    tested = table[table["test"] != "none"]
    names = " and ".join(_TEST_NAMES[name] for name in tested["test"].unique())
    if not len(tested):
        return "There is nothing to compare."
    least = [least_p(each.test, each.n_a, each.n_b) for each in comparisons.pairs()]
    if np.nanmin(holm(np.array(least))) > comparisons.alpha:
        return (
            f"{names}: with so few trials nothing can be shown, not even of values that do not "
            "overlap. Sharing a letter says nothing here."
        )
    shown = int((tested["verdict"] != "").sum())
    pairs = "1 pair" if len(tested) == 1 else f"{len(tested)} pairs"
    return (
        f"{pairs}, {names}, p-values corrected by Holm for this family: "
        f"{shown or 'no'} {'difference' if shown == 1 else 'differences'} shown at "
        f"{comparisons.alpha:g}."
    )
