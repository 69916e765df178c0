"""Damaged and random files: a matrix or a user's error, never anything else."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from aes_lipi.data import read_matrix
from aes_lipi.errors import UserError

VALUES = np.random.default_rng(0).random((7, 3)).astype(np.float32)


def parquet_file(compression: str, version: str) -> bytes:
    columns = {"a": [True, False, None], "b": [1, 0, 1], "c": [0.5, 0.25, 1.0]}
    stream = io.BytesIO()
    parquet.write_table(
        pa.table(columns), stream, compression=compression, data_page_version=version
    )
    return stream.getvalue()


def npy_file(values: np.ndarray[tuple[int, ...]]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def npz_file(*, compressed: bool) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, VALUES)
    return stream.getvalue()


FILES = {
    "snappy.parquet": parquet_file("snappy", "1.0"),
    "zstd.parquet": parquet_file("zstd", "2.0"),
    "plain.parquet": parquet_file("none", "1.0"),
    "header.csv": b"a,b\n0.5,true\n1,false\n",
    "bare.csv": b"0.5,1\n,0.25\n",
    "c.npy": npy_file(VALUES),
    "fortran.npy": npy_file(np.asfortranarray(VALUES.astype(">f8"))),
    "stored.npz": npz_file(compressed=False),
    "deflated.npz": npz_file(compressed=True),
}


def check(content: bytes, extension: str) -> None:
    """Read it: what comes out is a matrix in [0, 1], or an error of one line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{extension}"
        path.write_bytes(content)
        for scale in ("none", "minmax"):
            try:
                values = read_matrix(path, scale)
            except UserError as error:
                check_message(str(error), path)
            else:
                assert values.dtype == np.float32
                assert values.size > 0
                assert ((values >= 0) & (values <= 1)).all()


def check_message(message: str, path: Path) -> None:
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert message.startswith(repr(str(path)))


@pytest.mark.parametrize("extension", [".parquet", ".csv", ".npy", ".npz"])
@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=200))
def test_random_bytes(extension: str, content: bytes) -> None:
    check(content, extension)


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet='01.,;e-+\n\r"\tnaNtrue \ufeff\0', max_size=40))
def test_random_tables(text: str) -> None:
    check(text.encode(), ".csv")


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_truncated(name: str, share: float) -> None:
    content = FILES[name]
    check(content[: int(share * len(content))], Path(name).suffix)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_damaged(name: str, data: st.DataObject) -> None:
    content = bytearray(FILES[name])
    place = st.integers(0, len(content) - 1)
    for k in data.draw(st.lists(place, min_size=1, max_size=5)):
        content[k] = data.draw(st.integers(0, 255))
    check(bytes(content), Path(name).suffix)
