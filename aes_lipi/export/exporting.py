"""An export from beginning to end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from aes_lipi.config import expanded
from aes_lipi.errors import UserError
from aes_lipi.export.candidates import Choice, Target, choose
from aes_lipi.export.card import CARD, Exported, model_card
from aes_lipi.export.checks import largest_difference, rows_to_check
from aes_lipi.export.formats import FORMATS
from aes_lipi.export.package import Package, costs
from aes_lipi.io.files import write_bytes_atomically, write_text_atomically
from aes_lipi.models import Model
from aes_lipi.results.storage import is_address, place_of


def export(
    location: str | Path,
    *,
    variant: str | None = None,
    trial: int | None = None,
    target_capacity: float | None = None,
    max_loss_increase: float | None = None,
    compact: bool = False,
    format_name: str = "safetensors",
    output_dir: str | Path | None = None,
) -> Exported:
    """Write a study's model for use elsewhere, checked against the trained one.

    It is checked on validation and test rows; where the data are gone, on random ones.

    Args:
        location: the study's output folder, or its address.
        variant: id or name of the variant; by default any.
        trial: number of the trial; by default any.
        target_capacity: pick, among recorded generations and cells, the model of lowest validation
            loss of which at most this share is left: of parameters that are not zero, or with
            `compact` of parameters.
        max_loss_increase: pick the smallest model whose validation loss lies at most by this share
            above the lowest that the study recorded. Without a target, the final pair of the trial
            of lowest validation loss is exported.
        compact: take out what pruning made dead.
        format_name: `safetensors`, `onnx` or `torch`.
        output_dir: folder for the files; by default one in the study's folder, named after variant
            and trial.

    Raises:
        UserError: no trial or recorded model is what was asked for (ask for less), a flag is out of
            bounds, the exported model differs from the trained one, or the disk refuses a file.
    """
    pack = _format(format_name)
    target = _target(target_capacity, max_loss_increase)
    folder = _folder(location, output_dir)
    location = expanded(location)
    choice = choose(location, variant, trial, target, compact=compact)
    trained = choice.model.for_use()
    small = choice.model.compacted() if compact else trained
    exported = replace(small, provenance=_provenance(choice))
    package = pack(exported)
    rows = rows_to_check(choice.model)
    difference = largest_difference(choice.model, exported, package, rows)
    before, after = costs([(trained, pack(trained)), (exported, package)], rows.values)
    done = Exported(
        choice=choice,
        model=exported,
        package=package,
        before=before,
        after=after,
        difference=difference,
        rows=rows,
        folder=folder or Path(location) / "exports" / _name(choice, format_name, compact=compact),
    )
    _write(package, done.folder)
    write_text_atomically(done.folder / CARD, model_card(done))
    return done


def _target(capacity: float | None, loss_increase: float | None) -> Target:
    """The target that the flags name.

    Raises:
        UserError: both are given (give one), or a share is out of its bounds.
    """
    if capacity is not None and loss_increase is not None:
        raise UserError(
            "--target_capacity and --max_loss_increase exclude each other; give one of them"
        )
    if capacity is not None and not 0 < capacity <= 1:
        raise UserError(f"--target_capacity {capacity}: is a share of the parameters, as in 0.3")
    if loss_increase is not None and not 0 <= loss_increase < float("inf"):
        raise UserError(f"--max_loss_increase {loss_increase}: is a share of the loss, as in 0.05")
    return Target(capacity, loss_increase)


def _folder(location: str | Path, output_dir: str | Path | None) -> Path | None:
    """Where to write, if that does not follow from the choice.

    Raises:
        UserError: an address is given, or none where the study lies at one; give a folder here.
    """
    if output_dir is None and is_address(location):
        raise UserError(
            f"{place_of(location)}: is not a folder here; say where to write: --output_dir"
        )
    if output_dir is not None and is_address(output_dir):
        raise UserError(
            f"--output_dir {place_of(output_dir)}: models are exported to a folder here"
        )
    return None if output_dir is None else Path(expanded(output_dir))


def _name(choice: Choice, format_name: str, *, compact: bool) -> str:
    """What the folder of an export is called: the same for the same export."""
    parts = [choice.trial.variant, f"trial{choice.trial.trial:04d}"]
    if choice.place is not None:
        parts += [f"generation{choice.place.generation}", f"cell{choice.place.cell}"]
    return "-".join([*parts, *(["compact"] if compact else []), format_name])


def _provenance(choice: Choice) -> dict[str, object]:
    losses = {"validation_L1": choice.validation_L1, "test_L1": choice.test_L1}
    return {
        **choice.model.provenance,
        **{name: value for name, value in losses.items() if math.isfinite(value)},
    }


def _write(package: Package, folder: Path) -> list[Path]:
    """Write the files of a format, each whole or not at all.

    Raises:
        UserError: the disk refuses a file; free space, or give another folder.
    """
    for name, content in package.files.items():
        write_bytes_atomically(folder / name, content)
    return [folder / name for name in package.files]


def write_model(
    model: Model, folder: str | Path, format_name: str = "onnx", *, compact: bool = False
) -> list[Path]:
    """Write a model that is at hand, such as an estimator's `model_`, without a card or a check.

    Args:
        model: the model.
        folder: for the files; made if need be.
        format_name: `safetensors`, `onnx` or `torch`.
        compact: take out what pruning made dead.

    Returns:
        the files.

    Raises:
        UserError: the format is unknown (give one of `FORMATS`), or the disk refuses a file.
    """
    package = _format(format_name)(model.compacted() if compact else model.for_use())
    return _write(package, Path(expanded(folder)))


def _format(name: str) -> Callable[[Model], Package]:
    if name not in FORMATS:
        raise UserError(f"--format {name}: give one of {', '.join(FORMATS)}")
    return FORMATS[name]
