"""What `doctor` says of a study's folder: every kind of damage, and its remedy."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from prepared import (
    prepared_checkpoint,
    prepared_failure,
    prepared_study,
    run_prepared,
    trial_ids,
)

from aes_lipi.errors import UserError
from aes_lipi.results.health import Finding, inspect_folder
from aes_lipi.results.lock import Lock
from aes_lipi.results.processes import Process
from aes_lipi.results.store import ResultStore

STUDY = prepared_study(3)
FIRST, SECOND, THIRD = trial_ids(STUDY)
WELL = [
    Finding("study", "prepared: 1 variant"),
    Finding("driver", "none"),
    Finding("trials", "3 of 3 committed"),
    Finding("files", "all are what was committed"),
]
GONE = Lock("0" * 32, Process("node7", "another boot", 4242, "1"), holding=True)
FOREIGN = ("x", "y", "trials/z", "models/z")
LEFT_OVER = ".writing-" + "0123456789abcdef" * 2


def found(folder: Path) -> list[tuple[str, str, str]]:
    """What is not well: subject, state and words; each with a remedy."""
    unwell = [each for each in inspect_folder(folder).findings() if each.state != "well"]
    assert all(each.remedy for each in unwell)
    return [(each.subject, each.state, each.said) for each in unwell]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("whole")
    run_prepared(STUDY, place)
    return place


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "study")


def test_a_finished_study_is_well(folder: Path) -> None:
    (folder / "report").mkdir()
    assert inspect_folder(folder).findings() == WELL


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def fail_instead(folder: Path) -> None:
    (folder / FIRST.path("committed")).unlink()
    ResultStore(folder).record_failure(FIRST, prepared_failure(FIRST))


DAMAGES: dict[str, tuple[Callable[[Path], object], tuple[str, str, str]]] = {
    "a model is gone": (
        lambda folder: (folder / FIRST.path("models")).unlink(),
        ("files", "problem", f"1 file missing: {FIRST.path('models')}"),
    ),
    "a bit of a table is flipped": (
        lambda folder: flip(folder / SECOND.path("generations")),
        ("files", "problem", f"1 file damaged: {SECOND.path('generations')}"),
    ),
    "a table is cut": (
        lambda folder: os.truncate(folder / SECOND.path("trials"), 9),
        ("files", "problem", f"1 file damaged: {SECOND.path('trials')}"),
    ),
    "a marker is none": (
        lambda folder: (folder / THIRD.path("committed")).write_bytes(b"{"),
        ("files", "problem", f"1 file unreadable: {THIRD.path('committed')}"),
    ),
    "the description is none": (
        lambda folder: (folder / "study.json").write_bytes(b"[]"),
        ("study", "problem", "study.json: missing, or no description"),
    ),
    "a file was half written": (
        lambda folder: (folder / LEFT_OVER).write_bytes(b""),
        ("files", "note", f"1 file left over: {LEFT_OVER}"),
    ),
    "somebody's files are there": (
        lambda folder: [(folder / name).write_text("") for name in FOREIGN],
        ("files", "note", "4 files not of a study: x, y, models/z, and 1 more"),
    ),
    "a trial failed": (
        fail_instead,
        ("failures", "problem", "1 trial failed"),
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_not_well_is_said(folder: Path, name: str) -> None:
    damage, expected = DAMAGES[name]
    damage(folder)
    assert expected in found(folder)


class Compared(str):
    """A path that counts how often it is compared."""

    __slots__ = ()
    __hash__ = str.__hash__
    times = 0

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return super().__eq__(other)


def test_many_faults_take_a_time_that_grows_with_their_number(folder: Path) -> None:
    shutil.rmtree(folder / "models")
    lost = [trial.path("models") for trial in (FIRST, SECOND, THIRD)]
    assert found(folder) == [("files", "problem", f"3 files missing: {', '.join(lost)}")]
    facts = inspect_folder(folder)
    faults: dict[str, str] = {Compared(f"models/{number}"): "missing" for number in range(100)}
    assert replace(facts, faults=faults).findings()[-1].said.startswith("100 files missing")
    assert Compared.times < 1000


def test_a_study_on_its_way_and_one_whose_driver_is_gone(folder: Path) -> None:
    more = prepared_study(4)
    store = ResultStore(folder)
    with store.locked() as held:
        store.open(more)
        store.write_checkpoint(trial_ids(more)[3], 2, prepared_checkpoint(2))
        (folder / LEFT_OVER).write_bytes(b"being written")
        assert inspect_folder(folder).findings() == [
            WELL[0],
            Finding("driver", held.lock.whose()),
            Finding("trials", "3 of 4 committed"),
            Finding("checkpoints", "of 1 trial"),
            WELL[3],
        ]
    (folder / GONE.name).write_bytes(GONE.content())
    long_ago = time.time() - 1e6
    os.utime(folder / GONE.name, (long_ago, long_ago))
    assert found(folder) == [
        ("driver", "note", "process 4242 on node7 is gone"),
        ("trials", "note", "3 of 4 committed"),
        ("files", "note", f"1 file left over: {LEFT_OVER}"),
    ]


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    for nothing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match=r"holds no study; give the --output_dir of one"):
            inspect_folder(nothing)
