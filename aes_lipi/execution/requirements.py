"""What a trial needs at least, in bytes, before it starts; and what no memory here can hold."""

from __future__ import annotations

from collections.abc import Mapping

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.coevolution.topology import largest_neighbourhood
from aes_lipi.config import Variant
from aes_lipi.errors import UserError

_FLOAT32, _FLOAT64 = 4, 8
_STATES = 2  # of a ring: the cells of a generation, and those that come of them
_COPIES = 4  # of the centres of all generations, in the end: as records, rows, a file, one sealed
_RECORD = 200  # bytes of a generation of a cell that is written down, at the least


def needed_memory(variant: Variant, architecture: Architecture, n_rows: int) -> dict[str, int]:
    """What a trial needs at least, in bytes, by what it is for.

    Args:
        variant: settings.
        architecture: of its networks.
        n_rows: of the training split.
    """
    cells, size = variant.population_size, architecture.n_parameters
    members = largest_neighbourhood(variant)
    widths = architecture.n_dim + architecture.encoder.n_nodes + architecture.decoder.n_nodes
    stored = stored_size(variant, architecture)
    if variant.store_generations == "all":
        stored *= _COPIES
    return {
        "weights": _STATES * cells * size * _FLOAT32,
        "batches": variant.batch_size * widths * _FLOAT32,
        "loss matrix": members**2 * _FLOAT64,
        "records": _steps(variant) * variant.epochs * _RECORD + stored,
        "data": n_rows * architecture.n_dim * _FLOAT32,
    }


def stored_size(variant: Variant, architecture: Architecture) -> int:
    """What a trial's model file takes at the most for the centres of generations, in bytes.

    Args:
        variant: settings.
        architecture: of its networks.
    """
    recorded = max(1, variant.epochs // variant.record_interval)
    generations = {"none": 0, "recorded": recorded, "all": variant.epochs}
    of_one = _steps(variant) * architecture.n_parameters * _FLOAT32
    return generations[variant.store_generations] * of_one


def _steps(variant: Variant) -> int:
    """Pairs that are trained, and recorded, in a generation."""
    cells = variant.population_size
    return cells**2 if variant.cell_evaluation == "all_vs_all" else cells


_MIB = 2**20
_OF_A_WORKER = {"dense": 160 * _MIB, "torch": 256 * _MIB}
"""Bytes of a worker process that are its own, with the libraries of an engine and next to no data:
116 and 192 MiB were measured, and a third is added for what a trial's end takes."""

_SPLITS = 3


def worker_memory(needed: Mapping[str, int], engine: str, shares_data: bool) -> int:
    """Bytes that a worker process takes while it runs one trial after another.

    Args:
        needed: by each of them; see `needed_memory`.
        engine: name of the one that trains them.
        shares_data: whether all workers map the same data.
    """
    data = 0 if shares_data else _SPLITS * needed["data"]
    return _OF_A_WORKER[engine] + sum(needed.values()) - needed["data"] + data


def check_needs(needed: Mapping[str, int], allowed: int) -> None:
    """Refuse a trial that no memory here can hold, before anything of it is made.

    Args:
        needed: see `needed_memory`.
        allowed: bytes that the process may use.

    Raises:
        UserError: the sum is beyond them; the line has the parts, the largest first.
    """
    total = sum(needed.values())
    if total <= allowed:
        return
    parts = sorted(needed.items(), key=lambda part: -part[1])
    told = ", ".join(f"{name} {_gib(n_bytes)}" for name, n_bytes in parts if n_bytes >= total / 100)
    raise UserError(
        f"a trial needs {_gib(total)} at the least ({told}), where {_gib(allowed)} may be used; "
        "choose a smaller population, network or batch, fewer rows or generations, or another "
        "machine"
    )


def check_batch(batch_size: int, n_rows: int) -> None:
    """Refuse a batch of more rows than there are.

    Raises:
        UserError: there are fewer training rows.
    """
    if batch_size > n_rows:
        raise UserError(
            f"batch_size: {batch_size} is more than the {n_rows} rows to train on; give at most "
            f"{n_rows}"
        )


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:,.1f} GiB"
