"""JSON configurations of the published code, as the content of a study file.

Its configuration is one object of single values, its sensitivities one of lists, whose product is
run. docs/how_to/published_code.md sets its fields beside ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aes_lipi.config.defaults import OTHER_NAMES, TRUTHS, in_present_values, refuse_two_names
from aes_lipi.errors import UserError, printable

_OF_A_STUDY = ("trials", "checkpoint_interval")
_OF_THE_COMMAND = ("output_dir", "no_execution")

WITHOUT_MEANING = (
    *("visualize", "log_level", "checkpoint_every_update", "overwrite_checkpoint"),
    "no_output_dir_timestamp",
)
"""Its fields that mean nothing here."""


@dataclass(frozen=True)
class Translation:
    """A configuration in our words.

    Attributes:
        content: what a study file would hold.
        output_dir: where it wants the results; None if it does not say.
        no_execution: whether it wants nothing run.
        ignored: its fields that mean nothing here.
    """

    content: Mapping[str, Any]
    output_dir: str | None = None
    no_execution: bool = False
    ignored: tuple[str, ...] = ()


def translated(content: Mapping[str, Any]) -> Translation:
    """What a JSON object says, in the published code's form or in that of our study files.

    Raises:
        UserError: it asks for what cannot be run, or gives several values of what has one.
    """
    if {"settings", "variants"} & set(content):
        return Translation(content)
    given = {name: value for name, value in content.items() if value is not None}
    if given.get("ann_path") == "":
        del given["ann_path"]
    study = {name: _single(name, given.pop(name)) for name in _OF_A_STUDY if name in given}
    command = {name: _single(name, given.pop(name)) for name in _OF_THE_COMMAND if name in given}
    ignored = tuple(name for name in given if name in WITHOUT_MEANING)
    refuse_two_names(given)
    settings = {
        name: value
        for field in given
        if field not in ignored
        for name, value in [_setting(field, given[field])]
    }
    for name in ("dataset_name", "environment"):
        _refuse_msd(name, settings.get(name))
    return Translation(
        {**study, "settings": settings},
        output_dir=_output_dir(command.get("output_dir")),
        no_execution=_truth("no_execution", command.get("no_execution", False)),
        ignored=ignored,
    )


def _setting(field: str, value: Any) -> tuple[str, Any]:
    """A field and its value, or list of values, in our words."""
    if field not in OTHER_NAMES:
        return field, value
    each = value if isinstance(value, list) else [value]
    ours = [in_present_values(field, one) for one in each]
    return OTHER_NAMES[field], ours if isinstance(value, list) else ours[0]


def _single(name: str, value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1:
        return value[0]
    if isinstance(value, list | dict):
        raise UserError(f"{name}: give one value")
    return value


def _truth(name: str, value: Any) -> bool:
    truth = False if value == "" else TRUTHS.get(str(value).lower())
    if truth is None:
        raise UserError(f"{name}: {printable(value)}: give true or false")
    return truth


def _output_dir(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    raise UserError(f"output_dir: {printable(value)}: give the path of a folder as text")


def _refuse_msd(field: str, value: Any) -> None:
    for each in value if isinstance(value, list) else [value]:
        if "msd" in str(each).lower():
            raise UserError(
                f"{field}: {printable(each)}: the published code does not define the msd data or "
                "their autoencoder; use --data FILE with a table of your own"
            )
