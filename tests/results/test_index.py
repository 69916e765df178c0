"""The index: a reader that has one sees what a reader without it sees, whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import warm
from helpers import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import made_up_study, made_up_trial

from aes_lipi.results import index, trial_tables
from aes_lipi.results.cleaning import clean
from aes_lipi.results.health import inspect_folder
from aes_lipi.results.index import INDEX, Index, KeptRows
from aes_lipi.results.inventory import take_inventory
from aes_lipi.results.reading import load_results
from aes_lipi.results.status import study_overview, study_status
from aes_lipi.results.storage import LocalStorage
from aes_lipi.results.store import ResultStore
from aes_lipi.results.trial_files import RESULTS, TrialFiles, TrialId

STUDY = made_up_study(["random", "activation"], 2)
TRIALS = [TrialId(variant.id, trial) for variant in STUDY.variants for trial in range(2)]
LOSSES = np.linspace(0, 1, 6).reshape(3, 2)


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write down every file at once, and wait for no disk."""
    monkeypatch.setattr(index, "_WORTH", 1)
    monkeypatch.setattr(index, "_RECENT_S", 0.0)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def files_of(trial: TrialId, run: int) -> TrialFiles:
    [variant] = [each for each in STUDY.variants if each.id == trial.variant]
    return made_up_trial(STUDY, variant, trial.trial, LOSSES + run)


FILES = {(trial, run): files_of(trial, run) for trial in TRIALS for run in range(2)}


def whole(folder: Path) -> Path:
    """A folder in which all trials are committed."""
    store = ResultStore(folder)
    store.open(STUDY)
    for trial in TRIALS:
        store.commit(trial, FILES[trial, 0])
    return folder


def pieces(folder: Path) -> list[Path]:
    return sorted((folder / INDEX).glob("*"))


def seen(folder: Path) -> Iterator[Any]:
    """All that readers say of a folder."""
    inventory = take_inventory(LocalStorage(folder))
    yield {trial: dict(marker) for trial, marker in inventory.committed.items()}
    yield inventory.without_model, inventory.failed, inventory.skipped
    results = load_results(folder, ("trials", "generations"))
    yield results.trials
    yield results.generations
    yield results.skipped
    yield study_status(folder)


def seen_without(folder: Path) -> list[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Index, "rows_of", lambda self, kind: KeptRows(self._storage, kind, {}))
        patch.setattr(KeptRows, "save", lambda self, recent: None)
        return list(seen(folder))


def assert_same(found: object, expected: object) -> None:
    if isinstance(expected, pd.DataFrame):
        assert isinstance(found, pd.DataFrame)
        assert expected.equals(found), (expected, found)
    else:
        assert found == expected


def assert_seen_alike(folder: Path) -> None:
    """The first reader that has an index, and the second, which reads what the first wrote."""
    expected = seen_without(folder)
    for _ in range(2):
        for found, wanted in zip(seen(folder), expected, strict=True):
            assert_same(found, wanted)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[len(content) // 2] ^= 16
        path.write_bytes(content)


def flip_secretly(path: Path) -> None:
    """Neither size nor time of change tell."""
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def exchange(path: Path) -> None:
    """Another trial's file under this one's name, with that one's times."""
    other = path.with_name(path.name.replace("0000", "9").replace("0001", "0000"))
    source = other.with_name(other.name.replace("9", "0001"))
    if source.exists():
        shutil.copy2(source, path)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "touch": Path.touch,
    "gone": Path.unlink,
    "flip": flip,
    "flip secretly": flip_secretly,
    "exchange": exchange,
    "cut": cut,
    "older": lambda path: os.utime(path, (1, 1)),
}


def commit_again(folder: Path, trial: TrialId, run: int) -> None:
    (folder / trial.path("committed")).unlink(missing_ok=True)
    ResultStore(folder).commit(trial, FILES[trial, run])


def swap_contents(folder: Path) -> None:
    """Each piece under the name of the next one."""
    found = pieces(folder)
    contents = [path.read_bytes() for path in found]
    for path, content in zip(found, [*contents[1:], *contents[:1]], strict=True):
        path.write_bytes(content)


def make_foreign(folder: Path) -> None:
    """The index of another folder, of the same trials with other values."""
    other = folder.with_name("other")
    if not other.exists():
        whole(other)
        for trial in TRIALS:
            commit_again(other, trial, 1)
        list(seen(other))
    (folder / INDEX).mkdir(exist_ok=True)
    for path in pieces(other):
        shutil.copy2(path, folder / INDEX)


def copied(folder: Path) -> None:
    """The whole folder is a copy."""
    aside = folder.with_name("aside")
    shutil.copytree(folder, aside)
    shutil.rmtree(folder)
    aside.rename(folder)


def to_some(what: Callable[[Path], object], step: int = 1) -> Callable[[Path], None]:
    """What happens to each piece, or to every second one."""

    def happen(folder: Path) -> None:
        for path in pieces(folder)[::step]:
            what(path)

    return happen


TO_THE_INDEX: dict[str, Callable[[Path], None]] = {
    "lost": to_some(Path.unlink),
    "some lost": to_some(Path.unlink, 2),
    "cut": to_some(cut),
    "empty": to_some(lambda path: os.truncate(path, 0)),
    "flipped": to_some(flip),
    "swapped": swap_contents,
    "foreign": make_foreign,
    "copied": copied,
}

damages = st.tuples(
    st.sampled_from(TRIALS),
    st.sampled_from([*RESULTS, "committed"]),
    st.sampled_from(sorted(DAMAGES)),
)
commits = st.tuples(st.sampled_from(TRIALS), st.integers(0, 1))
events = st.one_of(damages, commits, st.sampled_from(["look", *sorted(TO_THE_INDEX)]))


def happens(folder: Path, event: Any) -> None:
    if event == "look":
        list(seen(folder))
    elif isinstance(event, str):
        TO_THE_INDEX[event](folder)
    elif len(event) == 2:
        commit_again(folder, *event)
    else:
        trial, where, damage = event
        if (folder / trial.path(where)).exists():
            DAMAGES[damage](folder / trial.path(where))


@settings(max_examples=examples(12), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(events, max_size=5))
def test_a_reader_with_an_index_sees_what_one_without_it_sees(
    tmp_path_factory: pytest.TempPathFactory, history: list[Any]
) -> None:
    folder = whole(tmp_path_factory.mktemp("any") / "study")
    list(seen(folder))
    for event in history:
        happens(folder, event)
    assert_seen_alike(folder)


def test_what_the_index_knows_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = whole(tmp_path / "study")
    expected = list(seen(folder))
    assert {path.name.partition("-")[0] for path in pieces(folder)} == {
        *("committed", "trials", "generations")
    }
    read = LocalStorage.read
    names: list[str] = []

    def watched(storage: LocalStorage, name: str, limit: int | None = None) -> bytes | None:
        names.append(name)
        return read(storage, name, limit)

    monkeypatch.setattr(LocalStorage, "read", watched)
    for found, wanted in zip(seen(folder), expected, strict=True):
        assert_same(found, wanted)
    assert {name.partition("/")[0] for name in names} == {INDEX, "study.json"}
    copied(folder)
    decoded: list[bytes] = []

    def decode(content: bytes, columns: object = None) -> None:
        decoded.append(content)

    monkeypatch.setattr(trial_tables, "_decode", decode)
    assert len(load_results(folder).trials) == len(TRIALS)  # compared, and not decoded
    assert not decoded


def touch_later(folder: Path) -> None:
    """As a copy does that is made in the order of names: markers are the oldest."""
    for number, path in enumerate(sorted(folder.glob("*/*/*"))):
        os.utime(path, (10**9 + number, 10**9 + number))


def test_large_tables_of_a_copy_are_compared_once_and_those_alone_that_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = whole(tmp_path / "study")
    touch_later(folder)
    read = LocalStorage.read
    names: list[str] = []

    def watched(storage: LocalStorage, name: str, limit: int | None = None) -> bytes | None:
        names.append(name.partition("/")[0])
        return read(storage, name, limit)

    monkeypatch.setattr(LocalStorage, "read", watched)
    take_inventory(LocalStorage(folder), ["trials"])
    assert {"models", "trials"} <= set(names)
    assert "generations" not in names
    take_inventory(LocalStorage(folder))
    assert names.count("generations") == len(TRIALS)
    names.clear()
    take_inventory(LocalStorage(folder))
    assert set(names) == {INDEX}
    flip(folder / TRIALS[0].path("generations"))
    assert len(take_inventory(LocalStorage(folder)).committed) == len(TRIALS) - 1


def test_an_overview_has_the_columns_asked_for_of_the_trials_that_are_whole(
    tmp_path: Path,
) -> None:
    folder = whole(tmp_path / "study")
    flip(folder / TRIALS[0].path("trials"))
    found = study_overview(folder, ["variant", "trial", "capacity", "mean_L1"])
    expected = load_results(folder).trials
    assert found.trials.column_names == ["variant", "trial", "capacity", "mean_L1"]
    assert found.trials.num_rows == 3
    by_trial = {(row["variant"], row["trial"]): row["mean_L1"] for row in found.trials.to_pylist()}
    named = zip(expected["variant"], expected["trial"], expected["mean_L1"], strict=True)
    assert by_trial == {(variant, trial): loss for variant, trial, loss in named}
    assert found.status == study_status(folder)


def test_few_pieces_are_left_however_often_little_is_new(tmp_path: Path) -> None:
    study = made_up_study(["random"], 40)
    [variant] = study.variants
    store = ResultStore(tmp_path)
    store.open(study)
    for trial in range(40):
        files = made_up_trial(study, variant, trial, LOSSES + trial)
        store.commit(TrialId(variant.id, trial), files)
        take_inventory(LocalStorage(tmp_path))
    assert 1 <= len(pieces(tmp_path)) <= 7
    assert_seen_alike(tmp_path)


def test_an_index_is_no_foreign_file_and_goes_with_the_results(tmp_path: Path) -> None:
    folder = whole(tmp_path / "study")
    list(seen(folder))
    assert not [each for each in inspect_folder(folder).findings() if each.state != "well"]
    old = folder / INDEX / f"trials-00000000-{'0' * 64}.parquet"
    left = folder / INDEX / f".writing-{'0' * 32}"
    old.write_bytes(b"")
    left.write_bytes(b"")
    (folder / INDEX / "mine").write_bytes(b"")
    removed = clean(folder).removed
    assert set(removed) == {str(each.relative_to(folder)) for each in (old, left)}
    assert inspect_folder(folder).foreign == (f"{INDEX}/mine",)
    (folder / INDEX / "mine").unlink()
    store = ResultStore(folder)
    with store.locked():
        store.open(STUDY, fresh=True)
    assert not (folder / INDEX).exists()


def test_readers_at_once_while_trials_are_committed_agree_in_the_end(tmp_path: Path) -> None:
    """Every reader writes and merges the index, all the time."""
    study = made_up_study(["random"], 30)
    store = ResultStore(tmp_path)
    store.open(study)
    faults: list[BaseException] = []
    ended = threading.Event()

    def look() -> None:
        try:
            while not ended.is_set():
                found = load_results(tmp_path).trials
                assert found["mean_L1"].tolist() == [
                    float((LOSSES + trial)[-1].mean()) for trial in found["trial"]
                ]
        except BaseException as error:
            faults.append(error)

    readers = [threading.Thread(target=look) for _ in range(3)]
    for each in readers:
        each.start()
    [variant] = study.variants
    for trial in range(30):
        files = made_up_trial(study, variant, trial, LOSSES + trial)
        store.commit(TrialId(variant.id, trial), files)
    ended.set()
    for each in readers:
        each.join()
    assert not faults
    assert_seen_alike(tmp_path)


def test_processes_that_write_an_index_at_once_agree(tmp_path: Path) -> None:
    study = made_up_study(["random"], 20)
    [variant] = study.variants
    store = ResultStore(tmp_path)
    store.open(study)
    for trial in range(20):
        store.commit(TrialId(variant.id, trial), made_up_trial(study, variant, trial, LOSSES))
    for path in tmp_path.rglob("*.*"):
        os.utime(path, (10**9, 10**9))  # what is new is not written down
    command = [sys.executable, "-m", "aes_lipi", "status", tmp_path, "--json"]
    running = [warm.start(command, stdout=subprocess.PIPE) for _ in range(4)]
    [told] = {process.communicate()[0] for process in running}
    assert json.loads(told)["trials"]["committed"] == 20
    assert {path.name.partition("-")[0] for path in pieces(tmp_path)} == {"committed", "trials"}
    assert_seen_alike(tmp_path)


def test_who_may_not_write_reads_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = whole(tmp_path / "study")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)  # somebody else's folder
    assert_seen_alike(folder)
    assert not (folder / INDEX).exists()
