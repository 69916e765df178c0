"""What the terminal shows of an export, and the export that a run ends with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from aes_lipi.cli.terminal import cell, console, say
from aes_lipi.export import Exported, export
from aes_lipi.export.candidates import Choice
from aes_lipi.export.card import cost_table
from aes_lipi.export.package import varying_values
from aes_lipi.export.targets import Target
from aes_lipi.results.answers import BY_VALIDATION, note_on_star, starred
from aes_lipi.results.storage import place_of


def export_compact(folders: Sequence[str | Path], target: Target) -> None:
    """Write the model of each study that a target asks for, compact, into its folder's `exports/`.

    Raises:
        UserError: as `export`.
    """
    for folder in folders:
        done = export(
            folder,
            target_capacity=target.capacity,
            max_loss_increase=target.loss_increase,
            compact=True,
        )
        print_exported(done)


def print_exported(done: Exported) -> None:
    """What was chosen, its size and losses before and after, and the files."""
    choice = done.choice
    where = "" if choice.place is None else f", generation {choice.place.generation}"
    where += "" if choice.place is None else f", cell {choice.place.cell}"
    title = f"{choice.label} ({choice.trial.variant}), trial {choice.trial.trial}{where}"
    table = Table(title=cell(title), title_justify="left")
    table.add_column("")
    for heading in ("trained", "exported", "left"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in cost_table(done.before, done.after):
        table.add_row(*map(cell, row))
    console().print(table)
    if choice.why:
        say(f"picked: {choice.why}")
    say(_losses_of(done))
    if done.rows.told_in_units:
        say(f"in the table's own units, a mean over its columns: L1 {done.rows.told_in_units}")
    for each in done.rows.by_label:
        told = f"{each.n_rows:,} test rows, median score {each.median:.4g}"
        say(f"{done.label} {each.label}: {told}, area under the ROC curve {each.area:.3f}")
    say(f"differs from the trained model by {done.difference:.1e} at most, on {done.rows.source}")
    varying, size = varying_values(done.model, done.rows), done.model.architecture.latent_size
    if varying < size:
        say(f"{size - varying} of the {size} values of the code are the same for all rows")
    if not done.rows.is_real:
        say("NOT compared on the data: export again where they are")
    if done.model.compaction is not None and done.model.compaction.is_constant:
        say("pruning left nothing: the reconstruction is the same for every row")
    for line in done.advice:
        say(line)
    for path in done.files:
        say(place_of(path))


def _losses_of(done: Exported) -> str:
    choice = done.choice
    if math.isnan(choice.validation_L1):
        return f"validation L1 not recorded, {_test_loss_of(choice)}"
    line = f"validation L1 {choice.validation_L1:.4f}"
    if choice.loss != "L1":
        line += f", {choice.loss} {choice.validation_loss:.3g}"
    if choice.lowest > 0:
        above = choice.validation_loss / choice.lowest - 1
        line += f" ({above:.1%} above the study's lowest, {choice.lowest:.4g})"
    return f"{line}, {_test_loss_of(choice)}"


def _test_loss_of(choice: Choice) -> str:
    """The loss on test rows, marked where they chose the cell, and that of the one beside it."""
    line = f"{starred('test L1', choice.was_chosen_on_test)} {choice.test_L1:.4f}"
    if not choice.was_chosen_on_test:
        return line
    other = choice.test_L1_by_validation
    beside = not math.isnan(other)
    valid = f", {BY_VALIDATION} {other:.4f}" if beside else ""
    return f"{line}{valid} ({note_on_star(beside=beside)})"
