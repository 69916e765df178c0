"""Addressed randomness: every draw comes from a stream named by what it is for.

No generator is kept or passed on. A stream is made where it is needed from the study's seed and the
draw's address, so that results do not depend on placement, timing, retries or resumption.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from numpy.random.bit_generator import ISeedSequence

_PLACE_BITS = (6, 14, 20, 24)
"""Width of purpose, trial, cell and generation in a stream's key."""


class Purpose(IntEnum):
    """What a stream is for. Numbers are part of every result: never change or re-use one."""

    INITIAL_WEIGHTS = 1
    DATA_SUBSET = 2
    UPDATE_ORDER = 3
    SELECTION_BATCH = 4
    TOURNAMENT = 5
    SHUFFLE = 6
    TRAINING_NOISE = 7
    REPLACEMENT_BATCH = 8
    PRUNE_EVENT = 9
    PRUNE_ENCODER = 10
    PRUNE_DECODER = 11
    LEXICASE_ROWS = 12
    LEARNING_RATE = 13
    TEST_BATCH = 14  # of earlier versions
    OPPONENTS = 15
    PAIR_ORDER = 16
    MEASURED_ORDER = 17
    SELECTION_CODE = 18
    REPLACEMENT_CODE = 19
    TEST_CODE = 20
    MEASURED_CODE = 21
    LEXICASE_CODE = 22
    RETRIEVAL_CODE = 23


@dataclass(frozen=True)
class Address:
    """Where in a study something happens.

    Attributes:
        seed: of the study.
        trial: number of the trial. Variants of a study share their trials' addresses, so that
            trials of the same number are paired.
        cell: index of the cell; 0 for what concerns the whole ring.
        generation: number of the generation; 0 also for what happens before the first.
    """

    seed: int
    trial: int
    cell: int = 0
    generation: int = 0

    def stream(self, purpose: Purpose) -> np.random.Generator:
        """A generator at the start of the stream of this address and purpose.

        Raises:
            ValueError: a number of the address is too large for its place in the key.
        """
        key = _Key(self.seed, self._place(purpose))
        return np.random.Generator(np.random.Philox(key))  # type: ignore[arg-type]

    def _place(self, purpose: Purpose) -> int:
        """Purpose, trial, cell and generation side by side in 64 bits."""
        place = 0
        parts = (int(purpose), self.trial, self.cell, self.generation)
        for value, bits in zip(parts, _PLACE_BITS, strict=True):
            if not 0 <= value < 1 << bits:
                raise ValueError(f"{value} in {self} does not fit in {bits} bits")
            place = place << bits | value
        return place


class _Key(ISeedSequence):
    """The key of a Philox stream, handed over as it is.

    Philox is a counter-based generator: streams of different keys are different permutations of
    the counter, so an address needs no hashing (Salmon et al. 2011, "Parallel random numbers: as
    easy as 1, 2, 3").
    """

    def __init__(self, *words: int) -> None:
        self._words = np.array(words, dtype=np.uint64)

    def generate_state(self, n_words: int, dtype: object = np.uint64) -> npt.NDArray[np.uint64]:
        """The two words of the key: Philox asks for nothing else."""
        return self._words
