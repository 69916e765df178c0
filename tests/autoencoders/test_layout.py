"""Layouts: where every weight lies in a genome."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aes_lipi.autoencoders.environments import ENVIRONMENTS, build_architecture
from aes_lipi.autoencoders.network import Layer, NetworkLayout, chain

# 3-4-2: layer 0 has 12 weights and 4 biases, layer 1 has 8 weights and 2 biases.
SMALL = chain(("hidden_1", "latent"), (3, 4, 2), "relu")


@st.composite
def layouts(draw: st.DrawFn) -> NetworkLayout:
    """An encoder or a decoder of any environment with any small widths."""
    architecture = build_architecture(
        draw(st.sampled_from(list(ENVIRONMENTS.values()))),
        n_dim=draw(st.integers(1, 9)),
        hidden_sizes=tuple(draw(st.lists(st.integers(1, 6), max_size=3))),
        latent_size=draw(st.integers(1, 4)),
    )
    return draw(st.sampled_from([architecture.encoder, architecture.decoder]))


def test_small_layout_is_laid_out_as_counted_by_hand() -> None:
    assert SMALL.size == 12 + 4 + 8 + 2
    assert SMALL.offsets == (0, 16)
    assert list(SMALL.tensor_slices()) == [
        slice(0, 12),
        slice(12, 16),
        slice(16, 24),
        slice(24, 26),
    ]
    assert SMALL.node_slices() == (slice(0, 4), slice(4, 6))
    assert (SMALL.n_in, SMALL.n_out, SMALL.n_nodes, SMALL.hidden_sizes) == (3, 2, 6, (4,))


def test_weights_are_row_major_and_bias_follows() -> None:
    genome = np.arange(26, dtype=np.float32)
    assert SMALL.weight(genome, 0).tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert SMALL.bias(genome, 0).tolist() == [12, 13, 14, 15]
    assert SMALL.weight(genome, 1).tolist() == [[16, 17, 18, 19], [20, 21, 22, 23]]
    assert SMALL.bias(genome, 1).tolist() == [24, 25]


def test_weight_and_bias_are_views_of_the_genome() -> None:
    genome = np.zeros(SMALL.size, dtype=np.float32)
    for k in range(2):
        assert np.shares_memory(SMALL.weight(genome, k), genome)
        assert np.shares_memory(SMALL.bias(genome, k), genome)


def test_chain_reads_the_layer_before_and_ends_in_the_given_activation() -> None:
    assert chain(("a", "b", "c"), (5, 4, 3, 2), "sigmoid").layers == (
        Layer("a", 5, 4, "relu", reads=-1),
        Layer("b", 4, 3, "relu", reads=0),
        Layer("c", 3, 2, "sigmoid", reads=1),
    )


def test_layouts_are_values() -> None:
    again = chain(("hidden_1", "latent"), (3, 4, 2), "relu")
    assert again == SMALL
    assert hash(again) == hash(SMALL)
    assert again != chain(("hidden_1", "latent"), (3, 4, 2), "sigmoid")


@given(layouts())
def test_slices_partition_the_genome_and_the_nodes(layout: NetworkLayout) -> None:
    for slices, size in (
        (list(layout.tensor_slices()), layout.size),
        (list(layout.node_slices()), layout.n_nodes),
    ):
        starts, stops = [part.start for part in slices], [part.stop for part in slices]
        assert starts == [0, *stops[:-1]]
        assert stops[-1] == size
        assert all(type(number) is int for number in [*starts, *stops])


@given(layouts())
def test_every_tensor_has_the_shape_of_its_layer(layout: NetworkLayout) -> None:
    genome = np.zeros(layout.size, dtype=np.float32)
    for k, layer in enumerate(layout.layers):
        assert layout.weight(genome, k).shape == (layer.n_out, layer.n_in)
        assert layout.bias(genome, k).shape == (layer.n_out,)
        assert layout.offsets[k] == layout.weight_slice(k).start
        assert layer.size == layer.n_out * (layer.n_in + 1)


@given(layouts())
def test_every_layer_reads_an_earlier_one_of_its_width(layout: NetworkLayout) -> None:
    for k, layer in enumerate(layout.layers):
        assert -1 <= layer.reads < k
        source = layout.n_in if layer.reads < 0 else layout.layers[layer.reads].n_out
        assert layer.n_in == source
    names = [layer.name for layer in layout.layers]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("k", [0, 1])
def test_writing_through_a_view_writes_the_genome(k: int) -> None:
    genome = np.zeros(SMALL.size, dtype=np.float32)
    SMALL.weight(genome, k)[1, 2] = 7
    assert genome[SMALL.offsets[k] + SMALL.layers[k].n_in + 2] == 7
    assert np.count_nonzero(genome) == 1
