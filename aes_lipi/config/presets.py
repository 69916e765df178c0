"""Study files, and what they and flags come to: presets, one a question, and a user's own."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aes_lipi.config.defaults import NAMES_FIELDS, in_present_words
from aes_lipi.config.parameters import PARAMETRISED, split_list, spread
from aes_lipi.config.published_code import translated
from aes_lipi.config.study import Study, StudyFile
from aes_lipi.config.variant import Variant
from aes_lipi.errors import UserError, nearest, printable

_MAX_VARIANTS = 10_000
_MAX_COMBINATIONS = 10 * _MAX_VARIANTS  # several may come to the same variant
_LISTED_FIELDS = frozenset({"hidden_sizes", "metrics", *NAMES_FIELDS})
_PATH_FIELDS = frozenset({"data", "ann_path", "edges"})
_WHOLE_FIELDS = _LISTED_FIELDS | _PATH_FIELDS | {"separator", "label", "name"}
_PLACEHOLDER = re.compile(r"\$(?:\w+|\{[^}]*\})|^~[^/]*")

_MAX_STUDY_FILE_BYTES = 1_000_000


def presets_directory() -> Path:
    """Where the presets lie: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def list_presets() -> list[str]:
    """The names of all presets, in alphabetical order."""
    return sorted(path.stem for path in presets_directory().glob("*.yaml"))


def load_preset(name: str) -> StudyFile:
    """Read a preset by name.

    Raises:
        UserError: no preset has that name; the nearest names are offered.
    """
    known = list_presets()
    if name not in known:
        raise UserError(f"--rq {name}: no such preset{nearest(name, known)} (--list shows all)")
    return load_study_file(presets_directory() / f"{name}.yaml")


@dataclass(frozen=True)
class Configuration:
    """What a study's file says.

    Attributes:
        file: the study.
        output_dir: where it wants the results; None if it does not say.
        no_execution: whether it wants nothing run.
        ignored: its fields that mean nothing here.
    """

    file: StudyFile
    output_dir: str | None = None
    no_execution: bool = False
    ignored: tuple[str, ...] = ()


def load_study_file(path: Path) -> StudyFile:
    """Read a study from YAML or JSON; relative paths in it count from its folder.

    Text means what it means as a flag: `010` is ten, and `5:00` is no number.

    Raises:
        UserError: the file cannot be read, is not YAML or JSON, or holds unknown keys.
    """
    return load_configuration(path).file


def load_configuration(path: Path) -> Configuration:
    """Read a study as `load_study_file` does, and what its file says of the command.

    A file that ends in .json can be a configuration, or the sensitivities, of the published code.

    Raises:
        UserError: as `load_study_file`; or it asks for what cannot be run.
    """
    path = Path(expanded(path))
    kind = "JSON" if path.suffix.lower() == ".json" else "YAML"
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: not a file; give a readable {kind} file")
        if path.stat().st_size > _MAX_STUDY_FILE_BYTES:
            raise UserError(f"{path}: larger than a study file can be (1 MB)")
        text = path.read_text(encoding="utf-8")
        content = _json(text) if kind == "JSON" else _yaml(text)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give a readable {kind} file") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid {kind}: {_one_line(error)}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a mapping with the keys settings and variants")
    content.pop("$schema", None)  # which is for editors
    if kind == "YAML":
        return Configuration(_validated(path, content))
    try:
        said = translated(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    file = _validated(path, said.content)
    return Configuration(file, said.output_dir, said.no_execution, said.ignored)


def _yaml(text: str) -> Any:
    from aes_lipi.config.plain_yaml import read_yaml  # noqa: PLC0415 - slow, and not for --help

    return read_yaml(text)


def _json(text: str) -> Any:
    """The content of a JSON text without repeated keys.

    Raises:
        ValueError: the text is another, or says something twice.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, count in Counter(key for key, _ in pairs).most_common(1):
            if count > 1:
                raise ValueError(f"the key {key!r} stands twice")
        return dict(pairs)

    return json.loads(text, object_pairs_hook=once)


def _validated(path: Path, content: Any) -> StudyFile:
    try:
        file = StudyFile.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error)}") from None
    located = [
        {field: _located(field, value, path.parent) for field, value in settings.items()}
        for settings in (file.settings, *file.variants)
    ]
    return file.model_copy(update={"settings": located[0], "variants": tuple(located[1:])})


def _located(field: str, value: Any, folder: Path) -> Any:
    """A setting of a file: its paths count from the file's folder, and commas make a list."""
    if field not in _PATH_FIELDS:
        return _listed(field, value)
    if isinstance(value, list):
        return [_located(field, each, folder) for each in value]
    if not isinstance(value, str) or "://" in value:
        return value
    return str(folder / expanded(value))


def expanded(path: str | Path) -> str:
    """A path with its home folder (`~`) and its environment variables filled in.

    Raises:
        UserError: a variable is not set, or there is no such user; write the path out. Or it is
            empty, as `"$VARIABLE"` is in a shell where that is not set.
    """
    given = str(path)
    if not given.strip():
        raise UserError("a path is empty; give a folder or a file, or leave it out")
    if "://" in given:
        return given
    full = os.path.expandvars(os.path.expanduser(given))  # noqa: PTH111 - keeps what it does not know
    unknown = _PLACEHOLDER.search(full)
    if unknown is not None and unknown[0] in given and not os.path.lexists(full):
        what = "there is no such user" if unknown[0].startswith("~") else "is not set"
        raise UserError(f"{given}: {printable(unknown[0])} {what}; write the path out")
    return full


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def resolve_study(name: str, file: StudyFile, overrides: Mapping[str, Any]) -> Study:
    """Lay overrides over a study file and spread its lists into variants.

    Args:
        name: of the study.
        file: what the preset or the user's file holds.
        overrides: fields of `Variant`, `trials` and `checkpoint_interval`; each replaces the field
            wherever it stands, swept or not. A string with commas is a list.

    Raises:
        UserError: a field is unknown, or a value is of the wrong type or out of bounds.
    """
    replaced = {
        field: _expanded(value) if field in _PATH_FIELDS else _listed(field, value)
        for field, value in ((field, _as_lists(given)) for field, given in overrides.items())
    }
    trials = replaced.pop("trials", file.trials)
    checkpoint_interval = replaced.pop("checkpoint_interval", file.checkpoint_interval)
    variants: dict[str, Variant] = {}
    replaced, shared = in_present_words(replaced), in_present_words(file.settings)
    own = [in_present_words(family) for family in file.variants or ({},)]
    families = [{**shared, **family, **replaced} for family in own]
    if sum(map(_n_combinations, families)) > _MAX_COMBINATIONS:
        raise UserError(f"{name}: more than {_MAX_COMBINATIONS} combinations; sweep fewer values")
    for combined in families:
        for settings in _product(combined):
            if len(variants) >= _MAX_VARIANTS:
                raise UserError(f"{name}: more than {_MAX_VARIANTS} variants; sweep fewer values")
            variant = _variant(settings)
            variants[variant.id] = _of_one_name(variants.get(variant.id, variant), variant)
    try:
        return Study(
            name=name,
            description=_description(file, {**replaced, "trials": trials}),
            trials=trials,
            checkpoint_interval=checkpoint_interval,
            variants=tuple(variants.values()),
        )
    except ValidationError as error:
        raise UserError(describe(error)) from None


def _of_one_name(known: Variant, variant: Variant) -> Variant:
    """One of two variants of the same settings, the one with a name if any.

    Raises:
        UserError: they have two names; give one of them.
    """
    if None not in (known.name, variant.name) and known.name != variant.name:
        raise UserError(
            f"name: {_shown(known.name)} and {_shown(variant.name)} have the same settings; "
            "leave one of them out"
        )
    return known if variant.name is None else variant


_BESIDE = ("Randomness", "Engine", "Recording", "Comparison")
"""Groups of settings of which descriptions do not speak."""

_MOST_CHANGES = 4


def _description(file: StudyFile, replaced: Mapping[str, Any]) -> str:
    """What a file says of itself, with what was changed in it.

    A flag that the description names is no change: it asks for one.
    """
    families = [
        {"trials": file.trials, **in_present_words(file.settings), **in_present_words(family)}
        for family in file.variants or ({},)
    ]
    changes = [
        f"{field}={_short(field, value)}"
        for field, value in replaced.items()
        if not _is_beside(field) and f"--{field}" not in file.description
        if any(str(family.get(field, _default(field))) != str(value) for family in families)
    ]
    if not changes or not file.description:
        return file.description
    if len(changes) > _MOST_CHANGES:
        changes[_MOST_CHANGES:] = [f"{len(changes) - _MOST_CHANGES} more"]
    return f"Changed ({', '.join(changes)}) from: {file.description}"


def _is_beside(field: str) -> bool:
    known = Variant.model_fields.get(field)
    extra = None if known is None else known.json_schema_extra
    return isinstance(extra, dict) and extra.get("group") in _BESIDE


def _default(field: str) -> Any:
    return Variant.model_fields[field].default if field in Variant.model_fields else None


def _short(field: str, value: Any) -> str:
    """A value as a line of text has it: of a path the last part, lest it travels with results."""
    if isinstance(value, list | tuple):
        return ",".join(_short(field, each) for each in value)
    value = value.get("plugin", value) if isinstance(value, Mapping) else value
    return printable(Path(str(value)).name if field in _PATH_FIELDS else value, 40)


def _as_lists(value: Any) -> Any:
    """Python's and numpy's sequences, of whatever depth, as lists; numpy's numbers as Python's."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_as_lists(each) for each in value] if isinstance(value, list | tuple | range) else value


def _listed(field: str, value: Any) -> Any:
    if isinstance(value, str) and "," in value and field not in _WHOLE_FIELDS:
        return split_list(value)
    return value


def _expanded(value: Any) -> Any:
    if isinstance(value, list):
        return [_expanded(each) for each in value]
    return expanded(value) if isinstance(value, str | Path) else value


def _n_combinations(settings: Mapping[str, Any]) -> int:
    return math.prod(len(_swept_values(field, value)) for field, value in settings.items())


def _product(settings: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """Every combination of the values of the swept fields."""
    values = [_swept_values(field, value) for field, value in settings.items()]
    for combination in itertools.product(*values):
        yield dict(zip(settings, combination, strict=True))


def _swept_values(field: str, value: Any) -> list[Any]:
    if field in PARAMETRISED:
        try:
            value = [name for each in _as_list(value) for name in spread(each)]
        except ValueError as error:
            raise UserError(f"{field}: {error}") from None
    if not isinstance(value, list):
        return [value]
    if field in _LISTED_FIELDS and _is_flat(value):
        return [value]
    if field == "graph" and all(isinstance(item, list) and _is_flat(item) for item in value):
        return [value]
    if not value:
        raise UserError(f"{field}: the list of values is empty; give at least one")
    return value


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_flat(values: Iterable[Any]) -> bool:
    return not any(isinstance(value, list) for value in values)


def _variant(settings: Mapping[str, Any]) -> Variant:
    for field in settings:
        if field not in Variant.model_fields:
            if field in StudyFile.model_fields:
                raise UserError(f"{field}: stands beside settings, not in them; move it there")
            known = nearest(field, Variant.model_fields)
            raise UserError(f"{printable(field)}: no such field{known}")
    try:
        return Variant.model_validate(settings)
    except ValidationError as error:
        raise UserError(describe(error)) from None


def _shown(value: Any) -> str:
    try:
        return printable(repr(value))
    except ValueError:
        return "a number of more digits than Python shows"


def describe(error: ValidationError) -> str:
    """The first problem of a validation error in one line."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return message
    place = ".".join(printable(part) for part in first["loc"])
    shown = _shown(first["input"])
    if first["type"] == "extra_forbidden":
        return f"{place}: no such key; known are {', '.join(StudyFile.model_fields)}"
    return f"{place}: {message[0].lower()}{message[1:]} (got {shown})"
