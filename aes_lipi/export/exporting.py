"""An export from beginning to end: a model is chosen, compacted, compared and written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from aes_lipi.analysis.baselines import Contender, baselines_of_trial, beaten_by_pca
from aes_lipi.config import Variant, expanded
from aes_lipi.errors import UserError
from aes_lipi.export.candidates import Choice, choose
from aes_lipi.export.card import CARD, Exported, model_card
from aes_lipi.export.formats import FORMATS
from aes_lipi.export.onnx import INPUT_DTYPES, onnx_package
from aes_lipi.export.package import (
    CheckedRows,
    Package,
    check_measured,
    costs,
    largest_difference,
    rows_to_check,
)
from aes_lipi.export.targets import line_for_a_small_model, target_of
from aes_lipi.models import Model
from aes_lipi.results.description import located
from aes_lipi.results.object_storage import open_storage
from aes_lipi.results.reading import load_results
from aes_lipi.results.storage import LocalStorage, Storage, is_address, join, place_of


def export(
    location: str | Path,
    *,
    variant: str | None = None,
    trial: int | None = None,
    target_capacity: float | None = None,
    max_loss_increase: float | None = None,
    compact: bool = False,
    format_name: str = "safetensors",
    input_dtype: str | None = None,
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
        compact: take out what pruning made dead. Without a target, the model at the knee of size
            against validation loss is picked, if recorded models were stored.
        format_name: `safetensors`, `onnx` or `torch`.
        input_dtype: of rows and reconstructions in ONNX: `float32`, the default, or `float64`.
        output_dir: folder for the files, or its address; by default one in the study's folder,
            named after variant and trial.

    Raises:
        UserError: no trial or recorded model is what was asked for (ask for less), a flag is out of
            bounds, the trained model is not what the tables say of it on the data at hand, the
            exported one differs from it, or the disk refuses a file.
    """
    pack = _format(format_name, input_dtype)
    target = target_of(target_capacity, max_loss_increase)
    location = _place(location)
    choice = choose(location, variant, trial, target, compact=compact)
    rows = rows_to_check(choice.model, open_storage(location))
    model = replace(choice.model, score_quantiles=rows.score_quantiles)
    trained = model.for_use()
    small = model.compacted() if compact else trained
    exported = replace(small, provenance=_provenance(choice))
    package = pack(exported)
    check_measured(rows, {"validation_L1": choice.validation_L1, "test_L1": choice.test_L1})
    difference = largest_difference(choice.model, exported, package, rows)
    before, after = costs([(trained, pack(trained)), (exported, package)], rows.values)
    found, remarks = _beside_baselines(location, choice, exported, rows)
    done = Exported(
        choice=choice,
        model=exported,
        package=package,
        before=before,
        after=after,
        difference=difference,
        rows=rows,
        contenders=found,
        remarks=remarks,
        folder=join(location, f"exports/{_name(choice, format_name, input_dtype, compact=compact)}")
        if output_dir is None
        else _place(output_dir),
        advice=_advice(location, choice, exported) if compact else [],
    )
    storage = open_storage(done.folder)
    _check_own_card(storage)
    _write(package.files, storage)
    _write({CARD: model_card(done).encode()}, storage)
    return done


def _place(location: str | Path) -> str | Path:
    """A folder, with what it names filled in, or an address.

    Raises:
        UserError: an address that is no text (give it as text), or a variable that is not set.
    """
    return str(location) if is_address(location) else Path(expanded(location))


def _check_own_card(storage: Storage) -> None:
    """Refuse to replace a card that is somebody else's: ours names this package.

    Raises:
        UserError: it does not; move it away, or choose another folder.
    """
    known = storage.read(CARD)
    if known is not None and b"aes_lipi" not in known:
        raise UserError(
            f"{storage.shown}/{CARD}: was not written by aes_lipi, and stays as it is; move it "
            "away, or choose another folder"
        )


def _advice(location: str | Path, choice: Choice, exported: Model) -> list[str]:
    """Where compaction took nothing out: that, and the line that gives a small model."""
    trained = choice.model
    if exported.architecture.n_parameters < trained.architecture.n_parameters:
        return []
    settings = dict(trained.provenance.get("settings") or {})
    is_pruned = settings.get("prune_method") != "None"
    why = "weights were pruned, but no node is dead" if is_pruned else "nothing was pruned"
    try:
        data = located(open_storage(location), Variant.model_validate(settings)).data
    except ValidationError:  # of another version
        data = None
    study = str(trained.provenance.get("study"))
    return [
        f"nothing got smaller: {why}; for a small model:",
        line_for_a_small_model(study, data, place_of(location)),
    ]


def _beside_baselines(
    location: str | Path, choice: Choice, exported: Model, rows: CheckedRows
) -> tuple[list[Contender], list[str]]:
    """The exported model beside constant and PCA, and what there is to say of that."""
    trials = load_results(location, ["trials"]).trials
    of_trial = (trials["variant"] == choice.trial.variant) & (trials["trial"] == choice.trial.trial)
    row = trials[of_trial].iloc[0].to_dict()
    found = baselines_of_trial(row)
    if rows.columns is None or not found:
        return [], []
    own = Contender(
        "this model",
        l1=float(rows.columns.l1.mean()),
        mse=float(rows.columns.mse.mean()),
        r2=rows.columns.r2_median,
        n_unlearnt=rows.columns.n_unlearnt,
        n_parameters=exported.architecture.n_parameters,
        cpu_s=float(row["cpu_time_s"]),
        l1_by_validation=choice.test_L1_by_validation if choice.was_chosen_on_test else None,
    )
    row["validation_mse"] = rows.validation_mse
    return [own, *found], beaten_by_pca("this model", row)


def _name(choice: Choice, format_name: str, input_dtype: str | None, *, compact: bool) -> str:
    """What the folder of an export is called: the same for the same export."""
    parts = [choice.trial.variant, f"trial{choice.trial.trial:04d}"]
    if choice.place is not None:
        parts += [f"generation{choice.place.generation}", f"cell{choice.place.cell}"]
    wide = ["float64"] if input_dtype == "float64" else []
    return "-".join([*parts, *(["compact"] if compact else []), format_name, *wide])


def _provenance(choice: Choice) -> dict[str, object]:
    losses = {"validation_L1": choice.validation_L1, "test_L1": choice.test_L1}
    return {
        **choice.model.provenance,
        **{name: value for name, value in losses.items() if math.isfinite(value)},
    }


def _write(files: Mapping[str, bytes], storage: Storage) -> None:
    """Write files, each whole or not at all.

    Raises:
        UserError: the disk or the store refuses one; make room, or give another folder.
    """
    for name, content in files.items():
        storage.write(name, content)


def write_model(
    model: Model,
    folder: str | Path,
    format_name: str = "onnx",
    *,
    compact: bool = False,
    input_dtype: str | None = None,
) -> list[Path]:
    """Write a model that is at hand, such as an estimator's `model_`, without a card or a check.

    Args:
        model: the model.
        folder: for the files; made if need be.
        format_name: `safetensors`, `onnx` or `torch`.
        compact: take out what pruning made dead.
        input_dtype: of rows and reconstructions in ONNX: `float32`, the default, or `float64`.

    Returns:
        the files.

    Raises:
        UserError: the format is unknown (give one of `FORMATS`), the folder is an address, or the
            disk refuses a file.
    """
    if is_address(folder):
        raise UserError(f"{place_of(folder)}: is an address; write to a folder here, and copy it")
    package = _format(format_name, input_dtype)(model.compacted() if compact else model.for_use())
    place = Path(expanded(folder))
    _write(package.files, LocalStorage(place))
    return [place / name for name in package.files]


def _format(name: str, input_dtype: str | None) -> Callable[[Model], Package]:
    """What packs a model.

    Raises:
        UserError: there is no such format or type, or the type is given for another format.
    """
    if name not in FORMATS:
        raise UserError(f"--format {name}: give one of {', '.join(FORMATS)}")
    if input_dtype is None:
        return FORMATS[name]
    for known in INPUT_DTYPES:
        if (name, input_dtype) == ("onnx", known):
            return partial(onnx_package, input_dtype=known)
    raise UserError(
        f"--input_dtype {input_dtype}: give float32 or float64, with --format onnx; others take "
        "rows of either type"
    )
