"""Scaling"""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import preprocessing

from aes_lipi.config import Scale, scale_range
from aes_lipi.data import source
from aes_lipi.data.fitting import learn_scaling, read_scaled
from aes_lipi.data.scaling import Scaling
from aes_lipi.data.source import Source, array_source
from aes_lipi.data.yeo_johnson import restored, transformed
from aes_lipi.errors import UserError

Floats64 = npt.NDArray[np.float64]
KINDS: tuple[Scale, ...] = get_args(Scale)


def skewed(n_rows: int = 400) -> Floats64:
    """Columns of many kinds, none constant."""
    rng = np.random.default_rng(8)
    return np.column_stack(
        [
            rng.normal(size=n_rows),
            1e3 * rng.lognormal(size=n_rows),
            -rng.exponential(size=n_rows),
            rng.integers(0, 2, n_rows),
            np.where(rng.random(n_rows) < 0.6, 0, rng.exponential(size=n_rows)),
            1.7e9 + rng.integers(0, 86_400, n_rows),
            1e-9 * rng.random(n_rows),
            rng.standard_cauchy(n_rows),
        ]
    )


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
    scaled = read_scaled(matrix, learn_scaling(matrix))
    assert ((scaled >= 0) & (scaled <= 1)).all()
    varying = np.ptp(values / 2, axis=0) > 0
    assert (scaled.max(axis=0)[varying] == 1).all()
    assert (scaled.min(axis=0) == 0).all()
    assert (scaled[:, ~varying] == 0).all()


@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 5)),
    block_values=st.integers(1, 20),
    kind=st.sampled_from(KINDS),
)
def test_rows_come_in_the_order_asked_for_and_some_alone_are_learned_from(
    seed: int, shape: tuple[int, int], block_values: int, kind: Scale
) -> None:
    rng = np.random.default_rng(seed)
    values, order = rng.normal(size=shape), rng.permutation(shape[0])
    learned = order[: 1 + shape[0] // 2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "BLOCK_VALUES", block_values)
        matrix = source.array_source("'x'", values)
    scaling = learn_scaling(matrix, learned, kind)
    np.testing.assert_array_equal(scaling.low, values[learned].min(axis=0))
    np.testing.assert_array_equal(scaling.high, values[learned].max(axis=0))
    alone = learn_scaling(array_source("'x'", values[np.sort(learned)]), kind=kind)
    for name, part in scaling.parts.items():
        np.testing.assert_allclose(part, alone.parts[name], rtol=1e-9, atol=1e-12)
    expected = scaling.apply(values[order]).astype(np.float32)
    np.testing.assert_array_equal(read_scaled(matrix, scaling, order), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_scaling_is_undone(kind: Scale) -> None:
    rows = skewed()
    scaling = learn_scaling(array_source("'x'", rows), kind=kind)
    scaling.check(rows.shape[1])
    scaled = scaling.apply(rows)
    if scale_range(kind) == "unit":
        assert scaled.min() == 0
        assert scaled.max() == 1
    elif kind != "robust":
        np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-6)
    # What several quantiles are comes back as one of them.
    unique = [j for j in range(rows.shape[1]) if kind != "quantile" or j not in (3, 4)]
    apart = np.abs(scaling.invert(scaled) - rows) / np.ptp(rows, axis=0)
    assert apart[:, unique].max() < 1e-7


SKLEARN: dict[Scale, Callable[[], preprocessing.StandardScaler]] = {
    "minmax": preprocessing.MinMaxScaler,
    "standard": preprocessing.StandardScaler,
    "robust": preprocessing.RobustScaler,
    "quantile": lambda: preprocessing.QuantileTransformer(n_quantiles=101),
    "power": preprocessing.PowerTransformer,
}


@pytest.mark.parametrize("kind", KINDS)
def test_scaled_rows_are_those_of_scikit_learn(kind: Scale) -> None:
    # Where it finds no power that can be undone, or quartiles that are equal, we have our own way.
    columns = [0, 1, 2, 7] if kind in ("power", "robust") else list(range(8))
    rows = skewed()[:, columns]
    scaling = learn_scaling(array_source("'x'", rows), kind=kind)
    theirs = SKLEARN[kind]().fit(rows)
    np.testing.assert_allclose(scaling.apply(rows), theirs.transform(rows), atol=2e-6)
    scaled = scaling.apply(rows)[:50]
    unscaled = theirs.inverse_transform(scaled) / np.ptp(rows, axis=0)
    np.testing.assert_allclose(scaling.invert(scaled) / np.ptp(rows, axis=0), unscaled, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_constant_stays_so_and_what_lies_beyond_counts_as_the_nearest(kind: Scale) -> None:
    rows = skewed()[:, :3]
    rows[:, 1] = 4.5
    scaling = learn_scaling(array_source("'x'", rows), kind=kind)
    assert (scaling.apply(rows)[:, 1] == 0).all()
    assert (scaling.invert(scaling.apply(rows) + 0.1)[:, 1] == 4.5).all()
    ends = scaling.apply(np.stack([scaling.low, scaling.high]))
    np.testing.assert_array_equal(scaling.apply(np.array([[-1e300] * 3, [1e300] * 3])), ends)


def test_robust_takes_the_deviation_where_the_quartiles_are_equal() -> None:
    rows = skewed()[:, [4]]
    rows[rows < np.quantile(rows, 0.8)] = 0
    scaling = learn_scaling(array_source("'x'", rows), kind="robust")
    np.testing.assert_allclose(scaling.parts["spread"], rows.std(axis=0), rtol=1e-12)


@pytest.mark.parametrize("kind", ["standard", "robust", "quantile", "power"])
def test_spans_that_no_number_can_hold_are_refused_with_all_their_columns(kind: Scale) -> None:
    rows = skewed()[:, :4]
    rows[:2, [1, 3]] = [[1.7e308] * 2, [-1.7e308] * 2]
    matrix = Source("'x'", 400, 4, array_source("'x'", rows).blocks, ("a", "b", "c", "d"))
    told = f"'x', columns 'b', 'd': spans more than --scale {kind} can hold; use --scale minmax"
    with pytest.raises(UserError, match=told):
        learn_scaling(matrix, kind=kind)


@given(
    x=st.floats(-1e6, 1e6),
    power=st.floats(-5, 5).filter(lambda power: abs(power) > 1e-6)
    | st.sampled_from([0.0, 1.0, 2.0]),
)
def test_a_power_is_that_of_scikit_learn_and_is_undone(x: float, power: float) -> None:
    theirs = preprocessing.PowerTransformer(standardize=False).fit([[0.0], [1.0]])
    theirs.lambdas_ = np.array([power])
    with np.errstate(all="ignore"):
        expected = theirs.transform([[x]])
    found = transformed(np.array([[x]]), np.array([power]))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-290)
    if 0 < abs(power) < 2 and abs(x) < 1e3:
        np.testing.assert_allclose(restored(found, np.array([power])), x, rtol=1e-6, atol=1e-9)


def test_the_bits_of_a_power_are_the_same_everywhere() -> None:
    rows = skewed()
    power = np.linspace(-2, 3, rows.shape[1])
    bits = transformed(rows, power).view(np.uint64)
    assert f"{np.bitwise_xor.reduce(bits, axis=None):016x}" == "fd1c242a959a922d"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"low": np.full(8, 9e9)}, "not the lowest and highest"),
        ({"high": np.zeros(7)}, "high is not that of 8 columns"),
        ({"centre": None}, "power has centre, spread, power"),
        ({"spread": np.zeros(8)}, "not the lowest"),
        ({"power": np.full(8, 6.0)}, "not the lowest"),
        ({"centre": np.full(8, np.nan)}, "centre is not that of 8 columns, all finite"),
    ],
)
def test_arrays_that_are_no_scaling_are_refused(
    change: dict[str, Floats64 | None], told: str
) -> None:
    good = learn_scaling(array_source("'x'", skewed()), kind="power")
    arrays = {**good.arrays, **change}
    parts = {name: part for name, part in arrays.items() if part is not None}
    low, high = parts.pop("low"), parts.pop("high")
    with pytest.raises(ValueError, match=told):
        Scaling("power", low, high, parts).check(8)
