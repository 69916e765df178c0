"""Settings at the edge of what is allowed: refused in one line, or meant as they are written."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from aes_lipi.coevolution.cell import tournament
from aes_lipi.config import StudyFile, Variant, load_preset, load_study_file, resolve_study
from aes_lipi.errors import UserError
from aes_lipi.pruning.schedules import prune_probability


@pytest.mark.parametrize(
    "value",
    ['!!int ""', '!!float ""', "!!bool foo", "!!timestamp foo"],
)
def test_yaml_scalar_of_a_false_tag_is_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"settings: {{epochs: {value} }}")
    with pytest.raises(UserError):
        load_study_file(path)


@pytest.mark.parametrize("content", ['"a\\nb": 1', 'settings: {"a\\nb": 1}'])
def test_key_with_a_line_break_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        resolve_study("x", load_study_file(path), {})
    assert len(str(caught.value).splitlines()) == 1


def test_endless_digits_in_a_dataset_name_are_refused_by_field() -> None:
    with pytest.raises(UserError, match=r"^dataset_name"):
        resolve_study("x", StudyFile(settings={"dataset_name": "9" * 5000 + "_1_1"}), {})


def test_digits_of_a_dataset_name_are_ascii() -> None:
    with pytest.raises(UserError):
        resolve_study("x", StudyFile(settings={"dataset_name": "\u0663_\u0663_\u0663"}), {})


@pytest.mark.parametrize("field", ["epochs", "population_size", "hidden_sizes", "radius"])
def test_truth_value_is_no_count(field: str) -> None:
    with pytest.raises(UserError):
        resolve_study("x", StudyFile(settings={field: True}), {})


def test_counts_have_an_upper_bound() -> None:
    with pytest.raises(UserError):
        resolve_study("x", StudyFile(settings={"epochs": 10**30}), {})


def test_renaming_a_data_file_keeps_the_id() -> None:
    one, other = (Variant(data=f"/a/{n}.csv", data_digest="ab") for n in ("x", "y"))
    assert one.id == other.id


def test_labels_stay_unique_when_a_schedule_is_swept_over_no_pruning() -> None:
    study = resolve_study("q", load_preset("best_of_lipi"), {"prune_schedule": "fixed,increase"})
    labels = [study.label(v) for v in study.variants]
    assert len(set(labels)) == len(labels)


def test_labels_of_close_floats_are_distinct() -> None:
    study = resolve_study(
        "q",
        StudyFile(settings={"prune_method": "random", "prune_probability": [0.5, 0.50000001]}),
        {},
    )
    assert len({study.label(v) for v in study.variants}) == 2


def test_path_of_saved_models_may_hold_commas() -> None:
    study = resolve_study("q", StudyFile(), {"ann_path": "/a,b/m.safetensors"})
    assert [v.ann_path for v in study.variants] == ["/a,b/m.safetensors"]


def test_nan_loses_to_infinity() -> None:
    assert tournament(np.array([math.inf, math.nan]), (0, 1)) == 0


def test_final_n_begins_at_its_share_exactly() -> None:
    v = Variant(prune_method="random", prune_schedule="final_n", final_n_start=0.07, epochs=101)
    assert prune_probability(v, 7, 3) == 0.5  # 7 >= 0.07 * 100


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("settings: {epochs: 3, epochs: 4}")
    with pytest.raises(UserError, match="'epochs' stands twice"):
        load_study_file(path)


def test_a_study_of_endless_variants_is_refused() -> None:
    sweeps = {"rng_seed": list(range(200)), "dataset_seed": list(range(200))}
    with pytest.raises(UserError, match="more than 10000 variants"):
        resolve_study("x", StudyFile(settings=sweeps), {})
