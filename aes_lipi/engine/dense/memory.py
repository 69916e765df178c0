"""Between the values of the protocol and the packed memory that kernels work on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float32, Float64
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Network
from aes_lipi.engine.dense.blocks import BLOCK
from aes_lipi.engine.dense.exchange import pack, unpack
from aes_lipi.engine.dense.packing import SAMPLES, Chain, aligned_zeros, vectors_for
from aes_lipi.engine.dense.scratch import Scratch
from aes_lipi.engine.dense.simd import LANES
from aes_lipi.engine.dense.tiles import Weights
from aes_lipi.engine.dense.training import Statistics
from aes_lipi.engine.protocol import ActivationStatistics, Moments


class Memory:
    """Memory of one engine, kept between calls, and what goes in and out of it.

    Attributes:
        chain: where everything lies.
    """

    def __init__(self, architecture: Architecture) -> None:
        self.chain = Chain.of(architecture)
        self._genomes = (architecture.encoder.size, architecture.decoder.size)
        self._parts = (self.chain.encoder_parts, self.chain.decoder_parts)
        self._floats = (self.chain.encoder_floats, self.chain.decoder_floats)
        self._buffers: dict[str, Float32] = {}
        self._scratch: dict[int, Scratch] = {}

    def sizes(self, n_encoders: int) -> npt.NDArray[np.int64]:
        """Packed floats of an encoder and of a decoder, and the number of encoders."""
        return np.array([*self._floats, n_encoders], np.int64)

    def scratch(self, batch_size: int) -> Scratch:
        """Room for a batch; its padding is zero, and kernels leave it so."""
        capacity = max(1, -(-batch_size // SAMPLES))
        if capacity not in self._scratch:
            layers, floats = self.chain.layers, self.chain.plane_floats
            rows = vectors_for(int(layers["rows"].max())) * LANES
            self._scratch[capacity] = Scratch(
                planes=aligned_zeros(capacity * floats),
                deltas=aligned_zeros(capacity * floats),
                targets=aligned_zeros(capacity * BLOCK * int(layers[0]["source_vectors"])),
                active=np.zeros(rows + 1, np.int64),
                places=np.zeros(rows + 1, np.int64),
                found=aligned_zeros(LANES),
                sums=aligned_zeros((rows + 1) * BLOCK),
                factors=aligned_zeros(2 * capacity * SAMPLES),
                capacity=capacity,
            )
        return self._scratch[capacity]

    def packed(
        self,
        encoders: Sequence[Network],
        decoders: Sequence[Network],
        moments: Sequence[Moments] | None = None,
    ) -> Weights:
        """Networks of a task, encoders first, with their masks and optimiser state."""
        networks = (*encoders, *decoders)
        masked = any(network.mask is not None for network in networks)
        return Weights(
            values=self._pack("values", len(encoders), [n.genome for n in networks]),
            first=self._pack("first", len(encoders), [m.first for m in moments or ()]),
            second=self._pack("second", len(encoders), [m.second for m in moments or ()]),
            alive=self._pack("alive", len(encoders), [n.mask for n in networks] if masked else []),
        )

    def unpacked(self, packed: Float32, n_encoders: int, n_networks: int) -> list[Float32]:
        """One new flat array per network, in genome order."""
        arrays = []
        for kind, start in self._starts(n_encoders, n_networks):
            array = np.empty(self._genomes[kind], np.float32)
            unpack(self._parts[kind], array, packed, start)
            arrays.append(array)
        return arrays

    def statistics(self, n_networks: int, slots: int, scratch: Scratch) -> Statistics:
        """Statistics of nothing yet."""
        floats = n_networks * len(scratch.planes)
        batches = np.zeros((n_networks, slots))
        return Statistics(batches, np.zeros(floats, np.float32), np.zeros(floats, np.float32))

    def unpacked_statistics(
        self, statistics: Statistics, scratch: Scratch, n_encoders: int
    ) -> list[ActivationStatistics]:
        """One value per network, in order."""
        answers = []
        for k, count in enumerate(statistics.batches):
            parts = self._parts[int(k >= n_encoders)]
            part = slice(k * len(scratch.planes), (k + 1) * len(scratch.planes))
            mean, m2 = (
                _nodes(parts, values[part], scratch.capacity, len(count))
                for values in (statistics.mean, statistics.m2)
            )
            answers.append(ActivationStatistics(count, mean, m2))
        return answers

    def _pack(
        self, name: str, n_encoders: int, arrays: Sequence[npt.NDArray[np.generic] | None]
    ) -> Float32:
        """Pack one array per network (None: all ones) into the buffer of that name."""
        starts = list(self._starts(n_encoders, len(arrays)))
        floats = sum(self._floats[kind] for kind, _ in starts)
        buffer = self._buffer(name, floats)
        buffer[:floats] = 0.0
        for array, (kind, start) in zip(arrays, starts, strict=True):
            ones = np.ones(self._genomes[kind], np.float32) if array is None else array
            pack(self._parts[kind], read_only(ones), buffer, start)
        return buffer

    def _buffer(self, name: str, floats: int) -> Float32:
        """The buffer of that name, of at least so many floats."""
        if name not in self._buffers or len(self._buffers[name]) < floats:
            self._buffers[name] = aligned_zeros(floats)
        return self._buffers[name]

    def _starts(self, n_encoders: int, n_networks: int) -> Iterable[tuple[int, int]]:
        """For each network 0 for an encoder or 1 for a decoder, and where it starts."""
        start = 0
        for k in range(n_networks):
            kind = int(k >= n_encoders)
            yield kind, start
            start += self._floats[kind]


def read_only(array: npt.NDArray[np.generic]) -> Float32:
    """The array as kernels expect what they read: float32, contiguous, aligned, read-only.

    Kernels are compiled for exactly one kind of array; nothing is copied where it is of this kind.
    """
    view: Float32 = np.require(array, np.float32, ("C", "A")).view()
    view.flags.writeable = False
    return view


def _nodes(parts: npt.NDArray[np.void], planes: Float32, capacity: int, slots: int) -> Float64:
    """Values of all nodes, taken from planes: shape (slots, nodes)."""
    columns = []
    for layer in parts:
        vectors, start = int(layer["target_vectors"]), int(layer["target"]) * capacity
        plane = planes[start : start + capacity * vectors * BLOCK]
        blocks = plane.reshape(capacity, vectors, SAMPLES, LANES).transpose(0, 2, 1, 3)
        rows = blocks.reshape(capacity * SAMPLES, vectors * LANES)
        first = int(layer["node"])
        columns.append(rows[:slots, first : first + int(layer["n_out"])])
    return np.concatenate(columns, axis=1, dtype=np.float64)
