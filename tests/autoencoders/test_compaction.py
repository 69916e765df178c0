"""Compaction: what is dead is gone, and the rest computes the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers import random_pair, setup_of, tiny_variant
from hypothesis import given
from hypothesis import strategies as st
from rings import cells_of, evolved
from torch_modules import AutoencoderModule

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.compaction import Compacted, compact, n_compact
from aes_lipi.autoencoders.environments import (
    ENVIRONMENTS,
    Architecture,
    Environment,
    build_architecture,
)
from aes_lipi.autoencoders.network import Network, NetworkLayout, Pair, activate
from aes_lipi.config.variant import HiddenActivation, OutputActivation

Case = tuple[Architecture, Pair]
Weights = tuple[list[list[float]], list[float]]

PRUNINGS = ("none", "weights", "nodes", "outgoing", "all", "all but one")


def layout_of(architecture: Architecture) -> list[tuple[NetworkLayout, int]]:
    """The layers from the data to the reconstruction: which layout's and where in it."""
    n_encoder = len(architecture.encoder.layers) - architecture.variational
    return [(architecture.encoder, k) for k in range(n_encoder)] + [
        (architecture.decoder, k) for k in range(len(architecture.decoder.layers))
    ]


def shape_of(architecture: Architecture) -> list[int]:
    """The widths of the layers from the data to the reconstruction."""
    return [layout.layers[k].n_out for layout, k in layout_of(architecture)]


def weights_of(architecture: Architecture, pair: Pair) -> list[Float32]:
    """The weight matrices from the data to the reconstruction."""
    return [
        layout.weight(genome_of(layout, architecture, pair), k)
        for layout, k in layout_of(architecture)
    ]


def biases_of(architecture: Architecture, pair: Pair) -> list[Float32]:
    """The biases from the data to the reconstruction."""
    return [
        layout.bias(genome_of(layout, architecture, pair), k)
        for layout, k in layout_of(architecture)
    ]


def genome_of(layout: NetworkLayout, architecture: Architecture, pair: Pair) -> Float32:
    return (pair.encoder if layout is architecture.encoder else pair.decoder).genome


def survivors(rng: np.random.Generator, kind: str, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Which weights of a matrix (n_out, n_in) a pruning of some kind leaves alive."""
    alive = np.full(shape, kind not in ("all", "all but one"))
    share = rng.random()
    if kind == "weights":
        alive &= rng.random(shape) > share
    if kind == "nodes":
        alive &= rng.random((shape[0], 1)) > share
    if kind == "outgoing":
        alive &= rng.random(shape[1]) > share
    if kind == "all but one":
        alive[rng.integers(shape[0]), rng.integers(shape[1])] = True
    return alive


@st.composite
def architectures(
    draw: st.DrawFn, hidden: Sequence[HiddenActivation] = get_args(HiddenActivation)
) -> Architecture:
    """Any environment with any small widths, and with one of some activations."""
    environment = draw(st.sampled_from(list(ENVIRONMENTS.values())))
    return build_architecture(
        replace(
            environment,
            hidden_activation=draw(st.sampled_from(hidden)),
            output_activation=draw(st.sampled_from(get_args(OutputActivation))),
        ),
        n_dim=draw(st.integers(1, 9)),
        hidden_sizes=tuple(draw(st.lists(st.integers(1, 6), max_size=3))),
        latent_size=draw(st.integers(1, 4)),
    )


def initial(rng: np.random.Generator, layout: NetworkLayout) -> Float32:
    """Twice the initial weights: large enough for every activation to matter."""
    bounds = np.concatenate([np.full(layer.size, layer.n_in**-0.5) for layer in layout.layers])
    return (2 * rng.uniform(-bounds, bounds)).astype(np.float32)


def signs(rng: np.random.Generator, layout: NetworkLayout) -> Float32:
    """Weights and biases of -1, 0 and 1.

    Of rows of bits and these widths no sum exceeds 10 * 7**7 < 2**24: float32 computes exactly.
    """
    return rng.integers(-1, 2, layout.size).astype(np.float32)


@st.composite
def masked_pairs(draw: st.DrawFn, weights: Any = initial) -> Case:
    """A pair of which every layer was pruned in its own way; its arrays can not be written to."""
    architecture = draw(architectures(["relu"]) if weights is signs else architectures())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    networks = []
    for layout in (architecture.encoder, architecture.decoder):
        mask = np.ones(layout.size, dtype=np.bool_)
        for k, layer in enumerate(layout.layers):
            kind = draw(st.sampled_from(PRUNINGS))
            mask[layout.weight_slice(k)] = survivors(rng, kind, (layer.n_out, layer.n_in)).ravel()
            mask[layout.bias_slice(k)] = rng.random(layer.n_out) < draw(
                st.sampled_from([0, 0.7, 1])
            )
        genome = np.where(mask, weights(rng, layout), np.float32(0))
        genome.flags.writeable = mask.flags.writeable = False
        networks.append(Network(genome, mask, int(np.count_nonzero(genome == 0))))
    return architecture, Pair(*networks)


def rows_for(architecture: Architecture, n_rows: int = 12) -> Float32:
    """Rows of bits from all zero to all one, in some columns nothing."""
    rng = np.random.default_rng(architecture.n_dim)
    shape = (n_rows, architecture.n_dim)
    bits = (rng.random(shape) < np.linspace(0, 1, n_rows)[:, None]) & (rng.random(shape[1]) < 0.9)
    return bits.astype(np.float32)


def reconstruct(architecture: Architecture, pair: Pair, x: Float32) -> Float32:
    code = architecture.encode(pair.encoder.genome, x)
    return architecture.decode(pair.decoder.genome, code)


def genomes(pair: Pair) -> tuple[bytes, bytes]:
    return pair.encoder.genome.tobytes(), pair.decoder.genome.tobytes()


def assert_same_function(architecture: Architecture, pair: Pair, small: Compacted) -> None:
    """Up to rounding.

    Values are of the order of 1 and are sums of at most ten terms through at most eight layers: a
    few tens of float32's roundings of 6e-8, relative to the largest term, not to the sum.
    """
    x = rows_for(architecture)
    code, ours = (
        a.encode(p.encoder.genome, x)
        for a, p in ((architecture, pair), (small.architecture, small.pair))
    )
    np.testing.assert_allclose(ours[:, : small.code.size], code[:, small.code], 1e-5, 2e-6)
    np.testing.assert_allclose(
        reconstruct(small.architecture, small.pair, x),
        reconstruct(architecture, pair, x),
        1e-5,
        2e-6,
    )


def assert_nothing_removable(small: Compacted) -> None:
    weights = weights_of(small.architecture, small.pair)
    biases = biases_of(small.architecture, small.pair)
    for k, (incoming, outgoing) in enumerate(pairwise(weights)):
        if small.kept[k].size:
            assert incoming.any(axis=1).all()
            assert outgoing.any(axis=0).all()
            assert small.kept[k].size == len(incoming)
        else:
            assert len(incoming) == 1
            assert not incoming.any()
            assert not outgoing.any()
            assert not biases[k].any()


# Networks at random


@given(masked_pairs(signs))
def test_whole_numbers_are_computed_exactly_the_same(case: Case) -> None:
    architecture, pair = case
    small = compact(architecture, pair)
    x = rows_for(architecture)
    code = small.architecture.encode(small.pair.encoder.genome, x)
    original = architecture.encode(pair.encoder.genome, x)
    np.testing.assert_array_equal(code[:, : small.code.size], original[:, small.code])
    np.testing.assert_array_equal(
        reconstruct(small.architecture, small.pair, x), reconstruct(architecture, pair, x)
    )


@given(masked_pairs())
def test_a_compact_pair_computes_the_same(case: Case) -> None:
    assert_same_function(*case, compact(*case))


@given(masked_pairs())
def test_nothing_removable_is_left(case: Case) -> None:
    assert_nothing_removable(compact(*case))


@given(masked_pairs())
def test_kept_is_what_lies_on_a_path_from_the_data_to_the_reconstruction(case: Case) -> None:
    architecture, pair = case
    small = compact(architecture, pair)
    edges = [(weights != 0).astype(np.int64) for weights in weights_of(architecture, pair)]
    for k in range(len(edges) - 1):
        before, behind = np.eye(architecture.n_dim, dtype=np.int64), edges[-1]
        for matrix in edges[: k + 1]:
            before = matrix @ before
        for matrix in edges[-2:k:-1]:
            behind = behind @ matrix
        on_path = before.any(axis=1) & behind.any(axis=0)
        assert small.kept[k].tolist() == np.flatnonzero(on_path).tolist()
        paths = behind @ before
    assert small.kept[-1].tolist() == list(range(architecture.n_dim))
    assert small.unread_inputs.tolist() == np.flatnonzero(~paths.any(axis=0)).tolist()
    assert small.is_constant == (not paths.any())


@given(masked_pairs())
def test_what_is_told_has_the_shapes_of_the_compact_pair(case: Case) -> None:
    architecture, pair = case
    small = compact(architecture, pair)
    shape = small.architecture
    layers = [*shape.encoder.layers, *shape.decoder.layers]
    names = [layout.layers[k].name for layout, k in layout_of(architecture)]
    assert [layer.name for layer in layers] == names
    assert [max(1, kept.size) for kept in small.kept] == [layer.n_out for layer in layers]
    assert {array.dtype for array in (*small.kept, small.unread_inputs)} == {np.dtype(np.int64)}
    assert small.code is small.kept[len(shape.encoder.layers) - 1]
    assert shape.encoder.n_in == shape.decoder.n_out == architecture.n_dim
    assert shape.encoder.n_out == shape.latent_size
    assert (shape.loss, shape.input_noise) == (architecture.loss, architecture.input_noise)
    assert not shape.variational
    for network, layout in (
        (small.pair.encoder, shape.encoder),
        (small.pair.decoder, shape.decoder),
    ):
        assert network.genome.shape == (layout.size,)
        assert network.genome.dtype == np.float32
        assert network.mask is None
        assert network.n_pruned == 0


@given(masked_pairs())
def test_parameters_are_counted_without_making_them(case: Case) -> None:
    small = compact(*case)
    assert n_compact(*case) == small.architecture.n_parameters <= case[0].n_parameters


@given(masked_pairs())
def test_a_compact_pair_is_compact(case: Case) -> None:
    once = compact(*case)
    twice = compact(once.architecture, once.pair)
    assert twice.architecture == once.architecture
    assert genomes(twice.pair) == genomes(once.pair)
    assert twice.unread_inputs.tolist() == once.unread_inputs.tolist()
    assert twice.is_constant == once.is_constant
    for first, second in zip(once.kept, twice.kept, strict=True):
        assert second.tolist() == list(range(first.size))


@given(masked_pairs())
def test_weights_that_stay_keep_their_bits(case: Case) -> None:
    architecture, pair = case
    small = compact(architecture, pair)
    columns = np.arange(architecture.n_dim)
    originals = weights_of(architecture, pair)
    for rows, weights, original in zip(
        small.kept, weights_of(small.architecture, small.pair), originals, strict=True
    ):
        part = weights[: rows.size, : columns.size]
        assert part.tobytes() == original[np.ix_(rows, columns)].tobytes()
        columns = rows


@given(masked_pairs(signs))
def test_unread_inputs_change_nothing(case: Case) -> None:
    architecture, pair = case
    small = compact(architecture, pair)
    x = rows_for(architecture)
    other = x.copy()
    other[:, small.unread_inputs] = 1 - other[:, small.unread_inputs]
    for a, p in (case, (small.architecture, small.pair)):
        np.testing.assert_array_equal(reconstruct(a, p, x), reconstruct(a, p, other))
    if small.is_constant:
        assert len(np.unique(reconstruct(architecture, pair, x), axis=0)) == 1


@given(masked_pairs(), st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, 2**32 - 1))
def test_a_weight_that_is_not_finite_is_one_that_is_not_zero(
    case: Case, value: float, seed: int
) -> None:
    architecture, pair = case
    broken, finite = with_some(pair, value, seed), with_some(pair, 1, seed)
    small, expected = compact(architecture, broken), compact(architecture, finite)
    assert small.architecture == expected.architecture
    for ours, theirs in zip(small.kept, expected.kept, strict=True):
        assert ours.tolist() == theirs.tolist()
    assert n_compact(architecture, broken) == n_compact(architecture, finite)


def with_some(pair: Pair, value: float, seed: int) -> Pair:
    """The pair with a fifth of all weights and biases replaced."""
    rng = np.random.default_rng(seed)
    encoder, decoder = (
        Network(np.where(rng.random(genome.size) < 0.2, np.float32(value), genome))
        for genome in (pair.encoder.genome, pair.decoder.genome)
    )
    return Pair(encoder, decoder)


@given(architectures(), st.integers(0, 2**32 - 1))
def test_a_pair_without_zeros_stays_as_it_is(architecture: Architecture, seed: int) -> None:
    pair = random_pair(architecture, seed)
    small = compact(architecture, pair)
    assert [kept.size for kept in small.kept] == shape_of(architecture)
    assert small.unread_inputs.size == 0
    assert not small.is_constant
    encoder, decoder = genomes(pair)
    if architecture.variational:
        head = architecture.encoder.layers[-1].size
        encoder = encoder[: -head * 4]
        assert n_compact(architecture, pair) == architecture.n_parameters - head
    else:
        assert small.architecture == architecture
    assert genomes(small.pair) == (encoder, decoder)


@given(architectures(), st.integers(0, 2**32 - 1))
def test_a_pair_pruned_to_nothing_gives_its_last_bias(
    architecture: Architecture, seed: int
) -> None:
    last = random_pair(architecture, seed).decoder.genome[-architecture.n_dim :]
    decoder = np.zeros(architecture.decoder.size, np.float32)
    decoder[-architecture.n_dim :] = last
    encoder = np.zeros(architecture.encoder.size, np.float32)
    pair = Pair(Network(encoder), Network(decoder))
    small = compact(architecture, pair)
    shape, n_dim = small.architecture, architecture.n_dim
    assert {layer.n_out for layer in shape.encoder.layers} == {1}
    assert [layer.n_out for layer in shape.decoder.layers[:-1]] == [
        1 for _ in architecture.decoder.layers[:-1]
    ]
    assert (shape.n_dim, shape.latent_size, shape.decoder.n_out) == (n_dim, 1, n_dim)
    assert [kept.size for kept in small.kept[:-1]] == [0] * (len(small.kept) - 1)
    assert small.code.size == 0
    assert small.unread_inputs.tolist() == list(range(n_dim))
    assert small.is_constant
    x = rows_for(architecture)
    expected = activate(architecture.decoder.layers[-1].activation, np.tile(last, (len(x), 1)))
    np.testing.assert_array_equal(reconstruct(shape, small.pair, x), expected)
    np.testing.assert_array_equal(reconstruct(architecture, pair, x), expected)
    assert_nothing_removable(small)


@pytest.mark.parametrize("pruned", [False, True])
def test_torch_modules_are_made_of_compact_pairs(pruned: bool) -> None:
    architecture = build_architecture(Environment(variational=True), 6, (5, 4), 3)
    pair = random_pair(architecture, 0)
    pair.encoder.genome[::2] = 0
    if pruned:
        pair.decoder.genome[: architecture.decoder.layers[0].n_weights] = 0
    small = compact(architecture, pair)
    assert small.is_constant == pruned
    x = rows_for(architecture)
    module = AutoencoderModule(small.architecture, small.pair)
    np.testing.assert_allclose(
        module(torch.from_numpy(x)).detach().numpy(), reconstruct(architecture, pair, x), 1e-5
    )


# Networks by hand: weights and biases layer by layer, from the data to the reconstruction


def network(layout: NetworkLayout, *layers: Weights) -> Network:
    """A network of these weights (n_out, n_in) and biases."""
    genome = np.concatenate([np.ravel(part) for layer in layers for part in layer])
    assert genome.shape == (layout.size,)
    return Network(genome.astype(np.float32))


def layers_of(small: Compacted) -> list[Weights]:
    weights = weights_of(small.architecture, small.pair)
    biases = biases_of(small.architecture, small.pair)
    return [(w.tolist(), b.tolist()) for w, b in zip(weights, biases, strict=True)]


# 2-2-1 and back 1-2-2
NARROW = build_architecture(Environment(), 2, (2,), 1)
BACK: list[Weights] = [([[1], [2]], [0, 1]), ([[1, 2], [3, 4]], [5, 6])]


@pytest.mark.parametrize(("bias", "folded"), [(0.5, 1.75), (-0.5, 0.25), (0, 0.25)])
def test_a_constant_is_folded_as_it_is_after_relu(bias: float, folded: float) -> None:
    # The second hidden node is max(bias, 0) for every row: 3 * max(bias, 0) + 0.25 in all.
    encoder = network(NARROW.encoder, ([[1, 4], [0, 0]], [7, bias]), ([[2, 3]], [0.25]))
    small = compact(NARROW, Pair(encoder, network(NARROW.decoder, *BACK)))
    assert layers_of(small) == [([[1, 4]], [7]), ([[2]], [folded]), *BACK]
    assert [kept.tolist() for kept in small.kept] == [[0], [0], [0, 1], [0, 1]]
    assert small.unread_inputs.tolist() == []
    assert n_compact(NARROW, Pair(encoder, network(NARROW.decoder, *BACK))) == 3 + 2 + 4 + 6


def test_a_constant_makes_constants_over_two_layers() -> None:
    # 1-2-2-1 and back: hidden_1 has the constant 0.5, of which hidden_2 makes 4 * 0.5 - 1 = 1,
    # and the code reads 3 of that. The other node of hidden_2 reads 2 of the first: 8 + 2 * 0.5.
    architecture = build_architecture(Environment(), 1, (2, 2), 1)
    encoder = network(
        architecture.encoder,
        ([[0], [1]], [0.5, 6]),
        ([[4, 0], [2, 7]], [-1, 8]),
        ([[3, 9]], [10]),
    )
    back: list[Weights] = [([[1], [2]], [0, 1]), ([[1, 2], [3, 4]], [5, 6]), ([[7, 8]], [9])]
    small = compact(architecture, Pair(encoder, network(architecture.decoder, *back)))
    assert layers_of(small) == [([[1]], [6]), ([[7]], [9]), ([[9]], [13]), *back]
    assert [kept.tolist() for kept in small.kept[:3]] == [[1], [1], [0]]


def test_a_sum_that_float32_would_lose_is_kept_through_two_layers() -> None:
    # 2**25 + 1 is no float32: what hidden_1 adds to hidden_2 must not be rounded on its way.
    architecture = build_architecture(Environment(), 1, (2, 2), 1)
    encoder = network(
        architecture.encoder,
        ([[0], [1]], [1, 0]),
        ([[1, 0], [0, 1]], [2**25, 0]),
        ([[1, 1]], [-(2**25)]),
    )
    back: list[Weights] = [([[1], [2]], [0, 1]), ([[1, 2], [3, 4]], [5, 6]), ([[7, 8]], [9])]
    small = compact(architecture, Pair(encoder, network(architecture.decoder, *back)))
    assert layers_of(small)[2] == ([[1]], [1])


# 2-2 and back 2-2-2: the code reads the data itself
WIDE = build_architecture(Environment(hidden_sizes=()), 2, (), 2)


def test_a_constant_of_the_code_is_folded_into_the_decoder() -> None:
    encoder = network(WIDE.encoder, ([[0, 0], [1, 2]], [2, 3]))
    decoder = network(WIDE.decoder, ([[10, 1], [-1, 1]], [0.5, 1]))
    small = compact(WIDE, Pair(encoder, decoder))
    assert layers_of(small) == [([[1, 2]], [3]), ([[1], [1]], [20.5, -1])]
    assert small.code.tolist() == [1]
    assert small.architecture.latent_size == 1
    assert not small.is_constant


def test_of_a_variational_encoder_the_mean_is_kept_and_it_is_linear() -> None:
    # The first mean is the constant -2, which ReLU would make 0: 10 * -2 + 0.5, -1 * -2 + 1.
    architecture = build_architecture(Environment(variational=True, hidden_sizes=()), 2, (), 2)
    encoder = network(architecture.encoder, ([[0, 0], [1, 2]], [-2, 3]), ([[4, 5], [6, 7]], [8, 9]))
    decoder = network(architecture.decoder, ([[10, 1], [-1, 1]], [0.5, 1]))
    small = compact(architecture, Pair(encoder, decoder))
    assert layers_of(small) == [([[1, 2]], [3]), ([[1], [1]], [-19.5, 3])]
    assert [layer.name for layer in small.architecture.encoder.layers] == ["mean"]
    assert small.code.tolist() == [1]


def test_what_only_the_log_variance_reads_is_not_read() -> None:
    architecture = build_architecture(Environment(variational=True), 2, (2,), 1)
    encoder = network(
        architecture.encoder, ([[1, 0], [0, 1]], [0, 0]), ([[1, 0]], [0]), ([[1, 1]], [0])
    )
    small = compact(architecture, Pair(encoder, network(architecture.decoder, *BACK)))
    assert layers_of(small) == [([[1, 0]], [0]), ([[1]], [0]), *BACK]
    assert small.unread_inputs.tolist() == [1]


def test_what_nobody_reads_takes_along_what_only_it_reads() -> None:
    # 3-2-2 and back: no weight reads the second latent value, which alone reads the second hidden
    # node, which alone reads the last column of the data.
    architecture = build_architecture(Environment(), 3, (2,), 2)
    encoder = network(
        architecture.encoder, ([[1, 2, 0], [3, 0, 4]], [5, 6]), ([[7, 0], [8, 9]], [10, 11])
    )
    decoder = network(
        architecture.decoder, ([[1, 0], [2, 0]], [3, 4]), ([[1, 2], [3, 4], [5, 6]], [7, 8, 9])
    )
    small = compact(architecture, Pair(encoder, decoder))
    assert layers_of(small) == [
        ([[1, 2, 0]], [5]),
        ([[7]], [10]),
        ([[1], [2]], [3, 4]),
        ([[1, 2], [3, 4], [5, 6]], [7, 8, 9]),
    ]
    assert [kept.tolist() for kept in small.kept] == [[0], [0], [0, 1], [0, 1, 2]]
    assert small.unread_inputs.tolist() == [2]


def test_a_decoder_that_reads_no_code_folds_all_it_has_into_the_last_bias() -> None:
    encoder = network(NARROW.encoder, ([[1, 2], [3, 4]], [5, 6]), ([[7, 8]], [9]))
    decoder = network(NARROW.decoder, ([[0], [0]], [2, -2]), ([[1, 2], [3, 4]], [0.5, 0.25]))
    small = compact(NARROW, Pair(encoder, decoder))
    nothing: Weights = ([[0]], [0])
    assert layers_of(small) == [([[0, 0]], [0]), nothing, nothing, ([[0], [0]], [2.5, 6.25])]
    assert [kept.tolist() for kept in small.kept] == [[], [], [], [0, 1]]
    assert small.is_constant
    assert small.unread_inputs.tolist() == [0, 1]


def test_the_sign_of_a_zero_bias_is_kept() -> None:
    pair = random_pair(NARROW, 0)
    pair.encoder.genome[-1] = -0.0
    assert genomes(compact(NARROW, pair).pair) == genomes(pair)
    pair.encoder.genome[:] = 0
    pair.decoder.genome[:] = -0.0
    assert np.signbit(biases_of(NARROW, compact(NARROW, pair).pair)[-1]).all()


def test_a_constant_beyond_float32_is_infinite_as_it_was() -> None:
    encoder = network(NARROW.encoder, ([[1, 4], [0, 0]], [7, 3e38]), ([[2, 3]], [0.25]))
    small = compact(NARROW, Pair(encoder, network(NARROW.decoder, *BACK)))
    assert layers_of(small)[1] == ([[2]], [np.inf])


# Networks that were trained


@pytest.mark.parametrize("environment", list(ENVIRONMENTS)[::4])
@pytest.mark.parametrize(
    ("method", "amount"), [("random", 0.6), ("magnitude", 0.85), ("activation", 0.5)]
)
def test_a_ring_pruned_while_it_trains(method: str, amount: float, environment: str) -> None:
    variant = tiny_variant(
        environment=environment,
        prune_method=method,
        prune_probability=1.0,
        prune_amount=amount,
        pruned_weights="frozen",
    )
    setup = setup_of(variant)
    lost = 0
    for cell in cells_of(evolved(setup)):
        small = compact(setup.architecture, cell.pair)
        assert_same_function(setup.architecture, cell.pair, small)
        assert_nothing_removable(small)
        assert n_compact(setup.architecture, cell.pair) == small.architecture.n_parameters
        lost += sum(shape_of(setup.architecture)) - sum(kept.size for kept in small.kept)
    assert lost > 0
