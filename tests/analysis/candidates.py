"""Candidates whose sizes and losses are given: for what is known about them beforehand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from aes_lipi.analysis.pareto import CANDIDATE_COLUMNS


def candidates(
    capacity: Any,
    validation_L1: Any,  # noqa: N803 - the column's name
    *,
    variant: Any = "a",
    among: Iterable[str] | None = None,
    n_parameters: Any = 100,
    n_compact: Any = None,
) -> pd.DataFrame:
    """Cells of one generation, in the columns of `read_candidates`.

    Args:
        capacity: shape (n,).
        validation_L1: shape (n,); the test loss is ten times that.
        variant: its id, which is its label too; shape (n,), or the same for all.
        among: all variants there are; by default those named.
        n_parameters: shape (n,), or the same for all.
        n_compact: shape (n,); by default nothing can be taken out.
    """
    n = len(capacity)
    names = np.broadcast_to(np.asarray(variant, dtype=object), n)
    kinds = pd.Index(list(dict.fromkeys(names if among is None else among)), dtype="str")
    sizes = np.broadcast_to(np.asarray(n_parameters), n)
    compact = sizes if n_compact is None else np.asarray(n_compact)
    losses = np.asarray(validation_L1, dtype=np.float64)
    columns = {
        "variant": pd.Categorical(names, kinds),
        "label": pd.Categorical(names, kinds),
        "trial": np.zeros(n, dtype=np.int64),
        "generation": np.full(n, 9),
        "cell": np.arange(n),
        "n_parameters": sizes,
        "n_compact": compact,
        "capacity": np.asarray(capacity, dtype=np.float64),
        "compact_share": compact / sizes,
        "validation_loss": losses,
        "validation_L1": losses,
        "test_L1": losses * 10,
    }
    return pd.DataFrame(columns)[list(CANDIDATE_COLUMNS)]
