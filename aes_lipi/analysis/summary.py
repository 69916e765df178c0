"""The closing table of a study: one row per variant, over its trials."""

from __future__ import annotations

import pandas as pd

from aes_lipi.results.reading import Results

MEASURES = ("mean_L1", "test_L1", "capacity", "wall_time_s")


def summarise(results: Results) -> pd.DataFrame:
    """Count trials and take quartiles of their results.

    Args:
        results: of a study; its `generations` are not needed.

    Returns:
        indexed by variant id in the order of first trials, columns `variant_name`, `trials`,
        `failed`, and `<measure>_q1`, `<measure>_median`, `<measure>_q3` per measure of `MEASURES`.
        The unit is the trial.
    """
    trials, failures = results.trials, results.failures
    names = pd.concat([trials, failures])[["variant", "variant_name"]].drop_duplicates()
    table = names.set_index("variant")
    table["trials"] = trials.groupby("variant").size().reindex(table.index, fill_value=0)
    table["failed"] = failures.groupby("variant").size().reindex(table.index, fill_value=0)
    for measure in MEASURES:
        grouped = trials.groupby("variant")[measure]
        for name, quantile in (("q1", 0.25), ("median", 0.5), ("q3", 0.75)):
            table[f"{measure}_{name}"] = grouped.quantile(quantile).reindex(table.index)
    return table
