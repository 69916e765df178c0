"""The JSON schema of study files, by which editors complete and check them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aes_lipi.config.defaults import GROUPS, OTHER_NAMES
from aes_lipi.config.study import StudyFile
from aes_lipi.config.variant import Variant

NOT_GIVEN = frozenset({"data_digest", "ann_digest", "plugins_digest", "is_control"})
"""Fields of a variant that nobody gives: they are filled in."""

_DRAFT = "http://json-schema.org/draft-07/schema#"
_AS_TEXT = {"type": "string", "pattern": ","}
_SAID = {
    "description": "One line on the question that the study answers.",
    "trials": "Replicates of every variant.",
    "settings": "Of all variants; lists are swept, and several give their product.",
    "variants": "Settings that are fixed together, laid over the others; lists are swept, too.",
    "checkpoint_interval": "How often a trial on its way is written down: every so many "
    "generations, or a time as in 30s or 5min, or never.",
}


def study_schema() -> dict[str, Any]:
    """What a study file may hold, in the words of JSON Schema, draft 7.

    Editors take numbers and words in YAML as they stand, where a study takes text; so every value
    may be a list (which is swept), or a text with commas, as flags have it.
    """
    keys = StudyFile.model_json_schema()["properties"]
    described = {name: {**key, "description": _SAID[name]} for name, key in keys.items()}
    settings = {"$ref": "#/definitions/settings"}
    described["settings"] = {"description": _SAID["settings"], "allOf": [settings]}
    described["variants"]["items"] = settings
    return {
        "$schema": _DRAFT,
        "title": "Study of aes_lipi",
        "type": "object",
        "properties": {"$schema": {"type": "string"}, **described},
        "additionalProperties": False,
        "definitions": {"settings": _settings()},
    }


def _settings() -> dict[str, Any]:
    fields = Variant.model_json_schema()["properties"]
    settings = {
        name: _setting(name, field) for name, field in fields.items() if name not in NOT_GIVEN
    }
    former = {name: {"deprecated": True} for name in OTHER_NAMES}
    return {"type": "object", "properties": settings | former, "additionalProperties": False}


def _setting(name: str, field: Mapping[str, Any]) -> dict[str, Any]:
    """A field that may be given as one value, as a list of values, or as a text of several."""
    about = {key: field[key] for key in ("description", "default") if key in field}
    left_out = {"title", "group", "sound", *about}
    alone = {key: value for key, value in field.items() if key not in left_out}
    kinds = _with_parts([*field.get("anyOf", [alone]), *_MORE.get(name, [])])
    return {**about, "anyOf": [*kinds, {"type": "array", "items": {"anyOf": kinds}}, _AS_TEXT]}


_MORE: Mapping[str, list[dict[str, Any]]] = {
    **{name: [{"type": "object", "required": ["plugin"]}] for name in GROUPS},
    "graph": [{"type": "array", "items": {"type": "array"}}],
}
"""What study files may hold besides: a plug-in with its parameters, and rows of neighbours."""


def _with_parts(kinds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Kinds of values; where one is a list, also what it is a list of, for a list of one."""
    return [*kinds, *(each["items"] for each in kinds if each.get("type") == "array")]
