"""What is committed, what is read, and what is made of files that are not what they should be."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from prepared import (
    prepared_failure,
    prepared_files,
    prepared_study,
    run_prepared,
    trial_ids,
)
from studies import assert_same_study, contents, names, run_study

from aes_lipi.config import Study
from aes_lipi.errors import UserError
from aes_lipi.execution.run import Summary
from aes_lipi.io.files import decode_json, encode_json
from aes_lipi.results.health import inspect_folder
from aes_lipi.results.object_storage import open_storage
from aes_lipi.results.reading import load_results
from aes_lipi.results.store import ResultStore

STUDY = prepared_study()
FIRST, SECOND = trial_ids(STUDY)
MARKER = FIRST.path("committed")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("whole")
    run_prepared(STUDY, place)
    return place


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "study")


def test_a_marker_says_what_the_files_hold(folder: Path) -> None:
    marker = decode_json((folder / MARKER).read_bytes()) or {}
    assert marker["format"] == 1
    facts = marker["files"]["generations"]
    assert facts["path"] == FIRST.path("generations")
    assert facts["rows"] == 100
    assert facts["size"] == (folder / facts["path"]).stat().st_size
    assert marker["files"]["models"]["rows"] is None
    for file in marker["files"].values():
        summed = subprocess.check_output(["sha256sum", folder / file["path"]], text=True)
        assert summed.split()[0] == file["sha256"]


def test_a_late_duplicate_changes_nothing(folder: Path) -> None:
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    store = ResultStore(folder)
    store.commit(FIRST, prepared_files(FIRST, run=1))
    store.record_failure(FIRST, prepared_failure(FIRST))
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before


@pytest.mark.parametrize("lost", [False, True], ids=["damaged", "lost"])
def test_a_committed_trial_has_not_failed_where_its_model_cannot_be_made_again(
    folder: Path, lost: bool
) -> None:
    path = folder / FIRST.path("models")
    path.unlink() if lost else path.write_bytes(b"cut")
    store = ResultStore(folder)
    store.record_failure(FIRST, prepared_failure(FIRST))
    assert not (folder / "failures").exists()
    (folder / FIRST.path("trials")).unlink()
    store.record_failure(FIRST, prepared_failure(FIRST))
    assert store.inventory().failed == {FIRST}


def test_a_trial_that_failed_before_is_no_failure_once_committed(folder: Path) -> None:
    study = prepared_study(3)
    third = trial_ids(study)[2]
    store = ResultStore(folder)
    store.record_failure(third, prepared_failure(third))
    assert load_results(folder).failures["error"].tolist() == ["ValueError: made up"]
    assert store.inventory().failed == {third}
    store.commit(third, prepared_files(third))
    assert not (folder / "failures").exists()
    assert len(load_results(folder).trials) == 3


def test_a_trial_in_the_making_is_invisible_to_other_tools(folder: Path) -> None:
    """Half-written files, wherever they lie, are not read by pandas, DuckDB or `load_results`."""
    for table in ("trials", "generations"):
        (folder / table / ".writing-0").write_bytes(b"half")
        (folder / table / f"variant={FIRST.variant}" / ".writing-0").write_bytes(b"half")
    assert len(pd.read_parquet(folder / "trials")) == 2
    assert len(pd.read_parquet(f"{folder}/generations")) == 200
    found = duckdb.sql(f"select trial from '{folder}/trials/**/*.parquet'")
    assert found is not None
    assert sorted(found.fetchall()) == [(0,), (1,)]
    assert len(load_results(folder).trials) == 2


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "truncated": lambda path: os.truncate(path, 20),
    "flipped": flip,
}


@pytest.mark.parametrize("table", ["generations", "trials"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped"])
def test_a_damaged_trial_is_passed_over_and_run_again(
    table: str, damage: str, folder: Path, whole: Path
) -> None:
    path = folder / FIRST.path(table)
    DAMAGES[damage](path)
    results = load_results(folder)
    assert results.trials["trial"].tolist() == [1]
    assert results.generations["trial"].tolist() == [1] * 100
    [line] = results.skipped
    assert line.startswith("skipped a trial with a table that is missing, or is not what")
    assert run_prepared(STUDY, folder, run=1) == [FIRST]
    assert_same_study(whole, folder)


@pytest.mark.parametrize("table", ["generations", "trials"])
def test_a_flipped_bit_in_a_table_is_found_by_readers(table: str, folder: Path) -> None:
    """Whatever its time of change says."""
    path = folder / FIRST.path(table)
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    results = load_results(folder)
    assert results.trials["trial"].tolist() == [1]
    assert len(results.generations) == 100
    [line] = results.skipped
    assert "a table that is missing, or is not what" in line


@pytest.mark.parametrize("table", ["generations", "trials"])
def test_a_file_of_another_run_is_found_by_its_digest(table: str, folder: Path) -> None:
    """Even where it has the same size, so that only its content tells."""
    path = folder / FIRST.path(table)
    trials = trial_ids(prepared_study(9))
    others = [prepared_files(each, run).contents()[table] for each in trials for run in range(3)]
    original = path.read_bytes()
    other = next(each for each in others if len(each) == len(original) and each != original)
    path.write_bytes(other)
    results = load_results(folder)
    assert results.trials["trial"].tolist() == [1]
    assert len(results.generations) == 100
    assert "a table that is missing, or is not what" in results.skipped[0]
    assert not ResultStore(folder).is_committed(FIRST)


HOSTILE = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"\xff\xfe",
    b"[" * 100_000,
    b"9" * 10_000,
    b'{"format": 1, "files": {"trials": 3}}',
    b"x" * 1_000_000,
]
ODD: dict[str, Any] = {"rows": 10**30, "size": True, "sha256": "\ud800"}
"""Facts of a file as JSON can have them, and no marker has."""


@pytest.mark.parametrize("fact", ODD)
def test_a_marker_of_odd_facts_leaves_its_trial_uncommitted(folder: Path, fact: str) -> None:
    marker = json.loads((folder / MARKER).read_bytes())
    marker["files"]["trials"][fact] = ODD[fact]
    (folder / MARKER).write_text(json.dumps(marker))
    results = load_results(folder)
    assert results.trials["trial"].tolist() == [1]
    assert "whose commit marker cannot be read" in results.skipped[0]
    assert inspect_folder(folder).findings()


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_a_marker_that_is_none_leaves_its_trial_uncommitted(
    content: bytes, folder: Path, whole: Path
) -> None:
    (folder / MARKER).write_bytes(content)
    results = load_results(folder)
    assert results.trials["trial"].tolist() == [1]
    assert "whose commit marker cannot be read" in results.skipped[0]
    assert run_prepared(STUDY, folder, run=1) == [FIRST]
    assert_same_study(whole, folder)


def test_a_marker_of_another_trial_commits_nothing(folder: Path) -> None:
    (folder / MARKER).write_bytes((folder / SECOND.path("committed")).read_bytes())
    assert load_results(folder).trials["trial"].tolist() == [1]
    document = decode_json((folder / SECOND.path("committed")).read_bytes()) or {}
    document["files"]["models"]["path"] = "../outside"
    (folder / SECOND.path("committed")).write_bytes(encode_json(document))
    assert len(load_results(folder).trials) == 0


def test_any_flipped_bit_in_a_marker_is_noticed(folder: Path) -> None:
    original = (folder / MARKER).read_bytes()
    for position in range(0, len(original), 41):
        flipped = bytearray(original)
        flipped[position] ^= 1 << (position % 8)
        (folder / MARKER).write_bytes(flipped)
        results = load_results(folder)
        assert len(results.trials) in (1, 2)
        assert (len(results.trials) == 2) == (results.skipped == ())


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_a_study_file_that_is_none_is_told_in_one_line(content: bytes, folder: Path) -> None:
    """And it stays as it is, with all results, whatever is asked: it may be somebody's own."""
    (folder / "study.json").write_bytes(content)
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    store = ResultStore(folder)
    for fresh in (False, True):
        with (
            store.locked(),
            pytest.raises(UserError, match=r"^[^\n]+study\.json: was not written by aes_lipi, or"),
        ):
            store.open(STUDY, fresh=fresh)
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_told_in_one_line(make: object, folder: Path) -> None:
    assert callable(make)
    (folder / "study.json").unlink()
    make(folder / "study.json")
    with pytest.raises(UserError, match=r"study\.json: (is not a file|cannot be read)"):
        run_prepared(STUDY, folder)


def test_results_without_any_marker_are_said_to_be_without(folder: Path) -> None:
    for name in (MARKER, SECOND.path("committed")):
        (folder / name).unlink()
    results = load_results(folder)
    assert len(results.trials) == len(results.generations) == 0
    [line] = results.skipped
    assert line.startswith("skipped 2 trials without a commit marker (the first: variant=v")


def test_a_failure_record_that_is_none_is_passed_over(folder: Path) -> None:
    path = folder / "failures" / f"variant={FIRST.variant}" / "trial=0007.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1")
    assert len(load_results(folder).failures) == 0


@pytest.mark.parametrize(
    ("known", "asked", "told"),
    [
        (prepared_study(), prepared_study(epochs=7), "epochs: 400 there, 7 asked for"),
        (
            prepared_study(epochs=[5, 6]),
            prepared_study(epochs=[5, 6], learning_rate=1e-3),
            "learning_rate: 1e-05 there, 0.001 asked for",
        ),
        (
            prepared_study(epochs=[5, 6]),
            prepared_study(epochs=[5, 7], radius=2),
            "radius: 1 there, 2 asked for in 1 variant; "
            "radius: 1 there, 2 asked for, epochs: 6 there, 7 asked for in 1 variant",
        ),
        (
            prepared_study(epochs=[5, 6]),
            prepared_study(epochs=5),
            "it only lacks 1 variant: epochs=6",
        ),
    ],
)
def test_a_changed_study_is_refused_with_what_changed(
    known: Study, asked: Study, told: str, tmp_path: Path
) -> None:
    run_prepared(known, tmp_path)
    before = names(tmp_path)
    with pytest.raises(UserError) as error:
        ResultStore(tmp_path).open(asked)
    line = str(error.value)
    assert f"({told})" in line
    for way_out in ("--fresh", "another --output_dir"):
        assert way_out in line
    assert names(tmp_path) == before


def test_a_difference_of_many_variants_is_cut_short(tmp_path: Path) -> None:
    known = prepared_study(1, epochs=list(range(1, 80)))
    ResultStore(tmp_path).open(known)
    with pytest.raises(UserError, match="and 76 more such differences") as error:
        ResultStore(tmp_path).open(prepared_study(1, epochs=list(range(101, 180))))
    assert len(str(error.value)) < 500


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 160 KiB: room for a few trials."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_told_and_the_study_goes_on_once_there_is_room(
    small_disk: Path, whole: Path
) -> None:
    (small_disk / "filler").write_bytes(b"x" * 110_000)
    folder = small_disk / "study"
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)") as error:
        run_prepared(STUDY, folder, run=1)
    assert "\n" not in str(error.value)
    assert not [name for name in names(folder) if "lock-" in name or ".writing-" in name]
    (small_disk / "filler").unlink()
    run_prepared(STUDY, folder)
    assert_same_study(whole, folder)


def test_a_read_only_folder_is_told_and_a_finished_study_in_it_is_read(
    small_disk: Path, whole: Path
) -> None:
    folder = small_disk / "study"
    with pytest.raises(UserError, match=os.strerror(errno.ENOSPC)):
        run_prepared(prepared_study(40), folder)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = len(load_results(folder).trials)
    assert 0 < done < 40
    with pytest.raises(UserError, match=r"cannot be written \(Read-only file system\)") as error:
        run_prepared(prepared_study(40), folder)
    assert "\n" not in str(error.value)
    subprocess.run(["mount", "-o", "remount,rw,size=16m", str(small_disk)], check=True)
    assert len(run_prepared(prepared_study(40), folder)) == 40 - done
    assert len(contents(folder, "committed")) == 40
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert run_study(prepared_study(40), folder) == Summary(40, 0)


@pytest.mark.parametrize("location", ["~/res", "$HOME/res", "${HOME}/./res", Path("~/res")])
def test_home_and_variables_are_filled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str | Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    open_storage(location).write("x", b"1")
    assert (tmp_path / "home" / "res" / "x").read_bytes() == b"1"
    assert [each.name for each in tmp_path.iterdir()] == ["home"]
    monkeypatch.delenv("HOME")
    with pytest.raises(UserError, match=r"HOME\}? is not set; write the path out"):
        open_storage("${HOME}/res")
