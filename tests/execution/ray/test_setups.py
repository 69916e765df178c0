"""What a worker process keeps at hand between trials."""

from __future__ import annotations

import numpy as np

from aes_lipi.config import Variant
from aes_lipi.execution.inputs import inputs_of
from aes_lipi.execution.ray.setups import VARIANTS_KEPT, SetupCache

SMALL = {"n_clusters": 2, "n_examples_per_cluster": 6, "n_dim": 20, "engine": "dense"}


def small(seed: int = 1) -> Variant:
    """A variant with little data."""
    return Variant.model_validate(SMALL | {"dataset_seed": seed})


def test_data_that_fit_are_copied_and_equal() -> None:
    inputs = inputs_of(small())
    setup = SetupCache(2 * inputs.dataset.n_bytes).setup(small(), inputs)
    for mine, given in zip(setup.dataset.splits, inputs.dataset.splits, strict=True):
        assert not np.shares_memory(mine, given)
        assert np.array_equal(mine, given)


def test_data_that_do_not_fit_stay_where_they_are() -> None:
    inputs = inputs_of(small())
    setup = SetupCache(2 * inputs.dataset.n_bytes - 2).setup(small(), inputs)
    assert setup.dataset is inputs.dataset


def test_a_setup_is_made_once_for_trials_of_one_variant() -> None:
    cache, inputs = SetupCache(10**9), inputs_of(small())
    assert cache.setup(small(), inputs) is cache.setup(small(), inputs)


def test_the_setup_that_was_not_used_for_longest_goes_first() -> None:
    cache = SetupCache(10**9)
    made = [cache.setup(small(seed), inputs_of(small(seed))) for seed in range(VARIANTS_KEPT)]
    cache.setup(small(0), inputs_of(small(0)))
    cache.setup(small(VARIANTS_KEPT), inputs_of(small(VARIANTS_KEPT)))
    assert cache.setup(small(0), inputs_of(small(0))) is made[0]
    assert cache.setup(small(1), inputs_of(small(1))) is not made[1]


def test_copies_of_several_variants_share_the_room() -> None:
    inputs = inputs_of(small(1))
    cache = SetupCache(3 * inputs.dataset.n_bytes)
    first = cache.setup(small(1), inputs)
    cache.setup(small(2), inputs_of(small(2)))
    assert cache.setup(small(1), inputs) is not first
