"""Writing data sets to files that `load_file` reads back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float32
from aes_lipi.data.binary_clustering import (
    PAPER_DATASETS,
    BinaryClustering,
    TestNoise,
    generate,
)
from aes_lipi.data.dataset import Dataset
from aes_lipi.data.source import shown
from aes_lipi.errors import UserError
from aes_lipi.io.files import write_atomically


def create_paper_datasets(
    directory: str | Path, seed: int, noise_probability: float, test_noise: TestNoise
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
        UserError: an argument is out of bounds, or a file cannot be written.
    """
    directory = Path(directory)
    paths = []
    for name in PAPER_DATASETS:
        spec = BinaryClustering.from_name(name)
        path = directory / f"{spec.name}.npz"
        save(generate(spec, seed, noise_probability, test_noise), path)
        paths.append(path)
    return paths


def save(dataset: Dataset, path: str | Path) -> None:
    """Write a data set so that `load_file` gives it back bit for bit.

    Its name comes back too if the file is named after it. The file appears under its name only
    when it is whole.

    Args:
        dataset: what to write.
        path: a file that ends in `.npz`; replaced if it is there.

    Raises:
        UserError: the path has another ending, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise UserError(f"{shown(path)}: a data set is written as .npz; end the name with .npz")
    write_atomically(path, lambda partial: _write(dataset, partial))


def _write(dataset: Dataset, path: Path) -> None:
    with path.open("xb") as stream:
        np.savez_compressed(
            stream,
            train=_compact(dataset.train),
            test=_compact(dataset.test),
            validation=_compact(dataset.validation),
        )


def _compact(rows: Float32) -> Float32 | npt.NDArray[np.uint8]:
    """The rows as uint8 if that loses nothing, not even the sign of a zero."""
    is_binary = ((rows == 0) & ~np.signbit(rows)) | (rows == 1)
    return rows.astype(np.uint8) if is_binary.all() else rows
