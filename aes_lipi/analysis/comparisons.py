"""Pairwise comparisons of variants: a table of tests and effect sizes, and letters at a glance."""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache, partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from aes_lipi.analysis.hypotheses import holm, least_p, pair_tests, trials_needed
from aes_lipi.analysis.statistics import Effects, check_share, effects_of
from aes_lipi.analysis.tables import Sample
from aes_lipi.arrays import Float64, Int64
from aes_lipi.errors import UserError, printable
from aes_lipi.summaries import Summarised

MAX_VARIANTS = 200

MOST_LETTERS = 400
"""Groups of variants that are told by letters."""


@dataclass(frozen=True)
class Comparison:
    """A pair of variants; see the table of `Comparisons`."""

    a: str
    b: str
    label_a: str
    label_b: str
    test: str
    n_a: int
    n_b: int
    median_a: float
    median_b: float
    statistic: float
    p: float
    p_holm: float
    p_least: float
    a12: float
    a12_low: float
    a12_high: float
    magnitude: str
    verdict: str

    @property
    def is_shown(self) -> bool:
        """Whether the two are shown to differ."""
        return self.verdict in _VERDICTS.values()


COLUMNS = tuple(field.name for field in fields(Comparison))

_VERDICTS = {-1: "lower", 0: "different", 1: "greater"}

OUT_OF_REACH = "cannot be shown"
"""The verdict on a pair of too few trials: whatever they measure, no difference would be shown."""


@dataclass(frozen=True, repr=False)
class Comparisons(Summarised):
    """The comparisons of one family.

    Attributes:
        samples: what was compared.
        alpha: the family's error rate.
        table: a row per pair, with the columns `COLUMNS`. `n_*` and `median_*` are of the values
            that were tested: of a paired test those of the trials that both have. `p_holm` is
            adjusted for all pairs of the table that were tested; `p_least` is what it would be if
            the values of no pair overlapped, the smallest that so many trials can reach. `a12` is
            the chance that a value of `a` is greater than one of `b`, `a12_low` and `a12_high` its
            bootstrap interval. `verdict` says what the values of `a` are shown to be: `lower`,
            `greater`, `different` (in no direction), empty if nothing is shown, or
            `cannot be shown` if nothing is and `p_least` is above the error rate.
        complete: whether the family is all pairs of the samples.
    """

    samples: tuple[Sample, ...]
    alpha: float
    table: pd.DataFrame
    complete: bool

    @property
    def _summary(self) -> str:
        of = f"{len(self.table)} pairs of {len(self.samples)} variants at alpha {self.alpha:g}"
        return f"Comparisons: {of}, {self.n_shown} shown to differ; .table, .letters()"

    def _lines(self) -> list[str]:
        return [
            f"{each.a}, {each.b}: {finding(each)}, p_holm {each.p_holm:.3g}, a12 {each.a12:.2f}"
            for each in self.pairs()
        ]

    def pairs(self) -> list[Comparison]:
        """The rows of the table."""
        records = self.table[list(COLUMNS)].to_dict("records")
        return [Comparison(**{str(name): each[name] for name in each}) for each in records]

    @property
    def tested(self) -> pd.DataFrame:
        """The rows of the pairs that could be tested: that have values."""
        return self.table[self.table["test"] != "none"]

    @property
    def n_shown(self) -> int:
        """How many pairs are shown to differ."""
        return int(self.table["verdict"].isin(_VERDICTS.values()).sum())

    @property
    def can_show(self) -> bool:
        """Whether any difference could be shown with so many trials, whatever they measure."""
        return bool((self.table["p_least"] <= self.alpha).any())

    @property
    def trials_needed(self) -> int:
        """The fewest trials of each variant with which every pair can be shown to differ."""
        tests = self.tested["test"]
        needed = [trials_needed(test, len(tests), self.alpha) for test in tests.unique()]
        return max(needed, default=0)

    def p_values(self) -> pd.DataFrame:
        """The adjusted p-values as a symmetric matrix, by variant id; NaN where none was tested."""
        names = pd.Index([sample.variant for sample in self.samples])
        rows, columns = (names.get_indexer(pd.Index(self.table[side])) for side in ("a", "b"))
        matrix = np.full((len(names), len(names)), np.nan)
        matrix[rows, columns] = matrix[columns, rows] = self.table["p_holm"]
        return pd.DataFrame(matrix, index=names, columns=names)

    def letters(self) -> dict[str, str]:
        """A letter display by variant id, the lowest median first.

        Variants that share a letter are not shown to differ, which does not say that they are
        equal. Variants without values have none.

        Raises:
            UserError: the family is not all pairs, and sharing a letter would mean nothing (compare
                without `pairs`), or it takes more than `MOST_LETTERS` (look at the table).
        """
        if not self.complete:
            raise UserError("letters need all pairs of the variants; compare them without `pairs`")
        if self._letters is None:
            raise UserError(f"it takes more than {MOST_LETTERS} letters; look at the table")
        return dict(self._letters)

    @property
    def telling_letters(self) -> Mapping[str, str] | None:
        """The letters; None where no difference can be shown, or where they would be too many."""
        return self._letters if self.complete and self.can_show else None

    @cached_property
    def _letters(self) -> Mapping[str, str] | None:
        known = [sample for sample in self.samples if len(sample.values)]
        order = [each.variant for each in sorted(known, key=lambda each: np.median(each.values))]
        different = (self.p_values().loc[order, order] <= self.alpha).to_numpy(dtype=bool)
        letters = _letter_display(different)
        if letters is None:
            return None
        found = dict(zip(order, letters, strict=True))
        return {sample.variant: found.get(sample.variant, "") for sample in self.samples}


def finding(pair: Comparison) -> str:
    """What a comparison shows, in words."""
    if pair.is_shown:
        return f"a is {pair.verdict}"
    return "no difference can be shown" if pair.verdict else "not shown to differ"


def compare(
    samples: Sequence[Sample],
    *,
    pairs: Iterable[tuple[str, str]] | None = None,
    paired: bool | None = None,
    alpha: float = 0.05,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 1,
) -> Comparisons:
    """Compare variants pairwise, in one family.

    Args:
        samples: of `generation_samples` or `trial_samples`.
        pairs: the family, as pairs of variant ids, declared before the values were seen; by
            default all pairs.
        paired: whether trials of the same number belong together: Wilcoxon's signed-rank test over
            those that both variants have, else the Mann-Whitney U test. By default they do where
            both samples have the same seed and any trial in common.
        alpha: the family's error rate (Holm).
        level: of the bootstrap intervals of A12; they are not adjusted.
        resamples: of each interval.
        seed: of the resamples.

    Raises:
        UserError: too many samples (choose `MAX_VARIANTS`), a pair names no sample,
            trials are to be paired whose values are not one per trial (use such a unit), or a
            number is out of bounds.
    """
    check_share("alpha", alpha)
    check_share("level", level)
    _check_least("resamples", resamples, 1)
    _check_least("seed", seed, 0)
    if len(samples) > MAX_VARIANTS:
        raise UserError(
            f"{len(samples)} variants make too many pairs; choose {MAX_VARIANTS} at most"
        )
    by_id = {sample.variant: sample for sample in samples}
    family = _family(by_id, pairs)
    effects = partial(effects_of, level=level, resamples=resamples, seed=seed)
    table = _compared([(by_id[a], by_id[b]) for a, b in family], paired, effects)
    table["p_holm"] = holm(table["p"].to_numpy(dtype=np.float64))
    table["p_least"] = holm(table["p_least"].to_numpy(dtype=np.float64))
    unknown = np.where(table["p_least"] <= alpha, "", OUT_OF_REACH)
    table["verdict"] = table["verdict"].where(table["p_holm"] <= alpha, unknown)
    return Comparisons(tuple(samples), alpha, table, pairs is None)


def _family(
    by_id: dict[str, Sample], pairs: Iterable[tuple[str, str]] | None
) -> list[tuple[str, str]]:
    if pairs is None:
        return list(itertools.combinations(by_id, 2))
    family = list(dict.fromkeys(pairs))
    for name in itertools.chain.from_iterable(family):
        if name not in by_id:
            raise UserError(f"{printable(name)}: no variant of that id among the samples")
    known = {frozenset(pair) for pair in family}
    if len(known) < len(family) or any(len(pair) < 2 for pair in known):
        raise UserError("pairs: each must be of two variants, and none may be there twice")
    return family


_Values = tuple[bool, Float64, Float64]
"""Whether a pair is tested as values that belong together, and the values."""


def _compared(
    family: Sequence[tuple[Sample, Sample]], paired: bool | None, effects: Callable[..., Effects]
) -> pd.DataFrame:
    """The rows of the pairs, without what depends on the family; pairs of one size at once."""
    values = [_values_of(a, b, paired) for a, b in family]
    alike: dict[tuple[bool, int, int], list[int]] = {}
    for place, (together, x, y) in enumerate(values):
        alike.setdefault((together, len(x), len(y)), []).append(place)
    parts = [
        _of_one_size([values[k] for k in places], places, effects) for places in alike.values()
    ]
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    names = {
        **{side: [pair[k].variant for pair in family] for k, side in enumerate(("a", "b"))},
        **{f"label_{side}": [pair[k].label for pair in family] for k, side in enumerate("ab")},
    }
    table = pd.concat(parts).sort_index().assign(p_holm=np.nan, **names)
    return table[list(COLUMNS)]


def _of_one_size(
    values: Sequence[_Values], places: Sequence[int], effects: Callable[..., Effects]
) -> pd.DataFrame:
    """What is measured of pairs that have as many values each, indexed by their places."""
    together = values[0][0]
    x, y = (np.stack([each[side] for each in values]) for side in (1, 2))
    tests, apart = pair_tests(x, y, paired=together), effects(x, y, paired=together)
    columns = {
        **{"n_a": x.shape[1], "n_b": y.shape[1], "median_a": _medians(x), "median_b": _medians(y)},
        **{"test": tests.name, "statistic": tests.statistic, "p": tests.p},
        "p_least": least_p(tests.name, x.shape[1], y.shape[1]),
        **{"a12": apart.a12, "a12_low": apart.low, "a12_high": apart.high},
        "magnitude": apart.magnitude,
        "verdict": [_VERDICTS[direction] for direction in tests.direction.tolist()],
    }
    return pd.DataFrame(columns, index=pd.Index(places))


def _values_of(a: Sample, b: Sample, paired: bool | None) -> _Values:
    """What is compared of two samples: all values, or those of the trials that both have.

    Raises:
        UserError: trials are to be paired that have several values; use a unit of one value per
            trial.
    """
    by_design = a.seed is not None and a.seed == b.seed
    if paired is False or (paired is None and not by_design):
        return False, a.values, b.values
    mine, theirs = (each.trials.astype(np.int64).tobytes() for each in (a, b))
    first, second = _places_of_both(mine, theirs)
    if paired is None and not len(first):
        return False, a.values, b.values
    for sample, trials in ((a, mine), (b, theirs)):
        if _repeats(trials):
            raise UserError(
                f"{sample.label}: has several values of a trial, which cannot be paired; use a "
                "unit of one value per trial"
            )
    return True, a.values[first], b.values[second]


@lru_cache(maxsize=1024)
def _places_of_both(a: bytes, b: bytes) -> tuple[Int64, Int64]:
    """Where two lists of trials have those that are in both, in ascending order.

    Args:
        a: int64 numbers as bytes, so that lists that most samples have are compared once.
        b: likewise.
    """
    trials = np.frombuffer(a, np.int64), np.frombuffer(b, np.int64)
    _, first, second = np.intersect1d(trials[0], trials[1], return_indices=True)
    return first.astype(np.int64), second.astype(np.int64)


@lru_cache(maxsize=1024)
def _repeats(trials: bytes) -> bool:
    """Whether a list of trials, as in `_places_of_both`, has one twice."""
    numbers = np.frombuffer(trials, np.int64)
    return len(np.unique(numbers)) < len(numbers)


def _medians(values: Float64) -> Float64:
    """Of samples, shape (samples, n): NaN without values."""
    if not values.shape[1]:
        return np.full(len(values), np.nan)
    found: Float64 = np.median(values, axis=1)
    return found


def _check_least(name: str, value: int, least: int) -> None:
    """Refuse a number that is too small.

    Raises:
        UserError: the value is below the least; give that or more.
    """
    if value < least:
        raise UserError(f"{name}: must be {least} or more (got {value})")


_ALPHABET = string.ascii_lowercase + string.ascii_uppercase


def _letter_display(different: npt.NDArray[np.bool_]) -> list[str] | None:
    """Letters such that two things share one exactly if they do not differ.

    Insert and absorb of Piepho, "An algorithm for a letter-based representation of all-pairwise
    comparisons", Journal of Computational and Graphical Statistics 13, 2004.

    Args:
        different: bool, symmetric, shape (things, things): whether two are shown to differ.

    Returns:
        of each thing its letters in the order of the alphabet; `a` belongs to the first thing. None
        where it takes too many: of a hundred things there may be thousands of groups.
    """
    n = len(different)
    groups = [(1 << n) - 1] if n else []
    for i, j in zip(*np.nonzero(np.triu(different, 1)), strict=True):
        groups = _split(groups, 1 << int(i), 1 << int(j))
        if len(groups) > MOST_LETTERS:
            return None
    members = sorted([k for k in range(n) if group >> k & 1] for group in groups)
    letters: list[list[str]] = [[] for _ in range(n)]
    for place, group in enumerate(members):
        for k in group:
            letters[k].append(_letter(place))
    return ["".join(each) for each in letters]


def _split(groups: Sequence[int], i: int, j: int) -> list[int]:
    """Groups of which none holds both of two things: what was split and lies in another is gone.

    Args:
        groups: as bits, none of which lies in another.
        i: the bit of the one.
        j: the bit of the other.
    """
    both = i | j
    kept = [group for group in groups if group & both != both]
    split = [group for group in groups if group & both == both]
    parts = [group & ~bit for group in split for bit in (i, j)]
    return kept + [part for part in parts if not any(part & each == part for each in kept)]


def _letter(place: int) -> str:
    """The letter of a place: a to z, A to Z, then a2, b2 and so on."""
    lap, place = divmod(place, len(_ALPHABET))
    return _ALPHABET[place] + (str(lap + 1) if lap else "")
