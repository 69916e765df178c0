"""Scaling"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aes_lipi.data import source
from aes_lipi.data.scaling import learn_scaling, unit_interval


@given(
    values=hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(allow_nan=False, allow_infinity=False),
    ),
    block_values=st.integers(1, 20),
)
def test_any_finite_matrix_scales_into_the_unit_interval(
    values: npt.NDArray[np.float64], block_values: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "BLOCK_VALUES", block_values)
        matrix = source.array_source("'x'", values)
    scaled = unit_interval(matrix, learn_scaling(matrix))
    assert ((scaled >= 0) & (scaled <= 1)).all()
    varying = np.ptp(values / 2, axis=0) > 0
    assert (scaled.max(axis=0)[varying] == 1).all()
    assert (scaled.min(axis=0) == 0).all()
    assert (scaled[:, ~varying] == 0).all()


@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 5)),
    block_values=st.integers(1, 20),
)
def test_rows_come_in_the_order_asked_for_and_some_alone_are_learned_from(
    seed: int, shape: tuple[int, int], block_values: int
) -> None:
    rng = np.random.default_rng(seed)
    values, order = rng.normal(size=shape), rng.permutation(shape[0])
    learned = order[: 1 + shape[0] // 2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "BLOCK_VALUES", block_values)
        matrix = source.array_source("'x'", values)
    scaling = learn_scaling(matrix, learned)
    np.testing.assert_array_equal(scaling.low, values[learned].min(axis=0))
    np.testing.assert_array_equal(scaling.high, values[learned].max(axis=0))
    expected = scaling.apply(values[order]).astype(np.float32)
    np.testing.assert_array_equal(unit_interval(matrix, scaling, order), expected)
