"""What a worker says of the machine it is on, and what it takes of it."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

import numpy as np

import aes_lipi
from aes_lipi.execution.trial import processor_name
from aes_lipi.execution.workers import one_thread_per_process


@dataclass(frozen=True)
class NodeFacts:
    """A machine as far as it matters to results.

    Attributes:
        host: its name.
        processor: its kind; bits are promised for the same kind.
        versions: of this package and of numpy.
    """

    host: str
    processor: str
    versions: tuple[str, str]


def facts_of_this_node() -> NodeFacts:
    """What is true of the machine that this process runs on."""
    return NodeFacts(socket.gethostname(), processor_name(), (aes_lipi.__version__, np.__version__))


def use_only_what_is_ours(n_gpus: float) -> None:
    """One thread, and no GPU that was not reserved: Ray leaves all of them visible."""
    one_thread_per_process()
    if not n_gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
