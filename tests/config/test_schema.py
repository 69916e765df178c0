"""The schema of study files: what it takes, and that presets have it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from aes_lipi.config import Variant, load_study_file, presets_directory, resolve_study
from aes_lipi.config.schema import NOT_GIVEN, study_schema

PRESETS = sorted(presets_directory().glob("*.yaml"))
SCHEMA = study_schema()
CHECK = jsonschema.Draft7Validator(SCHEMA)


def test_it_lies_beside_the_presets_as_it_is() -> None:
    """To mend: `aes-lipi schema > configs/study.schema.json`."""
    there = json.loads((presets_directory() / "study.schema.json").read_text("utf-8"))
    assert there == SCHEMA
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", PRESETS, ids=[path.stem for path in PRESETS])
def test_every_preset_names_it_and_has_it(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.startswith("# yaml-language-server: $schema=study.schema.json\n")
    CHECK.validate(yaml.safe_load(text))


def test_every_setting_is_there_with_its_description() -> None:
    settings = SCHEMA["definitions"]["settings"]["properties"]
    assert {name for name, each in settings.items() if "description" in each} == {
        name for name in Variant.model_fields if name not in NOT_GIVEN
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 5, "prune_method": "random", "learning_rate": 0.1, "hidden_sizes": [5, 4]},
        {"epochs": [5, 6], "prune_method": "None, random", "hidden_sizes": [[5], [6, 4]]},
        {"prune_method": ["None", "my_module:function"], "n_dim": None, "store_all_nodes": True},
        {
            "prune_method": {"plugin": "m:f", "quota": [0.1, 0.2]},
            "columns": ["a", "b"],
            "metrics": "m:f",
            "store_recorded": "yes",
        },
    ],
)
def test_what_a_study_takes_it_takes(settings: dict[str, Any], tmp_path: Path) -> None:
    content = {"$schema": "study.schema.json", "trials": 2, "settings": settings}
    CHECK.validate(content)
    CHECK.validate({"variants": [settings]})
    (tmp_path / "study.json").write_text(json.dumps(content), "utf-8")
    settings_there = load_study_file(tmp_path / "study.json").settings
    assert settings_there.keys() == settings.keys()
    if "columns" not in settings:
        resolve_study("mine", load_study_file(tmp_path / "study.json"), {})


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({"trial": 2}, []),
        ({"trials": 0}, ["trials"]),
        ({"settings": {"epoch": 3}}, ["settings"]),
        ({"settings": {"epochs": 0}}, ["settings", "epochs"]),
        ({"settings": {"prune_probability": [0.5, 1.5]}}, ["settings", "prune_probability"]),
        ({"settings": {"device": "gpu"}}, ["settings", "device"]),
        ({"variants": [{"data_digest": "x"}]}, ["variants", 0]),
    ],
)
def test_a_mistake_is_marked_where_it_stands(content: dict[str, Any], place: list[Any]) -> None:
    [error] = CHECK.iter_errors(content)
    assert list(error.path) == place
