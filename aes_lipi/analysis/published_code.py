"""What trials of the published code recorded, as a table with our columns."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from aes_lipi.config import OF_SPACE, Study, Variant, describe, expanded, load_configuration
from aes_lipi.errors import UserError
from aes_lipi.execution.inputs import architecture_of

_STATISTICS = "stats.jsonl"
_PARAMETERS = "params.json"

_COLUMNS = {
    "generation": "iteration",
    "cell": "node_idx",
    "learning_rate": "learning_rate",
    "min_selection_loss": "min_selection_loss",
    "min_replacement_loss": "min_replacement_loss",
    "n_pruned_encoder": "n_pruned_encoder",
    "n_pruned_decoder": "n_pruned_decoder",
    "test_loss": "test_loss",
    "mean_L1": "mean_L1",
    "std_L1": "std_L1",
}
"""Ours, and what it calls them."""

_NOT_ALWAYS = ("test_loss", "mean_L1", "std_L1")


def read_published(directory: str | Path) -> pd.DataFrame:
    """Read what trials of the published code left in a folder and the folders below it.

    Every folder with a `stats.jsonl` is a trial; its `params.json` says of which variant. Trials of
    a variant are numbered in the order of their paths.

    Args:
        directory: such a folder, or any above.

    Returns:
        a row per trial, generation and cell with columns of our `generations`: `variant` (the id
        that these settings have here; empty without a `params.json`), `variant_name`, `trial`,
        `generation`, `cell`, `learning_rate`, `min_selection_loss`, `min_replacement_loss`,
        `n_pruned_encoder`, `n_pruned_decoder`, `capacity_published` (NaN without a `params.json`),
        `test_loss`, `mean_L1` and `std_L1` (NaN where it was not recorded). Of `all_vs_all`, where
        pairs have rows, `cell` is as here the pair's place in the order of its generation.

    Raises:
        UserError: the folder holds no such file, or a file is damaged; the line says which.
    """
    folder = Path(expanded(directory))
    files = sorted(folder.rglob(_STATISTICS))
    if not files:
        raise UserError(f"{folder}: holds no {_STATISTICS}; give a folder of the published code")
    found = {file: _variant(file.with_name(_PARAMETERS)) for file in files}
    known = {variant.id: variant for variant in found.values() if variant is not None}
    study = Study(name=folder.name, trials=1, variants=tuple(known.values()))
    trials: Counter[str] = Counter()
    tables = []
    for file, variant in found.items():
        identity = "" if variant is None else variant.id
        table = _table(file)
        if variant is not None and variant.cell_evaluation == "all_vs_all":
            table["cell"] = table.groupby("generation").cumcount()
        table.insert(0, "trial", trials[identity])
        table.insert(0, "variant_name", "" if variant is None else study.label(variant))
        table.insert(0, "variant", identity)
        pruned = table["n_pruned_encoder"] + table["n_pruned_decoder"]
        place = table.columns.get_loc("n_pruned_decoder")
        assert isinstance(place, int)
        table.insert(place + 1, "capacity_published", 1 - pruned / _n_parameters(variant))
        tables.append(table)
        trials[identity] += 1
    return pd.concat(tables, ignore_index=True)


def _variant(path: Path) -> Variant | None:
    """The settings of a trial but its seed, as far as they are settings here; None without a file.

    Raises:
        UserError: the file is no JSON object of settings, or a value is out of bounds.
    """
    if not path.exists():
        return None
    settings = load_configuration(path).file.settings
    known = {name: settings[name] for name in settings if name in Variant.model_fields}
    known.pop("rng_seed", None)  # a trial's own
    if known.get("cell_evaluation") == "all_vs_all":
        known = {name: value for name, value in known.items() if name not in OF_SPACE}
    if (started := known.get("ann_path")) and Path(started).is_relative_to(path.parent):
        known["ann_path"] = str(Path(started).relative_to(path.parent))  # as all trials say it
    try:
        return Variant.model_validate(known)
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error)}") from None


def _n_parameters(variant: Variant | None) -> float:
    if variant is None or variant.n_dim is None:
        return float("nan")
    return architecture_of(variant, variant.n_dim).n_parameters


def _table(file: Path) -> pd.DataFrame:
    """The rows of a file.

    Raises:
        UserError: it cannot be read, or a line is not a row; the line says which.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read ({error}); check the path") from None
    rows = [_row(file, k, line) for k, line in enumerate(lines, 1) if line.strip()]
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    return table.astype(dict.fromkeys(_NOT_ALWAYS, "float64"))


def _row(file: Path, number: int, line: str) -> dict[str, Any]:
    try:
        said = json.loads(line)
        row = {ours: said.get(theirs) for ours, theirs in _COLUMNS.items()}
        for name, value in row.items():
            if not isinstance(value, int | float) and not (value is None and name in _NOT_ALWAYS):
                raise ValueError(f"{_COLUMNS[name]}: no number")
    except (ValueError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{file}, line {number}: not a row of statistics ({' '.join(str(error).split())}); "
            "take the file from the run again"
        ) from None
    return row
