"""Which candidates are compared with each other, and the front of them by each measure of size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from aes_lipi.analysis.labels import shown_name, told_apart
from aes_lipi.analysis.tradeoff import COLUMNS
from aes_lipi.arrays import Float64, Int64
from aes_lipi.coevolution.front import pareto_front
from aes_lipi.config.study import value_label
from aes_lipi.config.variant import DATA_FIELDS

Size = Literal["capacity", "compact"]
"""A measure of size: of what is not zero, or of what compaction leaves."""

SIZES: tuple[Size, ...] = ("capacity", "compact")

_SOURCES = ("data", "data_digest", "dataset_name")

_Settings = Mapping[str, Any]
_Content = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Tradeoff:
    """Candidates that are measured on the same data, and may be compared.

    Attributes:
        data: what these data are called.
        candidates: of `aes_lipi.analysis.tradeoff`.
        floor: the L1 of an answer without fault, such as the noise in the data; None if unknown.
    """

    data: str
    candidates: pd.DataFrame
    floor: float | None = None

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
        """What candidates are chosen by, shape (candidates,)."""
        return self.candidates["validation_L1"].to_numpy(dtype=np.float64)

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
        for data, variants in _by_data(trials).items()
    }
    return tuple(Tradeoff(data, rows) for data, rows in groups.items() if len(rows))


def front_table(found: Sequence[Tradeoff]) -> pd.DataFrame:
    """Who is on the fronts.

    Returns:
        a row per data, measure of size (the column `front`: `capacity` or `compact`) and member of
        that front, the smallest first; and the columns of the candidates.
    """
    fronts = [
        each.candidates.iloc[each.front(size)].assign(data=each.data, front=size)
        for each in found
        for size in SIZES
    ]
    names = ["data", "front", *COLUMNS]
    return pd.concat(fronts, ignore_index=True)[names] if fronts else pd.DataFrame(columns=names)


def _by_data(trials: pd.DataFrame) -> dict[str, list[str]]:
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
    return shown_name(", ".join(known))
