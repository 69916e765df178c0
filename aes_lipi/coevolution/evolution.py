"""The loop of all trials, wherever their steps are computed, and the executor of this process."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol

import numpy as np

from aes_lipi.autoencoders.linear_start import with_linear_start
from aes_lipi.autoencoders.network import Network, Pair, initial_genome
from aes_lipi.coevolution.cell import Task
from aes_lipi.coevolution.generation import generation
from aes_lipi.coevolution.records import Record
from aes_lipi.coevolution.schedule import Schedule
from aes_lipi.coevolution.state import (
    Answer,
    Cell,
    H,
    Held,
    NetworkState,
    Part,
    Setup,
    Step,
    TrialState,
    Version,
    joined,
    parts_of,
)
from aes_lipi.randomness import Address, Purpose

Key = tuple[int, Version]
"""A version of one of the trials that run together: the trial's place among them, and which."""


class Executor(Protocol[H]):
    """Computes steps, somewhere."""

    @property
    def ahead(self) -> int:
        """Steps of every network that may be in flight."""
        ...

    @property
    def beside(self) -> int | None:
        """Steps of cells that run freely beside each other; None for as many as there are."""
        ...

    def submit(self, trial: int, steps: Sequence[Step], held: Mapping[Version, H]) -> None:
        """Take steps of a trial.

        Args:
            trial: its place among those that run together.
            steps: each after those it needs.
            held: what they need and no step in flight makes.
        """

    def wait(self, wanted: Collection[Key]) -> Sequence[Answer[H]]:
        """Answers to steps in flight, in any order: once all that are wanted are there, or any.

        Every step is answered, those that wait for a lost one as lost. Of a trial that failed,
        the steps that wait for the failed one may be left out.

        Args:
            wanted: what these steps make first; none for any.
        """
        ...


@dataclass(frozen=True)
class TrialFailed:
    """A trial that an error has ended."""

    error: Exception


@dataclass(frozen=True)
class StepsLost:
    """Steps of a trial were lost, and nothing of it is in flight; it goes on unless left."""

    generations: int


News = TrialState[H] | TrialFailed | StepsLost


def run_steps(
    states: Sequence[TrialState[H]],
    schedules: Sequence[Schedule],
    executor: Executor[H],
    is_wanted: Callable[[int], bool] = lambda k: True,
) -> Iterator[tuple[int, News[H]]]:
    """Compute all steps that are left of trials.

    Args:
        states: where the trials are.
        schedules: of every trial its own.
        executor: that computes their steps.
        is_wanted: whether a trial, by its place, is to go on.

    Yields:
        a trial's place among them, with its state after every wait in which it has changed, which
        can be written down and gone on from; or with what has befallen it.
    """
    trials = {k: _Trial(*each) for k, each in enumerate(zip(states, schedules, strict=True))}
    is_free = any(schedule.is_free for schedule in schedules)
    while True:
        trials = {k: trial for k, trial in trials.items() if is_wanted(k)}
        for k, trial in list(trials.items()):
            try:
                steps = trial.ready(executor)
            except ValueError as error:
                del trials[k]
                yield k, TrialFailed(error)
                continue
            if steps:
                executor.submit(k, steps, trial.held(steps))
        wanted = [(k, version) for k, trial in trials.items() for version in trial.awaited]
        if not wanted:
            return
        heard: dict[int, list[Answer[H]]] = {}
        for answer in executor.wait(() if is_free else wanted):
            heard.setdefault(answer.trial, []).append(answer)
        for k in [k for k in heard if k in trials]:
            for news in trials[k].take(heard[k]):
                if isinstance(news, TrialFailed):
                    del trials[k]
                yield k, news


class _Trial(Generic[H]):
    """A trial in the loop: its state, and what was asked for and answered since."""

    def __init__(self, state: TrialState[H], schedule: Schedule) -> None:
        self._state, self._schedule = state, schedule
        self._in_flight: dict[Version, Step] = {}
        self._early: dict[Version, Answer[H]] = {}  # answered before what they need
        self._lost = False

    def ready(self, executor: Executor[H]) -> list[Step]:
        """Steps to ask for; none after a loss until all that is in flight has been answered."""
        if self._lost:
            return []
        beside, ahead = executor.beside, executor.ahead
        new = self._schedule.ready(self._state, self._in_flight, ahead, beside)
        self._in_flight |= {step.key: step for step in new}
        return new

    def held(self, steps: Sequence[Step]) -> dict[Version, H]:
        """What is there of what steps need."""
        known = dict(self._state.held)
        for answer in self._early.values():
            known |= answer.made or {}
        return {v: known[v] for step in steps for v in step.needs if v in known}

    @property
    def awaited(self) -> list[Version]:
        """What the steps of the oldest generation that is in flight make."""
        open_ones = [step for v, step in self._in_flight.items() if v not in self._early]
        oldest = min((step.generation for step in open_ones), default=0)
        return [step.key for step in open_ones if step.generation == oldest]

    def take(self, answers: Sequence[Answer[H]]) -> Iterator[News[H]]:
        """Hear answers, unless they were heard before; what has become of the trial."""
        for answer in answers:
            at = answer.step.key
            if at not in self._in_flight or at in self._early:
                continue
            if answer.error is not None:
                yield TrialFailed(answer.error)
                return
            if answer.made is None:
                self._lost = True
                del self._in_flight[at]
            else:
                self._early[at] = answer
        usable = self._usable()
        if usable:
            after = self._state.after(usable, self._schedule.needed_later)
            self._state = self._schedule.settled(after)
            yield self._state
        if self._lost and not self.awaited:
            self._lost = False
            yield StepsLost(self._state.generations)

    def _usable(self) -> list[Answer[H]]:
        """Take out, in order, the answers whose steps start from what is known."""
        found: list[Answer[H]] = []
        made: set[Version] = set()
        while going := [
            at
            for at, answer in self._early.items()
            if all(v in made or self._state.has(v) for v in answer.step.needs)
        ]:
            for at in going:
                answer = self._early.pop(at)
                del self._in_flight[at]
                made.update(answer.step.makes)
                found.append(answer)
        return found


# In this process


_Outcome = tuple[Cell, Record] | Exception
"""What a task comes to."""


class EngineLostError(RuntimeError):
    """The device computes no more, and this process cannot recover from it."""


class InProcess:
    """Computes steps in this process, as stacks of what does not wait for each other.

    Args:
        setups: of every trial; all have the same engine.
    """

    ahead = 1
    beside = 1

    def __init__(self, setups: Sequence[Setup]) -> None:
        self._setups = list(setups)
        self._asked: list[tuple[int, Step]] = []
        self._held: dict[Key, Held] = {}

    def submit(self, trial: int, steps: Sequence[Step], held: Mapping[Version, Held]) -> None:
        """Take steps; see `Executor.submit`."""
        self._asked += [(trial, step) for step in steps]
        self._held |= {(trial, version): state for version, state in held.items()}

    def wait(self, wanted: Collection[Key]) -> list[Answer[Held]]:
        """Compute all that was asked for, wave by wave: the one place where it happens.

        Steps of one wave do not need each other, and computing them together changes nothing.

        Raises:
            EngineLostError: the device has failed; end the process, and go on in a new one.
        """
        answers: list[Answer[Held]] = []
        failed: set[int] = set()
        for wave in waves(self._asked):
            left = [(k, step) for k, step in wave if k not in failed]
            tasks = [self._task(k, step) for k, step in left]
            try:
                outcomes: Sequence[_Outcome] = generation(tasks) if tasks else []
            except Exception as error:
                outcomes = _each_alone(left, tasks, error)
            for (k, step), outcome in zip(left, outcomes, strict=True):
                answers.append(self._answer(k, step, outcome))
                if isinstance(outcome, Exception):
                    failed.add(k)
        self._asked, self._held = [], {}
        return answers

    def _answer(self, k: int, step: Step, outcome: _Outcome) -> Answer[Held]:
        if isinstance(outcome, Exception):
            return Answer(k, step, error=outcome)
        made = {version: _part(outcome[0], version.part) for version in step.makes}
        self._held |= {(k, version): state for version, state in made.items()}
        return Answer(k, step, made, outcome[1])

    def _task(self, k: int, step: Step) -> Task:
        rest = (step.members, step.reads, step.plan)
        cells = [self._held[k, version] for version in step.own]
        if isinstance(cells[0], Cell):
            around = (self._held[k, version] for version in step.read)
            pairs = tuple(cell.pair for cell in around if isinstance(cell, Cell))
            return Task(self._setups[k], cells[0], pairs, *rest)
        cell = joined(*(each for each in cells if isinstance(each, NetworkState)))
        numbers = (version.number for version in step.own)
        return Task(self._setups[k], cell, (cell.pair,), *rest, *numbers)


def _each_alone(
    wave: Sequence[tuple[int, Step]], tasks: Sequence[Task], error: Exception
) -> Sequence[_Outcome]:
    """What the tasks of each trial of a wave that failed come to alone: the error is of one.

    Raises:
        EngineLostError: the device has failed.
    """
    if tasks[0].setup.engine.is_lost():
        raise EngineLostError(f"{type(error).__name__}: {error}") from error
    trials = dict.fromkeys(k for k, _ in wave)
    if len(trials) == 1:
        return [error] * len(tasks)
    traceback.clear_frames(error.__traceback__)  # they hold on to memory of the device
    found: dict[int, Iterator[_Outcome]] = {}
    for trial in trials:
        own = [place for place, (k, _) in enumerate(wave) if k == trial]
        alone = [tasks[place] for place in own]
        try:
            found[trial] = iter(generation(alone))
        except Exception as of_trial:
            found[trial] = iter(_each_alone([wave[place] for place in own], alone, of_trial))
    return [next(found[k]) for k, _ in wave]


def waves(steps: Sequence[tuple[int, Step]]) -> list[list[tuple[int, Step]]]:
    """Steps of trials by how many others they wait for; each comes after those it needs."""
    level: dict[Key, int] = {}
    grouped: dict[int, list[tuple[int, Step]]] = {}
    for k, step in steps:
        depth = 1 + max((level[k, v] for v in step.needs if (k, v) in level), default=-1)
        level |= {(k, version): depth for version in step.makes}
        grouped.setdefault(depth, []).append((k, step))
    return [sorted(grouped[n], key=lambda each: (each[0], each[1].key)) for n in sorted(grouped)]


def first_states(setup: Setup, trial: int, versions: Sequence[Version]) -> dict[Version, Held]:
    """The states of some networks before their first step; no others are made.

    Args:
        setup: what the cells share.
        trial: number of the trial.
        versions: which.
    """
    cells = {number: _first_cell(setup, trial, number) for _, number, _ in versions}
    return {v: _part(cells[v.number], v.part) for v in versions}


def _first_cell(setup: Setup, trial: int, number: int) -> Cell:
    """A saved pair, or one of initial weights, drawn or those of PCA.

    What was frozen in a saved one may grow again unless pruned weights stay frozen.
    """
    variant = setup.variant
    if not setup.warm_start:
        source = 0 if variant.identical_initial_networks else number
        rng = Address(variant.rng_seed, trial, source).stream(Purpose.INITIAL_WEIGHTS)
        made = setup.architecture
        genomes = initial_genome(made.encoder, rng), initial_genome(made.decoder, rng)
        if (principal := setup.principal) is not None:
            axes = principal.axes * np.sqrt(principal.variances)[:, None]
            genomes = with_linear_start(made, genomes, principal.mean, axes)
        return Cell(Pair(*(Network(genome) for genome in genomes)))
    pair = setup.warm_start[number % len(setup.warm_start)]
    if variant.pruned_weights == "frozen":
        return Cell(pair)
    parts = (pair.encoder, pair.decoder)
    return Cell(Pair(*(Network(each.genome, None, each.n_pruned) for each in parts)))


def _part(cell: Cell, part: Part) -> Held:
    return cell if part == "pair" else parts_of(cell, part)[part]
