"""The whole course of one trial, cell by cell, and who descends from whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from aes_lipi.analysis.settings import trained_on
from aes_lipi.arrays import Float64, Int64
from aes_lipi.coevolution.topology import Neighbourhoods, neighbourhoods
from aes_lipi.config import Variant
from aes_lipi.errors import UserError
from aes_lipi.results.checkpoint import recorded_so_far
from aes_lipi.results.description import STUDY_FILE, described_settings, read_variants
from aes_lipi.results.inventory import Inventory
from aes_lipi.results.object_storage import open_storage
from aes_lipi.results.reading import open_results
from aes_lipi.results.schema import generations_schema
from aes_lipi.results.storage import Storage
from aes_lipi.results.trial_files import CheckpointFiles, TrialId
from aes_lipi.results.trial_tables import read_each

BEGINNING = -1
"""The generation of the centres that a trial starts from."""

_REAL = (
    *("learning_rate", "min_selection_loss", "min_replacement_loss", "prune_probability"),
    *("capacity", "test_loss", "mean_L1", "test_L1"),
)
_DECIDING = ("test_L1", "mean_L1", "test_loss", "min_replacement_loss")
_WHOLE = ("winner", "winner_cell")
_FLAGS = ("prune_event", "diverged")
_LISTS = ("read_generations", "selection_losses")
_COLUMNS = ("generation", "cell", *_REAL, *_WHOLE, *_FLAGS, *_LISTS)


@dataclass(frozen=True)
class History:
    """A trial, a row per generation and a column per cell.

    Attributes:
        trial: which.
        measures: float64, shape (generations, cells), NaN where not measured: `learning_rate`,
            `min_selection_loss`, `min_replacement_loss`, `prune_probability`, `capacity`,
            `test_loss`, `mean_L1`, `test_L1`.
        prune_event: bool, shape (generations, cells).
        diverged: bool, shape (generations, cells).
        parent_cell: int64, shape (generations, cells): the cell whose centre the new one descends
            from.
        parent_generation: int64, the same shape: the generation that this centre was of; see
            `BEGINNING`.
        selection_losses: by generation, where quality was measured, and by cell: the loss of every
            encoder of its neighbourhood with each of its decoders, float64, shape (members,
            members), the cell itself being its first member; (0, 0) of a large one.
        members: by cell the cells of its neighbourhood, its own first; empty where the study does
            not say.
        order: cells in an order in which neighbours are near each other; empty where that is the
            order of their numbers, as on a ring.
        is_of_pairs: whether what is called cells are the pairs of `all_vs_all`, where encoders and
            decoders go their own ways: parents say nothing of descent then.
        trained_on: see `aes_lipi.analysis.settings.trained_on`.
    """

    trial: TrialId
    measures: Mapping[str, Float64]
    prune_event: npt.NDArray[np.bool_]
    diverged: npt.NDArray[np.bool_]
    parent_cell: Int64
    parent_generation: Int64
    selection_losses: Mapping[int, tuple[Float64, ...]]
    members: Neighbourhoods = ()
    order: tuple[int, ...] = ()
    is_of_pairs: bool = False
    trained_on: str = ""

    @property
    def n_generations(self) -> int:
        """How many there are."""
        return len(self.parent_cell)

    @property
    def n_cells(self) -> int:
        """How many there are."""
        return int(self.parent_cell.shape[1])

    @property
    def final_cell(self) -> int:
        """The cell of the lowest loss in the last generation; the first one of a tie.

        What decides is the L1 on the test rows, as for the trial's answer under the published
        settings; where that was not measured, the next best that was.
        """
        for name in _DECIDING:
            last = self.measures[name][-1]
            if not np.isnan(last).all():
                return int(np.nanargmin(last))
        return 0

    def in_order(self) -> History:
        """The same trial with its cells numbered by their places in `order`."""
        if not self.order:
            return self
        order = list(self.order)
        place = np.argsort(order)
        matrices = {t: tuple(found[i] for i in order) for t, found in self.selection_losses.items()}
        return replace(
            self,
            measures={name: values[:, order] for name, values in self.measures.items()},
            prune_event=self.prune_event[:, order],
            diverged=self.diverged[:, order],
            parent_cell=place[self.parent_cell[:, order]],
            parent_generation=self.parent_generation[:, order],
            selection_losses=matrices,
            members=tuple(tuple(place[list(self.members[i])].tolist()) for i in order),
        )

    def ancestors(self, start: int = BEGINNING + 1, stop: int | None = None) -> Int64:
        """Of every centre the cell that it descends from, at the end of the generation before one.

        Args:
            start: the generation; of those before it nothing is said.
            stop: the generation before which to end; by default all are told.

        Returns:
            shape (stop - start, cells): indices of cells.
        """
        n_cells = self.n_cells
        end = None if self._reads_ahead else stop
        rows = np.maximum(self.parent_generation[start:end] - start + 1, 0)  # 0 is before start
        parents = rows * n_cells + self.parent_cell[start:end]
        links = _followed(np.concatenate([np.arange(n_cells), parents.ravel()]))
        wanted = links[n_cells:].reshape(-1, n_cells)
        return wanted if stop is None else wanted[: stop - start]

    @cached_property
    def _reads_ahead(self) -> bool:
        """Whether a centre descends from one of a later generation, as asynchronous cells may."""
        generation = np.arange(self.n_generations)[:, np.newaxis]
        return bool((self.parent_generation > generation).any())

    def line_of(self, cell: int) -> list[tuple[int, int]]:
        """Where a cell's last centre comes from.

        Returns:
            pairs of a generation and a cell, the newest first, down to the beginning.

        Raises:
            UserError: there is no such cell.
        """
        if cell not in range(self.n_cells):
            raise UserError(f"cell: {cell} is none of the {self.n_cells}, from 0")
        line, t = [], self.n_generations - 1
        while t > BEGINNING:
            line.append((t, cell))
            t, cell = int(self.parent_generation[t, cell]), int(self.parent_cell[t, cell])
        return [*line, (BEGINNING, cell)]


Courses = Sequence[tuple[str, History]]
"""Trials to be drawn side by side, and what each is called."""


def read_history(location: str | Path, variant: str, trial: int) -> History:
    """Read one committed trial.

    Args:
        location: the study's output folder, or its address.
        variant: id of its variant.
        trial: its number.

    Raises:
        UserError: no such trial is committed, or its file is damaged (run the study again).
    """
    storage, inventory = open_results(location)
    wanted = TrialId(variant, trial)
    if wanted not in inventory.committed:
        raise UserError(f"{storage.shown}: no committed trial {trial} of variant {variant}")
    found = histories_of(storage, inventory, [wanted])
    if wanted not in found:
        raise UserError(
            f"{storage.shown}: the generations of trial {trial} of variant {variant} are damaged"
        )
    return found[wanted]


def history_under_way(location: str | Path, variant: str, trial: int) -> History | None:
    """What a trial on its way had recorded when it was last written down.

    Args:
        location: the study's output folder, or its address.
        variant: id of its variant.
        trial: its number.

    Returns:
        the generations that the whole ring has behind it; None if none was written down, or they
        cannot be told apart yet, as cells may run ahead of each other.

    Raises:
        UserError: the folder cannot be read.
    """
    storage, wanted = open_storage(location), TrialId(variant, trial)
    described = read_variants(storage.read(STUDY_FILE) or b"") or {}
    for _, content in CheckpointFiles(storage).newest_first(wanted):
        try:
            found = _history(wanted, recorded_so_far(content, _COLUMNS))
        except ValueError:
            continue
        if found is not None and found.n_generations:
            return _placed(found, described.get(variant, {}))
    return None


def histories_of(
    storage: Storage, inventory: Inventory, trials: Iterable[TrialId]
) -> dict[TrialId, History]:
    """Some of a study's committed trials, without those whose file is damaged or not whole.

    Args:
        storage: the study's folder.
        inventory: what it holds.
        trials: which; those that are not committed are left out.

    Raises:
        UserError: the place refuses to be read.
    """
    whole = generations_schema()
    schema = pa.schema([whole.field(name) for name in _COLUMNS])
    there = [trial for trial in trials if trial in inventory.committed]
    found = read_each(inventory, there, "generations", schema, _history)
    described = read_variants(storage.read(STUDY_FILE) or b"") or {}
    return {
        trial: _placed(history, described.get(trial.variant, {}))
        for trial, history in found.items()
    }


def _placed(history: History, settings: Mapping[str, Any]) -> History:
    """A trial with the neighbourhoods of its variant, as far as its settings tell."""
    members = _members(settings, history.n_cells)
    order = _neighbours_near(members) if members and settings.get("graph") else ()
    return replace(
        history,
        members=members,
        order=order,
        is_of_pairs=settings.get("cell_evaluation") == "all_vs_all",
        trained_on=trained_on(settings),
    )


def _neighbours_near(members: Neighbourhoods) -> tuple[int, ...]:
    """Cells in an order in which neighbours are near each other; empty for that of their numbers.

    It is that of Cuthill and McKee (1969), reversed, where neighbours are nearer in it.
    """
    n = len(members)
    rows = np.repeat(np.arange(n), [len(each) for each in members])
    columns = np.concatenate([np.array(each) for each in members])
    joined = csr_array((np.ones(len(rows)), (rows, columns)), shape=(n, n))
    order = reverse_cuthill_mckee((joined + joined.T).tocsr(), symmetric_mode=True)
    place = np.argsort(order)
    is_nearer = np.abs(place[rows] - place[columns]).sum() < np.abs(rows - columns).sum()
    return tuple(order.tolist()) if is_nearer else ()


def _members(settings: Mapping[str, Any], n_cells: int) -> Neighbourhoods:
    """The neighbourhoods of a variant; none where its settings are not those of this version."""
    try:
        variant = Variant.model_validate(described_settings(settings))
        size = variant.population_size
        cells = size**2 if variant.cell_evaluation == "all_vs_all" else size
        return neighbourhoods(variant) if cells == n_cells else ()
    except ValueError:
        return ()


def _history(trial: TrialId, table: pa.Table) -> History | None:
    """The trial's course; None where it is not one."""
    try:
        return _arranged(trial, table)
    except (ValueError, TypeError, IndexError):
        return None


def _arranged(trial: TrialId, table: pa.Table) -> History:
    table = table.sort_by([("generation", "ascending"), ("cell", "ascending")])
    n_cells = len(np.unique(table["cell"].to_numpy()))
    shape = (-1, n_cells)
    generation, cell = (table[name].to_numpy().reshape(shape) for name in ("generation", "cell"))
    expected = np.indices(generation.shape)
    if not ((generation == expected[0]).all() and (cell == expected[1]).all()):
        raise ValueError("a generation of a cell is missing")
    winner, parent_cell = (table[name].to_numpy().reshape(shape) for name in _WHOLE)
    reads = zip(table["read_generations"].to_pylist(), winner.ravel(), strict=True)
    parent_generation = np.array([read[place] for read, place in reads]).reshape(shape)
    _check_descent(parent_cell, parent_generation)
    prune_event, diverged = (_flags(table, name).reshape(shape) for name in _FLAGS)
    return History(
        trial=trial,
        measures={name: table[name].to_numpy().astype(np.float64).reshape(shape) for name in _REAL},
        prune_event=prune_event,
        diverged=diverged,
        parent_cell=parent_cell.astype(np.int64),
        parent_generation=parent_generation.astype(np.int64),
        selection_losses=_matrices(table["selection_losses"].to_pylist(), n_cells),
    )


def _check_descent(parent_cell: Int64, parent_generation: Int64) -> None:
    """Refuse parents that are not of the trial, and descent that leads to no beginning.

    A parent may be of a later generation: asynchronous cells read what neighbours ahead have.

    Args:
        parent_cell: shape (generations, cells).
        parent_generation: the same shape.

    Raises:
        ValueError: a parent is not of the trial, or descent goes round in a circle.
    """
    n_generations, n_cells = parent_cell.shape
    if (parent_cell < 0).any() or (parent_cell >= n_cells).any():
        raise ValueError("a parent is not of the trial")
    if (parent_generation < BEGINNING).any() or (parent_generation >= n_generations).any():
        raise ValueError("a parent is not of the trial")
    parents = (parent_generation.astype(np.int64) + 1) * n_cells + parent_cell
    links = _followed(np.concatenate([np.arange(n_cells), parents.ravel()]))
    if (links >= n_cells).any():
        raise ValueError("descent goes round in a circle")


def _followed(links: Int64) -> Int64:
    """Where links lead in the end: every step skips as many as the one before did.

    Args:
        links: of every place the one that it leads to, shape (places,); ends lead to themselves.

    Returns:
        the same shape; those that go round in a circle are left in it.
    """
    for _ in range(len(links).bit_length()):
        further = links[links]
        if (further == links).all():
            break
        links = further
    return links


def _flags(table: pa.Table, name: str) -> npt.NDArray[np.bool_]:
    return np.array(table[name].to_pylist(), dtype=bool)


def _matrices(lists: list[Any], n_cells: int) -> dict[int, tuple[Float64, ...]]:
    """By generation, where cells have any."""
    found = {}
    for t in range(len(lists) // n_cells):
        rows = lists[t * n_cells : (t + 1) * n_cells]
        if any(rows):
            found[t] = tuple(_matrix(row or ()) for row in rows)
    return found


def _matrix(losses: Sequence[float]) -> Float64:
    size = round(len(losses) ** 0.5)
    return np.array(losses, dtype=np.float64).reshape(size, size)
