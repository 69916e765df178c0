"""CSV files: what is read, and how what is wrong is told"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_tables import problem, read_matrix

from aes_lipi.data.csv import csv_source
from aes_lipi.data.files import DataFile
from aes_lipi.errors import UserError


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n0.5,1\n0,.25\n",
        "0.5,1\n0,.25",
        "\ufeffa,b\r\n0.5,1\r\n0,.25\r\n",
        "\n\na,b\n\n0.5,1\n\n0,.25\n\n",
        '"a","b, c"\n"0.5", 1\n0 ,2.5e-1\n',
        '"a\nb",c\n0.5,1\n0,.25\n',
        "1,\u00e4\n0.5,1\n0,.25",
        "a,b\r0.5,1\r0,.25\r",
        '"a","A"\n+0.5,1\n-0.0,.25',
    ],
)
def test_csv_dialects(tmp_path: Path, text: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8", newline="")
    np.testing.assert_array_equal(read_matrix(path), [[0.5, 1], [0, 0.25]])


def test_csv_with_true_and_false(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\nTrue,0\nfalse,1\n1,0.5\n")
    np.testing.assert_array_equal(read_matrix(path), [[1, 0], [0, 1], [1, 0.5]])


def test_csv_header_of_column_numbers(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    values = np.random.default_rng(0).random((10, 3)).astype(np.float32)
    pd.DataFrame(values).to_csv(path, index=False)
    np.testing.assert_array_equal(read_matrix(path), values)


def test_csv_columns_that_turn_fractional_late(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("a\n" + "1\n" * 600_000 + "0.5\n")
    values = read_matrix(path)
    assert values.shape == (600_001, 1)
    assert values[-1, 0] == 0.5


def test_csv_of_very_wide_rows(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    row = ",".join(["0." + "1" * 70] * 20_000)
    path.write_text(f"{row}\n{row}\n")
    assert read_matrix(path).shape == (2, 20_000)


def written_csv(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "x.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,0\n0,1,1\n", ", row 2 below the header: has 3 values where the header has 2"),
        ("a,b\n1,0\n\n0\n", ", row 2 below the header: has 1 values where the header has 2"),
        ("1,0\n0,1\n0,1,\n", ", row 3: has 3 values where the first row has 2"),
        (",\r\n0,1\n0,.5\n1,0,1\n2,1,0\n", ", row 4: has 3 values where the first row has 2"),
        ("a\n1,0\n", ", row 1 below the header: has 2 values where the header has 1"),
    ],
)
def test_csv_of_ragged_rows(tmp_path: Path, text: str, expected: str) -> None:
    assert problem(written_csv(tmp_path, text)) == f"{expected}; give every row as many"


@pytest.mark.parametrize(
    ("text", "place", "cell"),
    [
        ("a,größe\n1,0\n1,big\n", ", column 'größe', row 2 below the header", "'big'"),
        ("1,0\n1,0\n\n1, big\n", ", column 2, row 3", "'big'"),
        ("a\n0\n1_0\n", ", column 'a', row 2 below the header", "'1_0'"),
        ("a\n0\n0x1\n", ", column 'a', row 2 below the header", "'0x1'"),
    ],
)
def test_csv_cell_that_is_not_a_number(tmp_path: Path, text: str, place: str, cell: str) -> None:
    name = place.split(", ")[1].removeprefix("column ").strip("'")
    assert problem(written_csv(tmp_path, text)) == (
        f"{place}: {cell} is not a number; in all text in '{name}' (1); encode text with "
        f"--one_hot, or leave columns out with --drop_columns {name}"
    )


@pytest.mark.parametrize("text", ["a\ntrue\n0.5\n", "a\n1\ntrue\n", "a\ntrue\nyes\n"])
def test_csv_column_that_mixes_truth_values(tmp_path: Path, text: str) -> None:
    message = problem(written_csv(tmp_path, text))
    assert message.startswith(", column 'a', row 2 below the header: '")
    assert message.endswith("use either numbers or true and false throughout the column")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a,b\n1,0\n0,\n", ", column 'b', row 2 below the header"),
        ("1,NA\n0,1\n", ", column 2, row 1"),
        (",\n", ", column 1, row 1"),
        ("a,b\ntrue,0\n,1\n", ", column 'a', row 2 below the header"),
    ],
)
def test_csv_cell_that_is_empty(tmp_path: Path, text: str, place: str) -> None:
    assert problem(written_csv(tmp_path, text)).startswith(f"{place}: a missing value")


@pytest.mark.parametrize("text", ["\n\n\n", "\ufeff"])
def test_csv_of_blank_lines(tmp_path: Path, text: str) -> None:
    assert problem(written_csv(tmp_path, text)) == ": holds no rows; add data to it"


@pytest.mark.parametrize("text", ["a,b", "a,b\n\n", "\n\na,b\n"])
def test_csv_of_a_header_only(tmp_path: Path, text: str) -> None:
    path = written_csv(tmp_path, text)
    assert problem(path) == ": holds no rows below the header; add data to it"


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_csv_of_another_encoding(tmp_path: Path, encoding: str) -> None:
    message = problem(written_csv(tmp_path, "größe\n1\n".encode(encoding)))
    assert "cannot be read ('utf-8' codec can't decode" in message
    assert message.endswith("really is a text file in UTF-8, such as CSV")


def test_csv_with_an_endless_cell(tmp_path: Path) -> None:
    message = problem(written_csv(tmp_path, '"' + "x" * 200_000))
    assert "cannot be read (field larger than field limit" in message


def test_csv_of_one_endless_row(tmp_path: Path) -> None:
    message = problem(written_csv(tmp_path, "0," * 2**23 + "\n"))
    assert message.startswith(": has a row of more than 16 million characters; end every row with")


def test_csv_that_is_wrong_late_is_told_with_its_row(tmp_path: Path) -> None:
    rows = "0.5,0.25,1\n\n" * 400_000
    message = problem(written_csv(tmp_path, f"a,b,c\n{rows}0,x,1\n"))
    assert message.startswith(", column 'b', row 400001 below the header: 'x' is not a number")
    message = problem(written_csv(tmp_path, f"{rows}0,1\n"))
    assert message.startswith(", row 400001: has 2 values where the first row has 3")
    message = problem(written_csv(tmp_path, f"{rows}0,1,nan\n"))
    assert message.startswith(", column 3, row 400001: a missing value")


def test_wide_csv_that_is_wrong_far_to_the_right(tmp_path: Path) -> None:
    path = written_csv(tmp_path, "0,1\n")
    values = np.arange(2 * 9000).reshape(2, 9000) % 2
    text = "\n".join(",".join(map(str, row)) for row in values) + "\n"
    path.write_text(text)
    np.testing.assert_array_equal(read_matrix(path), values)
    path.write_text(text + ",".join(["0"] * 8500 + ["x"] * 500) + "\n")
    assert problem(path).startswith(", column 8501, row 3: 'x' is not a number; ")


@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_are_read_as_python_reads_them(
    values: list[float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("numbers")
    texts = [form(value) for value in values for form in (repr, "{:.17e}".format, "{:.40f}".format)]
    path = written_csv(folder, "".join(f"{text}\n" for text in texts))
    [(_, _, block)] = csv_source(DataFile(path, "text")).blocks()
    assert block[:, 0].tobytes() == np.array([float(text) for text in texts]).tobytes()


@settings(max_examples=150, deadline=None)
@given(text=st.text(alphabet='01.,;e-+\n\r"\tnaNtrue \ufeff\0', max_size=40))
def test_any_table_is_read_or_refused_in_one_line(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written_csv(tmp_path_factory.mktemp("any"), text)
    told = ""
    try:
        values = read_matrix(path, "minmax")
    except UserError as error:
        told = str(error)
    if told:
        assert told.isprintable()
        assert told.startswith(repr(str(path)))
    else:
        assert values.size > 0
        assert ((values >= 0) & (values <= 1)).all()


def test_a_cell_of_endless_digits_takes_no_time(tmp_path: Path) -> None:
    started = time.process_time()
    path = written_csv(tmp_path, ("9" * 100_000 + "x,1\n") * 5)
    assert "is not a number" in problem(path, header="no")
    assert time.process_time() - started < 2
