"""Small files that claim, or unpack to, huge ones are refused before they fill the memory."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from aes_lipi.config import load_study_file, resolve_study
from aes_lipi.models import read_model
from fuzz.hostile import (
    refusal,
)


@pytest.mark.parametrize("length", [0, 2**27, 2**40, 2**63, 2**64 - 1])
def test_model_whose_header_claims_a_size(tmp_path: Path, length: int) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{}" * 50)
    assert "not a model saved by aes_lipi" in refusal(lambda: read_model(path))


def test_model_whose_tensor_claims_a_size(tmp_path: Path) -> None:
    tensor = {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 2**64]}
    head = json.dumps({"encoder.latent.weight": tensor}).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head)
    assert "not a model saved by aes_lipi" in refusal(lambda: read_model(path))


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
    refused = refusal(lambda: resolve_study("s", load_study_file(path), {}))
    assert refused.startswith((str(path), "epochs: "))
