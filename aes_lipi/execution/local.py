"""Trials on one machine: in this process, or in worker processes side by side.

A worker runs one trial, or one stack of trials, after another, and has a pipe to the driver. It may
die at any moment: the driver then starts another in its place and gives the trials to it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType

from aes_lipi.coevolution.records import Record
from aes_lipi.config import Variant
from aes_lipi.engine.auto import choose_device, compile_ahead, engine_name, kernel_remarks
from aes_lipi.errors import UserError
from aes_lipi.execution.dry_run import check_feasible
from aes_lipi.execution.inputs import (
    SHARED_FROM,
    SharedDataset,
    architecture_on_hand,
    large_files_shared,
    map_shared,
    rows_on_hand,
    trials_on_gpu,
)
from aes_lipi.execution.limits import limits_of
from aes_lipi.execution.messages import (
    Event,
    Job,
    Opened,
    Remarked,
    RoomLost,
    Said,
    ShutdownAsked,
    Tick,
    now_and_then,
)
from aes_lipi.execution.process import (
    THREAD_VARIABLES,
    Notice,
    one_thread_per_process,
)
from aes_lipi.execution.requirements import needed_memory, worker_memory
from aes_lipi.execution.stacks import (
    can_stack,
    check_trials_per_worker,
    gpu_memory,
    stacks_of,
)
from aes_lipi.execution.study_run import StudyRun
from aes_lipi.execution.trial import EndAfter, run_trials
from aes_lipi.io.streams import spared_streams
from aes_lipi.results.trial_files import TrialId

_LOOK_INTERVAL_S = 0.5
_WORKERS_PER_GPU = 3
"""Processes that share a GPU: while one decides on its next steps, others keep it busy."""


class LocalRunner:
    """Runs trials on this machine.

    Args:
        jobs: processes that work at a time; with 1, everything runs in this one. None for as many
            as there are cores, or as keep a GPU busy where it trains all of them.
        trials_per_worker: trials that an engine for a GPU trains side by side in each; None for as
            many as its memory holds.
        end_after: is asked in this process whether a trial ends after a recorded generation.
        notice: that its trials are to be written down; by default one of its own, which the
            process's signals give.

    Raises:
        UserError: `jobs` is less than 1; give at least 1.
    """

    def __init__(
        self,
        jobs: int | None = 1,
        trials_per_worker: int | None = None,
        end_after: EndAfter | None = None,
        notice: Notice | None = None,
    ) -> None:
        if jobs is not None and jobs < 1:
            raise UserError(f"--jobs {jobs}: at least one trial must run at a time")
        self._jobs = jobs
        self._trials_per_worker = trials_per_worker
        self._end_after = end_after
        self._notice = notice or Notice()

    def check(self, variants: Sequence[Variant]) -> None:
        """Find out whether this machine has what variants need; see `Runner.check`."""
        for variant in variants:
            check_feasible(variant)
        if not any(_trains_on_gpu(variant) for variant in variants):
            check_trials_per_worker(self._trials_per_worker, variants)

    def run(self, jobs: Sequence[Job], study: StudyRun) -> None:
        """Run trials; see `Runner.run`."""
        n_workers, remark, stacks = self._arranged(jobs)
        with self._notice.minded() as was_given:
            if remark:
                study.tell(Remarked(remark))
            if n_workers > 1 and len(stacks) > 1:
                _check_may_have_workers(n_workers)
                workers = min(n_workers, len(stacks))
                _in_workers(stacks, workers, study, was_given, self._end_after)
                return
            here = _ThisProcess()
            study.begin(here, stacks)
            study.tell(Opened(0))
            while study.state.is_busy:
                running = run_trials(here.jobs, notice=was_given, end_after=self._end_after)
                with closing(running) as said:
                    for job, message in said:
                        if was_given():
                            study.tell(ShutdownAsked())
                        study.hear(job.id, message)
                        _tell_of_kernels(study)

    def _arranged(self, todo: Sequence[Job]) -> tuple[int, str, list[tuple[Job, ...]]]:
        """How many processes work, what is to be said of that, and the trials that are together."""
        variants = dict.fromkeys(job.variant for job in todo)
        on_gpu = {variant for variant in variants if _trains_on_gpu(variant)}
        by_default = _WORKERS_PER_GPU if len(on_gpu) == len(variants) else None
        each = max(map(_worker_memory, variants))
        n_workers, remark = limits_of().workers(self._jobs, by_default, len(todo), each)
        sharing = self._jobs or _WORKERS_PER_GPU
        share = gpu_memory() // sharing if on_gpu and self._trials_per_worker is None else 0
        most = {variant: self._most(variant, variant in on_gpu, share) for variant in variants}
        return n_workers, remark, stacks_of(todo, most, sharing if on_gpu else n_workers)

    def _most(self, variant: Variant, on_gpu: bool, share: int) -> int:
        """Trials of a variant that one process may train side by side, in its share of a GPU."""
        if self._trials_per_worker is not None and (on_gpu or can_stack(variant)):
            return self._trials_per_worker
        return trials_on_gpu(variant, share) if on_gpu else 1


def _worker_memory(variant: Variant) -> int:
    """Bytes that a worker process takes for trials of a variant.

    Raises:
        UserError: its data or its engine cannot be had here.
    """
    architecture, n_rows = architecture_on_hand(variant), rows_on_hand(variant)
    needed = needed_memory(variant, architecture, n_rows)
    shares_data = variant.n_dim is None and needed["data"] >= SHARED_FROM
    return worker_memory(needed, engine_name(variant, architecture), shares_data)


def _trains_on_gpu(variant: Variant) -> bool:
    """Whether a GPU of this machine trains stacks of a variant's trials.

    Raises:
        UserError: its data, its engine or its device cannot be had here.
    """
    if variant.device == "cpu" or variant.engine == "dense":
        return False
    name = engine_name(variant, architecture_on_hand(variant))
    return name == "torch" and choose_device(variant) == "cuda"


class _ThisProcess:
    """The one room that this process is; see `Pool`.

    Attributes:
        jobs: the trials that it is to run.
    """

    jobs: Sequence[Job] = ()

    def start(self, room: int, jobs: Sequence[Job]) -> None:
        """See `Pool.start`."""
        self.jobs = jobs

    def leave(self, room: int) -> None:
        """Nothing: who runs them asks for notice."""

    def replace(self, room: int) -> list[Event]:
        """Nothing: if this process is lost, nobody is left to say so."""
        return []


def _tell_of_kernels(study: StudyRun) -> None:
    for line in kernel_remarks():
        study.tell(Remarked(line))


def _check_may_have_workers(n_workers: int) -> None:
    """Whether this process may start others.

    Raises:
        UserError: it is a daemon of multiprocessing, which may not; run one trial at a time.
    """
    if multiprocessing.current_process().daemon:
        raise UserError(
            f"--jobs {n_workers}: this process is a daemon of multiprocessing, which may start no "
            "others; give jobs=1"
        )


def _in_workers(
    stacks: Sequence[tuple[Job, ...]],
    n_workers: int,
    study: StudyRun,
    was_given: Callable[[], bool],
    end_after: EndAfter | None,
) -> None:
    """Run trials in worker processes, each a room."""
    variants = {job.variant for stack in stacks for job in stack}
    compile_ahead(variants)
    with (
        large_files_shared(variants) as datasets,
        closing(_Workers(n_workers, datasets, end_after)) as pool,
    ):
        study.begin(pool, stacks)
        _tell_of_kernels(study)
        for room in range(n_workers):
            study.tell(Opened(room))
        while study.state.is_busy:
            for room in pool.with_news(study.state.busy_rooms, study.timeout_s(_LOOK_INTERVAL_S)):
                pool.hear(room, study)
            study.tell(ShutdownAsked() if was_given() else Tick())


class _Workers:
    """_Worker processes that are rooms; see `Pool`.

    Args:
        n_workers: how many.
        datasets: that they map instead of reading them.
        end_after: answers what they ask of recorded generations; None where they are not to ask.
    """

    def __init__(
        self,
        n_workers: int,
        datasets: Mapping[Hashable, SharedDataset],
        end_after: EndAfter | None,
    ) -> None:
        self._datasets = datasets
        self._end_after = end_after
        self._workers: list[_Worker] = []
        self._any_came_up = False
        try:
            for _ in range(n_workers):
                self._workers.append(self._new())
        except OSError as error:
            self.close()
            raise UserError(
                f"--jobs {n_workers}: so many processes cannot be started ({error.strerror}); give "
                "fewer, or raise the limits (ulimit -n, ulimit -u)"
            ) from None

    def start(self, room: int, jobs: Sequence[Job]) -> None:
        """See `Pool.start`."""
        self._workers[room].assign(jobs)

    def leave(self, room: int) -> None:
        """See `Pool.leave`."""
        self._workers[room].give_notice()

    def replace(self, room: int) -> list[Event]:
        """See `Pool.replace`."""
        self._workers[room].stop()
        try:
            self._workers[room] = self._new()
        except OSError as error:
            raise UserError(
                f"a worker process has ended, and no other can be started ({error.strerror}); give "
                "fewer --jobs, or more memory"
            ) from None
        return [Opened(room)]

    def _new(self) -> _Worker:
        return _Worker(self._datasets, asks=self._end_after is not None)

    def with_news(self, rooms: Sequence[int], timeout_s: float) -> list[int]:
        """Those of some rooms that have something to say, or are dead; waits for one."""
        ready = wait([self._workers[room].connection for room in rooms], timeout=timeout_s)
        return [room for room in rooms if self._workers[room].connection in ready]

    def hear(self, room: int, study: StudyRun) -> None:
        """Hand on a worker's next word, or that it is dead.

        Raises:
            UserError: not even one worker came up, which is no fault of any trial.
        """
        said = self._workers[room].receive()
        if isinstance(said, _CameUp):
            self._any_came_up = True
        elif isinstance(said, _Asks):
            assert self._end_after is not None
            self._workers[room].answer(is_to_end=self._end_after(said.trial, said.records))
        elif said is not None:
            study.hear(*said)
        elif self._any_came_up:
            study.tell(RoomLost(room, self._workers[room].exit_reason))
        else:
            raise UserError(
                f"worker processes do not come up: the first {self._workers[room].exit_reason}; "
                "what it wrote above says why, and --jobs 1 (jobs=1) needs none"
            )

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.stop()


@dataclass(frozen=True)
class _CameUp:
    """A worker's first word: it has loaded what it needs."""


@dataclass(frozen=True)
class _Asks:
    """A worker asks whether a trial is to end after a recorded generation, and waits."""

    trial: TrialId
    records: Sequence[Record]


_PROGRESS_INTERVAL_S = 0.25
_FOR_THE_DRIVER = (signal.SIGINT, signal.SIGTERM)
"""Signals that often come to all processes of a job; the driver tells its workers what to do."""


_BEING_STARTED = threading.Lock()
"""Held while a worker starts: what it takes over is changed for all threads."""


@contextmanager
def _heritage() -> Iterator[None]:
    """What a worker takes over at its start: one thread, and deafness to signals for the driver.

    And not the script that started the study, which it would import and so run again: scripts need
    no guard, and the standard input can be one. The driver is as before afterwards, and hears what
    came meanwhile.
    """
    with _BEING_STARTED:
        before, script = dict(os.environ), sys.modules["__main__"]
        heard = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_DRIVER)
        one_thread_per_process()
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = script
            for variable in THREAD_VARIABLES:
                if variable in before:
                    os.environ[variable] = before[variable]
                else:
                    del os.environ[variable]
            signal.pthread_sigmask(signal.SIG_SETMASK, heard)


class _Worker:
    """The driver's end of a worker process.

    Args:
        datasets: that it maps instead of reading them.
        asks: whether it asks about every recorded generation.
    """

    def __init__(
        self, datasets: Mapping[Hashable, SharedDataset] | None = None, *, asks: bool = False
    ) -> None:
        context: SpawnContext = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(
            target=_work, args=(theirs, datasets or {}, asks), daemon=True
        )
        with _heritage():
            self._process.start()
        theirs.close()

    def assign(self, stack: Sequence[Job]) -> None:
        """Give the worker trials to run beside each other."""
        with suppress(OSError):  # it has just died: `receive` will tell
            self.connection.send(tuple(stack))

    def give_notice(self) -> None:
        """Ask for the trials to be written down, and to stop."""
        with suppress(OSError):  # it has just died: `receive` will tell
            self.connection.send(None)

    def answer(self, *, is_to_end: bool) -> None:
        """Tell the worker what it has asked."""
        with suppress(OSError):  # it has just died: `receive` will tell
            self.connection.send(is_to_end)

    def receive(self) -> Said | _CameUp | _Asks | None:
        """The worker's next word, and of which trial; None if it is dead."""
        try:
            said: Said | _CameUp | _Asks = self.connection.recv()
        except (EOFError, OSError):
            return None
        return said

    def stop(self) -> None:
        """End the process, whatever it is doing; it writes no files."""
        self.connection.close()
        self._process.kill()
        self._process.join()

    @property
    def exit_reason(self) -> str:
        """How a dead worker ended."""
        self._process.join(timeout=5)
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"ended with code {code}"


def _end_with_driver() -> None:
    """End this worker with its driver, whatever it is at: nobody wants its trials any more."""
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)


def _work(connection: Connection, datasets: Mapping[Hashable, SharedDataset], asks: bool) -> None:
    """The life of a worker: run what comes through the pipe until it closes.

    What comes while a trial runs is notice.
    """
    with spared_streams():  # a plug-in may print
        _serve(connection, datasets, asks)


def _serve(connection: Connection, datasets: Mapping[Hashable, SharedDataset], asks: bool) -> None:
    map_shared(datasets)
    threading.Thread(target=_end_with_driver, name="driver", daemon=True).start()
    for each in _FOR_THE_DRIVER:
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FOR_THE_DRIVER)
    with suppress(OSError):  # the driver is gone
        connection.send(_CameUp())
    while True:
        try:
            stack: tuple[Job, ...] | None = connection.recv()
            if stack is None:
                continue  # the trials that were to stop had ended by themselves
            driver = _Driver(connection)
            said = run_trials(
                stack,
                notice=driver.has_given_notice,
                end_after=driver.end_after if asks else None,
            )
            for job, message in now_and_then(said, _PROGRESS_INTERVAL_S):
                connection.send((job.id, message))
        except (EOFError, OSError):  # the driver is gone: nobody wants the trial any more
            return


class _Driver:
    """A worker's end of the pipe while trials run: what comes without being asked for is notice."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._was_given = False

    def has_given_notice(self) -> bool:
        """Whether the trials are to be written down, and to stop."""
        return self._was_given or self._connection.poll()

    def end_after(self, trial: TrialId, records: Sequence[Record]) -> bool:
        """Ask whether a trial is to end after a recorded generation."""
        self._connection.send(_Asks(trial, records))
        answer: bool | None = self._connection.recv()
        while answer is None:
            self._was_given = True
            answer = self._connection.recv()
        return answer
