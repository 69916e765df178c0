"""Trials beside each other in one process, so that their models are trained as one stack."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from queue import SimpleQueue

from threadpoolctl import threadpool_limits

from aes_lipi.autoencoders.network import Pair
from aes_lipi.coevolution.plan import Setup
from aes_lipi.config import Variant
from aes_lipi.engine.gathered import GatheredEngine, Gathering, Stopped
from aes_lipi.engine.protocol import Engine
from aes_lipi.errors import UserError
from aes_lipi.execution.job import Job, Message, Refused
from aes_lipi.execution.notice import Notice, never
from aes_lipi.execution.trial import Provide, failed, from_files, run_trial

LOST = (
    "the GPU has failed ({}); run the same command again: trials go on from where they were last "
    "written down"
)

Prepared = tuple[Setup, Sequence[Pair]]

_Told = tuple[Job, Message | None]
"""What a trial says; None when it has ended."""


def run_together(
    jobs: Sequence[Job], provide: Provide = from_files, notice: Notice = never
) -> Generator[tuple[Job, Message], None, None]:
    """Run a trial by itself, or several as `run_stack` does."""
    if len(jobs) > 1:
        yield from run_stack(jobs, provide, notice)
        return
    for message in run_trial(jobs[0], provide, notice):
        yield jobs[0], message


def run_stack(
    jobs: Sequence[Job], provide: Provide = from_files, notice: Notice = never
) -> Iterator[tuple[Job, Message]]:
    """Run trials beside each other, each from its checkpoint if it has one.

    Every trial goes its own way in a thread of its own, as it would alone, and they share an
    engine, which answers all that ask at the same time as one stack.

    Args:
        jobs: the trials; their variants have the same `engine_key`.
        provide: where data and saved models come from.
        notice: that the process will soon be stopped: the trials are written down, and stop.

    Yields:
        what each trial says; see `run_trial`.
    """
    started_at = datetime.now(UTC)
    try:
        prepared = {variant: provide(variant) for variant in dict.fromkeys(j.variant for j in jobs)}
    except UserError as error:
        yield jobs[0], Refused(str(error))
        return
    except Exception as error:
        yield from ((job, failed(job, error, started_at)) for job in jobs)
        return
    engine = prepared[jobs[0].variant][0].engine
    gathering = Gathering(engine, len(jobs))
    told: SimpleQueue[_Told] = SimpleQueue()
    with ExitStack() as stack:
        stack.callback(engine.release)
        stack.enter_context(threadpool_limits(limits=1))
        _start(stack, gathering.serve)
        stack.callback(gathering.stop)
        for k, job in enumerate(jobs):
            seat = GatheredEngine(gathering, k)
            _start(stack, _live, job, _with_engine(prepared, seat), notice, seat, told)
        stack.callback(gathering.stop)  # before the threads are waited for
        yield from _heard(told, len(jobs))
        if gathering.lost is not None:
            yield jobs[0], Refused(LOST.format(gathering.lost))


def _start(stack: ExitStack, function: Callable[..., None], *arguments: object) -> None:
    """Run a function in a thread that has ended when the stack is unwound."""
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    stack.callback(thread.join)


def _live(
    job: Job, provide: Provide, notice: Notice, seat: GatheredEngine, told: SimpleQueue[_Told]
) -> None:
    """The life of a trial in its thread."""
    try:
        for message in run_trial(job, provide, notice):
            told.put((job, message))
    except Stopped:
        pass
    finally:
        told.put((job, None))
        seat.leave()


def _heard(told: SimpleQueue[_Told], n_trials: int) -> Iterator[tuple[Job, Message]]:
    """What trials say, until all have ended."""
    while n_trials:
        job, message = told.get()
        if message is None:
            n_trials -= 1
        else:
            yield job, message


def _with_engine(prepared: Mapping[Variant, Prepared], engine: Engine) -> Provide:
    """The same, but that another engine computes."""

    def provide(variant: Variant) -> Prepared:
        setup, warm = prepared[variant]
        return replace(setup, engine=engine), warm

    return provide
