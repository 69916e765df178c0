"""Between the values of the protocol and the packed memory that kernels work on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from aes_lipi.arrays import Array, Float32, Int64
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import ActivationStatistics, Network
from aes_lipi.engine.dense.packing import Packing, aligned_zeros
from aes_lipi.engine.dense.products import SAMPLES
from aes_lipi.engine.dense.records import Networks, Scratch, Statistics
from aes_lipi.engine.protocol import Moments


class Memory:
    """Memory of one engine, kept between calls, and what goes in and out of it.

    Attributes:
        packing: where everything lies.
        scratch: room for a batch.
    """

    def __init__(self, architecture: Architecture, batch_size: int) -> None:
        self.packing = Packing(architecture)
        self.scratch = self._new_scratch(batch_size)
        self._nodes = (architecture.encoder.n_nodes, architecture.decoder.n_nodes)
        self._buffers: dict[str, Float32] = {}

    def make_room(self, n_samples: int) -> None:
        """See that batches of so many samples have room."""
        if n_samples > self.scratch.capacity:
            self.scratch = self._new_scratch(n_samples)

    def _new_scratch(self, n_samples: int) -> Scratch:
        """Room for batches of so many samples; its padding is zero, and kernels leave it so."""
        capacity, layers = -(-n_samples // SAMPLES) * SAMPLES, self.packing.chain.layers
        code = int(layers[self.packing.chain.n_encoder]["source_width"])
        noisy = int(self.packing.chain.input_noise > 0)
        return Scratch(
            values=aligned_zeros(capacity * self.packing.plane_floats),
            deltas=aligned_zeros(capacity * self.packing.plane_floats),
            targets=aligned_zeros(noisy * capacity, int(layers[0]["source_width"])),
            code=aligned_zeros(2, capacity, code),
            which=np.zeros(int(layers["rows"].max()) + 2, np.int64),
            gradient=aligned_zeros(int(layers["width"].max())),
            capacity=capacity,
        )

    def packed(
        self,
        encoders: Sequence[Network],
        decoders: Sequence[Network],
        moments: Sequence[Moments] | None = None,
    ) -> Networks:
        """Networks, encoders first, with their masks and optimiser state, for the kernels."""
        networks, n = (*encoders, *decoders), len(encoders)
        starts = self.packing.starts(n, len(decoders))
        masked = np.array([network.mask is not None for network in networks], np.int64)
        masks = [network.mask for network in networks] if masked.any() else []
        return Networks(
            self._pack("values", n, starts, [network.genome for network in networks]),
            self._pack("first", n, starts, [m.first for m in moments or ()]),
            self._pack("second", n, starts, [m.second for m in moments or ()]),
            self._pack("alive", n, starts, masks),
            starts,
            masked,
            np.array([m.steps for m in moments or ()] or [0] * len(networks), np.int64),
        )

    def _pack(
        self, name: str, n_encoders: int, starts: Int64, arrays: Sequence[Array | None]
    ) -> Float32:
        """One array per network, None for all ones, in the buffer of that name."""
        floats = int(starts[len(arrays)])
        if name not in self._buffers or len(self._buffers[name]) < floats:
            self._buffers[name] = aligned_zeros(floats)
        buffer = self._buffers[name][:floats]
        buffer[:] = 0.0
        for k, array in enumerate(arrays):
            self.packing.pack(int(k >= n_encoders), array, buffer[starts[k] : starts[k + 1]])
        return buffer

    def unpacked(self, packed: Float32, nets: Networks, n_encoders: int) -> list[Float32]:
        """One new array per network, in genome order."""
        return [
            self.packing.unpacked(int(k >= n_encoders), packed[start:stop])
            for k, (start, stop) in enumerate(pairwise(nets.starts))
        ]

    def statistics(self, n_networks: int, slots: int) -> Statistics:
        """Statistics of nothing yet."""
        shape = (n_networks, slots, max(self._nodes))
        mean, m2 = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        return Statistics(np.zeros(shape[:2]), mean, m2)

    def observed(self, seen: Statistics, n_encoders: int) -> list[ActivationStatistics]:
        """One value per network, in order."""
        answers = []
        for k, batches in enumerate(seen.batches):
            nodes = self._nodes[int(k >= n_encoders)]
            mean, m2 = (part[k, :, :nodes].astype(np.float64) for part in (seen.mean, seen.m2))
            answers.append(ActivationStatistics(batches, mean, m2))
        return answers


def read_only(array: Array) -> Float32:
    """The array as kernels expect what they read: float32, contiguous, aligned, read-only.

    Kernels are compiled for exactly one kind of array; nothing is copied where it is of this kind.
    """
    view: Float32 = np.require(array, np.float32, ("C", "A")).view()
    view.flags.writeable = False
    return view
