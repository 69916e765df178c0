"""Tables of a user's own, what is read of them, and studies of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import TINY

from aes_lipi.arrays import Float32
from aes_lipi.config import Study, StudyFile, Variant, resolve_study
from aes_lipi.data import Dataset, load_dataset
from aes_lipi.data.fitting import learn_scaling, read_scaled
from aes_lipi.data.load import file_source
from aes_lipi.data.source import Source
from aes_lipi.errors import UserError

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


def penguins() -> pd.DataFrame:
    """A table with text and missing values: 150 rows of six columns."""
    rng = np.random.default_rng(3)
    table = pd.DataFrame(
        {
            "species": rng.choice(["Adelie", "Gentoo", "Chinstrap"], 150),
            "island": rng.choice(["Biscoe", "Dream"], 150),
            "bill": rng.normal(44, 5, 150).round(1),
            "mass": rng.integers(2700, 6300, 150).astype(float),
            "sex": rng.choice(["male", "female"], 150),
            "year": rng.integers(2007, 2010, 150),
        }
    )
    table.loc[[3, 77], "bill"] = np.nan
    table.loc[[3, 5, 90], "sex"] = None
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
        "store_generations": "recorded",
        "pruned_weights": "frozen",
        **settings,
    }
    file = StudyFile(trials=2, settings=own, variants=(UNPRUNED, PRUNED))
    return resolve_study("own", file, {})


def load_file(path: Path, **settings: Any) -> Dataset:
    """The data set that a study with these settings makes of a file."""
    return load_dataset(Variant.model_validate({"data": str(path), **settings}))


def read_matrix(path: Path, scale: str = "none") -> Float32:
    """The rows of a file in their order, scaled by all of them."""
    source = file_source(path)
    assert isinstance(source, Source)
    return read_scaled(source, learn_scaling(source) if scale == "minmax" else None)


def problem(path: Path, scale: str = "none", **settings: Any) -> str:
    """The one line that reading a file ends with, less the file's name, which it starts with."""
    with pytest.raises(UserError) as caught:
        load_file(path, scale=scale, **settings) if settings else read_matrix(path, scale)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert message.startswith(repr(str(path)))
    return message.removeprefix(repr(str(path)))
