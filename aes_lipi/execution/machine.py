"""What this machine has, and what a study on it will use."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from aes_lipi._version import __version__
from aes_lipi.execution.endings import processor_name
from aes_lipi.execution.process import available_cores
from aes_lipi.results.health import Finding

_LEAST_MEMORY = 2**29  # bytes; a worker process takes some three hundred MB
_NO_LIMIT = 2**60  # bytes; control groups of version 1 have no word for it
_STORES = {"s3": "_s3fs", "gs": "_gcsfs", "abfs": "_azurefs", "hdfs": "_hdfs"}
_GPUS = (
    "import json, torch; n = torch.cuda.device_count(); "
    "print(json.dumps([torch.cuda.get_device_name(k) for k in range(n)]))"
)
_INSTALL = "pip install --constraint constraints.txt ."


@dataclass(frozen=True)
class MachineFacts:
    """What a process on this machine has.

    Attributes:
        python: its version.
        version: of this package.
        packages: what this one needs, and the versions that are installed; None of none.
        pins: versions that `constraints.txt` has, where that is at hand.
        processor: its kind.
        cores: that the process may run on.
        quota: cores' worth of time that its control group allows; None without a limit.
        memory: of the machine, in bytes.
        available: of it now, in bytes.
        limit: bytes that its control group allows; None without a limit.
        target: the processor that kernels are compiled for.
        cache: where compiled kernels are kept; None if nowhere.
        warm: whether they are there.
        gpus: their names.
        torch_error: why torch cannot be used; empty if it can.
        stores: schemes of the object stores that pyarrow was built for.
    """

    python: str
    version: str
    packages: Mapping[str, str | None]
    pins: Mapping[str, str]
    processor: str
    cores: int
    quota: float | None
    memory: int
    available: int
    limit: int | None
    target: str
    cache: str | None
    warm: bool
    gpus: tuple[str, ...]
    torch_error: str
    stores: tuple[str, ...]

    def findings(self) -> list[Finding]:
        """What of a machine will do and what will not, each problem with its remedy."""
        return [
            Finding("python", self.python),
            Finding("aes_lipi", self.version),
            *_of_packages(self),
            _of_cores(self),
            _of_memory(self),
            _of_kernels(self),
            _of_gpus(self),
            Finding("object stores", ", ".join(self.stores) or "none"),
        ]


def inspect_machine() -> MachineFacts:
    """Look at this machine; no network is asked."""
    # Torch is asked in a process of its own: it takes seconds, and may end the process.
    command, pipe = [sys.executable, "-c", _GPUS], subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as asked:
        quota, limit = _group_limits(Path("/"))
        target, cache, warm = _kernels()
        needed = [each for each in requires("aes_lipi") or () if "extra ==" not in each]
        names = [re.split(r"[^\w.-]", each)[0] for each in needed]
        stores = [
            name for name, part in _STORES.items() if importlib.util.find_spec(f"pyarrow.{part}")
        ]
        answer, errors = asked.communicate()
    memory, available = _memory()
    return MachineFacts(
        python=platform.python_version(),
        version=__version__,
        packages={name: _version_of(name) for name in names},
        pins=_pins(),
        processor=processor_name(),
        cores=available_cores(),
        quota=quota,
        memory=memory,
        available=available,
        limit=limit,
        target=target,
        cache=cache,
        warm=warm,
        gpus=tuple(json.loads(answer)) if asked.returncode == 0 else (),
        torch_error=(errors.splitlines() or ["it ended"])[-1] if asked.returncode else "",
        stores=tuple(stores),
    )


def _group_limits(root: Path) -> tuple[float | None, int | None]:
    """What the control groups of this process allow, of version 1 or 2.

    Args:
        root: of the file system.

    Returns:
        cores' worth of time, and bytes of memory: the least of the process's group and of those
        above it; None where there is no limit.
    """
    quotas, limits = [], []
    for group in _groups(root):
        quota = _words(group / "cpu.max") or [
            *_words(group / "cpu.cfs_quota_us"),
            *_words(group / "cpu.cfs_period_us"),
        ]
        if len(quota) == 2 and quota[0] not in ("max", "-1"):
            quotas.append(int(quota[0]) / int(quota[1]))
        words = _words(group / "memory.max") or _words(group / "memory.limit_in_bytes")
        limits += [int(word) for word in words if word != "max" and int(word) < _NO_LIMIT]
    return min(quotas, default=None), min(limits, default=None)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of the control groups that this process is in, and of those above them."""
    for line in _words(root / "proc/self/cgroup"):
        _, kinds, path = line.split(":", 2)
        top = root / "sys/fs/cgroup" / kinds
        group = top / path.lstrip("/")
        yield from (each for each in (group, *group.parents) if each.is_relative_to(top))


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except OSError:
        return []


def _of_packages(facts: MachineFacts) -> list[Finding]:
    said = ", ".join(f"{name} {found}" for name, found in facts.packages.items() if found)
    missing = [name for name, found in facts.packages.items() if not found]
    others = [
        f"{name} {found} instead of {facts.pins[name]}"
        for name, found in facts.packages.items()
        if found and name in facts.pins and facts.pins[name] != found.partition("+")[0]
    ]
    findings = [Finding("packages", said)]
    if missing:
        findings.append(Finding("packages", f"no {', '.join(missing)}", "problem", _INSTALL))
    if others:
        remedy = f"bits may differ from those of others; {_INSTALL}"
        findings.append(Finding("pins", ", ".join(others), "note", remedy))
    return findings


def _of_cores(facts: MachineFacts) -> Finding:
    said = f"{facts.cores} of {facts.processor}"
    if facts.quota is None or facts.quota >= facts.cores:
        return Finding("cores", said)
    said += f", of which the control group allows {facts.quota:g}"
    return Finding("cores", said, "note", f"run with --jobs {max(1, int(facts.quota))}")


def _of_memory(facts: MachineFacts) -> Finding:
    said = f"{_gib(facts.available)} of {_gib(facts.memory)} are free"
    if facts.limit is not None:
        said += f"; the control group allows {_gib(facts.limit)}"
    if min(facts.available, facts.limit or facts.available) < _LEAST_MEMORY:
        return Finding("memory", said, "problem", "end other programs, or allow this one more")
    return Finding("memory", said)


def _of_kernels(facts: MachineFacts) -> Finding:
    if facts.cache is None:
        remedy = "set NUMBA_CACHE_DIR to a folder that can be written"
        return Finding("kernels", "compiled in every process anew", "problem", remedy)
    said = f"for {facts.target}, in {facts.cache}"
    said += "" if facts.warm else ", where the first trial will put them"
    return Finding("kernels", said)


def _of_gpus(facts: MachineFacts) -> Finding:
    if facts.torch_error:
        return Finding("torch", f"cannot be used: {facts.torch_error}", "problem", _INSTALL)
    return Finding("gpu", ", ".join(facts.gpus) or "none: all is computed on the CPU")


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _kernels() -> tuple[str, str | None, bool]:
    """What kernels are compiled for; where they are kept, None if nowhere; whether they are."""
    from aes_lipi.engine.dense.kernels import run_batches  # noqa: PLC0415 - numba is slow to import
    from aes_lipi.engine.dense.target import target_name  # noqa: PLC0415

    kernels: Any = run_batches
    return target_name(), kernels.folder and str(kernels.folder), bool(kernels.cached())


def _pins() -> dict[str, str]:
    """The versions in the `constraints.txt` of a checkout."""
    path = Path(__file__).parents[2] / "constraints.txt"
    return dict(word.split("==") for word in _words(path) if word.count("==") == 1)


def _version_of(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _memory() -> tuple[int, int]:
    """The machine's memory, and what is available of it now, in bytes."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    words = _words(Path("/proc/meminfo"))
    if "MemAvailable:" not in words:  # no Linux
        return whole, whole
    return whole, 1024 * int(words[words.index("MemAvailable:") + 1])
