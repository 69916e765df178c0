"""A study under way, as a fold: an event in, actions out.

All that is decided about the trials of a study is decided here: which runs next, how often one that
is lost is tried again and after which wait, when a stack is cut into smaller ones, what becomes of
trials when the process is to stop. There is no clock, process, file or Ray in it; those who have
them (`execution/local.py`, `execution/ray/pool.py`) turn what they see into events, and do
what they are told. How far a study is, for `progress.json` and the terminal, is read from it, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from aes_lipi.execution import messages
from aes_lipi.execution.rooms import MOST_LOSSES, Rooms, Waiting, divided, wait_s
from aes_lipi.results.trial_files import TrialId

GRACE_S = 20.0
"""In which trials are written down before the process is stopped; batch systems give thirty
seconds or more."""

SETTLED_AFTER_S = 2.0
"""Before that, a speed would be a guess."""

PATIENCE_S = 30.0
"""Without a word of a cluster, after which the user is told what is waited for."""

_REMEMBERED = 50  # remarks

MOVES = "its node is about to go, so it goes on elsewhere from where it is"


def waits_for(silent: Sequence[tuple[str, float]], patience_s: float | None = None) -> str:
    """What is known of a cluster from which nothing comes.

    Args:
        silent: see `Placed`.
        patience_s: the same.
    """
    if not silent:
        return (
            "waiting for the cluster: its nodes answer, and nothing has come of these trials for "
            f"{PATIENCE_S:.0f} s (ray status shows what runs and what waits)"
        )
    nodes = ", ".join(f"node {place}: no answer for {since:.0f} s" for place, since in silent)
    after = "" if patience_s is None else f", after about {patience_s:.0f} s without an answer"
    return (
        f"waiting for the cluster: {nodes}; once Ray declares it dead{after}, its trials go on "
        "elsewhere"
    )


@dataclass(frozen=True)
class TrialProgress:
    """How far a trial is.

    Attributes:
        id: variant and number.
        label: the variant's name within the study.
        epochs: generations of a whole trial.
        generations: that it has behind it.
        before: of them, those that an earlier run computed.
        mean_L1: mean loss over its cells when it was written down last; None if not measured.
        starts: how often it was started.
        saved: generations that it would go on from.
        furthest: most generations that it had saved when it was lost; -1 if it never was.
        losses: since it last got further.
        error: why it failed; None if it did not.
        ended: whether how it ended is written down.
    """

    id: TrialId
    label: str
    epochs: int
    generations: int = 0
    before: int = 0
    mean_L1: float | None = None  # noqa: N815 - the column's name for it
    starts: int = 0
    saved: int = 0
    furthest: int = -1
    losses: int = 0
    error: str | None = None
    ended: bool = False

    @property
    def is_under_way(self) -> bool:
        """Whether it was started, and has not ended."""
        return self.starts > 0 and not self.ended

    @property
    def done(self) -> int:
        """Generations that need not be computed any more."""
        return self.epochs if self.ended else self.generations

    def lost(self) -> TrialProgress:
        """The same after a loss: one more, or the first if more was saved than ever before."""
        losses = 1 if self.saved > self.furthest else self.losses + 1
        return replace(self, furthest=max(self.furthest, self.saved), losses=losses)


class StudyState:
    """The trials of a study, where they run, and what becomes of them.

    Args:
        trials: to run.

    Attributes:
        trials: how far they are.
        under_way: those that were started and have not ended, in the order of their first start.
        committed: trials whose results are there, of this run or earlier ones.
        failed: trials of this run that failed.
        cluster: nodes and processors of the cluster; None on one machine.
        first_news: when the first generation was heard of; None before.
        remarks: what was lost and what the user was told, the newest last, and when.
    """

    def __init__(self, trials: Iterable[TrialProgress]) -> None:
        self.trials = {trial.id: trial for trial in trials}
        self.under_way: dict[TrialId, None] = {}
        self.committed = self.failed = 0
        self.cluster: tuple[int, float] | None = None
        self._placed: messages.Placed | None = None
        self.first_news: float | None = None
        self.remarks: deque[tuple[float, str]] = deque(maxlen=_REMEMBERED)
        self._rooms = Rooms()
        self._leave_by: float | None = None
        self._stopped = False
        self._heard_at = float("inf")

    @property
    def is_busy(self) -> bool:
        """Whether any trial runs, or waits for a room."""
        return self._rooms.any_runs or self._rooms.any_waits

    @property
    def busy_rooms(self) -> list[int]:
        """The rooms in which trials run."""
        return self._rooms.busy

    @property
    def generations_left(self) -> int:
        """Generations of all trials that are still to be done."""
        return sum(each.epochs - each.done for each in tuple(self.trials.values()))

    def generations_per_second(self, now: float) -> float | None:
        """Generations a second that this run has done; None as long as nobody can know.

        Args:
            now: seconds of the clock of `handle`.
        """
        elapsed = 0.0 if self.first_news is None else now - self.first_news
        here = sum(each.generations - each.before for each in tuple(self.trials.values()))
        return None if elapsed < SETTLED_AFTER_S or here <= 0 else here / elapsed

    def handle(self, event: messages.Event, now: float) -> list[messages.Action]:
        """Take in what has happened, and say what is to be done about it, in this order.

        Args:
            event: what has happened.
            now: seconds of a clock that never goes back.
        """
        if self._stopped:
            return []
        if not isinstance(event, messages.Tick | messages.Placed):
            self._heard_at = now
        actions = self._take(event, now)
        self.remarks += [(now, each.text) for each in actions if isinstance(each, messages.Say)]
        if self._leave_by is None:
            actions += [messages.Start(room, trials) for room, trials in self._rooms.fill(now)]
        elif now > self._leave_by or not (self._rooms.any_runs or self._is_whole(actions)):
            actions.append(messages.Stop())
        self._stopped = any(isinstance(action, messages.Stop) for action in actions)
        return actions

    def _is_whole(self, actions: Sequence[messages.Action]) -> bool:
        """Whether all trials have ended, or will have when these actions are done."""
        last = (messages.Commit, messages.WriteFailure)
        ending = {each.trial for each in actions if isinstance(each, last)}
        return all(each.ended or each.id in ending for each in self.trials.values())

    def _take(self, event: messages.Event, now: float) -> list[messages.Action]:
        actions: list[messages.Action] = []
        match event:
            case messages.Began(committed):
                self.committed = committed
            case messages.Queued(stacks, kind):
                self._rooms.queue(kind, map(Waiting, stacks))
            case messages.Opened(room, kind):
                self._rooms.open(room, kind)
            case messages.Started():
                actions += self._started(event)
            case messages.Heard(trial) if self._rooms.runs(trial):
                actions += self._hear(event, now)
            case messages.RoomLost(room) if room in self._rooms:
                actions += self._lose_room(event, now)
            case messages.Written(trial, error):
                self._settle(trial, error)
            case messages.Placed():
                self._place(event, now)
            case messages.Remarked(text):
                actions.append(messages.Say(text))
            case messages.Blocked(text):
                actions.append(messages.Stop(text))
            case messages.ShutdownAsked() if self._leave_by is None:
                actions += self._shut_down(now)
            case messages.Tick():
                actions += self._complain(now)
        return actions

    def _started(self, event: messages.Started) -> list[messages.Action]:
        before = self.trials[event.trial]
        first = before.starts == 0
        self.under_way[event.trial] = None
        self.trials[event.trial] = now = replace(
            before,
            generations=event.generations,
            saved=event.generations,
            before=event.generations if first else before.before,
            mean_L1=event.mean_L1,
            starts=before.starts + 1,
        )
        return [messages.Say(_goes_on(now))] if first and event.generations else []

    def _hear(self, event: messages.Heard, now: float) -> list[messages.Action]:
        """Take in what a trial says."""
        trial, progress = event.trial, self.trials[event.trial]
        actions: list[messages.Action] = []
        match event.message:
            case messages.Reached(generations):
                self.trials[trial] = replace(progress, generations=generations)
                self.first_news = now if self.first_news is None else self.first_news
            case messages.Checkpointed(t) as checkpoint:
                at = replace(progress, generations=t, saved=t, mean_L1=event.mean_L1)
                self.trials[trial] = at
                actions.append(messages.WriteCheckpoint(trial, checkpoint))
            case messages.Computed(files, epochs_run):
                ran = progress.epochs if epochs_run is None else epochs_run
                self.trials[trial] = replace(progress, generations=ran)
                actions += [messages.Commit(trial, files), *self._leave(trial)]
            case messages.Failed() as failed:
                actions += [messages.WriteFailure(trial, failed), *self._leave(trial)]
            case messages.Leaving():
                actions += self._move(trial)
            case messages.Lost(generations, reason):
                actions += self._lose_cells(trial, generations, reason, now)
            case messages.Refused(text):
                actions.append(messages.Stop(text))
        return actions

    def _place(self, event: messages.Placed, now: float) -> None:
        """Take in how large the cluster is."""
        before = 0 if self.cluster is None else self.cluster[0]
        if event.nodes < before:
            text = f"the cluster lost nodes: {event.nodes} of {before} are left"
            self.remarks.append((now, text))
        self.cluster, self._placed = (event.nodes, event.cpus), event

    def _leave(self, trial: TrialId, *, moves: bool = False) -> list[messages.Action]:
        """A trial runs no more where it ran."""
        left = self._rooms.leave(trial, moves=moves)
        return [] if left is None else [messages.Replace(left)]

    def _move(self, trial: TrialId) -> list[messages.Action]:
        """A trial is written down and has stopped: it goes on elsewhere, unless all is to stop."""
        if self._leave_by is not None:
            return self._leave(trial)
        return [
            messages.Say(f"{_name(self.trials[trial])}: {MOVES}"),
            *self._leave(trial, moves=True),
        ]

    def _settle(self, trial: TrialId, error: str | None) -> None:
        """How a trial ended is written down."""
        self.trials[trial] = replace(self.trials[trial], error=error, ended=True)
        self.under_way.pop(trial, None)
        self.committed += error is None
        self.failed += error is not None

    # Losses

    def _lose_room(self, event: messages.RoomLost, now: float) -> list[messages.Action]:
        """Run the trials of a lost room again, or give them up; those that left it lose nothing."""
        kind, trials = self._rooms.close(event.room)
        if self._leave_by is not None:
            return []
        if not event.again:
            given_up = [messages.GiveUp(trial, event.reason, event.details) for trial in trials]
            return [messages.Replace(event.room), *given_up]
        error = self._lost_too_often(event.reason)
        again, ends = self._count_losses(trials, error, event.details)
        after_s, parts = self._retries(again)
        self._remark_loss(again, event.reason, "from its newest checkpoint", now)
        self._rooms.put_first(kind, [Waiting(part, now + after_s) for part in parts])
        return [
            messages.Replace(event.room),
            *ends,
            *(messages.Retry(part, after_s) for part in parts),
        ]

    def _lose_cells(
        self, trial: TrialId, kept: int, reason: str, now: float
    ) -> list[messages.Action]:
        """Let a trial go on in its room, where so many generations are kept, or give it up."""
        if self._leave_by is not None:
            return self._leave(trial)
        self.trials[trial] = replace(self.trials[trial], generations=kept, saved=kept)
        error = f"RuntimeError: its cells were lost again and again: {reason}"
        again, ends = self._count_losses((trial,), error, "")
        if not again:
            return [messages.Replace(self._rooms.close_of(trial)), *ends]
        after_s, _ = self._retries(again)
        self._remark_loss(again, reason, f"from generation {kept}", now)
        self._rooms.rest(trial, now + after_s)
        return [messages.Retry(again, after_s)]

    def _count_losses(
        self, trials: Sequence[TrialId], error: str, details: str
    ) -> tuple[tuple[TrialId, ...], list[messages.GiveUp]]:
        """Those of some lost trials that are tried again, and what is done of the others."""
        for trial in trials:
            self.trials[trial] = self.trials[trial].lost()
        again = tuple(each for each in trials if self.trials[each].losses < MOST_LOSSES)
        return again, [
            messages.GiveUp(each, error, details) for each in trials if each not in again
        ]

    def _remark_loss(self, trials: Sequence[TrialId], reason: str, where: str, now: float) -> None:
        for trial in trials:
            text = f"{_name(self.trials[trial])}: was lost ({reason}), and goes on {where}"
            self.remarks.append((now, text))

    def _retries(self, trials: tuple[TrialId, ...]) -> tuple[float, list[tuple[TrialId, ...]]]:
        """The wait before lost trials are started again, and those that are started together."""
        losses = max((self.trials[trial].losses for trial in trials), default=1)
        return wait_s(losses), divided(trials, losses)

    def _lost_too_often(self, reason: str) -> str:
        if self.cluster is not None:
            return f"RuntimeError: its worker was lost again and again: {reason}"
        return (
            f"RuntimeError: its worker process was {reason} {MOST_LOSSES} times; is there enough "
            "memory? Try fewer --jobs"
        )

    # The end, and the time until then

    def _shut_down(self, now: float) -> list[messages.Action]:
        """Start nothing more, and let what runs be written down."""
        self._leave_by = now + GRACE_S
        self._rooms.forget_waiting()
        return [messages.Leave(room) for room in self._rooms.busy]

    def _complain(self, now: float) -> list[messages.Action]:
        """If nothing moves on a cluster, say what is waited for."""
        if self._placed is None or not self.is_busy or now - self._heard_at <= PATIENCE_S:
            return []
        self._heard_at = now
        return [messages.Say(waits_for(self._placed.silent, self._placed.patience_s))]


def _name(trial: TrialProgress) -> str:
    return f"{trial.label}, trial {trial.id.trial}"


def _goes_on(trial: TrialProgress) -> str:
    """One line on a trial that an earlier run began."""
    of = f"{trial.generations} of {trial.epochs}"
    return f"{_name(trial)}: goes on from its checkpoint at generation {of}"
