"""A pickle under another name is refused, and never run."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from own_tables import load_file

from aes_lipi.models import read_model
from fuzz.hostile import Payload, refusal


@pytest.mark.parametrize("extension", ["npy", "npz", "csv", "parquet"])
@pytest.mark.parametrize("protocol", [0, 5])
def test_pickle_as_data(tmp_path: Path, extension: str, protocol: int) -> None:
    path, place = tmp_path / f"x.{extension}", tmp_path / "run"
    path.write_bytes(pickle.dumps(Payload(place), protocol))
    assert repr(str(path)) in refusal(lambda: load_file(path))
    assert not place.exists()


@pytest.mark.parametrize("extension", ["npy", "npz"])
def test_array_of_objects(tmp_path: Path, extension: str) -> None:
    path, place = tmp_path / f"x.{extension}", tmp_path / "run"
    values = np.array([[Payload(place)]], dtype=object)
    if extension == "npy":
        np.save(path, values, allow_pickle=True)
    else:
        np.savez(path, train=values, test=values, validation=values)
    assert "cannot be read (" in refusal(lambda: load_file(path))
    assert not place.exists()


def test_array_of_numbers_by_its_header_and_a_pickle_behind_it(tmp_path: Path) -> None:
    path, place = tmp_path / "x.npy", tmp_path / "run"
    np.save(path, np.zeros((2, 2)))
    path.write_bytes(path.read_bytes()[:128] + pickle.dumps(Payload(place)))
    assert "bytes behind its array" in refusal(lambda: load_file(path))
    assert not place.exists()


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_pickle_as_a_model(tmp_path: Path, protocol: int) -> None:
    path, place = tmp_path / "m.safetensors", tmp_path / "run"
    path.write_bytes(pickle.dumps(Payload(place), protocol))
    assert "not a model saved by aes_lipi" in refusal(lambda: read_model(path))
    assert not place.exists()
