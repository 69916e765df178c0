"""What a process may use of its machine: the least of what anything allows it.

A machine's cores and memory are seldom a process's own. Affinity, control groups (containers, batch
systems) and the variables that batch systems set each allow less.
"""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/")
_NO_LIMIT = 2**60  # bytes; control groups of version 1 have no word for it
_CORES = (
    "SLURM_CPUS_PER_TASK",
    "SLURM_CPUS_ON_NODE",
    "NSLOTS",  # Grid Engine
    "NCPUS",  # PBS
    "LSB_DJOB_NUMPROC",  # LSF
    "PYTHON_CPU_COUNT",
    "LOKY_MAX_CPU_COUNT",  # joblib
)
"""Variables that say how many cores a process may use."""

_MIB = 2**20
_MEMORY = {"SLURM_MEM_PER_NODE": _MIB}
_MEMORY_OF_A_CORE = {"SLURM_MEM_PER_CPU": _MIB}
"""Variables that say how much memory a process may use, and the bytes of their units."""


@dataclass(frozen=True)
class Limits:
    """What a process may use.

    Attributes:
        present: cores that it may run on.
        cores: those that it may use at a time, at least 1.
        cores_by: what says so; empty where they are all present ones.
        quota: cores' worth of time that its control groups allow; None without a limit.
        memory: bytes that are free for it.
        memory_by: what says so.
        group_memory: bytes that its control groups allow in all; None without a limit.
    """

    present: int
    cores: int
    cores_by: str
    quota: float | None
    memory: int
    memory_by: str
    group_memory: int | None

    def workers(
        self, asked: int | None, by_default: int | None, most: int, each: int
    ) -> tuple[int, str]:
        """How many worker processes are to run, and what the user should know of that, if anything.

        Args:
            asked: what the user asks for, which holds; None for as many as there is room for.
            by_default: as many as that; None for one a core.
            most: that there is work for.
            each: bytes that one takes.
        """
        fit = max(1, self.memory // each)
        room = (
            f"{self.memory / 2**30:.1f} GiB of memory are free ({self.memory_by}), and each takes "
            f"{each / 2**30:.1f}"
        )
        if asked is not None:
            few = fit < min(asked, most)
            return asked, f"--jobs {asked}: {room}, enough for about {fit}" if few else ""
        wanted = by_default or self.cores
        if fit < min(wanted, most):
            return fit, f"{_at_a_time(fit)}: {room}"
        if by_default is None and self.cores < min(self.present, most):
            return wanted, f"{_at_a_time(wanted)}: {self.cores_by}"
        return wanted, ""


def _at_a_time(count: int) -> str:
    return f"{count} {'trial' if count == 1 else 'trials'} at a time"


def limits_of(
    root: Path = _ROOT, environment: Mapping[str, str] = os.environ, present: int | None = None
) -> Limits:
    """The least of what anything allows this process.

    Args:
        root: of the file system.
        environment: of the process.
        present: cores that it may run on; by default what the system says.
    """
    present = _affinity() if present is None else present
    groups = list(_groups(root))
    quota = min(filter(None, map(_quota, groups)), default=None)
    cores = {"": present}
    if quota is not None:
        cores[f"the control group allows {quota:g} of {present} cores"] = math.ceil(quota)
    for name in _CORES:
        if (number := _number(environment.get(name, ""))) is not None:
            cores[f"{name} is {number}"] = number
    cores_by = min(cores, key=lambda each: cores[each])
    least = max(1, cores[cores_by])
    memory = {"of the machine": memory_of(root)[1]}
    allowed = [each for each in map(_memory_limit, groups) if each is not None]
    for limit, used in allowed:
        memory.setdefault("of the control group", limit - used)
        memory["of the control group"] = min(memory["of the control group"], limit - used)
    for name, unit in (_MEMORY | _MEMORY_OF_A_CORE).items():
        if number := _number(environment.get(name, "")):  # 0 is what Slurm says for all of it
            memory[name] = number * unit * (least if name in _MEMORY_OF_A_CORE else 1)
    memory_by = min(memory, key=lambda each: memory[each])
    return Limits(
        present=present,
        cores=least,
        cores_by=cores_by,
        quota=quota,
        memory=max(0, memory[memory_by]),
        memory_by=memory_by,
        group_memory=min((limit for limit, _ in allowed), default=None),
    )


def memory_of(root: Path = _ROOT) -> tuple[int, int]:
    """A machine's memory, and what is available of it now, in bytes."""
    words = words_of(root / "proc/meminfo")
    if "MemAvailable:" in words:
        whole, available = (words[words.index(name) + 1] for name in ("MemTotal:", "MemAvailable:"))
        return 1024 * int(whole), 1024 * int(available)
    whole_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # no Linux
    return whole_bytes, whole_bytes


def allowed_memory() -> int:
    """Bytes that this process may use in all, whoever uses some of them now."""
    of_process, _ = resource.getrlimit(resource.RLIMIT_AS)
    limits = [
        limits_of().group_memory,
        None if of_process == resource.RLIM_INFINITY else of_process,
    ]
    return min([memory_of()[0], *filter(None, limits)])


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _groups(root: Path) -> Iterator[Path]:
    """The folders of the control groups that this process is in, and of those above them."""
    for line in words_of(root / "proc/self/cgroup"):
        _, kinds, path = (*line.split(":", 2), "", "")[:3]
        top = root / "sys/fs/cgroup" / kinds
        group = top / path.lstrip("/")
        yield from (each for each in (group, *group.parents) if each.is_relative_to(top))


def _quota(group: Path) -> float | None:
    """Cores' worth of time that one control group allows, of version 2 or 1."""
    words = words_of(group / "cpu.max") or [
        *words_of(group / "cpu.cfs_quota_us"),
        *words_of(group / "cpu.cfs_period_us"),
    ]
    numbers = [_number(word) for word in words]
    return numbers[0] / numbers[1] if len(numbers) == 2 and numbers[0] and numbers[1] else None


def _memory_limit(group: Path) -> tuple[int, int] | None:
    """Bytes that one control group allows, and those in use that cannot be taken back."""
    files = ("memory.max", "memory.current", "inactive_file")
    if not (group / files[0]).exists():
        files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    limit, used = (_number(" ".join(words_of(group / file))) for file in files[:2])
    if limit is None or limit >= _NO_LIMIT:
        return None
    stat = words_of(group / "memory.stat")
    cache = _number(stat[stat.index(files[2]) + 1]) if files[2] in stat[:-1] else None
    return limit, max(0, (used or 0) - (cache or 0))


def _number(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdigit() and len(word) < 24 else None


def words_of(path: Path) -> list[str]:
    """The words of a text file; none if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return []
