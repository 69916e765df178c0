"""Studies: sweeps, listed variants, overrides and labels."""

from __future__ import annotations

from typing import Any

import pytest

from aes_lipi.config import Study, StudyFile, Variant, parse_seconds, resolve_study
from aes_lipi.errors import UserError

FILE = StudyFile(
    description="two swept fields, three listed families",
    trials=7,
    settings={"epochs": [3, 5], "radius": 2, "prune_probability": [0.1, 0.2]},
    variants=(
        {"prune_method": "random"},
        {"prune_method": ["lexicase", "magnitude"], "prune_probability": 0.9},
        {"prune_method": "activation", "epochs": 11},
    ),
)


def resolve(overrides: dict[str, Any] | None = None, **settings: Any) -> Study:
    return resolve_study("mine", StudyFile(settings=settings), overrides or {})


def one_line(caught: pytest.ExceptionInfo[UserError]) -> str:
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_empty_file_is_one_variant_of_the_defaults_with_thirty_trials() -> None:
    study = resolve()
    assert study.variants == (Variant(),)
    assert study.trials == study.n_trials == 30
    assert study.label(study.variants[0]) == "mine"


def test_listed_variants_are_laid_over_the_settings_and_swept() -> None:
    study = resolve_study("mine", FILE, {})
    rows = [(v.prune_method, v.epochs, v.prune_probability) for v in study.variants]
    # Families in order; within a family the first field of the settings varies slowest.
    assert rows == [
        ("random", 3, 0.1),
        ("random", 3, 0.2),
        ("random", 5, 0.1),
        ("random", 5, 0.2),
        ("lexicase", 3, 0.9),
        ("magnitude", 3, 0.9),
        ("lexicase", 5, 0.9),
        ("magnitude", 5, 0.9),
        ("activation", 11, 0.1),
        ("activation", 11, 0.2),
    ]
    assert {v.radius for v in study.variants} == {2}
    assert (study.name, study.description, study.trials) == ("mine", FILE.description, 7)
    assert study.n_trials == 70


def test_override_replaces_swept_and_listed_fields_alike() -> None:
    study = resolve_study("mine", FILE, {"epochs": 2, "trials": 1, "radius": 0})
    # random x 2 p, lexicase, magnitude, activation x 2 p
    assert len(study.variants) == study.n_trials == 6
    assert {(v.epochs, v.radius) for v in study.variants} == {(2, 0)}


def test_override_of_the_listed_field_leaves_only_its_value() -> None:
    study = resolve_study("mine", FILE, {"prune_method": "None", "prune_probability": 0.5})
    # What the families have left to differ in is epochs 3, 5 and 11; equal variants are one.
    assert [(v.prune_method, v.epochs) for v in study.variants] == [
        ("None", 3),
        ("None", 5),
        ("None", 11),
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [("3,5", [3, 5]), ("3, 5 ,", [3, 5]), ([3, 5], [3, 5]), ("3", [3]), (3, [3])],
)
def test_comma_list_is_swept(given: Any, expected: list[int]) -> None:
    study = resolve({"epochs": given}, epochs=400)
    assert [variant.epochs for variant in study.variants] == expected


def test_comma_list_of_names_is_swept_and_none_means_no_pruning() -> None:
    study = resolve({"prune_method": "none,random,None"})
    assert [variant.prune_method for variant in study.variants] == ["None", "random"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("60,30", [(60, 30)]),
        (" 60 , 30 ", [(60, 30)]),
        ("30", [(30,)]),
        (30, [(30,)]),
        ([60, 30], [(60, 30)]),
        (["60", "30"], [(60, 30)]),
        ([[60, 30], [30]], [(60, 30), (30,)]),
        ([[60, 30], 20, None], [(60, 30), (20,), None]),
        ([], [()]),
        ("", [()]),
        (None, [None]),
        ((60, 30), [(60, 30)]),
    ],
)
def test_hidden_sizes_are_widths_and_only_lists_of_lists_are_swept(
    given: Any, expected: list[tuple[int, ...] | None]
) -> None:
    for study in (resolve(hidden_sizes=given), resolve({"hidden_sizes": given})):
        assert [variant.hidden_sizes for variant in study.variants] == expected


@pytest.mark.parametrize("given", ["60,x", [0], [[60], [0]], [1.5], "60;30", {"a": 1}])
def test_impossible_hidden_sizes_are_refused(given: Any) -> None:
    with pytest.raises(UserError) as caught:
        resolve(hidden_sizes=given)
    assert one_line(caught).startswith("hidden_sizes")


def test_path_of_a_data_file_may_hold_commas() -> None:
    study = resolve({"data": "/a,b/rows,1.csv"})
    assert [(v.data, v.dataset_name) for v in study.variants] == [("/a,b/rows,1.csv", "rows,1")]


@pytest.mark.parametrize(
    ("field", "offered"),
    [
        ("prune_metod", "prune_method"),
        ("epoch", "epochs"),
        ("learningrate", "learning_rate"),
        ("populationsize", "population_size"),
    ],
)
def test_unknown_field_is_refused_with_the_nearest_names(field: str, offered: str) -> None:
    for settings, overrides in (({field: 3}, {}), ({}, {field: 3})):
        with pytest.raises(UserError) as caught:
            resolve_study("mine", StudyFile(settings=settings), overrides)
        message = one_line(caught)
        assert message.startswith(f"{field}: no such field; did you mean ")
        assert offered in message


def test_unknown_field_that_resembles_none_is_refused_without_a_guess() -> None:
    with pytest.raises(UserError, match=r"^zzzzzz: no such field$"):
        resolve(zzzzzz=1)


def test_empty_list_of_values_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"^epochs: the list of values is empty; give at least one$"
    ):
        resolve(epochs=[])


@pytest.mark.parametrize("given", [0, -1, 10_000, "many", 1.5, [1, 2], None])
def test_impossible_number_of_trials_is_refused(given: Any) -> None:
    with pytest.raises(UserError) as caught:
        resolve({"trials": given})
    assert one_line(caught).startswith("trials: ")


def test_variants_that_come_out_equal_are_one() -> None:
    # The baseline has no ring, so sweeping the ring's size leaves one variant.
    study = resolve(cell_evaluation="ann_canonical", population_size=[1, 5, 10], radius=[1, 2])
    assert len(study.variants) == 1


def test_label_names_what_differs_and_nothing_else() -> None:
    study = resolve(prune_method=["None", "random"], epochs=[3, 5], batch_size=2)
    assert [study.label(variant) for variant in study.variants] == [
        "no pruning, epochs=3",
        "no pruning, epochs=5",
        "random, epochs=3",
        "random, epochs=5",
    ]


def test_label_of_an_unpruned_variant_names_no_schedule() -> None:
    study = resolve_study(
        "mine",
        StudyFile(
            variants=(
                {"prune_method": "None"},
                {"prune_method": "random", "prune_schedule": "exponential"},
                {"prune_method": "lexicase", "prune_schedule": "final_n"},
            )
        ),
        {},
    )
    assert {study.label(variant) for variant in study.variants} == {
        "no pruning",
        "random, exponential",
        "lexicase, final_n",
    }


def test_a_study_file_does_not_change_when_it_is_resolved() -> None:
    before = FILE.model_dump()
    resolve_study("mine", FILE, {"epochs": 1, "trials": 1, "prune_method": "random"})
    assert FILE.model_dump() == before


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("1.5", 1.5), ("30s", 30.0), ("5min", 300.0), ("1h", 3600.0)],
)
def test_times_are_seconds_unless_they_say_otherwise(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "soon", "1d", "1e9", "0s", "5 generations"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"give seconds \(90\) or a time"):
        parse_seconds(text)
