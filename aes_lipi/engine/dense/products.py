"""The products of a dense layer with five samples at a time, and Adam's step of its weights.

Call the layer's rows of weights w[r, i], its values along the long axis x[s, i] and those along the
short axis c[s, r] for sample s. A layer that is wide in reads x and has the gradient of c; one that
is wide out reads c and has the gradient of x. Forward and backward passes of both are made of

    dots    c[s, r] = sum_i w[r, i] x[s, i]
    sums    x[s, i] = sum_r c[s, r] w[r, i]
    step    w[r, i] <- w[r, i] - step(sum_s c[s, r] x[s, i])

Only active rows are worked on: the others have c = 0 for every sample, so they add nothing, and a
new Adam does not move them. Their list goes on with the row of zeros that follows every layer, so
that `dots` can take two rows at a time and `weighted_sums` three: as many values, with five
samples, as the sixteen registers of AVX2 hold. One pass over the rows for both `dots` and the step
would read less from memory, but it has more values than registers, and was slower.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from aes_lipi.arrays import Float32
from aes_lipi.engine.dense.target import part

SAMPLES = 5
ZERO, ONE = np.float32(0), np.float32(1)
_EPSILON, _BETA1, _BETA2 = np.float32(1e-8), np.float32(0.5), np.float32(0.999)


class AdamStep(NamedTuple):
    """How weights move in one update.

    Attributes:
        kept: 1 for an Adam with moments, 0 for a new Adam at every update.
        masked: 1 where some weights are frozen.
        rate: learning rate; divided by 1 - beta1**t for a kept Adam.
        root: 1 / sqrt(1 - beta2**t) for a kept Adam.
    """

    kept: int
    masked: int
    rate: np.float32
    root: np.float32


class LayerRows(NamedTuple):
    """A layer's rows, each (rows, width), with their optimiser's state; see `layout.Networks`."""

    values: Float32
    first: Float32
    second: Float32
    alive: Float32


@part
def whole(n_rows: int) -> int:
    """Samples of a batch, with padding to whole fives."""
    return (n_rows + SAMPLES - 1) // SAMPLES * SAMPLES


@part
def active_rows(c: Float32, n_rows: int, n_samples: int, everything: int, which: Any) -> int:
    """List the rows with a value that is not zero, or all for `everything`; how many there are."""
    found = 0
    for r in range(n_rows):
        is_active = everything != 0
        for s in range(n_samples):
            is_active = is_active or c[s, r] != ZERO
        if is_active:
            which[found] = r
            found += 1
    which[found], which[found + 1] = n_rows, n_rows
    return found


@part
def dots(w: Float32, which: Any, n: int, x: Float32, n_samples: int, c: Float32) -> None:
    """Set c of the active rows."""
    for s in range(0, n_samples, SAMPLES):
        x0, x1, x2, x3, x4 = x[s], x[s + 1], x[s + 2], x[s + 3], x[s + 4]
        for t in range(0, n, 2):
            j, k = which[t], which[t + 1]
            wj, wk = w[j], w[k]
            a0, a1, a2, a3, a4 = ZERO, ZERO, ZERO, ZERO, ZERO
            b0, b1, b2, b3, b4 = ZERO, ZERO, ZERO, ZERO, ZERO
            for i in range(len(wj)):
                p, q = wj[i], wk[i]
                a0 += p * x0[i]
                a1 += p * x1[i]
                a2 += p * x2[i]
                a3 += p * x3[i]
                a4 += p * x4[i]
                b0 += q * x0[i]
                b1 += q * x1[i]
                b2 += q * x2[i]
                b3 += q * x3[i]
                b4 += q * x4[i]
            c[s, j], c[s + 1, j], c[s + 2, j], c[s + 3, j], c[s + 4, j] = a0, a1, a2, a3, a4
            c[s, k], c[s + 1, k], c[s + 2, k], c[s + 3, k], c[s + 4, k] = b0, b1, b2, b3, b4


@part
def weighted_sums(w: Float32, which: Any, n: int, c: Float32, n_samples: int, x: Float32) -> None:
    """Set x to the sum over the active rows."""
    x[:n_samples] = ZERO
    for s in range(0, n_samples, SAMPLES):
        x0, x1, x2, x3, x4 = x[s], x[s + 1], x[s + 2], x[s + 3], x[s + 4]
        for t in range(0, n, 3):
            j, k, m = which[t], which[t + 1], which[t + 2]
            wj, wk, wm = w[j], w[k], w[m]
            a0, a1, a2, a3, a4 = c[s, j], c[s + 1, j], c[s + 2, j], c[s + 3, j], c[s + 4, j]
            b0, b1, b2, b3, b4 = c[s, k], c[s + 1, k], c[s + 2, k], c[s + 3, k], c[s + 4, k]
            d0, d1, d2, d3, d4 = c[s, m], c[s + 1, m], c[s + 2, m], c[s + 3, m], c[s + 4, m]
            for i in range(len(wj)):
                p, q, r = wj[i], wk[i], wm[i]
                x0[i] += a0 * p + b0 * q + d0 * r
                x1[i] += a1 * p + b1 * q + d1 * r
                x2[i] += a2 * p + b2 * q + d2 * r
                x3[i] += a3 * p + b3 * q + d3 * r
                x4[i] += a4 * p + b4 * q + d4 * r


@part
def step_five(rows: Any, which: Any, n: int, c: Float32, x: Float32, step: Any) -> None:
    """A new Adam's step of the active rows for five samples: w <- w - lr g / (|g| + eps)."""
    x0, x1, x2, x3, x4 = x[0], x[1], x[2], x[3], x[4]
    for t in range(n):
        j = which[t]
        w = rows.values[j]
        a0, a1, a2, a3, a4 = c[0, j], c[1, j], c[2, j], c[3, j], c[4, j]
        for i in range(len(w)):
            g = a0 * x0[i] + a1 * x1[i] + a2 * x2[i] + a3 * x3[i] + a4 * x4[i]
            w[i] -= step.rate * (g / (abs(g) + _EPSILON))
        if step.masked:
            _freeze(w, rows.alive[j])


@part
def step_many(
    rows: Any, which: Any, n: int, c: Float32, x: Float32, n_samples: int, step: Any, g: Float32
) -> None:
    """Adam's step of the active rows for any number of samples; `g` is room for a gradient."""
    for t in range(n):
        j = which[t]
        w = rows.values[j]
        g[: len(w)] = ZERO
        for s in range(0, n_samples, SAMPLES):
            x0, x1, x2, x3, x4 = x[s], x[s + 1], x[s + 2], x[s + 3], x[s + 4]
            a0, a1, a2, a3, a4 = c[s, j], c[s + 1, j], c[s + 2, j], c[s + 3, j], c[s + 4, j]
            for i in range(len(w)):
                g[i] += a0 * x0[i] + a1 * x1[i] + a2 * x2[i] + a3 * x3[i] + a4 * x4[i]
        if step.kept:
            _move_kept(w, rows.first[j], rows.second[j], g, step)
        else:
            for i in range(len(w)):
                w[i] -= step.rate * (g[i] / (abs(g[i]) + _EPSILON))
        if step.masked:
            _freeze(w, rows.alive[j])


@part
def _move_kept(w: Float32, m: Float32, v: Float32, g: Float32, step: Any) -> None:
    """A kept Adam's step of one row (algorithm section 4, step 4).

    m <- m + (1 - beta1) (g - m),  v <- beta2 v + (1 - beta2) g^2,
    w <- w - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
    """
    for i in range(len(w)):
        m[i] += (ONE - _BETA1) * (g[i] - m[i])
        v[i] = _BETA2 * v[i] + (ONE - _BETA2) * (g[i] * g[i])
        w[i] -= step.rate * (m[i] / (np.sqrt(v[i]) * step.root + _EPSILON))


@part
def _freeze(w: Float32, alive: Float32) -> None:
    """Put weights that pruning froze back to zero."""
    for i in range(len(w)):
        w[i] = w[i] if alive[i] != ZERO else ZERO
