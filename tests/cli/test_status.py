"""How a study stands, asked from another process: at work, killed, done, and damaged."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import warm
from patience import PATIENCE_S, wait_until
from prepared import (
    prepared_checkpoint,
    prepared_failure,
    prepared_files,
    prepared_study,
    run_prepared,
    trial_ids,
)
from studies import names
from typer.testing import CliRunner

from aes_lipi.cli import main
from aes_lipi.cli.commands import app
from aes_lipi.config import Study
from aes_lipi.errors import UserError
from aes_lipi.results.description import (
    PROGRESS_FILE,
    Progress,
    RunningTrial,
    read_progress,
)
from aes_lipi.results.lock import STALE_AFTER_S, Lock
from aes_lipi.results.processes import Process
from aes_lipi.results.store import ResultStore

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--n_clusters", "2", "--n_examples_per_cluster", "4", "--n_dim", "6", "--device", "cpu"]
COUNTS = ("total", "committed", "running", "failed", "pending")
ELSEWHERE = Process("node7", "another boot/pid:[1]", 4242, "1")
STUDY = prepared_study(5, rng_seed=[1, 2])
FIRST, SECOND, THIRD, FOURTH = trial_ids(STUDY)[:4]
TOKEN = "0123456789abcdef" * 2


def start(folder: Path, *flags: str) -> subprocess.Popen[str]:
    command = [
        *(sys.executable, str(ROOT / "run.py"), "--rq", "quickstart", "--prune_method", "None"),
        *(*TINY, "--population_size", "3", "--trials", "2", "--checkpoint_interval", "1s"),
        *("--jobs", "1", "--local", "--output_dir", str(folder), *flags),
    ]
    return warm.start(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT)


def asked(folder: Path) -> dict[str, Any]:
    """What `status --json` says, and that it writes nothing."""
    told = CliRunner().invoke(app, ["status", str(folder), "--json"])
    assert told.exit_code == 0, told.output
    answer: dict[str, Any] = json.loads(told.stdout)
    return answer


def counts(answer: dict[str, Any]) -> tuple[int, ...]:
    each = (answer, *answer["variants"])
    assert all(sum(list(one["trials"].values())[1:]) == one["trials"]["total"] for one in each)
    return tuple(answer["trials"][name] for name in COUNTS)


def wait_for(folder: Path, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    answers: list[dict[str, Any]] = []

    def is_said() -> bool:
        answers.append(asked(folder))
        return is_so(answers[-1])

    wait_until((folder / "study.json").exists)
    wait_until(is_said)
    return answers[-1]


def is_under_way(answer: dict[str, Any]) -> bool:
    moved = any(trial["generations"] for trial in answer["running"])
    return moved and answer["trials"]["committed"] > 0


def test_a_study_at_work_killed_and_done(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    with start(folder, "--epochs", "2,1000000") as driver:
        answer = wait_for(folder, is_under_way)
        driver.kill()
    who = {"host": socket.gethostname(), "pid": driver.pid}
    assert answer["study"] == "quickstart"
    assert answer["directory"] == str(folder)
    assert answer["driver"] == {**who, "alive": True}
    assert answer["trials"]["total"] == 4
    assert counts(answer)[2] == len(answer["running"]) >= 1
    assert {one["label"] for one in answer["running"]} <= {"epochs=2", "epochs=1000000"}

    before = names(folder)
    assert "progress.json" in before
    killed = asked(folder)
    assert killed["driver"] == {**who, "alive": False}
    assert (killed["running"], killed["seconds_left"]) == ([], None)
    assert counts(killed) == (4, *counts(killed)[1:2], 0, 0, 4 - counts(killed)[1])
    assert names(folder) == before

    with start(folder, "--epochs", "2,3", "--fresh") as driver:
        _, errors = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 0, errors
    done = asked(folder)
    assert counts(done) == (4, 4, 0, 0, 0)
    assert done["driver"] is None
    assert all(one["median_mean_L1"] > 0 < one["median_test_loss"] for one in done["variants"])
    assert all(
        one["median_test_L1_by_validation"] >= one["median_test_L1"] > 0 and one["chosen_on_test"]
        for one in done["variants"]
    )
    tops = {path.name for path in folder.iterdir()}
    assert tops == {"study.json", "trials", "generations", "models", "committed"}


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """Two variants of five trials: of the first two committed, one failed, one on its way."""
    store = ResultStore(tmp_path)
    store.open(STUDY)
    for trial in (FIRST, SECOND):
        store.commit(trial, prepared_files(trial))
    store.record_failure(THIRD, prepared_failure(THIRD))
    store.write_checkpoint(FOURTH, 2, prepared_checkpoint(2))
    return store


def progress_of(lock: str, **changes: Any) -> Progress:
    running = [
        RunningTrial(variant=each.variant, label="x", trial=each.trial, generations=7, epochs=9)
        for each in (SECOND, FOURTH)
    ]
    fields = {"generations_per_second": 2.0, "generations_left": 5, "running": tuple(running)}
    return Progress(lock=lock, **{**fields, **changes})


def test_what_a_living_driver_says_is_believed_where_the_files_say_no_better(
    store: ResultStore, tmp_path: Path
) -> None:
    with store.locked() as held:
        store.write_progress(progress_of(held.lock.token))
        answer = asked(tmp_path)
    assert list(answer) == [
        *("study", "directory", "driver", "trials", "variants", "running"),
        *("generations_per_second", "seconds_left", "without_model", "nodes", "cpus", "remarks"),
    ]
    assert answer["driver"] == {"host": socket.gethostname(), "pid": os.getpid(), "alive": True}
    assert counts(answer) == (10, 2, 1, 1, 6)
    assert answer["running"] == [
        {
            **{"variant": FOURTH.variant, "label": "x", "trial": 3},
            **{"generations": 7, "epochs": 9, "mean_L1": None},
        }
    ]
    assert (answer["generations_per_second"], answer["seconds_left"]) == (2.0, 2.5)
    first, second = answer["variants"]
    assert first == {
        **{"variant": FIRST.variant, "label": STUDY.label(STUDY.variants[0])},
        "trials": dict(zip(COUNTS, (5, 2, 1, 1, 1), strict=True)),
        **{"median_mean_L1": 0.5, "median_test_loss": None, "median_test_L1": None},
        **{"median_test_L1_by_validation": None, "chosen_on_test": True},
    }
    assert second["trials"] == dict(zip(COUNTS, (5, 0, 0, 0, 5), strict=True))


def test_a_failed_trial_that_runs_again_runs(store: ResultStore, tmp_path: Path) -> None:
    again = RunningTrial(variant=THIRD.variant, label="x", trial=2, generations=0, epochs=9)
    with store.locked() as held:
        store.write_progress(progress_of(held.lock.token, running=(again,)))
        assert counts(asked(tmp_path)) == (10, 2, 1, 0, 7)


def test_what_another_driver_said_is_not_believed(store: ResultStore, tmp_path: Path) -> None:
    with store.locked():
        store.write_progress(progress_of(TOKEN))
        answer = asked(tmp_path)
    assert answer["driver"]["alive"]
    assert counts(answer) == (10, 2, 0, 1, 7)
    assert counts(asked(tmp_path)) == (10, 2, 0, 1, 7)
    assert asked(tmp_path)["driver"] is None


@pytest.mark.parametrize(
    ("age_s", "alive"), [(0, True), (STALE_AFTER_S - 5, True), (STALE_AFTER_S + 5, False)]
)
def test_a_driver_on_another_machine_lives_as_long_as_it_gives_signs(
    store: ResultStore, tmp_path: Path, age_s: float, alive: bool
) -> None:
    lock = Lock(TOKEN, ELSEWHERE, holding=True)
    store.write_progress(progress_of(TOKEN))
    store.storage.write(lock.name, lock.content())
    at = time.time() - age_s
    os.utime(tmp_path / lock.name, (at, at))
    answer = asked(tmp_path)
    assert answer["driver"] == {"host": "node7", "pid": 4242, "alive": alive}
    assert counts(answer)[2] == alive


def test_progress_of_an_earlier_version_is_believed_and_may_be_replaced(
    store: ResultStore, tmp_path: Path
) -> None:
    with store.locked() as held:
        said = progress_of(held.lock.token)
        earlier = said.encoded().replace(b'"lock":', b'"claim":')
        (tmp_path / PROGRESS_FILE).write_bytes(earlier)
        assert read_progress(store.storage) == said
        store.write_progress(said)
        assert (tmp_path / PROGRESS_FILE).read_bytes() == said.encoded() != earlier


def test_the_table_has_running_trials_below_their_variant(
    store: ResultStore, tmp_path: Path
) -> None:
    with store.locked() as held:
        store.write_progress(progress_of(held.lock.token))
        told = CliRunner().invoke(app, ["status", str(tmp_path)])
    *table, line = told.stdout.splitlines()
    assert line == (
        "2 of 10 trials, 1 running, 1 failed, 6 pending, 2.0 generations/s, 2.5 s left; "
        f"run by process {os.getpid()} on {socket.gethostname()}"
    )
    rows = [[cell.strip() for cell in each.split("│")[1:-1]] for each in table if "│" in each]
    assert rows == [
        ["rng_seed=1", "2 of 5", "1", "1", "1", "", "0.500"],
        ["trial 3", "", "", "", "", "7 of 9", ""],
        ["rng_seed=2", "0 of 5", "", "", "5", "", ""],
    ]
    assert "\x1b" not in told.stdout


def test_nobody_and_somebody_who_is_gone_are_told_apart(store: ResultStore, tmp_path: Path) -> None:
    def last_line() -> str:
        return CliRunner().invoke(app, ["status", str(tmp_path)]).stdout.splitlines()[-1]

    assert last_line() == "2 of 10 trials, 1 failed, 7 pending; nobody runs it"
    gone = Lock(TOKEN, Process("here", "", 7, "1"))
    path = tmp_path / gone.name
    path.write_bytes(gone.content())
    os.utime(path, (0, 0))
    assert last_line().endswith("; nobody runs it: process 7 on here is gone")
    path.write_bytes(b"{")
    assert last_line().endswith("; run by an unknown process")


def test_more_and_fewer_trials_than_the_study_asks_for_now(
    store: ResultStore, tmp_path: Path
) -> None:
    fewer: Study = STUDY.model_copy(update={"trials": 1})
    store.open(fewer)
    assert counts(asked(tmp_path)) == (2, 1, 0, 0, 1)


DAMAGES = {
    "cut": b'{\n "format": 1, "lock": "',
    "empty": b"",
    "bytes": b"\xff\x00\x1b",
    "list": b"[]",
    "deep": b"[" * 100_000,
    "later": b'{"format": 2}',
    "numbers": b'{"format": 1, "lock": "x", "generations_per_second": 0, "running": []}',
    "long": b" " * 20_000_000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_progress_file_is_passed_over(
    store: ResultStore, tmp_path: Path, damage: str
) -> None:
    with store.locked():
        store.storage.write("progress.json", DAMAGES[damage])
        assert counts(asked(tmp_path)) == (10, 2, 0, 1, 7)


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        CliRunner().invoke(app, ["status", str(folder)], catch_exceptions=False)
    return str(error.value)


@pytest.mark.parametrize("content", [*DAMAGES.values(), b'{"name": 1, "trials": 0}', b"{}"])
def test_a_damaged_description_is_told(store: ResultStore, tmp_path: Path, content: bytes) -> None:
    store.storage.write("study.json", content)
    assert refusal(tmp_path).startswith(f"{tmp_path}/study.json: not a study description; ")


def test_damaged_results_and_checkpoints_are_passed_over(
    store: ResultStore, tmp_path: Path
) -> None:
    size = len((tmp_path / FIRST.path("trials")).read_bytes())
    (tmp_path / FIRST.path("trials")).write_bytes(b"x" * size)
    (tmp_path / SECOND.path("committed")).write_bytes(b"{")
    for checkpoint in (tmp_path / "checkpoints").rglob("*.safetensors"):
        checkpoint.write_bytes(b"\xff")
    answer = asked(tmp_path)
    assert counts(answer) == (10, 0, 0, 1, 9)  # of a damaged table it is run again
    assert answer["variants"][0]["median_mean_L1"] is None


def test_a_link_in_place_of_a_file_is_told(store: ResultStore, tmp_path: Path) -> None:
    (tmp_path / "study.json").unlink()
    (tmp_path / "study.json").symlink_to("/dev/zero")
    assert "is a link" in refusal(tmp_path)


def test_a_folder_without_a_study_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for nothing in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        assert refusal(nothing) == f"{nothing}: holds no study; give the --output_dir of one"
    assert not (tmp_path / "nowhere").exists()


def test_a_mistake_has_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["aes-lipi", "status", str(tmp_path), "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"error: {tmp_path}: holds no study; give the --output_dir of one\n"


def test_a_name_that_would_colour_the_terminal_does_not(tmp_path: Path) -> None:
    run_prepared(prepared_study(1), tmp_path)
    description = json.loads((tmp_path / "study.json").read_bytes())
    [variant] = description["variants"].values()
    description["name"], variant["name"] = "\x1b[31m[bold]", "a\nb[/bold]"
    (tmp_path / "study.json").write_text(json.dumps(description))
    told = CliRunner().invoke(app, ["status", str(tmp_path)])
    assert told.exit_code == 0
    assert "?[31m[bold]: " in told.stdout
    assert "a?b[/bold]" in told.stdout
