"""Principal axes against the singular value decomposition, and where that has nothing to say."""

from __future__ import annotations

import numpy as np
import pytest

from aes_lipi.arrays import Float32, Float64
from aes_lipi.engine.dense import principal
from aes_lipi.engine.dense.principal import principal_axes
from aes_lipi.errors import UserError


def rows_of(n_rows: int, n_columns: int, seed: int = 0) -> Float32:
    """Rows whose columns depend on each other."""
    rng = np.random.default_rng(seed)
    rows = rng.random((n_rows, n_columns)) @ rng.normal(size=(n_columns, n_columns))
    return rows.astype(np.float32)


def left_out(rows: Float32, mean: Float64, axes: Float64) -> float:
    """Mean squared error of what axes of shape (number, columns) keep of rows."""
    differs = rows - mean
    return float(((differs - differs @ axes.T @ axes) ** 2).mean())


@pytest.mark.parametrize(("n_rows", "n_columns", "number"), [(300, 20, 4), (40, 60, 9), (9, 3, 3)])
def test_they_keep_as_much_as_the_singular_vectors(
    n_rows: int, n_columns: int, number: int
) -> None:
    rows = rows_of(n_rows, n_columns)
    found = principal_axes(rows, number)
    mean = rows.mean(axis=0, dtype=np.float64)
    _, values, vectors = np.linalg.svd(rows - mean, full_matrices=False)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(found.variances, values[:number] ** 2 / n_rows, rtol=1e-9)
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(number), atol=1e-12)
    best = left_out(rows, mean, vectors[:number])
    assert left_out(rows, found.mean, found.axes) == pytest.approx(best, rel=1e-9, abs=1e-12)


def test_columns_that_do_not_vary_have_no_part() -> None:
    rows = rows_of(50, 6)
    rows[:, 2] = 3.0
    found = principal_axes(rows, 5)
    assert found.mean[2] == 3.0
    assert np.abs(found.axes[:, 2]).max() < 1e-12


def test_more_axes_than_directions_have_no_variance() -> None:
    line = np.outer(np.arange(12, dtype=np.float32), np.ones(4, np.float32))
    found = principal_axes(line, 3)
    assert found.variances[0] > 1.0
    assert found.variances[1:].max() < 1e-9
    assert left_out(line, found.mean, found.axes) < 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_fewer_directions_than_columns_change_nothing(seed: int) -> None:
    rows = np.random.default_rng(seed).integers(0, 2, (8, 12)).astype(np.float32)
    rows[:, 9] = rows[:, 3]
    mean = rows.mean(axis=0, dtype=np.float64)
    vectors = np.linalg.svd(rows - mean, full_matrices=False)[2]
    found = principal_axes(rows, 3)
    best = left_out(rows, mean, vectors[:3])
    assert left_out(rows, found.mean, found.axes) == pytest.approx(best, rel=1e-9)


def test_rows_that_are_all_the_same_are_their_mean() -> None:
    found = principal_axes(np.full((7, 3), 0.25, np.float32), 2)
    np.testing.assert_array_equal(found.mean, np.full(3, 0.25))
    np.testing.assert_array_equal(found.variances, np.zeros(2))
    assert np.isfinite(found.axes).all()


def test_how_many_rows_a_call_takes_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(100, 8)
    whole = principal_axes(rows, 3)
    monkeypatch.setattr(principal, "_AT_ONCE", 64 * 7)
    parts = principal_axes(rows, 3)
    np.testing.assert_array_equal(whole.axes, parts.axes)
    np.testing.assert_array_equal(whole.variances, parts.variances)


def test_too_many_columns_are_refused() -> None:
    with pytest.raises(UserError, match="initial_weights: pca takes data of up to 4,096 columns"):
        principal_axes(np.zeros((2, 5000), np.float32), 2)
