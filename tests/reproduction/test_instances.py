"""Claims and controls on several data sets, of planted trials."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from aes_lipi.api import load_study
from aes_lipi.data.load import load_dataset
from aes_lipi.errors import UserError
from aes_lipi.reproduction.evidence import read_results
from aes_lipi.reproduction.instances import constant_loss, find_instances
from aes_lipi.reproduction.plan import ScaledDown, full_plan, quick_plan
from reproduction.planted import Losses, around, commit_losses

RING, BASELINE, CONTROL = "best_of_lipi", "best_of_canonical", "control_canonical_walk"


def test_the_first_instance_is_the_plan_itself() -> None:
    alone, several = full_plan(), full_plan(instances=5)
    assert several.variants == alone.variants
    assert several.studies[: len(alone.studies)] == alone.studies
    assert [each.seed for each in several.instances] == [1, 2, 3, 4, 5]
    assert several.instances[0] == alone.instances[0]
    for each in several.instances[1:]:
        assert list(each.variants) == list(several.instances[0].variants)
        found = [variant for series in each.variants.values() for variant in series.values()]
        assert {(variant.dataset_seed, variant.rng_seed) for variant in found} == {(each.seed,) * 2}


def test_other_instances_are_run_in_folders_of_their_own_each_variant_once() -> None:
    plan = full_plan("here", [CONTROL, "control_ring_isolated", "schedules_random"], instances=2)
    assert list(plan.instances[1].variants) == [RING, BASELINE, CONTROL, "control_ring_isolated"]
    added = [each for each in plan.studies if "instances" in str(each.location)]
    assert [each.location for each in added] == [
        Path("here/instances/dataset_seed=2") / name for name in plan.instances[1].variants
    ]
    assert {each.study.trials for each in added} == {6}
    ids = [variant.id for each in added for variant in each.study.variants]
    assert len(ids) == len(set(ids)) == 4 + 4 + 2 + 2


def test_scaled_down_instances_are_as_small(tmp_path: Path) -> None:
    plan = quick_plan(tmp_path, [CONTROL], ScaledDown(2, 4, 3), instances=2)
    added = [each for each in plan.studies if "dataset_seed=2" in str(each.location)]
    assert [(each.study.name, each.study.trials) for each in added] == [
        *((RING, 2), (BASELINE, 2), (CONTROL, 2))
    ]
    variants = [variant for each in added for variant in each.study.variants]
    assert {variant.epochs for variant in variants} == {4}


def test_there_must_be_something_to_run_on_them() -> None:
    with pytest.raises(UserError, match=r"--instances 2: nothing to run on them; name one of best"):
        full_plan(names=["schedules_random"], instances=2)


def test_intervals_are_over_data_sets(tmp_path: Path) -> None:
    plan = full_plan(tmp_path, [RING, BASELINE, CONTROL], instances=3)
    for instance, guided in zip(plan.instances, (0.20, 0.22, 0.27), strict=True):
        losses: Losses = {
            (RING, "random"): around(0.10, 2, 1),
            (RING, "none"): around(0.12, 2, 1),
            (RING, "activation"): around(guided, 2, 1),
            (BASELINE, "none"): around(0.32, 2, 1),
            (CONTROL, "none"): around(0.27 - guided / 10, 2, 1),
            (CONTROL, "random"): around(0.30 - guided / 10, 2, 1),
        }
        commit_losses(replace(plan, variants=instance.variants), losses)
    found = find_instances(read_results(plan))
    assert found.seeds == (1, 2, 3)
    lines = {(line.subject, line.label): line for line in found.differences}
    pair = lines[
        "ring_random_beats_guided", "random exponential less activation (VARIANCE) population"
    ]
    assert pair.each == pytest.approx([-0.10, -0.12, -0.17])
    half = 4.302653 * np.std(pair.each, ddof=1) / np.sqrt(3)  # Student's t, 2 degrees of freedom
    ends = (pair.over.low, pair.over.mean, pair.over.high)
    assert ends == pytest.approx([-0.13 - half, -0.13, -0.13 + half], abs=1e-6)
    [share, pruned, pruned_unpruned] = found.shares
    assert (share.subject, share.label) == (CONTROL, "no pruning")
    assert pruned.over.n == 0  # of an own baseline that was not run
    assert pruned_unpruned.label == "random exponential, to or from the unpruned baseline"
    goes = [(0.32 - 0.3 + guided / 10) / (0.32 - 0.1) for guided in (0.2, 0.22, 0.27)]
    assert pruned_unpruned.each == pytest.approx(goes)
    assert share.each == pytest.approx([(0.05 + guided / 10) / 0.2 for guided in (0.2, 0.22, 0.27)])
    missing = lines[
        "ring_random_beats_guided", "random exponential less lexicase (CONJUNCTIVE) final_n"
    ]
    assert missing.over.n == 0


def test_one_data_set_is_said_to_be_one(tmp_path: Path) -> None:
    found = find_instances(read_results(quick_plan(tmp_path, [BASELINE])))
    assert (found.seeds, found.differences, found.shares) == ((1,), (), ())
    assert found.constants[1] == pytest.approx(0.271, abs=5e-4)


def test_of_twenty_data_sets_the_best_constants_are_where_the_page_says() -> None:
    variant = load_study("best_of_canonical").variants[0]
    found = [
        constant_loss(load_dataset(variant.model_copy(update={"dataset_seed": seed})).train)
        for seed in range(1, 21)
    ]
    assert (round(min(found), 3), round(max(found), 3)) == (0.259, 0.280)
    assert "of seeds 1 to 20 it lies between 0.259 and 0.280" in (
        files("aes_lipi").joinpath("templates/reproduction.html.j2").read_text("utf-8")
    )


def test_the_best_constant_is_the_median_of_every_column() -> None:
    rows = np.array([[0, 1], [0, 1], [1, 1], [0, 0]], np.float32)
    assert constant_loss(rows) == 0.25
