"""A study: named variants, each tried a number of times."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from aes_lipi.config.interval import CheckpointInterval, parse_interval
from aes_lipi.config.names import short_name
from aes_lipi.config.variant import BUILT_IN, OPERATOR_FIELDS, Variant
from aes_lipi.errors import UserError, nearest, printable

Settings = Mapping[str, Any]

MAX_VARIANTS = 10_000
MAX_COMBINATIONS = 10 * MAX_VARIANTS  # several may come to the same variant
_LISTED_FIELDS = frozenset({"hidden_sizes"})
_PATH_FIELDS = frozenset({"data", "ann_path"})
LABELLED_BY_VALUE = frozenset(
    {
        "prune_method",
        "prune_schedule",
        "environment",
        "cell_evaluation",
        "dataset_name",
        "update_order",
        "topology",
    }
)


def _checked_interval(value: Any) -> Any:
    parse_interval("" if isinstance(value, bool) else value)
    return value


Interval = Annotated[str | int, BeforeValidator(_checked_interval)]
"""See `parse_interval`."""

OFTEN = "30s"
"""What a killed trial loses by default."""


class StudyFile(BaseModel):
    """What a preset or a user's YAML file holds.

    Attributes:
        description: one line on the question the study answers.
        trials: replicates of every variant.
        settings: fields of `Variant`; a list of values is swept, several lists give their product.
        variants: settings that are fixed together, laid over `settings`; lists are swept here too.
            Without any, there is the one family that `settings` describes.
        checkpoint_interval: how often a trial on its way is written down, in generations or as a
            time; it changes no result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = ""
    trials: Annotated[int, Field(ge=1, le=9999)] = 30
    settings: dict[str, Any] = {}
    variants: tuple[dict[str, Any], ...] = ()
    checkpoint_interval: Interval = OFTEN


class Study(BaseModel):
    """A resolved study.

    Attributes:
        name: of the preset or file.
        description: one line.
        trials: replicates of every variant, numbered from 0.
        checkpoint_interval: how often a trial on its way is written down.
        variants: distinct settings, in the order they were listed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    trials: Annotated[int, Field(ge=1, le=9999)]
    checkpoint_interval: Interval = OFTEN
    variants: tuple[Variant, ...]

    @property
    def interval(self) -> CheckpointInterval:
        """How often a trial on its way is written down."""
        return parse_interval(self.checkpoint_interval)

    @property
    def n_trials(self) -> int:
        """Trials of all variants together."""
        return self.trials * len(self.variants)

    def label(self, variant: Variant) -> str:
        """What tells this variant from the study's others, for tables and figures."""
        shown = [field for field in self._telling_fields if _applies(field, variant)]
        values = ((field, getattr(variant, field), self._names[field]) for field in shown)
        return ", ".join(value_label(*value) for value in values) or self.name

    @cached_property
    def _names(self) -> Mapping[str, tuple[str, ...]]:
        """By field, the different values that the variants have, as texts."""
        return {
            field: tuple({str(getattr(variant, field)): None for variant in self.variants})
            for field in Variant.model_fields
        }

    @cached_property
    def _telling_fields(self) -> list[str]:
        """Fields that differ between variants: named choices all, others only where needed."""
        telling: list[str] = []
        groups = {("",) * len(self.variants)}
        columns = {
            field: tuple(str(getattr(variant, field)) for variant in self.variants)
            for field in Variant.model_fields
        }
        for field in sorted(columns, key=lambda name: name not in LABELLED_BY_VALUE):
            refined = groups | {columns[field]}
            finer = len(set(zip(*refined, strict=True))) > len(set(zip(*groups, strict=True)))
            if finer or (field in LABELLED_BY_VALUE and len(set(columns[field])) > 1):
                telling.append(field)
                groups = refined
        return telling


def _applies(field: str, variant: Variant) -> bool:
    return variant.prune_method != "None" or field not in OPERATOR_FIELDS


def value_label(field: str, value: Any, among: Iterable[str] = ()) -> str:
    """What a setting's value is called in the label of a variant.

    Args:
        field: the setting.
        value: its value.
        among: its values in other variants, from which the label tells it.
    """
    if field == "prune_method" and value == "None":
        return "no pruning"
    if field in LABELLED_BY_VALUE:
        return short_name(str(value), (*among, *BUILT_IN.get(field, ())))
    return f"{field}={value}"


def resolve_study(name: str, file: StudyFile, overrides: Settings) -> Study:
    """Lay overrides over a study file and spread its lists into variants.

    Args:
        name: of the study.
        file: what the preset or the user's file holds.
        overrides: fields of `Variant`, `trials` and `checkpoint_interval`; each replaces the field
            wherever it stands, swept or not. A string with commas is a list.

    Raises:
        UserError: a field is unknown, or a value is of the wrong type or out of bounds.
    """
    replaced = {field: _listed(field, value) for field, value in overrides.items()}
    trials = replaced.pop("trials", file.trials)
    checkpoint_interval = replaced.pop("checkpoint_interval", file.checkpoint_interval)
    variants: dict[str, Variant] = {}
    families = [{**file.settings, **family, **replaced} for family in file.variants or ({},)]
    if sum(map(_n_combinations, families)) > MAX_COMBINATIONS:
        raise UserError(f"{name}: more than {MAX_COMBINATIONS} combinations; sweep fewer values")
    for combined in families:
        for settings in _product(combined):
            if len(variants) >= MAX_VARIANTS:
                raise UserError(f"{name}: more than {MAX_VARIANTS} variants; sweep fewer values")
            variant = _variant(settings)
            variants.setdefault(variant.id, variant)
    try:
        return Study(
            name=name,
            description=file.description,
            trials=trials,
            checkpoint_interval=checkpoint_interval,
            variants=tuple(variants.values()),
        )
    except ValidationError as error:
        raise UserError(describe(error)) from None


def _listed(field: str, value: Any) -> Any:
    if isinstance(value, str) and "," in value and field not in _LISTED_FIELDS | _PATH_FIELDS:
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _n_combinations(settings: Settings) -> int:
    return math.prod(len(_swept_values(field, value)) for field, value in settings.items())


def _product(settings: Settings) -> Iterable[dict[str, Any]]:
    """Every combination of the values of the swept fields."""
    values = [_swept_values(field, value) for field, value in settings.items()]
    for combination in itertools.product(*values):
        yield dict(zip(settings, combination, strict=True))


def _swept_values(field: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    if field in _LISTED_FIELDS and not any(isinstance(item, list) for item in value):
        return [value]
    if not value:
        raise UserError(f"{field}: the list of values is empty; give at least one")
    return value


def _variant(settings: Settings) -> Variant:
    for field in settings:
        if field not in Variant.model_fields:
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
