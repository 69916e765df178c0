"""What it takes to look at very many trials: by default 10,000, of 500 variants.

    PYTHONPATH=tests .venv/bin/python -m benchmarks.many [--folder FOLDER] [--trials 20]

One short study is run; its rows, perturbed, go through the project's own commits (without waiting
for the disk), so that markers, digests and ids are right. Each look is a process of its own, and
its time is counted from where its imports are done. A folder that is given is kept and used again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from aes_lipi.config import Study, StudyFile, Variant, resolve_study
from aes_lipi.results.schema import settings_row
from aes_lipi.results.store import ResultStore
from aes_lipi.results.trial_files import TrialFiles, TrialId, trial_files

Row = dict[str, Any]

SETTINGS = {
    **{"cell_evaluation": "lipi_simple", "population_size": 4, "epochs": 10, "record_interval": 5},
    **{"n_dim": 40, "n_clusters": 4, "n_examples_per_cluster": 20},
    **{"hidden_sizes": [12], "latent_size": 4, "prune_amount": 0.1},
}
SWEPT = {
    "prune_method": ["random", "activation"],
    "prune_schedule": ["fixed", "increase", "decrease", "population", "exponential"],
    "prune_probability": [round(0.01 * (n + 1), 2) for n in range(50)],
}

LOSSES = ("mean_L1", "test_L1", "test_loss")


def study_of(trials: int) -> Study:
    """Five hundred variants of a tiny ring."""
    return resolve_study("many", StudyFile(trials=trials, settings={**SETTINGS, **SWEPT}), {})


def real_rows(folder: Path) -> tuple[Row, list[Row], bytes]:
    """A trial's row, the rows of its generations and cells, and its model."""
    import aes_lipi  # noqa: PLC0415 - only this process trains

    study = resolve_study("short", StudyFile(trials=1, settings=SETTINGS), {})
    aes_lipi.run(study, folder)
    tables = [pq.read_table(folder / name) for name in ("trials", "generations")]
    [row], rows = (table.drop("variant").to_pylist() for table in tables)
    [model] = folder.glob("models/*/*")
    return row, rows, model.read_bytes()


def perturbed(
    trial: TrialId, variant: Variant, label: str, real: tuple[Row, Sequence[Row], bytes]
) -> TrialFiles:
    """The files of a trial whose losses are those of the real one, perturbed."""
    factor = float(np.random.default_rng([int(trial.variant[1:], 16), trial.trial]).normal(1, 0.05))
    named = {"study": "many", "variant_name": label, "trial": trial.trial}

    def moved(row: Row) -> Row:
        losses = {name: row[name] for name in LOSSES if row[name] is not None}
        return {**row, **{name: loss * factor for name, loss in losses.items()}}

    row, rows, model = real
    generations = [{**moved(each), **named} for each in rows]
    return trial_files({**moved(row), **settings_row(variant), **named}, generations, model)


def make(folder: str, trials: int) -> None:
    """Commit the study's trials."""
    os.fsync = lambda descriptor: None  # type: ignore[assignment]  # need not outlive a crash
    study, store = study_of(trials), ResultStore(folder)
    with tempfile.TemporaryDirectory() as short:
        real = real_rows(Path(short) / "short")
    with store.locked():
        store.open(study)
        for variant in study.variants:
            for number in range(trials):
                trial = TrialId(variant.id, number)
                store.commit(trial, perturbed(trial, variant, study.label(variant), real))


def look_status(folder: str) -> Callable[[], object]:
    """How the study stands."""
    from aes_lipi.results.status import study_status  # noqa: PLC0415

    return lambda: study_status(folder)


def look_results(folder: str) -> Callable[[], object]:
    """All tables."""
    import aes_lipi  # noqa: PLC0415

    return lambda: aes_lipi.load_results(folder)


def look_trials(folder: str) -> Callable[[], object]:
    """The table of trials alone."""
    import aes_lipi  # noqa: PLC0415

    return lambda: aes_lipi.load_results(folder, ["trials"])


def look_again(folder: str) -> Callable[[], object]:
    """The same command on the finished study, with its closing table."""
    from aes_lipi.analysis import tables  # noqa: F401, PLC0415
    from aes_lipi.cli.tables import print_summary  # noqa: PLC0415
    from aes_lipi.execution.local import LocalRunner  # noqa: PLC0415
    from aes_lipi.execution.run import run_study  # noqa: PLC0415

    trials = max(int(each.stem[6:]) for each in Path(folder).glob("committed/*/*")) + 1
    study = study_of(trials)

    def again() -> None:
        print_summary(study, folder, run_study(study, folder, LocalRunner(1)))

    return again


LOOKS = {
    "status": look_status,
    "load_results": look_results,
    "load_results, trials": look_trials,
    "the same command": look_again,
}


def look(name: str, folder: str) -> None:
    """Print what one look takes in this process."""
    work = LOOKS[name](folder)
    import pandas as pd  # noqa: F401, PLC0415
    import pyarrow.dataset  # noqa: F401, PLC0415

    started, used = time.perf_counter(), time.process_time()
    printed, sys.stdout = sys.stdout, Path(os.devnull).open("w")  # noqa: SIM115
    kept = work()
    sys.stdout = printed
    wall, processor = time.perf_counter() - started, time.process_time() - used
    del kept
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    megabytes = peak / 2**20 if sys.platform == "darwin" else peak / 2**10
    print(f"| {name} | {wall:.2f} s | {processor:.2f} s | {megabytes:.0f} MB |", flush=True)


def main() -> None:
    """Make the study if need be, and look at it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="keep the study here, or use the one here")
    parser.add_argument("--trials", type=int, default=20, help="of each of the 500 variants")
    parser.add_argument("--only", choices=LOOKS, help="one look alone")
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as temporary:
        folder = str(options.folder or Path(temporary) / "many")
        if not Path(folder).exists():
            process = spawn.Process(target=make, args=(folder, options.trials))
            process.start()
            process.join()
            assert process.exitcode == 0
        print("| | wall time | processor time | peak memory |\n| --- | ---: | ---: | ---: |")
        for name in [options.only] if options.only else LOOKS:
            process = spawn.Process(target=look, args=(name, folder))
            process.start()
            process.join()


if __name__ == "__main__":
    main()
