"""What it takes to analyse a large study: 1,000 trials of 400 generations of 10 cells.

    PYTHONPATH=tests .venv/bin/python -m benchmarks.analysis [--folder FOLDER]

The study is made up: the rows of one short ring are drawn out and perturbed, and go through the
project's own writer, in a process of its own, so that peak memory is that of the analysis. A folder
that is given is kept and used again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from aes_lipi.analysis.comparisons import compare
from aes_lipi.analysis.read import read_measurements
from aes_lipi.analysis.tables import describe_generations, describe_trials, generation_samples
from aes_lipi.config import Study, StudyFile, Variant, resolve_study
from aes_lipi.results.schema import settings_row
from aes_lipi.results.store import ResultStore
from aes_lipi.results.trial_files import TrialFiles, TrialId, trial_files

TRIALS, GENERATIONS, REAL_GENERATIONS = 100, 400, 4
VARIANTS: Mapping[str, Any] = {
    "prune_method": ["random", "activation"],
    "prune_schedule": ["fixed", "increase", "decrease", "population", "exponential"],
}
MEASURED = ("mean_L1", "std_L1", "test_L1", "std_test_L1")

Row = dict[str, Any]
T = TypeVar("T")


def study_of(trials: int, epochs: int) -> Study:
    """Ten variants of the published ring."""
    file = StudyFile(trials=trials, settings={**VARIANTS, "epochs": epochs})
    return resolve_study("large", file, {})


def real_rows(folder: Path) -> tuple[Row, list[Row]]:
    """A trial's row, and the rows of its generations and cells, each with all measures."""
    import aes_lipi  # noqa: PLC0415 - only this process needs torch

    settings = {"epochs": REAL_GENERATIONS, "record_interval": 1}
    study = resolve_study("short", StudyFile(trials=1, settings=settings), {})
    results = aes_lipi.run(study, folder)
    [row], rows = (
        [{str(name): value for name, value in row.items() if name != "variant"} for row in records]
        for records in (results.trials.to_dict("records"), results.generations.to_dict("records"))
    )
    return row, rows


def made_up(
    trial: TrialId, variant: Variant, real: tuple[Row, Sequence[Row]], label: str
) -> TrialFiles:
    """The files of a trial whose values are those of the real one, perturbed."""
    rng = np.random.default_rng([int(trial.variant[1:], 16), trial.trial])
    row, rows = real
    n_cells = len(rows) // REAL_GENERATIONS
    noise = rng.normal(1, 0.05, size=(GENERATIONS * n_cells, 3)).tolist()
    named = {"study": "large", "variant_name": label, "trial": trial.trial}
    generations = []
    for t in range(GENERATIONS):
        measured = t % 100 == 0 or t == GENERATIONS - 1
        for cell in range(n_cells):
            factors = noise[t * n_cells + cell]
            values = dict(rows[t % REAL_GENERATIONS * n_cells + cell])
            for name in ("min_selection_loss", "min_replacement_loss", "test_loss"):
                values[name] *= factors[0]
            for name in MEASURED:
                values[name] = values[name] * factors[1] if measured else None
            values |= {**named, "generation": t, "wall_time_s": 0.01 * factors[2]}
            generations.append(values)
    values = row | settings_row(variant) | named | {"wall_time_s": 20 * rng.random()}
    return trial_files(values, generations, model=b"made up")


def make(folder: str, trials: int) -> None:
    """Commit the study's trials."""
    study = study_of(trials, GENERATIONS)
    with tempfile.TemporaryDirectory() as short:
        real = real_rows(Path(short) / "short")
    store = ResultStore(folder)
    with store.locked():
        store.open(study)
        for variant in study.variants:
            for number in range(trials):
                trial = TrialId(variant.id, number)
                store.commit(trial, made_up(trial, variant, real, study.label(variant)))


def timed(name: str, work: Callable[[], T]) -> T:
    """What work gives; prints its time, and the peak memory so far."""
    started, processor = time.perf_counter(), time.process_time()
    found = work()
    wall, used = time.perf_counter() - started, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    megabytes = peak / 2**20 if sys.platform == "darwin" else peak / 2**10
    print(f"| {name} | {wall:.1f} s | {used:.1f} s | {megabytes:.0f} MB |", flush=True)
    return found


def measure_trials(folder: str) -> None:
    """Print the lines of the analysis by trials."""
    data = timed("read, trial_mean and trial_best", lambda: read_measurements(folder))
    timed("tables by generation", lambda: describe_generations(data))
    timed("table of trials", lambda: describe_trials(data))
    timed("all pairs", lambda: compare(generation_samples(data)))
    timed("all pairs, unpaired", lambda: compare(generation_samples(data), paired=False))


def measure_report(folder: str) -> None:
    """Print the line of a whole report, in a process of its own, as the command line makes it."""
    command = [str(Path(sys.executable).with_name("aes-lipi")), "analyse", folder]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as report:
        subprocess.run([*command, "--report_dir", report], check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor, peak = used.ru_utime + used.ru_stime, used.ru_maxrss
    megabytes = peak / 2**20 if sys.platform == "darwin" else peak / 2**10
    print(
        f"| aes-lipi analyse | {wall:.1f} s | {processor:.1f} s | {megabytes:.0f} MB |", flush=True
    )


def measure_cells(folder: str) -> None:
    """Print the lines of the published way."""
    wanted = ("mean_L1", "capacity")
    data = timed(
        "read, pooled_cells of two measures",
        lambda: read_measurements(folder, wanted, units=["pooled_cells"]),
    )
    timed("tables of pooled cells", lambda: describe_generations(data, "pooled_cells"))
    cells = generation_samples(data, unit="pooled_cells")
    timed("all pairs of pooled cells", lambda: compare(cells))


def main() -> None:
    """Make the study if need be, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="keep the study here, or use the one here")
    parser.add_argument("--trials", type=int, default=TRIALS, help="of each of the ten variants")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = str(options.folder or Path(temporary) / "large")
        if not Path(folder).exists():
            process = multiprocessing.get_context("spawn").Process(
                target=make, args=(folder, options.trials)
            )
            process.start()
            process.join()
        print("| | wall time | processor time | peak memory so far |")
        print("| --- | ---: | ---: | ---: |")
        measure_report(folder)
        measure_trials(folder)
        measure_cells(folder)


if __name__ == "__main__":
    main()
