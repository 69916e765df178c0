"""Ids of variants: they outlive fields that are added later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aes_lipi.config.variant as module
from aes_lipi.config import Study, Variant, list_presets, load_preset, resolve_study
from aes_lipi.config.defaults import dependent_defaults

CANONICAL = {"cell_evaluation": "ann_canonical"}


class Later(Variant):
    """A version with fields that were added."""

    warm_up: int = 3
    clipping: float | None = None


def preset(name: str) -> Study:
    return resolve_study(name, load_preset(name), {})


def every_variant() -> Iterator[Variant]:
    for name in list_presets():
        yield from preset(name).variants


def told(variant: Variant) -> Mapping[str, Any]:
    """The fields that differ from what they would be if left out."""
    everything = variant.model_dump()
    defaults = {name: field.default for name, field in Variant.model_fields.items()}
    defaults |= dependent_defaults(everything)
    return {name: value for name, value in everything.items() if value != defaults[name]}


@pytest.mark.parametrize("name", list_presets())
def test_ids_of_presets_stay_when_fields_are_added(name: str) -> None:
    for variant in preset(name).variants:
        assert Later(**variant.model_dump()).id == variant.id


def test_what_was_called_store_recorded_has_the_id_that_it_had() -> None:
    """Of `{"store_recorded": true}` in the present format, and of nothing."""
    assert Variant(store_generations="recorded").id == "vc5388a6f4a"
    assert Variant.model_validate({"store_recorded": True}) == Variant(store_generations="recorded")
    assert Variant.model_validate({"store_recorded": "no"}) == Variant()
    assert len({Variant(store_generations=each).id for each in ("none", "recorded", "all")}) == 3


@pytest.mark.parametrize("added", [{"warm_up": 4}, {"clipping": 0.5}])
def test_id_tells_the_value_of_a_field_that_was_added(added: dict[str, Any]) -> None:
    assert Later(**added).id != Variant().id


@pytest.mark.parametrize("version", [1, module.ID_FORMAT + 1])
def test_another_format_gives_every_variant_another_id(
    version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [variant.id for variant in every_variant()]
    monkeypatch.setattr(module, "ID_FORMAT", version)
    after = [variant.id for variant in every_variant()]
    assert not set(before) & set(after)
    assert len(set(before)) == len(set(after))


def test_what_differs_from_the_defaults_gives_the_whole_variant_back() -> None:
    for variant in every_variant():
        assert Variant(**told(variant)) == variant


@settings(deadline=None, max_examples=30)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "cell_evaluation": st.sampled_from(["lipi_simple", "ann_canonical", "epoch-node"]),
            "learning_rate_policy": st.sampled_from(["walk", "step", "constant"]),
            "optimizer_state": st.sampled_from(["step", "generation", "cell"]),
            "dataset_name": st.sampled_from(["4_16_40", "rows:make", "2_6_7"]),
            "population_size": st.integers(1, 4),
            "radius": st.integers(0, 2),
            "prune_method": st.sampled_from(["None", "random", "magnitude"]),
            "prune_schedule": st.sampled_from(["fixed", "gradual"]),
            "data": st.sampled_from([None, "/a/2_6_7.csv"]),
        },
    )
)
def test_fields_that_depend_on_others_are_told_where_they_differ(given: dict[str, Any]) -> None:
    if given.get("data") and "dataset_name" in given:
        del given["dataset_name"]
    variant = Variant(**given)
    assert Variant(**told(variant)) == variant


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, set()),
        (CANONICAL, {"cell_evaluation"}),
        ({"learning_rate_policy": "step"}, {"learning_rate_policy"}),
        ({"learning_rate_policy": "step", **CANONICAL}, {"cell_evaluation"}),
        ({"optimizer_state": "step", **CANONICAL}, {"cell_evaluation", "optimizer_state"}),
        ({"population_size": 7, "radius": 2, **CANONICAL}, {"cell_evaluation"}),
        ({"dataset_name": "4_16_40"}, {"dataset_name"}),
        ({"n_clusters": 4, "n_examples_per_cluster": 16, "n_dim": 40}, {"dataset_name"}),
        ({"data": "/a/2_6_7.csv"}, {"data", "dataset_name"}),
        ({"engine": "dense", "device": "cpu"}, {"engine", "device"}),
    ],
)
def test_only_what_differs_from_the_defaults_is_told(
    given: dict[str, Any], expected: set[str]
) -> None:
    assert set(told(Variant(**given))) == expected


def test_settings_of_another_field_are_another_id() -> None:
    ids = {Variant(**given).id for given in ({}, {"radius": 2}, {"tournament_size": 3}, CANONICAL)}
    assert len(ids) == 4
