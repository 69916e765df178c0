"""Parquet, .npy and .npz files: what is read, and how what is wrong is told"""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from own_tables import load_file, problem, read_matrix
from pyarrow import parquet

from aes_lipi.data import binary_clustering
from aes_lipi.data.binary_clustering import (
    PAPER_DATASETS,
    BinaryClustering,
    create_paper_datasets,
    generate,
)
from aes_lipi.data.columnar import save
from aes_lipi.data.dataset import Dataset
from aes_lipi.errors import UserError

VALUES = np.random.default_rng(0).random((10, 3)).astype(np.float32)


def frame(values: npt.NDArray[Any]) -> pd.DataFrame:
    return pd.DataFrame(values, columns=[f"gène {j}" for j in range(values.shape[1])])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [">f8", "<f4", ">i2"])
def test_npy_of_any_layout(tmp_path: Path, order: Any, dtype: str) -> None:
    path = tmp_path / "VALUES.NPY"
    values = np.asarray(VALUES.round().astype(dtype), order=order)
    with path.open("wb") as stream:
        np.save(stream, values)
    np.testing.assert_array_equal(read_matrix(path), values.astype(np.float32))


def test_parquet_of_mixed_columns(tmp_path: Path) -> None:
    path = tmp_path / "mixed.parquet"
    table = pa.table({"a": [True, False], "a.b": [1, 0], "c": pa.array([0.25, 1], pa.float16())})
    parquet.write_table(table, path)
    np.testing.assert_array_equal(read_matrix(path), [[1, 1, 0.25], [0, 0, 1]])


def test_index_that_pandas_stores_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "filtered.parquet"
    frame(VALUES).iloc[[5, 7]].to_parquet(path)
    np.testing.assert_array_equal(read_matrix(path), VALUES[[5, 7]])


# Parquet


def written(path: Path, table: pa.Table) -> Path:
    parquet.write_table(table, path)
    return path


TEXT = {"string", "dictionary"}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["x", "y"], "string"),
        ([{"p": 1}, {"p": 2}], "struct<p: int64>"),
        ([["x"], ["y"]], "list<element: string>"),
        ([b"x", b"y"], "binary"),
        (pd.to_datetime(["2024-01-01", "2024-01-02"]), "timestamp[us]"),
        (pd.Categorical(["x", "y"]), "dictionary<values=string, indices=int8, ordered=0>"),
    ],
)
def test_parquet_column_that_is_not_numeric(tmp_path: Path, values: Any, kind: str) -> None:
    table = pa.table({"a": [0, 1], "größe": pa.array(values)})
    message = problem(written(tmp_path / "x.parquet", table))
    assert message.startswith(", column 'größe': holds ")
    assert message.endswith("leave columns out with --drop_columns größe")
    assert ("encode text with --one_hot" in message) == (kind.partition("<")[0] in TEXT)
    assert ", not numbers; in all " in message
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


# .npy


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npy_of_shape(rows: int) -> bytes:
    """A header that claims so many rows of a thousand columns, and ten numbers."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({rows}, 1000), }}\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(80)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.float32(1.0), "0 dimensions, shape ()"),
        (np.ones(5), "1 dimensions, shape (5,)"),
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
        (np.ones((2, 2), dtype=complex), "complex128"),
        (np.array([["x", "y"]]), "<U1"),
        (np.array([[b"x", b"y"]]), "|S1"),
        (np.zeros((2, 2), dtype="M8[s]"), "datetime64[s]"),
        (np.zeros((2, 2), dtype=[("a", "f4"), ("b", "f4")]), "[('a', '<f4'), ('b', '<f4')]"),
    ],
)
@pytest.mark.parametrize("extension", ["npy", "npz"])
def test_array_of_other_things(tmp_path: Path, array: Any, what: str, extension: str) -> None:
    path = tmp_path / f"x.{extension}"
    (np.save if extension == "npy" else np.savez)(path, array)
    expected = f": holds values of type {what}; save a 2-D array of real numbers, such as float32"
    assert problem(path).endswith(expected)


@pytest.mark.parametrize(("shape", "what"), [((0, 3), "no rows"), ((3, 0), "no columns")])
@pytest.mark.parametrize("extension", ["npy", "npz"])
def test_array_without_values(
    tmp_path: Path, shape: tuple[int, int], what: str, extension: str
) -> None:
    path = tmp_path / f"x.{extension}"
    (np.save if extension == "npy" else np.savez)(path, np.ones(shape))
    assert f": holds {what}; " in problem(path)


@pytest.mark.parametrize(
    "content",
    [
        *(npy(np.ones((10, 10)))[:cut] for cut in (-1, -100, 129, 100, 9, 3)),
        *(npy_of_shape(rows) for rows in (10**12, 2**63, 10**30)),
        npy([[1]]).replace(b"False", b"exit('')"),
        npy([[1]]).replace(b"<i8", b"|O8"),
        b"\x80\x04\x95pickled",
    ],
)
def test_npy_that_numpy_refuses(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    message = problem(path)
    assert message.startswith(": cannot be read (")
    assert message.endswith("that it really is a .npy file of numbers, as numpy.save writes it")


def test_npy_with_more_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(npy(np.ones((2, 2))) * 2)
    assert problem(path) == ": holds 160 bytes behind its array; write one array with numpy.save"


# .npz


@pytest.mark.parametrize(
    ("arrays", "listed"),
    [
        ({}, "no arrays"),
        ({"a": [[1]], "b": [[1]]}, "'a', 'b'"),
        ({"train": [[1]], "test": [[1]]}, "'train', 'test'"),
        (
            {str(j): [[1]] for j in range(12)},
            "'0', '1', '2', '3', '4', '5', '6', '7', '8', '9' and 2 more",
        ),
    ],
)
def test_npz_of_other_arrays_lists_them(
    tmp_path: Path, arrays: dict[str, Any], listed: str
) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, **arrays)
    assert problem(path) == (
        f": holds {listed}; a matrix is one array alone, and a split data set is three, named "
        "train, test and validation"
    )


def test_npz_with_another_member(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=[[1]])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("readme.txt", "x")
    assert problem(path).startswith(": holds 'a', 'readme.txt'; a matrix is one array alone")


def test_npz_splits_of_different_widths(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, train=[[1, 1]], test=[[1]], validation=[[1, 1]])
    assert problem(path, test_fraction=0.2) == (
        ", array 'test': has 1 columns where array 'train' has 2; give all splits the same columns"
    )


def test_npz_splits_with_a_bad_value(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, train=[[1, 1]], test=[[1, 1], [1, 3]], validation=[[1, 1]])
    assert problem(path, test_fraction=0.2).startswith(
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


@pytest.mark.parametrize("member", [npy_of_shape(10**12), npy_of_shape(10**30), npy([[1]])[:50]])
def test_npz_member_that_numpy_refuses(tmp_path: Path, member: bytes) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m.npy", member)
    message = problem(path)
    assert message.startswith(", array 'm': cannot be read (")
    assert message.endswith("that it really is a .npz file of numbers, as numpy.savez writes it")


def test_npz_that_is_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, m=[[1]])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert ", array 'm': cannot be read (File 'm.npy' is encrypted, password" in problem(path)


# Writing

SMALL = generate(BinaryClustering(2, 4, 6), 1, 0.05, "shared")


def assert_same(first: Dataset, second: Dataset) -> None:
    for split in ("train", "test", "validation"):
        ours, theirs = getattr(first, split), getattr(second, split)
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        assert ours.tobytes() == theirs.tobytes()
        assert theirs.flags.c_contiguous


def stored_types(path: Path) -> set[str]:
    with np.load(path, allow_pickle=False) as arrays:
        return {str(arrays[name].dtype) for name in arrays}


def test_saved_data_comes_back(tmp_path: Path) -> None:
    path = tmp_path / f"{SMALL.name}.npz"
    save(SMALL, path)
    assert load_file(path).name == SMALL.name
    assert_same(SMALL, load_file(path))
    assert stored_types(path) == {"uint8"}
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    with zipfile.ZipFile(path) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_DEFLATED}


@given(
    splits=st.tuples(*[hnp.arrays(np.float32, (3, 2), elements=st.floats(-0.0, 1, width=32))] * 3)
)
def test_any_data_comes_back(splits: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / "any.npz"
    data = Dataset("any", *splits)
    save(data, path)
    assert_same(data, load_file(path))


def test_negative_zero_comes_back(tmp_path: Path) -> None:
    rows = np.array([[-0.0, 1.0]], dtype=np.float32)
    data = Dataset("x", rows, rows, rows)
    save(data, tmp_path / "x.npz")
    assert_same(data, load_file(tmp_path / "x.npz"))


def test_paper_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary_clustering, "PAPER_DATASETS", ("2_4_6", PAPER_DATASETS[0]))
    folder = tmp_path / "new" / "folder"
    paths = create_paper_datasets(folder, 1, 0.05, "shared")
    assert [path.name for path in paths] == [
        "binary_clustering_2_4_6.npz",
        "binary_clustering_10_100_1000.npz",
    ]
    assert sorted(folder.iterdir()) == sorted(paths)
    assert_same(SMALL, load_file(paths[0]))
    paper = generate(BinaryClustering(10, 100, 1000), 1, 0.05, "shared")
    assert load_file(paths[1]).name == paper.name
    assert_same(paper, load_file(paths[1]))


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "x.npz"
    save(SMALL, path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", fill_the_disk)
    with pytest.raises(UserError, match=r"x.npz: cannot be written \(No space .*make room"):
        save(SMALL, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_other_extension_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x.csv': .*end the name with .npz"):
        save(SMALL, tmp_path / "x.csv")


def test_missing_folder_is_made(tmp_path: Path) -> None:
    save(SMALL, tmp_path / "new" / "x.npz")
    assert_same(SMALL, load_file(tmp_path / "new" / "x.npz"))


def test_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(UserError, match=r"cannot be written \((File exists|Not a directory)\)"):
        create_paper_datasets(path, 1, 0.05, "shared")


def test_parquet_that_holds_fewer_rows_than_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "x.parquet", pa.table({"a": [[0.5], [1.0]]}))
    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", lambda *_, **__: iter(()))
    assert "cannot be read (it holds fewer rows than it says)" in problem(path)
