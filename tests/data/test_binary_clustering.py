"""The generated problem: its structure, its statistics and its randomness."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aes_lipi.arrays import Float32
from aes_lipi.data import Dataset, binary_clustering
from aes_lipi.data.binary_clustering import PAPER_DATASETS, BinaryClustering, TestNoise, generate
from aes_lipi.errors import UserError

PAPER = BinaryClustering(10, 100, 1000)
SMALL = BinaryClustering(n_clusters=4, n_examples_per_cluster=12, n_dim=400)


def published(spec: BinaryClustering = SMALL, seed: int = 1) -> Dataset:
    return generate(spec, seed, 0.05, "shared")


def centroid_rows(spec: BinaryClustering, seed: int = 1) -> Float32:
    """Every row before noise."""
    return generate(spec, seed, 0.0, "shared").train


def flips(rows: Float32, spec: BinaryClustering, seed: int = 1) -> npt.NDArray[np.bool_]:
    """Where noise flipped a bit, as blocks: (K, N, X)."""
    shape = (spec.n_clusters, spec.n_examples_per_cluster, spec.n_dim)
    return np.not_equal(rows, centroid_rows(spec, seed)).reshape(shape)


def assert_share(bits: npt.NDArray[Any], probability: float) -> None:
    """The share of ones is within 5 standard deviations of a binomial's."""
    deviation = np.sqrt(probability * (1 - probability) / bits.size)
    assert abs(bits.mean() - probability) < 5 * deviation


@pytest.mark.parametrize("name", ["binary_clustering_10_100_1000", "10_100_1000"])
def test_name_is_read_in_both_forms(name: str) -> None:
    spec = BinaryClustering.from_name(name)
    assert spec == PAPER
    assert spec.name == "binary_clustering_10_100_1000"


def test_paper_datasets_are_the_four() -> None:
    sizes = [BinaryClustering.from_name(name) for name in PAPER_DATASETS]
    assert [spec.name for spec in sizes] == list(PAPER_DATASETS)
    assert [spec.n_rows for spec in sizes] == [1000, 5000, 1000, 5000]


@pytest.mark.parametrize(
    "name",
    [
        *("", "10_100", "binary_clustering_10_100", "10_100_x", "10_-100_5", "1_2_3_4"),
        *("10_100_1000\n", "٣_٣_٣", "9" * 5000 + "_1_1"),
    ],
)
def test_malformed_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"is not of the form .*binary_clustering_10_100_1000$"):
        BinaryClustering.from_name(name)


@pytest.mark.parametrize("name", ["0_100_1000", "10_0_1000", "10_100_0"])
def test_sizes_must_be_positive(name: str) -> None:
    with pytest.raises(UserError, match=f"{name}.*must be at least 1; for example"):
        BinaryClustering.from_name(name)


@pytest.mark.parametrize(
    ("clusters", "examples", "nearest"),
    [(10, 101, 100), (10, 107, 110), (10, 3, 10), (10, 95, 100)],
)
def test_indivisible_examples_name_the_nearest(clusters: int, examples: int, nearest: int) -> None:
    with pytest.raises(UserError, match=f"not divisible by {clusters} clusters.*: {nearest}$"):
        BinaryClustering(clusters, examples, 5)


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_noise_probability_is_a_probability(probability: float) -> None:
    with pytest.raises(
        UserError, match=r"noise_probability .* is not in \[0, 1\]; published: 0.05"
    ):
        generate(SMALL, 1, probability, "shared")


def test_seed_must_not_be_negative() -> None:
    with pytest.raises(UserError, match="seed -1 is negative; choose"):
        published(seed=-1)


def test_data_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="GiB, more than there is; choose a smaller one"):
        generate(BinaryClustering(10**6, 10**9, 1), 1, 0.05, "shared")


def test_shapes_and_types() -> None:
    data = published()
    assert data.name == SMALL.name
    for rows in (data.train, data.test, data.validation):
        assert rows.shape == (48, 400)
        assert rows.dtype == np.float32
        assert rows.flags.c_contiguous
        assert set(np.unique(rows)) == {0.0, 1.0}


def test_centroids_repeat_in_order() -> None:
    rows = centroid_rows(SMALL)
    np.testing.assert_array_equal(rows, np.tile(rows[:4], (12, 1)))
    assert len(np.unique(rows[:4], axis=0)) == 4


def test_three_quarters_of_centroid_bits_are_set() -> None:
    assert_share(centroid_rows(BinaryClustering(50, 50, 4000))[:50], 0.75)


@pytest.mark.parametrize("split", ["train", "test", "validation"])
def test_one_bit_in_twenty_is_flipped(split: str) -> None:
    data = generate(PAPER, 1, 0.05, "independent")
    assert_share(flips(getattr(data, split), PAPER), 0.05)


@pytest.mark.parametrize("split", ["test", "validation"])
def test_shared_noise_is_the_same_in_every_block(split: str) -> None:
    data = published()
    rows = getattr(data, split)
    masks = flips(rows, SMALL)
    np.testing.assert_array_equal(masks, np.broadcast_to(masks[0], masks.shape))
    assert_share(masks[0], 0.05)
    np.testing.assert_array_equal(rows, np.tile(rows[:12], (4, 1)))
    _, counts = np.unique(rows, axis=0, return_counts=True)
    np.testing.assert_array_equal(counts, np.full(12, 4))


@pytest.mark.parametrize("split", ["train", "test", "validation"])
def test_independent_noise_differs_in_every_row(split: str) -> None:
    rows = getattr(generate(SMALL, 1, 0.05, "independent"), split)
    assert len(np.unique(rows, axis=0)) == SMALL.n_rows


def test_training_noise_is_independent_when_test_noise_is_shared() -> None:
    assert len(np.unique(published().train, axis=0)) == SMALL.n_rows


def test_same_seed_gives_the_same_bits() -> None:
    first, again, other = published(), published(), published(seed=2)
    for split in ("train", "test", "validation"):
        np.testing.assert_array_equal(getattr(first, split), getattr(again, split))
        assert (getattr(first, split) != getattr(other, split)).any()


def test_bits_are_those_of_every_release() -> None:
    """Streams are part of every result: these bits may never change."""
    data = generate(BinaryClustering(2, 2, 8), 1, 0.25, "shared")
    shown = ["".join(str(int(bit)) for bit in row) for row in (*data.train, *data.test[:2])]
    assert shown == ["10000001", "11111010", "10110110", "01100011", "01110111", "11111110"]


def test_test_noise_mode_changes_no_training_row() -> None:
    np.testing.assert_array_equal(published().train, generate(SMALL, 1, 0.05, "independent").train)


def test_noise_probability_changes_no_centroid() -> None:
    inverted = generate(SMALL, 1, 1.0, "shared").train
    np.testing.assert_array_equal(inverted, 1 - centroid_rows(SMALL))


def test_streams_of_the_splits_are_independent() -> None:
    data = generate(PAPER, 1, 0.05, "independent")
    masks = [flips(rows, PAPER).ravel() for rows in (data.train, data.test, data.validation)]
    correlations = np.asarray(np.corrcoef(masks))[np.triu_indices(3, k=1)]
    assert (abs(correlations) < 5 / np.sqrt(masks[0].size)).all()


@given(n_values=st.integers(1, 700), test_noise=st.sampled_from(["shared", "independent"]))
def test_bits_do_not_depend_on_the_chunk(n_values: int, test_noise: TestNoise) -> None:
    whole = generate(SMALL, 3, 0.05, test_noise)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binary_clustering, "_CHUNK_VALUES", n_values)
        chunked = generate(SMALL, 3, 0.05, test_noise)
    for split in ("train", "test", "validation"):
        np.testing.assert_array_equal(getattr(whole, split), getattr(chunked, split))


def test_best_constant_has_the_published_loss() -> None:
    """The expected loss of a column is 0, .05 or more by how many centroids have its bit."""
    losses = []
    for seed in range(5):
        rows = published(PAPER, seed).train
        losses.append(abs(rows - np.median(rows, axis=0)).mean())
    assert np.mean(losses) == pytest.approx(0.271, abs=0.01)


def test_centroids_are_the_noise_floor() -> None:
    rows = published(PAPER).train
    assert abs(rows - centroid_rows(PAPER)).mean() == pytest.approx(0.05, abs=0.002)
