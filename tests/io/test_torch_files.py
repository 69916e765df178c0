"""Files of torch.save are read by the restricted reader alone, whatever they hold."""

from __future__ import annotations

import os
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aes_lipi.errors import UserError
from aes_lipi.io.torch_files import read_torch

PUBLISHED = Path(__file__).resolve().parents[1] / "fixtures/published"
CHECKPOINT = PUBLISHED / "checkpoints/n0_ae.pt"


def saved(folder: Path, content: Any, **options: Any) -> Path:
    path = folder / "x.pt"
    torch.save(content, path, **options)
    return path


def test_tensors_are_arrays_of_their_own(tmp_path: Path) -> None:
    values = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    path = saved(tmp_path, {"encoder": {"a": values, "b": values.t()}})
    found = read_torch(path)
    path.write_bytes(b"")
    assert isinstance(found, dict)
    np.testing.assert_array_equal(found["encoder"]["a"], values.numpy())
    np.testing.assert_array_equal(found["encoder"]["b"], values.numpy().T)


class Deadly:
    """What a pickle runs when it is loaded."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("ran",)


def test_nothing_of_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path, {"encoder": Deadly()})
    with pytest.raises(UserError, match=r"x.pt': cannot be read .*; save tensors"):
        read_torch(path)
    (tmp_path / "y.pt").write_bytes(pickle.dumps(Deadly()))
    with pytest.raises(UserError, match="not an archive, or damaged"):
        read_torch(tmp_path / "y.pt")
    assert not (tmp_path / "ran").exists()


def test_only_the_restricted_reader_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(torch, "load", lambda _, **how: asked.append(how))
    with pytest.raises(UserError, match="holds a NoneType"):
        read_torch(CHECKPOINT)
    assert [how["weights_only"] for how in asked] == [True]


def test_without_torch_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"^reading '.*n0_ae\.pt' needs torch, which is"):
        read_torch(CHECKPOINT)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([1, 2], "holds a list"),
        ({"a": {"b": {"c": torch.zeros(2)}}}, "holds a dict"),
        ({"a": 3}, "holds a int"),
        (torch.zeros(1).expand(10**6, 10**6), "more values than the file has"),
        (torch.zeros(3).to_sparse(), "cannot be read"),
        (torch.zeros(3, dtype=torch.bfloat16), "cannot be read"),
    ],
)
def test_anything_but_dense_tensors_is_refused(tmp_path: Path, content: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        read_torch(saved(tmp_path, content))


def test_the_old_format_and_what_is_missing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not an archive"):
        read_torch(saved(tmp_path, torch.zeros(2), _use_new_zipfile_serialization=False))
    with pytest.raises(UserError, match="No such file or directory; check the path"):
        read_torch(tmp_path / "none.pt")


def rewritten(source: Path, target: Path, edit: dict[str, bytes], how: int) -> Path:
    """The same archive with other content under some endings of names."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", how) as new:
        for name in old.namelist():
            changed = next((edit[end] for end in edit if name.endswith(end)), None)
            new.writestr(name, old.read(name) if changed is None else changed)
    return target


def test_what_would_unfold_is_refused(tmp_path: Path) -> None:
    bomb = {"data.pkl": b"\0" * 2_000_000}
    with pytest.raises(UserError, match="compressed"):
        read_torch(rewritten(CHECKPOINT, tmp_path / "a.pt", {}, zipfile.ZIP_DEFLATED))
    with pytest.raises(UserError, match="more tensors than a network has"):
        read_torch(rewritten(CHECKPOINT, tmp_path / "b.pt", bomb, zipfile.ZIP_STORED))


def test_a_tensor_that_says_it_is_longer_than_its_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, torch.arange(300, dtype=torch.float32))
    with zipfile.ZipFile(path) as archive:
        [name] = [each for each in archive.namelist() if each.endswith("data.pkl")]
        described = archive.read(name)
    longer = described.replace(b"M,\x01", b"J\0\0\0\x10")  # 300 values are 268,435,456
    assert longer != described
    told = rewritten(path, tmp_path / "y.pt", {"data.pkl": longer}, zipfile.ZIP_STORED)
    with pytest.raises(UserError, match="cannot be read"):
        read_torch(told)


def test_a_damaged_file_is_one_line_or_tensors(tmp_path: Path) -> None:
    content = CHECKPOINT.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(
            content[: rng.integers(1, len(content))] if rng.random() < 0.3 else content
        )
        damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        (tmp_path / "x.pt").write_bytes(damaged)
        try:
            read_torch(tmp_path / "x.pt")
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017
            refused += 1
    assert refused > 10
