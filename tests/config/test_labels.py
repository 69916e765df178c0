"""What variants are called, and what a study says of itself when it was changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aes_lipi.config import Study, StudyFile, Variant, label_variants, load_preset, resolve_study
from aes_lipi.errors import UserError
from aes_lipi.results.schema import settings_row


def study(*variants: dict[str, Any], description: str = "", **shared: Any) -> Study:
    file = StudyFile(settings=shared, variants=variants, description=description)
    return resolve_study("mine", file, {})


def labels(made: Study) -> list[str]:
    return [made.label(variant) for variant in made.variants]


def of_all(*studies: Study) -> list[str]:
    return [*label_variants({v.id: vars(v) for each in studies for v in each.variants}).values()]


METHODS = ({"prune_method": "None"}, {"prune_method": "random", "prune_schedule": "exponential"})

LINEAR = {"environment": "LinearCodeAutoencoder", "output_activation": "linear"}


@pytest.mark.parametrize(
    ("variants", "shared", "expected"),
    [
        ((), {}, ["mine"]),
        (
            (),
            {"prune_method": ["None", "random"], "epochs": [3, 5], "batch_size": 2},
            [f"{name}, epochs={n}" for name in ("no pruning", "random") for n in (3, 5)],
        ),
        (
            (*METHODS, {"prune_method": "lexicase", "prune_schedule": "final_n"}),
            {},
            ["no pruning", "random, exponential", "lexicase, final_n"],
        ),
        (
            (),
            {"prune_method": "random", "prune_probability": [0.5, 0.50000001, 1.0]},
            ["prune_probability=0.5", "prune_probability=0.50000001", "prune_probability=1"],
        ),
        (
            ({"prune_method": "random"}, {"initial_weights": "pca"}),
            LINEAR,
            ["random", "from PCA, no pruning"],
        ),
        ((), {"initial_weights": ["random", "pca"], **LINEAR}, ["random weights", "from PCA"]),
        ((), {"hidden_sizes": [[60, 30], [9]]}, ["hidden_sizes=60,30", "hidden_sizes=9"]),
        (
            ({"name": "narrow"}, {"name": "wide", "radius": 2}, {"radius": 3}),
            {},
            ["narrow", "wide", "radius=3"],
        ),
        (
            ({"name": "a", "epochs": [1, 2]}, {"name": "b", "epochs": 1, "radius": 2}),
            {},
            ["a, epochs=1", "a, epochs=2", "b"],
        ),
        (
            METHODS,
            {"name": "wide, too"},
            ["wide, too, no pruning", "wide, too, random, exponential"],
        ),
    ],
)
def test_labels_say_what_differs(
    variants: Sequence[dict[str, Any]], shared: dict[str, Any], expected: list[str]
) -> None:
    assert labels(study(*variants, **shared)) == expected


def test_a_name_that_another_label_has_is_told_by_the_id() -> None:
    made = study({"name": "radius=2"}, {"radius": 2}, {"radius": 3})
    one, two, _ = made.variants
    assert labels(made) == [f"radius=2 ({one.id})", f"radius=2 ({two.id})", "radius=3"]


def test_two_studies_of_one_preset_are_told_apart_by_what_was_changed() -> None:
    one, two = (resolve_study("q", load_preset("quickstart"), {"radius": r}) for r in (1, 2))
    assert labels(one) == labels(two) == ["no pruning", "random, exponential"]
    assert of_all(one, two) == [
        *("no pruning, radius=1", "random, exponential, radius=1"),
        *("no pruning, radius=2", "random, exponential, radius=2"),
    ]


def test_long_values_and_digests_are_short_and_labels_still_unique() -> None:
    digests = ["a" * 64, "a" * 63 + "b"]
    shared = {"data": "rows.csv", "dataset_name": "rows"}
    known = {f"v{i}": {**shared, "data_digest": each} for i, each in enumerate(digests)}
    assert list(label_variants(known).values()) == [
        "data_digest=aaaaaaaa (v0)",
        "data_digest=aaaaaaaa (v1)",
    ]
    assert list(label_variants({"a": {"name": "x\n\x1b[1m"}}).values()) == ["x??[1m"]


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "prune_method": st.sampled_from(["None", "random"]),
                "hidden_sizes": st.sampled_from([None, (3,), (6, 3)]),
                "radius": st.integers(0, 2),
                "learning_rate": st.sampled_from([1e-5, 0.5, 1.0]),
                "name": st.sampled_from([None, "a", "radius=1"]),
            }
        ),
        min_size=1,
        max_size=6,
    )
)
def test_settings_have_one_label_wherever_they_are_read_from(given: list[dict[str, Any]]) -> None:
    """From a variant, JSON, or a table, where a missing number is NaN; in any order."""
    variants = {v.id: v for v in map(Variant.model_validate, given)}
    found = label_variants({key: vars(v) for key, v in variants.items()}, "mine")
    assert len(set(found.values())) == len(variants)
    assert all(found.values())
    of_json = {key: v.model_dump(mode="json") for key, v in reversed(variants.items())}
    missing = {"latent_size": np.nan}
    of_table = {key: {**settings_row(v), **missing} for key, v in variants.items()}
    assert label_variants(of_json, "mine") == label_variants(of_table, "mine") == found


def test_a_name_is_no_part_of_the_id_and_one_variant_has_one() -> None:
    assert Variant(name="wide").id == Variant().id
    assert [v.name for v in study({}, {"name": "mine"}).variants] == ["mine"]
    with pytest.raises(UserError, match=r"^name: 'a' and 'b' have the same settings; leave one"):
        study({"name": "a"}, {"name": "b"})


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, "A ring of ten."),
        ({"radius": "1", "epochs": 400, "rng_seed": 7, "engine": "dense", "name": "x"}, None),
        ({"radius": 2, "trials": 3}, "Changed (radius=2, trials=3) from: A ring of ten."),
        ({"data": "/home/me/t.csv"}, "Changed (data=t.csv) from: A ring of ten."),
        (
            {"radius": "1,2", "epochs": 1, "batch_size": 2, "tournament_size": 3, "trials": 1},
            "Changed (radius=1,2, epochs=1, batch_size=2, tournament_size=3, 1 more) from: "
            "A ring of ten.",
        ),
    ],
)
def test_a_description_says_what_was_changed(
    overrides: dict[str, Any], expected: str | None
) -> None:
    file = StudyFile(description="A ring of ten.", settings={"epochs": "400"})
    made = resolve_study("mine", file, overrides)
    assert made.description == (expected or file.description)


def test_a_description_that_asks_for_a_flag_is_not_changed_by_it() -> None:
    file = StudyFile(description="Your own table: --data FILE.")
    assert resolve_study("mine", file, {"data": "t.csv"}).description == file.description
