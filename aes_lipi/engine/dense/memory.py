"""Memory of an engine: between the values of the protocol and what the kernels work on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from aes_lipi.arrays import Array, Float32, Int64
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import ActivationStatistics, Network
from aes_lipi.engine.dense.layout import ChainLayout, Networks, Scratch, Statistics, aligned_zeros
from aes_lipi.engine.dense.products import SAMPLES
from aes_lipi.engine.protocol import Moments

NOTHING_SEEN = Statistics(np.zeros((0, 0)), *np.zeros((2, 0, 0, 0), np.float32))
_EMPTY = aligned_zeros(0)


class Memory:
    """Memory of one engine, kept between calls, and what goes in and out of it.

    Attributes:
        layout: where everything lies.
        scratch: room for a batch.
    """

    def __init__(self, architecture: Architecture, batch_size: int) -> None:
        self.layout = ChainLayout(architecture)
        self.scratch = self._new_scratch(batch_size)
        self._nodes = (architecture.encoder.n_nodes, architecture.decoder.n_nodes)
        self._sizes = (architecture.encoder.size, architecture.decoder.size)
        self._buffers: dict[str, _Buffer] = {}

    def make_room(self, n_samples: int) -> None:
        """See that batches of so many samples have room."""
        if n_samples > self.scratch.capacity:
            self.scratch = self._new_scratch(n_samples)

    def _new_scratch(self, n_samples: int) -> Scratch:
        """Room for batches of so many samples; its padding is zero, and kernels leave it so."""
        capacity, chain = -(-n_samples // SAMPLES) * SAMPLES, self.layout.chain
        code = int(chain.layers[chain.n_encoder]["source_width"])
        noisy = int(chain.input_noise > 0)
        return Scratch(
            values=aligned_zeros(capacity * self.layout.plane_floats),
            deltas=aligned_zeros(capacity * self.layout.plane_floats),
            slopes=aligned_zeros(capacity * self.layout.plane_floats),
            targets=aligned_zeros(noisy * capacity, int(chain.layers[0]["source_width"])),
            code=aligned_zeros(2, capacity, code),
            which=np.zeros(int(chain.layers["rows"].max()) + 2, np.int64),
            gradient=aligned_zeros(int(chain.layers["width"].max())),
            capacity=capacity,
        )

    def packed(
        self, networks: Mapping[int, Network], moments: Sequence[Moments] | None = None
    ) -> Networks:
        """Networks with their masks and optimiser state, for the kernels.

        Args:
            networks: by number; see `Networks`.
            moments: of each, for an Adam that is kept.
        """
        n_pairs = max(networks) // 2 + 1
        known = dict(zip(networks, moments or (), strict=False))
        masks = {k: each.mask for k, each in networks.items() if each.mask is not None}
        masked, steps = np.zeros((2, 2 * n_pairs), np.int64)
        masked[[*masks]] = 1
        steps[[*known]] = [each.steps for each in known.values()]
        return Networks(
            self._pack("values", n_pairs, {k: each.genome for k, each in networks.items()}),
            self._pack("first", n_pairs, {k: each.first for k, each in known.items()}),
            self._pack("second", n_pairs, {k: each.second for k, each in known.items()}),
            self._pack("alive", n_pairs, masks),
            self._buffers["values"].starts,
            masked,
            steps,
        )

    def _pack(self, name: str, n_pairs: int, arrays: Mapping[int, Array]) -> Float32:
        """Arrays with a value per weight, by number, in the buffer of that name."""
        if not arrays:
            return _EMPTY
        if name not in self._buffers or self._buffers[name].n_pairs < n_pairs:
            self._buffers[name] = _Buffer(self.layout, n_pairs)
        self._buffers[name].write(arrays)
        return self._buffers[name].memory

    def unpacked(self, name: str, numbers: Iterable[int]) -> list[Float32]:
        """Of some networks the `values`, `first` or `second` moments: new arrays like genomes."""
        return [self._buffers[name].read(k, self._sizes[k % 2]) for k in numbers]

    def statistics(self, n_networks: int, slots: int) -> Statistics:
        """Statistics of nothing yet."""
        shape = (n_networks, slots, max(self._nodes))
        mean, m2 = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        return Statistics(np.zeros(shape[:2]), mean, m2)

    def observed(self, seen: Statistics, numbers: Iterable[int]) -> list[ActivationStatistics]:
        """One value per network."""
        answers = []
        for k in numbers:
            nodes = self._nodes[k % 2]
            mean, m2 = (part[k, :, :nodes].astype(np.float64) for part in (seen.mean, seen.m2))
            answers.append(ActivationStatistics(seen.batches[k], mean, m2))
        return answers


class _Buffer:
    """One value per weight of packed networks.

    Attributes:
        n_pairs: encoders and decoders, in turn, that there is room for.
        memory: of all of them, flat.
        starts: where each of them starts, int64, (2 n_pairs,).
    """

    def __init__(self, layout: ChainLayout, n_pairs: int) -> None:
        self.n_pairs = n_pairs
        self.memory = aligned_zeros(n_pairs * sum(layout.sizes))
        sizes: Int64 = np.array(layout.sizes * n_pairs, np.int64)
        self.starts: Int64 = np.cumsum(sizes) - sizes
        self._parts = np.split(self.memory, self.starts[1:])
        self._places = [tuple(layout.places(k % 2, part)) for k, part in enumerate(self._parts)]

    def write(self, arrays: Mapping[int, Array]) -> None:
        """Pack arrays with a value per weight, (P,), by number."""
        for k, array in arrays.items():
            self._parts[k][:] = 0.0  # padding, too: what is not finite spreads to it
            for place, view in self._places[k]:
                view[...] = array[place].reshape(view.shape)

    def read(self, k: int, size: int) -> Float32:
        """A network's values as a new array like its genome."""
        array = np.empty(size, np.float32)
        for place, view in self._places[k]:
            array[place].reshape(view.shape)[...] = view
        return array


def read_only(array: Array) -> Float32:
    """The array as kernels expect what they read: float32, contiguous, aligned, read-only.

    Kernels are compiled for exactly one kind of array; nothing is copied where it is of this kind.
    """
    view: Float32 = np.require(array, np.float32, ("C", "A")).view()
    view.flags.writeable = False
    return view
