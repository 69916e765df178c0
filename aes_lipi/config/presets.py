"""Study files: the presets of `configs/`, one per research question, and a user's own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from aes_lipi.config.study import StudyFile, describe
from aes_lipi.errors import UserError, nearest

_MAX_STUDY_FILE_BYTES = 1_000_000
_LONGEST_NUMBER = 1000  # characters
_YAML_ERRORS = (
    yaml.YAMLError,
    ValueError,
    RecursionError,
    # What ill-formed values of explicit tags, such as `!!int ""`, make PyYAML raise.
    LookupError,
    AttributeError,
    ArithmeticError,
)


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
        UserError: there is none of that name; the nearest names are offered.
    """
    known = list_presets()
    if name not in known:
        raise UserError(
            f"--rq {name}: no such preset{nearest(name, known, cutoff=0.0)} (--list shows all)"
        )
    return load_study_file(presets_directory() / f"{name}.yaml")


def load_study_file(path: Path) -> StudyFile:
    """Read a study from YAML.

    Raises:
        UserError: the file cannot be read, is not YAML, or holds unknown keys.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: not a file; give a readable YAML file")
        if path.stat().st_size > _MAX_STUDY_FILE_BYTES:
            raise UserError(f"{path}: larger than a study file can be (1 MB)")
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_PlainLoader)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give a readable YAML file") from None
    except _YAML_ERRORS as error:
        raise UserError(f"{path}: not valid YAML: {_one_line(error)}") from None
    return _validated(path, content)


def _validated(path: Path, content: Any) -> StudyFile:
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a mapping with the keys settings and variants")
    try:
        return StudyFile.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error)}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases, which could unfold to a huge study, and without repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that stands twice where SafeLoader would take the last."""
        keys = Counter(str(key.value) for key, _ in node.value)
        for key, count in keys.most_common(1):
            if count > 1:
                raise yaml.YAMLError(f"the key {key!r} stands twice")
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """Refuse a number so long that to read it would take minutes."""
        is_number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        if is_number and len(node.value) > _LONGEST_NUMBER:
            raise yaml.YAMLError(f"a number of {len(node.value)} characters")
        return super().construct_scalar(node)

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse an alias where SafeLoader would follow it."""
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases are not supported in study files")
        return super().compose_node(parent, index)
