"""The published problem: noisy copies of binary centroids (algorithm section 1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float32
from aes_lipi.data.columnar import check_own_archive, save
from aes_lipi.data.dataset import DataPurpose, Dataset, data_stream
from aes_lipi.errors import UserError

TestNoise = Literal["shared", "independent"]
Bits = npt.NDArray[np.bool_]

PAPER_DATASETS = (
    "binary_clustering_10_100_1000",
    "binary_clustering_50_100_1000",
    "binary_clustering_10_100_4000",
    "binary_clustering_50_100_4000",
)

_PREFIX = "binary_clustering_"
_NAME = re.compile(rf"(?:{_PREFIX})?([0-9]{{1,9}})_([0-9]{{1,9}})_([0-9]{{1,9}})")
_CHUNK_VALUES = 2**20


@dataclass(frozen=True)
class BinaryClustering:
    """Size of a binary clustering problem.

    Attributes:
        n_clusters: K, the centroids; also the blocks of a split.
        n_examples_per_cluster: N, the examples of a block, divisible by K.
        n_dim: X, the width of a row.

    Raises:
        UserError: a size is not positive, or N is not divisible by K.

    >>> BinaryClustering.from_name("10_100_1000").name
    'binary_clustering_10_100_1000'
    """

    n_clusters: int
    n_examples_per_cluster: int
    n_dim: int

    def __post_init__(self) -> None:
        if min(self.n_clusters, self.n_examples_per_cluster, self.n_dim) < 1:
            raise UserError(
                f"data set {self.name!r}: clusters, examples and dimensions must be at least 1; "
                f"for example {PAPER_DATASETS[0]}"
            )
        if self.n_examples_per_cluster % self.n_clusters:
            raise UserError(
                f"data set {self.name!r}: {self.n_examples_per_cluster} examples are not divisible "
                f"by {self.n_clusters} clusters; the nearest number that is: {self._nearest_n()}"
            )

    def _nearest_n(self) -> int:
        below = self.n_examples_per_cluster // self.n_clusters * self.n_clusters
        above = below + self.n_clusters
        is_below_nearer = self.n_examples_per_cluster - below < above - self.n_examples_per_cluster
        return below if below and is_below_nearer else above

    @property
    def name(self) -> str:
        """`binary_clustering_{K}_{N}_{X}`."""
        return f"{_PREFIX}{self.n_clusters}_{self.n_examples_per_cluster}_{self.n_dim}"

    @property
    def n_rows(self) -> int:
        """Rows of a split, K N."""
        return self.n_clusters * self.n_examples_per_cluster

    @classmethod
    def from_name(cls, name: str) -> BinaryClustering:
        """Read `binary_clustering_{K}_{N}_{X}`, or the short form `{K}_{N}_{X}`.

        Raises:
            UserError: the name is of another form, or its numbers describe no problem.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise UserError(
                f"data set {name[:80]!r} is not of the form {_PREFIX}K_N_X (clusters, examples per "
                f"block, dimensions); for example {PAPER_DATASETS[0]}"
            )
        clusters, examples, dimensions = (int(number) for number in match.groups())
        return cls(clusters, examples, dimensions)


def generate(
    spec: BinaryClustering, seed: int, noise_probability: float, test_noise: TestNoise
) -> Dataset:
    """Generate the three splits, each float32 in {0, 1} of shape (K N, X).

    Row r of a split is centroid r mod K with some of its bits flipped. Centroids and every
    split's noise have streams of their own: the mode of the test noise changes no training row.

    Args:
        spec: size of the problem.
        seed: of the data set.
        noise_probability: chance that a bit is flipped, in [0, 1].
        test_noise: noise of the test and of the validation rows: `shared`, one (N, X) mask for
            all K blocks (published), or `independent`, its own for every row (sound).

    Raises:
        UserError: the noise probability is not in [0, 1], the seed is negative, or the data does
            not fit in memory.
    """
    if not 0.0 <= noise_probability <= 1.0:
        raise UserError(f"noise_probability {noise_probability} is not in [0, 1]; published: 0.05")
    shape = (spec.n_clusters, spec.n_dim)
    centroids = data_stream(seed, DataPurpose.CENTROIDS).binomial(2, 0.5, shape) > 0
    masked_rows = spec.n_examples_per_cluster if test_noise == "shared" else spec.n_rows

    def split(purpose: DataPurpose, n_masked: int) -> Float32:
        rng = data_stream(seed, purpose)
        return _noisy_rows(spec, centroids, rng, noise_probability, n_masked)

    try:
        return Dataset(
            name=spec.name,
            train=split(DataPurpose.TRAIN_NOISE, spec.n_rows),
            test=split(DataPurpose.TEST_NOISE, masked_rows),
            validation=split(DataPurpose.VALIDATION_NOISE, masked_rows),
        )
    except MemoryError:
        size = 3 * 4 * spec.n_rows * spec.n_dim / 2**30
        raise UserError(
            f"data set {spec.name!r} takes {size:.1f} GiB, more than there is; choose a smaller one"
        ) from None


def _noisy_rows(
    spec: BinaryClustering,
    centroids: Bits,
    rng: np.random.Generator,
    noise_probability: float,
    n_masked: int,
) -> Float32:
    """One split, float32 of shape (K N, X), under a noise mask that repeats every n_masked rows.

    The mask's bits do not depend on how many rows are drawn at a time.
    """
    rows = np.empty((spec.n_rows, spec.n_dim), dtype=np.float32)
    height = max(1, _CHUNK_VALUES // spec.n_dim)
    for start in range(0, n_masked, height):
        stop = min(start + height, n_masked)
        flipped = rng.random((stop - start, spec.n_dim)) < noise_probability
        clean = centroids[np.arange(start, stop) % spec.n_clusters]
        noisy = clean ^ flipped
        for block in range(0, spec.n_rows, n_masked):
            rows[block + start : block + stop] = noisy
    return rows


def create_paper_datasets(
    directory: Path, seed: int, noise_probability: float, test_noise: TestNoise
) -> list[Path]:
    """Generate the paper's four data sets and write each to `{name}.npz`.

    Args:
        directory: where to; made if it is not there.
        seed: of the data sets.
        noise_probability: chance that a bit is flipped, in [0, 1].
        test_noise: see `generate`.

    Returns:
        The files, in the order of `PAPER_DATASETS`.

    Raises:
        UserError: an argument is out of bounds, a file there is somebody else's, or one cannot be
            written; choose another folder, or make room.
    """
    specs = [BinaryClustering.from_name(name) for name in PAPER_DATASETS]
    paths = [directory / f"{spec.name}.npz" for spec in specs]
    for path in paths:
        check_own_archive(path)
    for spec, path in zip(specs, paths, strict=True):
        save(generate(spec, seed, noise_probability, test_noise), path)
    return paths
