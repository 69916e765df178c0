"""Every rule of retries, waits, halving, shutdown and checkpoints, as events in and actions out."""

from __future__ import annotations

import pytest

from aes_lipi.execution.messages import (
    Action,
    Began,
    Blocked,
    Checkpointed,
    Commit,
    Computed,
    Event,
    Failed,
    GiveUp,
    Heard,
    Leave,
    Leaving,
    Lost,
    Opened,
    Placed,
    Queued,
    Reached,
    Refused,
    Remarked,
    Replace,
    Retry,
    RoomLost,
    Say,
    ShutdownAsked,
    Start,
    Started,
    Stop,
    Tick,
    WriteCheckpoint,
    WriteFailure,
    Written,
)
from aes_lipi.execution.rooms import MOST_LOSSES, divided, wait_s
from aes_lipi.execution.study import (
    GRACE_S,
    MOVES,
    PATIENCE_S,
    StudyState,
    TrialProgress,
    waits_for,
)
from aes_lipi.results.trial_files import TrialFiles, TrialId

FILES = TrialFiles(b"", b"", b"")
FAILED = Failed("FloatingPointError: diverged", {})
A, B, C, D = (TrialId("v0123456789", k) for k in range(4))
ALL = (A, B, C, D)
KILLED = "killed by SIGKILL"
PROCESS_KILLED = (
    f"RuntimeError: its worker process was {KILLED} 6 times; is there enough memory? Try fewer "
    "--jobs"
)


class Study:
    """A study of four trials of ten generations, its clock, and the actions since last asked."""

    def __init__(self, *events: Event) -> None:
        self.state = StudyState(TrialProgress(each, "some", 10) for each in ALL)
        self.now = 0.0
        self.told(*events)

    def told(self, *events: Event) -> list[Action]:
        """What is to be done about some events."""
        return [action for event in events for action in self.state.handle(event, self.now)]

    def after(self, seconds: float) -> list[Action]:
        """What is to be done after a while."""
        self.now += seconds
        return self.told(Tick())


def singles(*trials: TrialId) -> Queued:
    return Queued(tuple((trial,) for trial in trials))


def one_room() -> Study:
    """The first trial runs in a room, the second waits."""
    return Study(Began(0), singles(A, B), Opened(0), Started(A, 0))


def a_stack(n: int = 4) -> Study:
    """Some trials run together in a room."""
    return Study(Began(0), Queued((ALL[:n],)), Opened(0), *(Started(each, 0) for each in ALL[:n]))


# Who starts where


def test_trials_start_in_their_order_as_rooms_open() -> None:
    study = Study(Began(0), singles(A, B, C))
    assert study.told(Opened(7)) == [Start(7, (A,))]
    assert study.told(Opened(8)) == [Start(8, (B,))]
    assert study.told(Heard(A, Computed(FILES))) == [Commit(A, FILES), Start(7, (C,))]
    assert study.told(Written(A, None), Heard(B, Computed(FILES))) == [Commit(B, FILES)]
    assert study.state.is_busy
    assert study.told(Heard(C, FAILED)) == [WriteFailure(C, FAILED)]
    assert not study.state.is_busy


def test_rooms_of_a_kind_take_no_trials_of_another() -> None:
    study = Study(Queued(((A,),), kind=1), Queued(((B, C),), kind=2))
    assert study.told(Opened(0, kind=2), Opened(1, kind=2)) == [Start(0, (B, C))]
    assert study.told(Opened(2, kind=1)) == [Start(2, (A,))]


def test_a_stack_leaves_its_room_when_all_of_it_has_ended() -> None:
    study = Study(Queued(((A, B), (C,))), Opened(0))
    assert study.told(Heard(A, Computed(FILES))) == [Commit(A, FILES)]
    assert study.told(Heard(B, FAILED)) == [WriteFailure(B, FAILED), Start(0, (C,))]


def test_a_trial_that_goes_on_from_its_checkpoint_says_so_once() -> None:
    study = Study(singles(A), Opened(0))
    [said] = study.told(Started(A, 4))
    assert said == Say("some, trial 0: goes on from its checkpoint at generation 4 of 10")
    study.told(RoomLost(0, KILLED), Opened(0))
    assert study.after(1.0) == [Start(0, (A,))]
    assert study.told(Started(A, 4)) == []


# What is counted


def test_progress_is_counted_once_whatever_is_computed_again() -> None:
    study = one_room()
    at = study.state.trials
    study.told(Heard(A, Reached(7)), Heard(A, Checkpointed(7, b"c"), 0.5), Heard(A, Reached(9)))
    assert (at[A].generations, at[A].saved, at[A].mean_L1) == (9, 7, 0.5)
    study.told(RoomLost(0, KILLED), Started(A, 7, 0.5))
    assert (at[A].generations, at[A].before, at[A].starts) == (7, 0, 2)
    assert list(study.state.under_way) == [A]
    study.told(Written(A, None))
    assert (at[A].done, study.state.committed, study.state.failed) == (10, 1, 0)
    assert list(study.state.under_way) == []


def test_what_was_committed_before_counts_and_failures_are_told_apart() -> None:
    study = Study(Began(3), Written(A, None), Written(B, "diverged"))
    assert (study.state.committed, study.state.failed) == (4, 1)
    assert study.state.trials[B].error == "diverged"


def test_a_checkpoint_is_written_and_what_is_said_too_late_is_not_heard() -> None:
    study = one_room()
    checkpoint = Checkpointed(5, b"content")
    assert study.told(Heard(A, checkpoint)) == [WriteCheckpoint(A, checkpoint)]
    study.told(RoomLost(0, KILLED))
    assert study.told(Heard(A, checkpoint), Heard(A, Computed(FILES)), Heard(B, FAILED)) == []


# Losses


def test_what_is_lost_is_tried_again_after_growing_waits_and_given_up_the_sixth_time() -> None:
    study = one_room()
    waits = []
    for _ in range(MOST_LOSSES - 1):
        replace, retry, *other = study.told(RoomLost(0, KILLED, "at length"))
        assert replace == Replace(0)
        assert isinstance(retry, Retry)
        assert (retry.trials, other) == ((A,), [])
        waits.append(retry.after_s)
        assert study.after(retry.after_s - 0.01) == []
        assert study.after(0.01) == []  # there is no room yet
        assert study.told(Opened(0), Started(A, 0)) == [Start(0, (A,))]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert study.told(RoomLost(0, KILLED, "at length")) == [
        Replace(0),
        GiveUp(A, PROCESS_KILLED, "at length"),
    ]
    assert study.told(Written(A, PROCESS_KILLED), Opened(0)) == [Start(0, (B,))]


def test_others_do_not_wait_for_what_waits_to_be_tried_again() -> None:
    study = one_room()
    assert study.told(RoomLost(0, KILLED)) == [Replace(0), Retry((A,), 0.5)]
    assert study.told(Opened(0)) == [Start(0, (B,))]
    assert study.after(1.0) == []
    assert study.told(Heard(B, Computed(FILES))) == [Commit(B, FILES), Start(0, (A,))]


def test_waits_grow_to_half_a_minute() -> None:
    assert [wait_s(losses) for losses in (1, 2, 6, 7, 8, 100)] == [0.5, 1.0, 16.0, 30.0, 30.0, 30.0]


def test_progress_begins_the_count_anew_and_only_more_than_ever_before_is_progress() -> None:
    study = one_room()

    def lost_at(saved: int) -> float:
        study.told(Heard(A, Checkpointed(saved, b"")))
        [_, retry] = study.told(RoomLost(0, KILLED))
        assert isinstance(retry, Retry)
        study.after(retry.after_s)
        study.told(Opened(0), Started(A, saved))
        return retry.after_s

    assert [lost_at(t) for t in (3, 3, 3, 4, 4, 3, 4, 5)] == [0.5, 1, 2, 0.5, 1, 2, 4, 0.5]


def test_on_a_cluster_the_reason_is_told_in_its_words() -> None:
    study = one_room()
    study.told(Placed(3, 6.0))
    for _ in range(MOST_LOSSES - 1):
        study.told(RoomLost(0, "WorkerCrashedError: died", "at length"))
        study.after(30.0)
        study.told(Opened(0))
    error = "RuntimeError: its worker was lost again and again: WorkerCrashedError: died"
    found = study.told(RoomLost(0, "WorkerCrashedError: died", "at length"))
    assert found == [Replace(0), GiveUp(A, error, "at length")]


def test_what_trying_again_cannot_mend_is_given_up_at_once() -> None:
    study = a_stack(2)
    assert study.told(RoomLost(0, "TypeError: wrong", "at length", again=False)) == [
        Replace(0),
        GiveUp(A, "TypeError: wrong", "at length"),
        GiveUp(B, "TypeError: wrong", "at length"),
    ]


def test_the_loss_of_an_idle_or_unknown_room_costs_nothing() -> None:
    study = Study(Opened(0))
    assert study.told(RoomLost(0, KILLED), RoomLost(0, KILLED), RoomLost(5, KILLED)) == [Replace(0)]
    assert study.told(singles(A)) == []


# Stacks


@pytest.mark.parametrize(
    ("losses", "parts"),
    [
        (1, [(A, B, C, D)]),
        (2, [(A, B), (C, D)]),
        (4, [(A, B), (C, D)]),
        (5, [(A,), (B,), (C,), (D,)]),
    ],
)
def test_a_stack_is_halved_when_lost_at_the_same_point_and_each_is_alone_at_last(
    losses: int, parts: list[tuple[TrialId, ...]]
) -> None:
    assert divided(ALL, losses) == parts
    assert divided(ALL[:3], 2) == [(A,), (B, C)]
    assert divided((A,), losses) == [(A,)]
    assert divided((), losses) == []


def kill_whoever_runs(study: Study, guilty: TrialId, trials: tuple[TrialId, ...]) -> int:
    """Lose every room in which a trial is, until it is given up; how often."""
    rooms, losses, room = {0: trials}, 0, 0
    while guilty in {each for together in rooms.values() for each in together}:
        number = next(number for number, together in rooms.items() if guilty in together)
        del rooms[number]
        losses += 1
        actions = study.told(RoomLost(number, KILLED))
        study.now += 60.0
        for _ in range(8):  # rooms enough for all parts
            room += 1
            actions += study.told(Opened(room))
        ended = [action.trial for action in actions if isinstance(action, GiveUp)]
        assert set(ended) <= {guilty}
        rooms |= {each.room: each.trials for each in actions if isinstance(each, Start)}
    return losses


@pytest.mark.parametrize("size", [1, 2, 8, 64])
def test_a_trial_that_kills_its_stack_is_given_up_after_six_losses_and_no_other_is(
    size: int,
) -> None:
    trials = tuple(TrialId("v0123456789", k) for k in range(size))
    study = Study()
    study.state = StudyState(TrialProgress(each, "some", 10) for each in trials)
    study.told(Queued((trials,)), Opened(0))
    assert kill_whoever_runs(study, trials[size // 3], trials) == MOST_LOSSES


def test_those_of_a_stack_that_got_further_are_tried_with_those_that_did_not() -> None:
    study = a_stack(2)
    study.told(RoomLost(0, KILLED))
    assert study.after(0.5) == []
    assert study.told(Opened(0)) == [Start(0, (A, B))]
    study.told(Heard(A, Checkpointed(5, b"")))
    assert study.told(RoomLost(0, KILLED)) == [
        *(Replace(0), Retry((A,), 1.0), Retry((B,), 1.0)),
    ]


# Cells that are lost while their trial's driver is not


def test_a_trial_that_lost_cells_goes_on_in_its_room_after_a_wait() -> None:
    study = one_room()
    study.told(Opened(1), Heard(B, Computed(FILES)), singles(C))
    assert study.told(Heard(A, Lost(6, "two actors"))) == [Retry((A,), 0.5)]
    assert study.state.is_busy
    assert study.state.trials[A].generations == 6
    assert study.told(singles(D), Heard(C, Computed(FILES))) == [Commit(C, FILES), Start(1, (D,))]
    assert study.after(0.5) == [Start(0, (A,))]


def test_a_trial_that_loses_cells_six_times_is_given_up_and_its_room_replaced() -> None:
    study = one_room()
    for losses in range(1, MOST_LOSSES):
        assert study.told(Heard(A, Lost(6, "an actor"))) == [Retry((A,), wait_s(losses))]
        assert study.after(wait_s(losses)) == [Start(0, (A,))]
    error = "RuntimeError: its cells were lost again and again: an actor"
    assert study.told(Heard(A, Lost(6, "an actor"))) == [Replace(0), GiveUp(A, error, "")]
    assert study.told(Opened(1)) == [Start(1, (B,))]


def test_a_trial_that_rests_in_a_room_that_is_lost_goes_on_in_another() -> None:
    study = one_room()
    study.told(Heard(A, Lost(6, "an actor")))
    assert study.told(RoomLost(0, "its node")) == [Replace(0)]
    assert study.told(Opened(1)) == [Start(1, (B,))]
    assert study.after(0.5) == []
    assert study.told(Opened(2)) == [Start(2, (A,))]


# Nodes that will be gone


def test_a_trial_that_leaves_its_node_goes_on_elsewhere_at_no_cost() -> None:
    study = one_room()
    said = Say(f"some, trial 0: {MOVES}")
    assert study.told(Heard(A, Leaving())) == [said, Replace(0)]
    assert study.told(Opened(1)) == [Start(1, (A,))]
    assert study.state.trials[A].losses == 0


def test_a_stack_leaves_together_and_those_that_were_killed_before_they_could_lost_once() -> None:
    study = a_stack(3)
    assert study.told(Heard(B, Leaving())) == [Say(f"some, trial 1: {MOVES}")]
    assert study.told(Heard(A, FAILED)) == [WriteFailure(A, FAILED)]
    assert study.told(RoomLost(0, KILLED)) == [Replace(0), Retry((C,), 0.5)]
    assert study.told(Opened(0)) == [Start(0, (B,))]
    assert [study.state.trials[each].losses for each in (B, C)] == [0, 1]


def test_a_trial_that_left_is_not_forgotten_when_the_last_of_its_room_loses_cells() -> None:
    study = a_stack(3)
    study.told(Heard(A, Leaving()), Heard(B, Computed(FILES)), Written(B, None))
    assert study.told(Heard(C, Lost(0, "an actor"))) == [Retry((C,), 0.5)]
    assert study.told(Opened(1)) == [Start(1, (A,))]
    assert study.after(0.5) == [Start(0, (C,))]


# The end


def test_after_a_notice_trials_are_written_down_and_nothing_starts() -> None:
    study = Study(singles(A, B, C, D), Opened(0), Opened(1))
    assert study.told(ShutdownAsked()) == [Leave(0), Leave(1)]
    assert study.told(ShutdownAsked()) == []
    checkpoint = Checkpointed(5, b"")
    assert study.told(Heard(A, checkpoint), Heard(A, Leaving())) == [WriteCheckpoint(A, checkpoint)]
    assert study.told(Opened(2), Tick()) == []
    assert study.told(Heard(B, Computed(FILES))) == [Commit(B, FILES), Stop()]
    assert study.told(Opened(3), Tick(), ShutdownAsked(), Heard(B, Computed(FILES))) == []


@pytest.mark.parametrize(
    "event",
    [RoomLost(0, KILLED), RoomLost(0, KILLED, again=False), Heard(A, Lost(3, "an actor"))],
)
def test_what_is_lost_after_a_notice_is_left_to_the_next_run(event: Event) -> None:
    study = one_room()
    study.told(ShutdownAsked())
    assert study.told(event) == [Stop()]


def test_after_a_notice_nobody_is_waited_for_longer_than_the_grace() -> None:
    study = one_room()
    study.told(ShutdownAsked())
    assert study.after(GRACE_S) == []
    assert study.after(0.1) == [Stop()]


def test_a_notice_to_the_last_trial_as_it_ends_stops_nobody() -> None:
    """All is there then: the study is at its end, and not interrupted."""
    study = Study(singles(A, B, C, D), *(Opened(room) for room in range(4)))
    for trial in (A, B, C):
        study.told(Heard(trial, Computed(FILES)), Written(trial, None))
    study.told(ShutdownAsked())
    assert study.told(Heard(D, Computed(FILES))) == [Commit(D, FILES)]
    assert study.told(Written(D, None), Tick()) == []
    assert not study.state.is_busy
    assert study.state.committed == 4


def test_a_notice_while_nothing_runs_stops_at_once() -> None:
    assert Study(singles(A)).told(ShutdownAsked()) == [Stop()]
    study = one_room()
    study.told(Heard(A, Lost(3, "an actor")), Heard(B, FAILED))
    assert study.told(ShutdownAsked()) == [Stop()]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Heard(A, Refused("no GPU here")), "no GPU here"),
        (Blocked("the disk is full"), "the disk is full"),
    ],
)
def test_what_befalls_all_trials_ends_the_study(event: Event, message: str) -> None:
    study = one_room()
    assert study.told(event) == [Stop(message)]
    assert study.told(Opened(1), RoomLost(0, KILLED), Tick()) == []


def test_a_commit_that_fails_ends_the_study_and_counts_nothing() -> None:
    study = one_room()
    study.told(Heard(A, Computed(FILES)))
    assert study.told(Blocked("the disk is full")) == [Stop("the disk is full")]
    assert study.state.committed == 0


# What the user is told


def test_remarks_are_said() -> None:
    assert Study().told(Remarked("took over")) == [Say("took over")]


def test_a_cluster_that_says_nothing_for_long_is_said_to_be_waited_for() -> None:
    study = one_room()
    assert study.after(10 * PATIENCE_S) == []  # not on one machine
    study.told(Placed(1, 2.0), Heard(A, Reached(1)))
    assert study.after(PATIENCE_S) == []
    study.told(Placed(1, 2.0))
    assert study.after(0.1) == [Say(waits_for(()))]
    assert study.after(1.0) == []
    assert study.after(PATIENCE_S) == [Say(waits_for(()))]
    for patience_s, told in ((65.0, ", after about 65 s without an answer,"), (None, ",")):
        study.told(Placed(2, 2.0, (("10.0.0.3", 40.0),), patience_s))
        [said] = study.after(PATIENCE_S + 0.1)
        assert isinstance(said, Say)
        assert f"node 10.0.0.3: no answer for 40 s; once Ray declares it dead{told}" in said.text
    study.told(Heard(A, FAILED), Heard(B, FAILED))
    assert study.after(2 * PATIENCE_S) == []


def test_the_first_news_are_when_a_generation_was_heard_of() -> None:
    study = one_room()
    study.now = 3.0
    study.told(Heard(A, Reached(1)))
    study.now = 4.0
    study.told(Heard(A, Reached(2)))
    assert study.state.first_news == 3.0
