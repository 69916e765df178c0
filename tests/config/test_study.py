"""Studies: sweeps, listed variants and overrides."""

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


def test_what_a_study_knows_of_itself_goes_into_no_other() -> None:
    study = resolve(epochs=[3, 5])
    assert study.interval.seconds == 30
    three, five = study.variants
    assert study.label(three) != study.label(five)
    assert study.with_variants(study.variants) == study
    assert study.model_copy(update={"checkpoint_interval": 7}).interval.generations == 7
    alone = Variant(epochs=9)
    for other in (
        study.with_variants([three, alone]),
        study.model_copy(update={"variants": (three, alone)}),
    ):
        assert other.label(alone) != other.label(three)
