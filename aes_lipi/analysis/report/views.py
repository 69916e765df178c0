"""Tables and tests as a page shows them: text, and what it looks like."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from aes_lipi.analysis.baselines import contender_columns, contenders
from aes_lipi.analysis.comparisons import OUT_OF_REACH, Comparison, Comparisons, finding
from aes_lipi.analysis.hypotheses import least_p
from aes_lipi.analysis.measures import MEASURE_NAMES, SIZES
from aes_lipi.analysis.read import Measurements

_TEST_NAMES = {
    "wilcoxon": "Wilcoxon signed-rank",
    "mann_whitney": "Mann-Whitney U",
    "none": "no test: no values",
}

_TINY = 0.01  # below which two digits are shown, wherever they stand
_SMALL, _LARGE = 100, 10_000  # where a number has fewer decimals
_NO_BREAK = "\N{NO-BREAK SPACE}"
_COUNTS = tuple(SIZES)
"""Measures that are shown as whole numbers."""


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


def number(value: float, *, is_count: bool = False) -> str:
    """A number as tables show it, whole if it counts something; a dash for NaN."""
    if not math.isfinite(value):
        return "–"
    if is_count or abs(value) >= _LARGE:
        return f"{value:,.0f}"
    if 0 < abs(value) < _TINY:
        return f"{value:.2g}"
    return f"{value:,.1f}" if abs(value) >= _SMALL else f"{value:.3f}"


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


def _spread_text(row: Any, measure: str) -> str:
    """Median and quartiles of a row of a table, which break in one place; a dash for none."""
    if row is None or not row["n"]:
        return "–"
    median, q1, q3 = (number(row[k], is_count=measure in _COUNTS) for k in ("median", "q1", "q3"))
    return f"{median} [{q1},{_NO_BREAK}{q3}]"


def _interval_text(low: float, high: float) -> str:
    """An interval; a dash where there is none."""
    return "–" if math.isnan(low) else f"{number(low)}{_NO_BREAK}to{_NO_BREAK}{number(high)}"


def standing(families: Mapping[str, Comparisons]) -> tuple[str, ...]:
    """What a study can show, a sentence for each family of tests, or one for several.

    Args:
        families: by what is compared, as in `test loss`.
    """
    said: dict[str, list[str]] = {}
    for what, comparisons in families.items():
        said.setdefault(_standing(comparisons), []).append(what)
    return tuple(f"{_capital(' and '.join(what))}: {text}" for text, what in said.items() if text)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _standing(comparisons: Comparisons) -> str:
    """What one family can show; empty where there is nothing to compare."""
    tested = comparisons.tested
    if not len(tested):
        return ""
    n_pairs = "one pair" if len(tested) == 1 else f"{len(tested):,} pairs"
    if not comparisons.can_show:
        return f"no difference can be shown between these variants. {_out_of_reach(comparisons)}"
    shown, beyond = comparisons.n_shown, int((tested["verdict"] == OUT_OF_REACH).sum())
    sentence = f"of {n_pairs}, {shown or 'none'} {'is' if shown < 2 else 'are'} shown to differ."
    if not beyond:
        return sentence
    few = f"Of {beyond:,} pairs no difference can be shown with so few trials."
    return f"{sentence} {few} {comparisons.trials_needed} of each variant would do for all."


def _out_of_reach(comparisons: Comparisons) -> str:
    """Why nothing can be shown, and what would do."""
    tested = comparisons.tested
    best: Any = tested.iloc[int(tested["p_least"].argmin())]
    n = min(best["n_a"], best["n_b"])
    trials = "one trial" if n == 1 else f"{n} trials"
    least = number(least_p(best["test"], best["n_a"], best["n_b"]))
    test = _TEST_NAMES[best["test"]]
    of = "" if len(tested) == 1 else f", which {len(tested):,} comparisons multiply"
    return (
        f"With {trials} of each, p is {least} at the least ({test}, values that do not overlap)"
        f"{of}; below {comparisons.alpha:g} it would show something. "
        f"{comparisons.trials_needed} trials of each variant would do; a study that is run again "
        "with more trials adds those that are missing."
    )


def at_a_glance(
    data: Measurements,
    table: pd.DataFrame,
    measures: Sequence[str],
    losses: Comparisons,
    *,
    lowest_first: bool = False,
) -> Grid:
    """A row per variant: trials, medians with quartiles, and the letters of the losses.

    Letters are left out where no difference can be shown, or where they would be too many.

    Args:
        data: the measurements.
        table: of `describe_trials`.
        measures: which, in order; behind the first stands its interval.
        losses: the comparisons of the first measure.
        lowest_first: whether rows are in the order of the first measure, not in that of the labels.
    """
    first, *others = measures
    letters = losses.telling_letters
    group = () if letters is None else ("group",)
    head = ("variant", "trials", MEASURE_NAMES[first], "95 % interval", *group)
    by_variant = {variant: rows.set_index("measure") for variant, rows in table.groupby("variant")}
    order = list(data.labels)
    if lowest_first:
        order.sort(key=lambda each: np.nan_to_num(by_variant[each]["median"][first], nan=np.inf))
    rows = []
    for variant in order:
        found = by_variant[variant]
        lead: Any = found.loc[first]
        rows.append(
            (
                data.labels[variant],
                _trials(lead),
                _spread_text(lead, first),
                _interval_text(lead["low"], lead["high"]),
                *(() if letters is None else (letters[variant],)),
                *(_spread_text(found.loc[name], name) for name in others),
            )
        )
    return Grid((*head, *(MEASURE_NAMES[name] for name in others)), tuple(rows))


def baselines_grid(data: Measurements) -> Grid:
    """The variants beside constant and PCA; no rows where baselines were not measured."""
    found = contenders(data.trials, data.labels)
    columns = contender_columns(found)
    names = [each.name for each in found]
    return Grid(("model", *columns), tuple(zip(names, *columns.values(), strict=True)))


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
            texts = map(_spread_text, others, measures[1:])
            rows.append((str(label), str(t), *_lead(lead, measures[0]), *texts))
    names = [MEASURE_NAMES[name] for name in measures]
    head = ("variant", "generation", "n", names[0], "95 % interval", *names[1:])
    return Grid(head, tuple(rows))


def _lead(row: Any, measure: str) -> tuple[str, str, str]:
    """Number of values, median with quartiles, and interval."""
    return str(row["n"]), _spread_text(row, measure), _interval_text(row["low"], row["high"])


def _chosen(generations: Sequence[int], most: int) -> list[int]:
    """At most so many of them, the first and the last among them."""
    if len(generations) <= most:
        return list(generations)
    step = (len(generations) - 1) / (most - 1)
    return [generations[round(k * step)] for k in range(most)]


def family(title: str, comparisons: Comparisons, most: int) -> _Family:
    """One family of comparisons as it is shown; of more variants than `most` no pairs are."""
    samples = comparisons.samples
    drawn = samples if len(samples) <= most else ()
    pairs = comparisons.pairs() if drawn else []
    squares: dict[tuple[str, str], _Square] = {}
    for row in pairs:
        squares[row.a, row.b], squares[row.b, row.a] = _squares(row)
    letters = comparisons.telling_letters or {}
    return _Family(
        title=title,
        summary=_summary(comparisons),
        labels=tuple(sample.label for sample in samples),
        letters=tuple(letters.get(sample.variant, "–") for sample in samples),
        matrix=tuple(tuple(squares.get((a.variant, b.variant)) for b in drawn) for a in drawn),
        pairs=pairs_grid(pairs),
    )


_OPPOSITE = {"lower": "greater", "greater": "lower"}


def _squares(pair: Comparison) -> tuple[_Square, _Square]:
    """The fields of a pair, from both of its sides."""
    found = f"{_TEST_NAMES[pair.test]}, p {_p_value(pair.p_holm)}"
    shown = pair.verdict if pair.is_shown else ""
    opposite = _OPPOSITE.get(shown, shown)
    return (
        _square(pair.a12, shown, f"{pair.label_a} over {pair.label_b}", found),
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
            finding(row),
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
    tested = comparisons.tested
    names = " and ".join(_TEST_NAMES[name] for name in tested["test"].unique())
    if not len(tested):
        return "There is nothing to compare."
    if not comparisons.can_show:
        return f"No difference can be shown. {_out_of_reach(comparisons)}"
    shown = comparisons.n_shown
    pairs = "1 pair" if len(tested) == 1 else f"{len(tested)} pairs"
    return (
        f"{pairs}, {names}, p-values corrected by Holm for this family: "
        f"{shown or 'no'} {'difference' if shown == 1 else 'differences'} shown at "
        f"{comparisons.alpha:g}."
    )
