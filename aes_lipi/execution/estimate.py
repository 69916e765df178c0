"""How long a study will take, roughly, before it runs."""

from __future__ import annotations

from aes_lipi.autoencoders.environments import ENVIRONMENT
from aes_lipi.config import Study, Variant
from aes_lipi.extension import load

_SECONDS_PER_WEIGHT_UPDATE = 4e-10
_SECONDS_PER_UPDATE = 5e-6
_FILE_ROWS, _FILE_WIDTH = 1000, 1000


def estimated_seconds(study: Study) -> float:
    """Seconds that all trials of a study take one after another on one core.

    A guess from the number of weight updates; a user's own data count as 1,000 x 1,000.
    """
    return study.trials * sum(_trial_seconds(variant) for variant in study.variants)


def _trial_seconds(variant: Variant) -> float:
    width = variant.n_dim or _FILE_WIDTH
    rows = (variant.n_clusters or 1) * (variant.n_examples_per_cluster or _FILE_ROWS)
    batches = -(-round(rows * variant.cell_data_fraction) // variant.batch_size)
    environment = load(ENVIRONMENT, variant.environment)
    sizes = environment.hidden_sizes if variant.hidden_sizes is None else variant.hidden_sizes
    hidden = sizes[0] if sizes else variant.latent_size or environment.latent_size
    per_update = _SECONDS_PER_UPDATE + 2 * width * hidden * _SECONDS_PER_WEIGHT_UPDATE
    return variant.epochs * batches * _updates_per_batch(variant) * per_update


def _updates_per_batch(variant: Variant) -> int:
    """Updates that all cells together make for every batch of a pass."""
    cells = variant.population_size
    if variant.cell_evaluation == "all_vs_all":
        return 2 * cells**2
    return 2 * cells if variant.cell_evaluation == "epoch-node" else cells
