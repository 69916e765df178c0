"""How long a study will take, roughly, before it runs: by what a step costs on this machine."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from aes_lipi._version import __version__
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.coevolution.evolution import InProcess, first_states, run_steps
from aes_lipi.coevolution.schedule import Schedule
from aes_lipi.coevolution.state import Setup
from aes_lipi.config import Study, Variant
from aes_lipi.data.dataset import Dataset
from aes_lipi.engine.processor import processor_name
from aes_lipi.errors import UserError
from aes_lipi.execution.inputs import Inputs, architecture_of, data_facts, prepare_with
from aes_lipi.io.files import decode_json, encode_json, write_bytes_atomically


@dataclass(frozen=True)
class StepCosts:
    """Seconds that parts of training take on one core of this machine.

    Rows of a batch count in whole fives, as kernels take them.

    Attributes:
        update: of every update.
        row: more for each row of the batch.
        node: more for each row and node, the input's columns among them.
        product: more for each row and weight.
        generation: of every cell in every generation.
        weight: more for each weight.
        moment: more for each update and weight, where the optimiser is kept beyond a step.
    """

    update: float
    row: float
    node: float
    product: float
    generation: float
    weight: float
    moment: float


def _parts(
    architecture: Architecture, batch: int, updates: float, cells: int, *, is_kept: bool
) -> list[float]:
    """How often each of `StepCosts` is met with in a generation."""
    rows, weights = updates * 5 * -(-batch // 5), architecture.n_parameters
    nodes = architecture.n_dim + architecture.encoder.n_nodes + architecture.decoder.n_nodes
    moments = updates * weights * is_kept
    return [updates, rows, rows * nodes, rows * weights, cells, cells * weights, moments]


def estimated_seconds(study: Study) -> float:
    """Seconds that all trials of a study take one after another on one core.

    A guess from the number of updates, what each costs here, and the rows and columns of the data,
    which are read where they are a user's.

    Raises:
        UserError: data of a user's cannot be had or are unfit.
    """
    return study.trials * sum(_trial_seconds(variant, step_costs()) for variant in study.variants)


_RECORDING = 0.4
"""Of a generation: what recording one takes beside, which evaluates all rows."""


_NOMINAL = StepCosts(4.6e-6, 2.9e-6, 1.7e-9, 2.2e-10, 2.6e-3, 2e-8, 0.0)
"""Costs as on a processor of 2017, the same everywhere; without those of a kept optimiser, which
what is compared by them has in common."""


def nominal_seconds(variant: Variant) -> float:
    """Seconds of a trial at nominal costs: what is decided by them is decided alike everywhere.

    Raises:
        UserError: data of a user's cannot be had or are unfit.
    """
    return _trial_seconds(variant, _NOMINAL)


def _trial_seconds(variant: Variant, costs: StepCosts) -> float:
    if variant.n_dim is None:
        facts = data_facts(variant)
        rows, width = facts.n_train, facts.n_dim
    else:
        rows = (variant.n_clusters or 1) * (variant.n_examples_per_cluster or 1)
        width = variant.n_dim
    batch, architecture = min(variant.batch_size, rows), architecture_of(variant, width)
    batches = -(-round(rows * variant.cell_data_fraction) // batch)
    updates = batches * _updates_per_batch(variant)
    is_kept = variant.optimizer_state != "step"
    parts = _parts(architecture, batch, updates, variant.population_size, is_kept=is_kept)
    recorded = variant.epochs // variant.record_interval + 2
    generations = variant.epochs + _RECORDING * min(recorded, variant.epochs)
    return generations * float(np.dot(parts, astuple(costs)))


def _updates_per_batch(variant: Variant) -> int:
    """Updates that all cells together make for every batch of a pass."""
    cells = variant.population_size
    if variant.cell_evaluation == "all_vs_all":
        return 2 * cells**2
    return 2 * cells if variant.cell_evaluation == "epoch-node" else cells


@cache
def step_costs() -> StepCosts:
    """What steps cost here: measured once on every machine, and kept in the user's cache folder."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = folder / "aes_lipi" / "step_costs.json"
    with suppress(OSError, TypeError, ValueError):
        known = (decode_json(path.read_bytes()) or {}).get(_machine())
        if isinstance(known, dict) and all(0 <= float(cost) < 1 for cost in known.values()):
            return StepCosts(**known)
    measured = _measured()
    with suppress(UserError, OSError):
        write_bytes_atomically(path, encode_json({_machine(): asdict(measured)}))
    return measured


def _machine() -> str:
    return f"{processor_name()}, {os.cpu_count()} cores, aes_lipi {__version__}"


_SETTINGS = (
    *((8, 4, 4, 8), (8, 4, 4, 128), (30, 16, 16, 320), (64, 32, 16, 256), (64, 32, 64, 1024)),
    *((200, 30, 5, 100), (500, 100, 32, 320), (1000, 30, 5, 15), (1000, 30, 5, 200)),
    (1000, 60, 16, 64),
)
_KEPT = ((200, 30, 5, 100), (1000, 30, 5, 200))
"""Columns, nodes of the hidden layer, rows of a batch, and rows: narrow and wide ones, few rows and
many, so that what grows with each of them can be told apart; and with an optimiser that is kept."""

_CELLS, _GENERATIONS, _ROUNDS = 2, 4, 4


def _measured() -> StepCosts:
    """Time generations of small rings, and find what each part of them costs."""
    from scipy.optimize import nnls  # noqa: PLC0415 - slow to import

    shares = []
    settings = [*((each, False) for each in _SETTINGS), *((each, True) for each in _KEPT)]
    for (n_dim, hidden, batch, n_rows), is_kept in settings:
        setup = _setup(n_dim, hidden, batch, n_rows, is_kept=is_kept)
        parts = _parts(setup.architecture, batch, n_rows // batch, 1, is_kept=is_kept)
        shares.append(np.array(parts) / _cell_seconds(setup))
    found, _ = nnls(np.array(shares), np.ones(len(shares)))
    return StepCosts(*map(float, found))


def _setup(n_dim: int, hidden: int, batch: int, n_rows: int, *, is_kept: bool) -> Setup:
    variant = Variant(
        engine="dense",
        population_size=_CELLS,
        epochs=_GENERATIONS,
        batch_size=batch,
        hidden_sizes=(hidden,),
        optimizer_state="cell" if is_kept else "step",
    )
    rows = np.random.default_rng(0).random((n_rows, n_dim), dtype=np.float32)
    return prepare_with(variant, Inputs(Dataset("made up", rows, rows[:batch], rows[:batch])))


def _cell_seconds(setup: Setup) -> float:
    """Seconds of a cell's generation: the least of some rounds, to which others only add."""
    least = np.inf
    for _ in range(_ROUNDS):
        schedule = Schedule(setup.variant)
        start = schedule.start(0, first_states(setup, 0, schedule.first_versions))
        started = time.process_time()
        for _ in run_steps([start], [schedule], InProcess([setup])):
            pass
        least = min(least, time.process_time() - started)
    return float(least) / (_CELLS * _GENERATIONS)
