"""What a running study says of itself in its folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from helpers import setup_of, tiny_study
from rings import begun, course_of
from studies import names, run_study

from aes_lipi.errors import UserError
from aes_lipi.execution import publishing
from aes_lipi.execution.job import Checkpointed, Ending, Failed, Job, jobs_of
from aes_lipi.execution.observer import SilentObserver
from aes_lipi.execution.pace import SETTLED_AFTER_S, Pace
from aes_lipi.execution.publishing import ProgressLedger, published
from aes_lipi.results.checkpoint import Checkpoint, encode_checkpoint
from aes_lipi.results.progress import Progress, read_progress
from aes_lipi.results.store import ResultStore

STUDY = tiny_study(trials=2)
FIRST, SECOND = jobs_of(STUDY)
EPOCHS = FIRST.variant.epochs
TOKEN = "0123456789abcdef" * 2


class MemoryLedger:
    """A ledger that keeps checkpoints, and what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.kept: bytes | None = None

    def resumed(self, job: Job) -> Job:
        self.told.append("resumed")
        return replace(job, checkpoint=self.kept)

    def reached(self, job: Job, generations: int) -> None:
        self.told.append(f"reached {generations}")

    def checkpointed(self, job: Job, checkpoint: Checkpointed) -> None:
        self.told.append("checkpointed")
        self.kept = checkpoint.content

    def finished(self, job: Job, ending: Ending) -> None:
        self.told.append("finished")


def a_checkpoint() -> tuple[Checkpointed, float]:
    """Of the first trial after two generations, and its loss."""
    setup = setup_of(FIRST.variant)
    state = course_of(setup, begun(setup))[1]
    losses = [each.mean_L1 for each in state.records if each.generation == 1]
    whole = Checkpoint(state, datetime.now(UTC), 1.0)
    content = encode_checkpoint(whole, FIRST.variant, "some processor")
    return Checkpointed(2, content), sum(filter(None, losses)) / len(losses)


def test_a_ledger_knows_what_runs_and_passes_everything_on() -> None:
    inner = MemoryLedger()
    ledger = ProgressLedger(inner, [FIRST, SECOND])

    def now() -> tuple[int, list[tuple[int, int, bool]]]:
        progress = ledger.progress(TOKEN)
        rows = [(each.trial, each.generations, bool(each.mean_L1)) for each in progress.running]
        return progress.generations_left, rows

    checkpoint, loss = a_checkpoint()
    assert now() == (2 * EPOCHS, [])
    ledger.resumed(FIRST)
    ledger.reached(FIRST, 2)
    assert now() == (2 * EPOCHS - 2, [(0, 2, False)])
    ledger.checkpointed(FIRST, checkpoint)
    assert ledger.progress(TOKEN).running[0].mean_L1 == pytest.approx(loss)
    inner.kept = None  # its worker is lost, and what it wrote is damaged
    ledger.resumed(FIRST)
    assert now() == (2 * EPOCHS, [(0, 0, False)])
    inner.kept = checkpoint.content
    ledger.resumed(SECOND)
    assert now() == (2 * EPOCHS - 2, [(0, 0, False), (1, 2, True)])
    ledger.finished(FIRST, Failed("diverged", {}))
    assert now() == (EPOCHS - 2, [(1, 2, True)])
    ledger.finished(SECOND, Failed("diverged", {}))
    ledger.reached(SECOND, 3)  # too late to count
    assert now() == (0, [])
    assert inner.told == [
        *("resumed", "reached 2", "checkpointed", "resumed", "resumed"),
        *("finished", "finished", "reached 3"),
    ]


def test_what_is_no_checkpoint_does_not_stop_a_study() -> None:
    ledger = ProgressLedger(MemoryLedger(), [FIRST])
    ledger.resumed(FIRST)
    ledger.checkpointed(FIRST, Checkpointed(2, b"none"))
    assert ledger.progress(TOKEN).running[0].generations == 2


@pytest.fixture
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "LOOK_INTERVAL_S", 0.001)
    monkeypatch.setattr(publishing, "WRITE_INTERVAL_S", 0.01)


def wait_for(store: ResultStore, is_so: Callable[[Progress], bool]) -> None:
    deadline = time.monotonic() + 10
    while (progress := read_progress(store.storage)) is None or not is_so(progress):
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.usefixtures("_often")
def test_the_file_follows_the_study_and_goes_with_it(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    with (
        store.locked() as held,
        published(store, held.lock.token, [FIRST], MemoryLedger()) as ledger,
    ):
        ledger.resumed(FIRST)
        wait_for(store, lambda progress: progress.running[0].generations == 0)
        ledger.reached(FIRST, 2)
        wait_for(store, lambda progress: progress.running[0].generations == 2)
        ledger.finished(FIRST, Failed("diverged", {}))
        wait_for(store, lambda progress: not progress.running)
    assert names(tmp_path) == set()


@pytest.mark.usefixtures("_often")
def test_a_driver_whose_claim_was_taken_over_writes_and_removes_nothing(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    with store.locked() as held:
        store.storage.remove(held.lock.name)
        store.storage.write("progress.json", b"of its successor")
        with published(store, held.lock.token, [FIRST], MemoryLedger()) as ledger:
            ledger.resumed(FIRST)
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


class Slow(SilentObserver):
    def advanced(self, job: Job, generations: int) -> None:
        time.sleep(0.05)


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize("fresh", [False, True])
def test_what_a_killed_driver_left_goes_with_the_next_run(tmp_path: Path, fresh: bool) -> None:
    run_study(STUDY, tmp_path / "a")
    store = ResultStore(tmp_path / "a")
    store.write_progress(ProgressLedger(MemoryLedger(), [FIRST]).progress(TOKEN))
    store.storage.remove(FIRST.id.path("committed"))
    run_study(STUDY, tmp_path / "a", fresh=fresh)
    run_study(STUDY, tmp_path / "b")
    assert names(tmp_path / "a") == names(tmp_path / "b")


def test_pace_counts_what_this_run_did(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pace = Pace()
    pace.begin(100)
    pace.resume(40)
    pace.advance(10)
    assert (pace.left, pace.per_second) == (50, None)
    now += 2 * SETTLED_AFTER_S
    pace.advance(10)
    assert (pace.left, pace.per_second) == (40, 20 / (2 * SETTLED_AFTER_S))
    pace.advance(-20)
    assert pace.per_second is None


def test_a_progress_file_of_somebody_else_makes_no_study(tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text('{"weight": 70}')
    with pytest.raises(UserError, match="not empty and holds no study"):
        run_study(STUDY, tmp_path)
    ResultStore(tmp_path).write_progress(ProgressLedger(MemoryLedger(), [FIRST]).progress(TOKEN))
    assert run_study(STUDY, tmp_path).committed == 2
    assert "progress.json" not in names(tmp_path)
