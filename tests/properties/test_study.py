"""Whatever happens to a study, and in which order: every trial ends once, and nothing is lost."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aes_lipi.execution.messages import (
    Action,
    Blocked,
    Checkpointed,
    Commit,
    Computed,
    Event,
    Failed,
    GiveUp,
    Heard,
    Leaving,
    Lost,
    Opened,
    Queued,
    Reached,
    Replace,
    Retry,
    RoomLost,
    ShutdownAsked,
    Start,
    Started,
    Stop,
    Tick,
    WriteCheckpoint,
    WriteFailure,
    Written,
)
from aes_lipi.execution.rooms import FIRST_WAIT_S, LONGEST_WAIT_S, MOST_LOSSES
from aes_lipi.execution.study import GRACE_S, StudyState, TrialProgress
from aes_lipi.results.trial_files import TrialFiles, TrialId

EPOCHS = 20
SIZES = (1, 3, 1, 8, 2)


class AStudy(RuleBasedStateMachine):
    """A world of rooms, trials and a folder, in which anything may happen to them.

    It does what it is told, and keeps its own books: which trials run where, how far they are, and
    what is written down.
    """

    def __init__(self) -> None:
        super().__init__()
        ids = iter(TrialId("v0123456789", k) for k in range(sum(SIZES)))
        self.stacks = tuple(tuple(next(ids) for _ in range(size)) for size in SIZES)
        self.trials = [trial for stack in self.stacks for trial in stack]
        self.state = StudyState(TrialProgress(each, "some", EPOCHS) for each in self.trials)
        self.now = 0.0
        self.rooms: dict[int, set[TrialId]] = {}
        self.reached = dict.fromkeys(self.trials, 0)
        self.written = dict.fromkeys(self.trials, 0)
        self.endings: Counter[TrialId] = Counter()
        self.losses: Counter[TrialId] = Counter()
        self.furthest = dict.fromkeys(self.trials, -1)
        self.not_before = dict.fromkeys(self.trials, 0.0)
        self.waits: dict[TrialId, float] = {}
        self.asked_at: float | None = None
        self.stops: list[Stop] = []
        self.tell(Queued(self.stacks))

    def tell(self, event: Event) -> None:
        for action in self.state.handle(event, self.now):
            assert not self.stops, f"{action} after the end"
            self.do(action)

    def do(self, action: Action) -> None:
        match action:
            case Start(room, trials):
                self.start(room, trials)
            case Replace(room):
                self.rooms.pop(room, None)
                assert not any(self.rooms.get(room, ()))
            case Retry(trials, after_s):
                assert FIRST_WAIT_S <= after_s <= LONGEST_WAIT_S
                for trial in trials:
                    assert after_s >= self.waits.get(trial, 0.0) or self.losses[trial] == 1
                    self.waits[trial] = after_s
                    self.not_before[trial] = self.now + after_s
            case WriteCheckpoint(trial, checkpoint):
                self.written[trial] = checkpoint.generations
            case Commit(trial) | WriteFailure(trial) | GiveUp(trial):
                if isinstance(action, GiveUp):
                    assert self.losses[trial] == MOST_LOSSES
                self.endings[trial] += 1
                self.tell(Written(trial, None if isinstance(action, Commit) else "failed"))
            case Stop():
                self.stops.append(action)

    def start(self, room: int, trials: tuple[TrialId, ...]) -> None:
        assert self.asked_at is None, "started after a notice"
        assert self.rooms[room] == set(), "started in a room that is taken"
        for trial in trials:
            assert not any(trial in each for each in self.rooms.values()), "started while it runs"
            assert not self.endings[trial], "started after its end"
            assert self.now >= self.not_before[trial], "started before its wait was over"
            self.reached[trial] = self.written[trial]
        self.rooms[room] = set(trials)
        for trial in trials:
            self.tell(Started(trial, self.written[trial]))

    def lose(self, trial: TrialId, kept: int) -> None:
        """Keep count of a loss."""
        self.losses[trial] = 1 if kept > self.furthest[trial] else self.losses[trial] + 1
        self.furthest[trial] = max(self.furthest[trial], kept)

    def running(self) -> list[TrialId]:
        return sorted(trial for each in self.rooms.values() for trial in each)

    def a_running(self, data: st.DataObject) -> TrialId:
        return data.draw(st.sampled_from(self.running()))

    def room_of(self, trial: TrialId) -> int:
        return next(room for room, trials in self.rooms.items() if trial in trials)

    def take_out(self, trial: TrialId) -> None:
        self.rooms[self.room_of(trial)].discard(trial)

    @precondition(lambda self: len(self.rooms) < 5)
    @rule()
    def open_a_room(self) -> None:
        room = max(self.rooms, default=0) + 1
        self.rooms[room] = set()
        self.tell(Opened(room))

    @rule(seconds=st.sampled_from([0.0, 0.4, 1.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.tell(Tick())

    @precondition(lambda self: self.running())
    @rule(data=st.data(), generations=st.integers(1, 6))
    def advance(self, data: st.DataObject, generations: int) -> None:
        trial = self.a_running(data)
        self.reached[trial] = min(EPOCHS, self.reached[trial] + generations)
        self.tell(Heard(trial, Reached(self.reached[trial])))

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def checkpoint(self, data: st.DataObject) -> None:
        trial = self.a_running(data)
        self.tell(Heard(trial, Checkpointed(self.reached[trial], b"")))

    @precondition(lambda self: self.running())
    @rule(data=st.data(), fails=st.booleans())
    def end(self, data: st.DataObject, fails: bool) -> None:
        trial = self.a_running(data)
        self.take_out(trial)
        ending = Failed("diverged", {}) if fails else Computed(TrialFiles(b"", b"", b""))
        self.tell(Heard(trial, ending))

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def kill_a_room(self, data: st.DataObject) -> None:
        trial = self.a_running(data)
        room = self.room_of(trial)
        for each in self.rooms.pop(room):
            self.lose(each, self.written[each])
        self.tell(RoomLost(room, "killed"))

    @precondition(lambda self: any(len(each) == 1 for each in self.rooms.values()))
    @rule(data=st.data())
    def lose_cells(self, data: st.DataObject) -> None:
        alone = sorted(room for room, trials in self.rooms.items() if len(trials) == 1)
        [trial] = self.rooms[data.draw(st.sampled_from(alone))]
        self.take_out(trial)
        self.written[trial] = self.reached[trial]  # by the driver that kept it
        self.lose(trial, self.reached[trial])
        self.tell(Heard(trial, Lost(self.reached[trial], "an actor")))

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        trial = self.a_running(data)
        self.checkpoint_of(trial)
        self.take_out(trial)
        self.tell(Heard(trial, Leaving()))

    def checkpoint_of(self, trial: TrialId) -> None:
        self.tell(Heard(trial, Checkpointed(self.reached[trial], b"")))

    @rule(trial=st.integers(0, sum(SIZES) - 1))
    def speak_too_late(self, trial: int) -> None:
        if self.trials[trial] not in self.running():
            self.tell(Heard(self.trials[trial], Computed(TrialFiles(b"", b"", b""))))

    @precondition(lambda self: self.asked_at is None and self.now > 50)
    @rule()
    def ask_for_shutdown(self) -> None:
        self.asked_at = self.now
        self.tell(ShutdownAsked())

    @precondition(lambda self: self.now > 100)
    @rule()
    def fill_the_disk(self) -> None:
        self.tell(Blocked("the disk is full"))

    @invariant()
    def no_trial_ends_twice(self) -> None:
        assert all(count == 1 for count in self.endings.values())

    @invariant()
    def nothing_is_counted_twice_or_forgotten(self) -> None:
        if self.stops:
            return
        progress = self.state.trials
        for trial in self.trials:
            assert 0 <= progress[trial].done <= EPOCHS
            assert progress[trial].ended == bool(self.endings[trial])
        for trial in self.running():
            assert progress[trial].generations == self.reached[trial]
        assert self.state.committed + self.state.failed == self.endings.total()
        assert set(self.state.under_way) >= set(self.running())

    @invariant()
    def the_study_ends_in_time_once_it_is_asked_to(self) -> None:
        if self.asked_at is not None and not self.stops:
            assert self.now <= self.asked_at + GRACE_S
            assert self.running()

    def teardown(self) -> None:
        """Left alone, all that did not end does; every trial was ended once."""
        while not self.stops and self.state.is_busy:
            self.now += LONGEST_WAIT_S
            if len(self.rooms) < 5:
                self.open_a_room()
            self.tell(Tick())
            for trial in self.running():
                if trial in self.running():
                    self.take_out(trial)
                    self.tell(Heard(trial, Computed(TrialFiles(b"", b"", b""))))
        if not self.stops:
            assert all(self.endings[trial] == 1 for trial in self.trials)
        super().teardown()


AStudy.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestAStudy = AStudy.TestCase
