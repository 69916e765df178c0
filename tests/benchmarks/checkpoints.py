"""What it costs to write a published ring down, and to look for divergence.

`python -m benchmarks.checkpoints`, tests on PYTHONPATH.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
from rings import begun, cells_of

from aes_lipi.coevolution.evolution import InProcess, run_steps
from aes_lipi.coevolution.records import RecordLog
from aes_lipi.coevolution.schedule import Schedule
from aes_lipi.coevolution.state import TrialState
from aes_lipi.execution.inputs import prepare
from aes_lipi.results.checkpoint import Checkpoint, decode_checkpoint, encode_checkpoint, identify
from aes_lipi.results.storage import LocalStorage
from aes_lipi.results.trial_files import CheckpointFiles, TrialId
from benchmarks.trial import random_exponential

GENERATIONS = 400
REPEATS = 15


def milliseconds(work: Callable[[], object]) -> float:
    """Median time of some repetitions."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return 1e3 * median(times)


def main() -> None:
    """Print the table."""
    variant = random_exponential(epochs=GENERATIONS)
    setup = prepare(variant)
    rounds = run_steps([begun(setup)], [Schedule(variant)], InProcess([setup]))
    for _ in range(5):
        next(rounds)
    generation_ms = milliseconds(lambda: next(rounds))
    _, now = next(rounds)
    assert isinstance(now, TrialState)
    records = [
        replace(record, generation=t)
        for t in range(GENERATIONS)
        for record in now.records[: len(now.learning_rates)]
    ]
    late = TrialState(
        now.trial,
        {v._replace(age=GENERATIONS - 1): held for v, held in now.held.items()},
        {(who, GENERATIONS): rate for (who, _), rate in now.rates.items()},
        RecordLog(records),
    )
    checkpoint = Checkpoint(late, datetime.now(UTC), 1.0)
    content = encode_checkpoint(checkpoint, variant, "processor")
    encode_ms = milliseconds(lambda: encode_checkpoint(checkpoint, variant, "processor"))
    check_ms = milliseconds(lambda: identify(content))
    decode_ms = milliseconds(lambda: decode_checkpoint(content, variant, setup.architecture))
    with tempfile.TemporaryDirectory() as folder:
        files = CheckpointFiles(LocalStorage(Path(folder)))
        trial = TrialId(variant.id, 0)
        numbers = iter(range(10_000))
        write_ms = milliseconds(lambda: files.write(trial, next(numbers), content))
    genomes = [n.genome for cell in cells_of(now) for n in (cell.pair.encoder, cell.pair.decoder)]
    finite_ms = milliseconds(lambda: [np.isfinite(genome).all() for genome in genomes])
    print(f"a generation of ten cells            {generation_ms:9.2f} ms")
    print(f"a checkpoint after {GENERATIONS} generations  {len(content) / 2**20:9.2f} MiB")
    print(f"  to encode                          {encode_ms:9.2f} ms")
    print(f"  to write, sync and rename          {write_ms:9.2f} ms")
    print(f"  to check                           {check_ms:9.2f} ms")
    print(f"  to decode                          {decode_ms:9.2f} ms")
    print(f"to look whether all weights are finite {finite_ms:7.2f} ms a generation")


if __name__ == "__main__":
    main()
