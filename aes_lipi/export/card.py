"""What an export came to, and its model card: what it is, what it is worth, and how it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aes_lipi.config import Variant
from aes_lipi.export.candidates import Choice
from aes_lipi.export.checks import CheckedRows, varying_values
from aes_lipi.export.package import Cost, Package
from aes_lipi.models import Model
from aes_lipi.templates import render

CARD = "MODEL_CARD.md"

_NAMED = 200  # columns that the card names; the files name all


@dataclass(frozen=True)
class Exported:
    """What was exported.

    Attributes:
        choice: which trained pair.
        model: as it was exported.
        package: in its format.
        before: cost of the trained model.
        after: cost of the exported one.
        difference: of their reconstructions, at most; see `checks.largest_difference`.
        rows: that they were compared on.
        folder: where the files are.
    """

    choice: Choice
    model: Model
    package: Package
    before: Cost
    after: Cost
    difference: float
    rows: CheckedRows
    folder: Path

    @property
    def files(self) -> list[Path]:
        """All files that were written, the model card last."""
        return [self.folder / name for name in (*self.package.files, CARD)]


def model_card(exported: Exported) -> str:
    """The card of an export, in Markdown."""
    return render(
        "model_card.md.j2",
        exported=exported,
        choice=exported.choice,
        provenance=exported.model.provenance,
        table=cost_table(exported.before, exported.after),
        data=_data(exported.model, exported.rows),
        settings=_settings(exported.model.provenance),
        label=_code(exported.choice.label.replace("|", "/")),
        test_rows=_test_rows(exported.choice),
        code=_varying(exported),
        left=_left(exported.model, exported.choice.model.architecture.latent_size),
    )


def cost_table(before: Cost, after: Cost) -> list[tuple[str, str, str, str]]:
    """Rows of the table before and after: what, trained, exported, and the share that is left."""
    rows = [
        ("layers", before.layers, after.layers, ""),
        _compared("parameters", before.parameters, after.parameters),
        _compared("parameters that are not zero", before.non_zero, after.non_zero),
        _compared("bytes of the file", before.n_bytes, after.n_bytes),
        _compared("multiply-adds per row", before.multiply_adds, after.multiply_adds),
    ]
    for batch, latency in before.latency_us.items():
        small = after.latency_us[batch]
        text = (f"latency, batch of {batch}", f"{latency:.1f} µs", f"{small:.1f} µs")
        rows.append((*text, f"{small / latency:.0%}"))
    return rows


def _compared(what: str, before: int, after: int) -> tuple[str, str, str, str]:
    share = f"{after / before:.0%}" if before else ""
    return what, f"{before:,}", f"{after:,}", share


def _data(model: Model, rows: CheckedRows) -> list[str]:
    """Lines on the data that a model was trained on."""
    settings: Mapping[str, Any] = model.provenance.get("settings") or {}
    data = settings.get("data")
    lines = [f"Data set: {_code(settings.get('dataset_name', 'unknown'))}."]
    if data is not None:
        name = _code(Path(str(data)).name)
        lines = [f"File: {name}, SHA-256 {_code(settings.get('data_digest'))}."]
    if data is not None and Path(str(data)).suffix.lower() != ".npz":
        lines.append(
            f"Rows were split by seed {settings.get('dataset_seed')}: "
            f"{settings.get('test_fraction'):.0%} to test, "
            f"{settings.get('validation_fraction'):.0%} to validate, the rest to train."
        )
    if rows.n_rows is not None:
        train, validation, test = rows.n_rows
        lines.append(f"{train:,} rows to train, {validation:,} to validate, {test:,} to test.")
    scaled = "scaled to [0, 1] by the smallest and largest value of each in the training rows"
    taken = scaled if model.scaling else "values in [0, 1]"
    lines.append(f"{model.architecture.n_dim} columns, {taken}.")
    if model.columns is not None:
        lines.append(f"Columns, in this order: {_listed(model.columns)}.")
    return lines


def _varying(exported: Exported) -> str:
    """A sentence on how much of the code is in use."""
    size = exported.model.architecture.latent_size
    varying = varying_values(exported.model, exported.rows)
    if varying == size:
        return f"All {size} values of the code vary."
    return (
        f"**{varying} of the {size} values of the code vary** on these rows; the others are the "
        "same for all of them, and tell nothing."
    )


def _test_rows(choice: Choice) -> str:
    """A sentence on what the test rows decided."""
    settings: Mapping[str, Any] = choice.model.provenance.get("settings") or {}
    decided = []
    if settings.get("prune_method") == "lexicase" and settings.get("lexicase_split") == "test":
        decided.append("which nodes were pruned (`lexicase_split: test`)")
    if choice.place is None and settings.get("final_cell") == "best_on_test":
        decided.append("which cell is the answer (`final_cell: best_on_test`)")
    if decided:
        return f"Test rows decided {' and '.join(decided)}, as in the published experiments."
    return "Test rows decided nothing: neither training nor pruning nor the choice of this model."


def _left(model: Model, latent_size: int) -> list[str]:
    """Lines on what compaction left of a model whose code had this many values."""
    compaction = model.compaction
    if compaction is None:
        return []
    lines = [
        f"Of the trained model's {compaction.n_parameters:,} parameters "
        f"{model.architecture.n_parameters:,} are left; what pruning made dead is taken out."
    ]
    if len(compaction.code) == latent_size:
        lines.append("All values of the code are left.")
    elif compaction.code:
        code = ", ".join(map(str, compaction.code))
        lines.append(f"The code's values are the trained code's values number {code}, from 0.")
    else:
        lines.append("**Pruning left nothing of the code**: its one value is 0 for every row.")
    if compaction.is_constant:
        lines.append("**The reconstruction is the same for every row.**")
    if compaction.unread_inputs:
        names = model.columns or [str(k) for k in range(model.architecture.n_dim)]
        unread = [names[k] for k in compaction.unread_inputs]
        lines.append(f"No weight reads {len(unread)} of the columns: {_listed(unread)}.")
    return lines


def _code(text: object) -> str:
    """Text as a span of code, on one line, whatever is in it."""
    line = "".join(each if each.isprintable() else "?" for each in str(text))
    fence = "``" if "`" in line else "`"
    return f"{fence} {line} {fence}" if fence == "``" else f"`{line}`"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(_code, names[:_NAMED]))
    return shown + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _settings(provenance: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The settings that are not at their defaults."""
    settings: Mapping[str, Any] = provenance.get("settings") or {}
    return [
        (name, settings[name])
        for name, field in Variant.model_fields.items()
        if name in settings and settings[name] not in (field.default, None)
    ]
