"""Results of `best_of_lipi` and `best_of_canonical` beside the published ones.

    PYTHONPATH=tests .venv/bin/python -m benchmarks.published results/best_of_lipi

Published values: read off the figures of Jorgensen et al. (GECCO 2025), about +-0.002: mean of
`mean_L1` over 30 trials and all cells in the last epoch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

PUBLISHED = {
    ("lipi_simple", "None"): 0.145,
    ("lipi_simple", "activation"): 0.157,
    ("lipi_simple", "lexicase"): 0.152,
    ("lipi_simple", "random"): 0.104,
    ("ann_canonical", "None"): 0.268,
    ("ann_canonical", "random"): 0.500,
    ("ann_canonical", "activation"): 0.500,
    ("ann_canonical", "lexicase"): 0.271,
}
RESAMPLES = 10_000
READING_ERROR = 0.002


def bootstrap_interval(values: np.ndarray, seed: int = 1) -> tuple[float, float]:
    """Percentile interval of the mean, 95 %, the trial being the unit (Efron 1979)."""
    rng = np.random.default_rng(seed)
    means = rng.choice(values, (RESAMPLES, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, nargs="+")
    directories = parser.parse_args().directory
    print("| | trials | published | ours, mean [95 % interval] | capacity |")
    print("| --- | ---: | ---: | --- | ---: |")
    for directory in directories:
        trials = pd.read_parquet(directory / "trials")
        for (evaluation, method), group in trials.groupby(["cell_evaluation", "prune_method"]):
            values = group["mean_L1"].to_numpy()
            low, high = bootstrap_interval(values)
            published = PUBLISHED[str(evaluation), str(method)]
            within = low - READING_ERROR <= published <= high + READING_ERROR
            name = group["variant_name"].iloc[0]
            print(
                f"| {evaluation}, {name} | {len(values)} | {published:.3f} | {values.mean():.3f} "
                f"[{low:.3f}, {high:.3f}]{'' if within else ' *'} | "
                f"{group['mean_capacity'].mean():.2f} |"
            )


if __name__ == "__main__":
    main()
