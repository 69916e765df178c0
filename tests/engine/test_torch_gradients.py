"""Gradients derived by hand against those by autograd, in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch_tasks import (
    BATCH,
    KINDS,
    N_DIM,
    architecture_named,
)

from aes_lipi.autoencoders.environments import (
    Architecture,
    Environment,
    build_architecture,
)
from aes_lipi.engine.torch.gradients import Batch, _derived, _differentiated, gradients_of
from aes_lipi.engine.torch.losses import losses_of
from aes_lipi.engine.torch.passes import forward_passes

ROWS_OF_MODELS = (BATCH, 3, 1, BATCH)


def random_models(architecture: Architecture) -> tuple[torch.Tensor, torch.Tensor]:
    """Genomes of a stack of models, in float64, not small."""
    generator = torch.Generator().manual_seed(1)
    encoders, decoders = (
        0.6 * torch.randn((len(ROWS_OF_MODELS), size), generator=generator, dtype=torch.float64)
        for size in (architecture.encoder.size, architecture.decoder.size)
    )
    return encoders, decoders


def random_batch(architecture: Architecture, *, garbage: int = 0) -> Batch:
    """Batches of several sizes; what stands in the padding depends on `garbage` alone."""
    generator = torch.Generator().manual_seed(2)
    filler = torch.Generator().manual_seed(garbage)
    shape = (len(ROWS_OF_MODELS), BATCH)
    sizes = torch.tensor(ROWS_OF_MODELS).unsqueeze(1)
    present = (torch.arange(BATCH) < sizes).unsqueeze(2)

    def filled(values: torch.Tensor) -> torch.Tensor:
        scale = 10.0 * garbage
        other = torch.randn(values.shape, generator=filler, dtype=torch.float64)
        return torch.where(present, values, scale * other)

    def noise(width: int) -> torch.Tensor:
        return filled(torch.randn((*shape, width), generator=generator, dtype=torch.float64))

    target = torch.rand((*shape, N_DIM), generator=generator, dtype=torch.float64)
    weight = present.double()
    if architecture.loss != "negative_elbo":
        weight = weight / (sizes * N_DIM).unsqueeze(2)
    return Batch(
        filled(target),
        present.double(),
        weight,
        noise(N_DIM) if architecture.input_noise else None,
        noise(architecture.latent_size) if architecture.variational else None,
    )


def rows_of(batch: Batch, at: Any) -> Batch:
    """Some models' part of a batch, or some of their rows."""
    parts: list[Any] = [None if part is None else part[at] for part in vars(batch).values()]
    return Batch(*parts)


def gradients_by_hand(
    architecture: Architecture, genomes: tuple[torch.Tensor, torch.Tensor], batch: Batch
) -> tuple[torch.Tensor, torch.Tensor]:
    """Written over what stood there before."""
    into = (torch.full_like(genomes[0], torch.nan), torch.full_like(genomes[1], torch.nan))
    _derived(architecture, genomes, batch, into)
    return into


def gradients_by_autograd(
    architecture: Architecture, genomes: tuple[torch.Tensor, torch.Tensor], batch: Batch, model: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of one model on its own rows, without padding."""
    at = (slice(model, model + 1), slice(ROWS_OF_MODELS[model]))
    alone = rows_of(batch, at)
    one = (genomes[0][at[0]], genomes[1][at[0]])
    into = (torch.full_like(one[0], torch.nan), torch.full_like(one[1], torch.nan))
    _differentiated(architecture, one, alone, into)
    return into


def assert_gradients_are_those_of_autograd(architecture: Architecture) -> None:
    genomes, batch = random_models(architecture), random_batch(architecture, garbage=1)
    got = gradients_by_hand(architecture, genomes, batch)
    for model in range(len(ROWS_OF_MODELS)):
        expected = gradients_by_autograd(architecture, genomes, batch, model)
        for one, other in zip(got, expected, strict=True):
            scale = float(other.abs().max())
            torch.testing.assert_close(one[model], other[0], rtol=1e-12, atol=1e-13 * scale)
    assert all((part != 0).double().mean() > 0.2 for part in got)


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("name", KINDS)
def test_gradients_are_those_of_autograd_in_float64(name: str, depth: int) -> None:
    assert_gradients_are_those_of_autograd(architecture_named(name, depth))


def test_gradients_of_a_variational_encoder_under_l1_are_those_of_autograd() -> None:
    """A user's environment may be one."""
    kind = Environment(variational=True, loss="l1")
    assert_gradients_are_those_of_autograd(build_architecture(kind, N_DIM, (6,), 3))


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("name", KINDS)
def test_padded_rows_contribute_exactly_nothing(name: str, depth: int) -> None:
    architecture = architecture_named(name, depth)
    genomes = random_models(architecture)
    got, again = (
        gradients_by_hand(architecture, genomes, random_batch(architecture, garbage=garbage))
        for garbage in (0, 1)
    )
    for one, other in zip(got, again, strict=True):
        assert torch.equal(one, other)


def test_a_model_that_has_no_rows_has_gradient_zero(architecture: Architecture) -> None:
    genomes, batch = random_models(architecture), random_batch(architecture, garbage=1)
    nothing = torch.zeros_like(batch.present)
    for part in gradients_by_hand(
        architecture, genomes, replace(batch, present=nothing, weight=nothing)
    ):
        assert not part.any()


def test_gradients_come_with_the_forward_passes(architecture: Architecture) -> None:
    genomes, batch = random_models(architecture), random_batch(architecture)
    into = (torch.zeros_like(genomes[0]), torch.zeros_like(genomes[1]))
    encoded, decoded = _derived(architecture, genomes, batch, into)
    again, then = _differentiated(architecture, genomes, batch, into)
    assert torch.equal(encoded.nodes(), again.nodes())
    assert torch.equal(decoded.nodes(), then.nodes())


def test_gradients_by_autograd_are_those_of_the_loss(architecture: Architecture) -> None:
    """Of finite differences of the losses that evaluations give."""
    whole = random_batch(architecture)
    batch = rows_of(whole, slice(1))
    genomes = tuple(part[:1].requires_grad_() for part in random_models(architecture))

    def loss(*genomes: torch.Tensor) -> torch.Tensor:
        x = batch.target
        seen = x if batch.input_noise is None else x + architecture.input_noise * batch.input_noise
        pair = (genomes[0], genomes[1])
        encoded, _, decoded = forward_passes(architecture, pair, seen, batch.code_noise)
        return losses_of(architecture, (encoded, decoded), x)

    assert torch.autograd.gradcheck(loss, genomes)
    into = (torch.zeros_like(genomes[0]), torch.zeros_like(genomes[1]))
    _differentiated(architecture, (genomes[0], genomes[1]), batch, into)
    for got, expected in zip(into, torch.autograd.grad(loss(*genomes).sum(), genomes), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-14)


def test_built_in_losses_have_a_gradient_by_hand(architecture: Architecture) -> None:
    assert gradients_of(architecture) is _derived
