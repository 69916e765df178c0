"""What a notebook or a script uses: studies in, tables and models out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aes_lipi.config import Study, load_configuration, load_preset, resolve_study
from aes_lipi.execution.inputs import with_digests
from aes_lipi.execution.local import LocalRunner
from aes_lipi.execution.run import run_study
from aes_lipi.results.reading import Results, load_results


def load_study(source: str | Path, overrides: Mapping[str, Any] | None = None) -> Study:
    """A preset by name, or a study from a YAML file, with fields replaced.

    Args:
        source: name of a preset, or path of a file ending in .yaml or .yml, or in .json as the
            published code has it; what means nothing of that here is named in a warning.
        overrides: fields of `Variant`, `trials` and `checkpoint_interval`; each replaces the field
            wherever the study sets or sweeps it. A list is swept.

    Raises:
        UserError: no study has that name or path, or a field or value is wrong; the line says what
            to give.
    """
    path = Path(source)
    if path.suffix in (".yaml", ".yml", ".json"):
        said = load_configuration(path)
        if said.ignored:
            warnings.warn(f"{path}: ignored: {', '.join(said.ignored)}", stacklevel=2)
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
) -> Results:
    """Run what is missing of a study and read its results.

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

    Raises:
        UserError: the folder holds another study or is in use by another driver, the data are
            unfit, or results cannot be written.
    """
    location = Path("results") / study.name if output_dir is None else output_dir
    runner = LocalRunner(jobs, trials_per_worker)
    run_study(
        study,
        location,
        runner,
        retry_failed=retry_failed,
        restore_models=restore_models,
        fresh=fresh,
    )
    return load_results(location)
