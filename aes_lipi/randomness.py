"""Addressed randomness: every draw comes from a stream named by what it is for.

No generator is kept or passed on. A stream is made where it is needed from the study's seed and the
draw's address, so that results do not depend on placement, timing, retries or resumption.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np


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
    TEST_BATCH = 14
    OPPONENTS = 15
    PAIR_ORDER = 16


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
        """A generator at the start of the stream of this address and purpose."""
        key = (int(purpose), self.trial, self.cell, self.generation)
        return np.random.Generator(
            np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=key))
        )
