"""What a running study says of itself in its folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import tiny_study
from patience import wait_until
from studies import Listener, names, run_study

from aes_lipi.errors import UserError
from aes_lipi.execution import run
from aes_lipi.execution.messages import (
    Checkpointed,
    Computed,
    Event,
    Failed,
    Heard,
    Opened,
    Placed,
    Queued,
    Reached,
    RoomLost,
    Started,
    Tick,
    Written,
    jobs_of,
)
from aes_lipi.execution.run import progress_of, published
from aes_lipi.execution.study import SETTLED_AFTER_S, StudyState, TrialProgress
from aes_lipi.results.description import Progress, read_progress
from aes_lipi.results.store import ResultStore
from aes_lipi.results.trial_files import TrialFiles

STUDY = tiny_study(trials=2)
JOBS = jobs_of(STUDY)
FIRST, SECOND = (job.id for job in JOBS)
EPOCHS = JOBS[0].variant.epochs
TOKEN = "0123456789abcdef" * 2


def a_state(*events: Event) -> StudyState:
    """Of two trials that may both run at once, after some events."""
    state = StudyState(TrialProgress(job.id, job.label, EPOCHS) for job in JOBS)
    for event in (Queued(((FIRST,), (SECOND,))), Opened(0), Opened(1), *events):
        state.handle(event, 0.0)
    return state


def test_progress_says_what_runs_and_counts_nothing_twice() -> None:
    state = a_state()

    def now(*events: Event) -> tuple[int, list[tuple[int, int, float | None]]]:
        for k, event in enumerate(events):
            state.handle(event, float(k))
        said = progress_of(state, TOKEN, 1.0)
        rows = [(each.trial, each.generations, each.mean_L1) for each in said.running]
        return said.generations_left, rows

    assert now() == (2 * EPOCHS, [])
    assert now(Started(FIRST, 0), Heard(FIRST, Reached(2))) == (2 * EPOCHS - 2, [(0, 2, None)])
    checkpointed = Heard(FIRST, Checkpointed(2, b""), 0.25)
    assert now(checkpointed) == (2 * EPOCHS - 2, [(0, 2, 0.25)])
    assert now(RoomLost(0, "killed"), Opened(0), Tick(), Started(FIRST, 0)) == (
        2 * EPOCHS,
        [(0, 0, None)],  # what it wrote is damaged
    )
    assert now(Started(SECOND, 2, 0.5)) == (2 * EPOCHS - 2, [(0, 0, None), (1, 2, 0.5)])
    assert now(Heard(FIRST, Failed("diverged", {})), Written(FIRST, "diverged")) == (
        EPOCHS - 2,
        [(1, 2, 0.5)],
    )
    ended = Heard(SECOND, Failed("diverged", {})), Written(SECOND, "diverged")
    assert now(*ended, Heard(SECOND, Reached(3))) == (0, [])


def test_progress_says_what_was_lost_and_what_the_user_was_told() -> None:
    state = a_state(Started(FIRST, 0), Started(SECOND, 1))
    state.handle(Placed(3, 12.0), 1.0)
    state.handle(RoomLost(0, "killed"), 3.0)
    state.handle(Placed(2, 8.0), 5.0)
    said = progress_of(state, TOKEN, 6.0, since=1000.5)
    name = state.trials[FIRST].label
    assert [(each.at, each.text) for each in said.remarks] == [
        (1000, f"{name}, trial 1: goes on from its checkpoint at generation 1 of {EPOCHS}"),
        (1003, f"{name}, trial 0: was lost (killed), and goes on from its newest checkpoint"),
        (1005, "the cluster lost nodes: 2 of 3 are left"),
    ]
    assert (said.nodes, said.cpus) == (2, 8.0)
    assert Progress.model_validate_json(said.encoded()) == said


def test_the_speed_is_of_what_this_run_did() -> None:
    state = a_state(Started(FIRST, 2), Heard(FIRST, Reached(3)))
    assert progress_of(state, TOKEN, SETTLED_AFTER_S / 2).generations_per_second is None
    later = progress_of(state, TOKEN, 2 * SETTLED_AFTER_S)
    assert later.generations_per_second == 1 / (2 * SETTLED_AFTER_S)
    assert later.seconds_left == EPOCHS * 2 * SETTLED_AFTER_S
    state.handle(Started(FIRST, 0), 1.0)
    assert progress_of(state, TOKEN, 2 * SETTLED_AFTER_S).generations_per_second is None


@pytest.mark.parametrize(("epochs_run", "ran"), [(2, 2), (None, EPOCHS)])
def test_generations_that_an_early_stop_spared_make_nothing_faster(
    epochs_run: int | None, ran: int
) -> None:
    files = TrialFiles(b"", b"", b"")
    ended = Heard(FIRST, Computed(files, epochs_run)), Written(FIRST, None)
    now = progress_of(a_state(Started(FIRST, 0), Heard(FIRST, Reached(1)), *ended), TOKEN, 5.0)
    assert now.generations_per_second == ran / 5.0
    assert now.generations_left == EPOCHS


def test_nor_do_those_that_a_failed_trial_did_not_run() -> None:
    ended = Heard(FIRST, Failed("diverged", {})), Written(FIRST, "diverged")
    now = progress_of(a_state(Started(FIRST, 0), Heard(FIRST, Reached(1)), *ended), TOKEN, 5.0)
    assert now.generations_per_second == 1 / 5.0
    assert now.generations_left == EPOCHS


@pytest.fixture
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_LOOK_INTERVAL_S", 0.001)
    monkeypatch.setattr(run, "WRITE_INTERVAL_S", 0.01)


def wait_for(store: ResultStore, is_so: Callable[[Progress], bool]) -> None:
    wait_until(lambda: (found := read_progress(store.storage)) is not None and is_so(found))


@pytest.mark.usefixtures("_often")
def test_the_file_follows_the_study_and_goes_with_it(tmp_path: Path) -> None:
    store, state = ResultStore(tmp_path), a_state()
    with store.locked() as held, published(store, held.lock.token, state):
        state.handle(Started(FIRST, 0), 0.0)
        wait_for(store, lambda found: found.running[0].generations == 0)
        state.handle(Heard(FIRST, Reached(2)), 0.0)
        wait_for(store, lambda found: found.running[0].generations == 2)
        state.handle(Written(FIRST, None), 0.0)
        wait_for(store, lambda found: not found.running)
    assert names(tmp_path) == set()


@pytest.mark.usefixtures("_often")
def test_a_driver_whose_lock_was_taken_over_writes_and_removes_nothing(tmp_path: Path) -> None:
    store, state = ResultStore(tmp_path), a_state()
    with store.locked() as held:
        store.storage.remove(held.lock.name)
        store.storage.write("progress.json", b"of its successor")
        with published(store, held.lock.token, state):
            state.handle(Started(FIRST, 0), 0.0)
            time.sleep(0.1)
    assert (tmp_path / "progress.json").read_bytes() == b"of its successor"


@pytest.mark.usefixtures("_often")
def test_a_file_that_cannot_be_written_does_not_stop_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def full(self: ResultStore, progress: Progress) -> None:
        tried.append(progress)
        raise UserError("the disk is full")

    monkeypatch.setattr(ResultStore, "write_progress", full)
    run_study(STUDY, tmp_path, observer=Slow())
    assert tried
    assert len(list(tmp_path.glob("trials/*/*.parquet"))) == 2


class Slow(Listener):
    def advanced(self, trial: TrialProgress, generations: int) -> None:
        time.sleep(0.05)


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize("fresh", [False, True])
def test_what_a_killed_driver_left_goes_with_the_next_run(tmp_path: Path, fresh: bool) -> None:
    run_study(STUDY, tmp_path / "a")
    store = ResultStore(tmp_path / "a")
    store.write_progress(progress_of(a_state(), TOKEN, 0.0))
    store.storage.remove(FIRST.path("committed"))
    run_study(STUDY, tmp_path / "a", fresh=fresh)
    run_study(STUDY, tmp_path / "b")
    assert names(tmp_path / "a") == names(tmp_path / "b")


def test_a_progress_file_of_somebody_else_makes_no_study(tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text('{"weight": 70}')
    with pytest.raises(UserError, match="not empty and holds no study"):
        run_study(STUDY, tmp_path)
    (tmp_path / "progress.json").unlink()
    ResultStore(tmp_path).write_progress(progress_of(a_state(), TOKEN, 0.0))
    assert run_study(STUDY, tmp_path).committed == 2
    assert "progress.json" not in names(tmp_path)
