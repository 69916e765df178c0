"""Records as a few arrays, every value with its bits."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Sequence

import numpy as np

from aes_lipi.arrays import Array
from aes_lipi.checkpoints.tensors import Tensors, take
from aes_lipi.coevolution.plan import Record

_HINTS = typing.get_type_hints(Record)
_NAMES = [field.name for field in dataclasses.fields(Record)]
_WHOLE = [name for name in _NAMES if _HINTS[name] in (int, bool)]
_REAL = [name for name in _NAMES if _HINTS[name] in (float, float | None, int | None)]
_READS = "read_generations"
_MATRIX = "selection_losses"
_WEIGHTS = "centre"


def records_to_tensors(records: Sequence[Record], n_members: int, n_bytes: int) -> dict[str, Array]:
    """Records as arrays.

    Args:
        records: all of one trial.
        n_members: size of a neighbourhood.
        n_bytes: of a centre's weights.

    Returns:
        `records.whole`, int64, a column for every number that is whole and always known, or a
        truth value; `records.real`, float64, a column for all others; `records.known`, uint8, 0
        where they are None; `records.reads`, int64. A row each is a record. `records.measured`,
        int64, says which of them have losses at selection, and `records.selection_losses`,
        float64, which ones; `records.kept`, int64, which of them have the weights of their centre,
        and `records.centres`, uint8, these.
    """
    whole = np.array([[getattr(record, name) for name in _WHOLE] for record in records], np.int64)
    real = [[getattr(record, name) for name in _REAL] for record in records]
    known = np.array([[value is not None for value in row] for row in real], np.uint8)
    reads = np.array([record.read_generations for record in records], np.int64)
    measured = [k for k, record in enumerate(records) if record.selection_losses is not None]
    losses = np.array([records[k].selection_losses for k in measured], np.float64)
    kept = [k for k, record in enumerate(records) if record.centre is not None]
    centres = b"".join(records[k].centre or b"" for k in kept)
    n = len(records)
    return {
        "records.whole": whole.reshape(n, len(_WHOLE)),
        "records.real": np.array(real, np.float64).reshape(n, len(_REAL)),
        "records.known": known.reshape(n, len(_REAL)),
        "records.reads": reads.reshape(n, n_members),
        "records.measured": np.array(measured, np.int64),
        "records.selection_losses": losses.reshape(len(measured), n_members**2),
        "records.kept": np.array(kept, np.int64),
        "records.centres": np.frombuffer(centres, np.uint8).reshape(len(kept), n_bytes),
    }


def records_from_tensors(tensors: Tensors, n_members: int, n_bytes: int) -> list[Record]:
    """Records from arrays.

    Raises:
        ValueError: the arrays are not those of records.
    """
    whole = take(tensors, "records.whole", np.int64, (None, len(_WHOLE)))
    n = len(whole)
    real = take(tensors, "records.real", np.float64, (n, len(_REAL)))
    known = take(tensors, "records.known", np.uint8, (n, len(_REAL)))
    reads = take(tensors, "records.reads", np.int64, (n, n_members))
    losses = _selection_losses(tensors, n, n_members)
    centres = _centres(tensors, n, n_bytes)
    fields = [
        {_READS: tuple(read), _MATRIX: matrix, _WEIGHTS: centre}
        for read, matrix, centre in zip(reads.tolist(), losses, centres, strict=True)
    ]
    rows = zip(whole.tolist(), real.tolist(), known.tolist(), fields, strict=True)
    return [_record(*row) for row in rows]


def newest_mean_l1(tensors: Tensors) -> float | None:
    """Mean over the cells of `mean_L1`, of the newest generation in which all of them have it.

    Args:
        tensors: arrays of records; they are not made into records again.

    Returns:
        the mean; None if there is no such generation, or it is not finite.

    Raises:
        ValueError: the arrays are not those of records.
    """
    whole = take(tensors, "records.whole", np.int64, (None, len(_WHOLE)))
    shape, column = (len(whole), len(_REAL)), _REAL.index("mean_L1")
    known = take(tensors, "records.known", np.uint8, shape)[:, column] != 0
    losses = take(tensors, "records.real", np.float64, shape)[known, column]
    generations = whole[known, _WHOLE.index("generation")]
    n_cells = len(np.unique(whole[:, _WHOLE.index("cell")]))
    found, counts = np.unique(generations, return_counts=True)
    full = found[counts == n_cells]
    if not len(full):
        return None
    with np.errstate(all="ignore"):
        mean = float(losses[generations == full[-1]].mean())
    return mean if math.isfinite(mean) else None


def _selection_losses(tensors: Tensors, n: int, n_members: int) -> list[tuple[float, ...] | None]:
    """Of each of n records its losses at selection.

    Raises:
        ValueError: the arrays are not those of records.
    """
    measured = _which(tensors, "records.measured", n)
    matrices = take(tensors, "records.selection_losses", np.float64, (len(measured), n_members**2))
    found: list[tuple[float, ...] | None] = [None] * n
    for k, matrix in zip(measured, matrices.tolist(), strict=True):
        found[k] = tuple(matrix)
    return found


def _centres(tensors: Tensors, n: int, n_bytes: int) -> list[bytes | None]:
    """Of each of n records the weights of its centre.

    Raises:
        ValueError: the arrays are not those of records.
    """
    kept = _which(tensors, "records.kept", n)
    centres = take(tensors, "records.centres", np.uint8, (len(kept), n_bytes))
    found: list[bytes | None] = [None] * n
    for k, centre in zip(kept, centres, strict=True):
        found[k] = centre.tobytes()
    return found


def _which(tensors: Tensors, name: str, n: int) -> list[int]:
    """Some of n records.

    Raises:
        ValueError: the array does not say which, in ascending order.
    """
    which = take(tensors, name, np.int64, (None,))
    if not ((which >= 0) & (which < n)).all() or (np.diff(which) <= 0).any():
        raise ValueError(f"{name}: not an ascending list of records")
    chosen: list[int] = which.tolist()
    return chosen


def _record(
    whole: list[int], real: list[float], known: list[int], others: dict[str, typing.Any]
) -> Record:
    values = dict(others)
    for name, value in zip(_WHOLE, whole, strict=True):
        values[name] = bool(value) if _HINTS[name] is bool else value
    for name, number, is_known in zip(_REAL, real, known, strict=True):
        values[name] = _value(name, number) if is_known else None
        if not is_known and _HINTS[name] is float:
            raise ValueError(f"records.known: {name} is not known")
    return Record(**values)


def _value(name: str, number: float) -> float | int:
    """A number as its field has it.

    Raises:
        ValueError: it should be whole.
    """
    if _HINTS[name] == (int | None):
        if not number.is_integer():
            raise ValueError(f"records.real: {name} is not whole")
        return int(number)
    return number
