"""Trials beside each other: as one stack they come to what each of them comes to alone."""

from __future__ import annotations

import dataclasses
import io
import itertools
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from helpers import setup_of, tiny_study
from rings import begun, cells_of
from studies import Killer, Listener, assert_same_study, run_study

from aes_lipi.autoencoders.environments import ENVIRONMENTS
from aes_lipi.cli.running import number_or_auto
from aes_lipi.coevolution.generation import CELL_EVALUATIONS
from aes_lipi.coevolution.state import Setup
from aes_lipi.config import Study, Variant
from aes_lipi.config.variant import METHODS_WITHOUT_AMOUNT, PruneMethod, PruneSchedule
from aes_lipi.engine.protocol import Trained, TrainTask
from aes_lipi.engine.torch import TorchEngine
from aes_lipi.errors import UserError
from aes_lipi.execution.local import LocalRunner
from aes_lipi.execution.messages import (
    Checkpointed,
    Computed,
    Failed,
    Job,
    Leaving,
    Message,
    Refused,
    jobs_of,
)
from aes_lipi.execution.run import Summary
from aes_lipi.execution.run import run_study as run_on
from aes_lipi.execution.stacks import (
    check_trials_per_worker,
    engine_key,
    stacks_of,
    trials_that_fit,
)
from aes_lipi.execution.study import TrialProgress
from aes_lipi.execution.study_run import Watch
from aes_lipi.execution.trial import _with_one_engine, run_trials

METHODS = get_args(PruneMethod)
TOLERANCE = 3e-4
LOSSES = ["min_selection_loss", "min_replacement_loss", "test_loss", "mean_L1", "validation_L1"]
DECISIONS = [
    *("winner", "winner_cell", "prune_event", "learning_rate", "capacity"),
    *("n_pruned_encoder", "n_pruned_decoder", "n_zero_encoder", "n_zero_decoder", "n_compact"),
]


class Counting(TorchEngine):
    """The engine torch, stacked as on a GPU; counts the tasks of every call."""

    def __init__(self, setup: Setup) -> None:
        size = setup.variant.batch_size
        super().__init__(setup.architecture, setup.dataset, size, stacked=True)
        self.trained: list[int] = []

    def train(self, tasks: Sequence[TrainTask]) -> list[Trained]:
        self.trained.append(len(tasks))
        return super().train(tasks)


def stacked(variant: Variant) -> Setup:
    setup = setup_of(variant)
    return dataclasses.replace(setup, engine=Counting(setup))


def single(variant: Variant) -> Setup:
    """The single-model path: one task after another."""
    return setup_of(variant)


def endings(jobs: Sequence[Job]) -> dict[Any, Message]:
    """How trials end that run as one stack."""
    said = run_trials(jobs, stacked)
    return {job.id: message for job, message in said if isinstance(message, Computed | Failed)}


def ending_of(job: Job) -> Message:
    *_, (_, last) = run_trials([job], single)
    return last


def generations(ending: Message) -> pd.DataFrame:
    assert isinstance(ending, Computed), ending
    table: pd.DataFrame = pq.read_table(io.BytesIO(ending.files.generations)).to_pandas()
    return table


def assert_same_course(study: Study) -> None:
    """Every trial decides the same, and has the same losses, in a stack of all and alone.

    A step of a new Adam is nearly a sign: where a gradient is no larger than its rounding, a weight
    moves the other way. That is what the tolerance is for.
    """
    jobs = jobs_of(study)
    found = endings(jobs)
    assert len(found) == len(jobs) > 1
    for job in jobs:
        ours, theirs = generations(found[job.id]), generations(ending_of(job))
        pd.testing.assert_frame_equal(ours[DECISIONS], theirs[DECISIONS], obj=job.label)
        for name in LOSSES:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=TOLERANCE, err_msg=name)


def _slowly(settings: dict[str, Any]) -> Any:
    return pytest.param(settings, marks=pytest.mark.slow, id=" x ".join(settings))


def _pairs() -> list[Any]:
    """Every environment with every cell evaluation; each of them once in a quick test."""
    environments, rules = sorted(ENVIRONMENTS), sorted(CELL_EVALUATIONS)
    longest = max(len(environments), len(rules))
    quick = {(environments[k % len(environments)], rules[k % len(rules)]) for k in range(longest)}
    return [
        pair if pair in quick else pytest.param(*pair, marks=pytest.mark.slow)
        for pair in itertools.product(environments, rules)
    ]


@pytest.mark.parametrize(("environment", "cell_evaluation"), _pairs())
def test_a_stack_of_all_operators_comes_to_what_single_models_come_to(
    environment: str, cell_evaluation: str
) -> None:
    """Six variants in one stack: every environment and cell evaluation."""
    study = tiny_study(
        environment=environment,
        cell_evaluation=cell_evaluation,
        prune_method=list(METHODS),
        trials=1,
        population_size={"ann_canonical": 1, "all_vs_all": 2}.get(cell_evaluation, 3),
        learning_rate=1e-3,
        lexi_threshold=0.4,
    )
    assert_same_course(study)


@pytest.mark.slow
def test_a_stack_of_all_schedules_comes_to_what_single_models_come_to() -> None:
    schedules = [name for name in get_args(PruneSchedule) if name != "gradual"]
    swept = tiny_study(
        prune_schedule=schedules, prune_method=["random", "activation"], epochs=5, trials=1
    )
    assert len({variant.prune_schedule for variant in swept.variants}) == len(schedules)
    assert_same_course(swept)
    assert "random" not in METHODS_WITHOUT_AMOUNT
    assert_same_course(tiny_study(prune_schedule="gradual", prune_method="random"))


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer_state": ["step", "generation", "cell"]},
        _slowly(
            {
                "pruned_weights": ["regrow", "frozen"],
                "prune_unit": ["weight", "node", "hidden_node"],
            }
        ),
        {"update_order": ["sequential", "synchronous", "asynchronous"]},
        _slowly({"topology": ["ring", "grid"], "radius": [0, 1, 2]}),
        _slowly({"solution_concept": ["best_case", "worst_case", "mean_expected_utility"]}),
        _slowly({"cell_data_fraction": [1.0, 0.7], "no_shuffle_data": [True, False]}),
        {"hidden_sizes": [[6, 5, 4]], "batch_size": [7], "n_dim": [9]},
    ],
    ids=" x ".join,
)
def test_a_stack_of_settings_comes_to_what_single_models_come_to(settings: dict[str, Any]) -> None:
    study = tiny_study(
        **{"prune_method": ["random", "activation"], "learning_rate": 1e-3, **settings},
        trials=1,
    )
    assert_same_course(study)


def test_models_of_all_trials_and_variants_are_trained_together() -> None:
    study = tiny_study(
        trials=3, update_order="synchronous", prune_method=["None", "random"], epochs=2
    )
    engines: list[Counting] = []

    def provide(variant: Variant) -> Setup:
        setup = stacked(variant)
        assert isinstance(setup.engine, Counting)
        engines.append(setup.engine)
        return setup

    list(run_trials(jobs_of(study), provide))
    assert engines[0].trained == [24, 24]  # 2 variants x 3 trials x 4 cells, in 2 generations
    assert engines[1].trained == []


def test_trials_of_other_lengths_and_beginnings_share_a_stack() -> None:
    """Of trials that go on from a checkpoint, and of longer ones, all come to what they would."""
    long, short = (tiny_study(trials=1, epochs=epochs, prune_method="random") for epochs in (9, 4))
    [job] = jobs_of(long)
    resumed = dataclasses.replace(job, checkpoint=checkpoint_at(job, 5))
    other = dataclasses.replace(job, trial=1)
    jobs = [resumed, *jobs_of(short), other]
    found = list(run_trials(jobs, stacked))
    ended = [(job, message) for job, message in found if isinstance(message, Computed)]
    assert len(ended) == 3
    for each, message in ended:
        alone = dataclasses.replace(each, checkpoint=None)
        ours, theirs = generations(message), generations(ending_of(alone))
        pd.testing.assert_frame_equal(ours[DECISIONS], theirs[DECISIONS])


def checkpoint_at(job: Job, generation: int) -> bytes:
    """What a trial by itself writes down after so many generations."""
    reached = iter(range(generation + 1))
    for _, message in run_trials([job], single, lambda: next(reached) == generation - 1):
        if isinstance(message, Checkpointed):
            assert message.generations == generation
            return message.content
    raise AssertionError("nothing was written down")


def test_a_trial_that_diverges_fails_alone() -> None:
    """Both have the same engine; only the second one's rate makes its weights infinite."""
    study = tiny_study(
        learning_rate=[1e-3, 10.0],
        learning_rate_sd=0.0,
        environment="VariationalAutoencoderBinaryClustering",
        epochs=12,
    )
    found = endings(jobs_of(study))
    errors = {
        job.variant.learning_rate: message.error
        for job in jobs_of(study)
        if isinstance(message := found[job.id], Failed)
    }
    assert set(errors) == {10.0}
    assert "training diverged" in errors[10.0]


def test_a_request_that_the_engine_refuses_fails_its_trial_alone() -> None:
    jobs = jobs_of(tiny_study(trials=3))

    class Picky(Counting):
        def train(self, tasks: Sequence[TrainTask]) -> list[Trained]:
            if any(self._is_refused(task) for task in tasks):
                raise ArithmeticError("not this one")
            return super().train(tasks)

        def _is_refused(self, task: TrainTask) -> bool:
            return bool((task.encoders[0].genome == refused.genome).all())

    def provide(variant: Variant) -> Setup:
        setup = setup_of(variant)
        return dataclasses.replace(setup, engine=Picky(setup))

    *_, (_, last) = run_trials([jobs[1]], single)
    assert isinstance(last, Computed)
    refused = cells_of(begun(setup_of(jobs[1].variant), 1))[0].pair.encoder
    ended = {
        job.trial: type(message)
        for job, message in run_trials(jobs, provide)
        if isinstance(message, Computed | Failed)
    }
    assert ended == {0: Computed, 1: Failed, 2: Computed}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UserError("no such data"), "no such data"),
        (
            ImportError("No module named 'numba'"),
            "where trials run, a module cannot be imported (No module named 'numba'); install the "
            "project with its pins there",
        ),
    ],
)
def test_what_cannot_be_prepared_is_refused(error: Exception, told: str) -> None:
    def provide(variant: Variant) -> Setup:
        raise error

    jobs = jobs_of(tiny_study())
    assert [message for _, message in run_trials(jobs, provide)] == [Refused(told)]


def test_who_is_refused_late_is_a_trial_that_still_runs() -> None:
    """The first has ended by then, and nobody listens to it any more."""
    short, long = tiny_study(trials=1, epochs=2), tiny_study(trials=1, epochs=6)
    jobs = [*jobs_of(short), *jobs_of(long)]

    class Broken:
        def __init__(self, setup: Setup) -> None:
            self._engine = setup.engine

        def __getattr__(self, name: str) -> Any:
            return getattr(self._engine, name)

        def train(self, tasks: Sequence[TrainTask]) -> list[Trained]:
            if len(tasks) == 1:  # one trial is left
                raise UserError("no more of it")
            return self._engine.train(tasks)

    shared: dict[str, Broken] = {}

    def provide(variant: Variant) -> Setup:
        setup = setup_of(variant)
        return dataclasses.replace(setup, engine=shared.setdefault("it", Broken(setup)))

    said = list(run_trials(jobs, provide))
    assert [job.variant.epochs for job, each in said if isinstance(each, Computed)] == [2]
    job, last = said[-1]
    assert job.variant.epochs == 6
    assert last == Refused("no more of it")


def test_all_trials_are_written_down_at_a_notice() -> None:
    jobs = jobs_of(tiny_study(trials=3, epochs=50))
    given = threading.Event()
    left: dict[int, list[type]] = {}
    for job, message in run_trials(jobs, stacked, given.is_set):
        given.set()
        left.setdefault(job.trial, []).append(type(message))
    assert set(left) == {0, 1, 2}
    assert all(kinds[-2:] == [Checkpointed, Leaving] for kinds in left.values())


# Studies: on the CPU a trial's bits are its own, however many are together


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("alone") / "study"
    assert run_study(torch_study(), directory) == Summary(6, 0)
    return directory


def torch_study(**settings: Any) -> Study:
    study = tiny_study(
        trials=3, engine="torch", prune_method=["random", "lexicase"], epochs=6, **settings
    )
    return study.model_copy(update={"checkpoint_interval": 3})


def run_beside(directory: Path, jobs: int, together: int, observer: Watch | None = None) -> Summary:
    return run_on(torch_study(), directory, LocalRunner(jobs, together), observer)


@pytest.mark.parametrize(("jobs", "together"), [(1, 6), pytest.param(2, 2, marks=pytest.mark.slow)])
def test_a_study_has_the_same_bits_however_many_trials_are_together(
    jobs: int, together: int, alone: Path, tmp_path: Path
) -> None:
    assert run_beside(tmp_path / "s", jobs, together) == Summary(6, 0)
    assert_same_study(alone, tmp_path / "s")


@pytest.mark.slow
def test_killed_workers_cost_no_trial_and_no_bit(alone: Path, tmp_path: Path) -> None:
    killer = Killer(3)
    assert run_beside(tmp_path / "s", 2, 2, killer) == Summary(6, 0)
    assert killer.kills == 0
    assert_same_study(alone, tmp_path / "s")


class _Interrupts(Listener):
    """Interrupts the driver after some generations of all trials."""

    def __init__(self, after: int, by: signal.Signals) -> None:
        self._after, self._by = after, by

    def advanced(self, trial: TrialProgress, generations: int) -> None:
        self._after -= generations
        if self._after <= 0 < self._after + generations:
            os.kill(os.getpid(), self._by)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_interrupted_stack_goes_on_from_its_checkpoints(
    jobs: int, alone: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_beside(tmp_path, jobs, 4, _Interrupts(16, signal.SIGINT))
    resumed: list[int] = []

    class Heard(Listener):
        def resumed(self, trial: TrialProgress, generations: int) -> None:
            resumed.append(generations)

    assert run_beside(tmp_path, jobs, 3, Heard()) == Summary(6, 0)
    assert resumed
    assert_same_study(alone, tmp_path)


# Which trials are together


def test_trials_are_together_where_one_engine_serves_them_and_nowhere_else() -> None:
    study = tiny_study(
        trials=5, engine="torch", latent_size=[2, 3], prune_method=["None", "random"]
    )
    jobs = jobs_of(study)
    stacks = stacks_of(jobs, dict.fromkeys(study.variants, 4), 1)
    assert sorted(map(len, stacks)) == [3, 3, 3, 3, 4, 4]
    for stack in stacks:
        assert len({engine_key(job.variant) for job in stack}) == 1
    assert {job.id for stack in stacks for job in stack} == {job.id for job in jobs}


@pytest.mark.parametrize(
    "swept",
    [
        {"loss": ["l1", "mse"]},
        {"hidden_activation": ["relu", "tanh"]},
        {"output_activation": ["sigmoid", "linear"]},
        {"input_noise": [0.0, 0.2]},
    ],
    ids=str,
)
def test_trials_of_several_losses_or_activations_are_not_together(
    swept: dict[str, Any], tmp_path: Path
) -> None:
    study = tiny_study(trials=1, engine="torch", **swept)
    jobs = jobs_of(study)
    stacks = stacks_of(jobs, dict.fromkeys(study.variants, 4), 1)
    assert [len(stack) for stack in stacks] == [1, 1]
    with pytest.raises(RuntimeError, match="several architectures"):
        _with_one_engine(jobs, setup_of)


@pytest.mark.parametrize(
    ("most", "n_workers", "sizes"),
    [(1, 4, [1] * 7), (100, 1, [7]), (100, 3, [2, 2, 3]), (2, 3, [1, 2, 2, 2]), (100, 9, [1] * 7)],
)
def test_all_workers_get_a_share(most: int, n_workers: int, sizes: list[int]) -> None:
    study = tiny_study(trials=7, engine="torch")
    [variant] = study.variants
    assert sorted(map(len, stacks_of(jobs_of(study), {variant: most}, n_workers))) == sizes


def test_the_memory_of_a_gpu_decides_how_many_trials_are_together() -> None:
    variant = Variant()
    setup = setup_of(variant)
    fits = [
        trials_that_fit(variant, setup.architecture, 1000, free) for free in (1, 2**30, 80 * 2**30)
    ]
    assert fits[0] == 1
    assert 20 < fits[1] < 40
    assert 1_000 < fits[2] < 3_000


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "²", ""])
def test_a_wrong_number_of_trials_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--trials_per_worker"):
        number_or_auto("--trials_per_worker", text)
    assert number_or_auto("--trials_per_worker", "auto") is None
    assert number_or_auto("--trials_per_worker", "12") == 12


@pytest.mark.parametrize(("engine", "told"), [("dense", "dense"), ("auto", r"auto \(on a CPU\)")])
def test_an_engine_that_trains_one_trial_at_a_time_refuses_more(engine: str, told: str) -> None:
    [variant] = tiny_study(engine=engine).variants
    with pytest.raises(UserError, match=f"engine {told} trains one trial.* use --engine torch"):
        check_trials_per_worker(2, [variant])
    check_trials_per_worker(1, [variant])
    check_trials_per_worker(None, [variant])
