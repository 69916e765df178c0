"""Values that cannot be trained on: one line names the file, the column, the row and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from own_tables import problem

from aes_lipi.data import columnar


@dataclass(frozen=True)
class Format:
    """A way to write a frame, and what errors call its second column and third row."""

    name: str
    write: Callable[[Path, pd.DataFrame], None]
    place: str


FORMATS = {
    "parquet": Format(
        "x.parquet", lambda path, frame: frame.to_parquet(path), ", column 'b', row 3"
    ),
    "csv": Format(
        "x.csv",
        lambda path, frame: frame.to_csv(path, index=False),
        ", column 'b', row 3 below the header",
    ),
    "bare csv": Format(
        "x.csv",
        lambda path, frame: frame.to_csv(path, index=False, header=False),
        ", column 2, row 3",
    ),
    "npy": Format(
        "x.npy", lambda path, frame: np.save(path, frame.to_numpy()), ", column 2, row 3"
    ),
    "npz": Format(
        "x.npz",
        lambda path, frame: np.savez(path, m=frame.to_numpy()),
        ", array 'm', column 2, row 3",
    ),
}
every_format = pytest.mark.parametrize("kind", FORMATS.values(), ids=FORMATS)


def frame_with(value: float) -> pd.DataFrame:
    """A frame of three columns with the value twice, the first time in column b, row 3."""
    frame = pd.DataFrame(np.full((5, 3), 0.5), columns=["a", "b", "c"])
    frame.loc[2, "b"] = value
    frame.loc[0, "c"] = value
    return frame


@every_format
@pytest.mark.parametrize("scale", ["none", "minmax"])
def test_missing_value(tmp_path: Path, kind: Format, scale: str) -> None:
    path = tmp_path / kind.name
    kind.write(path, frame_with(float("nan")))
    b, c = ("b", "c") if "'b'" in kind.place else ("2", "3")
    assert problem(path, scale) == (
        f"{kind.place}: a missing value (empty, null or NaN); in all missing values in '{b}' (1), "
        f"'{c}' (1); fill missing values in with --impute median, or leave columns out with "
        f"--drop_columns {b},{c}"
    )


@every_format
@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
@pytest.mark.parametrize("scale", ["none", "minmax"])
def test_infinite_value(tmp_path: Path, kind: Format, value: float, scale: str) -> None:
    path = tmp_path / kind.name
    kind.write(path, frame_with(value))
    assert problem(path, scale).startswith(f"{kind.place}: an infinite value; fill it in")


@every_format
@pytest.mark.parametrize("value", [1.5, -0.25, 1e300, -1e-3])
def test_value_outside_the_read_scaled(tmp_path: Path, kind: Format, value: float) -> None:
    path = tmp_path / kind.name
    kind.write(path, frame_with(value))
    expected = (
        f"{kind.place}: the value {value:.9g} is outside [0, 1]; "
        "scale the columns with --scale minmax"
    )
    assert problem(path) == problem(path, validation_fraction=0.2) == expected


@every_format
def test_first_bad_value_is_found_in_wide_files(
    tmp_path: Path, kind: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnar, "BLOCK_VALUES", 100)
    path = tmp_path / kind.name
    others = pd.DataFrame(np.full((5, 50), 3.0)).add_prefix("z")
    kind.write(path, pd.concat([frame_with(2.0), others], axis=1))
    assert problem(path).startswith(f"{kind.place}: the value 2 is outside")


@every_format
@pytest.mark.parametrize(("test", "validation"), [(0.1, 0.4), (0.4, 0.1), (0.5, 0.4), (0.0, 0.3)])
def test_every_split_needs_a_row(
    tmp_path: Path, kind: Format, test: float, validation: float
) -> None:
    path = tmp_path / kind.name
    kind.write(path, frame_with(1.0).iloc[:4])
    message = problem(path, test_fraction=test, validation_fraction=validation)
    assert "its 4 rows leave" in message
    assert message.endswith("change test_fraction or validation_fraction, or add rows")


def test_a_missing_value_is_told_before_too_few_rows(tmp_path: Path) -> None:
    path = tmp_path / "short.csv"
    path.write_text("a,b\n0.1,0.2\n0.3,\n")
    assert ", column 'b', row 2 below the header: a missing value" in problem(
        path, test_fraction=0.2
    )
