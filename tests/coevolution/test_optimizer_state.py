"""How long an optimiser's moments last: for a batch, for a pass, or as long as the cell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from dense_reference import ReferenceNetwork, sigmoid
from helpers import setup_of, tiny_variant
from rings import advanced, begun

from aes_lipi.autoencoders.network import Network
from aes_lipi.coevolution.state import Cell, Held, NetworkState, TrialState
from aes_lipi.randomness import Address, Purpose


@pytest.mark.parametrize("state", ["step", "generation", "cell"])
@pytest.mark.parametrize(
    ("cell_evaluation", "per_batch"),
    [("lipi_simple", 1), ("ann_canonical", 1), ("epoch-node", 2), ("all_vs_all", 2)],
)
def test_two_generations_of_a_cell_alone_followed_in_float64(
    cell_evaluation: str, per_batch: int, state: str
) -> None:
    space: dict[str, Any] = {} if cell_evaluation == "all_vs_all" else {"radius": 0}
    alone: dict[str, Any] = {"population_size": 1, "optimizer_state": state, **space}
    setup = setup_of(tiny_variant(cell_evaluation=cell_evaluation, **alone))
    train, trial = setup.dataset.train.astype(np.float64), begun(setup)
    layouts = (setup.architecture.encoder, setup.architecture.decoder)
    known = [
        ReferenceNetwork.of(network, layout, np.float64)
        for network, layout in zip(networks_of(trial), layouts, strict=True)
    ]
    for t in range(2):
        trial, [record] = advanced(trial, setup)
        order = Address(setup.variant.rng_seed, 0, 0, t).stream(Purpose.SHUFFLE).permutation(12)
        for update, k in enumerate(np.repeat([0, 5, 10], per_batch)):
            if state == "step" or (state == "generation" and update == 0):
                known = [without_moments(each) for each in known]
            follow(known, train[order[k : k + 5]], record.learning_rate)
        for network, each in zip(networks_of(trial), known, strict=True):
            np.testing.assert_allclose(network.genome, each.genome, atol=5e-5)


def networks_of(state: TrialState[Held]) -> tuple[Network, Network]:
    """Encoder and decoder of a trial of one cell, or of one of each."""
    found = {}
    for version, held in state.latest.items():
        if isinstance(held, Cell):
            return held.pair.encoder, held.pair.decoder
        assert isinstance(held, NetworkState)
        found[version[0]] = held.network
    return found["encoder"], found["decoder"]


def without_moments(network: ReferenceNetwork) -> ReferenceNetwork:
    zeros = np.zeros_like(network.genome)
    return replace(network, first=zeros, second=zeros, steps=0)


def follow(networks: list[ReferenceNetwork], rows: npt.NDArray[np.float64], rate: float) -> None:
    """Adam's update of encoder and decoder on the L1 loss of a batch, with moments as they are."""
    encoder, decoder = networks
    coded = encoder.forward(rows)
    decoded = decoder.forward(coded[-1])
    y = sigmoid(decoded[-1])
    by_decoder, delta = decoder.backward(decoded, np.sign(y - rows) * y * (1 - y) / rows.size)
    by_encoder, _ = encoder.backward(coded, delta)
    encoder.move(by_encoder, rate, kept=True)
    decoder.move(by_decoder, rate, kept=True)
