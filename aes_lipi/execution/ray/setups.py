"""What a worker process of the cluster keeps at hand between trials: data and engines."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import numpy as np

from aes_lipi.coevolution.plan import Setup
from aes_lipi.config import Variant
from aes_lipi.data.dataset import Dataset
from aes_lipi.execution.inputs import Inputs, prepare_with

SHARE_FOR_DATA = 0.5
"""Of a process's share of its node's memory, what a copy of the data may take."""

VARIANTS_KEPT = 4


class SetupCache:
    """The setups of the last few variants that a process has worked on.

    Args:
        memory: bytes that are the process's share. Data that fit into half of it are copied out of
            the object store, whose small pages make computing slower by some percent; others are
            read where they lie, once per node.
    """

    def __init__(self, memory: int) -> None:
        self._room = int(SHARE_FOR_DATA * memory)
        self._setups: OrderedDict[Variant, Setup] = OrderedDict()

    def setup(self, variant: Variant, inputs: Inputs) -> Setup:
        """Data, layouts and engine of a variant.

        Args:
            variant: settings.
            inputs: its data, as they came from the object store.

        Raises:
            UserError: the engine or the device cannot be had here.
        """
        if variant not in self._setups:
            self._make_room(inputs.dataset)
            self._setups[variant] = prepare_with(variant, self._own(inputs))
        self._setups.move_to_end(variant)
        return self._setups[variant]

    def _make_room(self, dataset: Dataset) -> None:
        """Give up the setups that were not used for longest."""
        while self._setups and (
            len(self._setups) >= VARIANTS_KEPT or self._held() + dataset.n_bytes > self._room
        ):
            self._setups.popitem(last=False)

    def _held(self) -> int:
        return sum(setup.dataset.n_bytes for setup in self._setups.values())

    def _own(self, inputs: Inputs) -> Inputs:
        """The same in this process's own memory, if it fits."""
        dataset = inputs.dataset
        if dataset.n_bytes > self._room:
            return inputs
        train, test, validation = (np.array(split, order="C") for split in dataset.splits)
        own = replace(dataset, train=train, test=test, validation=validation)
        return replace(inputs, dataset=own)
