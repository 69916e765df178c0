"""Installs the package with the lowest and with the highest versions that it allows, and uses it.

    .venv/bin/python tests/versions.py [lowest] [highest] [--extras onnx,sklearn] [--keep DIR]

`lowest` takes of every dependency the newest patch of its lower bound in pyproject.toml, `highest`
whatever pip finds without the pins. Each gets a virtual environment of its own, of the Python that
runs this, and no torch, unless it is named among the extras: then that of constraints.txt. What a
user does first is done in it, outside the checkout: help, a study, its status and report, an
export, a table of one's own.

It downloads some hundred MB, and is no part of the test suite.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TINY = ("--trials", "1", "--epochs", "3", "--population_size", "3", "--local", "--jobs", "1")
ROWS = "a,b,c,d\n" + "".join(f"{k % 7},{k % 5},{k % 3},{k % 2}\n" for k in range(60))


def lowest(extras: Sequence[str]) -> Iterator[str]:
    """The lower bound of every dependency, as a requirement for its newest patch."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = list(project["dependencies"])
    for extra in extras:
        asked += project["optional-dependencies"][extra]
    for requirement in asked:
        found = re.fullmatch(r"([\w.-]+(?:\[\w+\])?)>=(\d[\d.]*)(?:,.*)?", requirement)
        if found is not None:
            yield f"{found[1]}=={found[2]}.*"


def pinned(extras: Sequence[str]) -> Iterator[str]:
    """What stays at its pin, whatever versions there are: bits are promised for that torch."""
    pins = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    yield from (pin for pin in pins if pin.partition("==")[0] == "torch" and "torch" in extras)


def check(kind: str, folder: Path, extras: Sequence[str]) -> None:
    """Install, and use what was installed.

    Raises:
        subprocess.CalledProcessError: something of it did not work.
    """
    venv.create(folder, with_pip=True)
    python, command = folder / "bin/python", folder / "bin/aes-lipi"
    wanted = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    bounds = [*(lowest(extras) if kind == "lowest" else ()), *pinned(extras)]
    _do(folder, python, "-m", "pip", "install", "--quiet", wanted, *bounds)
    _do(folder, python, "-m", "pip", "check")
    listed = subprocess.run(
        [python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True
    )
    print(*listed.stdout.split(), flush=True)
    (folder / "rows.csv").write_text(ROWS, "utf-8")
    _do(folder, command, "--version")
    _do(folder, command, "run", "--help", "all")
    _refused(folder, command, "run", "--epoch", "3")
    _do(folder, command, "run", "--rq", "quickstart", *TINY, "--output_dir", "study")
    _do(folder, command, "status", "study", "--json")
    _do(folder, command, "analyse", "study")
    _do(folder, command, "export", "study", "--compact")
    _do(folder, command, "run", "--data", "rows.csv", *TINY, "--output_dir", "own")
    if "onnx" in extras:
        _do(folder, command, "export", "study", "--format", "onnx")
    if "torch" in extras:
        _do(folder, command, "run", "--rq", "quickstart", *TINY, "--engine", "torch", "--fresh")
        _do(folder, command, "export", "results/quickstart", "--format", "torch")
    else:
        _refused(folder, command, "export", "study", "--format", "torch")
    if "sklearn" in extras:
        _do(folder, python, "-c", "import aes_lipi; aes_lipi.AutoencoderRing(epochs=2)")
    _do(folder, command, "doctor", "study")


def _refused(folder: Path, *words: str | Path) -> None:
    """A mistake is told in one line, and the exit status says that it was one."""
    wrong = subprocess.run(words, cwd=folder, check=False, capture_output=True, text=True)
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1), wrong.stderr
    print(wrong.stderr, end="", flush=True)


def _do(folder: Path, *words: str | Path) -> None:
    print("$", *(str(word).replace(f"{folder}/", "") for word in words), flush=True)
    subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Check what the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kinds", nargs="*", default=["lowest", "highest"])
    parser.add_argument("--extras", default="onnx,sklearn")
    parser.add_argument("--keep", help="where the environments are made, and stay")
    given = parser.parse_args()
    extras = [extra for extra in given.extras.split(",") if extra]
    with tempfile.TemporaryDirectory() as room:
        for kind in given.kinds:
            print(f"{kind}, Python {sys.version.split()[0]}", flush=True)
            check(kind, Path(given.keep or room) / kind, extras)
            print(f"{kind}: all works", flush=True)


if __name__ == "__main__":
    main()
