"""A study: named variants, each tried a number of times, and written down at intervals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from aes_lipi.config.labels import label_variants
from aes_lipi.config.variant import Variant
from aes_lipi.errors import UserError
from aes_lipi.summaries import Summarised

_T = TypeVar("_T")

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_TIME = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(s|min|h)")
_GENERATIONS = re.compile(r"\d{1,9}")


@dataclass(frozen=True)
class CheckpointInterval:
    """Generations or seconds between checkpoints; neither where there are none.

    Attributes:
        generations: of the whole ring.
        seconds: by the clock.
    """

    generations: int | None = None
    seconds: float | None = None


NEVER = CheckpointInterval()


@cache
def parse_interval(text: str | int) -> CheckpointInterval:
    """An interval as users write it: `50` generations, `30s`, `5min`, `1h`, or `never`.

    Raises:
        ValueError: the text is none of these, or zero; give generations, a time, or never.
    """
    text = str(text).strip()
    if text.lower() == "never":
        return NEVER
    if _GENERATIONS.fullmatch(text) and int(text) > 0:
        return CheckpointInterval(generations=int(text))
    found = _TIME.fullmatch(text)
    if found and float(found[1]) > 0:
        return CheckpointInterval(seconds=float(found[1]) * _UNITS[found[2]])
    raise ValueError("give generations (50), a time (30s, 5min, 1h), or never")


def parse_seconds(text: str) -> float:
    """A time as users write it, in seconds: `90`, `30s`, `5min`, `1h`.

    Raises:
        ValueError: the text is none of these, or zero.
    """
    found = _TIME.fullmatch(text if text[-1:].isalpha() else f"{text}s")
    if found is None or float(found[1]) == 0:
        raise ValueError("give seconds (90) or a time (30s, 5min, 1h)")
    return float(found[1]) * _UNITS[found[2]]


def _checked_interval(value: Any) -> Any:
    is_one = isinstance(value, str | int) and not isinstance(value, bool)
    parse_interval(value if is_one else "")
    return value


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is not a number")  # though Python counts with it
    return value


_Interval = Annotated[str | int, BeforeValidator(_checked_interval)]
"""See `parse_interval`."""

_OFTEN = "30s"
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

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    description: str = ""
    trials: Annotated[int, Field(ge=1, le=9999), BeforeValidator(_no_truth)] = 30
    settings: dict[str, Any] = {}
    variants: tuple[dict[str, Any], ...] = ()
    checkpoint_interval: _Interval = _OFTEN


class Study(Summarised, BaseModel):
    """A resolved study.

    Attributes:
        name: of the preset or file.
        description: one line.
        trials: replicates of every variant, numbered from 0.
        checkpoint_interval: how often a trial on its way is written down.
        variants: distinct settings, in the order they were listed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str
    description: str = ""
    trials: Annotated[int, Field(ge=1, le=9999)]
    checkpoint_interval: _Interval = _OFTEN
    variants: tuple[Variant, ...]

    @property
    def _summary(self) -> str:
        n = len(self.variants)
        of = f"{n} {'variant' if n == 1 else 'variants'} of {self.trials} trials"
        return f"Study {self.name}: {of}{self.description and '; '}{self.description}"

    def _lines(self) -> list[str]:
        return [self.label(variant) for variant in self.variants]

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
        return self._labels[variant]

    @cached_property
    def _labels(self) -> Mapping[Variant, str]:
        ids = {variant: variant.id for variant in self.variants}
        labels = label_variants({ids[each]: vars(each) for each in self.variants}, self.name)
        return {variant: labels[ids[variant]] for variant in self.variants}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Study:
        """A copy, with other values of some fields, which are not validated."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("_labels", None)
        return copy

    def with_variants(self, variants: Iterable[Variant]) -> Study:
        """The same study of other variants, which have labels of their own."""
        return Study.model_validate({**dict(self), "variants": tuple(variants)})


@dataclass(frozen=True)
class StudyPart:
    """What is run of a study: an element of a batch array, or what is not run elsewhere.

    Attributes:
        variant: place of the one variant in the study's list, from 0; -1 for all.
        trial: number of the one trial of each variant; -1 for all.
        without: places of variants that are left out.
    """

    variant: int = -1
    trial: int = -1
    without: frozenset[int] = frozenset()

    @property
    def is_whole(self) -> bool:
        """Whether everything is run."""
        return self.variant < 0 and self.trial < 0 and not self.without

    @property
    def suffix(self) -> str:
        """What tells the folder of this part from those of others; empty for the whole."""
        named = (("variant", self.variant), ("trial", self.trial))
        return "".join(f"_{name}_{number}" for name, number in named if number >= 0)

    def variants(self, study: Study) -> tuple[Variant, ...]:
        """Those of the study that are run.

        Raises:
            UserError: it has no variant of that place; --dry_run shows them.
        """
        places = tuple(range(len(study.variants)))
        chosen = _chosen("--variant_id", self.variant, places, study.name)
        return tuple(study.variants[place] for place in chosen if place not in self.without)

    def trials(self, study: Study) -> tuple[int, ...]:
        """The numbers of the trials that are run of each variant.

        Raises:
            UserError: the study has no trial of that number.
        """
        return _chosen("--trial_id", self.trial, tuple(range(study.trials)), study.name)


def _chosen(flag: str, place: int, of: tuple[_T, ...], name: str) -> tuple[_T, ...]:
    if place < -1 or place >= len(of):
        raise UserError(f"{flag} {place}: {name} has 0 to {len(of) - 1}; -1 means all")
    return of if place < 0 else (of[place],)


WHOLE = StudyPart()
