"""The states of cells as a few matrices with a row each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aes_lipi.arrays import Array
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import ActivationStatistics, Network, NetworkLayout, Pair
from aes_lipi.checkpoints.tensors import Tensors, take
from aes_lipi.coevolution.order import Version
from aes_lipi.coevolution.plan import Cell
from aes_lipi.engine.protocol import Moments

NONE = -1
"""In place of a count, where there is nothing to count."""

_Part = tuple[Network, Moments | None, ActivationStatistics | None]


def states_to_tensors(states: dict[Version, Cell]) -> dict[str, Array]:
    """States as arrays.

    Of P weights, U recorded nodes and B batch slots, for `encoder` and `decoder` each:
    `.genomes` float32 (n, P); `.n_pruned` int64 (n,); `.frozen` uint8 (n,), 1 where there is a
    mask, and `.masks` uint8 (those, P); `.steps` int64 (n,) of the optimiser, -1 where none is
    kept, and `.first`, `.second` float32 (those, P); `.observed` uint8 (n,), 1 where activations
    were gathered, and `.counts` float64 (those, B), `.means`, `.m2s` float64 (those, B, U).
    `versions`, int64 (n, 2), are cells and generations.
    """
    cells = list(states.values())
    tensors = {"versions": np.array(list(states), np.int64).reshape(len(cells), 2)}
    encoders = [(c.pair.encoder, c.encoder_moments, c.encoder_statistics) for c in cells]
    decoders = [(c.pair.decoder, c.decoder_moments, c.decoder_statistics) for c in cells]
    return tensors | _parts_to_tensors("encoder", encoders) | _parts_to_tensors("decoder", decoders)


def _parts_to_tensors(name: str, parts: Sequence[_Part]) -> dict[str, Array]:
    networks = [network for network, _, _ in parts]
    masks = [network.mask for network in networks if network.mask is not None]
    moments = [kept for _, kept, _ in parts if kept is not None]
    seen = [statistics for _, _, statistics in parts if statistics is not None]
    steps = [NONE if kept is None else kept.steps for _, kept, _ in parts]
    tensors: dict[str, Array] = {
        "genomes": np.stack([network.genome for network in networks]),
        "n_pruned": np.array([network.n_pruned for network in networks], np.int64),
        "frozen": np.array([network.mask is not None for network in networks], np.uint8),
        "steps": np.array(steps, np.int64),
        "observed": np.array([statistics is not None for _, _, statistics in parts], np.uint8),
    }
    if masks:
        tensors["masks"] = np.stack(masks).astype(np.uint8)
    if moments:
        tensors["first"] = np.stack([kept.first for kept in moments])
        tensors["second"] = np.stack([kept.second for kept in moments])
    if seen:
        tensors["counts"] = np.stack([statistics.count for statistics in seen])
        tensors["means"] = np.stack([statistics.mean for statistics in seen])
        tensors["m2s"] = np.stack([statistics.m2 for statistics in seen])
    return {f"{name}.{key}": array for key, array in tensors.items()}


def states_from_tensors(
    tensors: Tensors, architecture: Architecture, batch_size: int
) -> dict[Version, Cell]:
    """States from arrays.

    Raises:
        ValueError: the arrays are not those of states, or not of this architecture.
    """
    versions = take(tensors, "versions", np.int64, (None, 2)).tolist()
    n = len(versions)
    encoders = _parts_from_tensors(tensors, "encoder", architecture.encoder, batch_size, n)
    decoders = _parts_from_tensors(tensors, "decoder", architecture.decoder, batch_size, n)
    return {
        (cell, generation): Cell(
            Pair(encoder[0], decoder[0]), encoder[1], decoder[1], encoder[2], decoder[2]
        )
        for (cell, generation), encoder, decoder in zip(versions, encoders, decoders, strict=True)
    }


def _parts_from_tensors(
    tensors: Tensors, name: str, layout: NetworkLayout, batch_size: int, n: int
) -> list[_Part]:
    size = layout.size
    genomes = take(tensors, f"{name}.genomes", np.float32, (n, size))
    n_pruned = take(tensors, f"{name}.n_pruned", np.int64, (n,)).tolist()
    networks = [
        Network(genome, mask, pruned)
        for genome, mask, pruned in zip(
            genomes, _masks(tensors, name, size, n), n_pruned, strict=True
        )
    ]
    moments = _moments(tensors, name, size, n)
    return list(zip(networks, moments, _statistics(tensors, name, batch_size, n), strict=True))


def _masks(tensors: Tensors, name: str, size: int, n: int) -> list[Array | None]:
    present = take(tensors, f"{name}.frozen", np.uint8, (n,)) != 0
    if not present.any():
        return [None] * n
    masks = take(tensors, f"{name}.masks", np.uint8, (int(present.sum()), size))
    rows = iter(masks.astype(np.bool_))
    return [next(rows) if there else None for there in present]


def _moments(tensors: Tensors, name: str, size: int, n: int) -> list[Moments | None]:
    steps = take(tensors, f"{name}.steps", np.int64, (n,)).tolist()
    kept = sum(count != NONE for count in steps)
    if not kept:
        return [None] * n
    first = iter(take(tensors, f"{name}.first", np.float32, (kept, size)))
    second = iter(take(tensors, f"{name}.second", np.float32, (kept, size)))
    return [None if s == NONE else Moments(next(first), next(second), s) for s in steps]


def _statistics(
    tensors: Tensors, name: str, batch_size: int, n: int
) -> list[ActivationStatistics | None]:
    present = take(tensors, f"{name}.observed", np.uint8, (n,)) != 0
    if not present.any():
        return [None] * n
    k = int(present.sum())
    counts = take(tensors, f"{name}.counts", np.float64, (k, batch_size))
    means = take(tensors, f"{name}.means", np.float64, (k, batch_size, None))
    m2s = take(tensors, f"{name}.m2s", np.float64, means.shape)
    rows = iter(zip(counts, means, m2s, strict=True))
    return [ActivationStatistics(*next(rows)) if there else None for there in present]
