"""Trials in this process, one or several side by side, from their first generation to their end."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

from threadpoolctl import threadpool_limits

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.coevolution.evolution import (
    EngineLostError,
    InProcess,
    News,
    StepsLost,
    TrialFailed,
    first_states,
    run_steps,
)
from aes_lipi.coevolution.records import Record, in_order
from aes_lipi.coevolution.schedule import Schedule
from aes_lipi.coevolution.state import Held, Setup, TrialState
from aes_lipi.coevolution.stopping import is_recorded
from aes_lipi.config import CheckpointInterval, Variant
from aes_lipi.engine.processor import machine_name
from aes_lipi.errors import UserError
from aes_lipi.execution.endings import conclude, failed
from aes_lipi.execution.inputs import inputs_of, prepare
from aes_lipi.execution.messages import Checkpointed, Job, Leaving, Message, Reached, Refused
from aes_lipi.results.checkpoint import Checkpoint, decode_checkpoint, encode_checkpoint
from aes_lipi.results.trial_files import TrialId

_LARGEST_SHARE = 0.05
"""Of a trial's time that checkpoints by the clock may take."""

_ENGINE_LOST = (
    "the GPU has failed ({}); run the same command again: trials go on from where they were last "
    "written down"
)

_Provide = Callable[[Variant], Setup]
"""Gives what a variant's trials share."""

_Notice = Callable[[], bool]
"""Tells whether notice was given."""

EndAfter = Callable[[TrialId, Sequence[Record]], bool]
"""Is told of a recorded generation of a trial, by its records; whether the trial ends there."""


def _from_files(variant: Variant) -> Setup:
    """Data and saved models as this machine's files hold them.

    Raises:
        UserError: a file is missing or unfit, or the engine cannot be had; the message says which.
    """
    return replace(prepare(variant), warm_start=inputs_of(variant).warm_start)


def run_trials(
    jobs: Sequence[Job],
    provide: _Provide = _from_files,
    notice: _Notice = lambda: False,
    end_after: EndAfter | None = None,
) -> Generator[tuple[Job, Message], None, None]:
    """Run trials side by side in this process, each from its checkpoint if it has one.

    Their models are trained as one stack; on the CPU each trial has the bits of itself alone. One
    thread computes, whatever the machine, so that the bits are the same everywhere.

    Args:
        jobs: the trials; where there are several, their variants have the same `engine_key`.
        provide: where data and saved models come from.
        notice: that the process will soon be stopped: the trials are written down, and stop.
        end_after: may end trials; those that repeat what was read before it is not asked about.

    Yields:
        each trial's progress, and last how it ended: `Leaving` after a notice; `Refused` where it
        cannot run through no fault of its own, so that the same would befall the other trials.
    """
    started_at = datetime.now(UTC)
    left = dict(enumerate(jobs))
    try:
        setups = _with_one_engine(jobs, provide)  # loads the libraries whose threads are limited
        trials = [_Trial(*each, started_at, end_after) for each in zip(jobs, setups, strict=True)]
        running, schedules = dict(enumerate(trials)), [each.schedule for each in trials]
        with threadpool_limits(limits=1), ExitStack() as stack:
            if len(jobs) > 1:
                stack.callback(setups[0].engine.release)
            starts = [each.state for each in trials]
            is_wanted = running.__contains__
            for k, news in run_steps(starts, schedules, InProcess(setups), is_wanted):
                yield from ((jobs[k], message) for message in running[k].heard(news))
                if running[k].has_ended:
                    del running[k], left[k]
                elif notice():
                    yield from _left(running.values())
                    return
    except UserError as error:
        yield _one_of(left, jobs), Refused(str(error))
    except EngineLostError as error:
        yield _one_of(left, jobs), Refused(_ENGINE_LOST.format(error))
    except ImportError as error:
        yield _one_of(left, jobs), Refused(_NOT_IMPORTED.format(error))
    except Exception as error:
        yield from ((job, failed(job, error, started_at)) for job in left.values())


_NOT_IMPORTED = (
    "where trials run, a module cannot be imported ({}); install the project with its pins there"
)


def _one_of(left: Mapping[int, Job], jobs: Sequence[Job]) -> Job:
    """A trial that has not ended, as nobody listens to one that has; the first if all have."""
    return [*left.values(), *jobs][0]


def _left(running: Iterable[_Trial]) -> Iterator[tuple[Job, Message]]:
    """What trials say that stop after a notice."""
    for trial in running:
        yield trial.job, trial.written_down()
        yield trial.job, Leaving()


def _with_one_engine(jobs: Sequence[Job], provide: _Provide) -> list[Setup]:
    """What each trial's cells share, with the first one's engine.

    Raises:
        RuntimeError: one engine cannot serve them all; they should not be together.
    """
    known = {variant: provide(variant) for variant in dict.fromkeys(job.variant for job in jobs)}
    first = known[jobs[0].variant]
    if any(each.architecture != first.architecture for each in known.values()):
        raise RuntimeError("trials of several architectures are in one stack")
    engine = first.engine
    return [replace(known[job.variant], engine=engine) for job in jobs]


class _Trial:
    """A trial on its way in this process.

    Attributes:
        job: which.
        state: as it is now.
        schedule: the order of its updates.
        has_ended: whether it is at its end.
    """

    def __init__(
        self, job: Job, setup: Setup, started_at: datetime, end_after: EndAfter | None
    ) -> None:
        self.job, self._setup = job, setup
        self.schedule = job.schedule
        start = (
            Checkpoint(begun(self.schedule, job, setup), started_at, 0.0)
            if job.checkpoint is None
            else resumed(job, setup.architecture)
        )
        self.state, self._started_at = start.state, start.started_at
        self._started = time.perf_counter() - start.wall_time_s
        self._timer = CheckpointTimer(job.interval, start.state.generations)
        is_repeated = job.replay is not None or job.ends_at is not None
        self._end_after = None if is_repeated else end_after
        self.has_ended = False

    def heard(self, news: News[Held]) -> Iterator[Message]:
        """Take in what the loop says of it; what is to be told of that."""
        if isinstance(news, TrialFailed):
            if isinstance(news.error, UserError):  # would end the other trials, too
                raise news.error
            self.has_ended = True
            yield failed(self.job, news.error, self._started_at)
            return
        assert not isinstance(news, StepsLost)  # nothing is lost within a process
        before, self.state = self.state.generations, news
        is_to_end = False
        if news.generations > before:
            yield Reached(news.generations)
            is_to_end = self._is_to_end(news)
        if is_to_end or self.schedule.has_ended(news):
            self.has_ended = True
            yield self._concluded(news)
        elif self._timer.is_due(news.generations):
            yield self.written_down()
            self._timer.made()

    def _is_to_end(self, state: TrialState[Held]) -> bool:
        """Whether the trial is ended from outside, at a recorded generation."""
        variant, t = self.job.variant, state.generations - 1
        if self._end_after is None or not is_recorded(variant, t):
            return False
        records = [each for each in state.records if each.generation == t]
        return self._end_after(self.job.id, sorted(records, key=in_order))

    def _concluded(self, last: TrialState[Held]) -> Message:
        elapsed, at = time.perf_counter() - self._started, self._started_at
        try:
            return conclude(self.job, self._setup, last, started_at=at, wall_time_s=elapsed)
        except Exception as error:
            return failed(self.job, error, at)

    def written_down(self) -> Checkpointed:
        """The trial as it is now."""
        pairs = [network for held in self.state.held.values() for network in held.networks]
        self._setup.engine.fetch(pairs)
        now = Checkpoint(self.state, self._started_at, time.perf_counter() - self._started)
        content = encode_checkpoint(now, self.job.variant, machine_name(), self.job.replay)
        return Checkpointed(self.state.generations, content)


def begun(schedule: Schedule, job: Job, setup: Setup) -> TrialState[Held]:
    """A trial before its first generation."""
    return schedule.start(job.trial, first_states(setup, job.trial, schedule.first_versions))


def resumed(job: Job, architecture: Architecture) -> Checkpoint:
    """A trial as its checkpoint has it.

    Raises:
        UserError: the checkpoint is not one of this trial; the message says where it lies.
    """
    try:
        return decode_checkpoint(job.checkpoint or b"", job.variant, architecture)
    except ValueError as error:
        raise UserError(
            f"checkpoints/variant={job.id.variant}/trial={job.trial:04d}: holds something that is "
            f"no checkpoint of it ({error}); remove it, and run the same command again"
        ) from None


class CheckpointTimer:
    """Tells when a checkpoint is due.

    Args:
        interval: what the user asks for.
        generations: that the trial has behind it.
    """

    def __init__(self, interval: CheckpointInterval, generations: int) -> None:
        self._interval = interval
        self._at_generation = generations
        self._at = self._begun = time.monotonic()
        self._pause_s = interval.seconds

    def is_due(self, generations: int) -> bool:
        """Whether a checkpoint is due; if so, it is being made from now on.

        Args:
            generations: that the trial has behind it.
        """
        every, pause_s = self._interval.generations, self._pause_s
        now = time.monotonic()
        due = (every is not None and generations - self._at_generation >= every) or (
            pause_s is not None and now - self._at >= pause_s
        )
        if due:
            self._at_generation, self._begun = generations, now
        return due

    def made(self) -> None:
        """The checkpoint is made: one that took long is not made again soon."""
        self._at = time.monotonic()
        if self._interval.seconds is not None:
            cost_s = self._at - self._begun
            self._pause_s = max(self._interval.seconds, cost_s / _LARGEST_SHARE)
