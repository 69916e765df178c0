"""Runs a study's trials on a cluster, as many at once as it holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayTaskError

from aes_lipi.config import Variant
from aes_lipi.errors import UserError
from aes_lipi.execution.dry_run import check_feasible
from aes_lipi.execution.messages import Job, Placed
from aes_lipi.execution.ray.capacity import (
    Capacity,
    capacity_now,
    cpus_now,
    living_nodes,
)
from aes_lipi.execution.ray.connection import ClusterOptions
from aes_lipi.execution.ray.faults import cause_of, unimportable
from aes_lipi.execution.ray.forecast import Costs, choose_cells_per_actor
from aes_lipi.execution.ray.nodes import NodeCheck, facts_of_this_node
from aes_lipi.execution.ray.pool import ClusterPool, Lane, StoredInputs, TrialLayout
from aes_lipi.execution.ray.tasks import RemoteRoom, RemoteTiming
from aes_lipi.execution.stacks import can_stack, check_trials_per_worker, stacks_of
from aes_lipi.execution.study_run import StudyRun


class ClusterRunner:
    """Runs trials on the cluster that this process is connected to.

    Args:
        options: how they are placed.
    """

    def __init__(self, options: ClusterOptions) -> None:
        self._options = options
        self._inputs = StoredInputs()
        self._costs: dict[Variant, Costs] = {}

    def check(self, variants: Sequence[Variant]) -> None:
        """Refuse what this cluster can never run; see `Runner.check`."""
        capacity = capacity_now()
        check_trials_per_worker(self._options.trials_per_worker, variants)
        for variant in variants:
            together = self._options.placement == "cell"
            check_feasible(variant, here=False, memory=capacity.memory(together))
            k = self._options.cells_per_actor
            if self._options.placement == "cell" and k is not None:
                self._layout(variant, _groups_of(variant, k), capacity)
            else:
                self._layout(variant, 0, capacity)

    def run(self, jobs: Sequence[Job], study: StudyRun) -> None:
        """Run trials; see `Runner.run`.

        Whole trials as tasks share the cluster, whatever they reserve; groups of actors keep what
        they reserve, so that each kind of them has the cluster to itself.
        """
        capacity = capacity_now()
        study.tell(Placed(len(living_nodes()), cpus_now()))
        nodes = NodeCheck(facts_of_this_node())
        batches = self._by_layout(jobs, capacity)
        beside: dict[bool | TrialLayout, list[TrialLayout]] = {}
        for layout in sorted(batches, key=lambda each: "GPU" not in each.request):
            beside.setdefault(layout.n_actors == 0 or layout, []).append(layout)
        kinds = {layout: kind for kind, layout in enumerate(batches)}
        for layouts in beside.values():
            stacks = {each: self._stacked(batches[each], each, capacity) for each in layouts}
            lanes = [
                Lane(kinds[each], each, self._options, self._inputs, len(stacks[each]))
                for each in layouts
            ]
            pool = ClusterPool(lanes, nodes, study)
            for layout in layouts:
                study.begin(pool, stacks[layout], kinds[layout])
            pool.run()

    def _by_layout(self, jobs: Sequence[Job], capacity: Capacity) -> dict[TrialLayout, list[Job]]:
        """Trials that are placed alike."""
        cells = {
            variant: self._cells_per_actor(variant, len(jobs), capacity)
            for variant in dict.fromkeys(job.variant for job in jobs)
        }
        batches: dict[TrialLayout, list[Job]] = {}
        for job in jobs:
            k = cells[job.variant]
            n_actors = job.variant.population_size // k if k else 0
            batches.setdefault(self._layout(job.variant, n_actors, capacity), []).append(job)
        return batches

    def _stacked(
        self, jobs: Sequence[Job], layout: TrialLayout, capacity: Capacity
    ) -> list[tuple[Job, ...]]:
        """Trials by themselves, and stacks of trials of one variant where an engine makes them."""
        stacks: list[tuple[Job, ...]] = []
        together: dict[Variant, list[Job]] = {}
        for job in jobs:
            if layout.n_actors == 0 and self._makes_stacks(job.variant):
                together.setdefault(job.variant, []).append(job)
            else:
                stacks.append((job,))
        for variant, of_variant in together.items():
            most = self._options.trials_per_worker or self._room(variant, layout)
            n_tasks = min(
                max(1, capacity.slots(layout.request)), self._options.trials_at_a_time or 2**20
            )
            stacks += stacks_of(of_variant, {variant: most}, n_tasks)
        return stacks

    def _makes_stacks(self, variant: Variant) -> bool:
        """Whether trials of a variant run beside each other in a task: on a GPU, or as asked."""
        asked = self._options.trials_per_worker
        on_gpu = asked is None and variant.device == "cuda"
        return can_stack(variant) and (on_gpu or (asked or 1) > 1)

    def _room(self, variant: Variant, layout: TrialLayout) -> int:
        """Trials of a variant that a task's GPU can train side by side."""
        inputs, gpus = self._inputs.reference(variant), layout.request.get("GPU", 0.0)
        task = RemoteRoom.options(**layout.options)
        return int(_answer(task.remote(variant, inputs, gpus)))

    def _cells_per_actor(self, variant: Variant, trials: int, capacity: Capacity) -> int:
        """Cells that one actor holds, or 0 for the whole ring inside a task."""
        n_cells, asked = variant.population_size, self._options.cells_per_actor
        if self._options.placement == "trial" or (asked is None and self._makes_stacks(variant)):
            return 0
        if asked is not None:
            return n_cells // _groups_of(variant, asked)
        if n_cells == 1:
            return 0
        processors, waiting = capacity.total("CPU"), self._options.trials_at_a_time or trials
        waiting = min(trials, waiting)
        if waiting >= processors:  # whole rings, whatever a generation costs
            return 0
        costs = self._measured(variant, capacity)
        k = choose_cells_per_actor(variant, costs, processors, waiting)
        return 0 if k == n_cells else k

    def _measured(self, variant: Variant, capacity: Capacity) -> Costs:
        """What a generation costs, measured once for variants that train alike."""
        alike = variant.model_copy(update={"prune_method": "None", "rng_seed": 0, "epochs": 1})
        if alike not in self._costs:
            timing = RemoteTiming.options(**self._layout(variant, 0, capacity).options)
            answer = timing.remote(variant, self._inputs.reference(variant))
            self._costs[alike] = _answer(answer)
        return self._costs[alike]

    def _layout(self, variant: Variant, n_actors: int, capacity: Capacity) -> TrialLayout:
        """What a variant's actors or tasks reserve.

        Raises:
            UserError: the cluster can never hold it.
        """
        request = dict(self._options.resources)
        if variant.device == "cuda" and "GPU" not in request:
            request["GPU"] = 1.0
        if "CPU" not in request:
            request["CPU"] = capacity.shared_cpu(max(1, n_actors), request)
        if n_actors and not any(request.values()):
            raise UserError(
                "--cell_resources: an actor must reserve something; give CPU=0.0001 at least"
            )
        what = "a cell actor" if n_actors else "a trial task"
        capacity.check_possible(request, max(1, n_actors), what)
        return TrialLayout(n_actors, tuple(sorted(request.items())))


def _answer(asked: Any) -> Any:
    """What a task answers.

    Raises:
        UserError: a node cannot import what it needs; install the project there.
        Exception: what the task raised, out of Ray's wrapping.
    """
    try:
        return ray.get(asked)
    except RayTaskError as error:
        if (what := unimportable(error)) is not None:
            raise UserError(what) from None
        raise cause_of(error) from None


def _groups_of(variant: Variant, cells_per_actor: int) -> int:
    """Actors of a variant's ring.

    Raises:
        UserError: the cells cannot be shared out evenly.
    """
    n_cells = variant.population_size
    k = min(cells_per_actor, n_cells)
    if n_cells % k:
        divisors = ", ".join(str(d) for d in range(1, n_cells + 1) if n_cells % d == 0)
        raise UserError(
            f"--cells_per_actor {cells_per_actor}: does not divide a population of {n_cells}; "
            f"give one of {divisors}, or auto"
        )
    return n_cells // k
