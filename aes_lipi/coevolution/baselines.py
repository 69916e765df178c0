"""What a model is measured against: the best constant and PCA with a code of the same width.

Training rows decide them, other rows measure them. Sums go row after row in float64 and no BLAS
takes part, so that what is recorded has the same bits on every processor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aes_lipi.arrays import Float32, Float64, Floats
from aes_lipi.data.dataset import Dataset

if TYPE_CHECKING:
    from aes_lipi.engine.dense.principal import PrincipalAxes

LEARNT_FROM = 0.1
"""The R2 from which a column counts as learnt."""

MOST_COLUMNS = 2048
"""PCA of more takes minutes, and is left out."""

_MOST_PRODUCTS = 2 * 10**10
"""Of rows and pairs of columns, half a minute; PCA of more looks at every second row, or fewer."""

_BLOCK = 2**18
"""Values that are reconstructed at a time."""

Reconstruct = Callable[[slice], Floats]
"""Gives the reconstructions of some of the rows, shape (rows, columns)."""


@dataclass(frozen=True)
class ColumnErrors:
    """How well rows are reconstructed, column by column.

    Attributes:
        l1: mean absolute errors, shape (columns,).
        mse: mean squared errors, shape (columns,).
        r2: the share of each column's variance that is explained, at most 1, shape (columns,); NaN
            where a column does not vary.
    """

    l1: Float64
    mse: Float64
    r2: Float64

    @property
    def r2_median(self) -> float:
        """Over the columns that vary; NaN where none does."""
        varying = self.r2[~np.isnan(self.r2)]
        return float(np.median(varying)) if len(varying) else float("nan")

    @property
    def n_varying(self) -> int:
        """Columns that vary."""
        return int((~np.isnan(self.r2)).sum())

    @property
    def n_unlearnt(self) -> int:
        """Columns that vary, and of which less than `LEARNT_FROM` is explained."""
        return int((self.r2 < LEARNT_FROM).sum())


def blocks(rows: Floats) -> Iterator[slice]:
    """Parts of rows that are reconstructed at a time."""
    size = max(1, _BLOCK // max(1, rows.shape[1]))
    return (slice(start, start + size) for start in range(0, len(rows), size))


def column_errors(rows: Floats, reconstruct: Reconstruct) -> ColumnErrors:
    """Measure reconstructions, a block of rows at a time.

    Args:
        rows: shape (rows, columns), at least one.
        reconstruct: gives the reconstructions of a slice of them.
    """
    l1, squares, spread = (np.zeros(rows.shape[1]) for _ in range(3))
    mean = mean_of(rows)
    for part in blocks(rows):
        values = rows[part].astype(np.float64)
        errors = values - reconstruct(part)
        l1 += np.abs(errors).sum(axis=0)
        squares += np.square(errors).sum(axis=0)
        spread += np.square(values - mean).sum(axis=0)
    varies = rows.min(axis=0) < rows.max(axis=0)
    r2 = np.full(len(l1), np.nan)
    r2[varies] = 1.0 - squares[varies] / spread[varies]
    return ColumnErrors(l1 / len(rows), squares / len(rows), r2)


def mean_of(rows: Floats) -> Float64:
    """The mean of each column, shape (columns,)."""
    total = np.zeros(rows.shape[1])
    for part in blocks(rows):
        total += rows[part].astype(np.float64).sum(axis=0)
    return total / len(rows)


@dataclass(frozen=True)
class Baselines:
    """What needs no network, learnt from training rows.

    Attributes:
        mean: of each column: the constant of least MSE, shape (columns,).
        median: of each column: the constant of least L1, shape (columns,).
        principal: PCA with as many axes as a code is wide; None where there are too many columns.
    """

    mean: Float64
    median: Float64
    principal: PrincipalAxes | None

    @staticmethod
    def of(train: Float32, code: int) -> Baselines:
        """Learn them.

        Args:
            train: training rows, shape (rows, columns).
            code: width of the code.
        """
        columns = range(0, train.shape[1], 16)  # few at a time: a median copies what it orders
        medians = [np.median(train[:, k : k + 16], axis=0) for k in columns]
        median = np.concatenate(medians).astype(np.float64)
        return Baselines(mean_of(train), median, _principal(train, code))

    def constant_errors(self, rows: Float32) -> ColumnErrors:
        """Of the constants: L1 of the medians, MSE and R2 of the means."""
        of_median = column_errors(rows, lambda _: self.median)
        of_mean = column_errors(rows, lambda _: self.mean)
        return ColumnErrors(of_median.l1, of_mean.mse, of_mean.r2)

    def pca_errors(self, rows: Float32) -> ColumnErrors | None:
        """Of PCA, if there is one."""
        if self.principal is None:
            return None
        principal = self.principal
        return column_errors(rows, lambda part: principal.reconstruct(rows[part]))


def _principal(train: Float32, code: int) -> PrincipalAxes | None:
    n_rows, n_columns = train.shape
    if n_columns > MOST_COLUMNS:
        return None
    from aes_lipi.engine.dense.principal import principal_axes  # noqa: PLC0415 - loads numba

    every = max(1, -(-n_rows * n_columns**2 // _MOST_PRODUCTS))
    return principal_axes(np.ascontiguousarray(train[::every]), min(code, n_columns))


@dataclass(frozen=True)
class BaselineMeasures:
    """What baselines are worth: the best constant of each column, and PCA with as wide a code.

    None of PCA where there are too many columns for it.

    Attributes:
        constant_L1: Mean absolute error on test rows of each column's median, of scaled columns.
        constant_mse: Mean squared error on test rows of each column's mean.
        pca_L1: Mean absolute error of PCA on test rows.
        pca_mse: Mean squared error of it on test rows.
        pca_validation_mse: Mean squared error of it on validation rows.
        pca_r2_median: Median over columns of its R2 on test rows.
        pca_n_unlearnt: Columns that vary whose R2 it leaves below 0.1.
        pca_n_parameters: What encodes, what decodes, and the mean.
        pca_cpu_time_s: Processor seconds that both baselines took; known to whoever asks for them.
    """

    constant_L1: float  # noqa: N815 - the field's name for it
    constant_mse: float
    pca_L1: float | None  # noqa: N815
    pca_mse: float | None
    pca_validation_mse: float | None
    pca_r2_median: float | None
    pca_n_unlearnt: int | None
    pca_n_parameters: int | None
    pca_cpu_time_s: float | None = None


@dataclass(frozen=True)
class ColumnMeasures:
    """How well a model does over columns.

    Attributes:
        validation_mse: Mean squared error on validation rows, of scaled columns.
        test_r2_median: Median over columns of R2 on test rows.
        n_varying: Columns that vary on the test rows.
        n_unlearnt: Those among them with an R2 below 0.1.
    """

    validation_mse: float
    test_r2_median: float
    n_varying: int
    n_unlearnt: int


def baseline_measures(dataset: Dataset, code: int) -> BaselineMeasures:
    """Learn the baselines of a data set, and measure them.

    Args:
        dataset: the rows.
        code: width of the code.
    """
    known = Baselines.of(dataset.train, code)
    constant, pca = known.constant_errors(dataset.test), known.pca_errors(dataset.test)
    validated = known.pca_errors(dataset.validation)
    n_axes = min(code, dataset.n_dim)
    return BaselineMeasures(
        constant_L1=_mean(constant.l1),
        constant_mse=_mean(constant.mse),
        pca_L1=None if pca is None else _mean(pca.l1),
        pca_mse=None if pca is None else _mean(pca.mse),
        pca_validation_mse=None if validated is None else _mean(validated.mse),
        pca_r2_median=None if pca is None else pca.r2_median,
        pca_n_unlearnt=None if pca is None else pca.n_unlearnt,
        pca_n_parameters=None if pca is None else dataset.n_dim * (2 * n_axes + 1),
    )


def column_measures(test: ColumnErrors, validation: ColumnErrors) -> ColumnMeasures:
    """A model's measures from its errors on test and on validation rows."""
    return ColumnMeasures(
        validation_mse=_mean(validation.mse),
        test_r2_median=test.r2_median,
        n_varying=test.n_varying,
        n_unlearnt=test.n_unlearnt,
    )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(np.asarray(values)))
