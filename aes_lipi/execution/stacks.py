"""Trials beside each other in one process, so that their models are trained as one stack."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from queue import SimpleQueue

from threadpoolctl import threadpool_limits

from aes_lipi.autoencoders.networks import Pair
from aes_lipi.coevolution.plan import Setup
from aes_lipi.config import Variant
from aes_lipi.engine.gathered import GatheredEngine, Gathering, Stopped
from aes_lipi.engine.protocol import Engine
from aes_lipi.errors import UserError
from aes_lipi.execution.jobs import Job, Message, Refused
from aes_lipi.execution.notice import Notice, never
from aes_lipi.execution.trial import Provide, from_files, run_trial

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
    try:
        prepared = {variant: provide(variant) for variant in dict.fromkeys(j.variant for j in jobs)}
    except UserError as error:
        yield jobs[0], Refused(str(error))
        return
    told: SimpleQueue[_Told] = SimpleQueue()
    engine = prepared[jobs[0].variant][0].engine
    gathering = Gathering(engine, len(jobs))
    threads = []
    for k, job in enumerate(jobs):
        seat = GatheredEngine(gathering, k)
        arguments = (job, _with_engine(prepared, seat), notice, seat, told)
        threads.append(threading.Thread(target=_live, args=arguments, daemon=True))
    with threadpool_limits(limits=1):
        try:
            for thread in threads:
                thread.start()
            yield from _heard(told, len(threads))
        finally:
            gathering.stop()
            for thread in threads:
                thread.join()


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
        seat.leave()
        told.put((job, None))


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
