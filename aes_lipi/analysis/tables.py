"""What is taken of measurements: samples to compare, medians with quartiles and intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from aes_lipi.analysis.measures import AnalysisUnit
from aes_lipi.analysis.read import Measurements
from aes_lipi.analysis.settings import settings_of, varying_settings
from aes_lipi.analysis.statistics import bootstrap_interval, check_share
from aes_lipi.arrays import Float64, Int64
from aes_lipi.errors import UserError
from aes_lipi.results.reading import Results

_SHOWN = 8


def is_chosen_on_test(trials: pd.DataFrame) -> bool:
    """Whether an answer was chosen among several cells by the rows on which it is tested."""
    on_test = trials["final_cell"] == "best_on_test"
    return bool((on_test & (trials["population_size"] > 1)).any())


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
    samples = []
    for variant, rows in rows_of_variants(table, data.labels).items():
        wanted = _answers(data, variant, rows) if generation is None else generation
        chosen = rows[rows["generation"] == wanted]
        samples.append(_sample(data, variant, chosen, measure, unit != "pooled_cells"))
    return tuple(samples)


def _answers(data: Measurements, variant: str, rows: pd.DataFrame) -> pd.Series:
    """Of every row of a variant, the generation of its trial's answer."""
    last = rows.groupby("trial")["generation"].transform("max")
    trials = data.trials[data.trials["variant"] == variant].set_index("trial")
    return rows["trial"].map(trials["best_generation"]).fillna(last)


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
    return tuple(
        _sample(data, variant, rows, column, paired=True)
        for variant, rows in rows_of_variants(data.trials, data.labels).items()
    )


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


def _sample(
    data: Measurements, variant: str, rows: pd.DataFrame, measure: str, paired: bool
) -> Sample:
    values = values_of(rows, measure)
    known = np.isfinite(values)
    return Sample(
        variant=variant,
        label=data.labels[variant],
        values=values[known],
        trials=rows["trial"].to_numpy(dtype=np.int64)[known],
        seed=_seed(data.trials, variant) if paired else None,
    )


def _seed(trials: pd.DataFrame, variant: str) -> int | None:
    seeds = trials.loc[trials["variant"] == variant, "rng_seed"].dropna().unique()
    return int(seeds[0]) if len(seeds) == 1 else None


_TRIAL_MEASURES = (
    *("mean_L1", "mean_test_L1", "mean_capacity", "mean_capacity_published"),
    *("best_mean_L1", "test_L1", "test_L1_by_validation", "capacity", "capacity_published"),
    *("network_size", "encoder_size", "decoder_size", "wall_time_s"),
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
    parts = []
    for variant, rows in rows_of_variants(table, data.labels).items():
        generations, matrices = _by_generation(rows, unit, wanted)
        parts += [
            _part(variant, name, _spread(matrix, level), generations)
            for name, matrix in matrices.items()
        ]
    return _joined(data, parts)


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
    parts = [
        _part(variant, name, _spread(values_of(rows, name)[:, np.newaxis], level), None)
        for variant, rows in rows_of_variants(data.trials, data.labels).items()
        for name in wanted
    ]
    table = _joined(data, parts).drop(columns="generation")
    settings = settings_of(data.trials, data.labels)
    swept = [name for name in varying_settings(settings) if name not in table]
    return table.join(settings[swept], on="variant")


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

    def columns(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """The arrays by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


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


def _median_interval(ordered: Float64, level: float) -> Float64:
    """The interval of the median of columns that ascend, shape (2, columns)."""
    n, by_column = len(ordered), np.ascontiguousarray(ordered.T)

    def medians(drawn: Int64) -> Float64:
        reached = np.cumsum(drawn, axis=1)
        lower, upper = ((reached > rank).argmax(axis=1) for rank in ((n - 1) // 2, n // 2))
        middle: Float64 = by_column.take(lower, axis=1)
        return middle if n % 2 else (middle + by_column.take(upper, axis=1)) / 2

    return bootstrap_interval(medians, n, level=level)


def _by_generation(
    rows: pd.DataFrame, unit: AnalysisUnit, measures: Iterable[str]
) -> tuple[Int64, Mapping[str, Float64]]:
    """The generations of a variant, and matrices of shape (units, generations)."""
    generations, columns = np.unique(rows["generation"].to_numpy(), return_inverse=True)
    observed = ["trial", "cell"] if unit == "pooled_cells" else ["trial"]
    lines = rows.groupby(observed, sort=False).ngroup().to_numpy()
    shape = (int(lines.max(initial=-1)) + 1, len(generations))
    matrices = {}
    for name in measures:
        matrices[name] = np.full(shape, np.nan)
        matrices[name][lines, columns] = rows[name].to_numpy()
    return generations, matrices


def _part(variant: str, measure: str, found: _Spread, generations: Int64 | None) -> pd.DataFrame:
    """The rows of one variant and measure: those with values, or one that shows there are none."""
    part = pd.DataFrame(found.columns())
    part["generation"] = pd.array(
        [pd.NA] * len(part) if generations is None else generations, "Int64"
    )
    part = part[part["n"] > 0] if (found.n > 0).any() else part.iloc[:0].reindex([0])
    return part.assign(variant=variant, measure=measure, n=part["n"].fillna(0).astype("int64"))


def _joined(data: Measurements, parts: list[pd.DataFrame]) -> pd.DataFrame:
    """The parts in one, with the variants' labels and numbers of trials."""
    if not parts:
        return pd.DataFrame(columns=list(_COLUMNS))
    whole = pd.concat(parts, ignore_index=True)
    whole["label"] = whole["variant"].map(dict(data.labels))
    for name, trials in (("committed", data.trials), ("failed", data.failures)):
        counts = trials["variant"].value_counts()
        whole[name] = whole["variant"].map(counts).fillna(0).astype("int64")
    return whole[list(_COLUMNS)]


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
