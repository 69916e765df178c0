"""Files of the published code, written once in formats that hold no pickle."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from aes_lipi.config import Variant, expanded
from aes_lipi.data import save
from aes_lipi.data.load import load_dataset
from aes_lipi.data.tensors import files_of, set_name
from aes_lipi.errors import UserError
from aes_lipi.models import save_model
from aes_lipi.models.torch_checkpoints import read_checkpoint


def convert(files: Iterable[str | Path], directory: str | Path | None = None) -> list[Path]:
    """Write checkpoints as `.safetensors`, and data sets, three files each, as one `.npz`.

    A file that is named as a split of a data set is one; every other is a checkpoint.

    Args:
        files: of the published code.
        directory: where to, made if it is not there; by default beside each file.

    Returns:
        the files written.

    Raises:
        UserError: a file is neither, or cannot be read, or there is a file already where one is
            to be written; remove it, or give another folder.
    """
    written: list[Path] = []
    for file in map(expanded, files):
        target = _target(Path(file), directory)
        if target in written:
            continue
        if target.exists():
            raise UserError(f"{target}: is there already; remove it, or give another --output_dir")
        model = read_checkpoint(Path(file)) if target.suffix == ".safetensors" else None
        target.parent.mkdir(parents=True, exist_ok=True)
        if model is None:
            save(load_dataset(Variant(data=file)), target)
        else:
            save_model(target, model)
        written.append(target)
    return written


def _target(file: Path, directory: str | Path | None) -> Path:
    folder = file.parent if directory is None else Path(expanded(directory))
    is_split = len(files_of(file)) > 1
    return folder / (f"{set_name(file)}.npz" if is_split else f"{file.stem}.safetensors")
