"""How a study is placed on a cluster: choices that never change a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aes_lipi.errors import UserError

Placement = Literal["cell", "trial"]


@dataclass(frozen=True)
class ClusterOptions:
    """What the user asks of the cluster.

    Attributes:
        placement: every cell an actor, or whole rings inside trial tasks.
        cells_per_actor: cells that one actor holds; None chooses by the measured generation time.
        resources: what one cell actor, or one trial task, reserves; a CPU share is chosen where
            `CPU` is missing.
        trials_at_a_time: at most so many, or stacks of them; None for as many as the cluster holds.
        window: generations in flight before the oldest one's records are waited for.
        trials_per_worker: that an engine for a GPU trains side by side in one task; None for as
            many as the GPU's memory holds.
    """

    placement: Placement = "cell"
    cells_per_actor: int | None = None
    resources: tuple[tuple[str, float], ...] = ()
    trials_at_a_time: int | None = None
    window: int = 4
    trials_per_worker: int | None = None


def parse_resources(text: str) -> tuple[tuple[str, float], ...]:
    """Resources as Ray names them, from `CPU=1,GPU=0.25`.

    Raises:
        UserError: it is not of that form.
    """
    resources: dict[str, float] = {}
    for part in text.split(","):
        name, equals, amount = part.strip().partition("=")
        try:
            value = float(amount)
        except ValueError:
            value = -1.0
        if not name or not equals or not 0 <= value < 1e6 or name in resources:
            raise UserError(f"--cell_resources {text[:60]}: give amounts, as in CPU=1,GPU=0.25")
        resources[name] = value
    return tuple(resources.items())
