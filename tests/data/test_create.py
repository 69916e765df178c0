"""Writing data sets."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aes_lipi.data import (
    PAPER_DATASETS,
    BinaryClustering,
    Dataset,
    create,
    create_paper_datasets,
    generate,
    load_file,
    save,
)
from aes_lipi.errors import UserError

SMALL = generate(BinaryClustering(2, 4, 6), 1, 0.05, "shared")


def load(path: Path) -> Dataset:
    return load_file(path, seed=1, test_fraction=0.2, validation_fraction=0.1, scale="none")


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
    assert load(path).name == SMALL.name
    assert_same(SMALL, load(path))
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
    assert_same(data, load(path))


def test_negative_zero_comes_back(tmp_path: Path) -> None:
    rows = np.array([[-0.0, 1.0]], dtype=np.float32)
    data = Dataset("x", rows, rows, rows)
    save(data, tmp_path / "x.npz")
    assert_same(data, load(tmp_path / "x.npz"))


def test_paper_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create, "PAPER_DATASETS", ("2_4_6", PAPER_DATASETS[0]))
    folder = tmp_path / "new" / "folder"
    paths = create_paper_datasets(folder, 1, 0.05, "shared")
    assert [path.name for path in paths] == [
        "binary_clustering_2_4_6.npz",
        "binary_clustering_10_100_1000.npz",
    ]
    assert sorted(folder.iterdir()) == sorted(paths)
    assert_same(SMALL, load(paths[0]))
    paper = generate(BinaryClustering(10, 100, 1000), 1, 0.05, "shared")
    assert load(paths[1]).name == paper.name
    assert_same(paper, load(paths[1]))


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
    assert_same(SMALL, load(tmp_path / "new" / "x.npz"))


def test_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(UserError, match=r"cannot be written \((File exists|Not a directory)\)"):
        create_paper_datasets(path, 1, 0.05, "shared")
