"""Random streams of a data set, one for each purpose.

A data set has its own seed, apart from the study's, so its streams are addressed apart too.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from aes_lipi.errors import UserError


class DataPurpose(IntEnum):
    """What a stream is for. Numbers are part of every data set: never change or re-use one."""

    CENTROIDS = 0
    TRAIN_NOISE = 1
    TEST_NOISE = 2
    VALIDATION_NOISE = 3
    FILE_SPLIT = 4
    PLUG_IN = 5


def data_stream(seed: int, purpose: DataPurpose) -> np.random.Generator:
    """A generator at the start of the stream of this data set seed and purpose.

    Raises:
        UserError: the seed is negative.
    """
    if seed < 0:
        raise UserError(f"data set seed {seed} is negative; choose a whole number from 0 on")
    sequence = np.random.SeedSequence(seed, spawn_key=(int(purpose),))
    return np.random.Generator(np.random.PCG64(sequence))
