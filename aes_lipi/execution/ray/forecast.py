"""How long a generation will take on a cluster, and so how many cells one actor should hold.

The calls that a trial's driver would make are scheduled on so many processors by a discrete-event
simulation, from what their parts were measured to take: a call runs on a free processor once it was
sent, what it needs is there, and its actor has done the calls sent before. Sending is one process's
work and takes a processor, too.
"""

from __future__ import annotations

import heapq
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass

from threadpoolctl import threadpool_limits

from aes_lipi.coevolution.evolution import InProcess, first_states
from aes_lipi.coevolution.schedule import Schedule, runs_freely
from aes_lipi.coevolution.state import Setup, Version
from aes_lipi.coevolution.topology import neighbourhoods
from aes_lipi.config import Variant
from aes_lipi.execution.ray.ring import Groups, calls_of


@dataclass(frozen=True)
class Costs:
    """What the parts of a generation take, in seconds.

    Attributes:
        cell: one cell's generation.
        call: of one call on the actor's side beyond its cells' generations, with the reading and
            writing of the centres that travel.
        send: of one call on the driver's side; one call after another.
        decide: of one cell's plan on the driver's side.
        travel: from the end of a call until another actor can start from its centres, during which
            no processor is busy.
    """

    cell: float
    call: float
    send: float
    decide: float = 0.0
    travel: float = 0.0


@dataclass
class _Call:
    """A call on its way: what it takes, and what is still missing before it can start."""

    generation: int
    group: int
    send_s: float
    seconds: float
    missing: int
    wakes: list[_Call]


def seconds_per_generation(
    variant: Variant,
    cells_per_actor: int,
    processors: float,
    costs: Costs,
    *,
    window: int = 4,
    generations: int = 20,
) -> float:
    """Forecast the time of a generation in the long run.

    Args:
        variant: settings: the ring and the order of its updates.
        cells_per_actor: a divisor of the ring.
        processors: how many work for the trial.
        costs: of the parts.
        window: generations in flight.
        generations: how many are simulated.
    """
    calls = _calls(variant, cells_per_actor, costs, generations)
    ends = _Simulation(calls, processors, costs, window).run()
    first, last = generations // 4, generations - window - 1  # the last ones have all to themselves
    if last <= first:
        return ends[generations - 1] / generations
    return (ends[last] - ends[first]) / (last - first)


def _calls(
    variant: Variant, cells_per_actor: int, costs: Costs, generations: int
) -> list[list[_Call]]:
    """The calls of generations after the first, which is not like the others."""
    lasting = variant.model_copy(
        update={
            "epochs": generations + 1,
            "update_order": "synchronous" if runs_freely(variant) else variant.update_order,
        }
    )
    schedule, groups = Schedule(lasting), Groups.of(lasting, cells_per_actor)
    start = schedule.start(0, dict.fromkeys(schedule.first_versions))
    steps = schedule.ready(start, {}, generations + 1)
    maker: dict[Version, _Call] = {}
    last_of_group: dict[int, _Call] = {}
    rounds = []
    for t in range(generations):
        made = []
        of_generation = [step for step in steps if step.generation == t + 1]
        for group, of_call in calls_of(of_generation, lambda step: groups.home(step.key)):
            needed = {version for step in of_call for version in step.needs}
            before = {id(maker[v]): maker[v] for v in needed if v in maker}
            previous = last_of_group.get(group)
            if previous is not None:
                before[id(previous)] = previous
            n_cells = len(of_call)
            send_s = costs.send + n_cells * costs.decide
            seconds = costs.call + n_cells * costs.cell
            entry = _Call(t, group, send_s, seconds, 1 + len(before), [])  # 1: to be sent
            for other in before.values():
                other.wakes.append(entry)
            maker |= {version: entry for step in of_call for version in step.makes}
            last_of_group[group] = entry
            made.append(entry)
        rounds.append(made)
    return rounds


class _Simulation:
    """Processors, calls, and one driver that sends them.

    Args:
        rounds: the calls of every generation in the order in which they are sent.
        processors: how many there are.
        costs: of travelling.
        window: generations in flight.
    """

    def __init__(
        self, rounds: list[list[_Call]], processors: float, costs: Costs, window: int
    ) -> None:
        self._rounds = rounds
        self._free = max(1, int(processors))
        self._costs = costs
        self._window = window
        self._to_send: deque[_Call] = deque()
        self._sending = False
        self._ready: deque[_Call] = deque()
        self._events: list[tuple[float, int, str, _Call]] = []
        self._n_events = 0
        self._left = [len(calls) for calls in rounds]

    def run(self) -> dict[int, float]:
        """When every generation ends, seconds."""
        ends: dict[int, float] = defaultdict(float)
        for calls in self._rounds[: self._window]:
            self._to_send.extend(calls)
        self._start(0.0)
        while self._events:
            now, _, what, call = heapq.heappop(self._events)
            if what == "sent":
                self._sending = False
                self._free += 1
                self._one_less(call)
            elif what == "arrived":
                self._one_less(call)
            else:
                self._free += 1
                self._done(call, now)
                if self._left[call.generation] == 0:
                    ends[call.generation] = now
                    following = call.generation + self._window
                    if following < len(self._rounds):
                        self._to_send.extend(self._rounds[following])
            self._start(now)
        return ends

    def _done(self, call: _Call, now: float) -> None:
        self._left[call.generation] -= 1
        for other in call.wakes:
            if other.group == call.group or self._costs.travel <= 0:
                self._one_less(other)
            else:
                self._event(now + self._costs.travel, "arrived", other)

    def _one_less(self, call: _Call) -> None:
        call.missing -= 1
        if call.missing == 0:
            self._ready.append(call)

    def _start(self, now: float) -> None:
        """Give free processors work: the driver first, since all wait for it."""
        if self._to_send and not self._sending and self._free:
            self._sending = True
            self._free -= 1
            call = self._to_send.popleft()
            self._event(now + call.send_s, "sent", call)
        while self._free and self._ready:
            call = self._ready.popleft()
            self._free -= 1
            self._event(now + call.seconds, "done", call)

    def _event(self, at: float, what: str, call: _Call) -> None:
        self._n_events += 1
        heapq.heappush(self._events, (at, self._n_events, what, call))


_CALL_S, _SEND_S = 0.0020, 0.0006
"""Processor time of a call of a step beyond the step, at the actor and at the driver, for networks
of the published size (tests/benchmarks/NOTES.md)."""

_SECONDS_PER_BYTE = 1.3e-9
"""Processor time of exchanging centres per byte of a pair's weights (tests/benchmarks/NOTES.md)."""

_DECIDE_S = 2e-5
"""Processor time of one cell's plan at the driver (tests/benchmarks/NOTES.md)."""

SAMPLE_S = 0.2
_CELLS_TO_SIMULATE = 4000
_SIZES_TO_COMPARE = 8


def seconds_per_cell(setup: Setup, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds that one cell takes for a generation without recording, after a first one.

    Args:
        setup: what cells share.
        clock: that the seconds are of.
    """
    schedule, executor = Schedule(setup.variant), InProcess([setup])
    start = schedule.start(0, first_states(setup, 0, schedule.first_versions))
    chosen = schedule.ready(start, {}, 1)[:1]

    def perform() -> None:
        executor.submit(0, chosen, start.held)
        executor.wait(())

    with threadpool_limits(limits=1):
        perform()
        started, rounds = clock(), 0
        while rounds == 0 or clock() - started < SAMPLE_S:
            perform()
            rounds += 1
    return (clock() - started) / rounds


def costs_of(cell_s: float, pair_bytes: int) -> Costs:
    """What the parts of a generation cost.

    Args:
        cell_s: seconds that one cell takes for a generation.
        pair_bytes: of its encoder and decoder.
    """
    return Costs(cell_s, _CALL_S + _SECONDS_PER_BYTE * pair_bytes, _SEND_S, _DECIDE_S)


def choose_cells_per_actor(
    variant: Variant, costs: Costs, processors: float, trials_waiting: int
) -> int:
    """The divisor of a ring that makes a study's trials end soonest.

    With at least as many trials as processors, whole rings side by side leave nothing idle and pay
    for no exchange. With fewer, rings are cut, as far as what runs at the same time saves more than
    the calls cost.

    Args:
        variant: settings of the ring.
        costs: of a generation's parts.
        processors: of the cluster.
        trials_waiting: trials to run.
    """
    n_cells = variant.population_size
    if trials_waiting >= processors:
        return n_cells
    share = max(1.0, processors // max(1, trials_waiting))
    n_steps = len(neighbourhoods(variant))
    generations = max(2, min(20, _CELLS_TO_SIMULATE // n_steps))

    def forecast(k: int) -> float:
        if k == n_cells:
            return n_steps * costs.cell
        return seconds_per_generation(variant, k, share, costs, generations=generations)

    divisors = [k for k in range(1, n_cells + 1) if n_cells % k == 0]
    every = -(-len(divisors) // _SIZES_TO_COMPARE)
    return min({*divisors[::every], n_cells}, key=lambda k: (forecast(k), -k))
