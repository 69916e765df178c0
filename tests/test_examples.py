"""The examples of the documentation, each run as it stands."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

MADE: dict[str, Callable[[str], bool]] = {
    "anomalies.py": lambda shown: "outliers: 5% of the benign" in shown and "its " in shown,
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


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
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
