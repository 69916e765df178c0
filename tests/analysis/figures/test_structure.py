"""Weights and nodes of a pair: what is drawn of them."""

from __future__ import annotations

import functools
from typing import get_args

import numpy as np
import pytest
from helpers import random_pair
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from aes_lipi.analysis.figures.structure import _weight_colours, plot_network
from aes_lipi.analysis.figures.style import GONE, INK, _figure_bytes
from aes_lipi.autoencoders.environments import Environment, build_architecture
from aes_lipi.config.variant import HiddenActivation
from aes_lipi.models import Model

ROWS = (np.random.default_rng(1).random((30, 8)) < 0.6).astype(np.float32)


def model(n_dim: int = 8, hidden: tuple[int, ...] = (4,), variational: bool = False) -> Model:
    architecture = build_architecture(Environment(variational=variational), n_dim, hidden, 3)
    return Model(architecture, random_pair(architecture, 1))


def pruned() -> Model:
    """Of the encoder's hidden nodes, the second is constant, the third is unread."""
    found = model()
    layout, genome = found.architecture.encoder, found.pair.encoder.genome
    layout.weight(genome, 0)[1] = 0
    layout.bias(genome, 0)[1] = -1
    layout.weight(genome, 1)[:, 2] = 0
    return found


@functools.cache
def watched() -> Figure:
    return plot_network(pruned(), ROWS)


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def colours(axes: Axes) -> np.ndarray:
    return np.asarray(axes.images[0].get_array())


def test_every_layer_has_a_heat_map_and_titles_count_what_is_gone() -> None:
    figure = watched()
    named = titles(figure)
    assert named[0].startswith("encoder hidden 1: 4 nodes, 2 gone, ")
    assert [name.split(":")[0] for name in named] == [
        "encoder hidden 1",
        "decoder hidden 1",
        "encoder latent",
        "decoder output",
    ]
    assert named[3] == "decoder output: 8 nodes, 0 gone"
    assert colours(figure.axes[0]).shape == (4, 8, 4)
    assert list(figure.axes[0].images[0].get_extent()) == [-0.5, 7.5, 3.5, -0.5]


def test_zeros_have_a_colour_of_their_own_and_weights_an_opacity() -> None:
    image = _weight_colours(np.array([[0, 1, 2], [-4, 3, 0]], dtype=np.float32))
    np.testing.assert_allclose(image[0, 0], [*to_rgb(GONE), 1])
    np.testing.assert_allclose(image[1, 2], [*to_rgb(GONE), 1])
    others = np.array([[0, 1], [0, 2], [1, 1], [1, 0]])
    strong = [image[row, column, 3] for row, column in others]
    assert strong == sorted(strong)
    assert strong[-1] == 1
    assert {tuple(image[row, column, :3]) for row, column in others} == {to_rgb("#0072b2")}


def test_pixels_of_wide_layers_do_not_lose_zeros() -> None:
    weights = np.ones((2, 1000), dtype=np.float32)
    weights[0, 0] = weights[1, :2] = 0
    image = _weight_colours(weights)
    assert image.shape == (2, 500, 4)
    half = (np.array(to_rgb(GONE)) + np.array(to_rgb("#0072b2"))) / 2
    np.testing.assert_allclose(image[0, 0, :3], half)
    np.testing.assert_allclose(image[1, 0, :3], to_rgb(GONE))
    np.testing.assert_allclose(image[0, 1, :3], to_rgb("#0072b2"))
    assert (image[..., 3] == 1).all()


def test_a_layer_without_any_weight_left_is_of_one_colour() -> None:
    image = _weight_colours(np.zeros((3, 4), dtype=np.float32))
    np.testing.assert_allclose(image, np.broadcast_to([*to_rgb(GONE), 1], (3, 4, 4)))


def test_nodes_that_are_gone_are_marked_beside_their_rows() -> None:
    figure = watched()
    marks = {line.get_color(): np.asarray(line.get_ydata()) for line in figure.axes[0].lines}
    assert marks[GONE].tolist() == [1]
    assert marks["#e69f00"].tolist() == [2]
    assert 1 in marks[INK].tolist()  # its bias is negative
    assert not plot_network(model()).axes[0].lines


def test_activations_stand_beside_the_weights() -> None:
    found = pruned()
    figure = plot_network(found, ROWS)
    axes = figure.axes[1]
    assert axes.get_xlabel() == "activation"
    layout, genome = found.architecture.encoder, found.pair.encoder.genome
    outputs = np.maximum(ROWS @ layout.weight(genome, 0).T + layout.bias(genome, 0), 0)
    [means] = axes.collections
    assert isinstance(means, LineCollection)
    places = np.array([segment[:, 0].mean() for segment in means.get_segments()])
    np.testing.assert_allclose(places, outputs.mean(axis=0), rtol=1e-5, atol=1e-7)
    [band] = axes.patches
    assert isinstance(band, StepPatch)
    values, _, baseline = band.get_data()
    np.testing.assert_allclose(values, outputs.mean(0) + outputs.std(0), rtol=1e-5, atol=1e-7)
    assert (np.asarray(baseline) >= 0).all()
    assert axes.get_ylim() == figure.axes[0].get_ylim()


@pytest.mark.parametrize("activation", get_args(HiddenActivation))
def test_every_activation_is_drawn_within_what_it_gives(activation: HiddenActivation) -> None:
    environment = Environment(hidden_activation=activation, output_activation="linear")
    architecture = build_architecture(environment, 8, (4,), 3)
    axes = plot_network(Model(architecture, random_pair(architecture, 1)), ROWS).axes[1]
    [band] = axes.patches
    assert isinstance(band, StepPatch)
    _, _, baseline = band.get_data()
    least = {"relu": 0, "tanh": -1, "gelu": -0.17, "leaky_relu": -np.inf}[activation]
    assert (np.asarray(baseline) >= least).all()


def test_without_rows_only_weights_are_drawn() -> None:
    figure = plot_network(pruned())
    assert len(figure.axes) == 4
    assert titles(figure)[0] == "encoder hidden 1: 4 nodes, 2 gone"
    [legend] = figure.legends
    assert not any("silent" in text.get_text() for text in legend.get_texts())


def test_variational_pairs_and_other_depths() -> None:
    figure = plot_network(model(variational=True), ROWS)
    assert "encoder log variance: 3 nodes, 0 gone" in titles(figure)
    assert sum(axes.axison for axes in figure.axes) == 10
    deep = plot_network(model(hidden=(6, 5)), ROWS)
    assert len(titles(deep)) == 6


def test_many_nodes_are_thinned_to_what_can_be_seen() -> None:
    wide = model(n_dim=1000)
    figure = plot_network(wide, np.ones((2, 1000), np.float32))
    assert colours(figure.axes[4 + 2]).shape == (300, 4, 4)
    [means] = figure.axes[4 + 3].collections
    assert isinstance(means, LineCollection)
    assert len(means.get_segments()) == 300
    assert len(_figure_bytes(figure, "svg")) < 400_000


def test_what_is_pruned_to_nothing_can_be_written() -> None:
    empty = model(hidden=())
    for network in (empty.pair.encoder, empty.pair.decoder):
        network.genome[:] = 0
    assert _figure_bytes(plot_network(empty, ROWS), "svg")
