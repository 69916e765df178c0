"""A process that commits trials in children of its own, each stopped until it is let go.

It is told a folder and the number of a run, a line each, and answers with the process id of a child
that will write down the first trial of the prepared study there some times, and then commit it; and
at last with the child's exit status. Instead of a number, `look` has a child read what is there and
write it all down in the index.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from prepared import prepared_checkpoint, prepared_files, prepared_study, trial_ids

from aes_lipi.results import index
from aes_lipi.results.reading import load_results
from aes_lipi.results.store import ResultStore

STUDY = prepared_study()
TRIAL = trial_ids(STUDY)[0]


def commit(directory: Path, run: int) -> None:
    files = prepared_files(TRIAL, run)
    os.kill(os.getpid(), signal.SIGSTOP)
    store = ResultStore(directory)
    with store.locked():
        store.open(STUDY)
        for generations in (1, 2, 3):
            store.write_checkpoint(TRIAL, generations, prepared_checkpoint(generations))
        store.commit(TRIAL, files)


def look(directory: Path) -> None:
    index._WORTH, index._RECENT_S = 1, 0.0
    os.kill(os.getpid(), signal.SIGSTOP)
    load_results(directory)


def main() -> None:
    for line in sys.stdin:
        directory, run = line.rstrip("\n").split("\t")
        child = os.fork()
        if child == 0:
            look(Path(directory)) if run == "look" else commit(Path(directory), int(run))
            os._exit(0)
        os.waitpid(child, os.WUNTRACED)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
