"""The command `export`: a study's model for use elsewhere."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from aes_lipi.export import Exported


def export(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="The --output_dir of a study.")],
    *,
    variant: Annotated[
        str | None,
        typer.Option(metavar="ID|NAME", help="Variant to choose from; by default all."),
    ] = None,
    trial: Annotated[
        int | None, typer.Option(min=0, help="Trial to choose from; by default all.")
    ] = None,
    target_capacity: Annotated[
        float | None,
        typer.Option(
            "--target_capacity",
            metavar="SHARE",
            help="Pick the recorded model of lowest validation loss with at most this share of its "
            "parameters not zero; with --compact, of its parameters left.",
        ),
    ] = None,
    max_loss_increase: Annotated[
        float | None,
        typer.Option(
            "--max_loss_increase",
            metavar="SHARE",
            help="Pick the smallest recorded model whose validation loss is at most this share "
            "above the study's lowest: 0.01 is one per cent.",
        ),
    ] = None,
    compact: Annotated[
        bool,
        typer.Option("--compact", help="Take out what pruning made dead: a smaller model."),
    ] = False,
    format_name: Annotated[
        str, typer.Option("--format", metavar="safetensors|onnx|torch", help="Of the files.")
    ] = "safetensors",
    output_dir: Annotated[
        str | None,
        typer.Option(
            "--output_dir", metavar="DIR", help="Where to write; by default DIR/exports/..."
        ),
    ] = None,
) -> None:
    """Write a trained model for use without aes_lipi, with a model card.

    Without a target it is the answer of the trial of lowest validation loss, among those that
    --variant and --trial leave. The exported model is compared with the trained one every time: on
    the data, if they are still there.
    """
    from aes_lipi.cli.running import one_thread  # noqa: PLC0415

    one_thread()
    from aes_lipi.export import export as write  # noqa: PLC0415 - pandas is slow to import

    done = write(
        directory,
        variant=variant,
        trial=trial,
        target_capacity=target_capacity,
        max_loss_increase=max_loss_increase,
        compact=compact,
        format_name=format_name,
        output_dir=output_dir,
    )
    _print(done)


def _print(done: Exported) -> None:
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from aes_lipi.cli.tables import console  # noqa: PLC0415
    from aes_lipi.export.card import cost_table  # noqa: PLC0415
    from aes_lipi.export.checks import varying_values  # noqa: PLC0415

    choice = done.choice
    where = "" if choice.place is None else f", generation {choice.place.generation}"
    where += "" if choice.place is None else f", cell {choice.place.cell}"
    title = f"{choice.label} ({choice.trial.variant}), trial {choice.trial.trial}{where}"
    table = Table(title=escape(title), title_justify="left")
    table.add_column("")
    for heading in ("trained", "exported", "left"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in cost_table(done.before, done.after):
        table.add_row(*row)
    console().print(table)
    print(_losses(done))
    print(f"differs from the trained model by {done.difference:.1e} at most, on {done.rows.source}")
    varying, size = varying_values(done.model, done.rows), done.model.architecture.latent_size
    if varying < size:
        print(f"{size - varying} of the {size} values of the code are the same for all rows")
    if not done.rows.is_real:
        print("NOT compared on the data: export again where they are")
    if done.model.compaction is not None and done.model.compaction.is_constant:
        print("pruning left nothing: the reconstruction is the same for every row")
    for path in done.files:
        print(path)


def _losses(done: Exported) -> str:
    choice = done.choice
    if math.isnan(choice.validation_L1):
        return f"validation L1 not recorded, test L1 {choice.test_L1:.4f}"
    line = f"validation L1 {choice.validation_L1:.4f}"
    if choice.lowest_validation_L1 > 0:
        above = choice.validation_L1 / choice.lowest_validation_L1 - 1
        line += f" ({above:.1%} above the study's lowest, {choice.lowest_validation_L1:.4f})"
    return f"{line}, test L1 {choice.test_L1:.4f}"
