"""What is decided about a cluster without one: partition, sizes, flags, discovery, retries."""

from __future__ import annotations

import pytest
from helpers import tiny_variant
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.exceptions import RayTaskError

from aes_lipi.cli.running import number_or_auto
from aes_lipi.coevolution.schedule import Schedule
from aes_lipi.coevolution.state import Version
from aes_lipi.coevolution.topology import neighbourhoods
from aes_lipi.config import Variant
from aes_lipi.errors import UserError
from aes_lipi.execution.messages import Blocked, RoomLost
from aes_lipi.execution.ray.capacity import Capacity
from aes_lipi.execution.ray.connection import parse_resources
from aes_lipi.execution.ray.faults import unimportable
from aes_lipi.execution.ray.forecast import (
    Costs,
    choose_cells_per_actor,
    costs_of,
    seconds_per_generation,
)
from aes_lipi.execution.ray.pool import _loss
from aes_lipi.execution.ray.ring import Groups, calls_of


@settings(deadline=None, max_examples=60)
@given(
    n_groups=st.integers(1, 6),
    cells_per_actor=st.integers(1, 4),
    radius=st.integers(0, 3),
    order=st.sampled_from(["sequential", "synchronous"]),
    t=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_calls_compute_every_step_once_after_what_it_needs(
    *, n_groups: int, cells_per_actor: int, radius: int, order: str, t: int, seed: int
) -> None:
    n_cells = n_groups * cells_per_actor
    variant = tiny_variant(
        population_size=n_cells,
        radius=min(radius, (n_cells - 1) // 2),
        update_order=order,
        rng_seed=seed,
        epochs=5,
    )
    members = neighbourhoods(variant)
    groups, schedule = Groups.of(variant, cells_per_actor), Schedule(variant)
    start = schedule.start(0, dict.fromkeys(schedule.first_versions))
    ahead = schedule.ready(start, {}, t + 1)
    steps = [step for step in ahead if step.generation == t]
    calls = calls_of(steps, lambda step: groups.home(step.key))
    made = {Version("pair", i, t - 1) for i in range(n_cells)}
    for group, of_call in calls:
        own: set[Version] = set()
        for step in of_call:
            assert step.key.number // cells_per_actor == group
            assert set(step.needs) <= made | own
            own.update(step.makes)
        made |= own
    computed = sorted(step.key.number for _, of_call in calls for step in of_call)
    assert computed == list(range(n_cells))
    if order == "synchronous":
        assert len(calls) == n_groups
    reads_of_others = {
        j
        for i in range(n_cells)
        for j in members[i]
        if i // cells_per_actor != j // cells_per_actor
    }
    assert groups.outside == {("pair", j) for j in reads_of_others}


def test_many_trials_take_whole_rings_and_long_generations_a_cell_per_actor() -> None:
    sequential = tiny_variant(population_size=10)
    synchronous = tiny_variant(population_size=10, update_order="synchronous")

    def choice(variant: Variant, cell_s: float, processors: int, trials: int) -> int:
        return choose_cells_per_actor(variant, costs_of(cell_s, 247_000), processors, trials)

    assert choice(sequential, 0.01, 2, 30) == 10
    assert choice(synchronous, 10.0, 16, 1) == 1
    assert choice(synchronous, 0.01, 2, 1) == 5
    assert choice(sequential, 1.0, 2, 1) == 1
    assert choice(sequential, 1e-5, 16, 1) == 10
    large = tiny_variant(population_size=360, update_order="synchronous")
    assert choice(large, 1.0, 360, 1) == 1


def test_a_forecast_is_right_where_it_can_be_reckoned_by_hand() -> None:
    ring = tiny_variant(population_size=12, update_order="synchronous")
    free = Costs(cell=1.0, call=0.0, send=0.0)
    assert seconds_per_generation(ring, 1, 3, free) == pytest.approx(4.0)
    assert seconds_per_generation(ring, 4, 3, free) == pytest.approx(4.0)
    assert seconds_per_generation(ring, 4, 2, free) == pytest.approx(8.0)  # all read all
    assert seconds_per_generation(ring, 12, 9, free) == pytest.approx(12.0)
    dear = Costs(cell=1.0, call=0.5, send=0.0)
    assert seconds_per_generation(ring, 4, 3, dear) == pytest.approx(4.5)
    slow_driver = Costs(cell=1.0, call=0.0, send=2.0)
    assert seconds_per_generation(ring, 1, 100, slow_driver) == pytest.approx(24.0)
    far = Costs(cell=1.0, call=0.0, send=0.0, travel=3.0)
    assert seconds_per_generation(ring, 1, 12, far) == pytest.approx(4.0)
    alone = tiny_variant(population_size=12, radius=0, update_order="synchronous")
    assert seconds_per_generation(alone, 1, 12, far) == pytest.approx(1.0)
    published = tiny_variant(population_size=12)
    assert 2.0 <= seconds_per_generation(published, 1, 12, free) <= 5.0
    assert seconds_per_generation(published, 1, 1, free) == pytest.approx(12.0, rel=0.05)


TWO_NODES = Capacity(({"CPU": 2.0}, {"CPU": 2.0, "GPU": 1.0}))


def test_what_a_cluster_holds() -> None:
    assert TWO_NODES.total("CPU") == 4
    assert TWO_NODES.slots({"CPU": 1.5}) == 2
    assert TWO_NODES.slots({"CPU": 0.1}) == 40
    assert TWO_NODES.slots({"CPU": 0.5, "GPU": 0.25}) == 4
    assert TWO_NODES.slots({"GPU": 2}) == 0
    TWO_NODES.check_possible({"CPU": 2.0}, 2, "a cell actor")
    with pytest.raises(UserError, match="3 actors of 2 CPU each"):
        TWO_NODES.check_possible({"CPU": 2.0}, 3, "a cell actor")


@pytest.mark.parametrize(("n_actors", "share"), [(1, 1.0), (4, 1.0), (5, 0.5), (10, 0.3333)])
def test_actors_share_processors_evenly(n_actors: int, share: float) -> None:
    assert TWO_NODES.shared_cpu(n_actors, {}) == share
    assert TWO_NODES.slots({"CPU": share}) >= n_actors


@pytest.mark.parametrize(
    ("cause", "blocks"),
    [
        (ModuleNotFoundError("No module named 'numba'"), True),
        (RuntimeError("The actor with name CellActor failed to import on the worker. This"), True),
        (RuntimeError("out of luck"), False),
    ],
)
def test_a_node_that_cannot_import_ends_the_study_with_a_line(
    cause: Exception, blocks: bool
) -> None:
    """It would take trial after trial, and have none of them."""
    error: Exception = RayTaskError("run", "a long story", cause)  # type: ignore[no-untyped-call]
    event = _loss(0, error)
    assert isinstance(event, Blocked if blocks else RoomLost)
    told = unimportable(error)
    assert (told is not None) == blocks
    if told is not None:
        assert "install the project with its pins on every node" in told
        assert "\n" not in told


def test_flags() -> None:
    assert number_or_auto("--cells_per_actor", "auto") is None
    assert number_or_auto("--cells_per_actor", "5") == 5
    assert parse_resources("CPU=1, GPU=0.25") == (("CPU", 1.0), ("GPU", 0.25))
    for wrong in ("", "CPU=", "CPU=-1", "CPU=1,CPU=2", "=1", "CPU=nan", "CPU=inf"):
        with pytest.raises(UserError, match="--cell_resources"):
            parse_resources(wrong)
    with pytest.raises(UserError, match=r"give 0\.000100 at least, or 0"):
        parse_resources("CPU=0.00001")
    with pytest.raises(UserError, match="memory is Ray's own to share out"):
        parse_resources("CPU=1,memory=1000")
    for wrong in ("", "0", "-1", "1.5", "²", "9" * 5000):
        with pytest.raises(UserError, match="--cells_per_actor"):
            number_or_auto("--cells_per_actor", wrong)
