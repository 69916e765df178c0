"""What is measured of centres in recorded generations (algorithm section 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aes_lipi.arrays import Float64
from aes_lipi.autoencoders.compaction import n_compact
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.coevolution.plan import Setup

_WEIGHTS = np.dtype("<f4")


@dataclass(frozen=True)
class Quality:
    """The measures of one centre; see `Record`. None of a generation that is not recorded."""

    n_compact: int | None = None
    mean_L1: float | None = None  # noqa: N815 - the field's name for it
    std_L1: float | None = None  # noqa: N815
    test_L1: float | None = None  # noqa: N815
    std_test_L1: float | None = None  # noqa: N815
    validation_L1: float | None = None  # noqa: N815
    centre: bytes | None = None


def measure(pairs: Sequence[Pair], setup: Setup) -> list[Quality]:
    """Measure centres on the training, test and validation rows, taken in order."""
    setup.engine.fetch([each for pair in pairs for each in (pair.encoder, pair.decoder)])
    train = setup.engine.batch_losses(pairs, "train", "l1")
    test = setup.engine.batch_losses(pairs, "test", "l1")
    validation = setup.engine.batch_losses(pairs, "validation", "l1")
    return [
        _quality(pair, losses, setup)
        for pair, *losses in zip(pairs, train, test, validation, strict=True)
    ]


def _quality(pair: Pair, losses: Sequence[Float64], setup: Setup) -> Quality:
    train, test, validation = losses
    return Quality(
        n_compact=n_compact(setup.architecture, pair),
        mean_L1=float(train.mean()),
        std_L1=float(train.std()),
        test_L1=float(test.mean()),
        std_test_L1=float(test.std()),
        validation_L1=float(validation.mean()),
        centre=weights_of(pair) if setup.variant.store_recorded else None,
    )


def weights_of(pair: Pair) -> bytes:
    """A pair's weights as bytes: float32, little-endian, the encoder's and then the decoder's."""
    parts = (network.genome.astype(_WEIGHTS) for network in (pair.encoder, pair.decoder))
    return b"".join(part.tobytes() for part in parts)


def pair_of(weights: bytes, architecture: Architecture) -> Pair:
    """The pair that `weights_of` made bytes of, without masks."""
    genomes = np.frombuffer(weights, _WEIGHTS).astype(np.float32)
    size = architecture.encoder.size
    return Pair(Network(genomes[:size]), Network(genomes[size:]))
