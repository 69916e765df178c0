"""One driver at a time, and what becomes of the locks of drivers that are gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import warm
from patience import PATIENCE_S, wait_until
from prepared import prepared_files, prepared_study, run_prepared, trial_ids
from studies import assert_same_study, names

from aes_lipi.errors import UserError
from aes_lipi.io.files import decode_json, encode_json
from aes_lipi.results import lock
from aes_lipi.results.lock import STALE_AFTER_S, Lock, is_lock, locked
from aes_lipi.results.processes import Process, this_process
from aes_lipi.results.storage import LocalStorage
from aes_lipi.results.store import ResultStore

TESTS = Path(__file__).resolve().parents[1]
DRIVER = [sys.executable, str(TESTS / "results" / "driver.py")]
ELSEWHERE = Process("node7", "another boot/pid:[1]", 4242, "1")
TOKEN = "0123456789abcdef" * 2
ALL = Lock(TOKEN, replace(this_process(), pid=-1)).content()  # what a signal to it would reach


@pytest.fixture(autouse=True)
def _watch_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "WATCH_S", 0.2)


def start(*arguments: object) -> subprocess.Popen[str]:
    return warm.start(
        [*DRIVER, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": f"{TESTS}:{TESTS.parent}"},
    )


def put_down(folder: Path, lock: Lock, age_s: float = 0.0) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / lock.name
    path.write_bytes(lock.content())
    at = time.time() - age_s
    os.utime(path, (at, at))
    return path


def race(folder: Path) -> int:
    """Start two drivers at once; how many of them were refused."""
    drivers = [start(folder, run) for run in range(2)]
    outcomes = [(*driver.communicate(timeout=PATIENCE_S), driver.returncode) for driver in drivers]
    committed = [int(line) for out, _, _ in outcomes for line in out.split()]
    assert sorted(committed) == list(range(6))
    refused = [errors for _, errors, code in outcomes if code == 2]
    assert all(code in (0, 2) for _, _, code in outcomes)
    for errors in refused:
        [line] = errors.splitlines()
        assert "in use by process" in line
        assert f"on {socket.gethostname()}" in line
    return len(refused)


def races(number: int, tmp_path: Path) -> None:
    run_prepared(prepared_study(6), tmp_path / "whole")
    refused = 0
    for count in range(number):
        refused += race(tmp_path / str(count))
        assert_same_study(tmp_path / "whole", tmp_path / str(count))
    print(f"{number} races, {refused} drivers refused")


def test_of_two_drivers_at_once_one_wins(tmp_path: Path) -> None:
    races(1, tmp_path)


@pytest.mark.slow
def test_of_two_drivers_at_once_one_wins_every_time(tmp_path: Path) -> None:
    races(50, tmp_path)


def test_no_two_of_many_threads_have_a_folder_together(tmp_path: Path) -> None:
    """The locks of one process exclude each other as those of two do."""
    inside, most, wins = 0, 0, 0
    counting = threading.Lock()

    def contend() -> None:
        nonlocal inside, most, wins
        for _ in range(10):
            try:
                with locked(LocalStorage(tmp_path)):
                    with counting:
                        inside += 1
                        most, wins = max(most, inside), wins + 1
                    time.sleep(0.002)
                    with counting:
                        inside -= 1
            except UserError:
                continue

    threads = [threading.Thread(target=contend) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert wins > 0
    assert names(tmp_path) == set()


def test_a_killed_driver_is_followed_by_the_next(tmp_path: Path) -> None:
    first = start(tmp_path / "s", 0, "hang")
    assert first.stdout is not None
    assert first.stdout.readline() == "committed\n"
    second = start(tmp_path / "s", 1)
    _, errors = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 2
    assert f"in use by process {first.pid} on {socket.gethostname()}; " in errors
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=PATIENCE_S)
    third = start(tmp_path / "s", 1)
    out, errors = third.communicate(timeout=PATIENCE_S)
    assert (third.returncode, errors) == (0, "")
    assert out.split() == ["1", "2", "3", "4", "5"]
    run_prepared(prepared_study(6), tmp_path / "whole")
    assert_same_study(tmp_path / "whole", tmp_path / "s")


def test_a_killed_driver_that_nobody_buried_is_gone_too(tmp_path: Path) -> None:
    with start(tmp_path / "s", 0, "hang") as first:
        assert first.stdout is not None
        first.stdout.readline()
        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: ") Z " in Path(f"/proc/{first.pid}/stat").read_text())
        with ResultStore(tmp_path / "s").locked() as held:
            assert held.stale == (f"process {first.pid} on {socket.gethostname()}",)


def test_a_process_id_given_again_does_not_keep_a_lock_alive(tmp_path: Path) -> None:
    reused = replace(this_process(), pid=os.getppid(), started="1")
    path = put_down(tmp_path, Lock(TOKEN, reused, holding=True))
    with locked(LocalStorage(tmp_path)):
        assert not path.exists()


def test_a_lock_that_this_process_left_behind_is_stale(tmp_path: Path) -> None:
    path = put_down(tmp_path, Lock(TOKEN, this_process(), holding=True))
    with locked(LocalStorage(tmp_path)):
        assert not path.exists()


@pytest.mark.parametrize("age_s", [0.0, STALE_AFTER_S - 10, -1e9])
def test_a_lock_of_another_machine_holds_while_it_gives_signs_of_life(
    age_s: float, tmp_path: Path
) -> None:
    put_down(tmp_path, Lock(TOKEN, ELSEWHERE, holding=True), age_s)
    with (
        pytest.raises(UserError, match="in use by process 4242 on node7; wait for it") as error,
        locked(LocalStorage(tmp_path)),
    ):
        pass
    assert "its lock ends within 120 seconds" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(names(tmp_path)) == 1


def test_a_lock_of_another_machine_ends_with_its_signs_of_life(tmp_path: Path) -> None:
    put_down(tmp_path, Lock(TOKEN, ELSEWHERE, holding=True), STALE_AFTER_S + 10)
    with locked(LocalStorage(tmp_path)) as held:
        assert held.stale == ("process 4242 on node7",)
    assert names(tmp_path) == set()


def test_many_silent_locks_are_watched_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, the own lock stays young, so that nobody takes it for silent."""
    slept: list[float] = []
    monkeypatch.setattr(lock, "WATCH_S", 0.123)
    monkeypatch.setattr(time, "sleep", slept.append)
    for k in range(8):
        put_down(tmp_path, Lock(f"{k:032x}", ELSEWHERE, holding=True), STALE_AFTER_S + 10)
    with locked(LocalStorage(tmp_path)) as held:
        assert len(held.stale) == 8
    assert slept == [0.123]


def test_a_clock_that_jumps_lets_no_living_driver_seem_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file server's clock went forward by a day between two signs of life."""
    monkeypatch.setattr(lock, "WATCH_S", 1.0)
    path = put_down(tmp_path, Lock(TOKEN, ELSEWHERE, holding=True), age_s=86_400)
    alive = threading.Timer(0.3, os.utime, [path])
    alive.start()
    with (
        pytest.raises(UserError, match="in use by process 4242 on node7"),
        locked(LocalStorage(tmp_path)),
    ):
        pass
    alive.join()
    assert path.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"process": 3}',
        pytest.param(b"[" * 4000, id="nested"),
        b'{"process": {"host": 1}}',
        pytest.param(ALL, id="all"),  # its text is another in every process
    ],
)
def test_a_lock_that_cannot_be_read_holds_until_it_is_old(content: bytes, tmp_path: Path) -> None:
    path = put_down(tmp_path, Lock(TOKEN, ELSEWHERE))
    path.write_bytes(content)
    with (
        pytest.raises(UserError, match=f"an unknown driver .lock-{TOKEN}.json cannot be read"),
        locked(LocalStorage(tmp_path)),
    ):
        pass
    old = time.time() - STALE_AFTER_S - 10
    os.utime(path, (old, old))
    with locked(LocalStorage(tmp_path)):
        assert not path.exists()


def test_a_lock_with_a_flipped_bit_still_holds(tmp_path: Path) -> None:
    whole = Lock(TOKEN, ELSEWHERE, holding=True).content()
    path = put_down(tmp_path, Lock(TOKEN, ELSEWHERE))
    for position in range(0, len(whole), 29):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << (position % 8)
        path.write_bytes(bytes(flipped))
        with pytest.raises(UserError, match=r"^[^\n]+$"), locked(LocalStorage(tmp_path)):
            pass


def test_a_driver_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.01)
    with locked(LocalStorage(tmp_path)):
        [path] = tmp_path.glob("lock-*.json")
        os.utime(path, (0, 0))
        wait_until(lambda: path.stat().st_mtime)
        assert decode_json(path.read_bytes()) is not None


def test_who_wakes_up_before_it_holds_gives_way_to_who_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It saw nobody, slept, was taken for dead, and another has the folder now."""
    storage, others, looked = LocalStorage(tmp_path), lock._others, []

    with ExitStack() as other:

        def sleeping(storage: Any, own: Lock, stale: list[str]) -> Any:
            seen = others(storage, own, stale)
            looked.append(own)
            if len(looked) == 1:
                storage.remove(own.name)
                other.enter_context(locked(storage))
            return seen

        monkeypatch.setattr(lock, "_others", sleeping)
        with pytest.raises(UserError, match="in use by"), locked(storage):
            raise AssertionError("two drivers have the folder")
        assert looked[0].name not in names(tmp_path)
    assert len(looked) == 4  # either looked twice


class Sleeping(LocalStorage):
    """Makes a lock anew, as an object store does, after another driver has taken the folder."""

    def refresh(self, name: str, content: bytes) -> bool:
        self.remove(name)
        put_down(self._root, Lock(TOKEN, ELSEWHERE, holding=True))
        self.write(name, content)
        return True


@pytest.mark.parametrize("slept", [True, False])
def test_who_sleeps_within_a_sign_of_life_gives_way_to_who_took_the_folder(
    tmp_path: Path, slept: bool
) -> None:
    with locked(Sleeping(tmp_path)) as held:
        held._beaten -= STALE_AFTER_S + 10 if slept else 0
        assert held._beat() is not slept
        assert names(tmp_path) == {Lock(TOKEN, ELSEWHERE).name} | (
            set() if slept else {held.lock.name}
        )
        if slept:
            with pytest.raises(UserError, match=r"this one gave no sign of life for 13\d seconds"):
                held.check()


def test_who_was_silent_and_lost_nothing_goes_on(tmp_path: Path) -> None:
    with locked(LocalStorage(tmp_path)) as held:
        held._beaten -= STALE_AFTER_S + 10
        put_down(tmp_path, Lock(TOKEN, ELSEWHERE))  # who only looks
        assert held._beat()
        held.check()


def test_a_driver_that_lost_its_lock_commits_nothing(tmp_path: Path) -> None:
    study = prepared_study()
    [first, _] = trial_ids(study)
    store = ResultStore(tmp_path)
    with store.locked():
        store.open(study)
        [path] = tmp_path.glob("lock-*.json")
        path.unlink()
        with pytest.raises(UserError, match=f"{path.name} was removed by somebody, though this"):
            store.commit(first, prepared_files(first))
        assert names(tmp_path) == {"study.json"}


def test_a_driver_that_was_silent_for_long_says_for_how_long(tmp_path: Path) -> None:
    with locked(LocalStorage(tmp_path)) as held:
        held._beaten -= STALE_AFTER_S + 10
        (tmp_path / held.lock.name).unlink()
        with pytest.raises(UserError, match=r"this one gave no sign of life for 13\d seconds; run"):
            held.check()


def test_a_process_that_cannot_be_told_apart_is_judged_by_its_signs_of_life(tmp_path: Path) -> None:
    """As one that this user may not see, or that noted no start."""
    unseen = replace(this_process(), pid=os.getppid(), started="")
    path = put_down(tmp_path, Lock(TOKEN, unseen, holding=True), STALE_AFTER_S - 10)
    with (
        pytest.raises(UserError, match="its lock ends within"),
        locked(LocalStorage(tmp_path)),
    ):
        pass
    assert path.exists()
    os.utime(path, (1, 1))
    with locked(LocalStorage(tmp_path)):
        assert not path.exists()


def test_a_locks_file_says_who_and_where(tmp_path: Path) -> None:
    with locked(LocalStorage(tmp_path)) as held:
        [path] = tmp_path.iterdir()
        assert is_lock(path.name)
        document = decode_json(path.read_bytes()) or {}
        assert document["process"]["pid"] == os.getpid()
        assert document["process"]["host"] == socket.gethostname()
        assert encode_json(document) == held.lock.content()


def test_the_lock_of_an_earlier_version_is_seen(tmp_path: Path) -> None:
    """It was called a claim: whoever upgrades beside a study that runs does not start it again."""
    path = put_down(tmp_path, Lock(TOKEN, ELSEWHERE, holding=True))
    path = path.rename(tmp_path / f"claim-{TOKEN}.json")
    with pytest.raises(UserError, match="in use by process 4242"), locked(LocalStorage(tmp_path)):
        pass
    assert names(tmp_path) == {path.name}
    os.utime(path, (0, 0))
    with locked(LocalStorage(tmp_path)) as held:
        assert held.stale == ("process 4242 on node7",)
    assert names(tmp_path) == set()


def test_signs_that_stay_late_and_never_end_are_of_a_driver_that_has_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_down(tmp_path, Lock(TOKEN, ELSEWHERE, holding=True), STALE_AFTER_S + 10)
    monkeypatch.setattr(lock, "_bury", lambda *_: None)  # a sign came while it was watched
    with pytest.raises(UserError, match="in use by process 4242"), locked(LocalStorage(tmp_path)):
        pass
    assert names(tmp_path) == {path.name}
