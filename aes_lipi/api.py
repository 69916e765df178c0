"""What a notebook or a script uses: studies in, tables and models out."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from aes_lipi.callbacks import Callback, Listeners, shown
from aes_lipi.config import Study, load_configuration, load_preset, parse_seconds, resolve_study
from aes_lipi.errors import UserError
from aes_lipi.execution.dry_run import stored_size_line
from aes_lipi.execution.inputs import with_digests
from aes_lipi.execution.local import LocalRunner
from aes_lipi.execution.process import Notice
from aes_lipi.execution.process import time_limit as time_limited
from aes_lipi.execution.run import run_study
from aes_lipi.results.reading import Results, load_results

_log = logging.getLogger("aes_lipi")


def load_study(source: str | Path, overrides: Mapping[str, Any] | None = None) -> Study:
    """A preset by name, or a study from a YAML file, with fields replaced.

    Args:
        source: name of a preset, or path of a file ending in .yaml or .yml, or in .json as the
            published code has it; what means nothing of that here, or is the command's to do, is
            named in a warning.
        overrides: fields of `Variant`, `trials` and `checkpoint_interval`; each replaces the field
            wherever the study sets or sweeps it. A list is swept.

    Raises:
        UserError: no study has that name or path, or a field or value is wrong; the line says what
            to give.
    """
    path = Path(source)
    if path.suffix.lower() in (".yaml", ".yml", ".json"):
        said = load_configuration(path)
        ignored = [
            *(["output_dir"] if said.output_dir else []),
            *(["no_execution"] if said.no_execution else []),
            *said.ignored,
        ]
        if ignored:
            warnings.warn(f"{path}: ignored: {', '.join(ignored)}", stacklevel=2)
        return with_digests(resolve_study(path.stem, said.file, overrides or {}))
    return with_digests(resolve_study(str(source), load_preset(str(source)), overrides or {}))


def run(
    study: Study,
    output_dir: str | Path | None = None,
    jobs: int = 1,
    *,
    trials_per_worker: int | None = None,
    retry_failed: bool = False,
    restore_models: bool = False,
    fresh: bool = False,
    yes: bool = False,
    callbacks: Sequence[Callback] = (),
    time_limit: float | str | None = None,
    on_failure: Literal["warn", "raise"] = "warn",
    progress: bool = False,
) -> Results:
    """Run what is missing of a study and read its results.

    What it says on its way goes to the logger `aes_lipi`.

    Args:
        study: from `load_study`.
        output_dir: folder of the results, or an address as in `s3://bucket/results`;
            `results/<name of the study>` by default.
        jobs: trials at a time, each in a process of its own if there are several. They do not
            import the script that calls this, so it needs no `if __name__ == "__main__":`.
        trials_per_worker: trials that a GPU trains side by side in each process; by default as
            many as its memory holds.
        retry_failed: also run trials that failed before.
        restore_models: also run trials whose model is missing or damaged, to make it again.
        fresh: remove the results that the folder holds, and start again.
        yes: agree to what is refused otherwise, as the command's flag does: centres of all
            generations (`store_generations: all`) that take more than one GiB.
        callbacks: are told of generations, trials and the end of the study, and may end these.
        time_limit: seconds, or a time as in `30min`, after which trials under way are written
            down, and the study ends; the same call goes on with it.
        on_failure: what to do when trials have failed.
        progress: show a bar for every variant, in a terminal or a notebook.

    Raises:
        UserError: an argument is none, the folder holds another study or is in use by another
            driver, the data are unfit, or results cannot be written, or are more than was agreed to
            (`yes`); or trials have failed and that is to be raised.
    """
    location = Path("results") / study.name if output_dir is None else output_dir
    if not isinstance(study, Study):
        raise UserError(f"study: {study!r} is none; give what load_study(...) returns")
    seconds, notice = _checked_limit(time_limit), Notice()
    if on_failure not in ("warn", "raise"):
        raise UserError(f"on_failure: {on_failure!r} is neither 'warn' nor 'raise'; give one")
    line = stored_size_line([study], agreed=yes, flag="yes=True")
    if line:
        _log.info("%s", line)
    heard = Listeners(study, callbacks, notice)
    runner = LocalRunner(jobs, trials_per_worker, heard.end_after if callbacks else None, notice)
    with shown(study, heard, progress) as watch, time_limited(seconds, notice.give) as is_up:
        try:
            run_study(
                study,
                location,
                runner,
                watch,
                retry_failed=retry_failed,
                restore_models=restore_models,
                fresh=fresh,
            )
        except KeyboardInterrupt:
            if not heard.ended and not is_up():
                raise
    if heard.error is not None:
        raise heard.error
    results = load_results(location)
    heard.finished(results)
    _tell_of_failures(results, on_failure)
    return results


def _checked_limit(time_limit: float | str | None) -> float | None:
    """A time limit in seconds.

    Raises:
        UserError: it is none; give seconds, or a time as in 30min.
    """
    if time_limit is None:
        return None
    try:
        seconds = parse_seconds(time_limit) if isinstance(time_limit, str) else float(time_limit)
    except (TypeError, ValueError):
        seconds = math.nan
    if seconds > 0:
        return seconds
    raise UserError(f"time_limit: {time_limit!r} is no time; give seconds (90) or a time ('30min')")


def _tell_of_failures(results: Results, on_failure: Literal["warn", "raise"]) -> None:
    """Say how many trials failed, and why the first did.

    Raises:
        UserError: some failed, and that is to be raised; retry_failed=True runs them again.
    """
    if results.failures.empty:
        return
    first = results.failures.iloc[0]
    text = (
        f"{len(results.failures)} trials failed; the first, {first['variant_name']}, trial "
        f"{first['trial']}: {first['error']} (see .failures; retry_failed=True runs them again)"
    )
    if on_failure == "raise":
        raise UserError(text)
    warnings.warn(text, stacklevel=3)
