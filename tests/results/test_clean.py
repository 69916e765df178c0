"""What `clean` and `--fresh` remove, and what they leave alone."""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prepared import (
    prepared_failure,
    prepared_files,
    prepared_study,
    run_prepared,
    trial_ids,
)
from studies import assert_same_study, names
from typer.testing import CliRunner

from aes_lipi.cli.commands import app
from aes_lipi.errors import UserError
from aes_lipi.results.cleaning import clean
from aes_lipi.results.reading import load_results
from aes_lipi.results.storage import Entry, LocalStorage
from aes_lipi.results.store import ResultStore

LEFT_OVER = ".writing-" + "0123456789abcdef" * 2
STUDY = prepared_study(3)
FIRST, SECOND, THIRD = trial_ids(STUDY)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run_prepared(STUDY, tmp_path / "study")
    return tmp_path / "study"


def litter(folder: Path) -> set[str]:
    """Leave in a folder what killed drivers leave; say what."""
    store = ResultStore(folder)
    store.storage.remove(SECOND.path("committed"))
    store.storage.write(FIRST.path("failures"), b"of a trial that was committed later")
    half = [LEFT_OVER, f"trials/variant={FIRST.variant}/{LEFT_OVER}"]
    for name in half:
        (folder / name).write_bytes(b"half")
    uncommitted = [SECOND.path(each) for each in ("models", "generations", "trials")]
    return {*half, *uncommitted, FIRST.path("failures")}


def make_foreign(folder: Path, outside: Path) -> set[str]:
    """Put things into a folder that are not a study's, some of them looking like its own."""
    (outside / f"variant={SECOND.variant}").mkdir(parents=True)
    (outside / f"variant={SECOND.variant}/trial=0001.parquet").write_bytes(b"precious")
    (outside / LEFT_OVER).write_bytes(b"precious")
    foreign = {
        "notes.txt",
        "trials/mine.parquet",
        "trials/variant=mine/trial=0000.parquet",
        "trials/.writing-mine",
        f"trials/variant={SECOND.variant}/trial=0001.csv",
        f"trials/variant={SECOND.variant}/below/{LEFT_OVER}",
        "lock-mine.json",
    }
    for name in foreign:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(b"precious")
    (folder / "trials/mine").symlink_to(outside)
    return foreign


def test_clean_removes_what_killed_drivers_left_and_nothing_else(
    folder: Path, tmp_path: Path
) -> None:
    whole = names(folder)
    left = litter(folder)
    foreign = make_foreign(folder, tmp_path / "outside")
    cleaned = clean(folder)
    assert cleaned.removed.keys() == left
    assert cleaned.kept == ()
    second = {SECOND.path(each) for each in ("models", "generations", "trials", "committed")}
    assert names(folder) == (whole | foreign) - second
    assert len(list((tmp_path / "outside").iterdir())) == 2
    assert load_results(folder).trials["trial"].tolist() == [0, 2]
    assert clean(folder).removed == {}
    assert run_prepared(STUDY, folder) == [SECOND]


def test_clean_keeps_a_damaged_trial_and_says_so(folder: Path) -> None:
    (folder / FIRST.path("trials")).write_bytes(b"cut")
    (folder / SECOND.path("committed")).write_bytes(b"{")
    before = names(folder)
    assert [line.partition(" (")[0] for line in clean(folder).kept] == [
        "skipped a trial with a table that is missing, or is not what its commit marker says",
        "skipped a trial whose commit marker cannot be read",
    ]
    assert names(folder) == before


def test_clean_says_what_it_did(folder: Path) -> None:
    litter(folder)
    told = CliRunner().invoke(app, ["clean", str(folder)])
    assert told.exit_code == 0
    assert f"removed {SECOND.path('models')} (of no committed trial)" in told.output
    assert f"removed {LEFT_OVER} (half written)" in told.output
    assert told.output.endswith("removed 6 files\n")
    assert CliRunner().invoke(app, ["clean", str(folder)]).output == "nothing to remove\n"


def test_clean_refuses_a_folder_with_a_driver_or_without_a_study(
    folder: Path, tmp_path: Path
) -> None:
    litter(folder)
    with ResultStore(folder).locked():
        before = names(folder)
        with pytest.raises(UserError, match="in use by process"):
            clean(folder)
        assert names(folder) == before
    (tmp_path / "notes.txt").write_text("mine")
    for nothing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match="holds no study"):
            clean(nothing)
    assert not (tmp_path / "nowhere").exists()


def test_fresh_removes_a_study_and_leaves_what_is_not_its_own(folder: Path, tmp_path: Path) -> None:
    litter(folder)
    foreign = make_foreign(folder, tmp_path / "outside")
    other = prepared_study(2, epochs=7)
    store = ResultStore(folder)
    with store.locked():
        assert store.open(other, fresh=True) > 0
    assert names(folder) == foreign | {"study.json"}
    assert len(list((tmp_path / "outside").iterdir())) == 2
    assert store.holds(other)
    run_prepared(other, tmp_path / "whole")
    run_prepared(other, folder)
    for name in foreign:
        (folder / name).unlink()
    assert_same_study(tmp_path / "whole", folder)


def test_fresh_does_not_take_a_folder_that_holds_no_study(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty and holds no study"):
        ResultStore(tmp_path).holds(STUDY, fresh=True)
    with pytest.raises(UserError, match="not empty and holds no study"):
        ResultStore(tmp_path).open(STUDY, fresh=True)
    assert names(tmp_path) == {"notes.txt"}


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "study", tmp_path / "outside"
    outside.mkdir()
    folder.mkdir()
    (folder / "trials").symlink_to(outside)
    store = ResultStore(folder)
    store.storage.write("study.json", b"{}")
    with pytest.raises(UserError, match="trials: is a link; move it away"):
        store.commit(FIRST, prepared_files(FIRST))
    assert list(outside.iterdir()) == []
    before = sorted(folder.rglob("*"))
    with pytest.raises(UserError, match="trials: is a link; move it away"):
        clean(folder)
    assert sorted(folder.rglob("*")) == before
    (folder / "trials").unlink()
    (folder / FIRST.path("models")).unlink()
    (folder / FIRST.path("models")).symlink_to(outside / "file")
    with pytest.raises(UserError, match="is a link; move it away"):
        store.commit(FIRST, prepared_files(FIRST))
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("linked", ["committed", "committed/variant={}", "committed/variant={}/{}"])
def test_nothing_is_removed_where_markers_lie_behind_a_link(
    folder: Path, tmp_path: Path, linked: str
) -> None:
    """What is not listed would seem to be gone, and all trials with it."""
    place = folder / linked.format(FIRST.variant, "trial=0000.json")
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    before = sorted(folder.rglob("*"))
    for remove in (clean, lambda folder: ResultStore(folder).open(STUDY, fresh=True)):
        with pytest.raises(UserError, match=f"{place}: is a link; move it away"):
            remove(folder)
    assert sorted(folder.rglob("*")) == before


def test_nothing_is_removed_where_a_folder_cannot_be_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, before = os.stat, sorted(folder.rglob("*"))

    def failing(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if str(path).endswith("/committed"):
            raise OSError(errno.EIO, "Input/output error")
        return look(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", failing)
    monkeypatch.setattr(os, "lstat", partial(failing, follow_symlinks=False))
    with pytest.raises(UserError, match=r"committed: cannot be read \(Input/output error\)"):
        clean(folder)
    monkeypatch.undo()
    assert sorted(folder.rglob("*")) == before


def test_a_marker_that_was_not_listed_is_looked_for_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = LocalStorage.files

    def forgetful(storage: LocalStorage, where: str) -> list[Entry]:
        return [] if where == "committed" else files(storage, where)

    monkeypatch.setattr(LocalStorage, "files", forgetful)
    assert clean(folder).removed == {}


def test_a_folder_that_is_itself_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "study").symlink_to(tmp_path / "elsewhere")
    run_prepared(STUDY, tmp_path / "study")
    ResultStore(tmp_path / "study").record_failure(FIRST, prepared_failure(FIRST))
    assert len(load_results(tmp_path / "elsewhere").trials) == 3
