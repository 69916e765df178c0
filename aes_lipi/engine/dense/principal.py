"""Principal axes of rows, with the same bits on every processor: no BLAS takes part.

The covariance is added up in float64, row after row, and its leading eigenvectors are found by
subspace iteration with a few vectors more than asked for (Rutishauser, 1970), each step followed by
Jacobi's rotations of the small projected matrix (Golub and Van Loan, 8.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aes_lipi.arrays import Float32, Float64
from aes_lipi.engine.dense.mode import enter_mode, leave_mode
from aes_lipi.engine.dense.target import entry_point, exact
from aes_lipi.errors import UserError

_MOST_COLUMNS = 4096
"""The covariance of so many takes 128 MiB."""

_AT_ONCE = 10**8
"""Products of one call, some tenth of a second: signals are heard between calls."""

_SPARE, _MOST_STEPS, _CONVERGED = 8, 300, 1e-12
_DEPENDENT = 1e-10
"""What is left of a vector, as a share of its length, is rounding below this."""


@dataclass(frozen=True)
class PrincipalAxes:
    """Where rows lie, and the directions in which they vary most.

    Attributes:
        mean: of the rows, shape (columns,).
        axes: orthonormal, the largest variance first, shape (number, columns).
        variances: along the axes, shape (number,).
    """

    mean: Float64
    axes: Float64
    variances: Float64

    def reconstruct(self, rows: Float32) -> Float64:
        """The nearest points to rows in the plane of the axes, shape (rows, columns)."""
        made = np.empty(rows.shape)
        block = max(1, _AT_ONCE // self.axes.size)
        for start in range(0, len(rows), block):
            part = slice(start, start + block)
            project(rows[part], self.mean, self.axes, made[part])
        return made


def principal_axes(rows: Float32, number: int) -> PrincipalAxes:
    """The leading principal axes of rows.

    Args:
        rows: float32, shape (rows, columns).
        number: of axes, at most as many as columns.

    Raises:
        UserError: there are too many columns; start from random weights.
    """
    n_rows, n_columns = rows.shape
    if n_columns > _MOST_COLUMNS:
        raise UserError(
            f"initial_weights: pca takes data of up to {_MOST_COLUMNS:,} columns, and these have "
            f"{n_columns:,}; use initial_weights random"
        )
    mean = np.zeros(n_columns)
    covariance = np.zeros((n_columns, n_columns))
    block = max(1, _AT_ONCE // n_columns**2)
    for start in range(0, n_rows, block):
        add_rows(rows[start : start + block], mean)
    mean /= n_rows
    for start in range(0, n_rows, block):
        add_products(rows[start : start + block], mean, covariance)
    covariance /= n_rows
    basis = np.random.default_rng(0).random((min(n_columns, number + _SPARE), n_columns)) - 0.5
    variances = np.zeros(len(basis))
    captured = -1.0
    for _ in range(_MOST_STEPS):
        turn(covariance, basis, variances)
        now = float(variances[:number].sum())
        if now - captured <= _CONVERGED * now:
            break
        captured = now
    return PrincipalAxes(mean, basis[:number].copy(), np.maximum(variances[:number], 0.0))


@entry_point
def add_rows(rows: Float32, total: Float64) -> None:
    """Add rows up."""
    mode = enter_mode()
    for s in range(rows.shape[0]):
        for i in range(rows.shape[1]):
            total[i] += np.float64(rows[s, i])
    leave_mode(mode)


@entry_point
def add_products(rows: Float32, mean: Float64, products: Float64) -> None:
    """Add the products of what rows differ from the mean, each column's with each other's."""
    mode = enter_mode()
    n = rows.shape[1]
    differs = np.empty(n)
    for s in range(rows.shape[0]):
        for i in range(n):
            differs[i] = np.float64(rows[s, i]) - mean[i]
        for i in range(n):
            if differs[i] != 0.0:
                for j in range(n):
                    products[i, j] += differs[i] * differs[j]
    leave_mode(mode)


@entry_point
def project(rows: Float32, mean: Float64, axes: Float64, made: Float64) -> None:
    """Project rows onto the plane of the axes through the mean."""
    mode = enter_mode()
    n_axes, n = axes.shape
    for s in range(rows.shape[0]):
        for i in range(n):
            made[s, i] = mean[i]
        for k in range(n_axes):
            code = 0.0
            for i in range(n):
                code += (np.float64(rows[s, i]) - mean[i]) * axes[k, i]
            for i in range(n):
                made[s, i] += code * axes[k, i]
    leave_mode(mode)


@entry_point
def turn(covariance: Float64, basis: Float64, variances: Float64) -> None:
    """One step of the subspace iteration, in place: the basis (vectors, columns), and variances."""
    mode = enter_mode()
    size = len(basis)
    vectors = _images(basis, covariance)
    _make_orthonormal(vectors)
    images = _images(vectors, covariance)
    small = np.zeros((size, size))
    for k in range(size):
        for m in range(size):
            small[k, m] = _dot(images[k], vectors[m])
    rotation = _jacobi(small)
    order = np.argsort(-np.diag(small), kind="mergesort")
    for k in range(size):
        variances[k] = small[order[k], order[k]]
        for j in range(basis.shape[1]):
            basis[k, j] = 0.0
        for m in range(size):
            for j in range(basis.shape[1]):
                basis[k, j] += rotation[m, order[k]] * vectors[m, j]
    leave_mode(mode)


@exact
def _images(vectors: Float64, matrix: Float64) -> Float64:
    """The products of row vectors with a symmetric matrix."""
    images = np.zeros(vectors.shape)
    for k in range(vectors.shape[0]):
        for i in range(matrix.shape[0]):
            for j in range(matrix.shape[0]):
                images[k, j] += vectors[k, i] * matrix[i, j]
    return images


@exact
def _dot(one: Float64, two: Float64) -> float:
    total = 0.0
    for i in range(one.size):
        total += one[i] * two[i]
    return total


@exact
def _make_orthonormal(vectors: Float64) -> None:
    """Gram and Schmidt's, twice over; of a vector that the others span nothing is left."""
    for k in range(vectors.shape[0]):
        before = np.sqrt(_dot(vectors[k], vectors[k]))
        for _ in range(2):
            for m in range(k):
                part = _dot(vectors[k], vectors[m])
                for j in range(vectors.shape[1]):
                    vectors[k, j] -= part * vectors[m, j]
        norm = np.sqrt(_dot(vectors[k], vectors[k]))
        scale = 1.0 / norm if norm > _DEPENDENT * before else 0.0
        for j in range(vectors.shape[1]):
            vectors[k, j] *= scale


@exact
def _jacobi(matrix: Float64) -> Float64:
    """Make a symmetric matrix diagonal, in place; the rotation, its columns the eigenvectors."""
    n = matrix.shape[0]
    rotation = np.eye(n)
    for _ in range(60):
        off, scale = 0.0, 0.0
        for i in range(n):
            scale += abs(matrix[i, i])
            for j in range(i):
                off += abs(matrix[i, j])
        if off <= 1e-15 * scale:
            break
        for i in range(n):
            for j in range(i + 1, n):
                if matrix[i, j] != 0.0:
                    _rotate(matrix, rotation, i, j)
    return rotation


@exact
def _rotate(matrix: Float64, rotation: Float64, i: int, j: int) -> None:
    ratio = (matrix[j, j] - matrix[i, i]) / (2.0 * matrix[i, j])
    sign = 1.0 if ratio >= 0.0 else -1.0
    tangent = sign / (abs(ratio) + np.sqrt(1.0 + ratio * ratio))
    cosine = 1.0 / np.sqrt(1.0 + tangent * tangent)
    sine = tangent * cosine
    for k in range(matrix.shape[0]):
        one, two = matrix[k, i], matrix[k, j]
        matrix[k, i], matrix[k, j] = cosine * one - sine * two, sine * one + cosine * two
        one, two = rotation[k, i], rotation[k, j]
        rotation[k, i], rotation[k, j] = cosine * one - sine * two, sine * one + cosine * two
    for k in range(matrix.shape[0]):
        one, two = matrix[i, k], matrix[j, k]
        matrix[i, k], matrix[j, k] = cosine * one - sine * two, sine * one + cosine * two
