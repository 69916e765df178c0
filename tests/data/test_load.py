"""A user's own file as a data set: paths, formats, the split"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from own_tables import load_file, problem, read_matrix
from pyarrow import parquet

from aes_lipi.arrays import Float32
from aes_lipi.data import fitting
from aes_lipi.data.dataset import Dataset
from aes_lipi.data.files import file_digest
from aes_lipi.errors import UserError

VALUES = np.random.default_rng(0).random((10, 3)).astype(np.float32)


def load(path: Path, seed: int = 1, scale: str = "none") -> Dataset:
    return load_file(path, dataset_seed=seed, scale=scale)


def all_rows(data: Dataset) -> Float32:
    return np.concatenate([data.train, data.test, data.validation])


def frame(values: npt.NDArray[Any]) -> pd.DataFrame:
    return pd.DataFrame(values, columns=[f"gène {j}" for j in range(values.shape[1])])


def write_parquet(path: Path, values: npt.NDArray[Any]) -> None:
    parquet.write_table(pa.Table.from_pandas(frame(values)), path, row_group_size=4)


def write_csv(path: Path, values: npt.NDArray[Any]) -> None:
    frame(values).to_csv(path, index=False)


def write_bare_csv(path: Path, values: npt.NDArray[Any]) -> None:
    frame(values).to_csv(path, index=False, header=False)


def write_npz(path: Path, values: npt.NDArray[Any]) -> None:
    np.savez(path, values=values)


def write_compressed_npz(path: Path, values: npt.NDArray[Any]) -> None:
    np.savez_compressed(path, values)


Writer = Callable[[Path, npt.NDArray[Any]], None]
WRITERS: list[tuple[str, Writer]] = [
    ("parquet", write_parquet),
    ("csv", write_csv),
    ("csv", write_bare_csv),
    ("npy", np.save),
    ("npz", write_npz),
    ("npz", write_compressed_npz),
]
every_format = pytest.mark.parametrize(("extension", "write"), WRITERS)


@every_format
@pytest.mark.parametrize("stem", ["values", "größe 数据\nv1.2"])
def test_round_trip(tmp_path: Path, extension: str, write: Writer, stem: str) -> None:
    path = tmp_path / f"{stem}.{extension}"
    write(path, VALUES)
    values = read_matrix(path)
    np.testing.assert_array_equal(values, VALUES)
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    assert load(path).name == stem


@every_format
@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "uint16", "float16", "float64"])
def test_number_types(tmp_path: Path, extension: str, write: Writer, dtype: str) -> None:
    path = tmp_path / f"values.{extension}"
    bits = VALUES > 0.5
    write(path, bits.astype(dtype))
    np.testing.assert_array_equal(read_matrix(path), bits.astype(np.float32))


@every_format
def test_split_is_a_permutation_by_seed(tmp_path: Path, extension: str, write: Writer) -> None:
    path = tmp_path / f"values.{extension}"
    write(path, VALUES)
    data, again, other = load(path), load(path), load(path, seed=2)
    assert [len(data.train), len(data.test), len(data.validation)] == [7, 2, 1]
    for split in ("train", "test", "validation"):
        assert getattr(data, split).flags.c_contiguous
        assert getattr(data, split).dtype == np.float32
        np.testing.assert_array_equal(getattr(data, split), getattr(again, split))
    assert {tuple(row) for row in all_rows(data)} == {tuple(row) for row in VALUES}
    assert (all_rows(data) != all_rows(other)).any()


def test_split_is_the_same_in_every_format(tmp_path: Path) -> None:
    rows = []
    for j, (extension, write) in enumerate(WRITERS):
        write(tmp_path / f"{j}.{extension}", VALUES)
        rows.append(all_rows(load(tmp_path / f"{j}.{extension}")))
    for others in rows[1:]:
        np.testing.assert_array_equal(rows[0], others)


def test_scaling_is_learned_on_training_rows(tmp_path: Path) -> None:
    path = tmp_path / "values.npy"
    identity = np.arange(10.0)
    np.save(path, identity[:, None] / 16)
    train = (load(path).train[:, 0] * 16).astype(int)
    column = np.full(10, 1e6)
    column[train] = np.linspace(-3, 4, len(train))
    np.save(path, np.stack([column, identity, np.full(10, 7.0)], axis=1))
    data = load(path, scale="minmax")
    np.testing.assert_allclose(data.train[:, 0], np.linspace(0, 1, len(train)), atol=1e-7)
    assert (data.test[:, 0] == 1).all()
    low, high = train.min(), train.max()
    held_out = np.setdiff1d(identity, train)
    expected = np.clip((held_out - low) / (high - low), 0, 1)
    scaled = np.concatenate([data.test, data.validation])[:, 1]
    np.testing.assert_allclose(np.sort(scaled), expected, atol=1e-7)
    assert (all_rows(data)[:, 2] == 0).all()


def test_scaling_keeps_differences_that_float32_would_lose(tmp_path: Path) -> None:
    path = tmp_path / "times.npy"
    np.save(path, 1_700_000_000 + np.arange(3)[:, None])
    np.testing.assert_array_equal(read_matrix(path, "minmax"), [[0], [0.5], [1]])


def test_columns_that_become_constant_are_zero(tmp_path: Path) -> None:
    path = tmp_path / "constant.csv"
    path.write_text("5,1\n5,2\n")
    np.testing.assert_array_equal(read_matrix(path, "minmax"), [[0, 0], [0, 1]])


def test_split_archive_is_scaled_by_its_training_rows(tmp_path: Path) -> None:
    path = tmp_path / "split.npz"
    np.savez(path, train=[[0.0], [2.0]], test=[[1.0], [3.0]], validation=[[-1.0]])
    data = load(path, scale="minmax")
    np.testing.assert_array_equal(data.train, [[0], [1]])
    np.testing.assert_array_equal(data.test, [[0.5], [1]])
    np.testing.assert_array_equal(data.validation, [[0]])


def test_digest(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 1_000_000)
    assert file_digest(path) == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


@every_format
def test_errors_of_the_caller_are_not_the_file_s(
    tmp_path: Path, extension: str, write: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("a fault of ours")

    path = tmp_path / f"x.{extension}"
    write(path, VALUES)
    monkeypatch.setattr(fitting, "_first", fail)
    with pytest.raises(ValueError, match="a fault of ours"):
        read_matrix(path)


def test_import_is_cheap() -> None:
    script = "import sys, aes_lipi.data; print({'pyarrow', 'pandas'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


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


@pytest.mark.parametrize("name", ["data.xlsx", "data", "data.xlsx.gz"])
def test_unknown_extension_lists_the_known(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    message = problem(tmp_path / name)
    assert "unknown extension" in message
    assert "; convert it to one of .parquet, .pq, .npy, .npz, .csv, .tsv, .tab, .txt" in message


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
    for place in ("pathlib.Path.open", "builtins.open", "pyarrow.parquet.ParquetFile"):
        monkeypatch.setattr(place, refuse)
    message = problem(path)
    assert "cannot be read (Permission denied); check that you may read it" in message


def test_digest_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file; check"):
        file_digest(tmp_path / "no.csv")
