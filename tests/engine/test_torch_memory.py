"""Memory that runs out: in a process of its own, whose address space may not grow."""

from __future__ import annotations

import gc
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers import random_pair
from torch_tasks import (
    BATCH,
    NOISY,
    architecture_named,
    arrays_of,
    assert_same_bits,
    engine_of,
    few_architectures,
    next_value,
    task_of,
    varied_tasks,
)

from aes_lipi.autoencoders.environments import (
    Architecture,
    Environment,
    build_architecture,
)
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.engine.protocol import (
    ActivationsTask,
    EvaluateTask,
    Trained,
    TrainTask,
)
from aes_lipi.engine.torch import TorchEngine, engine
from aes_lipi.engine.torch.memory import Halving, _is_out_of_memory

LARGE = build_architecture(
    Environment(variational=True, loss="negative_elbo", input_noise=0.4), 1000, (60,), 10
)
N_LARGE, HALVES = 16, (8, 4, 2, 1)
COPY = N_LARGE * 2 * LARGE.n_parameters * 4
"""Bytes of the weights of all large tasks: what the answers take at least."""


class CountedNoise(np.random.Generator):
    """Noise that knows how many values were drawn, those included that were put back."""

    drawn = 0

    def standard_normal(self, *arguments: Any, **options: Any) -> Any:
        values = super().standard_normal(*arguments, **options)
        self.drawn += np.size(values)
        return values


def large_tasks(*, kept: bool = False) -> list[TrainTask]:
    tasks = [
        task_of(LARGE, k, networks=(2, 2), n_updates=3, kept=kept, rate=1e-3)
        for k in range(N_LARGE)
    ]
    return [replace(task, noise=CountedNoise(np.random.PCG64(k))) for k, task in enumerate(tasks)]


def address_space() -> int:
    """Bytes that this process has addresses for."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmSize"))


@contextmanager
def room_for(n_bytes: int) -> Iterator[None]:
    """Let this process's address space grow by no more."""
    gc.collect()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


Arrays = Sequence[npt.NDArray[Any]]


def share_off(got: Arrays, expected: Arrays) -> float:
    """Of numbers that are not the same; all of them for arrays of other shapes."""
    if [part.shape for part in got] != [part.shape for part in expected]:
        return 1.0
    off = sum(
        np.count_nonzero(~(np.abs(one - other) <= 1e-6 + 1e-5 * np.abs(other)))
        for one, other in zip(got, expected, strict=True)
    )
    return off / sum(part.size for part in expected)


def numbers_of(trained: Sequence[Trained]) -> Arrays:
    return [part for made in trained for part in arrays_of(made) if part.dtype != np.bool_]


def training_facts(room: Sequence[float], *, kept: bool) -> list[dict[str, Any]]:
    """What became of large tasks where there was room for so many copies of their weights."""
    free_tasks = large_tasks(kept=kept)
    expected = numbers_of(engine_of(LARGE, stacked=True).train(free_tasks))
    facts = []
    for copies in room:
        engine, tasks = engine_of(LARGE, stacked=True), large_tasks(kept=kept)
        with room_for(int(copies * COPY)):
            trained = engine.train(tasks)
        sources = [[task.noise for task in some] for some in (tasks, free_tasks)]
        drawn = [
            sum(noise.drawn for noise in some if isinstance(noise, CountedNoise))
            for some in sources
        ]
        states = [[noise.bit_generator.state for noise in some if noise] for some in sources]
        facts.append(
            {
                "most": engine._halving("train").most,
                "off": share_off(numbers_of(trained), expected),
                "drawn": drawn[0] / drawn[1],
                "same streams": states[0] == states[1] and len(states[0]) == N_LARGE,
            }
        )
    return facts


def evaluation_facts(copies: float) -> list[dict[str, Any]]:
    """The same of evaluations, which are not cut into parts beforehand."""
    engine.VALUES_ON_CPU = 1 << 40
    tasks = large_tasks()
    rows = np.arange(BATCH, dtype=np.int32)
    matrices = [EvaluateTask(task.encoders, task.decoders, rows) for task in tasks]
    pairs = [
        Pair(encoder, decoder)
        for task in tasks
        for encoder, decoder in zip(task.encoders, task.decoders, strict=True)
    ]
    seen = [ActivationsTask(pair, rows) for pair in pairs]

    def answers(number: int, engine: TorchEngine) -> list[npt.NDArray[Any]]:
        if number == 0:
            return [*engine.loss_matrices(matrices)]
        if number == 1:
            return [*engine.batch_losses(pairs, "train", "loss")]
        return [part for each in engine.activations(seen) for part in (each.encoder, each.decoder)]

    facts = []
    for number in range(3):
        expected = answers(number, engine_of(LARGE, stacked=True))
        limited = engine_of(LARGE, stacked=True)
        with room_for(int(copies * COPY)):
            got = answers(number, limited)
        [halving] = limited._halvings.values()
        facts.append({"most": halving.most, "off": share_off(got, expected)})
    return facts


def alone_facts() -> dict[str, Any]:
    """What becomes of one task that does not fit, and of its engine afterwards."""
    used, fresh = (engine_of(LARGE, stacked=True) for _ in range(2))
    task, same = (
        task_of(LARGE, 1, networks=(N_LARGE, N_LARGE), n_updates=3, kept=True) for _ in range(2)
    )
    raised: BaseException | None = None
    with room_for(COPY // 4):
        try:
            used.train([task])
        except (RuntimeError, MemoryError) as error:
            raised = error
    return {
        "is out of memory": raised is not None and _is_out_of_memory(raised),
        "afterwards": share_off(numbers_of(used.train([task])), numbers_of(fresh.train([same]))),
    }


def kept_room_facts() -> list[bool]:
    """Whether an evaluation fits beside what is kept for training: not if that is all kept."""
    networks = [network for task in large_tasks() for network in task.encoders]
    decoder = random_pair(LARGE, 1).decoder
    task = EvaluateTask(tuple(networks), (decoder,), np.arange(BATCH, dtype=np.int32))
    fits = []
    for gives_back in (False, True):
        engine = engine_of(LARGE, stacked=True)
        engine.train(large_tasks())
        with pytest.MonkeyPatch.context() as patch, room_for(COPY // 2):
            if not gives_back:
                patch.setattr(engine, "release", lambda: None)
            try:
                engine.loss_matrices([task])
            except (RuntimeError, MemoryError):
                fits.append(False)
            else:
                fits.append(True)
    return fits


def print_facts() -> None:
    """What the tests below are about; called in another process."""
    torch.set_num_threads(1)
    facts = {
        "training": [
            *training_facts((3.0, 2.3, 1.7), kept=False),
            *training_facts((5.0,), kept=True),
        ],
        "alone": alone_facts(),
        "kept room": kept_room_facts(),
        "evaluation": evaluation_facts(0.6),
    }
    print(json.dumps(facts))


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    """Of a process that takes memory from the system for every tensor, and gives it back."""
    path = [str(Path(__file__).parent), *sys.path]
    code = f"import sys; sys.path[:] = {path!r}; import test_torch_memory as t; t.print_facts()"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ
        | {
            "MALLOC_MMAP_THRESHOLD_": "131072",
            "MALLOC_ARENA_MAX": "1",
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    made: dict[str, Any] = json.loads(answer.stdout)
    return made


short_of_memory = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the system does not say what is taken"
)
together = pytest.mark.xdist_group("torch memory")


@together
@short_of_memory
def test_a_stack_that_does_not_fit_is_trained_in_halves(facts: dict[str, Any]) -> None:
    """Noise that was drawn for a stack that did not fit is drawn again, from the same stream."""
    for fact in facts["training"]:
        assert fact["most"] in HALVES
        assert fact["off"] < 1e-5
        assert fact["same streams"]
    assert len({fact["most"] for fact in facts["training"]}) > 1
    assert max(fact["drawn"] for fact in facts["training"]) > 1


@together
@short_of_memory
def test_an_evaluation_that_does_not_fit_is_made_in_halves(facts: dict[str, Any]) -> None:
    for fact in facts["evaluation"]:
        assert fact["most"] in (N_LARGE, *HALVES)
        assert fact["off"] == 0


@together
@short_of_memory
def test_a_task_that_does_not_fit_alone_is_refused_and_the_engine_lives_on(
    facts: dict[str, Any],
) -> None:
    assert facts["alone"]["is out of memory"]
    assert facts["alone"]["afterwards"] == 0


@together
@short_of_memory
def test_a_task_that_fits_alone_is_given_the_memory_that_is_kept(facts: dict[str, Any]) -> None:
    beside_what_is_kept, when_that_is_given_back = facts["kept room"]
    assert not beside_what_is_kept
    assert when_that_is_given_back


@few_architectures
def test_memory_that_was_given_back_is_taken_again(
    architecture: Architecture, stacked: bool
) -> None:
    engine = engine_of(architecture, stacked=stacked)
    expected = engine.train(varied_tasks(architecture, 5))
    engine.release()
    assert_same_bits(engine.train(varied_tasks(architecture, 5)), expected)
    assert not engine.is_lost()


def test_a_last_task_alone_is_given_the_memory_that_halves_took() -> None:
    kept: list[int] = []

    def answered(tasks: Sequence[int]) -> list[int]:
        if len(tasks) > 2 or (len(tasks) == 1 and kept):
            raise MemoryError
        kept.extend(tasks)
        return [*tasks]

    assert Halving(kept.clear).ask(answered, range(5)) == [*range(5)]


@pytest.mark.parametrize("name", NOISY)
def test_an_error_of_another_kind_is_raised_and_noise_is_put_back(name: str) -> None:
    architecture = architecture_named(name)
    engine = engine_of(architecture, stacked=True)
    trained_before = task_of(architecture, 5, networks=(2, 2))
    tasks = [trained_before, *(task_of(architecture, k) for k in range(4))]
    short = Network(np.zeros(3, np.float32))
    tasks[2] = replace(tasks[2], encoders=(short,))
    states = [deepcopy(task.noise) for task in tasks]
    with pytest.raises(RuntimeError, match="equal size"):
        engine.train(tasks)
    for task, before in zip(tasks, states, strict=True):
        assert next_value(task) == next_value(replace(task, noise=before))
    assert engine._halving("train").most is None
