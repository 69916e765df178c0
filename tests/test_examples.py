"""The examples of the documentation, each run as it stands."""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from studies import assert_same_study

import aes_lipi

MADE: dict[str, Callable[[str], bool]] = {
    "anomalies.py": lambda shown: "outliers: 5% of the benign" in shown and "its " in shown,
    "compare.py": lambda shown: "radius=0" in shown and "radius=2" in shown,
    "images.py": lambda _: Path("images.png").is_file(),
    "lineage.py": lambda shown: "generation 11: cell" in shown and "generation -1:" in shown,
    "my_graphs.py": lambda shown: shown == "",
    "my_plugins.py": lambda shown: shown == "",
    "own_environment.py": lambda shown: "40-8-4-8-40" in shown,
    "own_operator.py": lambda shown: "small" in shown,
    "own_parameter.py": lambda shown: "prune_method_quota" in shown,
    "own_schedule.py": lambda shown: "late" in shown,
    "own_topology.py": lambda shown: "shortcuts(n=3)" in shown and "star" in shown,
    "sweep.py": lambda _: Path("sweep.png").is_file(),
    "callback.py": lambda shown: "callback" in shown,
    "early_stop.py": lambda shown: shown.count("patience") == 2,
    "metric.py": lambda shown: "metric_worst_column" in shown,
    "my_metrics.py": lambda shown: shown == "",
    "stepping.py": lambda _: Path("good_enough.safetensors").is_file(),
}
"""Whether an example has done what it says, by what it shows."""

EXAMPLES = Path(__file__).parents[1] / "docs/examples"


def test_the_example_of_anomalies_is_the_one_on_the_page() -> None:
    code = (EXAMPLES / "anomalies.py").read_text().partition("\n\n")[2]
    page = (EXAMPLES.parent / "how_to/own_data.md").read_text(encoding="utf-8")
    assert f"```python\n{code}```" in page


LONG = ("compare.py", "images.py", "own_parameter.py", "own_topology.py", "sweep.py")
"""Studies of seconds, each of whose parts a shorter one has, too."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.name, marks=[pytest.mark.slow] * (path.name in LONG))
        for path in sorted(EXAMPLES.glob("*.py"))
    ],
)
def test_an_example_runs_as_it_stands(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    assert len((EXAMPLES / name).read_text().splitlines()) < 15
    runpy.run_path(str(EXAMPLES / name))
    shown = capsys.readouterr().out
    assert MADE[name](shown)


STUDIES = sorted(set(MADE) - {"anomalies.py", "callback.py", "images.py", "stepping.py"})
"""Those that run studies which others can run, too."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in STUDIES if not name.startswith("my_")])
def test_an_example_has_the_same_bits_in_two_processes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES), prepend=os.pathsep)
    run = aes_lipi.run
    for jobs in (1, 2):
        (folder := tmp_path / str(jobs)).mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setattr(aes_lipi, "run", partial(run, jobs=jobs))
        runpy.run_path(str(EXAMPLES / name))
    for one in (tmp_path / "1" / "results").iterdir():
        assert_same_study(one, tmp_path / "2" / "results" / one.name)
