"""Which weights and nodes are gone: networks made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from aes_lipi.analysis.figures.structure import _LayerStructure, _structure_of
from aes_lipi.autoencoders.environments import Architecture, Environment, build_architecture
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.models import Model

Layers = dict[tuple[str, str], _LayerStructure]


def ones(architecture: Architecture) -> Model:
    """A pair whose weights and biases are all 1."""
    encoder, decoder = (
        Network(np.ones(layout.size, np.float32))
        for layout in (architecture.encoder, architecture.decoder)
    )
    return Model(architecture, Pair(encoder, decoder))


def small(variational: bool = False) -> Model:
    """4 inputs, 3 hidden nodes, 2 for the code."""
    return ones(build_architecture(Environment(variational=variational), 4, (3,), 2))


def by_name(layers: tuple[_LayerStructure, ...]) -> Layers:
    return {(layer.network, layer.name): layer for layer in layers}


def test_a_whole_pair_has_lost_nothing() -> None:
    layers = _structure_of(small())
    names = [(layer.network, layer.name) for layer in layers]
    assert names == [
        ("encoder", "hidden_1"),
        ("encoder", "latent"),
        ("decoder", "hidden_1"),
        ("decoder", "output"),
    ]
    assert [layer.weights.shape for layer in layers] == [(3, 4), (2, 3), (3, 2), (4, 3)]
    for layer in layers:
        assert not layer.gone.any()
        assert not layer.silent.any()
        assert layer.activity is None


def test_a_node_without_incoming_weights_is_constant() -> None:
    model = small()
    layout, genome = model.architecture.encoder, model.pair.encoder.genome
    layout.weight(genome, 0)[1] = 0
    layout.weight(genome, 0)[2, :3] = 0
    hidden = by_name(_structure_of(model))["encoder", "hidden_1"]
    assert hidden.constant.tolist() == [False, True, False]
    assert hidden.unread.tolist() == [False, False, False]
    assert hidden.gone.tolist() == [False, True, False]


def test_a_node_without_outgoing_weights_is_unread_and_the_code_is_read_by_the_decoder() -> None:
    model = small()
    encoder, decoder = model.architecture.encoder, model.architecture.decoder
    encoder.weight(model.pair.encoder.genome, 1)[:, 0] = 0
    decoder.weight(model.pair.decoder.genome, 0)[:, 1] = 0
    decoder.weight(model.pair.decoder.genome, 1)[:, 2] = 0
    layers = by_name(_structure_of(model))
    assert layers["encoder", "hidden_1"].unread.tolist() == [True, False, False]
    assert layers["encoder", "latent"].unread.tolist() == [False, True]
    assert layers["decoder", "hidden_1"].unread.tolist() == [False, False, True]
    assert not layers["decoder", "output"].unread.any()
    assert not any(layer.constant.any() for layer in layers.values())


def test_both_heads_read_the_trunk_and_only_the_mean_is_decoded() -> None:
    model = small(variational=True)
    encoder, genome = model.architecture.encoder, model.pair.encoder.genome
    encoder.weight(genome, 1)[:, :2] = 0  # of the mean
    encoder.weight(genome, 2)[:, 1:] = 0  # of the log-variance
    model.architecture.decoder.weight(model.pair.decoder.genome, 0)[:, 0] = 0
    layers = by_name(_structure_of(model))
    assert layers["encoder", "hidden_1"].unread.tolist() == [False, True, False]
    assert layers["encoder", "mean"].unread.tolist() == [True, False]
    assert layers["encoder", "log_variance"].unread.tolist() == [False, False]


def test_activity_on_rows() -> None:
    model = small()
    layout, genome = model.architecture.encoder, model.pair.encoder.genome
    layout.weight(genome, 0)[1] = [-1, 0, 0, 0]
    layout.bias(genome, 0)[:] = [0, 0.5, 0]
    layout.weight(genome, 0)[2] = -1
    rows = np.array([[0, 0, 0, 0], [1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1]], dtype=np.float32)
    hidden, latent, *_ = _structure_of(model, rows)
    assert hidden.activity is not None
    np.testing.assert_allclose(hidden.activity.mean, [1.25, 0.375, 0])
    np.testing.assert_allclose(hidden.activity.active, [0.75, 0.75, 0])
    np.testing.assert_allclose(hidden.activity.spread, [np.std([0, 2, 2, 1]), np.sqrt(3) / 8, 0])
    assert hidden.silent.tolist() == [False, False, True]
    assert not hidden.gone.any()
    assert latent.activity is not None
    np.testing.assert_allclose(latent.activity.mean, 1 + 1.25 + 0.375)


def test_the_decoder_is_watched_on_the_rows_codes() -> None:
    model = small()
    rows = np.full((2, 4), 0.5, np.float32)
    *_, hidden, output = _structure_of(model, rows)
    assert hidden.activity is not None
    assert output.activity is not None
    np.testing.assert_allclose(hidden.activity.mean, 1 + model.encode(rows)[0].sum())
    np.testing.assert_allclose(output.activity.mean, model.reconstruct(rows)[0])


@pytest.mark.parametrize("shape", [(0, 4), (3, 5), (4,)])
def test_rows_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        _structure_of(small(), np.zeros(shape, np.float32))


def test_without_hidden_layers_or_with_several() -> None:
    direct = ones(build_architecture(Environment(), 4, (), 2))
    direct.architecture.decoder.weight(direct.pair.decoder.genome, 0)[:, 1] = 0
    latent, output = _structure_of(direct, np.ones((1, 4), np.float32))
    assert latent.unread.tolist() == [False, True]
    assert len(output.weights) == 4
    deep = ones(build_architecture(Environment(), 4, (5, 3), 2))
    assert [len(layer.weights) for layer in _structure_of(deep)] == [5, 3, 2, 3, 5, 4]
