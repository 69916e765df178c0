"""The pruning schedules of algorithm section 6 at points computed by hand."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aes_lipi.coevolution.schedule import make_plan
from aes_lipi.coevolution.topology import neighbourhoods
from aes_lipi.config import Variant
from aes_lipi.pruning.schedules import SCHEDULES, prune_amount, prune_probability
from aes_lipi.randomness import Address

# p = 1/2, n = 3, T = 4, at t = 0, 1, 2, 3, 4.
BY_HAND: dict[str, list[float]] = {
    "fixed": [1 / 2, 1 / 2, 1 / 2, 1 / 2, 1 / 2],
    "increase": [0, 1 / 8, 2 / 8, 3 / 8, 4 / 8],
    "decrease": [1, 7 / 8, 6 / 8, 5 / 8, 4 / 8],
    "population": [0, 1 / 24, 2 / 24, 3 / 24, 4 / 24],
    # (1 - exp(-t/2)) / 2: e^-0.5 = .60653066, e^-1 = .36787944, e^-1.5 = .22313016,
    # e^-2 = .13533528
    "exponential": [0, 0.19673467, 0.31606028, 0.38843492, 0.43233236],
    # 0.75 T = 3
    "final_n": [0, 0, 0, 1 / 2, 1 / 2],
    "prune_after": [0, 0, 0, 0, 1 / 2],
    # from t = 0 on; the amount is what grows
    "gradual": [1 / 2, 1 / 2, 1 / 2, 1 / 2, 1 / 2],
}
# p = 1/2, n = 1, T = 3, at t = 0, 1, 2, 3: the canonical baseline of 4 epochs, sound.
SOUND_CANONICAL: dict[str, list[float]] = {
    "fixed": [1 / 2, 1 / 2, 1 / 2, 1 / 2],
    "increase": [0, 1 / 6, 2 / 6, 3 / 6],
    "decrease": [1, 5 / 6, 4 / 6, 3 / 6],
    "population": [0, 1 / 6, 2 / 6, 3 / 6],
    # (1 - exp(-2t/3)) / 2: e^-2/3 = .51341712, e^-4/3 = .26359714, e^-2 = .13533528
    "exponential": [0, 0.24329144, 0.36820143, 0.43233236],
    # 0.75 T = 2.25
    "final_n": [0, 0, 0, 1 / 2],
    "prune_after": [0, 0, 0, 1 / 2],
    "gradual": [1 / 2, 1 / 2, 1 / 2, 1 / 2],
}


def variant(**given: Any) -> Variant:
    return Variant.model_validate({"prune_method": "random", "prune_probability": 0.5} | given)


def probabilities(of: Variant, n_solutions: int) -> list[float]:
    return [prune_probability(of, t, n_solutions) for t in range(of.epochs)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedule_on_the_ring(schedule: str) -> None:
    ring = variant(prune_schedule=schedule, epochs=5)
    assert probabilities(ring, 3) == pytest.approx(BY_HAND[schedule], abs=1e-8)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_published_canonical_baseline_stops_one_generation_before_the_horizon(
    schedule: str,
) -> None:
    # T = epochs = 4, so the same points but for the last; n = 1 instead of 3.
    baseline = variant(cell_evaluation="ann_canonical", prune_schedule=schedule, epochs=4)
    n_times = 3 if schedule == "population" else 1
    expected = [n_times * value for value in BY_HAND[schedule][:4]]
    assert probabilities(baseline, 1) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_sound_canonical_baseline_ends_at_the_horizon(schedule: str) -> None:
    baseline = variant(
        cell_evaluation="ann_canonical",
        prune_schedule=schedule,
        epochs=4,
        schedule_horizon="sound",
    )
    assert probabilities(baseline, 1) == pytest.approx(SOUND_CANONICAL[schedule], abs=1e-8)


@pytest.mark.parametrize("horizon", ["published", "sound"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_horizon_has_one_reading_on_the_ring(schedule: str, horizon: str) -> None:
    ring = variant(prune_schedule=schedule, epochs=5, schedule_horizon=horizon)
    assert probabilities(ring, 3) == pytest.approx(BY_HAND[schedule], abs=1e-8)


@pytest.mark.parametrize("epochs", [1, 2, 4, 5, 400])
def test_published_prune_after_never_fires_in_the_canonical_baseline(epochs: int) -> None:
    baseline = variant(
        cell_evaluation="ann_canonical",
        prune_schedule="prune_after",
        prune_probability=1.0,
        epochs=epochs,
    )
    assert not any(probabilities(baseline, 1))
    sound = baseline.model_copy(update={"schedule_horizon": "sound"})
    assert probabilities(sound, 1) == [0.0] * (epochs - 1) + [1.0]


@pytest.mark.parametrize("cell_evaluation", ["lipi_simple", "ann_canonical"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_single_epoch_has_special_values(schedule: str, cell_evaluation: str) -> None:
    single = variant(
        cell_evaluation=cell_evaluation,
        prune_schedule=schedule,
        epochs=1,
        prune_probability=0.3,
        schedule_horizon="sound",
    )
    special = {"fixed": 0.3, "final_n": 0.3, "prune_after": 0.3, "decrease": 1.0}
    special["gradual"] = 0.3
    assert prune_probability(single, 0, 3) == special.get(schedule, 0.0)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_single_epoch_of_the_published_canonical_baseline_is_the_first_of_horizon_one(
    schedule: str,
) -> None:
    # T = epochs = 1 and t = 0: no schedule has begun but `fixed`, `decrease` and `gradual`.
    single = variant(
        cell_evaluation="ann_canonical", prune_schedule=schedule, epochs=1, prune_probability=0.3
    )
    expected = {"fixed": 0.3, "decrease": 1.0, "gradual": 0.3}.get(schedule, 0.0)
    assert prune_probability(single, 0, 1) == expected


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("t", [0, 1, 4])
def test_without_a_method_nothing_is_pruned(schedule: str, t: int) -> None:
    unpruned = variant(prune_method="None", prune_schedule=schedule, epochs=5)
    assert prune_probability(unpruned, t, 3) == 0.0


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # T = 4; final_n begins at t >= 0.5 * 4, 0 and 4; rate 1: (1 - e^-t/4)/2;
        # decrease from p: (1 - t/4)/2.
        ({"prune_schedule": "final_n", "final_n_start": 0.5}, [0, 0, 0.5, 0.5, 0.5]),
        ({"prune_schedule": "final_n", "final_n_start": 0.0}, [0.5] * 5),
        ({"prune_schedule": "final_n", "final_n_start": 1.0}, [0, 0, 0, 0, 0.5]),
        ({"prune_schedule": "final_n", "final_n_start": 0.51}, [0, 0, 0, 0.5, 0.5]),
        (
            {"prune_schedule": "exponential", "exponential_rate": 1.0},
            [0, 0.11059961, 0.19673467, 0.26381672, 0.31606028],
        ),
        (
            {"prune_schedule": "decrease", "decrease_from": "probability"},
            [0.5, 0.375, 0.25, 0.125, 0.0],
        ),
        # gradual begins at t >= 0.5 * 4, wherever it ends; 0.51 * 4 = 2.04.
        ({"prune_schedule": "gradual", "gradual_start": 0.5}, [0, 0, 0.5, 0.5, 0.5]),
        (
            {"prune_schedule": "gradual", "gradual_start": 0.51, "gradual_end": 0.51},
            [0, 0, 0, 0.5, 0.5],
        ),
        (
            {"prune_schedule": "gradual", "gradual_start": 1.0, "gradual_end": 1.0},
            [0, 0, 0, 0, 0.5],
        ),
    ],
)
def test_parameters_of_the_schedules(given: dict[str, Any], expected: list[float]) -> None:
    ring = variant(epochs=5, **given)
    assert probabilities(ring, 3) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    ("cell_evaluation", "first"),
    # 400 epochs: 0.75 * 399 = 299.25 on the ring, 0.75 * 400 = 300 in the published baseline.
    [("lipi_simple", 300), ("ann_canonical", 300)],
)
def test_published_final_n_prunes_in_the_last_quarter(cell_evaluation: str, first: int) -> None:
    of = variant(cell_evaluation=cell_evaluation, prune_schedule="final_n", epochs=400)
    assert probabilities(of, 3) == [0.0] * first + [0.5] * (400 - first)


def test_sound_decrease_of_a_single_epoch_starts_at_p() -> None:
    single = variant(prune_schedule="decrease", decrease_from="probability", epochs=1)
    assert prune_probability(single, 0, 3) == 0.5


def test_published_decrease_starts_at_one_whatever_p_is() -> None:
    # 1 - 0.1 t / 4
    ring = variant(prune_schedule="decrease", prune_probability=0.1, epochs=5)
    assert probabilities(ring, 3) == pytest.approx([1, 0.975, 0.95, 0.925, 0.9])


@pytest.mark.parametrize(
    ("given", "n_solutions"),
    [
        ({"radius": 0}, 1),
        ({"radius": 1}, 3),
        ({"radius": 2}, 5),
        ({"radius": 3, "population_size": 6}, 7),
        ({"topology": "grid", "population_size": 9}, 5),
        ({"cell_evaluation": "ann_canonical"}, 1),
    ],
)
def test_population_divides_by_the_size_of_the_neighbourhood(
    given: dict[str, Any], n_solutions: int
) -> None:
    # At t = 2 of T = 4: 0.5 * 2/4 / n
    of = variant(prune_schedule="population", epochs=5, schedule_horizon="sound", **given)
    members = neighbourhoods(of)[0]
    assert len(members) == n_solutions
    plan = make_plan(of, Address(1, 0, cell=0, generation=2), 1e-5, len(members))
    assert plan.prune_probability == pytest.approx(0.25 / n_solutions)


@pytest.mark.parametrize(
    ("schedule", "events"), [("prune_after", [False] * 4 + [True]), ("fixed", [True] * 5)]
)
def test_prune_event_is_certain_at_one_and_impossible_at_zero(
    schedule: str, events: list[bool]
) -> None:
    of = variant(prune_schedule=schedule, prune_probability=1.0, epochs=5)
    for trial in range(20):
        plans = [make_plan(of, Address(1, trial, generation=t), 1e-5, 3) for t in range(5)]
        assert [plan.prune for plan in plans] == events


@settings(deadline=None)
@given(
    schedule=st.sampled_from(list(SCHEDULES)),
    epochs=st.integers(1, 500),
    moment=st.floats(0, 1),
    probability=st.floats(0, 1),
    n_solutions=st.integers(1, 50),
    final_n_start=st.floats(0, 1),
    exponential_rate=st.floats(0, 1e6, exclude_min=True),
    gradual=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    readings=st.tuples(
        st.sampled_from(["lipi_simple", "ann_canonical"]),
        st.sampled_from(["published", "sound"]),
        st.sampled_from(["one", "probability"]),
    ),
)
def test_every_schedule_is_a_probability(
    *,
    schedule: str,
    epochs: int,
    moment: float,
    probability: float,
    n_solutions: int,
    final_n_start: float,
    exponential_rate: float,
    gradual: list[float],
    readings: tuple[str, str, str],
) -> None:
    cell_evaluation, horizon, start = readings
    of = variant(
        prune_schedule=schedule,
        epochs=epochs,
        prune_probability=probability,
        final_n_start=final_n_start,
        exponential_rate=exponential_rate,
        gradual_start=gradual[0],
        gradual_end=gradual[1],
        cell_evaluation=cell_evaluation,
        schedule_horizon=horizon,
        decrease_from=start,
    )
    value = prune_probability(of, math.floor(moment * (epochs - 1)), n_solutions)
    assert isinstance(value, float)
    assert 0 <= value <= 1


# --- the amount of an event


def amounts(of: Variant) -> list[float]:
    return [prune_amount(of, t) for t in range(of.epochs)]


# Amount 0.8, t0 = 2, t1 = 6. A quarter of the way (t = 3) 1 - (3/4)^3 = 37/64 of it, half way
# (t = 4) 1 - (1/2)^3 = 7/8, and then 63/64: 0.4625, 0.7, 0.7875.
CUBIC = [0, 0, 0, 0.4625, 0.7, 0.7875, 0.8, 0.8, 0.8]


def gradual(**given: Any) -> Variant:
    settings = {"prune_schedule": "gradual", "prune_amount": 0.8, "epochs": 9}
    return variant(**settings | given)


def test_gradual_amount_follows_the_cubic() -> None:
    ring = gradual(gradual_start=0.25, gradual_end=0.75)
    assert amounts(ring) == pytest.approx(CUBIC)
    assert amounts(ring)[6:] == [0.8] * 3


def test_gradual_amount_grows_from_the_start_to_three_quarters_of_the_run_by_default() -> None:
    # T = 4, t1 = 3: 0.8 times 0, 1 - (2/3)^3 = 19/27, 1 - (1/3)^3 = 26/27, 1, 1.
    assert amounts(gradual(epochs=5)) == pytest.approx([0, 15.2 / 27, 20.8 / 27, 0.8, 0.8])


def test_gradual_amount_of_the_baseline_has_the_horizon_of_its_probability() -> None:
    # T = 8 of 8 epochs as published, of 9 epochs as is sound.
    baseline: dict[str, Any] = {
        "cell_evaluation": "ann_canonical",
        "gradual_start": 0.25,
        "gradual_end": 0.75,
    }
    assert amounts(gradual(**baseline, epochs=8)) == pytest.approx(CUBIC[:8])
    assert amounts(gradual(**baseline, schedule_horizon="sound")) == pytest.approx(CUBIC)


@pytest.mark.parametrize("moment", [0.0, 0.5, 1.0])
def test_gradual_amount_that_has_no_time_to_grow_is_the_full_one(moment: float) -> None:
    # t0 = t1 = 0, 4 or 8; before it nothing happens.
    ring = gradual(gradual_start=moment, gradual_end=moment)
    first = int(8 * moment)
    assert amounts(ring) == [0.0] * first + [0.8] * (9 - first)
    assert probabilities(ring, 3) == [0.0] * first + [0.5] * (9 - first)


@pytest.mark.parametrize("start", [0.0, 0.5])
def test_gradual_amount_of_a_single_epoch_is_the_full_one(start: float) -> None:
    single = gradual(epochs=1, gradual_start=start)
    assert amounts(single) == [0.8]
    assert probabilities(single, 3) == [0.5]


@pytest.mark.parametrize("schedule", sorted(set(SCHEDULES) - {"gradual"}))
def test_amount_of_every_other_schedule_is_always_the_same(schedule: str) -> None:
    assert amounts(variant(prune_schedule=schedule, prune_amount=0.3, epochs=5)) == [0.3] * 5


def test_plan_says_the_amount() -> None:
    of = gradual(gradual_start=0.25, gradual_end=0.75)
    plans = [make_plan(of, Address(1, 0, generation=t), 1e-5, 3) for t in range(9)]
    assert [plan.prune_amount for plan in plans] == amounts(of)


@settings(deadline=None)
@given(
    epochs=st.integers(1, 60),
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    amount=st.floats(0, 1, exclude_max=True),
)
def test_gradual_amount_rises_to_the_full_one_and_stays(
    epochs: int, ends: list[float], amount: float
) -> None:
    start, end = ends
    of = gradual(epochs=epochs, gradual_start=start, gradual_end=end, prune_amount=amount)
    values = amounts(of)
    assert all(0 <= value <= amount for value in values)
    assert all(late >= early - 1e-12 for early, late in itertools.pairwise(values))
    assert values[-1] == amount  # t = T is not before t1
    for t, value in enumerate(values):
        if epochs > 1 and t / (epochs - 1) < start:
            assert value == 0 == prune_probability(of, t, 3)
        elif t >= end * (epochs - 1) + 1e-9:
            assert value == amount
