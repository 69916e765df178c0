"""A data set: three matrices of rows as a network takes them, and the streams it is made with."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

import numpy as np

from aes_lipi.arrays import Float32
from aes_lipi.data.encoding import Encoding
from aes_lipi.data.scaling import Scaling
from aes_lipi.errors import UserError

Split = Literal["train", "test", "validation"]


@dataclass(frozen=True)
class Dataset:
    """Rows to train on, to test on and to validate on.

    Attributes:
        name: what the data is called in results.
        train: float32, in [0, 1] but where they are scaled otherwise, shape (n_train, n_dim),
            contiguous.
        test: the same, shape (n_test, n_dim).
        validation: the same, shape (n_validation, n_dim).
        columns: the names of the columns, where they have names.
        scaling: how the columns were scaled, where they were.
        encoding: how a table became their columns, where it was not taken as it was.
        read: what was read of a user's file, in one line.
        weights: by what each training row counts in the loss that is trained on, float32, at least
            0 with a mean of 1, shape (n_train,); None where all count alike. The loss of a batch is
            the mean over its rows of weight times loss, or their sum, which on average over
            batches is the weighted mean over all.
    """

    name: str
    train: Float32
    test: Float32
    validation: Float32
    columns: tuple[str, ...] | None = field(default=None, kw_only=True)
    scaling: Scaling | None = field(default=None, kw_only=True)
    encoding: Encoding | None = field(default=None, kw_only=True)
    read: str = field(default="", kw_only=True)
    weights: Float32 | None = field(default=None, kw_only=True)

    @property
    def n_dim(self) -> int:
        """Width of a row."""
        return int(self.train.shape[1])

    @property
    def n_constant(self) -> int:
        """Columns that are the same in all training rows."""
        if self.scaling is not None:
            return int(self.scaling.constant.sum())
        return int((self.train.min(axis=0) == self.train.max(axis=0)).sum())

    @property
    def splits(self) -> tuple[Float32, Float32, Float32]:
        """The rows of training, test and validation."""
        return self.train, self.test, self.validation

    @property
    def n_bytes(self) -> int:
        """Of all rows."""
        return sum(rows.nbytes for rows in self.splits)

    def split(self, name: Split) -> Float32:
        """The rows of one split, shape (rows, n_dim)."""
        splits: dict[Split, Float32] = {
            "train": self.train,
            "test": self.test,
            "validation": self.validation,
        }
        return splits[name]


class DataPurpose(IntEnum):
    """What a random stream of a data set is for.

    Numbers are part of every data set: never change or re-use one.
    """

    CENTROIDS = 0
    TRAIN_NOISE = 1
    TEST_NOISE = 2
    VALIDATION_NOISE = 3
    FILE_SPLIT = 4
    PLUG_IN = 5


def data_stream(seed: int, purpose: DataPurpose) -> np.random.Generator:
    """A generator at the start of the stream of this data set seed and purpose.

    A data set has its own seed, apart from the study's, so its streams are addressed apart too.

    Raises:
        UserError: the seed is negative; choose a whole number from 0 on.
    """
    if seed < 0:
        raise UserError(f"data set seed {seed} is negative; choose a whole number from 0 on")
    sequence = np.random.SeedSequence(seed, spawn_key=(int(purpose),))
    return np.random.Generator(np.random.PCG64(sequence))
