"""Reading matrices: every format, the split and the scaling."""

from __future__ import annotations

import hashlib
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
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyarrow import parquet

from aes_lipi.arrays import Float32
from aes_lipi.data import Dataset, Scale, file_digest, files, load_file, read_matrix, scaling
from aes_lipi.data.scaling import learn_scaling, unit_interval
from aes_lipi.data.source import Source

VALUES = np.random.default_rng(0).random((10, 3)).astype(np.float32)


def load(path: Path, seed: int = 1, scale: Scale = "none") -> Dataset:
    return load_file(path, seed=seed, test_fraction=0.2, validation_fraction=0.1, scale=scale)


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
    values = read_matrix(path, "none")
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
    np.testing.assert_array_equal(read_matrix(path, "none"), bits.astype(np.float32))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [">f8", "<f4", ">i2"])
def test_npy_of_any_layout(tmp_path: Path, order: Any, dtype: str) -> None:
    path = tmp_path / "VALUES.NPY"
    values = np.asarray(VALUES.round().astype(dtype), order=order)
    with path.open("wb") as stream:
        np.save(stream, values)
    np.testing.assert_array_equal(read_matrix(path, "none"), values.astype(np.float32))


def test_parquet_of_mixed_columns(tmp_path: Path) -> None:
    path = tmp_path / "mixed.parquet"
    table = pa.table({"a": [True, False], "a.b": [1, 0], "c": pa.array([0.25, 1], pa.float16())})
    parquet.write_table(table, path)
    np.testing.assert_array_equal(read_matrix(path, "none"), [[1, 1, 0.25], [0, 0, 1]])


def test_index_that_pandas_stores_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "filtered.parquet"
    frame(VALUES).iloc[[5, 7]].to_parquet(path)
    np.testing.assert_array_equal(read_matrix(path, "none"), VALUES[[5, 7]])


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
        '"a","a"\n+0.5,1\n-0.0,.25',
    ],
)
def test_csv_dialects(tmp_path: Path, text: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8", newline="")
    np.testing.assert_array_equal(read_matrix(path, "none"), [[0.5, 1], [0, 0.25]])


def test_csv_with_true_and_false(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\nTrue,0\nfalse,1\n1,0.5\n")
    np.testing.assert_array_equal(read_matrix(path, "none"), [[1, 0], [0, 1], [1, 0.5]])


def test_csv_header_of_column_numbers(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    pd.DataFrame(VALUES).to_csv(path, index=False)
    np.testing.assert_array_equal(read_matrix(path, "none"), VALUES)


def test_csv_columns_that_turn_fractional_late(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("a\n" + "1\n" * 600_000 + "0.5\n")
    values = read_matrix(path, "none")
    assert values.shape == (600_001, 1)
    assert values[-1, 0] == 0.5


def test_csv_of_very_wide_rows(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    row = ",".join(["0." + "1" * 70] * 20_000)
    path.write_text(f"{row}\n{row}\n")
    assert read_matrix(path, "none").shape == (2, 20_000)


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


@given(
    values=hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(allow_nan=False, allow_infinity=False),
    ),
    block_values=st.integers(1, 20),
)
def test_any_finite_matrix_scales_into_the_unit_interval(
    values: npt.NDArray[np.float64], block_values: int
) -> None:
    source = Source("'x'", *values.shape, lambda start, stop: values[:, start:stop])  # type: ignore[call-arg]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scaling, "_BLOCK_VALUES", block_values)
        scaled = unit_interval(source, learn_scaling(source))
    assert ((scaled >= 0) & (scaled <= 1)).all()
    varying = np.ptp(values / 2, axis=0) > 0
    assert (scaled.max(axis=0)[varying] == 1).all()
    assert (scaled.min(axis=0) == 0).all()
    assert (scaled[:, ~varying] == 0).all()


def test_digest(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 1_000_000)
    assert file_digest(path) == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
    assert file_digest(str(path)) == file_digest(path)


@every_format
def test_errors_of_the_caller_are_not_the_file_s(
    tmp_path: Path, extension: str, write: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("a fault of ours")

    path = tmp_path / f"x.{extension}"
    write(path, VALUES)
    monkeypatch.setattr(files, "unit_interval", fail)
    with pytest.raises(ValueError, match="a fault of ours"):
        read_matrix(path, "none")


def test_import_is_cheap() -> None:
    script = "import sys, aes_lipi.data; print({'pyarrow', 'pandas'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
