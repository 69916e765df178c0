"""Which trials of a study run beside each other in one process."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.coevolution.topology import largest_neighbourhood
from aes_lipi.config import DATA_FIELDS, Variant
from aes_lipi.errors import UserError
from aes_lipi.execution.messages import Job

_ENGINE_FIELDS = (
    *DATA_FIELDS,
    *("environment", "hidden_sizes", "latent_size", "batch_size", "engine", "device"),
    *("loss", "input_noise", "hidden_activation", "output_activation"),
)
"""What an engine depends on: variants that agree in these can share one."""


def engine_key(variant: Variant) -> Hashable:
    """Equal for variants whose trials one engine can serve."""
    return tuple(getattr(variant, name) for name in _ENGINE_FIELDS)


def can_stack(variant: Variant) -> bool:
    """Whether the engine that a variant names trains models of several trials together."""
    return variant.engine == "torch" or (variant.engine == "auto" and variant.device == "cuda")


def check_trials_per_worker(asked: int | None, variants: Sequence[Variant]) -> None:
    """Refuse to put trials beside each other that no engine trains together.

    Raises:
        UserError: none of the variants has such an engine.
    """
    if asked is not None and asked > 1 and not any(map(can_stack, variants)):
        found = sorted({variant.engine for variant in variants})
        names = ", ".join("auto (on a CPU)" if name == "auto" else name for name in found)
        raise UserError(
            f"--trials_per_worker {asked}: the engine {names} trains one trial at a time; use "
            "--engine torch, on a GPU (--device cuda)"
        )


def trials_that_fit(variant: Variant, architecture: Architecture, n_rows: int, free: int) -> int:
    """Trials of a variant that can be trained side by side in so many bytes of a GPU's memory.

    Args:
        variant: settings.
        architecture: of its networks.
        n_rows: of the training split.
        free: bytes.
    """
    from aes_lipi.engine.torch import tasks_that_fit  # noqa: PLC0415 - torch is slow to import

    cells, members = variant.population_size, largest_neighbourhood(variant)
    if variant.cell_evaluation != "epoch-node":
        members = 1
    return max(1, tasks_that_fit(architecture, variant.batch_size, n_rows, members, free) // cells)


def gpu_memory() -> int:
    """Bytes that are free on the GPU of this process."""
    import torch  # noqa: PLC0415 - slow to import

    from aes_lipi.engine.torch import free_memory  # noqa: PLC0415

    return free_memory(torch.device("cuda"))


def stacks_of(
    jobs: Sequence[Job], most: Mapping[Variant, int], n_workers: int
) -> list[tuple[Job, ...]]:
    """Put trials together that one engine can serve, as many as may be and all workers get some.

    Args:
        jobs: the trials.
        most: of every variant, how many trials may be together.
        n_workers: processes that will work at the same time.
    """
    groups: dict[Hashable, list[Job]] = {}
    for k, job in enumerate(jobs):
        key = engine_key(job.variant) if most[job.variant] > 1 else k
        groups.setdefault(key, []).append(job)
    stacks: list[tuple[Job, ...]] = []
    for alike in groups.values():
        room = min(most[job.variant] for job in alike)
        n_stacks = max(-(-len(alike) // room), min(n_workers, len(alike)) if room > 1 else 1)
        ends = [round(k * len(alike) / n_stacks) for k in range(n_stacks + 1)]
        stacks += [tuple(alike[start:end]) for start, end in pairwise(ends)]
    return stacks
