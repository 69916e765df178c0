"""A task's answer whatever is trained beside it, before it and after it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from torch_tasks import (
    architecture_named,
    arrays_of,
    assert_all_agree,
    assert_same_bits,
    diverged,
    engine_of,
    few_architectures,
    networks_of,
    tasks_of,
    varied_tasks,
)

from aes_lipi.autoencoders.environments import (
    Architecture,
)
from aes_lipi.engine.protocol import (
    Trained,
    TrainTask,
)
from aes_lipi.engine.torch.memory import _padded

SIZES = [1, 2, 5, 17]


@few_architectures
def test_a_task_in_a_stack_of_any_size_equals_the_task_alone(architecture: Architecture) -> None:
    alone = engine_of(architecture, stacked=False).train(varied_tasks(architecture, max(SIZES)))
    for size in SIZES:
        got = engine_of(architecture, stacked=True).train(varied_tasks(architecture, size))
        assert_all_agree(got, alone[:size])


def test_stacks_are_at_most_an_eighth_larger_than_their_tasks_and_of_few_sizes() -> None:
    sizes = [_padded(n) for n in range(1, 4097)]
    assert all(n <= size <= max(n + 1, n * 9 / 8) for n, size in enumerate(sizes, start=1))
    assert all(_padded(size) == size for size in sizes)
    assert sizes == sorted(sizes)
    assert len(set(sizes)) <= 8 * 12


@few_architectures
def test_one_by_one_a_task_has_the_same_bits_in_any_stack(architecture: Architecture) -> None:
    def tasks() -> list[TrainTask]:
        return [*varied_tasks(architecture, 5), *tasks_of(architecture, observe=True)]

    engine = engine_of(architecture, stacked=False)
    together = engine.train(tasks())
    assert_same_bits(engine.train(tasks()[::-1])[::-1], together)
    assert_same_bits([engine.train([task])[0] for task in tasks()], together)
    fresh = [engine_of(architecture, stacked=False).train([task])[0] for task in tasks()[:3]]
    assert_same_bits(fresh, together[:3])


@few_architectures
@pytest.mark.parametrize("kept", [False, True])
def test_a_stack_has_the_same_bits_on_an_engine_that_was_used(
    architecture: Architecture, stacked: bool, kept: bool
) -> None:
    """Also where it is padded with what a larger stack, of weights that diverged, left behind."""
    n, more = (17, 33) if stacked else (2, 3)

    def stack_of(n: int) -> list[TrainTask]:
        return varied_tasks(architecture, n, kept=kept)

    fresh = engine_of(architecture, stacked=stacked).train(stack_of(n))
    assert all(np.isfinite(array).all() for trained in fresh for array in arrays_of(trained))
    used = engine_of(architecture, stacked=stacked)
    broken = used.train([diverged(replace(task, observe=True)) for task in stack_of(more)])
    assert not any(network.is_finite for network in networks_of(broken[-1]))
    assert_same_bits(used.train(stack_of(n)), fresh)
    used.train(stack_of(1))
    used.train(varied_tasks(architecture, 3, kept=not kept))
    assert_same_bits(used.train(stack_of(n)), fresh)


@few_architectures
def test_larger_stacks_and_smaller_ones_take_turns_on_an_engine(architecture: Architecture) -> None:
    used = engine_of(architecture, stacked=True)
    fresh: dict[int, list[Trained]] = {}
    for n in (3, 17, 3, 33, 17, 3):
        got = used.train(varied_tasks(architecture, n))
        if n not in fresh:
            engine = engine_of(architecture, stacked=True)
            fresh[n] = engine.train(varied_tasks(architecture, n))
        assert_same_bits(got, fresh[n])


def test_a_larger_stack_takes_the_place_of_what_smaller_ones_were_trained_in() -> None:
    """Nothing holds on to tensors that were replaced."""
    architecture = architecture_named("AutoencoderBinaryClustering")
    engine = engine_of(architecture, stacked=True)
    for n, programs in ((3, 1), (5, 1), (3, 2), (5, 2), (17, 1)):
        engine.train(varied_tasks(architecture, n))
        assert len(engine._trainer._programs) == programs


@few_architectures
def test_a_task_that_diverges_does_not_touch_its_neighbours(architecture: Architecture) -> None:
    def tasks() -> list[TrainTask]:
        return varied_tasks(architecture, 6)

    engine = engine_of(architecture, stacked=True)
    expected = engine.train(tasks())
    got = engine.train([diverged(task) if k == 2 else task for k, task in enumerate(tasks())])
    assert not any(network.is_finite for network in networks_of(got[2]))
    assert_same_bits([*got[:2], *got[3:]], [*expected[:2], *expected[3:]])


@few_architectures
def test_what_was_trained_stays_when_the_engine_is_used_again(
    architecture: Architecture, stacked: bool
) -> None:
    engine = engine_of(architecture, stacked=stacked)
    expected = engine_of(architecture, stacked=stacked).train(varied_tasks(architecture, 5))
    got = engine.train(varied_tasks(architecture, 5))
    engine.train([diverged(replace(task, observe=True)) for task in varied_tasks(architecture, 9)])
    assert_same_bits(got, expected)
