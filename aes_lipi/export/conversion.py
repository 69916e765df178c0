"""Files of the published code, written once in formats that hold no pickle."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from aes_lipi.config import Variant, expanded
from aes_lipi.data import save
from aes_lipi.data.load import load_dataset
from aes_lipi.data.tensors import files_of, set_name
from aes_lipi.errors import UserError
from aes_lipi.io.files import write_bytes_atomically
from aes_lipi.models import model_bytes
from aes_lipi.models.torch_checkpoints import read_checkpoint
from aes_lipi.results.storage import is_address, place_of


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
            to be written; remove it, or give another folder. Or two files would be one, or the
            folder is an address or cannot be written.
    """
    if directory is not None and is_address(directory):
        raise UserError(f"--output_dir {place_of(directory)}: files are written to a folder here")
    written: dict[Path, Path] = {}
    for file in map(Path, map(expanded, files)):
        target = _target(file, directory)
        if target in written:
            if file in files_of(written[target]) or file == written[target]:
                continue  # another split of the same data
            raise UserError(
                f"{file}: would be {target}, as {written[target]} is; convert them to different "
                "folders (--output_dir)"
            )
        if target.exists():
            raise UserError(f"{target}: is there already; remove it, or give another --output_dir")
        if target.suffix == ".safetensors":
            write_bytes_atomically(target, model_bytes(read_checkpoint(file)))
        else:
            save(load_dataset(Variant(data=str(file))), target)
        written[target] = file
    return list(written)


def _target(file: Path, directory: str | Path | None) -> Path:
    folder = file.parent if directory is None else Path(expanded(directory))
    is_split = len(files_of(file)) > 1
    return folder / (f"{set_name(file)}.npz" if is_split else f"{file.stem}.safetensors")
