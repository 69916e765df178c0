"""The settings of a variant: bounds, what follows from other settings, and the id."""

from __future__ import annotations

import random
import re
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from aes_lipi.autoencoders.environments import ENVIRONMENTS
from aes_lipi.coevolution.cell import SOLUTION_CONCEPTS
from aes_lipi.coevolution.generation import CELL_EVALUATIONS
from aes_lipi.coevolution.rates import LEARNING_RATE_POLICIES
from aes_lipi.coevolution.topology import TOPOLOGIES
from aes_lipi.config import StudyFile, Variant, resolve_study
from aes_lipi.config.variant import METHODS_WITHOUT_AMOUNT, OPERATOR_FIELDS
from aes_lipi.engine.dense.losses import LOSSES
from aes_lipi.errors import UserError
from aes_lipi.pruning.operators import OPERATORS
from aes_lipi.pruning.schedules import SCHEDULES

# Values that differ from the default and fit the other defaults, where the type does not say one.
OTHER_VALUES: dict[str, Any] = {
    "ann_digest": "ab",
    "plugins_digest": "ab",
    "dataset_name": "10_100_500",
    "n_clusters": 5,
    "n_examples_per_cluster": 200,
    "data": "rows.csv",
    "data_digest": "ab",
    "hidden_sizes": (7,),
    "input_noise": 0.4,
    "latent_size": 3,
    "ann_path": "models",
    "grid_rows": 2,
    "separator": "tab",
    "columns": ("a",),
    "drop_columns": ("a",),
    "label": "a",
    "gradual_start": 0.25,
    "patience": 3,
    "target_loss": 0.25,
    "metrics": "mine:one",
    "name": "wide",
    "edges": "edges.csv",
    "graph": ";".join(f"{(i + 1) % 10}" for i in range(10)),
}
REGISTRIES: dict[str, set[str]] = {
    "environment": set(ENVIRONMENTS),
    "cell_evaluation": set(CELL_EVALUATIONS),
    "loss": set(LOSSES),
    "prune_method": {"None", *OPERATORS},
    "prune_schedule": set(SCHEDULES),
    "solution_concept": set(SOLUTION_CONCEPTS),
    "topology": set(TOPOLOGIES),
    "learning_rate_policy": set(LEARNING_RATE_POLICIES),
}


def variant(**given: Any) -> Variant:
    return Variant.model_validate(given)


def choices(field: str) -> list[str]:
    """The values of a field that takes one of several names; none for any other field."""
    annotation = Variant.model_fields[field].annotation
    options = [*get_args(annotation), *(x for part in get_args(annotation) for x in get_args(part))]
    return [option for option in options if isinstance(option, str)]


def other_value(field: str) -> Any:
    default = getattr(Variant(), field)
    if field in OTHER_VALUES:
        return OTHER_VALUES[field]
    if choices(field):
        return next(choice for choice in choices(field) if choice != default)
    if isinstance(default, bool):
        return not default
    return default + 1 if isinstance(default, int) else default / 2


def refusal(**given: Any) -> str:
    """The one line in which a study with such settings is refused."""
    with pytest.raises(UserError) as caught:
        resolve_study("mine", StudyFile(settings=given), {})
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("field", REGISTRIES)
def test_names_that_a_field_takes_are_those_of_its_registry(field: str) -> None:
    assert set(choices(field)) == REGISTRIES[field]


@pytest.mark.parametrize("field", [name for name in Variant.model_fields if choices(name)])
def test_unknown_name_is_refused_with_the_known_ones(field: str) -> None:
    message = refusal(**{field: "nosuch"})
    assert message.startswith(f"{field}: ")
    assert "nosuch" in message
    assert all(f"'{choice}'" in message for choice in choices(field))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("epochs", value) for value in (0, -1, 1.5, "x", None, [[1]], {"a": 1}, 10**30)),
        *(("population_size", value) for value in (0, "1.5", 10**30)),
        *(("radius", value) for value in (-1, 0.5)),
        *(("batch_size", value) for value in (0, "five")),
        *(("prune_probability", value) for value in (1.5, -0.1, "p", None, float("nan"))),
        *(("prune_amount", value) for value in (1.0, 1.01, -1)),
        *(("lexi_threshold", value) for value in (2, -0.1)),
        *(("noise_probability", value) for value in (-0.05, float("inf"))),
        *(("learning_rate", value) for value in (0, -1e-5, 10.1, float("inf"), "fast")),
        ("learning_rate_sd", -1e-9),
        ("exponential_rate", 0),
        ("final_n_start", 1.1),
        ("gradual_start", -0.1),
        ("gradual_end", 1.1),
        ("prune_unit", "layer"),
        *(("cell_data_fraction", value) for value in (0, 1.1)),
        *(("rng_seed", value) for value in (-1, 2**63)),
        ("tournament_size", 0),
        *(("n_dim", value) for value in (0, 1_000_001)),
        ("latent_size", 0),
        ("record_interval", 0),
        ("store_all_nodes", "perhaps"),
        ("data", 5),
    ],
)
def test_value_out_of_bounds_or_of_the_wrong_type_is_refused(field: str, value: Any) -> None:
    assert refusal(**{field: value}).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"population_size": 10, "topology": "grid", "grid_rows": 3}, "grid_rows"),
        ({"population_size": 10, "grid_rows": 2}, "grid_rows"),
        ({"epochs": "2_4_8"}, "epochs"),
        ({"learning_rate": "1_0e-3"}, "learning_rate"),
        ({"hidden_sizes": "6_0,30"}, "hidden_sizes"),
        ({"hidden_sizes": ["6_0", "4"]}, "hidden_sizes"),
        ({"n_examples_per_cluster": 105}, "n_examples_per_cluster"),
        ({"dataset_name": "7_100_10"}, "n_examples_per_cluster"),
        ({"test_fraction": 0.5, "validation_fraction": 0.5}, "test_fraction"),
        ({"prune_method": "random", "gradual_start": 0.8}, "gradual_start"),
        ({"prune_method": "random", "gradual_end": 0.5, "gradual_start": 0.6}, "gradual_start"),
        ({"data": "rows.csv", "n_dim": 7}, "n_dim"),
        ({"data": "rows.csv", "n_clusters": 7}, "n_clusters"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused(given: dict[str, Any], field: str) -> None:
    assert refusal(**given).startswith(f"{field}: ")


@pytest.mark.parametrize("method", METHODS_WITHOUT_AMOUNT)
def test_operator_that_prunes_no_given_amount_refuses_the_gradual_schedule(method: str) -> None:
    message = refusal(prune_method=method, prune_schedule="gradual")
    assert message.startswith("prune_schedule: gradual ")
    assert f"{method} does not use" in message
    assert "choose random, magnitude or roulette, or another" in message


def test_operators_without_an_amount_are_those_that_look_at_activations() -> None:
    """But for `roulette`, which draws a given amount with chances of activations."""
    looking = {name for name, operator in OPERATORS.items() if operator.needs != "nothing"}
    assert {*METHODS_WITHOUT_AMOUNT, "roulette"} == looking


@pytest.mark.parametrize("method", ["random", "magnitude"])
def test_operator_that_prunes_by_amount_takes_the_gradual_schedule(method: str) -> None:
    gradual = variant(prune_method=method, prune_schedule="gradual", gradual_start=0.75)
    assert (gradual.gradual_start, gradual.gradual_end) == (0.75, 0.75)


def test_without_pruning_the_gradual_schedule_is_at_its_defaults_too() -> None:
    assert variant(prune_schedule="gradual", gradual_start=0.9) == Variant()


def test_long_value_is_shown_shortened() -> None:
    assert len(refusal(epochs="x" * 3000)) < 300


def test_variant_is_a_value() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Variant().epochs = 3  # type: ignore[misc]
    assert variant(epochs=3) == variant(epochs=3)
    assert hash(variant(epochs=3)) == hash(variant(epochs=3))


def test_unknown_field_is_refused_by_the_variant_itself() -> None:
    with pytest.raises(ValidationError, match="prune_metod"):
        variant(prune_metod="random")


# --- settings that follow from others


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("50_100_4000", "binary_clustering_50_100_4000"),
        ("binary_clustering_50_100_4000", "binary_clustering_50_100_4000"),
        ("binary_clustering_050_0100_04000", "binary_clustering_50_100_4000"),
    ],
)
def test_dataset_name_has_two_forms_and_one_spelling(given: str, name: str) -> None:
    resolved = variant(dataset_name=given)
    assert resolved.dataset_name == name
    sizes = (resolved.n_clusters, resolved.n_examples_per_cluster, resolved.n_dim)
    assert sizes == (50, 100, 4000)
    assert resolved.id == variant(dataset_name=name).id


def test_sizes_replace_those_of_the_dataset_name() -> None:
    resolved = variant(dataset_name="10_100_1000", n_dim=20, n_clusters=5)
    assert resolved.dataset_name == "binary_clustering_5_100_20"
    assert resolved == variant(dataset_name="5_100_20")


@pytest.mark.parametrize(
    "name",
    ["", "mnist", "10_100", "10_100_x", "10_100_1000_5", "10_-100_1000", "10_100_1000\n", " 1_2_3"],
)
def test_malformed_dataset_name_is_refused(name: str) -> None:
    message = refusal(dataset_name=name)
    assert message.startswith(f"dataset_name: {name!r} is not ")
    assert "--data" in message


@pytest.mark.parametrize(
    ("name", "field"),
    [("0_100_9", "n_clusters"), ("1_0_9", "n_examples_per_cluster"), ("1_1_0", "n_dim")],
)
def test_dataset_of_no_size_is_refused(name: str, field: str) -> None:
    assert refusal(dataset_name=name).startswith(f"{field}: ")


def test_data_file_names_the_dataset_and_has_no_clusters() -> None:
    resolved = variant(data="/some/where/rows.parquet", dataset_name="50_100_4000")
    assert resolved.dataset_name == "rows"
    sizes = (resolved.n_clusters, resolved.n_examples_per_cluster, resolved.n_dim)
    assert sizes == (None, None, None)


@pytest.mark.parametrize(
    "space",
    [
        {"radius": 2},
        {"topology": "grid"},
        {"topology": "grid", "grid_rows": 2},
        {"topology": "complete"},
        {"update_order": "synchronous"},
        {"cell_data_fraction": 0.5},
    ],
    ids=str,
)
def test_where_all_are_neighbours_of_all_there_is_no_space(space: dict[str, Any]) -> None:
    known = {"cell_evaluation": "all_vs_all", "population_size": 6}
    name, value = next(iter(space.items()))
    message = f"{name}: {value} means nothing for all_vs_all; leave it out"
    assert refusal(**known, **space) == message
    default = Variant.model_fields[name].default
    assert variant(**known, **{name: default}) == variant(**known)


def test_so_many_networks_may_all_meet() -> None:
    known = {"cell_evaluation": "all_vs_all"}
    assert variant(**known, population_size=1024).population_size == 1024
    message = "population_size: 1025 networks make 1,050,625 pairs; all_vs_all takes up to 1,024"
    assert refusal(**known, population_size=1025) == message


def test_canonical_baseline_is_always_a_ring_of_one() -> None:
    forced = variant(
        cell_evaluation="ann_canonical", population_size=7, radius=3, topology="grid", grid_rows=4
    )
    assert forced == variant(cell_evaluation="ann_canonical")
    assert (forced.population_size, forced.radius, forced.topology) == (1, 0, "ring")
    assert forced.is_canonical


def test_policies_are_the_published_ones_unless_given() -> None:
    ring, baseline = variant(), variant(cell_evaluation="ann_canonical")
    assert (ring.learning_rate_policy, ring.optimizer_state) == ("walk", "step")
    assert (baseline.learning_rate_policy, baseline.optimizer_state) == ("step", "cell")
    mixed = variant(
        cell_evaluation="ann_canonical", learning_rate_policy="walk", optimizer_state="generation"
    )
    assert (mixed.learning_rate_policy, mixed.optimizer_state) == ("walk", "generation")


@pytest.mark.parametrize("given", [None, "None", "none"])
def test_no_pruning_has_one_spelling(given: str | None) -> None:
    assert variant(prune_method=given) == Variant()


# --- id


def test_id_is_short_and_fit_for_a_path() -> None:
    assert re.fullmatch(r"v[0-9a-f]{10}", Variant().id)


@settings(deadline=None, max_examples=25)
@given(st.randoms(use_true_random=False))
def test_id_does_not_depend_on_the_order_of_the_settings(order: random.Random) -> None:
    items = list(variant(epochs=3, prune_method="random", hidden_sizes=(4, 3)).model_dump().items())
    order.shuffle(items)
    assert variant(**dict(items)).id == variant(**dict(sorted(items))).id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"epochs": 7}, {"epochs": "7"}),
        ({"epochs": 7}, {"epochs": 7.0}),
        ({"learning_rate": 1}, {"learning_rate": 1.0}),
        ({"learning_rate": 1e-5}, {}),
        ({"prune_probability": "0.5"}, {}),
        ({"hidden_sizes": "4,3"}, {"hidden_sizes": [4, 3]}),
        ({"store_all_nodes": "false"}, {}),
        ({"learning_rate_policy": "walk", "optimizer_state": "step"}, {}),
    ],
)
def test_equal_settings_have_equal_ids_however_they_are_written(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert variant(**one) == variant(**other)
    assert variant(**one).id == variant(**other).id


@pytest.mark.parametrize("field", [name for name in Variant.model_fields if name != "name"])
def test_id_tells_every_field(field: str) -> None:
    told = {"prune_method": "lexicase", **({"topology": "grid"} if field == "grid_rows" else {})}
    before, changed = variant(**told), variant(**told | {field: other_value(field)})
    assert getattr(changed, field) != getattr(before, field)
    assert changed.id != before.id


@pytest.mark.parametrize("field", OPERATOR_FIELDS)
def test_without_pruning_the_operators_settings_tell_nothing(field: str) -> None:
    assert variant(**{field: other_value(field)}) == Variant()


def test_without_pruning_weights_may_stay_frozen_still() -> None:
    frozen = variant(pruned_weights="frozen", ann_path="somewhere")
    assert frozen.pruned_weights == "frozen"


def test_id_of_variants_of_a_hundred_seeds_are_distinct() -> None:
    assert len({variant(rng_seed=seed).id for seed in range(100)}) == 100


def test_data_file_counts_by_its_content_and_not_by_its_folder() -> None:
    here, there = (
        variant(data="/a/x.csv", data_digest="ab"),
        variant(data="/b/x.csv", data_digest="ab"),
    )
    assert here.id == there.id
    assert here.id != variant(data="/a/x.csv", data_digest="cd").id


def test_data_file_without_a_digest_counts_by_its_path() -> None:
    assert variant(data="/a/x.csv").id != variant(data="/b/x.csv").id


@pytest.mark.parametrize("field", Variant.model_fields)
def test_every_field_has_a_help_text_and_a_heading(field: str) -> None:
    info = Variant.model_fields[field]
    assert info.description
    assert isinstance(info.json_schema_extra, dict)
    assert info.json_schema_extra["group"]
