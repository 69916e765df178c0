"""A lock on a study's folder: one driver at a time.

Every driver that wants the folder puts down a lock, a file whose name nobody else uses, and then
looks for those of others. The first that sees none marks its own as holding. Of two that start at
once, the one that looks later sees the other's lock, since it looks after the other wrote; if both
see each other, both withdraw and try again after a random while. So there is never more than one
holder, and all that it takes is a store that lists what was written: local disks, NFS (which looks
anew at a folder after a write of its own) and today's object stores, without the kernel's locks,
links or conditional requests, which not all of them have.

A lock is stale if its process is gone. On the same machine the kernel says so: no such process id,
or one that started at another time. Where that cannot be seen (another user's process under
`hidepid`, another machine, boot or namespace of process ids), a lock is stale when its last sign
of life lies `STALE_AFTER_S` behind the new lock's, both by the clock of whatever keeps the files,
and no other comes while the new driver watches for `WATCH_S` of its own; so neither machines whose
clocks differ nor a clock that jumps, anywhere, let a living driver seem dead. Removing a stale
lock cannot hit a live one: no name is used twice.

What this does not promise: a driver that is seen by its signs of life alone, was stopped for longer
than that, and goes on later, finds its lock gone before its next commit, and gives up; only if it
is stopped in the middle of a commit can a file of it still arrive. The digests in the trial's
marker tell readers, and the same command runs that trial again.
"""

from __future__ import annotations

import random
import re
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace

from aes_lipi.errors import UserError
from aes_lipi.io.files import decode_json, encode_json
from aes_lipi.results.processes import Existence, Process, this_process
from aes_lipi.results.storage import Entry, Storage

HEARTBEAT_S = 20.0
STALE_AFTER_S = 120.0
WATCH_S = 1.5 * HEARTBEAT_S

_ATTEMPTS = 20
_FORMAT = 1
_LONGEST = 4096  # bytes
_NAME = re.compile(r"(?:lock|claim)-([0-9a-f]{32})\.json")  # claim: of earlier versions
_UNKNOWN = Process("another machine", "", 0, "")

_own_tokens: set[str] = set()  # of locks that this process has put down and not withdrawn


@dataclass(frozen=True)
class Lock:
    """What a driver's lock says.

    Attributes:
        token: what its file is named after.
        process: the driver.
        holding: whether the driver has the folder, or still looks for others.
    """

    token: str
    process: Process
    holding: bool = False

    @property
    def name(self) -> str:
        """The lock's file."""
        return f"lock-{self.token}.json"

    @property
    def is_readable(self) -> bool:
        """Whether the lock says whose it is."""
        return self.process != _UNKNOWN

    def content(self) -> bytes:
        """What the file holds."""
        return encode_json({"format": _FORMAT, **asdict(self)})

    def is_stale(self, age_s: float) -> bool:
        """Whether its driver is gone.

        Args:
            age_s: since its last sign of life.
        """
        if self.process == this_process():
            return self.token not in _own_tokens
        existence = self._existence()
        return age_s > STALE_AFTER_S if existence == "unknown" else existence == "gone"

    def is_known_gone(self) -> bool:
        """Whether its driver is gone for certain, and not only silent."""
        return self._existence() == "gone" or self.process == this_process()

    def _existence(self) -> Existence:
        return self.process.existence() if self.process.is_local() else "unknown"

    def whose(self) -> str:
        """The driver, for messages."""
        if not self.is_readable:
            return f"an unknown driver ({self.name} cannot be read)"
        return f"process {self.process.pid} on {self.process.host}"


def _clock() -> float:
    """Seconds, of sleep of the machine too where that is counted."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass
class HeldLock:
    """The lock on a folder, while this driver has it.

    Attributes:
        storage: the folder.
        lock: what the driver's file says.
        stale: whose locks were removed because they are gone.
    """

    storage: Storage
    lock: Lock
    stale: tuple[str, ...] = ()
    _ended: threading.Event = field(default_factory=threading.Event)
    _beaten: float = field(default_factory=_clock)
    _longest_silence_s: float = 0.0

    def check(self) -> None:
        """Make sure that nobody else has taken the folder over.

        Raises:
            UserError: this driver's lock is gone; run the same command again later.
        """
        if self.storage.read(self.lock.name, _LONGEST) is None:
            raise UserError(
                f"{self.storage.shown}: this driver's lock on it is gone, and another may have "
                f"taken over: {self._why_gone()}; run the same command again later"
            )

    def _why_gone(self) -> str:
        silence = max(self._longest_silence_s, _clock() - self._beaten)
        if silence > STALE_AFTER_S:
            return f"this one gave no sign of life for {silence:.0f} seconds"
        return f"{self.lock.name} was removed by somebody, though this one gave signs of life"

    def keep_alive(self) -> None:
        """Give a sign of life now and then, until released."""
        while not self._ended.wait(HEARTBEAT_S):
            with suppress(UserError):  # the next one may get through
                if not self._beat():
                    return

    def _beat(self) -> bool:
        """Give a sign of life; False if the lock is gone.

        In an object store a sign is to look for the lock and to write it: what another driver has
        removed in between is there again, and is withdrawn.
        """
        self._longest_silence_s = max(self._longest_silence_s, _clock() - self._beaten)
        if not self.storage.refresh(self.lock.name, self.lock.content()):
            return False
        if _clock() - self._beaten > STALE_AFTER_S and self._is_taken_over():
            self.storage.remove(self.lock.name)
            return False
        self._beaten = _clock()
        return True

    def _is_taken_over(self) -> bool:
        names = (entry.name for entry in self.storage.children())
        others = [name for name in names if is_lock(name) and name != self.lock.name]
        found = (_read(self.storage, name) for name in others)
        return any(other is not None and other.holding for other in found)

    def release(self) -> None:
        """End the signs of life."""
        self._ended.set()


def is_lock(name: str) -> bool:
    """Whether a file at the top of a study's folder is a driver's lock."""
    return _NAME.fullmatch(name) is not None


@contextmanager
def locked(storage: Storage) -> Iterator[HeldLock]:
    """Have a folder while a block runs.

    Raises:
        UserError: another driver has it; the message names its machine and process.
    """
    token = uuid.uuid4().hex
    _own_tokens.add(token)
    try:
        held = _acquire(storage, Lock(token, this_process()))
        heart = threading.Thread(target=held.keep_alive, name="heartbeat", daemon=True)
        heart.start()
        try:
            yield held
        finally:
            held.release()
            heart.join()
    finally:
        _own_tokens.discard(token)
        with suppress(UserError):  # then it is stale, for its process ends
            storage.remove(f"lock-{token}.json")


def lock_on(storage: Storage) -> tuple[Lock, bool] | None:
    """The lock on a folder, as somebody sees it who wants none, and whether its driver lives.

    A driver that cannot be seen from here is taken to live until its last sign of life lies
    `STALE_AFTER_S` behind this machine's clock: who puts no file down has no other to compare with.

    Raises:
        UserError: the folder cannot be read.
    """
    entries = [entry for entry in storage.children() if is_lock(entry.name)]
    locks = [(_read(storage, entry.name), time.time() - entry.modified) for entry in entries]
    found = [(lock, not lock.is_stale(age_s)) for lock, age_s in locks if lock is not None]
    return max(found, key=lambda pair: (pair[1], pair[0].holding), default=None)


def _acquire(storage: Storage, own: Lock) -> HeldLock:
    stale: list[str] = []
    living: list[Lock] = []
    silent: dict[Entry, Lock] = {}
    for attempt in range(_ATTEMPTS):
        storage.write(own.name, own.content())
        living, silent = _others(storage, own, stale)
        if not living and silent:
            _bury(storage, silent, stale)
            continue  # and look anew: others may have come meanwhile
        if not living:
            holding = replace(own, holding=True)
            storage.write(own.name, holding.content())
            living, _ = _others(storage, own, stale)
            if not any(other.holding for other in living):  # as there may be after a long sleep
                return HeldLock(storage, holding, tuple(stale))
        storage.remove(own.name)
        if any(other.holding for other in living):
            break
        time.sleep(random.uniform(0, 0.05 * (attempt + 1)))
    others = living or list(silent.values())  # those whose signs are late, but never end
    raise _refusal(storage, min(others, key=lambda other: not other.holding))


def _others(storage: Storage, own: Lock, stale: list[str]) -> tuple[list[Lock], dict[Entry, Lock]]:
    """Locks of others: those that live, and by their files those that are silent.

    Those of processes that are known to be gone are removed, and named in `stale`.
    """
    entries = {entry.name: entry for entry in storage.children() if is_lock(entry.name)}
    if own.name not in entries:
        raise UserError(
            f"{storage.shown}: does not list what was just written to it; choose another "
            "--output_dir"
        )
    now = entries.pop(own.name).modified
    living: list[Lock] = []
    silent: dict[Entry, Lock] = {}
    for name, entry in entries.items():
        other = _read(storage, name)
        if other is None:
            continue
        if not other.is_stale(now - entry.modified):
            living.append(other)
        elif other.is_known_gone():
            storage.remove(name)
            stale.append(other.whose())
        else:
            silent[entry] = other
    return living, silent


def _bury(storage: Storage, silent: Mapping[Entry, Lock], stale: list[str]) -> None:
    """Watch silent locks, and remove those that get no sign of life meanwhile.

    Args:
        storage: the folder.
        silent: the locks, by their files as they were seen.
        stale: whose locks were removed.
    """
    time.sleep(WATCH_S)
    for entry in storage.children():
        if entry in silent:
            storage.remove(entry.name)
            stale.append(silent[entry].whose())


def _read(storage: Storage, name: str) -> Lock | None:
    """A lock; None if it was withdrawn since. One that cannot be read counts as holding."""
    content = storage.read(name, _LONGEST)
    if content is None:
        return None
    token = name.partition("-")[2].removesuffix(".json")
    document = decode_json(content) or {}
    with suppress(KeyError, TypeError):
        process = Process(**document["process"])
        texts = (process.host, process.machine, process.started)
        known = all(isinstance(value, str) for value in texts) and document.get("token") == token
        if known and type(process.pid) is int and process.pid > 0:
            return Lock(token, process, document.get("holding") is True)
    return Lock(token, _UNKNOWN, holding=True)


def _refusal(storage: Storage, other: Lock) -> UserError:
    patience = "wait for it, or stop it"
    if not other.process.is_local() or other.process.existence() == "unknown":
        patience += (
            f" (once it is gone, its lock ends within {STALE_AFTER_S + WATCH_S:.0f} seconds)"
        )
    return UserError(
        f"{storage.shown}: in use by {other.whose()}; {patience}, or choose another --output_dir"
    )
