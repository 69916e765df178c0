"""Errors by column, the constant and PCA, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score

from aes_lipi.arrays import Float32
from aes_lipi.coevolution import baselines
from aes_lipi.coevolution.baselines import Baselines, baseline_measures, column_errors
from aes_lipi.data import Dataset


def digits() -> Dataset:
    """scikit-learn's, in [0, 1]; some of the 64 columns are constant."""
    rows = (load_digits().data / 16).astype(np.float32)
    return Dataset("digits", rows[:1200], rows[1200:1500], rows[1500:])


def table(n_rows: int, n_columns: int) -> Float32:
    rng = np.random.default_rng(3)
    return (rng.random((n_rows, 2)) @ rng.random((2, n_columns))).astype(np.float32)


def test_errors_of_columns_by_hand() -> None:
    rows = np.array([[0, 5, 1], [1, 5, 0], [2, 5, 1], [3, 5, 0]], np.float32)
    made = np.array([[0, 4, 1], [1, 4, 1], [2, 4, 0], [2, 4, 0]], np.float32)
    found = column_errors(rows, lambda part: made[part])
    np.testing.assert_array_equal(found.l1, [0.25, 1.0, 0.5])
    np.testing.assert_array_equal(found.mse, [0.25, 1.0, 0.5])
    np.testing.assert_array_equal(found.r2, [1 - 1 / 5, np.nan, 1 - 2 / 1])
    assert (found.n_varying, found.n_unlearnt) == (2, 1)
    assert found.r2_median == pytest.approx((0.8 - 1.0) / 2)


def test_nothing_varies() -> None:
    found = column_errors(np.full((3, 2), 0.3, np.float32), lambda _: np.full(2, 0.3, np.float32))
    assert np.isnan(found.r2_median)
    assert (found.n_varying, found.n_unlearnt) == (0, 0)


@pytest.mark.parametrize("code", [1, 16, 64])
def test_they_are_those_of_scikit_learn(code: int) -> None:
    data = digits()
    known = PCA(code).fit(data.train.astype(np.float64))
    made = known.inverse_transform(known.transform(data.test.astype(np.float64)))
    errors = data.test - made
    found = Baselines.of(data.train, code).pca_errors(data.test)
    assert found is not None
    np.testing.assert_allclose(found.l1, np.abs(errors).mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(found.mse, (errors**2).mean(axis=0), atol=1e-5)
    varies = np.ptp(data.test, axis=0) > 0
    assert 0 < varies.sum() < 64
    r2 = r2_score(data.test[:, varies], made[:, varies], multioutput="raw_values")
    np.testing.assert_allclose(found.r2[varies], r2, atol=1e-6)
    assert np.isnan(found.r2[~varies]).all()


def test_measures_of_digits() -> None:
    data = digits()
    found = baseline_measures(data, 16)
    known = PCA(16).fit(data.train.astype(np.float64))
    errors = [rows - known.inverse_transform(known.transform(rows)) for rows in data.splits[1:]]
    assert found.pca_mse == pytest.approx((errors[0] ** 2).mean())
    assert found.pca_validation_mse == pytest.approx((errors[1] ** 2).mean())
    assert found.pca_L1 == pytest.approx(np.abs(errors[0]).mean())
    assert found.pca_n_parameters == 2 * 64 * 16 + 64
    assert baseline_measures(data, 70).pca_n_parameters == 2 * 64 * 64 + 64  # no more axes there
    mean, median = data.train.mean(axis=0, dtype=np.float64), np.median(data.train, axis=0)
    assert found.constant_mse == pytest.approx(((data.test - mean) ** 2).mean())
    assert found.constant_L1 == pytest.approx(np.abs(data.test - median).mean())


def test_a_code_wider_than_the_table_loses_nothing() -> None:
    rows = table(50, 4)
    found = Baselines.of(rows, 9).pca_errors(rows)
    assert found is not None
    assert found.mse.max() < 1e-12


def test_too_many_columns_have_no_pca() -> None:
    rows = np.zeros((3, baselines.MOST_COLUMNS + 1), np.float32)
    rows[1] = 1.0
    found = baseline_measures(Dataset("wide", rows, rows, rows), 2)
    assert found.constant_mse == pytest.approx(2 / 9)
    assert {found.pca_L1, found.pca_mse, found.pca_r2_median, found.pca_n_parameters} == {None}


def test_many_rows_are_looked_at_in_equal_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table(90, 5)
    monkeypatch.setattr(baselines, "_MOST_PRODUCTS", 30 * 5**2)
    few = Baselines.of(rows, 2).principal
    monkeypatch.undo()
    third = Baselines.of(np.ascontiguousarray(rows[::3]), 2).principal
    assert few is not None
    assert third is not None
    np.testing.assert_array_equal(few.axes, third.axes)
    np.testing.assert_array_equal(few.mean, third.mean)


def test_blocks_of_rows_are_measured_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, made = table(101, 3), table(101, 3) ** 2
    whole = column_errors(rows, lambda part: made[part])
    monkeypatch.setattr(baselines, "_BLOCK", 3 * 7)
    parts = column_errors(rows, lambda part: made[part])
    for name in ("l1", "mse", "r2"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12)
