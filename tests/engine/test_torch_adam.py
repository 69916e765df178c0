"""The optimiser's step: as torch's own, compiled as well as plain."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from torch_tasks import RATE, architecture_named, assert_all_agree, engine_of, varied_tasks

from aes_lipi.engine.torch.adam import _compiled, adam_on, corrections


@pytest.mark.slow  # torch's own imports its compiler
def test_a_new_adam_makes_the_first_step_of_torchs() -> None:
    gradient = torch.tensor([[0.3, -2.0, 0.0, 1e-9, -1e-7]])
    weight = torch.zeros(1, 5, requires_grad=True)
    weight.grad = gradient.clone()
    torch.optim.Adam([weight], lr=0.1, betas=(0.5, 0.999), eps=1e-8).step()
    ours = torch.zeros(1, 5)
    adam_on(torch.device("cpu")).fresh(ours, gradient, torch.full((1, 1), 0.1), None)
    torch.testing.assert_close(ours, weight.detach(), rtol=1e-5, atol=1e-8)


@pytest.mark.slow
def test_a_kept_adam_follows_torchs() -> None:
    generator = torch.Generator().manual_seed(2)
    weight = torch.zeros(1, 6, requires_grad=True)
    optimiser = torch.optim.Adam([weight], lr=0.1, betas=(0.5, 0.999), eps=1e-8)
    ours, first, second = torch.zeros(1, 6), torch.zeros(1, 6), torch.zeros(1, 6)
    rates = torch.full((1, 1), 0.1)
    for step in range(1, 20):
        gradient = torch.randn((1, 6), generator=generator)
        weight.grad = gradient.clone()
        optimiser.step()
        state = (first, second, *corrections(torch.full((1, 1), float(step)).double()))
        adam_on(torch.device("cpu")).kept(ours, gradient, rates, None, state)
    torch.testing.assert_close(ours, weight.detach(), rtol=1e-5, atol=1e-6)


compiler_needed = pytest.mark.skipif(shutil.which("g++") is None, reason="there is none")
torch_warns = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # of itself


@pytest.mark.slow
@compiler_needed
@torch_warns
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kept", [False, True])
def test_a_compiled_step_agrees_with_the_plain_one(kept: bool, masked: bool) -> None:
    plain, compiled = adam_on(torch.device("cpu")), _compiled()
    assert not plain.fused
    assert compiled.fused
    generator = torch.Generator().manual_seed(1)
    for shape in ((1, 7), (5, 7), (6, 130), (33, 64)):
        gradient = torch.randn(shape, generator=generator)
        gradient[:, 0] = 0.0
        gradient[:, 1] = 1e-9
        genomes = torch.randn(shape, generator=generator)
        rates = RATE * torch.rand((shape[0], 1), generator=generator)
        alive = torch.rand(shape, generator=generator) < 0.7 if masked else None
        first = 0.1 * torch.randn(shape, generator=generator)
        steps = torch.randint(1, 50, (shape[0], 1), generator=generator).double()
        made = []
        for adam in (plain, compiled):
            moved, moments = genomes.clone(), (first.clone(), first**2)
            if kept:
                adam.kept(moved, gradient, rates, alive, (*moments, *corrections(steps)))
            else:
                adam.fresh(moved, gradient, rates, alive)
            made.append((moved, *moments))
        for one, other in zip(*made, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-4 * RATE)
        assert not torch.equal(made[1][0], genomes)
        assert kept != torch.equal(made[1][1], first)
        if alive is not None:
            assert torch.equal(made[1][0][~alive], genomes[~alive])


@pytest.mark.slow
@compiler_needed
@torch_warns
@pytest.mark.parametrize("kept", [False, True])
def test_an_engine_with_a_compiled_step_trains_as_with_the_plain_one(kept: bool) -> None:
    architecture = architecture_named("noisy, variational")
    engine, fused = (engine_of(architecture, stacked=True) for _ in range(2))
    fused._trainer._workspace = replace(fused._trainer._workspace, adam=_compiled())
    assert fused.is_fused
    assert not engine.is_fused
    for n in (1, 5, 17):
        got, expected = (
            each.train(varied_tasks(architecture, n, kept=kept)) for each in (fused, engine)
        )
        assert_all_agree(got, expected)
