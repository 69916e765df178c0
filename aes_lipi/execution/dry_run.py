"""What is found out before a study starts, so that most mistakes show at once.

Files are read, and plug-ins are called on made-up networks: a dry run.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import ActivationStatistics, NetworkLayout, initial_genome
from aes_lipi.coevolution.topology import largest_neighbourhood
from aes_lipi.config import WHOLE, Study, StudyPart, Variant
from aes_lipi.engine.auto import check_engine, check_loss, engine_name
from aes_lipi.errors import UserError
from aes_lipi.execution.inputs import architecture_on_hand, rows_on_hand
from aes_lipi.execution.limits import allowed_memory
from aes_lipi.execution.requirements import check_batch, check_needs, needed_memory, stored_size
from aes_lipi.extension import load
from aes_lipi.models import load_pairs
from aes_lipi.models.metrics import METRIC
from aes_lipi.pruning.contract import Evidence, Settings
from aes_lipi.pruning.operators import OPERATOR, SAMPLED_ROWS
from aes_lipi.pruning.schedules import prune_amount, prune_probability
from aes_lipi.results.model_files import warm_start_files


def check_feasible(variant: Variant, here: bool = True, memory: int | None = None) -> None:
    """Find out, before anything is computed or written, whether a variant can be set up.

    Args:
        variant: settings.
        here: whether this machine is the one to compute it.
        memory: bytes that may be used where it is another; None if that is not known.

    Raises:
        UserError: its data, its saved models or its device cannot be had or are unfit, or a
            plug-in cannot be imported or breaks a rule; or a batch has more rows than there
            are, or a trial needs more memory than there is; or a setting is of tables, and there
            is none.
    """
    _check_fields_of_tables(variant)
    architecture, n_rows = architecture_on_hand(variant), rows_on_hand(variant)
    check_batch(variant.batch_size, n_rows)
    allowed = allowed_memory() if here else memory
    if allowed is not None:
        check_needs(needed_memory(variant, architecture, n_rows), allowed)
    _try_plugins(variant, architecture)
    if variant.ann_path is not None:
        load_pairs(warm_start_files(variant.ann_path), architecture)
    if here:
        check_engine(variant, architecture)
    else:
        engine_name(variant, architecture)
    check_loss(variant, architecture)


_OF_TABLES = (
    *("header", "separator", "columns", "drop_columns", "label", "impute", "one_hot"),
    *("test_fraction", "validation_fraction", "scale"),
)


def _check_fields_of_tables(variant: Variant) -> None:
    """Refuse what would mean nothing; `minmax` leaves the bits that are made here as they are.

    Data of a user's function are split and scaled as tables are.
    """
    is_made_here = variant.data is None and "dataset_name" not in variant.added
    for name in _OF_TABLES if is_made_here else ():
        value = getattr(variant, name)
        if value not in (Variant.model_fields[name].default, "minmax"):
            raise UserError(
                f"{name}: {value} is of a table, and means nothing without one; give --data FILE, "
                "or leave it out"
            )


_MUCH = 2**30  # bytes


def stored_size_line(
    studies: Sequence[Study], part: StudyPart = WHOLE, *, agreed: bool, flag: str
) -> str:
    """A line on what the centres of all generations take; empty where none are stored.

    Args:
        studies: which store them where `store_generations` is `all`.
        part: what is run of each.
        agreed: whether they may take more than a gigabyte.
        flag: what says so.

    Raises:
        UserError: they take more, to which nobody has agreed: give the flag, or store fewer.
    """
    each = [
        (stored_size(variant, architecture_on_hand(variant)), len(part.trials(study)))
        for study in studies
        for variant in part.variants(study)
        if variant.store_generations == "all"
    ]
    if not each:
        return ""
    total, largest = sum(size * n for size, n in each), max(size for size, _ in each)
    unit, name = (2**30, "GiB") if total > _MUCH else (2**20, "MiB")
    line = (
        f"store_generations: the centres of all generations take {total / unit:,.1f} {name}, up to "
        f"{largest / unit:,.2f} {name} a trial"
    )
    if total > _MUCH and not agreed:
        raise UserError(f"{line}; give {flag} if there is room for them, or store fewer")
    return line


def _try_plugins(variant: Variant, architecture: Architecture) -> None:
    """Call the pruning plug-ins of a variant on made-up networks, and at three moments."""
    for name in variant.metrics or ():
        load(METRIC, name)
    last = variant.epochs - 1
    if "prune_schedule" in variant.added:
        for t in sorted({0, last // 2, last}):
            prune_probability(variant, t, largest_neighbourhood(variant))
    if "prune_method" in variant.added:
        settings = Settings.of(variant, prune_amount(variant, last))
        for layout in (architecture.encoder, architecture.decoder):
            _prune_made_up(layout, settings, variant.batch_size)


@lru_cache(maxsize=64)
def _prune_made_up(layout: NetworkLayout, settings: Settings, batch_size: int) -> None:
    """Prune a network that nobody has trained; once for variants that prune alike."""
    operator, rng = load(OPERATOR, settings.method), np.random.default_rng(0)
    seen = rng.random((SAMPLED_ROWS, layout.n_nodes), dtype=np.float32)
    n = min(batch_size, SAMPLED_ROWS // 2)
    one, other = (
        ActivationStatistics.of_batch(rows, batch_size) for rows in (seen[:n], seen[n:][:n])
    )
    evidence = Evidence(
        statistics=one.merged(other) if operator.needs == "statistics" else None,
        activations=seen if operator.needs == "activations" else None,
    )
    operator.function(initial_genome(layout, rng), layout, evidence, settings, rng)
