"""Tables in units of their own, and studies of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from helpers import TINY

from aes_lipi.config import Study, StudyFile, resolve_study

UNPRUNED = {"prune_method": "None"}
PRUNED = {
    "prune_method": "magnitude",
    "prune_schedule": "gradual",
    "prune_unit": "node",
    "prune_probability": 1.0,
    "prune_amount": 0.5,
}


def write_table(path: Path) -> pd.DataFrame:
    """A table in units of its own: 120 rows of seven named columns, one of them constant."""
    rng = np.random.default_rng(5)
    base = rng.random((120, 2))
    values = base @ rng.random((2, 7)) * [1, 10, 1e6, 1e-3, 5, 1, 1] + [0, -5, 1e6, 0, 3, 0, 2]
    table = pd.DataFrame(values, columns=[f"column {k}" for k in range(7)])
    table["column 5"] = 4.5
    table.to_parquet(path)
    return table


def own_data(path: Path, **settings: Any) -> Study:
    """A study of that table, unpruned and pruned by node; every generation is recorded."""
    kept = {name: value for name, value in TINY.items() if not name.startswith("n_")}
    own = {
        **kept,
        "data": str(path),
        "scale": "minmax",
        "hidden_sizes": [6],
        "epochs": 6,
        "store_recorded": True,
        "pruned_weights": "frozen",
        **settings,
    }
    file = StudyFile(trials=2, settings=own, variants=(UNPRUNED, PRUNED))
    return resolve_study("own", file, {})
