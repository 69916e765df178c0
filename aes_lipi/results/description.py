"""What a folder's study says of itself: what it was made for, and what its driver is at.

`study.json` tells studies apart, and how another one differs. `progress.json` is of use only as
long as its driver lives, and nobody but `aes-lipi status` reads it.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from aes_lipi.config import ID_FORMAT, Study, Variant
from aes_lipi.errors import UserError, printable
from aes_lipi.io.files import decode_json, encode_json
from aes_lipi.results.storage import Storage

STUDY_FILE = "study.json"
LOCAL_FILE = "local.json"
"""What means something on the driver's machine alone; nothing else has paths of it."""


Variants = Mapping[str, Mapping[str, Any]]

_GIVEN_NAME = "given_name"
"""The key of the setting `name` in `study.json`, where `name` is the label."""

_ID = re.compile(r"v[0-9a-f]{10}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAMES = ("name", _GIVEN_NAME)
_SHOWN = 3
_LONGEST = 256 * 1024 * 1024  # bytes; of a study with the most variants there may be, a tenth
_NEARBY = 20  # variants that are compared with each: sweeps keep their order


@dataclass(frozen=True)
class StudyDescription:
    """What a `study.json` says.

    Attributes:
        name: of the study.
        trials: replicates of every variant.
        variants: their settings and names, by id.
    """

    name: str
    trials: int
    variants: Variants

    def label(self, variant: str) -> str:
        """The label of a variant among those of this study."""
        return str(self.variants[variant].get("name", variant))

    def settings(self, variant: str) -> Mapping[str, Any]:
        """The settings of a variant, as JSON has them."""
        return described_settings(self.variants[variant])


def describe_study(study: Study) -> bytes:
    """The content of `study.json`."""
    return encode_json(
        {
            "format": ID_FORMAT,
            "name": study.name,
            "description": study.description,
            "trials": study.trials,
            "variants": _variants_of(study),
        }
    )


def describe_places(study: Study) -> bytes:
    """The content of `local.json`: where on this machine a study's data files are, by digest."""
    places = {v.data_digest: v.data for v in study.variants if v.data and v.data_digest}
    return encode_json({"data": places}) if places else b""


def holds_places(storage: Storage) -> bool:
    """Whether a folder has a `local.json` that a driver wrote."""
    document = decode_json(storage.read(LOCAL_FILE, _LONGEST)) or {}
    places = document.get("data")
    if document.keys() != {"data"} or not isinstance(places, dict):
        return False
    return all(map(_DIGEST.fullmatch, places)) and all(isinstance(v, str) for v in places.values())


def located(storage: Storage, variant: Variant) -> Variant:
    """A variant of a study's folder, with the place of its data file where the folder knows it."""
    places = (decode_json(storage.read(LOCAL_FILE, _LONGEST)) or {}).get("data")
    place = places.get(variant.data_digest) if isinstance(places, dict) else None
    if variant.data is None or not isinstance(place, str):
        return variant
    return variant.model_copy(update={"data": place})


def stored_description(storage: Storage) -> bytes | None:
    """The content of a folder's `study.json`; None if there is none.

    Raises:
        UserError: the folder cannot be read; the message says why.
    """
    return storage.read(STUDY_FILE, _LONGEST)


def _variants_of(study: Study) -> Variants:
    """A study's variants as they are described, by id."""
    return {
        variant.id: {
            **variant.portable(),
            **({} if variant.name is None else {_GIVEN_NAME: variant.name}),
            "name": study.label(variant),
        }
        for variant in study.variants
    }


def described_settings(described: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a variant as `study.json` describes it, without its label."""
    settings = {name: value for name, value in described.items() if name != _GIVEN_NAME}
    return {**settings, "name": described.get(_GIVEN_NAME)}


def read_variants(content: bytes) -> Variants | None:
    """The variants of a `study.json`; None if the content is not one."""
    variants = (decode_json(content) or {}).get("variants")
    if not isinstance(variants, dict) or not all(isinstance(v, dict) for v in variants.values()):
        return None
    return variants


def _version_clause(content: bytes) -> str | None:
    """Which version wrote a `study.json`, if its ids are not those of this one; else None."""
    found = (decode_json(content) or {}).get("format")
    if found == ID_FORMAT:
        return None
    earlier = isinstance(found, int) and found < ID_FORMAT
    return (
        f"written by {'an earlier' if earlier else 'another'} version of aes_lipi, whose ids of "
        f"variants are of another format ({printable(found)} there, {ID_FORMAT} here)"
    )


def read_study_description(content: bytes) -> StudyDescription | None:
    """What a `study.json` says; None if the content is not one."""
    document, variants = decode_json(content) or {}, read_variants(content)
    name, trials = document.get("name"), document.get("trials")
    if variants is None or not isinstance(name, str) or type(trials) is not int or trials < 1:
        return None
    return StudyDescription(name, trials, variants)


def check_same_study(storage: Storage, content: bytes, study: Study) -> None:
    """Make sure that a folder was made for a study, or for a part of its variants.

    Args:
        storage: the folder.
        content: of its `study.json`.
        study: what is asked for.

    Raises:
        UserError: the folder was made for another study, or by another version; the line says how
            they differ and what to do.
    """
    known, asked = read_variants(content), _variants_of(study)
    other_version = _version_clause(content)
    if other_version is not None:
        raise UserError(
            f"{storage.shown}: {other_version}; choose another --output_dir, or --fresh "
            "to remove its results and start again"
        )
    if known is None or not known.keys() <= asked.keys():
        raise UserError(
            f"{storage.shown}: holds a different study ({_difference(known or {}, asked)}); "
            "choose another --output_dir, or --fresh to remove its results and start again, or "
            "run it with the settings it was made with"
        )


def is_study_description(content: bytes) -> bool:
    """Whether a `study.json` is one of ours, of this version or an earlier one."""
    described = read_study_description(content)
    return described is not None and all(map(_ID.fullmatch, described.variants))


def _difference(known: Variants, asked: Variants) -> str:
    """How the variants asked for differ from those known, field by field, in a line."""
    gone = {key: value for key, value in known.items() if key not in asked}
    new = {key: value for key, value in asked.items() if key not in known}
    if not gone or not new:
        return "; ".join(_only("adds", new) + _only("lacks", gone))
    changes = Counter(_changes(new, gone))
    lines = [
        f"{text}" if count == len(asked) else f"{text} in {_count(count)}"
        for text, count in changes.most_common(_SHOWN)
    ]
    if len(changes) > _SHOWN:
        lines.append(f"and {len(changes) - _SHOWN} more such differences")
    return "; ".join(lines)


def _changes(new: Variants, gone: Variants) -> list[str]:
    """For each new variant what tells it from the nearest that is gone."""
    remaining = dict(gone)
    texts = []
    for name, variant in new.items():
        if not remaining:
            texts.append(f"new: {printable(variant.get('name', name))}")
            continue
        nearby = itertools.islice(remaining, _NEARBY)
        before = remaining.pop(_nearest(variant, {key: gone[key] for key in nearby}))
        changes = [_change(field, before, variant) for field in _fields(before, variant)]
        texts.append(", ".join(changes))
    texts += [f"gone: {printable(value.get('name', key))}" for key, value in remaining.items()]
    return texts


def _nearest(variant: Mapping[str, Any], others: Variants) -> str:
    return min(others, key=lambda key: len(_fields(others[key], variant)))


def _fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    every = dict.fromkeys([*before, *after])
    return [name for name in every if name not in _NAMES and before.get(name) != after.get(name)]


def _change(field: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    there, asked = printable(before.get(field)), printable(after.get(field))
    return f"{printable(field)}: {there} there, {asked} asked for"


def _only(verb: str, variants: Variants) -> list[str]:
    if not variants:
        return []
    names = [printable(value.get("name", key)) for key, value in variants.items()]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return [f"it only {verb} {_count(len(names))}: {', '.join(names[:_SHOWN])}{more}"]


def _count(number: int) -> str:
    return f"{number} variant{'' if number == 1 else 's'}"


PROGRESS_FILE = "progress.json"
_LONGEST_PROGRESS = 16 * 1024 * 1024  # bytes; a running trial takes some two hundred

_Count = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class RunningTrial(_Strict):
    """A trial on its way.

    Attributes:
        variant: id of its variant.
        label: name of its variant.
        trial: its number.
        generations: that it has behind it.
        epochs: generations of a whole trial.
        mean_L1: mean over its cells when it was written down last; None if it was not measured.
    """

    variant: str
    label: str
    trial: _Count
    generations: _Count
    epochs: _Count
    mean_L1: float | None = None  # noqa: N815 - the column's name for it


class Remark(_Strict):
    """What a driver said, or what it lost.

    Attributes:
        at: when, in seconds since 1970.
        text: a line.
    """

    at: _Count
    text: str


class Progress(_Strict):
    """What a driver knows beyond its study's files.

    Attributes:
        format: version of the file's layout.
        lock: token of the driver's lock; of no other driver is this true.
        generations_per_second: of all trials together; None before that can be known.
        generations_left: of all trials that the driver is to run.
        running: the trials on their way, in the order in which they started.
        nodes: of the cluster that it has now; None on one machine.
        cpus: of these; None on one machine.
        remarks: the last ones, the newest last.
    """

    format: Literal[1] = 1
    lock: str = Field(validation_alias=AliasChoices("lock", "claim"))  # claim: of earlier versions
    generations_per_second: Annotated[float, Field(gt=0)] | None
    generations_left: _Count
    running: tuple[RunningTrial, ...]
    nodes: _Count | None = None
    cpus: Annotated[float, Field(ge=0)] | None = None
    remarks: tuple[Remark, ...] = ()

    @property
    def seconds_left(self) -> float | None:
        """Time that the rest will take; None before that can be known."""
        rate = self.generations_per_second
        return None if rate is None else self.generations_left / rate

    def encoded(self) -> bytes:
        """The content of `progress.json`.

        Raises:
            UserError: a label cannot be written.
        """
        return encode_json(self.model_dump())


def read_progress(storage: Storage) -> Progress | None:
    """What a folder's `progress.json` says; None if there is none, or it is not one of ours.

    Raises:
        UserError: the folder cannot be read.
    """
    content = storage.read(PROGRESS_FILE, _LONGEST_PROGRESS)
    try:
        return None if content is None else Progress.model_validate_json(content)
    except ValidationError:
        return None


def holds_progress(storage: Storage) -> bool:
    """Whether a folder has a `progress.json` that a driver wrote."""
    try:
        return read_progress(storage) is not None
    except UserError:  # a link, say, or a folder
        return False
