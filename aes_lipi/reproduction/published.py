"""The published values, claims and questions: the content of `published.yaml`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

Epoch = Annotated[int, Field(ge=1)] | Literal["last"]
_Loss = Annotated[float, Field(ge=0, le=1)]
Selector = dict[str, str | int | float | bool]
"""Settings that select one variant of a preset."""

Statistic = Literal["mean", "median of cells"]
"""What a figure's values are: means over trials and cells, or medians of pooled cells."""

ReferenceName = Literal["baseline", "ring"]
TrialLoss = Literal["mean of cells", "answer", "answer on validation"]
"""Which `mean_L1` of the last generation is a trial's: the mean over its cells, or that of one.

The answer is the cell that the study's `final_cell` chose, in published settings on test rows;
`on validation` is the one with the lowest loss on validation rows.
"""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Paper(_Frozen):
    """The paper that the published values come from.

    Attributes:
        authors: of the paper.
        title: of the paper.
        venue: where it appeared.
        year: when.
        values: what the values are, in a sentence.
        reading_error: half the width within which a value could be read off its figure, where the
            figure does not say another.
        trials: replicates behind each value.
        epochs: generations of each trial.
        population_size: cells of each ring.
    """

    authors: tuple[str, ...]
    title: str
    venue: str
    year: int
    values: str
    reading_error: Annotated[float, Field(gt=0)]
    trials: Annotated[int, Field(ge=1)]
    epochs: Annotated[int, Field(ge=1)]
    population_size: Annotated[int, Field(ge=1)]


class Series(_Frozen):
    """One curve of a figure.

    Attributes:
        name: unique in its figure.
        label: what tables and sentences call it.
        variant: settings that select it in the figure's preset.
        published: the figure's statistic, by epoch; none where none was read.
        capacity: the published median over cells in the last generation; None if none was read.
    """

    name: str
    label: str
    variant: Selector
    published: dict[Epoch, _Loss] = {}
    capacity: _Loss | None = None


class Figure(_Frozen):
    """A published figure, and the preset behind it.

    Attributes:
        name: unique in the file.
        title: what it shows.
        preset: that is run for it.
        statistic: what its values are.
        reading_error: of its values; None if it is as that of the others.
        series: its curves or boxes.
    """

    name: str
    title: str
    preset: str
    statistic: Statistic = "mean"
    reading_error: Annotated[float, Field(gt=0)] | None = None
    series: Annotated[tuple[Series, ...], Field(min_length=1)]

    def named(self, name: str) -> Series:
        """The series of a name.

        Raises:
            KeyError: no series of the figure has that name.
        """
        return {each.name: each for each in self.series}[name]


class _Overviewed(_Frozen):
    """A series of a figure, and what an overview calls it."""

    figure: str
    series: str
    label: str


class CombinedFigure(_Frozen):
    """Series of several figures in one.

    Attributes:
        name: unique in the file.
        title: what it shows.
        series: of the figures, each with what it is called here.
    """

    name: str
    title: str
    series: Annotated[tuple[_Overviewed, ...], Field(min_length=1)]


class _Claim(_Frozen):
    """What the paper says of one figure, or of one `against` another."""

    name: str
    sentence: str
    figure: str
    against: str = ""
    note: str = ""

    @property
    def figures(self) -> tuple[str, str]:
        """The figures of the first and of the second of each pair."""
        return self.figure, self.against or self.figure


class _PairsClaim(_Claim):
    """Of pairs of series."""

    pairs: Annotated[tuple[tuple[str, str], ...], Field(min_length=1)]

    def family(self, figure: Figure) -> tuple[tuple[str, str], ...]:
        """The comparisons that the claim declares, the one that it is about first."""
        del figure
        return self.pairs


class _LowerClaim(_PairsClaim):
    """Some series end with a lower loss than others: in each pair the first."""

    kind: Literal["lower"]


class ComparableClaim(_PairsClaim):
    """Series end with losses that differ by less than a margin, either way."""

    kind: Literal["comparable"]
    margin: Annotated[float, Field(gt=0)]


class BestClaim(_Claim):
    """One series ends with the lowest loss of its figure."""

    kind: Literal["best"]
    best: str

    def family(self, figure: Figure) -> tuple[tuple[str, str], ...]:
        """The comparisons that the claim declares, the one claimed to be lower first."""
        return tuple((self.best, other.name) for other in figure.series if other.name != self.best)


Claim = _LowerClaim | ComparableClaim | BestClaim


class _References(_Frozen):
    """The figures that controls are compared with."""

    baseline: str
    ring: str


class Control(_Frozen):
    """A study that changes one thing.

    Attributes:
        name: of the control.
        question: that it answers.
        preset: that is run for it.
        towards: the reference whose loss it may reach; it comes from the other one.
        compared: what counts as the loss of a trial.
        series: selectors by the names of the references' series that they are compared with.
    """

    name: str
    question: str
    preset: str
    towards: ReferenceName
    compared: TrialLoss = "mean of cells"
    series: Annotated[dict[str, Selector], Field(min_length=1)]

    @property
    def origin(self) -> ReferenceName:
        """The reference that the control is a change of."""
        return "baseline" if self.towards == "ring" else "ring"


class Published(_Frozen):
    """All of the file."""

    source: Paper
    epochs: tuple[Epoch, ...]
    figures: tuple[Figure, ...]
    overviews: tuple[CombinedFigure, ...]
    on_instances: tuple[str, ...]
    claims: tuple[Annotated[Claim, Field(discriminator="kind")], ...]
    references: _References
    controls: tuple[Control, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the figures, and of the controls."""
        figures = tuple(figure.name for figure in self.figures)
        return (*figures, *(control.name for control in self.controls))

    def figure(self, name: str) -> Figure:
        """The figure of a name.

        Raises:
            KeyError: no figure has that name.
        """
        return {figure.name: figure for figure in self.figures}[name]

    def reading_error(self, figure: Figure) -> float:
        """Half the width within which the values of a figure could be read."""
        return figure.reading_error or self.source.reading_error

    def reference(self, name: ReferenceName) -> Figure:
        """The figure that controls are compared with."""
        return self.figure(getattr(self.references, name))

    @model_validator(mode="after")
    def _check(self) -> Published:
        _check_unique("figures and controls", self.names)
        presets = [figure.preset for figure in self.figures]
        _check_unique("presets", [*presets, *(control.preset for control in self.controls)])
        _check_unique("claims", [claim.name for claim in self.claims])
        for figure in self.figures:
            _check_unique(figure.name, [series.name for series in figure.series])
            for series in figure.series:
                where = f"{figure.name}, {series.name}"
                _check_known(where, series.published, self.epochs)
        self._check_overviews()
        self._check_claims()
        self._check_controls()
        return self

    def _check_overviews(self) -> None:
        figures = [figure.name for figure in self.figures]
        _check_known("on_instances", self.on_instances, figures)
        _check_unique("figures and overviews", [*figures, *(each.name for each in self.overviews)])
        for overview in self.overviews:
            for shown in overview.series:
                _check_known(overview.name, [shown.figure], figures)
                known = [series.name for series in self.figure(shown.figure).series]
                _check_known(f"{overview.name}, {shown.figure}", [shown.series], known)

    def _check_claims(self) -> None:
        for claim in self.claims:
            _check_known(claim.name, claim.figures, [figure.name for figure in self.figures])
            first, second = (
                [series.name for series in self.figure(name).series] for name in claim.figures
            )
            for a, b in claim.family(self.figure(claim.figure)):
                _check_known(claim.name, [a], first)
                _check_known(claim.name, [b], second)

    def _check_controls(self) -> None:
        figures = [figure.name for figure in self.figures]
        _check_known("references", [self.references.baseline, self.references.ring], figures)
        for control in self.controls:
            for name in ("baseline", "ring"):
                known = [series.name for series in self.reference(name).series]
                _check_known(control.name, control.series, known)


def _check_unique(where: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"{where}: {name} is there {count} times")


def _check_known(where: str, names: Iterable[object], known: Collection[object]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{where}: {name} is none of {', '.join(map(str, known))}")


@lru_cache(maxsize=1)
def load_published() -> Published:
    """Read the file that comes with the package.

    Raises:
        pydantic.ValidationError: the file names what it does not have, or a value is out of
            bounds; mend `published.yaml`.
    """
    content = files("aes_lipi.reproduction").joinpath("published.yaml").read_text("utf-8")
    return Published.model_validate(yaml.safe_load(content))
