"""The tables that commands print."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from aes_lipi.cli.terminal import cell, console, say
from aes_lipi.config import WHOLE, Study, StudyPart, Variant
from aes_lipi.config.schema import NOT_GIVEN
from aes_lipi.errors import printable
from aes_lipi.execution.estimate import estimated_seconds
from aes_lipi.results.answers import BY_VALIDATION, note_on_star, starred
from aes_lipi.results.storage import place_of

if TYPE_CHECKING:
    import pandas as pd

    from aes_lipi.analysis.report.views import Grid
    from aes_lipi.execution.run import Summary
    from aes_lipi.reproduction.findings import Findings
    from aes_lipi.reproduction.plan import ReproductionPlan
    from aes_lipi.results.description import RunningTrial
    from aes_lipi.results.status import Driver, Status


def duration(seconds: float) -> str:
    """A length of time, to two units at most."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def print_presets(studies: Sequence[Study]) -> None:
    """Name, variants, trials, time and question of every preset."""
    table = Table(box=None)
    for name in ("preset", "variants", "trials", "one core"):
        table.add_column(name, justify="left" if name == "preset" else "right", no_wrap=True)
    table.add_column("question")
    for study in studies:
        table.add_row(
            cell(study.name),
            str(len(study.variants)),
            str(study.n_trials),
            "~" + duration(estimated_seconds(study)),
            cell(study.description),
        )
    console().print(table)
    say(f"{len(studies)} presets; run one with --rq NAME")


def print_trials(studies: Sequence[Study], part: StudyPart = WHOLE) -> None:
    """One line per variant of a part of every study, what is swept, and how long it takes."""
    total, seconds = 0, 0.0
    for study in studies:
        variants, trials = part.variants(study), part.trials(study)
        swept = "; ".join(_swept(variants))
        n = f"{len(variants)} {'variant' if len(variants) == 1 else 'variants'}"
        say(f"{study.name}: {n} of {len(trials)} trials" + (f"; swept: {swept}" if swept else ""))
        numbers = f"trial={trials[0]:04d}" + (f"-{trials[-1]:04d}" if len(trials) > 1 else "")
        for variant in variants:
            alone = study.model_copy(update={"variants": (variant,), "trials": len(trials)})
            cost = estimated_seconds(alone)
            label = f"{study.label(variant)}, about {duration(cost)} on one core"
            say(f"{study.name}  variant={variant.id}  {numbers}  {label}")
            total, seconds = total + len(trials), seconds + cost
    say(f"{total} trials, about {duration(seconds)} on one core; nothing was run")


_LISTED = 6  # values of a field that is swept


def _swept(variants: Sequence[Variant]) -> Iterator[str]:
    """The fields in which variants differ, with their values."""
    for field in Variant.model_fields:
        values = list(dict.fromkeys(str(getattr(each, field)) for each in variants))
        if len(values) > 1 and field not in ("name", *NOT_GIVEN):
            more = f" and {len(values) - _LISTED} more" if len(values) > _LISTED else ""
            yield f"{field} {', '.join(values[:_LISTED])}{more}"


@dataclass(frozen=True)
class _Column:
    """A column of numbers: its heading, and a cell for each row."""

    heading: str
    cells: Sequence[str]

    @property
    def width(self) -> int:
        return max(map(len, (self.heading, *self.cells)))


def _fitting(
    width: int, labels: Sequence[str], layouts: Sequence[Sequence[_Column]]
) -> Sequence[_Column]:
    """The first layout in which no word of a label is cut, and no number; or else the last."""
    for columns in layouts:
        if _longest_word(labels) + sum(each.width + _PADDING for each in columns) <= width:
            return columns
    return layouts[-1]


_PADDING = 3  # of a column, with the line beside it
_FRAME = 4  # of the first column


def _longest_word(labels: Sequence[str]) -> int:
    return max((len(word) for label in labels for word in label.split()), default=0) + _FRAME


def _table_of(title: str, heading: str, labels: Sequence[str], columns: Sequence[_Column]) -> Table:
    """Rows with a label each, which is broken between words where it must be."""
    table = Table(title=cell(title), title_justify="left")
    table.add_column(heading, min_width=_longest_word([heading, *labels]) - _FRAME, overflow="fold")
    for column in columns:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for label, *cells in zip(labels, *(each.cells for each in columns), strict=True):
        table.add_row(cell(label), *map(cell, cells))
    return table


def print_summary(study: Study, location: str | Path, summary: Summary) -> None:
    """The closing table of a study, and where its results are."""
    from aes_lipi.analysis.tables import is_chosen_on_test, summarise  # noqa: PLC0415 - pandas is slow to import
    from aes_lipi.results.reading import load_results  # noqa: PLC0415

    results = load_results(location, ["trials"])
    chosen_on_test = is_chosen_on_test(results.trials)
    rows = summarise(results)
    shown = [variant for variant in study.variants if variant.id in rows.index]
    labels, output = [study.label(variant) for variant in shown], console()
    ids = _Column("id", [variant.id for variant in shown])
    by_id = rows.to_dict("index")
    found = [by_id[each] for each in ids.cells]
    quartiles, medians = (_columns(found, wide, chosen_on_test) for wide in (True, False))
    columns = _fitting(output.width, ["variant", *labels], _layouts(ids, quartiles, medians))
    what = "median [quartiles]" if quartiles[1] in columns else "median"
    output.print(_table_of(f"{study.name}: {what} over trials", "variant", labels, columns))
    below = _print_baselines(study, results.trials)
    if any(each.heading == BY_VALIDATION for each in (*columns, *below)):
        say(note_on_star(beside=True))
    if summary.failed:
        say(f"{summary.failed} trials failed: see {place_of(location)}/failures (--retry_failed)")
    for line in results.skipped:
        say(line)
    say(f"results: {place_of(location)}")


def _print_baselines(study: Study, trials: pd.DataFrame) -> Sequence[_Column]:
    """The models of a user's own data beside the constant, PCA and a plain network, if any."""
    from aes_lipi.analysis.baselines import (  # noqa: PLC0415 - pandas
        baseline_remarks,
        contender_columns,
        contenders,
    )

    labels = {variant.id: study.label(variant) for variant in study.variants}
    found = contenders(trials, labels)
    if not found:
        return ()
    title = "on test rows, scaled: medians over trials; processor seconds of all"
    layouts = [[_Column(*each) for each in contender_columns(found).items()]]
    for left_out in ("processor s", "parameters"):
        layouts.append([each for each in layouts[-1] if each.heading != left_out])
    names, output = [each.name for each in found], console()
    columns = _fitting(output.width, ["model", *names], layouts)
    output.print(_table_of(title, "model", names, columns))
    for line in baseline_remarks(trials, labels):
        say(line)
    return columns


def print_status(status: Status) -> None:
    """A row for every variant and, below it, for each of its running trials; and a line."""
    at_work: dict[str, list[RunningTrial]] = {}
    for trial in status.running:
        at_work.setdefault(trial.variant, []).append(trial)
    table = Table(title=cell(f"{status.study}: {status.directory}"), title_justify="left")
    labels = ["variant", *(each.label for each in status.variants)]
    table.add_column("variant", min_width=_longest_word(labels) - _FRAME, overflow="fold")
    for heading in ("done", "running", "failed", "pending", "generation", "mean L1"):
        table.add_column(heading, justify="right", no_wrap=True)
    for variant in status.variants:
        trials = variant.trials
        counts = (trials.running, trials.failed, trials.pending)
        done = f"{trials.committed} of {trials.total}"
        loss = _loss(variant.median_mean_L1)
        table.add_row(cell(variant.label), done, *(str(each or "") for each in counts), "", loss)
        for trial in at_work.get(variant.variant, ()):
            generation = f"{trial.generations} of {trial.epochs}"
            row = (f"  trial {trial.trial}", "", "", "", "", generation, _loss(trial.mean_L1))
            table.add_row(*row, style="dim")
    console().print(table)
    say(_status_line(status))


def _status_line(status: Status) -> str:
    """Trials, speed, time left, and who runs the study."""
    trials = status.trials
    parts = [f"{trials.committed} of {trials.total} trials"]
    kinds = {"running": trials.running, "failed": trials.failed, "pending": trials.pending}
    parts += [f"{count} {kind}" for kind, count in kinds.items() if count]
    if status.without_model:
        parts.append(f"{status.without_model} committed, model missing or damaged")
    if status.generations_per_second is not None and status.seconds_left is not None:
        parts.append(f"{status.generations_per_second:.1f} generations/s")
        parts.append(f"{duration(status.seconds_left)} left")
    return f"{', '.join(parts)}; {_whose(status.driver)}"


def _whose(driver: Driver | None) -> str:
    if driver is None:
        return "nobody runs it"
    whose = "an unknown process"
    if driver.pid is not None:
        whose = f"process {driver.pid} on {printable(driver.host)}"
    return f"run by {whose}" if driver.alive else f"nobody runs it: {whose} is gone"


def _loss(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _layouts(
    ids: _Column, quartiles: Sequence[_Column], medians: Sequence[_Column]
) -> list[Sequence[_Column]]:
    """What there is to choose from, the widest first.

    The loss on test rows stays beside that of the cell chosen on validation rows, or goes with it.
    """
    fewer = [medians]
    for left_out in (("wall time",), ("capacity",), (starred("test L1", True), BY_VALIDATION)):
        fewer.append([each for each in fewer[-1] if each.heading not in left_out])
    return [[ids, *quartiles], quartiles, [ids, *medians], *fewer]


def _columns(
    rows: Sequence[Mapping[Hashable, Any]], wide: bool, chosen_on_test: bool
) -> list[_Column]:
    """The numbers of the closing table; with their quartiles, or without."""
    told = {
        "mean L1": [_quartiles(row, "mean_L1", wide) for row in rows],
        starred("test L1", chosen_on_test): [_quartiles(row, "test_L1", wide) for row in rows],
        BY_VALIDATION: [_quartiles(row, "test_L1_by_validation", wide=False) for row in rows],
        "capacity": [_quartiles(row, "capacity", wide) for row in rows],
        "wall time": [duration(row["wall_time_s_median"]) if row["trials"] else "" for row in rows],
    }
    counts = [
        f"{row['trials']}" + (f" ({row['failed']} failed)" if row["failed"] else "") for row in rows
    ]
    columns = [_Column("trials", counts), *(_Column(*each) for each in told.items())]
    return [each for each in columns if chosen_on_test or each.heading != BY_VALIDATION]


def _quartiles(row: Mapping[Hashable, Any], measure: str, wide: bool) -> str:
    """The median, with the quartiles where there is room for them."""
    if not row["trials"]:
        return ""
    median, low, high = (row[f"{measure}_{name}"] for name in ("median", "q1", "q3"))
    if math.isnan(median):  # of an earlier version, which did not measure it
        return ""
    return f"{median:.3f} [{low:.3f}, {high:.3f}]" if wide else f"{median:.3f}"


def print_plan(plan: ReproductionPlan) -> None:
    """The studies, where they lie, and what is run of them and takes how long."""
    table = Table(box=None)
    table.add_column("study", no_wrap=True)
    for name in ("variants", "trials", "one core"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("in")
    for each in plan.studies:
        own, every = len(each.study.variants), len(each.whole.variants)
        table.add_row(
            cell(each.study.name),
            str(own) if own == every else f"{own} of {every}",
            str(each.study.n_trials),
            "~" + duration(estimated_seconds(each.study)),
            cell(place_of(each.location)),
        )
    console().print(table)


def print_reproduction(findings: Findings, grid: Grid) -> None:
    """Ours beside the published last values, which are the grid, and the verdicts."""
    values = Table(title="loss in the last generation", title_justify="left")
    for name in grid.head:
        values.add_column(cell(name), justify="left" if name == grid.head[0] else "right")
    for row in grid.rows:
        values.add_row(*map(cell, row))
    verdicts = Table(title="claims and controls", title_justify="left")
    for name in ("claim or question", "verdict"):
        verdicts.add_column(name)
    for claim in findings.claims:
        verdicts.add_row(cell(claim.sentence), cell(claim.outcome))
    for control in findings.controls:
        answers = ", ".join(f"{each.label}: {each.answer}" for each in control.answers)
        verdicts.add_row(cell(control.question), cell(answers or "not run"))
    for table in (values, verdicts):
        console().print(table)
    scope = (findings.scope,) if findings.scale else ()
    for line in (*scope, *findings.missing, *findings.skipped):
        say(line)
