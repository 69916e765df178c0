"""The model card: what is said of an export beside its files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aes_lipi.analysis.baselines import Contender, contender_columns
from aes_lipi.config import BUILT_IN, Scale, Variant
from aes_lipi.data.encoding import Encoding
from aes_lipi.data.source import SPLIT_ALREADY
from aes_lipi.export.candidates import Choice
from aes_lipi.export.package import CheckedRows, Cost, Package, varying_values
from aes_lipi.models import Model
from aes_lipi.results.answers import BY_VALIDATION, note_on_star, starred
from aes_lipi.results.storage import join
from aes_lipi.templates import render
from aes_lipi.templates.escaping import Marked, code_span

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
        contenders: the model beside constant and PCA, where they were measured.
        remarks: what there is to say of that.
        folder: where the files are, or its address.
        advice: what to do where compaction made nothing smaller.
    """

    choice: Choice
    model: Model
    package: Package
    before: Cost
    after: Cost
    difference: float
    rows: CheckedRows
    contenders: list[Contender]
    remarks: list[str]
    folder: str | Path
    advice: list[str] = field(default_factory=list)

    @property
    def label(self) -> str | None:
        """Name of the column that says what a row is, where there is one."""
        settings: Mapping[str, Any] = self.model.provenance.get("settings") or {}
        return settings.get("label")

    @property
    def files(self) -> list[str | Path]:
        """All files that were written, the model card last."""
        return [join(self.folder, name) for name in (*self.package.files, CARD)]


def model_card(exported: Exported) -> str:
    """The card of an export, in Markdown."""
    beside = contender_columns(exported.contenders)
    return render(
        "model_card.md.j2",
        exported=exported,
        choice=exported.choice,
        provenance=exported.model.provenance,
        table=cost_table(exported.before, exported.after),
        test_L1=starred("test L1", exported.choice.was_chosen_on_test),
        beside=beside,
        note=note_on_star(beside=True) if BY_VALIDATION in beside else "",
        contenders=[
            (each.name, cells)
            for each, *cells in zip(exported.contenders, *beside.values(), strict=True)
        ],
        remarks=exported.remarks,
        data=_marked(_data(exported.model, exported.rows)),
        settings=_settings(exported.model.provenance),
        usage=Marked(exported.package.usage),
        files=_marked(map(code_span, exported.package.files)),
        test_rows=Marked(_test_rows(exported.choice)),
        code=Marked(_varying(exported)),
        quantiles=_quantiles(exported.model),
        label=exported.label,
        labels=exported.rows.by_label,
        left=_marked(_left(exported.model, exported.choice.model.architecture.latent_size)),
    )


def _marked(lines: Iterable[str]) -> list[Marked]:
    """Lines of Markdown, in which all that is somebody else's is escaped."""
    return [Marked(line) for line in lines]


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


_TAKEN: Mapping[Scale, str] = {
    "minmax": "scaled to [0, 1] by the smallest and largest value of each in the training rows",
    "standard": "scaled by mean and standard deviation of each in the training rows",
    "robust": "scaled by median and quartiles of each in the training rows",
    "quantile": "scaled to [0, 1] by the share of training rows that lie below",
    "power": "each to the power (Yeo-Johnson) that makes the training rows most like a normal "
    "distribution, then scaled by mean and standard deviation",
}
"""What is said of a scaling's columns."""


def _data(model: Model, rows: CheckedRows) -> list[str]:
    """Lines on the data that a model was trained on."""
    settings: Mapping[str, Any] = model.provenance.get("settings") or {}
    data = settings.get("data")
    lines = [f"Data set: {code_span(settings.get('dataset_name', 'unknown'))}."]
    if data is not None:
        name = code_span(Path(str(data)).name)
        lines = [f"File: {name}, SHA-256 {code_span(settings.get('data_digest'))}."]
    read = str(model.provenance.get("data_read", ""))
    if read:
        lines.append(f"Read as {code_span(read)}.")
    if data is not None and SPLIT_ALREADY not in read:
        lines.append(
            f"Rows were split by seed {settings.get('dataset_seed')}: "
            f"{settings.get('test_fraction'):.0%} to test, "
            f"{settings.get('validation_fraction'):.0%} to validate, the rest to train."
        )
    if rows.n_rows is not None:
        train, validation, test = rows.n_rows
        lines.append(f"{train:,} rows to train, {validation:,} to validate, {test:,} to test.")
    taken = _TAKEN[model.scaling.kind] if model.scaling else "values in [0, 1]"
    lines.append(f"{model.architecture.n_dim} columns, {taken}.")
    if model.encoding is not None:
        lines += _encoded(model.encoding)
    if model.columns is not None:
        lines.append(f"Columns, in this order: {_listed(model.columns)}.")
    return lines


def _encoded(encoding: Encoding) -> list[str]:
    """Lines on how a table becomes the columns."""
    lines = []
    texts = [column.name for column in encoding.columns if column.categories is not None]
    if texts:
        lines.append(
            f"Columns of text, {_listed(texts)}, are one for each of their texts, `column=text`: 1 "
            "where it is that text and else 0, all 0 for one that training rows did not have."
        )
    if encoding.fills:
        fills = [(column.name, column.fill) for column in encoding.columns]
        told = [f"{code_span(name)} {fill:.6g}" for name, fill in fills if fill is not None]
        shown = ", ".join(told[:_NAMED]) + (" and more" if len(told) > _NAMED else "")
        lines.append(f"Missing values (NaN) are taken for: {shown or 'no text'}.")
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


def _quantiles(model: Model) -> str:
    """A sentence on the scores of the training rows; none where they are not known."""
    if model.score_quantiles is None:
        return ""
    shown = [f"{model.score_quantiles[k]:.4g} ({k} %)" for k in (50, 90, 95, 99)]
    highest = model.score_quantiles[-1]
    return f"Of the training rows, scores are at most {', '.join(shown)}, {highest:.4g} (all)."


def _test_rows(choice: Choice) -> str:
    """A sentence on what the test rows decided."""
    settings: Mapping[str, Any] = choice.model.provenance.get("settings") or {}
    decided, beside = [], ""
    method = settings.get("prune_method", "None")
    of_a_users = method not in BUILT_IN["prune_method"]
    if settings.get("lexicase_split") == "test" and (method == "lexicase" or of_a_users):
        when = f", if {code_span(method)} needs activations" if of_a_users else ""
        decided.append(f"which nodes were pruned{when} (`lexicase_split: test`)")
    if choice.was_chosen_on_test:
        decided.append("which cell is the answer (`final_cell: best_on_test`, hence the star)")
        other = choice.test_L1_by_validation
        if not math.isnan(other):
            beside = f" The cell chosen on validation rows has a test L1 of {other:.4f}."
    if decided:
        what = " and ".join(decided)
        return f"Test rows decided {what}, as in the published experiments.{beside}"
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


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(code_span, names[:_NAMED]))
    return shown + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _settings(provenance: Mapping[str, Any]) -> list[tuple[Marked, Any]]:
    """The settings that are not at their defaults."""
    settings: Mapping[str, Any] = provenance.get("settings") or {}
    return [
        (code_span(name), settings[name])
        for name, field in Variant.model_fields.items()
        if name in settings and settings[name] not in (field.default, None)
    ]
