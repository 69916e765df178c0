"""A driver of the prepared study in a process of its own: `driver.py LOCATION RUN [hang]`.

It fails as the command line does: one line, exit code 2. With `hang`, it commits one trial and then
waits to be killed.
"""

from __future__ import annotations

import sys
import time

from prepared import prepared_files, prepared_study, run_prepared, trial_ids

from aes_lipi.errors import UserError
from aes_lipi.results.store import ResultStore

TRIALS = 6


def hang(location: str) -> None:
    study = prepared_study(TRIALS)
    store = ResultStore(location)
    with store.locked():
        store.open(study)
        first = trial_ids(study)[0]
        store.commit(first, prepared_files(first))
        print("committed", flush=True)
        time.sleep(600)


def main() -> int:
    location, run = sys.argv[1:3]
    try:
        if "hang" in sys.argv:
            hang(location)
        for trial in run_prepared(prepared_study(TRIALS), location, int(run)):
            print(trial.trial)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
