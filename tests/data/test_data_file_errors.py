"""Every way a file can be wrong: one line that names the file, the place and the remedy."""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from aes_lipi.data import Scale, file_digest, load_file, read_matrix, scaling
from aes_lipi.errors import UserError

Fractions = tuple[float, float] | None


def read(path: Path, scale: Scale, split: Fractions) -> None:
    if split is None:
        read_matrix(path, scale)
    else:
        test, validation = split
        load_file(path, seed=1, test_fraction=test, validation_fraction=validation, scale=scale)


def problem(path: Path, scale: Scale = "none", *, split: Fractions = None) -> str:
    """The one line that reading a file ends with, less the file's name, which it starts with."""
    with pytest.raises(UserError) as caught:
        read(path, scale, split)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert message.startswith(repr(str(path)))
    return message.removeprefix(repr(str(path)))


def npy(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npy_header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


# Paths


def test_missing_file(tmp_path: Path) -> None:
    assert problem(tmp_path / "no.csv") == ": there is no such file; check the path"


def test_directory(tmp_path: Path) -> None:
    path = tmp_path / "folder.csv"
    path.mkdir()
    assert problem(path) == ": is a directory; name one file in it"


def test_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert problem(tmp_path / "file" / "x.csv") == ": Not a directory; check the path"


def test_path_with_a_nul() -> None:
    assert problem(Path("a\0b.csv")) == ": embedded null byte; check the path"


def test_path_that_is_no_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv"))
    path.write_text("0,2\n")
    assert ", column 2, row 1: the value 2 is outside [0, 1]" in problem(path)


def test_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    assert problem(path) == ": is not a regular file; copy its content into one"


@pytest.mark.parametrize("name", ["data.xlsx", "data", "data.csv.gz"])
def test_unknown_extension_lists_the_known(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    message = problem(tmp_path / name)
    assert "unknown extension" in message
    assert message.endswith("convert it to one of .parquet, .csv, .npy, .npz")


@pytest.mark.parametrize("extension", ["parquet", "csv", "npy", "npz"])
def test_empty_file(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"x.{extension}"
    path.touch()
    assert problem(path) == ": the file is empty; write it again"


@pytest.mark.parametrize("extension", ["parquet", "csv", "npy", "npz"])
def test_file_that_may_not_be_read(
    tmp_path: Path, extension: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / f"x.{extension}"
    path.write_text("1,0\n")
    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(io, "open", refuse)
    message = problem(path)
    assert "cannot be read (Permission denied); check that you may read it" in message


def test_digest_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read \(No such file or directory\); check"):
        file_digest(tmp_path / "no.csv")


# Values


Writer = Callable[[Path, pd.DataFrame], None]


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    frame.to_parquet(path)


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(path, index=False)


def write_bare_csv(path: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(path, index=False, header=False)


def write_npy(path: Path, frame: pd.DataFrame) -> None:
    np.save(path, frame.to_numpy())


def write_npz(path: Path, frame: pd.DataFrame) -> None:
    np.savez(path, m=frame.to_numpy())


@dataclass(frozen=True)
class Format:
    """A way to write a frame, and what errors call its second column and third row."""

    name: str
    write: Writer
    place: str


every_format = pytest.mark.parametrize(
    "kind",
    [
        Format("x.parquet", write_parquet, ", column 'b', row 3"),
        Format("x.csv", write_csv, ", column 'b', row 3 below the header"),
        Format("x.csv", write_bare_csv, ", column 2, row 3"),
        Format("x.npy", write_npy, ", column 2, row 3"),
        Format("x.npz", write_npz, ", array 'm', column 2, row 3"),
    ],
    ids=lambda kind: kind.write.__name__.removeprefix("write_"),
)


def frame_with(value: float) -> pd.DataFrame:
    """A frame of three columns with the value twice, the first time in column b, row 3."""
    frame = pd.DataFrame(np.full((5, 3), 0.5), columns=["a", "b", "c"])
    frame.loc[2, "b"] = value
    frame.loc[0, "c"] = value
    return frame


@every_format
@pytest.mark.parametrize("scale", ["none", "minmax"])
def test_missing_value(tmp_path: Path, kind: Format, scale: Scale) -> None:
    path = tmp_path / kind.name
    kind.write(path, frame_with(float("nan")))
    assert problem(path, scale) == (
        f"{kind.place}: a missing value (empty, null or NaN); "
        "fill it in, or drop the row or the column"
    )


@every_format
@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
@pytest.mark.parametrize("scale", ["none", "minmax"])
def test_infinite_value(tmp_path: Path, kind: Format, value: float, scale: Scale) -> None:
    path = tmp_path / kind.name
    kind.write(path, frame_with(value))
    assert problem(path, scale).startswith(f"{kind.place}: an infinite value; fill it in")


@every_format
@pytest.mark.parametrize("value", [1.5, -0.25, 1e300, -1e-3])
def test_value_outside_the_unit_interval(tmp_path: Path, kind: Format, value: float) -> None:
    path = tmp_path / kind.name
    kind.write(path, frame_with(value))
    for split in (None, (0.2, 0.2)):
        assert problem(path, split=split) == (
            f"{kind.place}: the value {value:.9g} is outside [0, 1]; "
            "scale the columns with --scale minmax"
        )


@every_format
def test_first_bad_value_is_found_in_wide_files(
    tmp_path: Path, kind: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "_BLOCK_VALUES", 100)
    path = tmp_path / kind.name
    others = pd.DataFrame(np.full((5, 50), 3.0)).add_prefix("z")
    kind.write(path, pd.concat([frame_with(2.0), others], axis=1))
    assert problem(path).startswith(f"{kind.place}: the value 2 is outside")


@every_format
@pytest.mark.parametrize("fractions", [(0.1, 0.4), (0.4, 0.1), (0.5, 0.4), (0.6, 0.6)])
def test_every_split_needs_a_row(tmp_path: Path, kind: Format, fractions: Fractions) -> None:
    path = tmp_path / kind.name
    kind.write(path, frame_with(1.0).iloc[:4])
    message = problem(path, split=fractions)
    assert "its 4 rows leave" in message
    assert message.endswith("change test_fraction or validation_fraction, or add rows")


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_fractions_are_fractions(tmp_path: Path, fraction: float) -> None:
    write_npy(tmp_path / "x.npy", frame_with(1.0))
    for split in ((fraction, 0.1), (0.1, fraction)):
        message = problem(tmp_path / "x.npy", split=split)
        assert f"_fraction {fraction} is not between 0 and 1; try 0.1" in message


# Parquet


def written(path: Path, table: pa.Table) -> Path:
    parquet.write_table(table, path)
    return path


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["x", "y"], "string"),
        ([{"p": 1}, {"p": 2}], "struct<p: int64>"),
        ([[1], [2]], "list<element: int64>"),
        ([b"x", b"y"], "binary"),
        (pd.to_datetime(["2024-01-01", "2024-01-02"]), "timestamp[us]"),
        (pd.Categorical(["x", "y"]), "dictionary<values=string, indices=int8, ordered=0>"),
    ],
)
def test_parquet_column_that_is_not_numeric(tmp_path: Path, values: Any, kind: str) -> None:
    table = pa.table({"a": [0, 1], "größe": pa.array(values)})
    message = problem(written(tmp_path / "x.parquet", table))
    assert message.startswith(", column 'größe': holds ")
    assert message.endswith(", not numbers; drop the column or encode it as numbers")
    assert kind.partition("[")[0].partition("<")[0] in message


def test_parquet_column_of_nulls_only(tmp_path: Path) -> None:
    table = pa.table({"a": [0, 1], "b": pa.nulls(2)})
    message = problem(written(tmp_path / "x.parquet", table))
    assert message.startswith(", column 'b', row 1: a missing value")


@pytest.mark.parametrize("kind", [pa.int64(), pa.bool_(), pa.float32(), pa.uint8()])
def test_parquet_null(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table({"a": pa.array([1, 0, None]).cast(kind)})
    message = problem(written(tmp_path / "x.parquet", table))
    assert message.startswith(", column 'a', row 3: a missing value")


def test_parquet_columns_of_the_same_name(tmp_path: Path) -> None:
    table = pa.table([[1], [0], [1]], names=["a", "b", "a"])
    message = problem(written(tmp_path / "x.parquet", table))
    assert message == ", column 'a': 2 columns have this name; rename or drop all but one"


def test_parquet_without_rows(tmp_path: Path) -> None:
    path = written(tmp_path / "x.parquet", pa.table({"a": pa.array([], pa.float32())}))
    assert problem(path) == ": holds no rows; add data to it"


def test_parquet_without_columns(tmp_path: Path) -> None:
    path = written(tmp_path / "x.parquet", pa.table({}))
    assert problem(path) == ": holds no columns; at least one is needed"


def test_parquet_truncated(tmp_path: Path) -> None:
    path = written(tmp_path / "x.parquet", pa.table({"a": [1.0] * 100}))
    path.write_bytes(path.read_bytes()[:-10])
    message = problem(path)
    assert message.startswith(": cannot be read (")
    assert message.endswith("is complete and that it really is a Parquet file")


def test_parquet_with_a_damaged_page(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    parquet.write_table(
        pa.table({"a": np.random.default_rng(0).random(1000)}), path, write_page_checksum=True
    )
    content = bytearray(path.read_bytes())
    content[1000] ^= 255
    path.write_bytes(content)
    assert "cannot be read (" in problem(path)


def test_parquet_column_name_on_one_line(tmp_path: Path) -> None:
    path = written(tmp_path / "x.parquet", pa.table({"two\nlines\x1b[0m" + "x" * 999: [2]}))
    assert problem(path).startswith(r", column 'two\nlines\x1b[0mxxx")


# CSV


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
        ("a\n1,0\n", ", row 1 below the header: has 2 values where the header has 1"),
    ],
)
def test_csv_of_ragged_rows(tmp_path: Path, text: str, expected: str) -> None:
    assert problem(written_csv(tmp_path, text)) == f"{expected}; give every row as many"


@pytest.mark.parametrize(
    ("text", "place", "cell"),
    [
        ("a,größe\n1,0\n1,big\n", ", column 'größe', row 2 below the header", "'big'"),
        ("1,0\n1,0\n\n1, big\n", ", column 2, row 3", "' big'"),
        ("a\n0\n1_0\n", ", column 'a', row 2 below the header", "'1_0'"),
        ("a\n0\n0x1\n", ", column 'a', row 2 below the header", "'0x1'"),
    ],
)
def test_csv_cell_that_is_not_a_number(tmp_path: Path, text: str, place: str, cell: str) -> None:
    assert problem(written_csv(tmp_path, text)) == (
        f"{place}: {cell} is not a number; drop the column or encode it as numbers"
    )


@pytest.mark.parametrize("text", ["a;b\n1;0\n", "a\tb\n1\t0\n", "a;b\n0,5;1\n"])
def test_csv_of_other_separators(tmp_path: Path, text: str) -> None:
    message = problem(written_csv(tmp_path, text))
    assert "separate columns with commas" in message or "give every row as many" in message


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


def test_csv_with_an_index_that_pandas_wrote(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    frame_with(1.0).to_csv(path)
    assert problem(path) == (
        ", column 1: has no name in the header; name it or drop it "
        "(pandas writes no index with to_csv(..., index=False))"
    )


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
    assert message.endswith("really is a CSV file in UTF-8")


def test_csv_with_an_endless_cell(tmp_path: Path) -> None:
    message = problem(written_csv(tmp_path, '"' + "x" * 200_000))
    assert "cannot be read (field larger than field limit" in message


# .npy


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.float32(1.0), "0 dimensions, shape ()"),
        (np.ones(5), "1 dimensions, shape (5,)"),
        (np.ones((2, 3, 4)), "3 dimensions, shape (2, 3, 4)"),
    ],
)
def test_npy_that_is_no_matrix(tmp_path: Path, array: Any, expected: str) -> None:
    np.save(tmp_path / "x.npy", array)
    assert problem(tmp_path / "x.npy") == (
        f": holds an array of {expected}, where a matrix of rows and columns is needed; "
        "reshape it to 2 dimensions"
    )


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.array([[None, 1]], dtype=object), "Python objects"),
        (np.ones((2, 2), dtype=complex), "complex numbers"),
        (np.array([["x", "y"]]), "text"),
        (np.array([[b"x", b"y"]]), "text"),
        (np.zeros((2, 2), dtype="M8[s]"), "dates"),
        (np.zeros((2, 2), dtype="m8[s]"), "durations"),
        (np.zeros((2, 2), dtype=[("a", "f4"), ("b", "f4")]), "records with fields"),
        (np.zeros((2, 2), dtype=np.longdouble), "numbers of unusual precision"),
        (np.zeros((2, 2), dtype="V4"), "values of an unknown type"),
    ],
)
@pytest.mark.parametrize("extension", ["npy", "npz"])
def test_array_of_other_things(tmp_path: Path, array: Any, what: str, extension: str) -> None:
    path = tmp_path / f"x.{extension}"
    if extension == "npy":
        np.save(path, array, allow_pickle=True)
    else:
        np.savez(path, array)
    message = problem(path)
    assert f": holds {what}; save a 2-D array of real numbers, such as float32" in message


@pytest.mark.parametrize(("shape", "what"), [((0, 3), "no rows"), ((3, 0), "no columns")])
@pytest.mark.parametrize("extension", ["npy", "npz"])
def test_array_without_values(
    tmp_path: Path, shape: tuple[int, int], what: str, extension: str
) -> None:
    path = tmp_path / f"x.{extension}"
    (np.save if extension == "npy" else np.savez)(path, np.ones(shape))
    assert f": holds {what}; " in problem(path)


@pytest.mark.parametrize("cut", [-1, -100, 129])
def test_npy_truncated(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(npy(np.ones((10, 10)))[:cut])
    message = problem(path)
    assert "its header claims 800 bytes for the shape (10, 10), but" in message
    assert message.endswith("the file is truncated or damaged: write it again")


def test_npy_with_more_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(npy(np.ones((2, 2))) * 2)
    assert "claims 32 bytes for the shape (2, 2), but 192 follow" in problem(path)


@pytest.mark.parametrize("rows", [10**12, 2**63, 10**30])
def test_npy_that_claims_an_absurd_size(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "x.npy"
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({rows}, 1000), }}\n"
    path.write_bytes(npy_header(header) + bytes(80))
    message = problem(path)
    assert f"claims {rows * 8000} bytes" in message
    assert "but 80 follow" in message


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{}",
        "{'descr': '<f8', 'fortran_order': False, }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2), }",
        "{'descr': '<f8', 'fortran_order': __import__('os'), 'shape': (1, 2), }",
    ],
)
def test_npy_with_a_damaged_header(tmp_path: Path, header: str) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(npy_header(header))
    assert problem(path) == ": its header is damaged; write the file again with numpy.save"


def test_npy_that_is_something_else(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x80\x04\x95pickled")
    assert problem(path) == ": is not in the .npy format; write it with numpy.save"


# .npz


@pytest.mark.parametrize(
    ("arrays", "listed"),
    [
        ({}, "no arrays"),
        ({"a": [[1]], "b": [[1]]}, "'a', 'b'"),
        ({"train": [[1]], "test": [[1]]}, "'train', 'test'"),
        (
            {str(j): [[1]] for j in range(12)},
            "'0', '1', '2', '3', '4', '5', '6', '7', '8', '9' and",
        ),
    ],
)
@pytest.mark.parametrize("split", [None, (0.2, 0.2)])
def test_npz_of_other_arrays_lists_them(
    tmp_path: Path, arrays: dict[str, Any], listed: str, split: Fractions
) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, **arrays)
    message = problem(path, split=split)
    assert message.startswith(f": holds {listed}")
    assert message.endswith("is three, named train, test and validation")


@pytest.mark.parametrize("extra", ["readme.txt", "a.npy"])
def test_npz_with_other_members(tmp_path: Path, extra: str) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=[[1]])
    with zipfile.ZipFile(path, "a") as archive:
        if extra == "a.npy":
            with pytest.warns(UserWarning, match="Duplicate name"):
                archive.writestr(extra, "x")
        else:
            archive.writestr(extra, "x")
    assert f": holds '{extra}', which is no array or stands there twice" in problem(path)


def test_npz_splits_of_different_widths(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, train=[[1, 1]], test=[[1]], validation=[[1, 1]])
    assert problem(path, split=(0.2, 0.2)) == (
        ", array 'test': has 1 columns where array 'train' has 2; give all splits the same columns"
    )


def test_npz_splits_with_a_bad_value(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, train=[[1, 1]], test=[[1, 1], [1, 3]], validation=[[1, 1]])
    assert problem(path, split=(0.2, 0.2)).startswith(
        ", array 'test', column 2, row 2: the value 3 is outside [0, 1]; scale"
    )


def test_npz_truncated(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, np.ones((10, 10)))
    path.write_bytes(path.read_bytes()[:-30])
    assert problem(path).startswith(": cannot be read (File is not a zip file); check")


def test_npz_with_a_damaged_member(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, m=np.ones((10, 10)))
    content = bytearray(path.read_bytes())
    content[500] ^= 255
    path.write_bytes(content)
    assert problem(path).startswith(", array 'm': cannot be read (Bad CRC-32 for file 'm.npy')")


def test_npz_member_that_claims_an_absurd_size(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 1000), }\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m.npy", npy_header(header) + bytes(80))
    assert re.match(
        r", array 'm': its header claims 8000000000000000 bytes .*, but 80 follow", problem(path)
    )


def test_npz_compressed_in_another_way(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("m.npy", npy([[1]]))
    assert "is compressed in an unusual way; write it with numpy.savez" in problem(path)


def test_npz_that_is_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, m=[[1]])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert problem(path) == ", array 'm': is encrypted; write it again without a password"


def test_a_missing_value_is_told_before_too_few_rows(tmp_path: Path) -> None:
    path = tmp_path / "short.csv"
    path.write_text("a,b\n0.1,0.2\n0.3,\n")
    with pytest.raises(UserError, match=r"column 'b', row 2 .*missing value"):
        load_file(path, seed=1, test_fraction=0.2, validation_fraction=0.1, scale="none")
