"""Networks without the hidden nodes that pruning has frozen dead, to be trained in their place.

A node whose incoming weights, bias and outgoing weights are all frozen at zero puts out what its
activation makes of 0, which is 0 for every hidden one, reads nothing and is not read. So the others
train alike without it, for as much less as they are fewer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aes_lipi.arrays import Float32, Int64
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Mask, Network, NetworkLayout
from aes_lipi.engine.protocol import Moments, Trained, TrainTask


@dataclass(frozen=True)
class _Part:
    """What is left of a network.

    Attributes:
        layout: of it.
        places: where its entries lie in a whole genome, int64, (entries,).
    """

    layout: NetworkLayout
    places: Int64

    def of_network(self, network: Network) -> Network:
        """What is left of one; without a mask where nothing of that is frozen."""
        mask = None if network.mask is None else network.mask[self.places]
        frozen = mask is not None and not mask.all()
        return Network(network.genome[self.places], mask if frozen else None)

    def of_moments(self, moments: Moments) -> Moments:
        """What is left of a network's optimiser state."""
        first, second = (each[self.places] for each in (moments.first, moments.second))
        return Moments(first, second, moments.steps)

    def put_back(self, whole: Float32, part: Float32) -> Float32:
        """The whole with what has become of the part."""
        values = whole.copy()
        values[self.places] = part
        return values


@dataclass(frozen=True)
class Narrowing:
    """A task's networks without nodes that are dead in all encoders, or all decoders, of it.

    Attributes:
        architecture: of what is left.
        encoder: what is left of every encoder.
        decoder: what is left of every decoder.
    """

    architecture: Architecture
    encoder: _Part
    decoder: _Part

    def narrow(self, task: TrainTask) -> TrainTask:
        """The task for what is left."""
        return replace(
            task,
            encoders=tuple(map(self.encoder.of_network, task.encoders)),
            decoders=tuple(map(self.decoder.of_network, task.decoders)),
            encoder_moments=_mapped(self.encoder, task.encoder_moments),
            decoder_moments=_mapped(self.decoder, task.decoder_moments),
        )

    def widen(self, task: TrainTask, trained: Trained) -> Trained:
        """What training what is left has made of the task; all else stays as it was."""
        return Trained(
            _grown(self.encoder, task.encoders, trained.encoders),
            _grown(self.decoder, task.decoders, trained.decoders),
            _moved(self.encoder, task.encoder_moments, trained.encoder_moments),
            _moved(self.decoder, task.decoder_moments, trained.decoder_moments),
            trained.encoder_statistics,
            trained.decoder_statistics,
            trained.losses,
        )


def narrowing(architecture: Architecture, task: TrainTask) -> Narrowing | None:
    """How a task is made smaller; None where no node is dead, or nodes are observed.

    Args:
        architecture: of its networks.
        task: what is trained.
    """
    both = (task.encoders, task.decoders)
    if task.observe or all(any(each.mask is None for each in networks) for networks in both):
        return None  # at once: what nothing froze has no dead node, and this is asked at every pass
    layouts = (architecture.encoder, architecture.decoder)
    left = [
        _nodes_left(layout, [each.mask for each in networks])
        for layout, networks in zip(layouts, both, strict=True)
    ]
    if all(map(_is_whole, layouts, left)):
        return None
    encoder, decoder = map(_part, layouts, left)
    smaller = replace(architecture, encoder=encoder.layout, decoder=decoder.layout)
    return Narrowing(smaller, encoder, decoder)


def _is_whole(layout: NetworkLayout, left: Sequence[Int64]) -> bool:
    return all(len(nodes) == layer.n_out for nodes, layer in zip(left, layout.layers, strict=True))


def _part(layout: NetworkLayout, left: Sequence[Int64]) -> _Part:
    """What is left of a network, given the nodes that are left of every layer."""
    numbers = np.arange(layout.size)
    layers, places = [], []
    for k, layer in enumerate(layout.layers):
        rows = left[k]
        columns = np.arange(layer.n_in) if layer.reads < 0 else left[layer.reads]
        weights = numbers[layout.weight_slice(k)].reshape(layer.n_out, layer.n_in)
        places += [weights[np.ix_(rows, columns)].ravel(), numbers[layout.bias_slice(k)][rows]]
        layers.append(replace(layer, n_in=len(columns), n_out=len(rows)))
    return _Part(NetworkLayout(tuple(layers)), np.concatenate(places))


def _nodes_left(layout: NetworkLayout, masks: Iterable[Mask | None]) -> list[Int64]:
    """Of every layer that another reads the nodes that live, or the first; of others all nodes."""
    alive = np.zeros(layout.size, np.float32)
    for mask in masks:
        alive[slice(None) if mask is None else mask] = 1.0
    living = layout.living_nodes(alive)
    read = {layer.reads for layer in layout.layers}
    left = []
    for k, nodes in enumerate(layout.node_slices()):
        everything = np.arange(nodes.stop - nodes.start)
        of_layer = everything[living[nodes]] if k in read else everything
        left.append(of_layer if len(of_layer) else everything[:1])
    return left


def _grown(
    part: _Part, whole: tuple[Network, ...], new: tuple[Network, ...]
) -> tuple[Network, ...]:
    return tuple(
        old.with_genome(part.put_back(old.genome, made.genome))
        for old, made in zip(whole, new, strict=True)
    )


def _mapped(part: _Part, moments: tuple[Moments, ...] | None) -> tuple[Moments, ...] | None:
    return None if moments is None else tuple(map(part.of_moments, moments))


def _moved(
    part: _Part, whole: tuple[Moments, ...] | None, new: tuple[Moments, ...] | None
) -> tuple[Moments, ...] | None:
    if whole is None or new is None:
        return None
    return tuple(
        Moments(
            part.put_back(old.first, made.first), part.put_back(old.second, made.second), made.steps
        )
        for old, made in zip(whole, new, strict=True)
    )
