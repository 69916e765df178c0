"""One loop over any executor: the same trial in the end, however and whenever answers come."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
import pytest
from helpers import examples, tiny_variant
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rings import begun, course_of, evolved, records_of

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.network import NetworkLayout, Pair, initial_genome
from aes_lipi.coevolution.evolution import (
    InProcess,
    Key,
    StepsLost,
    TrialFailed,
    first_states,
    run_steps,
)
from aes_lipi.coevolution.records import RecordLog
from aes_lipi.coevolution.result import judge, pairs_of
from aes_lipi.coevolution.schedule import Schedule
from aes_lipi.coevolution.state import Answer, Cell, Held, Reads, Setup, Step, TrialState, Version
from aes_lipi.execution.inputs import prepare
from aes_lipi.results.checkpoint import Checkpoint, decode_checkpoint, encode_checkpoint

State = TrialState[Held]

EPOCHS = 5
AT = datetime(2025, 1, 1, tzinfo=UTC)
PATIENCE = {"epochs": 14, "record_interval": 2, "patience": 2, "learning_rate": 0.1}
CASES: dict[str, dict[str, Any]] = {
    "sequential": {"prune_method": "random", "prune_probability": 0.5},
    "synchronous": {"update_order": "synchronous", "prune_method": "random"},
    "pte": {"cell_evaluation": "lipi_simple_pte", "prune_method": "activation"},
    "epoch-node": {"cell_evaluation": "epoch-node", "optimizer_state": "cell"},
    "baseline": {
        "cell_evaluation": "ann_canonical",
        "prune_method": "activation",
        "prune_probability": 0.2,
    },
    "masks": {"prune_method": "magnitude", "pruned_weights": "frozen", "prune_probability": 0.3},
    "all stored": {"store_generations": "all", "record_interval": 2},
    "stored": {"store_generations": "recorded", "population_size": 5},
    "without space": {
        "cell_evaluation": "all_vs_all",
        "population_size": 3,
        "optimizer_state": "cell",
        "prune_method": "random",
        "prune_probability": 0.2,
    },
    "grid": {"population_size": 9, "topology": "grid"},
    "star": {"population_size": 5, "topology": "star", "prune_method": "random"},
    "one way": {
        **{"population_size": 5, "graph": "1 3;2;0;4 1 2;3", "update_order": "synchronous"},
        **{"cell_evaluation": "epoch-node", "optimizer_state": "cell"},
    },
    "patience": {
        **PATIENCE,
        **{"learning_rate_policy": "plateau", "plateau_patience": 1, "optimizer_state": "cell"},
    },
    "patience without space": {
        **PATIENCE,
        **{"cell_evaluation": "all_vs_all", "population_size": 3},
    },
}
FREE = {"update_order": "asynchronous", "prune_method": "random"}
STOPPING = {name for name in CASES if "patience" in CASES[name]}


@cache
def setup(name: str) -> Setup:
    settings = CASES.get(name, FREE | (PATIENCE if "patience" in name else {}))
    return prepare(tiny_variant(**{"epochs": EPOCHS, "engine": "dense", **settings}))


def content(state: State, setup: Setup) -> bytes:
    """All bits of a state, times aside, as a checkpoint."""
    still = TrialState(
        *(state.trial, dict(sorted(state.held.items())), dict(sorted(state.rates.items()))),
        *(RecordLog(records_of(state)), state.watch),
    )
    return encode_checkpoint(Checkpoint(still, AT, 1.5), setup.variant, "some processor")


@cache
def undisturbed(name: str, trial: int = 2) -> bytes:
    return content(evolved(setup(name), trial), setup(name))


class Unruly:
    """Answers in any order, some at a time, says things twice, and loses answers."""

    beside = None

    def __init__(
        self, setup: Setup, rng: random.Random, losing: float = 0.2, ahead: int = 3
    ) -> None:
        self.ahead, self._setup, self._rng, self._losing = ahead, setup, rng, losing
        self._todo: list[tuple[Step, Mapping[Version, Held]]] = []
        self._made: dict[Version, Held] = {}
        self._gone: set[Version] = set()
        self._said: list[Answer[Held]] = []

    def submit(self, trial: int, steps: Sequence[Step], held: Mapping[Version, Held]) -> None:
        self._todo += [(step, held) for step in steps]
        coming = {version for step, _ in self._todo for version in step.makes}
        assert all(v in held or v in coming for step in steps for v in step.needs)

    def wait(self, wanted: Collection[Key]) -> list[Answer[Held]]:
        self._rng.shuffle(self._todo)
        answers = [self._next() for _ in range(self._rng.randint(1, len(self._todo)))]
        self._said += answers
        again = self._rng.sample(self._said, min(2, len(self._said)))
        answers += [answer for answer in again if answer.made]
        self._rng.shuffle(answers)
        return answers

    def _next(self) -> Answer[Held]:
        step, held = next(each for each in self._todo if self._can(*each))
        self._todo.remove((step, held))
        if (set(step.needs) - held.keys()) & self._gone or self._rng.random() < self._losing:
            self._gone |= set(step.makes)
            return Answer(0, step)
        executor = InProcess([self._setup])
        executor.submit(0, [step], {**self._made, **held})
        [answer] = executor.wait(())
        assert answer.made is not None
        self._made |= answer.made
        self._gone -= answer.made.keys()
        return answer

    def _can(self, step: Step, held: Mapping[Version, Held]) -> bool:
        return all(v in held or v in self._made or v in self._gone for v in step.needs)


def states_of(
    setup: Setup, executor: Any, replay: Reads | None = None, start: State | None = None
) -> list[State]:
    """The states that come, across losses; a trial that ends otherwise fails the test."""
    first = begun(setup, 2) if start is None else start
    found = []
    for _, news in run_steps([first], [Schedule(setup.variant, replay)], executor):
        assert not isinstance(news, TrialFailed), news
        if not isinstance(news, StepsLost):
            found.append(news)
    return found


@st.composite
def graphs(draw: st.DrawFn) -> str:
    """Of two to five cells, each of which reads or is read; edges may go one way."""
    n = draw(st.integers(2, 5))
    others = [[j for j in range(n) if j != i] for i in range(n)]
    rows = [draw(st.lists(st.sampled_from(each), unique=True, max_size=3)) for each in others]
    read = {j for row in rows for j in row}
    whole = [row or ([] if i in read else others[i][:1]) for i, row in enumerate(rows)]
    return ";".join(" ".join(map(str, row)) for row in whole)


UNHURRIED = settings(deadline=None, suppress_health_check=list(HealthCheck))


@settings(UNHURRIED, max_examples=examples(12))
@given(
    st.sampled_from(sorted(CASES)),
    st.integers(0, 2**32),
    st.sampled_from([1, 2, 5]),
    st.sampled_from([0.0, 0.3]),
)
def test_any_executor_comes_to_the_same_state(
    name: str, seed: int, ahead: int, losing: float
) -> None:
    states = states_of(setup(name), Unruly(setup(name), random.Random(seed), losing, ahead))
    assert content(states[-1], setup(name)) == undisturbed(name)


@settings(UNHURRIED, max_examples=examples(4))
@given(
    graphs(),
    st.sampled_from(["sequential", "synchronous", "epoch-node", "free"]),
    st.sampled_from(["dense", "torch"]),
    st.integers(0, 2**32),
)
def test_any_graph_has_the_same_bits_by_any_executor(
    graph: str, name: str, engine: str, seed: int
) -> None:
    """Also beside another trial, written down on the way, or, where cells ran freely, replayed."""
    known = CASES.get(name, FREE)
    shape = {"graph": graph, "population_size": graph.count(";") + 1}
    of = prepare(tiny_variant(**{"epochs": EPOCHS, "engine": engine, **known, **shape}))
    unruly, schedule = Unruly(of, random.Random(seed)), Schedule(of.variant)
    [*_, last] = states = states_of(of, unruly)
    assert all(schedule.members[r.cell][r.winner] == r.winner_cell for r in last.records)
    if name == "free":
        replay = padded_reads(last)
        assert content(states_of(of, InProcess([of]), replay)[-1], of) == content(last, of)
        return
    beside = [begun(of, 2), begun(of, 3)]
    ended = dict(run_steps(beside, [schedule] * 2, InProcess([of] * 2)))
    assert isinstance(ended[0], TrialState)
    assert content(ended[0], of) == content(last, of)
    middle = content(states[len(states) // 2], of)
    read = decode_checkpoint(middle, of.variant, of.architecture).state
    assert content(course_of(of, read)[-1] if read.generations < EPOCHS else read, of) == content(
        last, of
    )


def padded_reads(state: State) -> Reads:
    rows = [record.read_generations for record in records_of(state)]
    longest = max(map(len, rows))
    table = [[*row, *[-1] * (longest - len(row))] for row in rows]
    return np.array(table, np.int32).reshape(EPOCHS, -1, longest)


@pytest.mark.parametrize("name", sorted(STOPPING))
def test_patience_goes_back_to_the_best_generation(name: str) -> None:
    """The answer is that of a trial that ends there, decided by the records alone."""
    a_setup, start = setup(name), begun(setup(name), 2)
    *before, last = course_of(a_setup, start)
    records, variant = records_of(last), a_setup.variant
    lowest = {
        t: min(r.validation_loss or 0 for r in records if r.generation == t)
        for t in range(0, last.generations, 2)
    }
    best = min(lowest, key=lambda t: lowest[t])
    assert 0 < best == last.generations - 1 - 2 * 2 < variant.epochs - 1
    result, pairs = judge(last, records, a_setup)
    assert (result.epochs_run, result.stopped) == (last.generations, "patience")
    assert result.best_generation == best
    then = next(state for state in before if state.generations == best + 1)
    there = [each for each in records if each.generation == best]
    for pair, known in zip(pairs, pairs_of(then, there, best), strict=True):
        np.testing.assert_array_equal(pair.encoder.genome, known.encoder.genome)
        np.testing.assert_array_equal(pair.decoder.genome, known.decoder.genome)


def made_up_reads(cells: int, seed: int) -> Reads:
    lag = np.random.default_rng(seed).integers(3, size=(EPOCHS, cells, 3))
    lag[:, :, 0] = 0
    reads = np.maximum(np.arange(EPOCHS)[:, None, None] - 1 - lag, -1)
    return np.maximum.accumulate(reads.astype(np.int32), axis=0)


@settings(UNHURRIED, max_examples=examples(5))
@given(st.integers(0, 9), st.integers(0, 2**32), st.sampled_from([1, 2, 5]))
def test_a_replay_by_any_executor(which: int, seed: int, ahead: int) -> None:
    a_setup, replay = setup("free"), made_up_reads(4, which)
    here = course_of(a_setup, begun(a_setup, 2), replay)
    reads = np.array([record.read_generations for record in records_of(here[-1])])
    assert np.array_equal(reads.reshape(replay.shape), replay)
    elsewhere = states_of(a_setup, Unruly(a_setup, random.Random(seed), 0.2, ahead), replay)
    assert content(elsewhere[-1], a_setup) == content(here[-1], a_setup)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["free", "free with patience"])
def test_what_ran_freely_is_replayed(name: str, seed: int) -> None:
    a_setup = setup(name)
    free = states_of(a_setup, Unruly(a_setup, random.Random(seed)))[-1]
    records = records_of(free)
    assert max(record.staleness for record in records) > 0
    reads = np.array([record.read_generations for record in records], np.int32)
    replay = reads.reshape(free.generations, 4, 3)
    for executor in (InProcess([a_setup]), Unruly(a_setup, random.Random(seed + 1))):
        assert content(states_of(a_setup, executor, replay)[-1], a_setup) == content(free, a_setup)


def test_reads_that_wait_for_each_other_end_their_trial_alone() -> None:
    a_setup = setup("free")
    circle = np.broadcast_to(np.arange(EPOCHS, dtype=np.int32)[:, None, None], (EPOCHS, 4, 3))
    schedules = [Schedule(a_setup.variant, circle), Schedule(a_setup.variant)]
    executor = InProcess([a_setup, a_setup])
    ended = dict(run_steps([begun(a_setup, 2), begun(a_setup, 2)], schedules, executor))
    assert isinstance(ended[0], TrialFailed)
    assert "in a circle" in str(ended[0].error)
    assert isinstance(ended[1], TrialState)
    assert ended[1].generations == EPOCHS


@settings(UNHURRIED, max_examples=examples(10))
@given(
    st.sampled_from(
        [
            *("sequential", "synchronous", "epoch-node", "masks", "without space", "free"),
            *sorted(STOPPING),
        ]
    ),
    st.integers(0, 2**32),
)
def test_every_state_is_a_checkpoint(name: str, seed: int) -> None:
    """Also one in the middle of generations; and no more is held than the two newest and one."""
    a_setup, rng = setup(name), random.Random(seed)
    states = states_of(a_setup, Unruly(a_setup, rng))
    held = 3 if name in STOPPING else 2
    assert max(len(state.held) for state in states) <= held * len(states[0].newest)
    state = rng.choice(states)
    read = decode_checkpoint(content(state, a_setup), a_setup.variant, a_setup.architecture)
    assert content(read.state, a_setup) == content(state, a_setup)
    assert read.state.watch == state.watch
    if not Schedule(a_setup.variant).has_ended(state) and name != "free":
        [*_, last] = course_of(a_setup, read.state)
        assert content(last, a_setup) == undisturbed(name)


@pytest.mark.parametrize("name", ["sequential", "without space", "patience"])
def test_trials_side_by_side_have_the_bits_of_each_alone(name: str) -> None:
    a_setup = setup(name)
    starts = [begun(a_setup, trial) for trial in range(3)]
    ended = dict(run_steps(starts, [Schedule(a_setup.variant)] * 3, InProcess([a_setup] * 3)))
    for trial, state in ended.items():
        assert isinstance(state, TrialState)
        assert content(state, a_setup) == undisturbed(name, trial)


def test_a_trial_that_diverges_ends_alone() -> None:
    a_setup = setup("sequential")
    starts = [begun(a_setup, trial) for trial in range(3)]
    starts[1] = with_a_weight_that_is_no_number(starts[1], Version("pair", 2, -1))
    ended = dict(run_steps(starts, [Schedule(a_setup.variant)] * 3, InProcess([a_setup] * 3)))
    assert isinstance(ended[1], TrialFailed)
    assert "training diverged" in str(ended[1].error)
    for trial in (0, 2):
        state = ended[trial]
        assert isinstance(state, TrialState)
        assert content(state, a_setup) == undisturbed("sequential", trial)


def with_a_weight_that_is_no_number(state: State, at: Version) -> State:
    cell = state.held[at]
    assert isinstance(cell, Cell)
    encoder = cell.pair.encoder
    bad = encoder.with_genome(np.full_like(encoder.genome, np.nan))
    held = {**state.held, at: Cell(Pair(bad, cell.pair.decoder))}
    return dataclasses.replace(state, held=held)


def test_only_the_networks_asked_for_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def draw(layout: NetworkLayout, rng: np.random.Generator) -> Float32:
        drawn.append(layout.size)
        return initial_genome(layout, rng)

    monkeypatch.setattr("aes_lipi.coevolution.evolution.initial_genome", draw)
    a_setup = setup("grid")
    whole = begun(a_setup)
    assert len(drawn) == 2 * 9
    drawn.clear()
    asked = [Version("pair", 4, -1), Version("pair", 7, -1)]
    found = first_states(a_setup, 0, asked)
    assert len(drawn) == 2 * 2
    for version in asked:
        for ours, theirs in zip(found[version].networks, whole.held[version].networks, strict=True):
            np.testing.assert_array_equal(ours.genome, theirs.genome)
