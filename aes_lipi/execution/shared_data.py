"""Large data sets that a driver reads once and its worker processes map instead of reading again.

The rows lie in a file without a name, so that nothing is left of it however the driver ends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from aes_lipi.data.dataset import Dataset
from aes_lipi.data.minmax import MinMax

SHARED_FROM = 2**25
"""Bytes; smaller data sets are read by every worker."""


@dataclass(frozen=True)
class SharedDataset:
    """A data set whose rows another process of this machine can map.

    Attributes:
        path: of the file that holds the rows of training, test and validation, one after another.
        name: see `Dataset`.
        n_rows: of the three splits.
        n_dim: width of a row.
        columns: see `Dataset`.
        scaling: see `Dataset`.
    """

    path: str
    name: str
    n_rows: tuple[int, int, int]
    n_dim: int
    columns: tuple[str, ...] | None
    scaling: MinMax | None

    def mapped(self) -> Dataset:
        """The data set, read-only, its rows in memory that all who map them share.

        Raises:
            OSError: the file is gone, with the process that made it.
        """
        shape = (sum(self.n_rows), self.n_dim)
        rows = np.asarray(np.memmap(self.path, np.float32, "r", shape=shape))
        train, test, validation = np.split(rows, np.cumsum(self.n_rows)[:-1])
        return Dataset(
            self.name, train, test, validation, columns=self.columns, scaling=self.scaling
        )


@contextmanager
def shared(dataset: Dataset) -> Iterator[SharedDataset]:
    """Lay a data set out for other processes of this machine, while a block runs.

    Raises:
        OSError: there is no room for it.
    """
    with ExitStack() as files:
        stream: IO[bytes] = files.enter_context(tempfile.TemporaryFile())
        path = f"/proc/{os.getpid()}/fd/{stream.fileno()}"
        if not Path(path).exists():  # not on Linux: a file with a name
            stream = files.enter_context(tempfile.NamedTemporaryFile())
            path = stream.name
        for rows in dataset.splits:
            stream.write(np.ascontiguousarray(rows).data)
        stream.flush()
        held = SharedDataset(
            path=path,
            name=dataset.name,
            n_rows=(len(dataset.train), len(dataset.test), len(dataset.validation)),
            n_dim=dataset.n_dim,
            columns=dataset.columns,
            scaling=dataset.scaling,
        )
        del dataset, rows  # nothing keeps them here while others map the file
        yield held
