"""Fuzz the readers, guided by coverage.

    PYTHONPATH=tests .venv/bin/python -m fuzz.readers --seconds 60
    PYTHONPATH=tests .venv/bin/python -m fuzz.readers --target parquet --runs 10000

Every target (`targets.py`) starts from valid files that the package writes, and runs in a process
of its own. A failure is anything but a result or a `UserError` of one line, within some time and
memory (`watch.py`). Inputs that fail are left in a temporary folder, which is named at the end;
`--target NAME --file FILE` reads one again. The exit code is 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

INSTRUMENTED = [
    *("aes_lipi.errors", "aes_lipi.config", "aes_lipi.data", "aes_lipi.models"),
    *("aes_lipi.results", "aes_lipi.checkpoints", "yaml"),
]
NAMES = (
    *("csv", "npy", "npz", "parquet", "model", "study", "flags", "checkpoint", "documents"),
    *("results", "cleaning"),
)
ADDRESS_SPACE = 2 * 2**30  # bytes beyond what the process has when it starts to fuzz
HARD_LIMIT_S = 20  # for what hangs where Python cannot be interrupted
MOST_RESTARTS = 20

_COVERAGE = re.compile(r"\bcov: (\d+)")
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_STATUS = re.compile(r"^#(\d+)\s", re.MULTILINE)


@dataclass
class Tally:
    """What came of a target.

    Attributes:
        inputs: how many were tried.
        edges: of the instrumented code, that were reached.
        failures: distinct ones, in lines.
    """

    inputs: int = 0
    edges: int = 0
    failures: list[str] = field(default_factory=list)


def main() -> int:
    """Fuzz what the command line asks for, and print a table."""
    options = _options()
    if options.folder is not None:
        _fuzz(options.target, Path(options.folder), options)
    if options.file is not None:
        return _again(options.target, Path(options.file))
    kept = Path(tempfile.mkdtemp(prefix="fuzz-"))
    names = NAMES if options.target is None else (options.target,)
    tallies = {name: _run(name, kept / name, options) for name in names}
    print(f"{'target':<12}{'inputs':>10}{'edges':>8}{'failures':>10}")
    for name, tally in tallies.items():
        print(f"{name:<12}{tally.inputs:>10}{tally.edges:>8}{len(tally.failures):>10}")
    failures = [f"{name}: {line}" for name, tally in tallies.items() for line in tally.failures]
    if not failures:
        shutil.rmtree(kept)
        return 0
    print("\n".join([*failures, f"inputs: {kept}/*/failures"]))
    return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz.readers", description=__doc__)
    parser.add_argument("--target", choices=NAMES)
    parser.add_argument("--file", help="read this input once")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=int, default=60, help="for every target")
    length.add_argument("--runs", type=int, help="for every target")
    options = parser.parse_args()
    if options.target is None and (options.file or options.folder):
        parser.error("--file needs --target")
    return options


def _run(name: str, folder: Path, options: argparse.Namespace) -> Tally:
    """Fuzz a target in processes of its own: another one for every crash."""
    tally = Tally()
    for each in ("corpus", "failures", "scratch"):
        (folder / each).mkdir(parents=True)
    end = time.monotonic() + options.seconds
    for _ in range(MOST_RESTARTS):
        left = ["--seconds", str(max(1, round(end - time.monotonic())))]
        if options.runs is not None:
            left = ["--runs", str(options.runs - tally.inputs)]
        command = [sys.executable, "-m", "fuzz.readers", "--target", name, *left]
        command += ["--folder", str(folder)]
        environment = os.environ | {"TMPDIR": str(folder / "scratch")}
        child = subprocess.run(command, stderr=subprocess.PIPE, env=environment, check=False)
        _count(tally, child.stderr.decode(errors="replace"))
        if child.returncode == 0:
            break
        tally.failures.append(f"ended with {child.returncode}: {_last_line(child.stderr)}")
    shutil.rmtree(folder / "scratch")
    log = folder / "failures.txt"
    tally.failures += log.read_text().splitlines() if log.exists() else []
    return tally


def _count(tally: Tally, output: str) -> None:
    """Take in what libFuzzer printed."""
    executed = _EXECUTED.findall(output) or _STATUS.findall(output)
    tally.inputs += int(executed[-1]) if executed else 0
    tally.edges = max([tally.edges, *map(int, _COVERAGE.findall(output))])


def _last_line(output: bytes) -> str:
    lines = [line for line in output.decode(errors="replace").splitlines() if "ERROR" in line]
    return lines[-1] if lines else output.decode(errors="replace")[-300:]


def _again(name: str, file: Path) -> int:
    from fuzz.targets import TARGETS  # noqa: PLC0415 - after what it imports may be instrumented

    failure = TARGETS[name]().failure(file.read_bytes())
    print(failure)
    return int(failure is not None)


def _fuzz(name: str, folder: Path, options: argparse.Namespace) -> None:
    """Fuzz in this process, and end it."""
    import atheris  # noqa: PLC0415 - the tests do without

    with atheris.instrument_imports(include=INSTRUMENTED):
        from fuzz.mutations import spliced  # noqa: PLC0415
        from fuzz.targets import TARGETS  # noqa: PLC0415

    target = TARGETS[name]()
    for k, seed in enumerate(target.seeds):
        (folder / "corpus" / f"seed-{k}").write_bytes(seed)
    known: set[tuple[str, str]] = set()

    def try_input(content: bytes) -> None:
        failure = target.failure(content)
        if failure is None or failure.what in known:
            return
        known.add(failure.what)
        with (folder / "failures.txt").open("a") as log:
            log.write(f"{' '.join(failure.what)}: {json.dumps(failure.said)}\n")
        (folder / "failures" / f"{len(known)}-{os.getpid()}").write_bytes(content)

    def mutate(content: bytes, longest: int, seed: int) -> bytes:
        rng = random.Random(seed)
        choice = rng.random()
        if choice < 0.2:
            return bytes(atheris.Mutate(content, longest))
        if choice < 0.3:
            return spliced(content, rng.choice(target.seeds), rng)[:longest]
        start = content if choice < 0.8 else rng.choice(target.seeds)
        return target.mutate(start, rng)[:longest]

    _limit_memory()
    limit = [f"-runs={options.runs}"] if options.runs else [f"-max_total_time={options.seconds}"]
    atheris.Setup(
        [
            *(sys.argv[0], str(folder / "corpus"), *limit, f"-max_len={target.longest}"),
            *(f"-timeout={HARD_LIMIT_S}", "-rss_limit_mb=0", "-print_final_stats=1"),
            *("-len_control=0", f"-artifact_prefix={folder}/failures/"),
        ],
        try_input,
        custom_mutator=mutate,
    )
    atheris.Fuzz()


def _limit_memory() -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ADDRESS_SPACE,) * 2)


if __name__ == "__main__":
    sys.exit(main())
