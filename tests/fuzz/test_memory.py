"""Small files that claim, or unpack to, huge ones are refused before they fill the memory."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from aes_lipi.config import load_study_file
from aes_lipi.data import read_matrix
from aes_lipi.data.parquet_claims import parquet_claims
from aes_lipi.models import load_model
from fuzz.hostile import (
    parquet_bytes,
    parquet_with_a_huge_page,
    parquet_with_longer_lists,
    refusal,
)
from fuzz.targets import npy


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return refusal(lambda: read_matrix(path, "minmax"))


# Parquet


def test_parquet_of_endless_rows(tmp_path: Path) -> None:
    content = parquet_bytes({"a": np.zeros(12_000_000, np.float32)})
    message = refused(tmp_path / "x.parquet", content)
    assert f"its {len(content)} bytes claim 12000000 rows of 1 columns" in message
    assert message.endswith("write the matrix with numpy.save")


def test_parquet_whose_footer_claims_endless_lists(tmp_path: Path) -> None:
    files = parquet_with_longer_lists()
    assert len(files) > 3
    for content in files:
        assert "cannot be read" in refused(tmp_path / "x.parquet", content)


def test_parquet_with_a_page_larger_than_its_footer_says(tmp_path: Path) -> None:
    content = parquet_with_a_huge_page()
    assert parquet_claims(io.BytesIO(content)).largest_page > 30_000_000
    message = refused(tmp_path / "x.parquet", content)
    assert "a page claims more than a file of this size can hold" in message


def test_parquet_claims_of_a_file_that_is_whole() -> None:
    content = parquet_bytes({"a": [0.5, 1.0, 0.0], "b": ["x", "y", "zz"]}, row_group_size=2)
    claims = parquet_claims(io.BytesIO(content))
    assert claims.n_rows == 3
    assert claims.size >= 3 * 8 + 4
    assert 0 < claims.largest_page < 100


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\xff" * 40, b"\x19\xfc" + b"\x00" * 30])
def test_parquet_claims_of_something_else(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"damaged|cut off|kind|long"):
        parquet_claims(io.BytesIO(content + len(content).to_bytes(4, "little") + b"PAR1"))


def test_sparse_table_is_read(tmp_path: Path) -> None:
    rows = np.zeros((20_000, 50), np.float32)
    rows[::1000] = 1.0
    path = tmp_path / "x.parquet"
    path.write_bytes(parquet_bytes({str(j): rows[:, j] for j in range(50)}, compression="zstd"))
    np.testing.assert_array_equal(read_matrix(path, "none"), rows)


# .npz and .npy


def test_npz_of_endless_rows(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", m=np.zeros((12_000_000, 1), np.uint8))
    content = (tmp_path / "x.npz").read_bytes()
    assert len(content) < 20_000
    message = refused(tmp_path / "x.npz", content)
    assert "claim 12000000 rows of 1 columns" in message


def test_npz_in_an_npz(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m.npy", bytes(30_000_000))
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m.npy", inner.getvalue())
    assert "is not in the .npy format" in refused(path, path.read_bytes())


@pytest.mark.parametrize("size", [2**16, 2**31, 2**32 - 1])
def test_npy_of_an_endless_header(tmp_path: Path, size: int) -> None:
    content = b"\x93NUMPY\x02\x00" + struct.pack("<I", size) + npy(np.zeros((2, 2)))[10:]
    assert "damaged" in refused(tmp_path / "x.npy", content)


# CSV


@pytest.mark.parametrize("cell", [b"0,", b"5", b'"\n",'])
def test_csv_of_one_endless_row(tmp_path: Path, cell: bytes) -> None:
    message = refused(tmp_path / "x.csv", cell * (50_000_000 // len(cell)))
    assert "has a row of more than 16 million characters; end every row" in message


def test_csv_of_too_many_columns(tmp_path: Path) -> None:
    message = refused(tmp_path / "x.csv", b"0," * 1_100_000 + b"0\n")
    assert "has 1100001 columns, more than 1048576; leave some out" in message


def test_wide_csv_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    values = np.arange(2 * 9000).reshape(2, 9000) % 2
    path.write_text("\n".join(",".join(map(str, row)) for row in values) + "\n")
    np.testing.assert_array_equal(read_matrix(path, "none"), values)
    path.write_text(path.read_text() + ",".join(["0"] * 8500 + ["x"] * 500) + "\n")
    message = refusal(lambda: read_matrix(path, "none"))
    assert "column 8501, row 3: 'x' is not a number" in message


# Models and studies


@pytest.mark.parametrize("length", [0, 2**27, 2**40, 2**63, 2**64 - 1])
def test_model_whose_header_claims_a_size(tmp_path: Path, length: int) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{}" * 50)
    assert "not a model saved by aes_lipi" in refusal(lambda: load_model(path))


def test_model_whose_tensor_claims_a_size(tmp_path: Path) -> None:
    tensor = {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 2**64]}
    head = json.dumps({"encoder.latent.weight": tensor}).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head)
    assert "not a model saved by aes_lipi" in refusal(lambda: load_model(path))


@pytest.mark.parametrize(
    "content",
    [
        b"a: &a [x, x]\nb: &b [*a, *a]\nsettings: {epochs: [*b, *b]}\n",
        b"settings: {epochs: " + b"[" * 500 + b"]" * 500 + b"}\n",
        b"settings: " + b"{a: " * 1000 + b"}" * 1000 + b"\n",
        b"settings: {epochs: " + b"9" * 5000 + b"}\n",
        "description: größe\n".encode("latin-1"),
        "description: größe\n".encode("utf-16"),
        b"settings: !!python/object/apply:os.system [exit]\n",
        b"%YAML 9.9\n---\n!!binary ====\n",
    ],
    ids=["aliases", "lists", "maps", "digits", "latin-1", "utf-16", "python", "binary"],
)
def test_hostile_study_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    assert refusal(lambda: load_study_file(path)).startswith(str(path))
