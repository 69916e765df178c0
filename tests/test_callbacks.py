"""Callbacks, time limits and failures of runs from Python."""

from __future__ import annotations

import logging
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import TINY
from studies import assert_same_study

import aes_lipi
from aes_lipi.callbacks import End, RecordedGeneration
from aes_lipi.config import Study
from aes_lipi.errors import UserError
from aes_lipi.execution.study import TrialProgress
from aes_lipi.results.reading import Results


def study(**settings: Any) -> Study:
    fields = {**TINY, "hidden_sizes": [4], "trials": 2, "prune_method": "None"}
    return aes_lipi.load_study("quickstart", {**fields, "record_interval": 2, **settings})


class Heard(aes_lipi.Callback):
    """Remembers what it was told, and ends what it is asked to."""

    def __init__(self, end: End = None, after: int = -1) -> None:
        self.end, self.after = end, after
        self.told: list[tuple[int, int]] = []
        self.trials: list[int] = []
        self.results: Results | None = None

    def on_generation(self, generation: RecordedGeneration) -> End:
        self.told.append((generation.trial.trial, generation.generation))
        assert list(generation.cells["generation"].unique()) == [generation.generation]
        assert list(generation.cells["cell"]) == [0, 1, 2, 3]
        return self.end if generation.generation == self.after else None

    def on_trial(self, trial: TrialProgress) -> End:
        self.trials.append(trial.id.trial)
        return None

    def on_study(self, results: Results) -> None:
        self.results = results


@pytest.mark.parametrize("jobs", [1, 2])
def test_callbacks_hear_of_everything_and_change_nothing(jobs: int, tmp_path: Path) -> None:
    heard = Heard()
    results = aes_lipi.run(study(epochs=4), tmp_path / "heard", jobs, callbacks=[heard])
    assert sorted(heard.told) == [(trial, t) for trial in (0, 1) for t in (0, 2, 3)]
    assert sorted(heard.trials) == [0, 1]
    assert heard.results is results
    aes_lipi.run(study(epochs=4), tmp_path / "plain")
    assert_same_study(tmp_path / "heard", tmp_path / "plain")


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ([Heard], r"^callbacks: Heard is a class; give an instance of it, Heard\(\)$"),
        (Heard(), r"^callbacks: .*Heard.* is no list; give instances, as in callbacks=\[Stop\(\)"),
        (Heard, "is no list"),
        ([print], "is no callback; derive its class from aes_lipi.Callback"),
    ],
)
def test_what_is_no_callback_is_refused_before_anything_runs(
    callbacks: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        aes_lipi.run(study(), tmp_path / "none", callbacks=callbacks)
    assert not (tmp_path / "none").exists()


def test_a_callback_ends_trials_alike_in_one_process_and_in_two(tmp_path: Path) -> None:
    for jobs in (1, 2):
        ends = [Heard("trial", after=2)]
        found = aes_lipi.run(study(epochs=9), tmp_path / str(jobs), jobs, callbacks=ends)
        assert found.trials["stopped"].to_list() == ["callback"] * 2
        assert found.trials["epochs_run"].to_list() == [3, 3]
        assert found.generations["generation"].max() == 2
    assert_same_study(tmp_path / "1", tmp_path / "2")
    shorter = aes_lipi.run(study(epochs=3), tmp_path / "shorter")
    np.testing.assert_array_equal(shorter.trials["mean_L1"], found.trials["mean_L1"])


def test_trials_side_by_side_end_each_for_itself(tmp_path: Path) -> None:
    class First(Heard):
        def on_generation(self, generation: RecordedGeneration) -> End:
            super().on_generation(generation)
            return "trial" if generation.trial.trial == 0 else None

    engine = {"engine": "torch", "epochs": 3}
    options: dict[str, Any] = {"callbacks": [First()], "trials_per_worker": 2}
    found = aes_lipi.run(study(**engine), tmp_path / "both", **options)
    assert found.trials["epochs_run"].to_list() == [1, 3]
    alone = aes_lipi.run(study(**engine), tmp_path / "alone")
    assert found.trials["mean_L1"][1] == alone.trials["mean_L1"][1]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_callback_ends_a_study_that_goes_on_later(jobs: int, tmp_path: Path) -> None:
    ended = Heard("study", after=2)
    long = study(epochs=2000, trials=3)
    found = aes_lipi.run(long, tmp_path / "out", jobs, callbacks=[ended])
    assert ended.results is found
    assert len(found.trials) < 3
    assert list((tmp_path / "out" / "checkpoints").rglob("*.safetensors"))


def test_a_time_limit_ends_a_study_that_goes_on_later(tmp_path: Path) -> None:
    found = aes_lipi.run(study(epochs=10**6), tmp_path / "out", time_limit="1.5s")
    assert len(found.trials) == 0
    assert list((tmp_path / "out" / "checkpoints").rglob("*.safetensors"))
    for long in (600, float("inf")):
        aes_lipi.run(study(epochs=2), tmp_path / "short", time_limit=long)


def test_a_limit_ends_no_other_run_of_the_process(tmp_path: Path) -> None:
    others: list[int] = []

    def run_beside() -> None:
        others.append(len(aes_lipi.run(study(epochs=400), tmp_path / "other").trials))

    beside = threading.Thread(target=run_beside)
    beside.start()
    ended = aes_lipi.run(study(epochs=10**6), tmp_path / "out", time_limit=0.5)
    beside.join()
    assert (len(ended.trials), others) == (0, [2])


@pytest.mark.parametrize("limit", ["soon", float("nan"), -1, 0, [3]])
def test_a_limit_that_is_none_is_refused(limit: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"time_limit: .+ is no time; give seconds \(90\)"):
        aes_lipi.run(study(), tmp_path / "out", time_limit=limit)
    assert not (tmp_path / "out").exists()


def test_what_is_no_study_or_no_way_to_fail_is_refused(tmp_path: Path) -> None:
    wrong: Any = "quickstart"
    with pytest.raises(UserError, match=r"study: 'quickstart' is none; give what load_study"):
        aes_lipi.run(wrong, tmp_path / "out")
    with pytest.raises(UserError, match="on_failure: 'quickstart' is neither 'warn' nor 'raise'"):
        aes_lipi.run(study(), tmp_path / "out", on_failure=wrong)


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_callback_raises_is_no_failure_of_a_trial(jobs: int, tmp_path: Path) -> None:
    wrong: Any = "all"
    with pytest.raises(ValueError, match=r"a callback returned 'all'; return 'trial', 'study'"):
        aes_lipi.run(study(), tmp_path / "out", jobs, callbacks=[Heard(wrong, after=0)])
    assert aes_lipi.load_results(tmp_path / "out").failures.empty


def test_failed_trials_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wild = study(learning_rate=10.0, learning_rate_policy="walk", learning_rate_sd=1e300)
    wild = wild.model_copy(
        update={"variants": (wild.variants[0].model_copy(update={"learning_rate": 1e38}),)}
    )
    said = r"^2 trials failed; the first, .*, trial 0: DivergenceError: training diverged: .*"
    with caplog.at_level(logging.INFO, "aes_lipi"), pytest.warns(UserWarning, match=said):
        found = aes_lipi.run(wild, tmp_path / "out")
    assert len(found.failures) == 2
    assert sum("failed: DivergenceError" in line for line in caplog.messages) == 2
    with pytest.raises(aes_lipi.UserError, match=said):
        aes_lipi.run(wild, tmp_path / "out", on_failure="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(aes_lipi.run(study(), tmp_path / "well").failures) == 0


def test_progress_is_shown_where_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    aes_lipi.run(study(), tmp_path / "quiet")
    assert capsys.readouterr() == ("", "")
    aes_lipi.run(study(), tmp_path / "loud", progress=True)
    assert "quickstart: 2 trials to run, 0 done before" in capsys.readouterr().err
