"""A trial in one's own loop: `for state in aes_lipi.evolve(variant): ...`.

The loop computes what a study would, with the same bits. Its states can be looked at, made models
of, written down, and gone on from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pandas as pd
from threadpoolctl import ThreadpoolController

from aes_lipi.arrays import Float32, Float64
from aes_lipi.autoencoders.network import Pair
from aes_lipi.coevolution.evolution import InProcess, TrialFailed, first_states, run_steps
from aes_lipi.coevolution.records import Record, RecordLog, in_order
from aes_lipi.coevolution.result import final_cell, pairs_by_number, pairs_of
from aes_lipi.coevolution.schedule import Schedule
from aes_lipi.coevolution.state import Held, Setup, TrialState
from aes_lipi.coevolution.stopping import ending_of
from aes_lipi.config import Variant
from aes_lipi.engine.processor import machine_name
from aes_lipi.errors import UserError
from aes_lipi.execution.endings import model_of
from aes_lipi.execution.graphs import with_graph
from aes_lipi.execution.inputs import inputs_of, prepare
from aes_lipi.models import Model
from aes_lipi.results.checkpoint import Checkpoint, decode_checkpoint, encode_checkpoint
from aes_lipi.results.schema import METRICS, WEIGHTS, metric_values

_MOST_TRIALS = 9_999
"""Of a variant in a study."""


class TrialSnapshot:
    """A trial after a generation. Looking at it changes nothing.

    Attributes:
        variant: settings.
        trial: its number.
        generations: that it has behind it.
        has_ended: whether none is left: it has run all, or has stopped early.
    """

    def __init__(self, state: TrialState[Held], setup: Setup) -> None:
        self._state, self._setup = state, setup
        self.variant, self.trial = setup.variant, state.trial
        self.generations = state.generations
        self.has_ended = Schedule(setup.variant).has_ended(state)

    def __repr__(self) -> str:
        """Which trial, and how far it is."""
        of = f"{self.variant.id}, trial {self.trial}"
        return f"<TrialSnapshot of {of}: {self.generations} of {self.variant.epochs} generations>"

    @cached_property
    def cells(self) -> Float32:
        """The weights of every cell, its encoder's and then its decoder's.

        float32, shape (cells, parameters); all pairs of encoders and decoders where all meet all.
        """
        pairs = ((pair.encoder.genome, pair.decoder.genome) for pair in self._pairs)
        return np.stack([np.concatenate(pair) for pair in pairs])

    @cached_property
    def losses(self) -> Float64:
        """The `min_replacement_loss` of every cell: after training, on a batch of training rows.

        float64, shape (cells,).
        """
        return np.array([record.min_replacement_loss for record in self._last_records])

    @cached_property
    def records(self) -> pd.DataFrame:
        """A row per generation and cell, with the columns of a study's `generations`."""
        return records_frame(self._records, self.variant)

    def best(self) -> int:
        """The cell that would be the trial's answer now, by the variant's `final_cell`."""
        return final_cell(self._pairs, self._setup)

    def model(self, cell: int | None = None) -> Model:
        """A cell as a model, to encode, score, save and export.

        Args:
            cell: its number; by default that of the best.

        Raises:
            UserError: there is no such cell.
        """
        number = self.best() if cell is None else cell
        if number not in range(len(self._pairs)):
            raise UserError(f"cell: {number} is none of the {len(self._pairs)}, from 0")
        return model_of(
            self._setup,
            self._pairs[number],
            pairs_by_number(self._pairs, self._last_records),
            {
                "variant": self.variant.id,
                **{"trial": self.trial, "cell": number, "generation": self.generations - 1},
                "settings": self.variant.portable(),
            },
        )

    def answer(self) -> TrialSnapshot:
        """The trial as its answer is taken from: with `patience`, at its best generation so far."""
        ending = ending_of(self.variant, self._state.watch, self.generations)
        kept = self._state.versions_of(ending.best_generation)
        held = {version: self._state.held[version] for version in kept}
        records = [each for each in self._records if each.generation <= ending.best_generation]
        before = dataclasses.replace(self._state, held=held, records=RecordLog(records))
        return TrialSnapshot(before, self._setup)

    def checkpoint(self) -> bytes:
        """The trial as the content of a checkpoint's file, from which `evolve` goes on."""
        networks = [each for held in self._state.held.values() for each in held.networks]
        self._setup.engine.fetch(networks)
        now = Checkpoint(self._state, datetime.now(UTC), 0.0)
        return encode_checkpoint(now, self.variant, machine_name())

    @cached_property
    def _records(self) -> list[Record]:
        return sorted(self._state.records, key=in_order)

    @property
    def _last_records(self) -> list[Record]:
        return [each for each in self._records if each.generation == self.generations - 1]

    @cached_property
    def _pairs(self) -> list[Pair]:
        pairs = pairs_of(self._state, self._last_records, self.generations - 1)
        self._setup.engine.fetch([each for pair in pairs for each in (pair.encoder, pair.decoder)])
        return pairs


def evolve(
    variant: Variant, trial: int = 0, *, start: TrialSnapshot | bytes | str | Path | None = None
) -> Iterator[TrialSnapshot]:
    """Compute a trial in this process, one generation at a time, with the bits that `run` has.

    Args:
        variant: settings, as in `load_study("quickstart").variants[0]`.
        trial: its number; where there is a start, that of the start.
        start: where to go on: a state of the same variant, or a checkpoint as bytes or as a file.

    Yields:
        the trial after every generation; the last one `has_ended`. Leave the loop at any time.

    Raises:
        UserError: the data, the engine or a plug-in cannot be had, or the start is of another
            variant or no checkpoint; give one of this.
        DivergenceError: a weight or a loss is not finite, and the policy is to fail.
    """
    if not isinstance(variant, Variant):
        raise UserError(f"variant: {variant!r} is none; give one of a study, study.variants[0]")
    if trial not in range(_MOST_TRIALS):
        raise UserError(f"trial: {trial} is none; give one from 0 to {_MOST_TRIALS - 1}")
    variant = with_graph(variant)
    setup = dataclasses.replace(prepare(variant), warm_start=inputs_of(variant).warm_start)
    schedule = Schedule(variant)
    state = _state_at(setup, schedule, trial, start)
    news = run_steps([state], [schedule], InProcess([setup]))
    threads, reached = ThreadpoolController(), state.generations
    while True:
        with threads.limit(limits=1):
            _, now = next(news, (0, None))
        if now is None:
            return
        if isinstance(now, TrialFailed):
            raise now.error
        if isinstance(now, TrialState) and now.generations > reached:
            reached = now.generations
            yield TrialSnapshot(now, setup)


def _state_at(
    setup: Setup,
    schedule: Schedule,
    trial: int,
    start: TrialSnapshot | bytes | str | Path | None,
) -> TrialState[Held]:
    """Where a trial goes on.

    Raises:
        UserError: the start is of another variant, or no checkpoint that can be read.
    """
    if start is None:
        return schedule.start(trial, first_states(setup, trial, schedule.first_versions))
    if isinstance(start, TrialSnapshot):
        if start.variant.id != setup.variant.id:
            raise UserError(f"start: of the variant {start.variant.id}, not {setup.variant.id}")
        return start._state
    try:
        content = start if isinstance(start, bytes) else Path(start).read_bytes()
        return decode_checkpoint(content, setup.variant, setup.architecture).state
    except OSError as error:
        raise UserError(f"start: {start!s}: {error.strerror}; give a checkpoint's file") from None
    except ValueError as error:
        raise UserError(f"start: no checkpoint of this variant: {error}") from None


def records_frame(records: Sequence[Record], variant: Variant) -> pd.DataFrame:
    """Records as a table, with the columns of a study's `generations`; NaN where not measured."""
    hints = get_type_hints(Record)
    apart = (*WEIGHTS, *METRICS)
    names = [field.name for field in dataclasses.fields(Record) if field.name not in apart]
    columns = {name: [getattr(record, name) for record in records] for name in names}
    numbers = [name for name in names if hints[name] in (float | None, int | None)]
    found = pd.DataFrame(columns).astype(dict.fromkeys(numbers, "float64"))
    metrics = pd.DataFrame([metric_values(record, variant) for record in records], dtype="float64")
    return pd.concat([found, metrics], axis=1)
