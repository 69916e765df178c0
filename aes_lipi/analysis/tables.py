"""What is taken of measurements: samples to compare, medians with quartiles and intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aes_lipi.analysis.measures import SIZES, AnalysisUnit
from aes_lipi.analysis.read import Measurements
from aes_lipi.analysis.settings import settings_of, varying_settings
from aes_lipi.analysis.statistics import bootstrap_interval, check_share
from aes_lipi.arrays import Float64, Int64
from aes_lipi.errors import UserError
from aes_lipi.results.answers import was_chosen_on_test
from aes_lipi.results.reading import Results

_SHOWN = 8


def is_chosen_on_test(trials: pd.DataFrame) -> bool:
    """Whether an answer of any of the trials was chosen by the rows on which it is tested."""
    settings = trials[["final_cell", "population_size", "cell_evaluation"]].drop_duplicates()
    return any(map(was_chosen_on_test, settings.to_dict("records")))


@dataclass(frozen=True)
class Sample:
    """A variant's values of one measure.

    Attributes:
        variant: its id.
        label: what tables call it.
        values: float64, shape (n,), finite.
        trials: int64, shape (n,): which trial each is of.
        seed: of the study; trials of the same number and seed share their random draws, whatever
            their variant. None if trials are not to be paired.
    """

    variant: str
    label: str
    values: Float64
    trials: Int64
    seed: int | None = None

    def of_trials(self, trials: Int64) -> Float64:
        """The values of some of its trials, in their order."""
        places = {int(trial): place for place, trial in enumerate(self.trials)}
        return self.values[[places[int(trial)] for trial in trials]]


def generation_samples(
    data: Measurements,
    measure: str = "mean_L1",
    unit: AnalysisUnit = "trial_mean",
    generation: int | None = None,
) -> tuple[Sample, ...]:
    """Each variant's values in one generation.

    Args:
        data: of one or several studies.
        measure: which.
        unit: what counts as one observation; pooled cells are never paired.
        generation: which; by default that of each trial's answer: its last, or its best.

    Returns:
        in the order of the labels, variants without values among them; values that are not finite
        are left out.

    Raises:
        UserError: the unit or the measure was not read (name it to `read_measurements`), or no
            variant was measured in that generation; those in which one was are told.
    """
    table = data.of_unit(unit, [measure])
    if generation is not None:
        _check_generation(table, measure, generation)
    wanted = _answers(data, table) if generation is None else generation
    chosen = table.loc[table["generation"] == wanted, ["variant", "trial", measure]]
    return _samples(data, chosen, measure, unit != "pooled_cells")


def _answers(data: Measurements, table: pd.DataFrame) -> pd.Series:
    """Of every row of a unit's table, the generation of its trial's answer."""
    keys = ["variant", "trial"]
    last = table.groupby(keys, observed=True, sort=False)["generation"].transform("max")
    best = data.trials.set_index(keys)["best_generation"]
    rows = pd.MultiIndex.from_arrays([table["variant"].astype(str), table["trial"]])
    return pd.Series(best.reindex(rows).to_numpy(), table.index).fillna(last)


def trial_samples(data: Measurements, column: str) -> tuple[Sample, ...]:
    """Each variant's values of a column of the table of trials.

    Args:
        data: of one or several studies.
        column: a numeric one, such as `test_L1` or `wall_time_s`.

    Returns:
        as `generation_samples`.

    Raises:
        UserError: the trials have no numeric column of that name; names like it are told.
    """
    data.check_column(column)
    return _samples(data, data.trials, column, paired=True)


def rows_of_variants(table: pd.DataFrame, labels: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """The rows of each of the variants, none of some, in the order of the labels."""
    places = table.groupby("variant", sort=False, observed=True).indices
    none = np.empty(0, dtype=np.int64)
    return {variant: table.iloc[places.get(variant, none)] for variant in labels}


def values_of(rows: pd.DataFrame, measure: str) -> Float64:
    """A column as float64, NaN where there is no value."""
    return rows[measure].to_numpy(dtype=np.float64, na_value=np.nan)


def _check_generation(table: pd.DataFrame, measure: str, generation: int) -> None:
    measured = np.unique(table["generation"].to_numpy()[table[measure].notna().to_numpy()])
    if generation in measured:
        return
    shown = ", ".join(map(str, measured[:_SHOWN])) + (", ..." if len(measured) > _SHOWN else "")
    raise UserError(
        f"generation {generation}: {measure} was not measured there; it was in {shown or 'none'}"
    )


def _samples(
    data: Measurements, rows: pd.DataFrame, measure: str, paired: bool
) -> tuple[Sample, ...]:
    """Each variant's finite values in a column of some rows."""
    values, trials = values_of(rows, measure), rows["trial"].to_numpy(dtype=np.int64)
    known = np.flatnonzero(np.isfinite(values))
    of_variant = rows["variant"].iloc[known]
    places = of_variant.groupby(of_variant, sort=False, observed=True).indices
    seeds = _seeds(data.trials) if paired else {}
    found = []
    for variant, label in data.labels.items():
        own = known[places.get(variant, np.empty(0, dtype=np.int64))]
        found.append(Sample(variant, label, values[own], trials[own], seeds.get(variant)))
    return tuple(found)


def _seeds(trials: pd.DataFrame) -> dict[str, int]:
    """By variant the seed of its study, where it is one."""
    seeds = trials.groupby("variant")["rng_seed"].agg(["nunique", "first"])
    single = seeds.loc[seeds["nunique"] == 1, "first"].astype("int64")
    return dict(zip(single.index.astype(str), single.tolist(), strict=True))


_TRIAL_MEASURES = (
    *("mean_L1", "mean_test_L1", "mean_capacity", "mean_capacity_published"),
    *("best_mean_L1", "test_L1", "test_L1_by_validation", "capacity", "capacity_published"),
    *(*SIZES, "wall_time_s"),
)
"""What the table of trials describes: means over all cells, the best cell, the whole trial."""

_COLUMNS = (
    *("variant", "label", "measure", "generation", "committed", "failed"),
    *("n", "median", "q1", "q3", "low", "high"),
)


def describe_generations(
    data: Measurements,
    unit: AnalysisUnit = "trial_mean",
    measures: Iterable[str] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Describe every variant in every generation in which it was measured.

    Args:
        data: of one or several studies.
        unit: what counts as one observation.
        measures: which; by default all that were read.
        level: of the bootstrap intervals of the medians.

    Returns:
        columns `_COLUMNS`, a row per variant, measure and recorded generation, in the order of the
        labels: `committed` and `failed` trials; `n` units with a finite value; their `median`,
        quartiles `q1` and `q3`, and the ends `low` and `high` of the median's interval (NaN where
        n < 2). A variant without values has one row per measure, in no generation (`<NA>`).
        `wall_time_s` is the time of a cell's generation, in seconds.

    Raises:
        UserError: the unit or a measure was not read (name it to `read_measurements`), or the
            level is not between 0 and 1.
    """
    wanted = data.measures if measures is None else tuple(dict.fromkeys(measures))
    table = data.of_unit(unit, wanted)
    rows = rows_of_variants(table, data.labels).items()
    return _described(data, (_by_generation(*each, unit, wanted) for each in rows), level)


def describe_trials(
    data: Measurements, measures: Iterable[str] = _TRIAL_MEASURES, level: float = 0.95
) -> pd.DataFrame:
    """Describe the results of every variant's trials, as the table of trials has them.

    Args:
        data: of one or several studies.
        measures: numeric columns of `data.trials`.
        level: of the bootstrap intervals of the medians.

    Returns:
        as `describe_generations`, without `generation`, and with a column for every setting in
        which the variants differ; `wall_time_s` is that of a whole trial.

    Raises:
        UserError: the trials have no such column of numbers, or the level is not between 0 and 1.
    """
    wanted = tuple(dict.fromkeys(measures))
    for name in wanted:
        data.check_column(name)
    rows = rows_of_variants(data.trials[["variant", *wanted]], data.labels).items()
    values = (_of_trials(*each, wanted) for each in rows)
    table = _described(data, values, level).drop(columns="generation")
    settings = settings_of(data.trials, data.labels)
    swept = [name for name in varying_settings(settings) if name not in table]
    return table.join(settings[swept], on="variant")


_NO_GENERATION = np.array([-1])


@dataclass(frozen=True)
class _Values:
    """What was measured of a variant.

    Attributes:
        variant: its id.
        measures: their names.
        values: float64, shape (units, measures, generations), NaN where not measured.
        generations: int64, shape (generations,); -1 for what is of none, which comes first.
    """

    variant: str
    measures: Sequence[str]
    values: Float64
    generations: Int64

    @property
    def size(self) -> int:
        """How many columns it has as a matrix: a measure's generations one after another."""
        return len(self.measures) * len(self.generations)


@dataclass(frozen=True)
class _Spread:
    """What is said of the values of each column.

    Attributes:
        n: values that are finite, int64, shape (columns,).
        median: float64, shape (columns,); as the others NaN where there are no values.
        q1: lower quartile.
        q3: upper quartile.
        low: lower end of the median's bootstrap interval; NaN of fewer than two values.
        high: its upper end.
    """

    n: Int64
    median: Float64
    q1: Float64
    q3: Float64
    low: Float64
    high: Float64


def _spread(values: Float64, level: float = 0.95) -> _Spread:
    """Median, quartiles and bootstrap interval of every column.

    Args:
        values: shape (units, columns); what is not finite counts as not measured.
        level: of the intervals.

    Raises:
        UserError: the level is not between 0 and 1; give one such as 0.95.
    """
    check_share("level", level)
    known = np.isfinite(values)
    ordered = np.sort(np.where(known, values, np.inf), axis=0)
    n = known.sum(axis=0)
    found = np.full((5, values.shape[1]), np.nan)
    for count in np.unique(n[n > 0]):
        columns = np.flatnonzero(n == count)
        part = ordered[:count, columns]
        found[:3, columns] = np.quantile(part, [0.5, 0.25, 0.75], axis=0)
        if count > 1:
            found[3:, columns] = _median_interval(part, level)
    return _Spread(n, *found)


_COLUMNS_AT_ONCE = 1024  # each has thousands of resamples


def _median_interval(ordered: Float64, level: float) -> Float64:
    """The interval of the median of columns that ascend, shape (2, columns)."""
    n, ends = len(ordered), np.empty((2, ordered.shape[1]))
    for start in range(0, ordered.shape[1], _COLUMNS_AT_ONCE):
        block = slice(start, start + _COLUMNS_AT_ONCE)
        by_column = np.ascontiguousarray(ordered[:, block].T)

        def medians(drawn: Int64, values: Float64 = by_column) -> Float64:
            reached = np.cumsum(drawn, axis=1)
            lower, upper = ((reached > rank).argmax(axis=1) for rank in ((n - 1) // 2, n // 2))
            middle: Float64 = values.take(lower, axis=1)
            return middle if n % 2 else (middle + values.take(upper, axis=1)) / 2

        ends[:, block] = bootstrap_interval(medians, n, level=level)
    return ends


def _of_trials(variant: str, rows: pd.DataFrame, measures: Sequence[str]) -> _Values:
    values = np.stack([values_of(rows, name) for name in measures], axis=1)
    return _Values(variant, measures, values[:, :, np.newaxis], _NO_GENERATION)


def _by_generation(
    variant: str, rows: pd.DataFrame, unit: AnalysisUnit, measures: Sequence[str]
) -> _Values:
    """The values of a variant in every generation, behind a place without any."""
    generations, columns = np.unique(rows["generation"].to_numpy(), return_inverse=True)
    trials, cells = (rows[name].to_numpy() for name in ("trial", "cell"))
    observed = trials * (cells.max(initial=0) + 1) + cells if unit == "pooled_cells" else trials
    units, lines = np.unique(observed, return_inverse=True)
    values = np.full((len(units), len(measures), 1 + len(generations)), np.nan)
    for place, name in enumerate(measures):
        values[lines, place, 1 + columns] = rows[name].to_numpy()
    return _Values(variant, measures, values, np.concatenate([_NO_GENERATION, generations]))


def _described(data: Measurements, values: Iterable[_Values], level: float) -> pd.DataFrame:
    """A row for each variant, measure and generation that has values, or one that has none."""
    parts = [_rows(block, level) for block in _blocks(values)]
    if not parts:
        return pd.DataFrame(columns=list(_COLUMNS))
    whole = pd.concat(parts, ignore_index=True)
    whole["label"] = whole["variant"].map(dict(data.labels))
    for name, trials in (("committed", data.trials), ("failed", data.failures)):
        counts = trials["variant"].value_counts()
        whole[name] = whole["variant"].map(counts).fillna(0).astype("int64")
    return whole[list(_COLUMNS)]


_BLOCK = 2**21  # values of which all is in memory at a time


def _blocks(values: Iterable[_Values]) -> Iterator[list[_Values]]:
    """Variants, as many as are described at once."""
    block: list[_Values] = []
    for each in values:
        if block and sum(other.values.size for other in (*block, each)) > _BLOCK:
            yield block
            block = []
        block.append(each)
    if block:
        yield block


def _rows(block: Sequence[_Values], level: float) -> pd.DataFrame:
    """What is said of some variants: of a measure without values the first row alone."""
    matrices = [each.values.reshape(len(each.values), each.size) for each in block]
    spread = _spread(_side_by_side(matrices), level)
    generations = np.concatenate([np.tile(each.generations, len(each.measures)) for each in block])
    names = {
        "variant": [each.variant for each in block for _ in range(each.size)],
        "measure": [name for each in block for name in each.measures for _ in each.generations],
        "generation": pd.arrays.IntegerArray(generations, generations < 0),
    }
    kept, firsts = spread.n > 0, np.flatnonzero(generations < 0)
    kept[firsts] |= ~np.logical_or.reduceat(kept, firsts)
    return pd.DataFrame({**names, **vars(spread)})[kept]


def _side_by_side(matrices: Sequence[Float64]) -> Float64:
    """Matrices in one, the shorter ones ending in NaN."""
    whole = np.full((max(map(len, matrices)), sum(each.shape[1] for each in matrices)), np.nan)
    start = 0
    for each in matrices:
        whole[: len(each), start : start + each.shape[1]] = each
        start += each.shape[1]
    return whole


_SUMMARISED = ("mean_L1", "test_L1", "test_L1_by_validation", "capacity", "wall_time_s")


def summarise(results: Results) -> pd.DataFrame:
    """Count trials and take quartiles of their results.

    Args:
        results: of a study; its `generations` are not needed.

    Returns:
        indexed by variant id in the order of first trials, columns `variant_name`, `trials`,
        `failed`, and `<measure>_q1`, `<measure>_median`, `<measure>_q3` of the measures
        `_SUMMARISED`. The unit is the trial.
    """
    trials, failures = results.trials, results.failures
    names = pd.concat([trials, failures])[["variant", "variant_name"]].drop_duplicates("variant")
    table = names.set_index("variant")
    table["trials"] = trials.groupby("variant").size().reindex(table.index, fill_value=0)
    table["failed"] = failures.groupby("variant").size().reindex(table.index, fill_value=0)
    for measure in _SUMMARISED:
        grouped = trials.groupby("variant")[measure]
        for name, quantile in (("q1", 0.25), ("median", 0.5), ("q3", 0.75)):
            table[f"{measure}_{name}"] = grouped.quantile(quantile).reindex(table.index)
    return table
