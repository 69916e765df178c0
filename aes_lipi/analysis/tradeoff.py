"""Size against loss: all that was recorded of a study, and what of it nothing else beats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from aes_lipi.analysis.labels import variant_labels
from aes_lipi.analysis.measures import parameters_of, rows_of
from aes_lipi.analysis.reading import rows_frame
from aes_lipi.analysis.units import Rows
from aes_lipi.errors import UserError
from aes_lipi.results.description import STUDY_FILE, read_variants
from aes_lipi.results.inventory import Inventory
from aes_lipi.results.reading import open_results, read_each
from aes_lipi.results.schema import generations_schema, trials_schema
from aes_lipi.results.storage import Storage
from aes_lipi.results.trial_files import TrialId

COLUMNS = (
    *("variant", "label", "trial", "generation", "cell", "n_parameters", "n_compact"),
    *("capacity", "compact_share", "validation_L1", "test_L1"),
)
"""Of the table of candidates."""

_KEYS = ("generation", "cell")
_MEASURES = ("n_compact", "capacity", "validation_L1", "test_L1")
_NAMES = ("study", "variant_name", "n_parameters")


def read_candidates(
    location: str | Path, variant: str | None = None, trial: int | None = None
) -> pd.DataFrame:
    """Every cell of every recorded generation of a study's committed trials.

    A candidate is what could be taken for the study's answer. Choose among them by
    `validation_L1`; what the choice is worth is then told by `test_L1`.

    Args:
        location: the study's output folder, or its address, as in `s3://bucket/results`.
        variant: id of the variant whose trials to read; by default those of all.
        trial: number of the trials to read; by default all.

    Returns:
        a row per candidate, ordered by variant, trial, generation and cell, with the columns
        `variant` and `label` (categories, in the order of the study), `trial`, `generation`,
        `cell`, `n_parameters`, `n_compact` (those left when what pruning made dead is taken out),
        `capacity` (the share that is not zero), `compact_share` (n_compact / n_parameters),
        `validation_L1` and `test_L1`. Left out are generations that were not recorded, losses that
        are not finite, and trials whose files are damaged. A study from before these columns has
        no candidates.

    Raises:
        UserError: there is no study, it cannot be read, or it has no such committed trial.
    """
    storage, inventory = open_results(location)
    wanted = [
        each
        for each in sorted(inventory.committed)
        if variant in (None, each.variant) and trial in (None, each.trial)
    ]
    if not wanted and (variant, trial) != (None, None):
        raise UserError(f"{storage.shown}: no committed trial{_asked(variant, trial)}")
    named = _read_names(storage, inventory, wanted)
    order = read_variants(storage.read(STUDY_FILE) or b"") or {}
    labels = _labels(named, order)
    places = {each: place for place, each in enumerate(labels)}
    n_parameters = {each: int(row["n_parameters"]) for each, row in named.items()}
    found = recorded_rows(storage, inventory, n_parameters)
    ordered = sorted(found, key=lambda each: (places[each.variant], each.trial))
    return candidates_frame([(each, found[each]) for each in ordered], labels)


def _asked(variant: str | None, trial: int | None) -> str:
    number = "" if trial is None else f" {trial}"
    return number if variant is None else f"{number} of variant {variant}"


def recorded_rows(
    storage: Storage, inventory: Inventory, n_parameters: Mapping[TrialId, int]
) -> dict[TrialId, Rows]:
    """What was recorded of some of a study's committed trials, for `candidates_frame`.

    Args:
        storage: the study's folder.
        inventory: what it holds.
        n_parameters: by trial, how many its networks have; trials that are not committed are left
            out, as are those whose file is damaged.

    Raises:
        UserError: the folder cannot be read.
    """

    def recorded(trial: TrialId, table: pa.Table) -> Rows | None:
        try:
            return _recorded(table, n_parameters[trial])
        except ValueError:
            return None

    markers = {
        each: inventory.committed[each] for each in n_parameters if each in inventory.committed
    }
    schema = _part(generations_schema(), (*_KEYS, *_MEASURES))
    return read_each(storage, markers, "generations", schema, recorded)


def candidates_frame(
    rows: Sequence[tuple[TrialId, Rows]], labels: Mapping[str, str]
) -> pd.DataFrame:
    """The table of candidates, see `read_candidates`.

    Args:
        rows: of `recorded_rows`, in the order wanted.
        labels: of their variants, by id.
    """
    frame = rows_frame(rows, labels, (*_MEASURES, "n_parameters"))
    counts = {name: frame[name].astype(np.int64) for name in ("n_parameters", "n_compact")}
    label = frame["variant"].cat.rename_categories(dict(labels))
    share = frame["n_compact"] / frame["n_parameters"]
    return frame.assign(**counts, label=label, compact_share=share)[list(COLUMNS)]


def _read_names(
    storage: Storage, inventory: Inventory, trials: Iterable[TrialId]
) -> dict[TrialId, dict[str, int | str]]:
    """By trial the columns `_NAMES` of its row, without those whose size is not known."""

    def named(trial: TrialId, table: pa.Table) -> dict[str, int | str] | None:
        del trial
        [row] = table.to_pylist() if len(table) == 1 else [{}]
        return row if (row.get("n_parameters") or 0) > 0 else None

    markers = {each: inventory.committed[each] for each in trials}
    return read_each(storage, markers, "trials", _part(trials_schema(), _NAMES), named)


def _labels(
    named: Mapping[TrialId, Mapping[str, int | str]], order: Iterable[str]
) -> dict[str, str]:
    tried = [{"variant": trial.variant, **row} for trial, row in named.items()]
    every = dict.fromkeys([*order, *(trial.variant for trial in named)])
    return variant_labels(every, pd.DataFrame(tried, columns=["variant", *_NAMES]))


def _recorded(table: pa.Table, n_parameters: int) -> Rows:
    """The rows of which all is known, by generation and cell.

    Raises:
        ValueError: a row is of no generation or of no cell.
    """
    rows = rows_of(table, _MEASURES, parameters_of(None, n_parameters))
    known = np.logical_and.reduce([np.isfinite(values) for values in rows.measures.values()])
    order = np.lexsort((rows.cell, rows.generation))
    taken = rows.take(order[known[order]])
    sizes = np.full(len(taken.cell), float(n_parameters))
    return Rows(taken.generation, taken.cell, {**taken.measures, "n_parameters": sizes})


def _part(schema: pa.Schema, names: Iterable[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in names])
