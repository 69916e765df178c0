"""Models of one's own data beside what needs no study: the constant, PCA, and a plain network."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from aes_lipi.analysis.pareto import best_first
from aes_lipi.arrays import Float32, Float64, Floats
from aes_lipi.coevolution.baselines import Baselines, ColumnErrors, Reconstruct, column_errors
from aes_lipi.data.dataset import Dataset
from aes_lipi.data.scaling import Scaling
from aes_lipi.models import Model
from aes_lipi.results.answers import BY_VALIDATION, starred, was_chosen_on_test

_NO_CONTROL = "no plain network was trained for comparison: --control of run does"

_DATA = ("constant_mse", "pca_mse", "pca_n_parameters")
"""Trials of the same data and width of code agree in these."""


@dataclass(frozen=True)
class Contender:
    """What is known of a way to encode a table, on its test rows.

    Attributes:
        name: of it.
        l1: mean absolute error, of scaled columns.
        mse: mean squared error, of scaled columns.
        r2: median of the columns that vary.
        n_unlearnt: columns that vary and have an R2 below 0.1.
        n_parameters: what it takes to encode and decode.
        cpu_s: processor seconds that it took, all trials together.
        n_trials: of which the other values are medians; None of what no trial made.
        l1_by_validation: `l1` of the cell that is best on validation rows, where test rows chose
            the one that all else is of; NaN if it is not known, None where they chose none.
    """

    name: str
    l1: float
    mse: float
    r2: float
    n_unlearnt: float
    n_parameters: float
    cpu_s: float
    n_trials: int | None = None
    l1_by_validation: float | None = None


def contender_columns(found: Sequence[Contender]) -> dict[str, list[str]]:
    """Values as texts, a dash where one is not known: by heading, of each contender.

    Headings are marked where any model was chosen on the rows that they are of; beside its L1 there
    is then that of the cell chosen on validation rows.
    """
    is_starred = any(each.l1_by_validation is not None for each in found)
    of_test = partial(starred, is_starred=is_starred)
    valid = {BY_VALIDATION: [_short(each.l1_by_validation) for each in found]} if is_starred else {}
    return {
        of_test("L1"): [_short(each.l1) for each in found],
        **valid,
        of_test("MSE"): [_short(each.mse) for each in found],
        of_test("R2"): ["–" if math.isnan(each.r2) else f"{each.r2:.3f}" for each in found],
        of_test("not learnt"): [_count(each.n_unlearnt) for each in found],
        "parameters": [_count(each.n_parameters) for each in found],
        "processor s": ["–" if math.isnan(each.cpu_s) else f"{each.cpu_s:.1f}" for each in found],
    }


def contenders(trials: pd.DataFrame, labels: Mapping[str, str]) -> list[Contender]:
    """The variants of a study of one's own data, and after them what each is to beat.

    Args:
        trials: a row per trial, of any variants and data.
        labels: of the variants to show, by id.

    Returns:
        the variants by label, then constant and PCA of each data set and width of code; none where
        baselines were not measured.
    """
    known = _measured(trials, labels)
    found = [_of_variant(labels[str(v)], rows) for v, rows in known.groupby("variant", sort=False)]
    groups = known.groupby(list(_DATA), dropna=False, sort=False)
    for _, rows in groups:
        names = dict.fromkeys(labels[variant] for variant in rows["variant"])
        whose = f" ({'; '.join(names)})" if len(groups) > 1 else ""
        found += baselines_of_trial(rows.iloc[0].to_dict(), whose)
    return found


def _measured(trials: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """The trials beside which baselines were measured, in the order of the labels."""
    places = {variant: place for place, variant in enumerate(labels)}
    known = trials[trials["constant_mse"].notna() & trials["variant"].isin(list(labels))]
    return known.sort_values("variant", key=lambda ids: ids.map(places), kind="stable")


def _of_variant(label: str, rows: pd.DataFrame) -> Contender:
    size = rows["n_compact"].fillna(rows["n_parameters"])
    return Contender(
        label,
        l1=_median(rows["test_L1"]),
        mse=_median(rows["test_mse"]),
        r2=_median(rows["test_r2_median"]),
        n_unlearnt=_median(rows["n_unlearnt"]),
        n_parameters=_median(size),
        cpu_s=float(rows["cpu_time_s"].sum(min_count=1)),
        n_trials=len(rows),
        l1_by_validation=_median(rows["test_L1_by_validation"])
        if was_chosen_on_test(rows.iloc[0].to_dict())
        else None,
    )


def _median(values: pd.Series[Any]) -> float:
    return float(values.astype("float64").median())


def baselines_of_trial(row: Mapping[Hashable, Any], whose: str = "") -> list[Contender]:
    """Constant and PCA as the row of a trial has them; none where they were not measured."""
    if math.isnan(_number(row["constant_mse"])):
        return []
    n_dim = float(str(row["architecture"]).split("-")[0])
    nan = float("nan")
    constant = Contender(
        f"constant{whose}",
        _number(row["constant_L1"]),
        _number(row["constant_mse"]),
        0.0,
        _number(row["n_varying"]),
        n_dim,
        nan,
    )
    if math.isnan(_number(row["pca_mse"])):
        return [constant]
    pca = Contender(
        f"PCA of the same code{whose}",
        _number(row["pca_L1"]),
        _number(row["pca_mse"]),
        _number(row["pca_r2_median"]),
        _number(row["pca_n_unlearnt"]),
        _number(row["pca_n_parameters"]),
        _number(row["pca_cpu_time_s"]),
    )
    return [constant, pca]


def _number(value: object) -> float:
    return float("nan") if value is None or pd.isna(value) else float(str(value))  # type: ignore[call-overload]


def baseline_remarks(trials: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    """What there is to say of a study's models beside their baselines.

    Args:
        trials: as for `contenders`.
        labels: as for `contenders`.
    """
    known = _measured(trials, labels)
    lines = [_NO_CONTROL] if len(known) and not is_control(known).any() else []
    for _, row in chosen_trials(trials, labels).iterrows():
        name = f"the chosen model ({labels[row['variant']]}, trial {row['trial']})"
        lines += beaten_by_pca(name, row)
        rivals = known[_is_of(known, row) & is_control(known)]
        lines += _beaten_by_control(name, row, rivals)
    return lines


def is_control(trials: pd.DataFrame) -> pd.Series[bool]:
    """Which trials are those of a control; none of earlier versions."""
    return trials["is_control"].eq(True).fillna(False).astype(bool)


def _is_of(trials: pd.DataFrame, row: Any) -> pd.Series[bool]:
    """Which trials are of the data and the width of code that a trial is of."""
    known = trials[list(_DATA)].fillna(-1.0)
    same: pd.Series[bool] = (known == row[list(_DATA)].fillna(-1.0)).all(axis=1)
    return same


def _beaten_by_control(name: str, row: Any, controls: pd.DataFrame) -> list[str]:
    """That a plain network is better on validation rows, if so."""
    mse, plain = _number(row["validation_mse"]), _median(controls["validation_mse"])
    if not mse > plain:
        return []
    return [
        f"a plain network, trained for the compute of the study, is better than {name}: MSE "
        f"{_short(plain)} on validation rows, not {_short(mse)}"
    ]


def chosen_trials(trials: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Of each data set and width of code, the trial whose answer is exported where none is named.

    Args:
        trials: as for `contenders`.
        labels: as for `contenders`.
    """
    known = _measured(trials, labels)
    known = known[~is_control(known)]
    best = []
    for _, rows in known.groupby(list(_DATA), dropna=False, sort=False):
        best.append(best_first(rows).head(1))
    return pd.concat(best) if best else known


def model_errors(model: Model, rows: Float32) -> ColumnErrors:
    """Errors of a model by column, on scaled rows, shape (rows, n_dim)."""
    return column_errors(rows, partial(_reconstructed, model, rows))


def _reconstructed(model: Model, rows: Float32, part: slice) -> Floats:
    architecture, pair = model.architecture, model.pair
    return architecture.decode(
        pair.decoder.genome, architecture.encode(pair.encoder.genome, rows[part])
    )


def column_table(model: Model, dataset: Dataset) -> pd.DataFrame:
    """The errors of a model, of PCA with a code of its width and of constants, on test rows.

    Args:
        model: as it was trained.
        dataset: that it was trained on.

    Returns:
        a row per column: `column`, its name or number, and for `model`, `pca` and `constant` each
        `_L1`, `_mse` and `_r2` of scaled values, and `_L1_in_units` and `_mse_in_units` of the
        table's own. NaN where there is no PCA, and R2 where a column does not vary.
    """
    test, reconstruct = dataset.test, partial(_reconstructed, model, dataset.test)
    known = Baselines.of(dataset.train, model.architecture.latent_size)
    principal = known.principal
    made: dict[str, tuple[Reconstruct, Reconstruct] | None] = {
        "model": (reconstruct, reconstruct),
        "pca": None if principal is None else (2 * (lambda p: principal.reconstruct(test[p]),)),
        "constant": (lambda _: known.median[None], lambda _: known.mean[None]),
    }
    names = dataset.columns or tuple(map(str, range(1, dataset.n_dim + 1)))
    values: dict[str, object] = {"column": list(names)}
    for name, ways in made.items():
        values |= {f"{name}_{k}": v for k, v in _errors(test, ways, model.scaling).items()}
    return pd.DataFrame(values)


def _errors(
    rows: Float32, ways: tuple[Reconstruct, Reconstruct] | None, scaling: Scaling | None
) -> dict[str, Float64]:
    """Errors by measure: L1 of the first way of two, MSE and R2 of the second."""
    if ways is None:
        nothing = np.full(rows.shape[1], np.nan)
        return dict.fromkeys(("L1", "mse", "r2", "L1_in_units", "mse_in_units"), nothing)
    first, second = (column_errors(rows, way) for way in ways)
    units = first, second
    if scaling is not None:
        own = scaling.invert(rows)
        first_own, second_own = (
            column_errors(own, partial(_inverted, scaling, way)) for way in ways
        )
        units = first_own, second_own
    return {
        "L1": first.l1,
        "mse": second.mse,
        "r2": second.r2,
        "L1_in_units": units[0].l1,
        "mse_in_units": units[1].mse,
    }


def _inverted(scaling: Scaling, reconstruct: Reconstruct, part: slice) -> Floats:
    return scaling.invert(reconstruct(part))


def beaten_by_pca(name: str, row: Any) -> list[str]:
    """That PCA is better on validation rows, if so, and the remedy."""
    mse, pca = _number(row["validation_mse"]), _number(row["pca_validation_mse"])
    if not mse > pca:
        return []
    remedies = ["more --epochs"]
    if row["initial_weights"] != "pca":
        linear = "" if row.get("output_activation") == "linear" else " --output_activation linear"
        remedies.insert(0, f"--initial_weights pca{linear}")
    return [
        f"PCA of the same code is better than {name}: MSE {_short(pca)} on "
        f"validation rows, not {_short(mse)}; try {', or '.join(remedies)}"
    ]


def _short(value: float | None) -> str:
    """A loss in three digits."""
    return "–" if value is None or math.isnan(value) else f"{value:.3g}"


def _count(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:,.0f}"
