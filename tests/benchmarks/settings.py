"""What is measured: the published setting and its relatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from aes_lipi.arrays import Int32
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Network, Pair, initial_genome
from aes_lipi.coevolution.cell import in_batches
from aes_lipi.config import Variant
from aes_lipi.data import Dataset
from aes_lipi.data.load import load_dataset
from aes_lipi.engine.protocol import Engine, TrainTask, Updates
from aes_lipi.execution.inputs import architecture_of


@dataclass(frozen=True)
class Setting:
    """A variant's data and networks, and the batches of one shuffled pass."""

    variant: Variant
    dataset: Dataset
    architecture: Architecture
    pair: Pair
    batches: Int32

    @staticmethod
    def of(**settings: Any) -> Setting:
        """Make the setting of a variant, with the last batch left out if it is not full."""
        variant = Variant.model_validate(settings)
        dataset = load_dataset(variant)
        architecture = architecture_of(variant, dataset.n_dim)
        rng = np.random.default_rng(1)
        pair = Pair(
            Network(initial_genome(architecture.encoder, rng)),
            Network(initial_genome(architecture.decoder, rng)),
        )
        size = variant.batch_size
        whole = len(dataset.train) // size * size
        batches = in_batches(rng.permutation(len(dataset.train))[:whole].astype(np.int32), size)
        return Setting(variant, dataset, architecture, pair, batches)

    def trained(self, engine: Engine, passes: int, rate: float) -> Setting:
        """The same setting with a pair that an engine has trained for some passes."""
        pair = self.pair
        for _ in range(passes):
            [result] = engine.train([self.task(pair, rate)])
            pair = Pair(result.encoders[0], result.decoders[0])
        return Setting(self.variant, self.dataset, self.architecture, pair, self.batches)

    def task(self, pair: Pair | None = None, rate: float = 1e-5) -> TrainTask:
        """One pass of a pair over the batches."""
        chosen = pair or self.pair
        zeros = np.zeros(len(self.batches), dtype=np.int32)
        updates = Updates(self.batches, zeros, zeros, np.full(len(self.batches), rate))
        return TrainTask((chosen.encoder,), (chosen.decoder,), updates)
