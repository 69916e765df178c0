"""Model files by their paths: those in a study's folder only as they were committed."""

from __future__ import annotations

import itertools
from pathlib import Path

from aes_lipi.config import expanded
from aes_lipi.errors import UserError
from aes_lipi.models import Model, read_model
from aes_lipi.results.inventory import take_inventory
from aes_lipi.results.storage import LocalStorage
from aes_lipi.results.trial_files import MARKERS, MODELS, handed_on, trial_of

_DEPTH = 3  # parts of a path inside a study's folder


def load_model(path: str | Path) -> Model:
    """Read a model that a study or an export wrote.

    Raises:
        UserError: the file is missing or damaged, or is not such a model (give a saved one), or it
            lies in a study's folder and is not what was committed there.
    """
    check_committed(Path(expanded(path)))
    return read_model(path)


def check_committed(path: Path) -> None:
    """Refuse a model in a study's folder that is not what its trial's marker says.

    A file elsewhere, or of a trial without a marker, has nothing that it can be compared with.

    Raises:
        UserError: it is another; run the study again with --restore_models.
    """
    parts = path.absolute().parts[-_DEPTH:]
    found = trial_of("/".join(parts))
    if found is None or found[0] != MODELS:
        return
    study = path.absolute().parents[_DEPTH - 1]
    if (study / found[1].path(MARKERS)).exists():
        handed_on(LocalStorage(study), found[1], MODELS)


def warm_start_files(given: str | Path) -> list[Path]:
    """The model files that `ann_path` names: one, or all below a folder in order of path.

    `IDX` in the name of a file stands for the number of a cell, from 0, as in `nIDX_ae.pt`
    of the published code: all of these files that there are. Of a study's output folder, only the
    models of committed trials, as they were committed.

    Raises:
        UserError: the folder holds no model, or cannot be read (give a saved model), or a model of
            a study is not what was committed.
    """
    path = Path(given)
    try:
        files = sorted(path.rglob("*.safetensors")) if path.is_dir() else _of_cells(path)
        if (path / "trials").is_dir() and (path / MODELS).is_dir():
            committed = take_inventory(LocalStorage(path), ()).committed
            of_study = {path / trial.path(MODELS) for trial in committed}
            files = [file for file in files if file in of_study]
    except OSError as error:
        raise UserError(f"--ann_path {path}: {error.strerror}; give a saved model") from None
    if not files:
        raise UserError(
            f"--ann_path {path}: no .safetensors model in this folder (of the published code, "
            "give a file; nIDX_ae.pt means those of all cells)"
        )
    for file in files:
        check_committed(file)
    return files


def _of_cells(path: Path) -> list[Path]:
    """The file, or those of the cells 0, 1, ... whose numbers `IDX` in its name stands for."""
    if "IDX" not in path.name or path.exists():
        return [path]
    named = (path.with_name(path.name.replace("IDX", str(cell))) for cell in itertools.count())
    return list(itertools.takewhile(Path.exists, named)) or [path]
