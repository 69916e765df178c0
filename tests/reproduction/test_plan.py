from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aes_lipi.api import load_study
from aes_lipi.errors import UserError
from aes_lipi.reproduction.plan import (
    QUICK,
    QUICK_FIGURES,
    ReproductionPlan,
    ScaledDown,
    _select,
    full_plan,
    quick_plan,
)
from aes_lipi.reproduction.published import load_published

FIGURES = tuple(figure.name for figure in load_published().figures)
CONTROLS = tuple(control.name for control in load_published().controls)


def held(plan: ReproductionPlan) -> dict[str, set[str]]:
    """The ids of variants that each study runs."""
    return {each.study.name: {v.id for v in each.study.variants} for each in plan.studies}


def test_the_full_one_is_every_preset_where_run_puts_it() -> None:
    plan = full_plan()
    assert [each.study.name for each in plan.studies] == [*FIGURES, *CONTROLS]
    for each in plan.studies:
        assert each.whole == load_study(each.study.name)
        assert each.location == Path("results") / each.study.name
        assert each.why
    assert plan.asked == (*FIGURES, *CONTROLS)
    assert plan.scale is None


def test_the_full_one_runs_every_variant_once() -> None:
    plan = full_plan()
    run = [v.id for each in plan.studies for v in each.study.variants]
    assert len(run) == len(set(run))
    assert set(run) == {v.id for variants in plan.variants.values() for v in variants.values()}
    left = {each.study.name: len(each.study.variants) for each in plan.studies}
    assert left["best_of_lipi"] == 4
    assert left["schedules_random"] == 5
    assert left["box_best_of_lipi"] == 3


def test_the_quick_one_runs_every_variant_once() -> None:
    assert list(held(quick_plan())) == [*QUICK_FIGURES, *CONTROLS]
    plan = quick_plan("elsewhere", [*QUICK_FIGURES, "schedules_random", *CONTROLS])
    ids = held(plan)
    assert list(ids) == [*QUICK_FIGURES, "schedules_random", *CONTROLS]
    assert sum(map(len, ids.values())) == len(set.union(*ids.values()))
    needed = {v.id for variants in plan.variants.values() for v in variants.values()}
    assert needed == set.union(*ids.values())
    shared = plan.variants["schedules_random"]["exponential"]
    assert shared == plan.variants["best_of_lipi"]["random"]
    assert shared.id in ids["best_of_lipi"]
    assert len(ids["schedules_random"]) == 5
    for each in plan.studies:
        assert each.location == Path("elsewhere/quick") / each.study.name
        assert each.study.trials == QUICK.trials
        times = QUICK.population_size if each.study.name == "control_baseline_ten_times" else 1
        assert {variant.epochs for variant in each.study.variants} == {times * QUICK.epochs}


def test_quick_controls_are_without_pruning() -> None:
    plan = quick_plan()
    for each in plan.studies:
        if each.study.name in CONTROLS:
            assert [variant.prune_method for variant in each.study.variants] == ["None"]
    assert {tuple(plan.variants[name]) for name in CONTROLS} == {("none",)}


@pytest.mark.parametrize("name", [*FIGURES, *CONTROLS])
@pytest.mark.parametrize("plan_of", [full_plan, quick_plan])
def test_a_variant_is_run_in_the_same_folder_whatever_is_asked_for(
    name: str, plan_of: Callable[..., ReproductionPlan]
) -> None:
    """So that what was run for another figure is found; and nothing else is run there."""
    some, everything = plan_of(names=[name]), plan_of(names=[*FIGURES, *CONTROLS])
    of_all = {each.whole.name: each for each in everything.studies}
    for each in some.studies:
        assert each.whole == of_all[each.whole.name].whole
        assert held(some)[each.whole.name] <= held(everything)[each.whole.name]
    wanted = {v.id for variants in some.variants.values() for v in variants.values()}
    assert set.union(*held(some).values()) == wanted


def test_a_control_brings_what_it_is_compared_with() -> None:
    for plan in (full_plan(names=["control_canonical_walk"]), quick_plan(names=CONTROLS[:1])):
        assert plan.asked == ("control_canonical_walk",)
        assert list(plan.variants) == [*FIGURES[:2], "control_canonical_walk"]
        assert "compared" in plan.studies[0].why


def test_a_sweep_brings_the_study_that_runs_one_of_its_variants() -> None:
    plan = quick_plan(names=["schedules_lexicase"])
    assert [each.study.name for each in plan.studies] == ["best_of_lipi", "schedules_lexicase"]
    assert plan.studies[0].why == "a variant of schedules_lexicase is run in it"
    assert list(plan.variants) == ["schedules_lexicase"]
    assert [v.prune_method for v in plan.studies[0].study.variants] == ["lexicase"]


def test_names_are_in_the_order_of_the_file() -> None:
    plan = full_plan(names=["schedules_random", "best_of_lipi", "best_of_lipi"])
    assert plan.asked == ("best_of_lipi", "schedules_random")


def test_an_unknown_name_is_one_line_that_lists_the_known() -> None:
    with pytest.raises(UserError) as caught:
        quick_plan(names=["best_of_lippi"])
    line = str(caught.value)
    assert line.startswith("best_of_lippi: no such figure or control; did you mean best_of_lipi")
    assert all(name in line for name in (*FIGURES, *CONTROLS))
    with pytest.raises(UserError, match=r"zzz: no such figure or control; known are best_of_lipi,"):
        full_plan(names=["zzz"])


def test_addresses_keep_their_options() -> None:
    plan = quick_plan("s3://bucket/all?scheme=http", ["best_of_canonical"], ScaledDown(2, 4))
    assert [each.location for each in plan.studies] == [
        "s3://bucket/all/quick/best_of_canonical?scheme=http"
    ]


def test_a_preset_that_was_changed_is_said() -> None:
    study = load_study("best_of_lipi")
    with pytest.raises(UserError, match="best_of_lipi: 4 variants have the settings"):
        _select(study, {"population_size": 10})
    with pytest.raises(UserError, match="0 variants"):
        _select(study, {"prune_method": "magnitude"})
    with pytest.raises(UserError, match="prune: no such field"):
        _select(study, {"prune": "random"})
