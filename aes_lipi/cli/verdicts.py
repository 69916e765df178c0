"""The tables that `reproduce` prints."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from aes_lipi.cli.durations import duration
from aes_lipi.cli.tables import console
from aes_lipi.execution.estimate import estimated_seconds
from aes_lipi.reproduction.findings import Findings
from aes_lipi.reproduction.page import main_table
from aes_lipi.reproduction.plans import Plan
from aes_lipi.results.storage import shown


def print_plan(plan: Plan) -> None:
    """The studies, where they lie, and what they take."""
    table = Table(box=None)
    table.add_column("study", no_wrap=True)
    for name in ("variants", "trials", "one core"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("in")
    for each in plan.studies:
        table.add_row(
            each.study.name,
            str(len(each.study.variants)),
            str(each.study.n_trials),
            "~" + duration(estimated_seconds(each.study)),
            escape(shown(each.location)),
        )
    console().print(table)


def print_reproduction(findings: Findings) -> None:
    """Ours beside the published last values, and the verdicts."""
    grid = main_table(findings)
    values = Table(title="loss in the last generation", title_justify="left")
    for name in grid.head:
        values.add_column(name, justify="left" if name == grid.head[0] else "right")
    for row in grid.rows:
        values.add_row(*map(escape, row))
    verdicts = Table(title="claims and controls", title_justify="left")
    for name in ("claim or question", "verdict"):
        verdicts.add_column(name)
    for claim in findings.claims:
        verdicts.add_row(escape(claim.sentence), claim.outcome)
    for control in findings.controls:
        answers = ", ".join(f"{each.label}: {each.answer}" for each in control.answers)
        verdicts.add_row(escape(control.question), escape(answers or "not run"))
    for table in (values, verdicts):
        console().print(table)
    for line in (*findings.missing, *findings.skipped):
        print(line)
