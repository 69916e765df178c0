"""Size against loss: all that was recorded, what is compared, and what nothing else beats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from aes_lipi.analysis.measures import TrialRows, sizes_of, trial_rows
from aes_lipi.analysis.read import Measurements, rows_frame
from aes_lipi.arrays import Float64, Int64
from aes_lipi.coevolution.records import pareto_front
from aes_lipi.config import DATA_FIELDS, Variant, told_apart, value_label
from aes_lipi.errors import UserError
from aes_lipi.results.description import STUDY_FILE, read_study_description
from aes_lipi.results.inventory import Inventory
from aes_lipi.results.reading import open_results, variant_labels
from aes_lipi.results.schema import generations_schema, trials_schema
from aes_lipi.results.storage import Storage
from aes_lipi.results.trial_files import TrialId
from aes_lipi.results.trial_tables import read_each, read_rows

CANDIDATE_COLUMNS = (
    *("variant", "label", "trial", "generation", "cell", "n_parameters", "n_compact"),
    *("capacity", "compact_share", "validation_loss", "validation_L1", "test_L1"),
)
"""Of the table of candidates."""

_KEYS = ("generation", "cell")
CANDIDATE_MEASURES = ("n_compact", "capacity", "validation_loss", "validation_L1", "test_L1")
"""What is measured of a candidate."""

_NAMES = ("study", "n_parameters")
_SETTINGS = (*_NAMES, *Variant.model_fields)


def read_candidates(
    location: str | Path, variant: str | None = None, trial: int | None = None
) -> pd.DataFrame:
    """Every cell of every recorded generation of a study's committed trials.

    A candidate is what could be taken for the study's answer. Choose among them by
    `validation_loss`, or by `validation_L1` where they were trained on different losses; what the
    choice is worth is then told by `test_L1`.

    Args:
        location: the study's output folder, or its address, as in `s3://bucket/results`.
        variant: id of the variant whose trials to read; by default those of all.
        trial: number of the trials to read; by default all.

    Returns:
        a row per candidate, ordered by variant, trial, generation and cell, with the columns
        `variant` and `label` (categories, in the order of the study), `trial`, `generation`,
        `cell`, `n_parameters`, `n_compact` (those left when what pruning made dead is taken out),
        `capacity` (the share that is not zero), `compact_share` (n_compact / n_parameters),
        `validation_loss` (of what was trained on), `validation_L1` and `test_L1`. Left out are
        generations that were not recorded, losses that are not finite, and trials whose files are
        damaged. A study from before these columns has no candidates.

    Raises:
        UserError: the place holds no study (give its --output_dir), refuses to be read, or has no
            such committed trial.
    """
    storage, inventory = open_results(location)
    wanted = [
        each
        for each in sorted(inventory.committed)
        if variant in (None, each.variant) and trial in (None, each.trial)
    ]
    if not wanted and (variant, trial) != (None, None):
        raise UserError(f"{storage.shown}: no committed trial{_asked(variant, trial)}")
    described = read_study_description(storage.read(STUDY_FILE) or b"")
    known = set() if described is None else set(described.variants)
    names = _NAMES if known.issuperset(each.variant for each in wanted) else _SETTINGS
    named = _read_names(storage, inventory, wanted, names)
    tried = pd.DataFrame({"variant": each.variant, **row} for each, row in named.items())
    frame = tried if len(tried) else pd.DataFrame(columns=["variant", *names])
    everything = variant_labels([described] if described else [], [frame])
    of_rows = set(frame["variant"])
    labels = {each: name for each, name in everything.items() if each in of_rows}
    places = {each: place for place, each in enumerate(labels)}
    n_parameters = {each: int(row["n_parameters"]) for each, row in named.items()}
    found = recorded_rows(storage, inventory, n_parameters)
    ordered = sorted(found, key=lambda each: (places[each.variant], each.trial))
    return candidates_frame([(each, found[each]) for each in ordered], labels)


def _asked(variant: str | None, trial: int | None) -> str:
    number = "" if trial is None else f" {trial}"
    return number if variant is None else f"{number} of variant {variant}"


def recorded_rows(
    storage: Storage, inventory: Inventory, n_parameters: Mapping[TrialId, int]
) -> dict[TrialId, TrialRows]:
    """What was recorded of some of a study's committed trials, for `candidates_frame`.

    Args:
        storage: the study's folder.
        inventory: what it holds.
        n_parameters: by trial, how many its networks have; trials that are not committed are left
            out, as are those whose file is damaged.

    Raises:
        UserError: the place refuses to be read.
    """

    def recorded(trial: TrialId, table: pa.Table) -> TrialRows | None:
        try:
            return _recorded(table, n_parameters[trial])
        except ValueError:
            return None

    there = [trial for trial in n_parameters if trial in inventory.committed]
    schema = _part(generations_schema(), (*_KEYS, *CANDIDATE_MEASURES))
    return read_each(inventory, there, "generations", schema, recorded)


def candidates_frame(
    rows: Sequence[tuple[TrialId, TrialRows]], labels: Mapping[str, str]
) -> pd.DataFrame:
    """The table of candidates, see `read_candidates`.

    Args:
        rows: of `recorded_rows`, in the order wanted.
        labels: of their variants, by id.
    """
    return _with_shares(rows_frame(rows, labels, (*CANDIDATE_MEASURES, "n_parameters")), labels)


def measured_candidates(data: Measurements) -> pd.DataFrame:
    """The table of candidates, see `read_candidates`, of trials that were read.

    Args:
        data: with `CANDIDATE_MEASURES`, and `pooled_cells` among its units.

    Raises:
        UserError: the unit or a measure was not read; name it to `read_measurements`.
    """
    rows = data.of_unit("pooled_cells", CANDIDATE_MEASURES)
    sizes = data.trials[["variant", "trial", "n_parameters"]].astype({"variant": str})
    merged = rows.astype({"variant": str}).merge(sizes, on=["variant", "trial"])
    merged = merged.assign(variant=pd.Categorical(merged["variant"], list(data.labels)))
    measured = (*CANDIDATE_MEASURES, "n_parameters")
    known = np.isfinite(merged[list(measured)].to_numpy(dtype=np.float64, na_value=np.nan))
    return _with_shares(merged[known.all(axis=1)].reset_index(drop=True), data.labels)


def _with_shares(frame: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    counts = {name: frame[name].astype(np.int64) for name in ("n_parameters", "n_compact")}
    label = frame["variant"].cat.rename_categories(dict(labels))
    share = frame["n_compact"] / frame["n_parameters"]
    return frame.assign(**counts, label=label, compact_share=share)[list(CANDIDATE_COLUMNS)]


def _read_names(
    storage: Storage, inventory: Inventory, trials: Iterable[TrialId], names: Iterable[str]
) -> dict[TrialId, dict[str, int | str]]:
    """By trial some columns of its row, without those whose size is not known."""
    schema = _part(trials_schema(), names)
    found = read_rows(inventory, list(trials), "trials", schema).single()
    rows = zip(found.trials, found.rows.to_pylist(), strict=True)
    return {trial: row for trial, row in rows if (row["n_parameters"] or 0) > 0}


def _recorded(table: pa.Table, n_parameters: int) -> TrialRows:
    """The rows of which all is known, by generation and cell.

    Raises:
        ValueError: a row is of no generation or of no cell.
    """
    rows = trial_rows(table, CANDIDATE_MEASURES, sizes_of(None, n_parameters))
    losses, l1 = rows.measures["validation_loss"], rows.measures["validation_L1"]
    if np.isnan(losses).all():  # of before there were other losses
        rows = TrialRows(rows.generation, rows.cell, {**rows.measures, "validation_loss": l1})
    known = np.logical_and.reduce([np.isfinite(values) for values in rows.measures.values()])
    order = np.lexsort((rows.cell, rows.generation))
    taken = rows.take(order[known[order]])
    sizes = np.full(len(taken.cell), float(n_parameters))
    return TrialRows(taken.generation, taken.cell, {**taken.measures, "n_parameters": sizes})


def _part(schema: pa.Schema, names: Iterable[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in names])


Size = Literal["capacity", "compact"]
"""A measure of size: of what is not zero, or of what compaction leaves."""

_SIZES: tuple[Size, ...] = ("capacity", "compact")

_SOURCES = ("data", "data_digest", "dataset_name")

_Settings = Mapping[str, Any]
_Content = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Tradeoff:
    """Candidates that are measured on the same data, and may be compared.

    Attributes:
        data: what these data are called.
        candidates: of `read_candidates`.
        loss: what they are chosen by: the loss that all were trained on, or else L1.
        floor: the L1 of an answer without fault, such as the noise in the data; None if unknown.
    """

    data: str
    candidates: pd.DataFrame
    floor: float | None = None
    loss: str = "L1"

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What the variants are called that there are candidates of, in their order."""
        found = self.candidates["label"].cat.remove_unused_categories()
        return tuple(found.cat.categories)

    @cached_property
    def is_pruned(self) -> bool:
        """Whether there is a trade-off: capacities differ."""
        return self.candidates["capacity"].nunique() > 1

    @cached_property
    def is_of_one_size(self) -> bool:
        """Whether all networks began with as many parameters, so that shares can be compared."""
        return self.candidates["n_parameters"].nunique() <= 1

    @cached_property
    def is_compacted(self) -> bool:
        """Whether compaction leaves a share that is another one than the capacity of all."""
        compact = self.candidates["n_compact"]
        removed = bool((compact < self.candidates["n_parameters"]).any())
        return removed and not np.array_equal(compact, self.counts("capacity"))

    def counts(self, size: Size) -> Float64:
        """Numbers of parameters, shape (candidates,)."""
        if size == "compact":
            return self.candidates["n_compact"].to_numpy(dtype=np.float64)
        shares = self.candidates["capacity"].to_numpy()
        counts: Float64 = np.rint(shares * self.candidates["n_parameters"].to_numpy())
        return counts

    def shares(self, size: Size) -> Float64:
        """Numbers of parameters as shares of what the networks began with, shape (candidates,)."""
        name = "compact_share" if size == "compact" else "capacity"
        return self.candidates[name].to_numpy(dtype=np.float64)

    @cached_property
    def losses(self) -> Float64:
        """What candidates are chosen by, on the validation rows, shape (candidates,)."""
        return self.candidates[loss_column(self.loss)].to_numpy(dtype=np.float64)

    def front(self, size: Size) -> Int64:
        """Places of the candidates that no other one dominates, the smallest first."""
        return pareto_front(self.counts(size), self.losses)


def tradeoffs(candidates: pd.DataFrame, trials: pd.DataFrame) -> tuple[Tradeoff, ...]:
    """The candidates, apart by the data that they were measured on.

    Args:
        candidates: of one or several studies.
        trials: their tables of trials: the column `variant`, and the settings.
    """
    groups = {
        data: candidates[candidates["variant"].isin(variants)].reset_index(drop=True)
        for data, variants in by_data(trials).items()
    }
    return tuple(
        Tradeoff(data, rows, loss=shared_loss(trials[trials["variant"].isin(set(rows["variant"]))]))
        for data, rows in groups.items()
        if len(rows)
    )


def loss_column(loss: str) -> str:
    """The column that has what is compared by, on the validation rows; see `shared_loss`."""
    return "validation_L1" if loss == "L1" else "validation_loss"


def best_first(trials: pd.DataFrame) -> pd.DataFrame:
    """Rows of `trials` by their loss on the validation rows, the lowest first."""
    by = loss_column(shared_loss(trials))
    return trials.sort_values([by, "mean_L1"], kind="stable")


def shared_loss(trials: pd.DataFrame) -> str:
    """The loss that trials can be compared by: what all were trained on, or else L1.

    Args:
        trials: rows of `trials`; the column `loss` may be missing, as in older tables.
    """
    found = set(trials["loss"].dropna()) if "loss" in trials else set()
    is_one = len(found) == 1 and bool(trials["loss"].notna().all())
    return str(found.pop()) if is_one and found != {"l1"} else "L1"


def knee(sizes: npt.ArrayLike, losses: npt.ArrayLike) -> int:
    """Which point of a front is its knee: beyond it, what is saved in size costs most in loss.

    That is the one farthest below the line between the front's ends (Das, Structural Optimization
    18, 1999; as in Kneedle, Satopää et al., 2011). Both are compared by their logarithms, so that
    equal shares count alike; losses that are not all positive are compared as they are.

    Args:
        sizes: positive, rising, shape (n,), n > 0.
        losses: falling, shape (n,).

    Returns:
        its place. Where no point lies below the line, as with one or two, there is no knee, and it
        is the last: that of the lowest loss.
    """
    x, y = np.log(np.asarray(sizes, np.float64)), np.asarray(losses, np.float64)
    y = np.log(y) if y.min() > 0 else y
    if len(x) < 3 or not y[0] > y[-1]:
        return len(x) - 1
    depth = (x[-1] - x) / (x[-1] - x[0]) - (y - y[-1]) / (y[0] - y[-1])
    deepest = int(depth.argmax())
    return deepest if depth[deepest] > _FLAT else len(x) - 1


_FLAT = 1e-6
"""How far below its line a front is straight, as a share of it: what rounding leaves."""


def front_table(found: Sequence[Tradeoff]) -> pd.DataFrame:
    """Who is on the fronts.

    Returns:
        a row per data, measure of size (the column `front`: `capacity` or `compact`) and member of
        that front, the smallest first; and the columns of the candidates.
    """
    fronts = [
        each.candidates.iloc[each.front(size)].assign(data=each.data, front=size)
        for each in found
        for size in _SIZES
    ]
    names = ["data", "front", *CANDIDATE_COLUMNS]
    return pd.concat(fronts, ignore_index=True)[names] if fronts else pd.DataFrame(columns=names)


def by_data(trials: pd.DataFrame) -> dict[str, list[str]]:
    """Ids of variants by what their data are called: together where the data are the same."""
    settings = _data_settings(trials)
    groups: dict[_Content, list[str]] = {}
    for variant, known in settings.items():
        groups.setdefault(_content(known), []).append(variant)
    names = _names({variants[0]: settings[variants[0]] for variants in groups.values()})
    return {names[variants[0]]: variants for variants in groups.values()}


def _data_settings(trials: pd.DataFrame) -> dict[str, _Settings]:
    """By variant id what its data depend on, without what is not set."""
    table = trials.drop_duplicates("variant").set_index("variant")[list(DATA_FIELDS)]
    return {
        str(variant): {str(name): value for name, value in row.items() if pd.notna(value)}
        for variant, row in table.astype(object).to_dict("index").items()
    }


def _content(settings: _Settings) -> _Content:
    """What makes the data: of a file that is known by its content, not what it is called."""
    left_out = ("data", "dataset_name") if "data_digest" in settings else ()
    return tuple((name, value) for name, value in settings.items() if name not in left_out)


def _names(different: Mapping[str, _Settings]) -> dict[str, str]:
    """By the key of each of several data what tells it from the others."""
    values = {name: {str(each.get(name)) for each in different.values()} for name in DATA_FIELDS}
    telling = [name for name in DATA_FIELDS if len(values[name]) > 1 and name not in _SOURCES]
    short = {key: _name(each, ["dataset_name"]) for key, each in different.items()}
    long = {key: _name(each, ["dataset_name", *telling]) for key, each in different.items()}
    return told_apart(short, long, {key: f"{name} ({key})" for key, name in long.items()})


def _name(settings: _Settings, fields: Iterable[str]) -> str:
    known = [value_label(each, settings[each]) for each in fields if each in settings]
    return ", ".join(known)
