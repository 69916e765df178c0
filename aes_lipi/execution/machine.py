"""What this machine has, and what a study on it will use."""

from __future__ import annotations

import importlib.util
import json
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path
from typing import Any

from aes_lipi._version import __version__
from aes_lipi.engine.processor import processor_name, target_name
from aes_lipi.execution.limits import Limits, limits_of, memory_of, words_of
from aes_lipi.optional import installed_version
from aes_lipi.results.health import Finding

_LEAST_MEMORY = 2**29  # bytes; a worker process takes some three hundred MB
_STORES = {"s3": "_s3fs", "gs": "_gcsfs", "abfs": "_azurefs", "hdfs": "_hdfs"}
_GPUS = (
    "import json, torch; n = torch.cuda.device_count(); "
    "print(json.dumps([torch.cuda.get_device_name(k) for k in range(n)]))"
)
_INSTALL = "pip install --constraint constraints.txt '.[torch]'"
_NO_TORCH = "ModuleNotFoundError: No module named 'torch'"


@dataclass(frozen=True)
class MachineFacts:
    """What a process on this machine has.

    Attributes:
        python: its version.
        version: of this package.
        packages: what this one needs, and torch where it is there, with the versions that are
            installed; None of none.
        pins: versions that `constraints.txt` has, where that is at hand.
        processor: its kind.
        cores: that the process may run on.
        quota: cores' worth of time that its control group allows; None without a limit.
        limit: bytes that its control group allows; None without a limit.
        limits: what the process may use, all in all.
        memory: of the machine, in bytes.
        available: of it now, in bytes.
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
    limit: int | None
    limits: Limits
    memory: int
    available: int
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
        target, cache, warm = _kernels()
        needed = [each for each in requires("aes_lipi") or () if "extra ==" not in each]
        names = [re.split(r"[^\w.-]", each)[0] for each in needed]
        names += ["torch"] if installed_version("torch") else []
        stores = [
            name for name, part in _STORES.items() if importlib.util.find_spec(f"pyarrow.{part}")
        ]
        answer, errors = asked.communicate()
    memory, available = memory_of()
    limits = limits_of()
    return MachineFacts(
        python=platform.python_version(),
        version=__version__,
        packages={name: installed_version(name) for name in names},
        pins=_pins(),
        processor=processor_name(),
        cores=limits.present,
        quota=limits.quota,
        limit=limits.group_memory,
        limits=limits,
        memory=memory,
        available=available,
        target=target,
        cache=cache,
        warm=warm,
        gpus=tuple(json.loads(answer)) if asked.returncode == 0 else (),
        torch_error=(errors.splitlines() or ["it ended"])[-1] if asked.returncode else "",
        stores=tuple(stores),
    )


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
    limits = facts.limits
    said = f"{limits.present} of {facts.processor}"
    if limits.cores >= limits.present:
        return Finding("cores", said)
    return Finding("cores", f"{said}, of which {limits.cores} are used: {limits.cores_by}")


def _of_memory(facts: MachineFacts) -> Finding:
    said = f"{_gib(facts.available)} of {_gib(facts.memory)} are free"
    if facts.limits.memory < facts.available:
        said += f"; for this process {_gib(facts.limits.memory)} ({facts.limits.memory_by})"
    if facts.limits.memory < _LEAST_MEMORY:
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
    if facts.torch_error == _NO_TORCH:
        said = "not installed: all is computed on the CPU, by the engine dense"
        return Finding("torch", f"{said}; pip install 'aes_lipi[torch]' for the engine torch")
    if facts.torch_error:
        return Finding("torch", f"cannot be used: {facts.torch_error}", "problem", _INSTALL)
    return Finding("gpu", ", ".join(facts.gpus) or "none: all is computed on the CPU")


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _kernels() -> tuple[str, str | None, bool]:
    """What kernels are compiled for; where they are kept, None if nowhere; whether they are."""
    from aes_lipi.engine.dense.kernels import run_batches  # noqa: PLC0415 - numba is slow to import

    kernels: Any = run_batches
    return target_name(), kernels.folder and str(kernels.folder), bool(kernels.cached())


def _pins() -> dict[str, str]:
    """The versions in the `constraints.txt` of a checkout."""
    path = Path(__file__).parents[2] / "constraints.txt"
    return dict(word.split("==") for word in words_of(path) if word.count("==") == 1)
