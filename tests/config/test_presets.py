"""Every preset of `configs/` is the study that algorithm section 8 describes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import aes_lipi
from aes_lipi.config import Study, Variant, list_presets, load_preset, resolve_study
from aes_lipi.errors import UserError

SIX = ("fixed", "increase", "population", "decrease", "exponential", "final_n")
SMALL = "AutoencoderBinaryClustering_Small"
FIVE_ENVIRONMENTS = (
    "AutoencoderBinaryClustering",
    SMALL,
    "AutoencoderBinaryClustering_Large",
    "DenoisingAutoencoderBinaryClustering",
    "VariationalAutoencoderBinaryClustering",
)

# Section 8's table: trials, then what is set or swept. Fields that are not named take DEFAULTS.
SWEEPS: dict[str, tuple[int, dict[str, tuple[Any, ...]]]] = {
    "capacity": (
        1,
        {
            "cell_evaluation": ("lipi_simple_pte",),
            "epochs": (4,),
            "prune_method": ("random", "lexicase"),
            "prune_schedule": ("exponential",),
            "prune_probability": (0.5,),
        },
    ),
    "population_size": (30, {"population_size": (1, 2, 5, 20)}),
    "environment": (30, {"population_size": (5,), "environment": FIVE_ENVIRONMENTS}),
    "dataset_name": (
        30,
        {
            "dataset_name": ("binary_clustering_50_100_4000",),
            "prune_method": ("lexicase",),
            "prune_schedule": ("exponential", "final_n"),
            "prune_probability": (0.5,),
        },
    ),
    "base_pruning": (
        30,
        {
            "cell_evaluation": ("ann_canonical",),
            "population_size": (1,),
            "epochs": (4000,),
            "prune_method": ("random", "lexicase"),
            "prune_schedule": SIX,
            "prune_probability": (0.5,),
        },
    ),
    "activation_sched": (
        30,
        {"prune_method": ("activation",), "prune_schedule": SIX, "prune_probability": (0.1,)},
    ),
    "best_base_activation": (
        30,
        {
            "cell_evaluation": ("ann_canonical",),
            "population_size": (1,),
            "prune_method": ("activation",),
            "prune_schedule": ("exponential",),
            "prune_probability": (0.1,),
        },
    ),
    "lexi_prob": (
        30,
        {
            "population_size": (5,),
            "prune_method": ("random", "lexicase"),
            "prune_schedule": SIX,
            "prune_probability": (0.5,),
        },
    ),
    "prune_after": (
        30,
        {
            "prune_method": ("lexicase",),
            "prune_schedule": ("final_n",),
            "prune_probability": (0.1, 0.9),
        },
    ),
    "lipi_small_4000": (
        30,
        {
            "environment": (SMALL,),
            "dataset_name": ("binary_clustering_10_100_4000",),
            "prune_method": ("random",),
            "prune_schedule": ("exponential",),
            "prune_probability": (0.5,),
        },
    ),
    "lexi_threshold": (
        30,
        {
            "population_size": (5,),
            "prune_method": ("random", "lexicase", "activation"),
            "prune_schedule": ("prune_after",),
            "prune_probability": (1.0,),
        },
    ),
    "act_pop_small": (
        30,
        {
            "environment": (SMALL,),
            "prune_method": ("activation",),
            "prune_schedule": ("population",),
            "prune_probability": (0.1,),
        },
    ),
    "lex_final_n_small": (
        30,
        {
            "environment": (SMALL,),
            "prune_method": ("lexicase",),
            "prune_schedule": ("final_n",),
            "prune_probability": (0.5,),
        },
    ),
    "prune_after_base": (
        30,
        {
            "cell_evaluation": ("ann_canonical",),
            "population_size": (1,),
            "prune_method": ("random", "lexicase", "activation"),
            "prune_schedule": ("prune_after",),
            "prune_probability": (1.0,),
        },
    ),
    "no_shuffle_data": (
        30,
        {
            "population_size": (5,),
            "prune_method": ("None", "activation"),
            "prune_schedule": ("fixed",),
            "prune_probability": (0.5,),
            "no_shuffle_data": (True, False),
        },
    ),
    "schedules_lexicase": (
        30,
        {"prune_method": ("lexicase",), "prune_schedule": SIX, "prune_probability": (0.5,)},
    ),
    "schedules_random": (
        30,
        {"prune_method": ("random",), "prune_schedule": SIX, "prune_probability": (0.5,)},
    ),
    "schedules_activation": (
        30,
        {"prune_method": ("activation",), "prune_schedule": SIX, "prune_probability": (0.1,)},
    ),
}
DEFAULTS: dict[str, tuple[Any, ...]] = {
    "cell_evaluation": ("lipi_simple",),
    "population_size": (10,),
    "epochs": (400,),
    "environment": ("AutoencoderBinaryClustering",),
    "dataset_name": ("binary_clustering_10_100_1000",),
    "prune_method": ("None",),
    "no_shuffle_data": (False,),
}

# Variants that fix method, schedule and probability together; no pruning has neither of the two.
LISTED: dict[str, set[tuple[Any, ...]]] = {
    "best_of_lipi": {
        ("None",),
        ("activation", "population", 0.1),
        ("lexicase", "final_n", 0.5),
        ("random", "exponential", 0.5),
    },
    "best_of_canonical": {
        ("None",),
        ("random", "exponential", 0.5),
        ("lexicase", "exponential", 0.5),
        ("activation", "exponential", 0.1),
    },
}
LISTED["best_of_lipi_small"] = LISTED["best_of_lipi"]
AFTER = {(method, "prune_after", 1.0) for method in ("random", "activation", "lexicase")}
LISTED["box_best_of_lipi"] = LISTED["best_of_lipi"] | AFTER
LISTED["box_best_of_canonical"] = LISTED["best_of_canonical"] | AFTER

PUBLISHED = (*SWEEPS, *LISTED, "cell_evaluations")


def study(name: str, **overrides: Any) -> Study:
    return resolve_study(name, load_preset(name), overrides)


def pruning(variant: Variant) -> tuple[Any, ...]:
    if variant.prune_method == "None":
        return ("None",)
    return (variant.prune_method, variant.prune_schedule, variant.prune_probability)


def test_there_are_at_least_26_presets_and_4_controls() -> None:
    names = list_presets()
    assert len(names) >= 26
    assert len([name for name in names if name.startswith("control_")]) >= 4
    assert names == sorted(names)
    assert set(PUBLISHED) <= set(names)


@pytest.mark.parametrize("name", SWEEPS)
def test_published_preset_sweeps_what_section_8_says(name: str) -> None:
    trials, swept = SWEEPS[name]
    resolved = study(name)
    assert resolved.trials == trials
    for field, values in (DEFAULTS | swept).items():
        assert {getattr(variant, field) for variant in resolved.variants} == set(values), field
    n_variants = math.prod(len(values) for values in swept.values())
    assert len(resolved.variants) == n_variants
    assert resolved.n_trials == trials * n_variants


@pytest.mark.parametrize("name", LISTED)
def test_published_preset_lists_what_section_8_says(name: str) -> None:
    resolved = study(name)
    canonical = name.endswith("best_of_canonical")
    assert resolved.trials == 30
    assert len(resolved.variants) == len(LISTED[name])
    assert {pruning(variant) for variant in resolved.variants} == LISTED[name]
    for variant in resolved.variants:
        assert variant.cell_evaluation == ("ann_canonical" if canonical else "lipi_simple")
        assert variant.population_size == (1 if canonical else 10)
        assert variant.epochs == 400
        assert variant.environment == (SMALL if name.endswith("small") else FIVE_ENVIRONMENTS[0])


def test_cell_evaluations_compares_four_with_the_baseline_alone() -> None:
    resolved = study("cell_evaluations")
    sizes = {v.cell_evaluation: v.population_size for v in resolved.variants}
    assert sizes == {"epoch-node": 5, "ann_canonical": 1, "all_vs_all": 5, "lipi_simple": 5}
    assert {v.epochs for v in resolved.variants} == {400}
    assert {v.prune_method for v in resolved.variants} == {"None"}
    assert resolved.trials == 30


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_preset_reads_everything_the_published_way(name: str) -> None:
    for variant in study(name).variants:
        assert variant.learning_rate == 1e-5
        assert variant.radius == (0 if variant.is_canonical else 1)
        assert variant.batch_size == 5
        assert variant.lexi_threshold == 0.1
        assert variant.rng_seed == 1
        assert variant.record_test_loss
        assert variant.prune_amount == 0.1
        assert (variant.solution_concept, variant.tournament_size) == ("best_case", 2)
        assert (variant.topology, variant.update_order) == ("ring", "sequential")
        assert variant.pruned_weights == "regrow"
        assert (variant.lexicase_split, variant.final_cell) == ("test", "best_on_test")
        assert variant.test_noise == "shared"
        assert variant.schedule_horizon == "published"
        assert variant.decrease_from == "one"
        policy = ("step", "cell") if variant.is_canonical else ("walk", "step")
        assert (variant.learning_rate_policy, variant.optimizer_state) == policy


@pytest.mark.parametrize(
    ("name", "base", "changed"),
    [
        ("control_canonical_walk", "ann_canonical", {"learning_rate_policy": "walk"}),
        ("control_canonical_fixed_rate", "ann_canonical", {"learning_rate_policy": "constant"}),
        ("control_canonical_step_adam", "ann_canonical", {"optimizer_state": "step"}),
        (
            "control_ring_canonical_policy",
            "lipi_simple",
            {"learning_rate_policy": "step", "optimizer_state": "cell"},
        ),
    ],
)
def test_control_changes_one_thing_only(name: str, base: str, changed: dict[str, str]) -> None:
    # Section 9: the published comparison mixes coevolution with learning-rate policy.
    for variant in study(name).variants:
        method, schedule = variant.prune_method, variant.prune_schedule
        reference = Variant.model_validate(
            {"cell_evaluation": base, "prune_method": method, "prune_schedule": schedule, **changed}
        )
        assert variant == reference


def test_the_baseline_of_equal_compute_has_ten_times_the_epochs() -> None:
    """Section 9: as many cells as the ring has, one after the other."""
    resolved = study("control_baseline_ten_times")
    assert resolved.trials == 30
    assert {(v.cell_evaluation, v.population_size, v.epochs) for v in resolved.variants} == {
        ("ann_canonical", 1, 4000)
    }
    assert [pruning(v) for v in resolved.variants] == [("None",), ("random", "exponential", 0.5)]


@pytest.mark.parametrize("name", list_presets())
def test_variants_of_a_preset_have_distinct_labels_and_ids(name: str) -> None:
    resolved = study(name)
    labels = [resolved.label(variant) for variant in resolved.variants]
    assert all(labels)
    assert len(set(labels)) == len(labels)
    assert len({variant.id for variant in resolved.variants}) == len(resolved.variants)


@pytest.mark.parametrize("name", list_presets())
def test_preset_says_its_question_in_one_line(name: str) -> None:
    description = study(name).description
    assert description.endswith((".", "?"))
    assert len(description.splitlines()) == 1


@pytest.mark.parametrize("name", list_presets())
def test_resolved_variant_resolves_to_itself(name: str) -> None:
    for variant in study(name).variants:
        again = Variant.model_validate(variant.model_dump())
        assert again == variant
        assert again.id == variant.id
        assert Variant.model_validate_json(variant.model_dump_json()) == variant


def test_lexi_prob_with_two_trials_and_another_ring_has_24_trials() -> None:
    # 2 methods x 6 schedules x 2 trials
    resolved = study("lexi_prob", epochs=3, trials=2, population_size=3)
    assert resolved.n_trials == 24
    assert {(v.epochs, v.population_size) for v in resolved.variants} == {(3, 3)}


@pytest.mark.parametrize(
    ("given", "offered"),
    [
        ("best_of_lippi", "; did you mean best_of_lipi"),
        ("nosuch", r" \(--list"),
        ("", r" \(--list"),
    ],
)
def test_unknown_preset_is_refused_with_the_nearest_names(given: str, offered: str) -> None:
    with pytest.raises(UserError, match=rf"^--rq {given}: no such preset{offered}") as caught:
        load_preset(given)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["../pyproject", "/etc/passwd", "best_of_lipi.yaml"])
def test_preset_is_a_name_and_never_a_path(name: str) -> None:
    with pytest.raises(UserError, match="no such preset"):
        load_preset(name)


@pytest.mark.parametrize(
    "values", [(0.01, 0.02), np.array([0.01, 0.02]), [np.float64(0.01), np.float64(0.02)]]
)
def test_any_sequence_of_python_is_swept(values: Any) -> None:
    study = aes_lipi.load_study("quickstart", {"learning_rate": values, "radius": range(1, 3)})
    found = {(each.learning_rate, each.radius) for each in study.variants}
    assert found == {(0.01, 1), (0.01, 2), (0.02, 1), (0.02, 2)}
    one = aes_lipi.load_study("quickstart", {"hidden_sizes": (8, 4), "prune_method": "None"})
    assert {each.hidden_sizes for each in one.variants} == {(8, 4)}
