"""Every loss with every activation: what it is, its gradients, and both engines alike."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from dense_reference import make_dataset
from dense_tasks import arrays_of, make_task, networks_of
from helpers import random_pair, tiny_variant
from plugin_modules import write_module

from aes_lipi.autoencoders.environments import Architecture, Environment, build_architecture
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.config.variant import HiddenActivation, LossName, OutputActivation
from aes_lipi.engine.auto import choose_engine, engine_name
from aes_lipi.engine.dense import DenseEngine, fits
from aes_lipi.engine.dense.activations import sigmoid
from aes_lipi.engine.protocol import ActivationsTask, EvaluateTask, Measure, TrainTask
from aes_lipi.engine.torch import TorchEngine
from aes_lipi.engine.torch.gradients import (
    Batch,
    _derived,
    _differentiated,
    gradients_of,
)
from aes_lipi.engine.torch.losses import losses_of
from aes_lipi.engine.torch.passes import forward_passes
from aes_lipi.errors import UserError
from aes_lipi.execution.inputs import architecture_of, prepare

N_DIM, BATCH = 9, 7
Kind = tuple[LossName, OutputActivation, HiddenActivation]
PLAIN: tuple[LossName, ...] = ("l1", "mse", "huber", "bce")
OUTPUTS: tuple[OutputActivation, ...] = get_args(OutputActivation)
HIDDEN: tuple[HiddenActivation, ...] = get_args(HiddenActivation)
KINDS: list[Kind] = [
    (loss, output, hidden)
    for loss, output, hidden in product(PLAIN, OUTPUTS, HIDDEN)
    if loss != "bce" or output == "sigmoid"
]
FIELDS = ("loss", "output_activation", "hidden_activation")
every_kind = pytest.mark.parametrize("kind", KINDS, ids="-".join)


def architecture_with(kind: Kind, *, linear_code: bool = False) -> Architecture:
    given: Any = dict(zip(FIELDS, kind, strict=True))
    return build_architecture(Environment(linear_code=linear_code, **given), N_DIM, (6, 8), 3)


def large_pair(architecture: Architecture) -> Pair:
    """Weights that reach where activations bend and errors beyond Huber's limit."""
    pair = random_pair(architecture, 3)
    return Pair(*(Network(np.float32(1.5) * each.genome) for each in (pair.encoder, pair.decoder)))


def task_with(architecture: Architecture, n_updates: int = 1) -> TrainTask:
    dataset = make_dataset(40, N_DIM)
    task = make_task(
        architecture, dataset, n_updates=n_updates, batch=BATCH, kept=True, observe=True
    )
    pair = large_pair(architecture)
    return replace(task, encoders=(pair.encoder,), decoders=(pair.decoder,))


def in_float64(
    architecture: Architecture, rows: npt.NDArray[np.float32], pair: Pair
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients of a pair's loss by autograd."""
    genomes = [torch.from_numpy(each.genome).double()[None] for each in vars(pair).values()]
    x = torch.from_numpy(rows).double()[None]
    ones = torch.ones((1, len(rows), 1), dtype=torch.float64)
    into = (torch.zeros_like(genomes[0]), torch.zeros_like(genomes[1]))
    batch = Batch(x, ones, ones / rows.size)
    _differentiated(architecture, (genomes[0], genomes[1]), batch, into)
    return into


# A node that is 0


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("linear_code", [False, True])
def test_a_node_that_was_pruned_whole_gets_a_gradient_where_its_slope_is_not_zero(
    hidden: HiddenActivation, linear_code: bool
) -> None:
    """Under a new Adam, too, where rows that a batch leaves at 0 are not looked at."""
    architecture = architecture_with(("l1", "sigmoid", hidden), linear_code=linear_code)
    pair, dataset = large_pair(architecture), make_dataset(40, N_DIM)
    for layout, network in (
        (architecture.encoder, pair.encoder),
        (architecture.decoder, pair.decoder),
    ):
        for k in range(len(layout.layers) - (layout is architecture.decoder)):
            layout.weight(network.genome, k)[1] = 0
            layout.bias(network.genome, k)[1] = 0
    task = make_task(architecture, dataset, batch=BATCH)
    task = replace(task, encoders=(pair.encoder,), decoders=(pair.decoder,))
    dense, other = (
        made(architecture, dataset, BATCH).train([task])[0] for made in (DenseEngine, TorchEngine)
    )
    for one, two, before in zip(
        networks_of(dense), networks_of(other), (pair.encoder, pair.decoder), strict=True
    ):
        moved = np.abs(two.genome - before.genome)
        np.testing.assert_allclose(one.genome, two.genome, atol=0.05 * moved.max())
    code = architecture.encoder.layers[-1]
    start = architecture.encoder.bias_slice(len(architecture.encoder.layers) - 1).start
    comes_alive = dense.encoders[0].genome[start + 1] != 0
    assert code.n_out == 3
    assert comes_alive == (linear_code or hidden != "relu")


# Definitions


def test_losses_are_what_they_are_called() -> None:
    """Of a decoder that puts out its biases, worked out by hand."""
    architecture = build_architecture(Environment(output_activation="linear"), 2, (), 1)
    decoder = np.array([0, 0, 0.75, 0.05], np.float32)
    pair = Pair(Network(np.zeros(architecture.encoder.size, np.float32)), Network(decoder))
    rows = np.array([[0.25, 0], [1, 0]], np.float32)
    errors = np.array([[0.5, 0.05], [-0.25, 0.05]])
    small = np.abs(errors) <= 0.1
    huber = np.where(small, errors**2 / 2, 0.1 * (np.abs(errors) - 0.05))
    expected = {"l1": np.abs(errors), "mse": errors**2, "huber": huber}
    dataset = replace(make_dataset(6, 2), test=rows)
    for made, (loss, values) in product((DenseEngine, TorchEngine), expected.items()):
        engine = made(replace(architecture, loss=loss), dataset, 2)
        found = engine.batch_losses([pair], "test", "loss")[0]
        np.testing.assert_allclose(found, [values.mean()], rtol=1e-6)
        task = EvaluateTask((pair.encoder,), (pair.decoder,), np.arange(2, dtype=np.int32), "test")
        np.testing.assert_allclose(engine.loss_matrices([task])[0], [[values.mean()]], rtol=1e-6)
        for measure in ("l1", "mse"):
            name: Measure = "l1" if measure == "l1" else "mse"
            found = engine.batch_losses([pair], "test", name)[0]
            np.testing.assert_allclose(found, [expected[measure].mean()], rtol=1e-6)


def test_the_cross_entropy_is_a_mean_and_the_negative_elbo_a_sum() -> None:
    plain = build_architecture(Environment(loss="bce"), 2, (), 1)
    biases = np.array([0, 0, 0, np.log(3)], np.float32)  # a half and three quarters
    pair = Pair(Network(np.zeros(plain.encoder.size, np.float32)), Network(biases))
    dataset = replace(make_dataset(6, 2), test=np.array([[1, 1]], np.float32))
    for made in (DenseEngine, TorchEngine):
        found = made(plain, dataset, 1).batch_losses([pair], "test", "loss")[0]
        np.testing.assert_allclose(found, [(np.log(2) + np.log(4 / 3)) / 2], rtol=1e-6)
    drawn = Environment(variational=True, loss="negative_elbo")
    variational = build_architecture(drawn, 2, (), 1)
    heads = Network(np.zeros(variational.encoder.size, np.float32))
    for made in (DenseEngine, TorchEngine):
        engine = made(variational, dataset, 1)
        found = engine.batch_losses([Pair(heads, pair.decoder)], "test", "loss")[0]
        np.testing.assert_allclose(found, [np.log(2) + np.log(4 / 3)], rtol=1e-6)


@every_kind
def test_recorded_is_what_hidden_layers_put_out_and_the_sums_before_a_sigmoid(kind: Kind) -> None:
    architecture, dataset = architecture_with(kind), make_dataset(40, N_DIM)
    pair, rows = large_pair(architecture), np.arange(5, dtype=np.int32)
    coded = architecture.encoder.outputs(pair.encoder.genome, dataset.train[rows])
    decoded = architecture.decoder.outputs(pair.decoder.genome, coded[-1])
    sums = replace(architecture.decoder.layers[-1], activation="linear")
    linear = replace(architecture.decoder, layers=(*architecture.decoder.layers[:-1], sums))
    decoded[-1] = linear.outputs(pair.decoder.genome, coded[-1])[-1]
    for made in (DenseEngine, TorchEngine):
        engine = made(architecture, dataset, BATCH)
        [found] = engine.activations([ActivationsTask(pair, rows)])
        np.testing.assert_allclose(found.encoder, np.concatenate(coded, 1), atol=2e-6)
        np.testing.assert_allclose(found.decoder, np.concatenate(decoded, 1), atol=2e-6)


# Gradients


@every_kind
def test_gradients_in_float64_are_those_of_finite_differences(kind: Kind) -> None:
    architecture = architecture_with(kind)
    rows = make_dataset(40, N_DIM).train[:3]
    x = torch.from_numpy(rows).double()[None] * 0.8 + 0.1
    pair = large_pair(architecture)
    genomes = [
        torch.from_numpy(each.genome).double()[None].requires_grad_()
        for each in vars(pair).values()
    ]

    def loss(*genomes: torch.Tensor) -> torch.Tensor:
        encoded, _, decoded = forward_passes(architecture, (genomes[0], genomes[1]), x)
        return losses_of(architecture, (encoded, decoded), x)

    assert torch.autograd.gradcheck(loss, genomes, fast_mode=True)


@every_kind
@pytest.mark.parametrize("linear_code", [False, True])
def test_gradients_of_dense_are_those_in_float64(kind: Kind, linear_code: bool) -> None:
    """Half of the gradient is the first moment of a new optimiser that is kept."""
    architecture = architecture_with(kind, linear_code=linear_code)
    assert fits(architecture)
    task, dataset = task_with(architecture), make_dataset(40, N_DIM)
    trained = DenseEngine(architecture, dataset, BATCH).train([task])[0]
    pair = Pair(task.encoders[0], task.decoders[0])
    expected = in_float64(architecture, dataset.train[task.updates.rows[0]], pair)
    moments = (*(trained.encoder_moments or ()), *(trained.decoder_moments or ()))
    for got, exact in zip(moments, expected, strict=True):
        scale = float(exact.abs().max())
        assert (exact != 0).double().mean() > 0.2
        np.testing.assert_allclose(2 * got.first, exact[0].numpy(), rtol=1e-4, atol=2e-6 * scale)


@every_kind
def test_gradients_by_hand_are_those_of_autograd(kind: Kind) -> None:
    architecture = architecture_with(kind)
    assert (gradients_of(architecture) is _derived) == ("gelu" not in kind)
    if "gelu" in kind:
        return
    rows, pair = make_dataset(40, N_DIM).train[:BATCH], large_pair(architecture)
    genomes = [torch.from_numpy(each.genome).double()[None] for each in vars(pair).values()]
    ones = torch.ones((1, BATCH, 1), dtype=torch.float64)
    batch = Batch(torch.from_numpy(rows).double()[None], ones, ones / rows.size)
    got = (torch.zeros_like(genomes[0]), torch.zeros_like(genomes[1]))
    _derived(architecture, (genomes[0], genomes[1]), batch, got)
    for one, other in zip(got, in_float64(architecture, rows, pair), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12 * float(other.abs().max()))


@every_kind
def test_both_engines_train_alike(kind: Kind) -> None:
    architecture, dataset = architecture_with(kind), make_dataset(40, N_DIM)
    one, other = (
        made(architecture, dataset, BATCH).train([task_with(architecture, 6)])[0]
        for made in (DenseEngine, TorchEngine)
    )
    before = task_with(architecture)
    for got, expected, start in zip(
        networks_of(one), networks_of(other), (*before.encoders, *before.decoders), strict=True
    ):
        off = np.abs(got.genome - expected.genome) > 1e-5 + 1e-6 * np.abs(expected.genome)
        assert off.mean() < 0.01
        assert not np.array_equal(got.genome, start.genome)
    for left, right in zip(arrays_of(one), arrays_of(other), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_activations_of_dense_are_right_far_from_zero_and_near_it(hidden: HiddenActivation) -> None:
    """Of one node with weight one."""
    environment = Environment(hidden_activation=hidden)
    architecture = build_architecture(environment, 1, (), 1)
    x = np.concatenate([np.linspace(-12, 12, 481), [1e-30, -1e-30, 1e4, -1e4]]).astype(np.float32)
    one = np.array([1, 0], np.float32)
    dense = DenseEngine(architecture, replace(make_dataset(6, 1), train=x[:, None]), len(x))
    rows = np.arange(len(x), dtype=np.int32)
    [found] = dense.activations([ActivationsTask(Pair(Network(one), Network(one)), rows)])
    functions: dict[str, Any] = {
        "relu": torch.relu,
        "leaky_relu": torch.nn.functional.leaky_relu,
        "tanh": torch.tanh,
        "gelu": torch.nn.functional.gelu,
    }
    expected = functions[hidden](torch.from_numpy(x).double()).numpy()
    np.testing.assert_allclose(found.encoder[:, 0], expected, rtol=5e-7, atol=5e-7)
    small = np.abs(x) < 1e-3
    np.testing.assert_allclose(found.encoder[small, 0], expected[small], rtol=5e-7)


# Losses of a user's own, and what goes together


def test_a_loss_of_one_s_own_trains_as_the_built_in_one_does(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module = write_module(tmp_path, "def squared(y, x): return (y - x) ** 2")
    name = f"{module}:squared"
    variant, known = tiny_variant(loss=name), tiny_variant(loss="mse", engine="torch")
    assert variant.id not in (known.id, tiny_variant().id)
    setup = prepare(variant)
    assert (setup.engine.name, setup.architecture.loss) == ("torch", name)
    task = make_task(setup.architecture, setup.dataset, n_updates=3, batch=5, kept=True)
    for made in (choose_engine(known, setup.architecture, setup.dataset), setup.engine):
        assert made.name == "torch"
    one, other = (
        TorchEngine(replace(setup.architecture, loss=loss), setup.dataset, 5).train([task])[0]
        for loss in (name, "mse")
    )
    for left, right in zip(arrays_of(one), arrays_of(other), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)
    with pytest.raises(UserError, match=f"dense cannot train with loss {name}; use --engine torch"):
        engine_name(tiny_variant(loss=name, engine="dense"), setup.architecture)


def test_a_loss_by_row_is_a_mean_over_rows(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module = write_module(tmp_path, "def by_row(y, x): return ((y - x) ** 2).mean(-1)")
    variant = tiny_variant(loss=f"{module}:by_row")
    setup = prepare(variant)
    pair = random_pair(setup.architecture, 1)
    task = make_task(setup.architecture, setup.dataset, n_updates=2, batch=5, kept=True)
    one, other = (
        TorchEngine(replace(setup.architecture, loss=loss), setup.dataset, 5)
        for loss in (variant.loss or "", "mse")
    )
    for left, right in zip(
        arrays_of(one.train([task])[0]), arrays_of(other.train([task])[0]), strict=True
    ):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        one.batch_losses([pair], "test", "loss")[0],
        other.batch_losses([pair], "test", "mse")[0],
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"loss": "bce", "output_activation": "linear"}, "loss: bce; .* output_activation sigmoid"),
        ({"loss": "negative_elbo"}, "loss: negative_elbo; it is the loss of variational env"),
        (
            {
                "environment": "VariationalAutoencoderBinaryClustering",
                "output_activation": "linear",
            },
            "loss: negative_elbo; it is a loss of outputs between 0 and 1",
        ),
    ],
)
def test_a_loss_that_does_not_fit_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        architecture_of(tiny_variant(**given), 6)


def test_fields_replace_the_environment_s_own() -> None:
    given = {"loss": "huber", "hidden_activation": "tanh", "output_activation": "linear"}
    architecture = architecture_of(tiny_variant(**given), 6)
    layers = (*architecture.encoder.layers, *architecture.decoder.layers)
    assert architecture.loss == "huber"
    assert [layer.activation for layer in layers] == ["tanh"] * (len(layers) - 1) + ["linear"]
    assert architecture_of(tiny_variant(), 6).loss == "l1"


def test_a_sigmoid_of_values_far_from_zero_and_near_it() -> None:
    sums = np.linspace(-80, 80, 5001, dtype=np.float32).reshape(3, -1)
    expected = 1 / (1 + np.exp(-sums.astype(np.float64)))
    np.testing.assert_allclose(sigmoid(sums), expected, rtol=1e-6, atol=1e-25)
