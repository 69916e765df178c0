"""Trials that are stopped on their way go on from where they were written down, bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import warm
from helpers import tiny_study
from patience import PATIENCE_S
from studies import Killer, Listener, assert_same_study, run_study

from aes_lipi import load_study
from aes_lipi.config import CheckpointInterval, Study, StudyFile, parse_interval, resolve_study
from aes_lipi.engine import processor
from aes_lipi.errors import UserError
from aes_lipi.execution import rooms
from aes_lipi.execution.local import LocalRunner
from aes_lipi.execution.run import Summary
from aes_lipi.execution.run import run_study as run_on
from aes_lipi.execution.study import TrialProgress
from aes_lipi.execution.trial import CheckpointTimer
from aes_lipi.results import checkpoint
from aes_lipi.results.cleaning import clean
from aes_lipi.results.reading import load_results
from aes_lipi.results.storage import LocalStorage
from aes_lipi.results.trial_files import CheckpointFiles

EPOCHS = 30


class Stop(Listener):
    """Interrupts a study after some generations; remembers where it went on and what it heard."""

    def __init__(self, after: int = 10**9) -> None:
        self.after = after
        self.heard = 0
        self.resumptions: list[int] = []
        self.notices: list[str] = []
        self.steps: list[int] = []

    def advanced(self, trial: TrialProgress, generations: int) -> None:
        self.steps.append(generations)
        self.heard += generations
        if self.heard >= self.after:
            raise KeyboardInterrupt

    def resumed(self, trial: TrialProgress, generations: int) -> None:
        self.resumptions.append(generations)

    def noticed(self, text: str) -> None:
        self.notices.append(text)


def study_of(every: str | int = 4, trials: int = 2, **settings: Any) -> Study:
    kept = {"record_interval": 3, "store_generations": "recorded"}
    settings = {"prune_method": "random", **kept, **settings}
    study = tiny_study(trials=trials, epochs=EPOCHS, **settings)
    return study.model_copy(update={"checkpoint_interval": every})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("whole") / "study"
    run_study(study_of("never"), directory)
    return directory


def checkpoints(directory: Path) -> list[Path]:
    return sorted((directory / "checkpoints").rglob("*.safetensors"))


def interrupted(directory: Path, after: int, study: Study | None = None) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_study(study or study_of(), directory, observer=Stop(after))


@pytest.mark.parametrize("after", [3, 21, 30, 47])
def test_a_stopped_trial_goes_on_from_its_last_checkpoint(
    after: int, whole: Path, tmp_path: Path
) -> None:
    interrupted(tmp_path, after)
    at = (after - 1) % EPOCHS // 4 * 4 if after != 30 else 28
    kept = [path.stem for path in checkpoints(tmp_path)]
    assert kept == [f"generation={t:08d}" for t in (at - 4, at) if t > 0]
    heard = Stop()
    assert run_study(study_of(), tmp_path, observer=heard) == Summary(2, 0)
    assert heard.resumptions == ([at] if at else [])
    assert_same_study(whole, tmp_path)
    assert not checkpoints(tmp_path)


def test_a_damaged_checkpoint_is_passed_over_and_said(whole: Path, tmp_path: Path) -> None:
    interrupted(tmp_path, 21)
    newest = checkpoints(tmp_path)[-1]
    newest.write_bytes(newest.read_bytes()[:-1])
    heard = Stop()
    run_study(study_of(), tmp_path, observer=heard)
    assert heard.resumptions == [16]
    [notice] = heard.notices
    assert "generation=00000020.safetensors: not a checkpoint (" in notice
    assert_same_study(whole, tmp_path)


def test_without_a_checkpoint_that_is_whole_a_trial_begins_anew(
    whole: Path, tmp_path: Path
) -> None:
    interrupted(tmp_path, 21)
    for path in checkpoints(tmp_path):
        path.write_bytes(b"x" * 100)
    heard = Stop()
    run_study(study_of(), tmp_path, observer=heard)
    assert (heard.resumptions, len(heard.notices)) == ([], 2)
    assert_same_study(whole, tmp_path)


def test_a_checkpoint_of_another_trial_is_not_taken(whole: Path, tmp_path: Path) -> None:
    interrupted(tmp_path, 21)
    newest = checkpoints(tmp_path)[-1]
    newest.parent.rename(newest.parent.with_name("trial=0001"))
    heard = Stop()
    run_study(study_of(), tmp_path, observer=heard)
    assert "trial=0000" in heard.notices[0]
    assert_same_study(whole, tmp_path)


def test_other_versions_of_the_packages_begin_anew(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(tmp_path, 21)
    monkeypatch.setattr(checkpoint, "_software", lambda: "aes_lipi 99")
    heard = Stop()
    run_study(study_of(), tmp_path, observer=heard)
    assert heard.resumptions == []
    assert heard.notices[0].endswith("and this is aes_lipi 99")
    assert_same_study(whole, tmp_path)


def test_a_replay_goes_on_from_no_other_course(tmp_path: Path) -> None:
    study = study_of(update_order="asynchronous", trials=1)
    run_study(study, tmp_path / "free")
    interrupted(tmp_path / "s", 21, study)
    heard = Stop()
    run_on(study, tmp_path / "s", LocalRunner(1), heard, replay=tmp_path / "free")
    assert heard.resumptions == []
    assert heard.notices[0].endswith("is of a trial that repeats other reads, or none")
    with pytest.raises(KeyboardInterrupt):
        run_on(study, tmp_path / "r", LocalRunner(1), Stop(21), replay=tmp_path / "free")
    again = Stop()
    run_on(study, tmp_path / "r", LocalRunner(1), again, replay=tmp_path / "free")
    assert again.resumptions == [20]
    assert_same_study(tmp_path / "free", tmp_path / "s")
    assert_same_study(tmp_path / "free", tmp_path / "r")


def test_checkpoints_left_by_a_kill_after_the_commit_go_with_the_next_run(tmp_path: Path) -> None:
    interrupted(tmp_path, 21)
    left = {path: path.read_bytes() for path in checkpoints(tmp_path)}
    run_study(study_of(trials=1), tmp_path)
    for path, content in left.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert run_study(study_of(trials=2), tmp_path) == Summary(2, 0)
    assert not checkpoints(tmp_path)


def test_what_a_killed_driver_was_writing_goes_with_the_next_run(tmp_path: Path) -> None:
    interrupted(tmp_path, 21)
    [*_, newest] = checkpoints(tmp_path)
    newest.with_name(f".writing-{'0' * 32}").write_bytes(newest.read_bytes()[:100])
    assert run_study(study_of(), tmp_path) == Summary(2, 0)
    assert not list((tmp_path / "checkpoints").rglob("*"))


@pytest.mark.parametrize("differs", ["processor_name", "target_name", None])
def test_another_processor_or_other_kernels_are_said(
    differs: str | None, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(tmp_path, 21)
    if differs is not None:
        monkeypatch.setattr(processor, differs, lambda: "another")
    heard = Stop()
    run_study(study_of(), tmp_path, observer=heard)
    assert heard.resumptions == [20]
    said = [line for line in heard.notices if "another processor or other kernels" in line]
    assert len(said) == (0 if differs is None else 1)
    assert all("its first 20 generations" in line for line in said)
    assert all("here another" in line or "kernels for another" in line for line in said)
    assert_same_study(whole, tmp_path)


def test_a_killed_worker_costs_what_was_done_since_the_checkpoint(
    whole: Path, tmp_path: Path
) -> None:
    study = tiny_study(trials=2, epochs=150, record_interval=10_000)
    study = study.model_copy(update={"checkpoint_interval": 25})

    class Heard(Killer):
        lost = 0

        def advanced(self, trial: TrialProgress, generations: int) -> None:
            if generations < 0:
                self.lost -= generations
            else:
                super().advanced(trial, generations)

    killer = Heard(kills=2)
    assert run_study(study, tmp_path / "killed", jobs=2, observer=killer) == Summary(2, 0)
    assert killer.kills == 0
    assert killer.lost <= 2 * 25
    run_study(study, tmp_path / "whole")
    assert_same_study(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
def test_a_trial_that_kills_its_worker_again_and_again_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "FIRST_WAIT_S", 0.01)
    killer = Killer(kills=10**6)
    study = tiny_study(trials=2, epochs=100_000).model_copy(update={"checkpoint_interval": "never"})
    assert run_study(study, tmp_path, jobs=2, observer=killer) == Summary(0, 2)
    errors = load_results(tmp_path).failures["error"]
    assert all("killed by SIGKILL 6 times" in error for error in errors)
    assert run_study(study, tmp_path, jobs=2) == Summary(0, 2)


def test_checkpoints_of_committed_trials_are_cleaned_and_others_kept(tmp_path: Path) -> None:
    interrupted(tmp_path, 21)
    storage = LocalStorage(tmp_path)
    [trial] = CheckpointFiles(storage).trials()
    half = checkpoints(tmp_path)[0].with_name(".writing-" + "0" * 32)
    half.write_bytes(b"half")
    assert list(clean(tmp_path).removed.values()) == ["half written"]
    contents = {path: path.read_bytes() for path in checkpoints(tmp_path)}
    run_study(study_of(), tmp_path)
    for path, content in contents.items():
        storage.write(str(path.relative_to(tmp_path)), content)
    assert CheckpointFiles(storage).trials() == [trial]
    why = "a checkpoint of a trial that was committed since"
    assert list(clean(tmp_path).removed.values()) == [why, why]
    assert not checkpoints(tmp_path)


def test_a_fresh_start_removes_checkpoints(whole: Path, tmp_path: Path) -> None:
    interrupted(tmp_path, 21)
    heard = Stop()
    run_study(study_of(), tmp_path, observer=heard, fresh=True)
    assert heard.resumptions == []
    assert heard.notices == ["removed 2 files of earlier results, and none of others"]
    assert_same_study(whole, tmp_path)


def test_the_interval_is_no_part_of_what_a_study_is(whole: Path, tmp_path: Path) -> None:
    interrupted(tmp_path, 21, study_of(every=2))
    assert run_study(study_of(every="1h"), tmp_path) == Summary(2, 0)
    assert_same_study(whole, tmp_path)


SETTINGS = """
trials: 2
settings: {n_clusters: 2, n_examples_per_cluster: 6, n_dim: 7, hidden_sizes: [4], latent_size: 3,
  population_size: 4, epochs: 400, prune_method: random}
"""


@pytest.mark.parametrize(
    ("jobs", "to_all"), [pytest.param("1", False, marks=pytest.mark.slow), ("2", True)]
)
def test_notice_is_time_enough_to_write_trials_down(
    jobs: str, to_all: bool, tmp_path: Path
) -> None:
    """To the driver alone, or to all its processes, as some batch systems do."""
    (tmp_path / "mine.yaml").write_text(SETTINGS)
    command = [
        *(sys.executable, "-m", "aes_lipi", "run", "--local", "--jobs", jobs),
        *("--config", str(tmp_path / "mine.yaml"), "--checkpoint_interval", "40"),
        *("--output_dir", str(tmp_path / "s")),
    ]
    running = warm.start(command, stderr=subprocess.PIPE, new_session=True)
    assert running.stderr is not None
    assert "trials to run" in running.stderr.readline()
    while len({path.parent for path in checkpoints(tmp_path / "s")}) < int(jobs):
        assert running.poll() is None, running.communicate()[1]
        time.sleep(0.05)
    (os.killpg if to_all else os.kill)(running.pid, signal.SIGTERM)
    _, said = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130
    assert said.endswith(
        "error: interrupted; run the same command again to go on where it stopped\n"
    )
    kept = {path.parent: path.stem for path in checkpoints(tmp_path / "s")}
    assert len(kept) == int(jobs)
    assert any(int(name.removeprefix("generation=")) % 40 for name in kept.values())
    again = warm.run(command, check=True)
    assert again.stderr.count("goes on from its checkpoint at generation") == int(jobs)
    run_study(load_study(tmp_path / "mine.yaml"), tmp_path / "whole")
    assert_same_study(tmp_path / "whole", tmp_path / "s")


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("50", CheckpointInterval(generations=50)),
        (7, CheckpointInterval(generations=7)),
        ("30s", CheckpointInterval(seconds=30)),
        ("0.5 s", CheckpointInterval(seconds=0.5)),
        ("5min", CheckpointInterval(seconds=300)),
        ("2h", CheckpointInterval(seconds=7200)),
        ("Never", CheckpointInterval()),
    ],
)
def test_intervals_are_generations_or_times(text: str | int, interval: CheckpointInterval) -> None:
    assert parse_interval(text) == interval


@pytest.mark.parametrize(
    "text", ["0", "-3", "0s", "30 parsecs", "", "1e9", "nan s", "9" * 99, "½s", True]
)
def test_other_intervals_are_refused(text: Any) -> None:
    with pytest.raises(UserError, match="checkpoint_interval: give generations") as error:
        resolve_study("tiny", StudyFile(), {"checkpoint_interval": text})
    assert "\n" not in str(error.value)


def test_generations_are_counted_from_the_last_checkpoint() -> None:
    timer = CheckpointTimer(parse_interval(4), generations=2)
    assert [t for t in range(3, 20) if timer.is_due(t)] == [6, 10, 14, 18]


def test_checkpoints_that_take_long_are_made_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("aes_lipi.execution.trial.time.monotonic", lambda: now)
    timer = CheckpointTimer(parse_interval("10s"), generations=0)
    now = 109.0
    assert not timer.is_due(1)
    now = 110.0
    assert timer.is_due(2)
    now = 113.0
    timer.made()
    now = 113.0 + 59.0
    assert not timer.is_due(3)
    now = 113.0 + 60.0
    assert timer.is_due(4)
