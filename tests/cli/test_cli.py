"""The command line as a user types it, in a process of its own where that matters."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
import warm
from patience import PATIENCE_S, wait_until
from studies import breaks_in_trial_one
from typer.testing import CliRunner

from aes_lipi.cli import main
from aes_lipi.cli.commands import app
from aes_lipi.cli.entry import _code_after
from aes_lipi.config import Variant
from aes_lipi.config.variant import BUILT_IN
from aes_lipi.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--n_clusters", "2", "--n_examples_per_cluster", "4", "--n_dim", "6", "--device", "cpu"]


def run_py(*arguments: str) -> subprocess.CompletedProcess[str]:
    return warm.run([sys.executable, ROOT / "run.py", *arguments], cwd=ROOT)


@dataclass
class Typed:
    """What a command line said."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Typed]]:
    """`run.py` in this process, whose signals are put back."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: str) -> Typed:
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
        with pytest.raises(SystemExit) as left:
            main("run.py")
        said = capsys.readouterr()
        return Typed(int(left.value.code or 0), said.out, said.err)

    yield run
    for each, handler in before.items():
        signal.signal(each, handler)


def test_list_names_every_preset() -> None:
    done = run_py("--list")
    assert done.returncode == 0
    names = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    assert {path.stem for path in (ROOT / "configs").glob("*.yaml")} <= names


def test_a_dry_run_knows_the_memory_of_this_machine(
    typed: Callable[..., Typed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aes_lipi.execution.limits.allowed_memory", lambda: 1000)
    dry = ("--rq", "quickstart", "--dry_run")
    done = typed(*dry)
    assert done.returncode == 2
    assert "a trial needs " in done.stderr
    assert typed(*dry, "--address", "cluster:6379").returncode == 0
    monkeypatch.setenv("RAY_ADDRESS", "cluster:6379")
    assert typed(*dry).returncode == 0


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--scale", "standard"], "scale: standard is of a table, and means nothing without one"),
        (["--columns", "a"], "columns: ('a',) is of a table"),
        (["--validation_fraction", "0.3"], "validation_fraction: 0.3 is of a table"),
        (["--loss", "math:sin"], "loss math:sin: "),
        (["--device", "cuda", "--local"], "device: cuda"),
    ],
)
def test_a_dry_run_refuses_what_the_run_refuses(
    typed: Callable[..., Typed], flags: list[str], told: str, tmp_path: Path
) -> None:
    if "cuda" in flags and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    study = ("--rq", "quickstart", "--output_dir", str(tmp_path / "out"), *flags)
    said = {typed(*study, *more).stderr for more in ((), ("--dry_run",))}
    assert len(said) == 1
    assert told in said.pop()
    assert not (tmp_path / "out").exists()


def test_where_memory_ends_a_line_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert _code_after(MemoryError("Unable to allocate 3.2 GiB")) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the memory that this process may use ran out; choose fewer")


def test_a_dry_run_lists_the_trials_and_writes_nothing(
    typed: Callable[..., Typed], tmp_path: Path
) -> None:
    folder = tmp_path / "none"
    arguments = ["--rq", "lexi_prob", "--epochs", "3", "--trials", "2", "--population_size", "3"]
    done = typed(*arguments, "--dry_run", "--output_dir", str(folder))
    assert done.returncode == 0
    head, *lines, last = done.stdout.splitlines()
    assert head == (
        "lexi_prob: 12 variants of 2 trials; swept: prune_method random, lexicase; prune_schedule "
        "fixed, increase, population, decrease, exponential, final_n"
    )
    assert len(lines) == 12
    assert all("  trial=0000-0001  " in line and " on one core" in line for line in lines)
    assert last.startswith("24 trials, about ")
    assert not folder.exists()


def test_seed_is_another_name_of_rng_seed(typed: Callable[..., Typed]) -> None:
    names = [
        typed("--rq", "capacity", flag, "7", "--dry_run").stdout
        for flag in ("--seed", "--rng-seed")
    ]
    assert names[0] == names[1]
    assert names[0] != typed("--rq", "capacity", "--dry_run").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--rq", "nosuch"], "no such preset"),
        (["--rq", "best_of_lip"], "did you mean best_of_lipi"),
        (["--rq", "quickstart", "--epochs", "0"], "epochs"),
        (["--rq", "quickstart", "--prune_probability", "1.5"], "prune_probability"),
        (["--rq", "quickstart", "--prune_method", "magic"], "prune_method"),
        (["--rq", "quickstart", "--epoch", "3"], "--epoch"),
        (["--rq", "quickstart", "--n_clusters", "7"], "choose a multiple of 7"),
        (["--rq", "quickstart", "--config", "x.yaml"], "exclude each other"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--data", "nowhere.csv"], "nowhere.csv"),
        (["--rq", "quickstart", "--ann_path", "nowhere"], "nowhere"),
        (["--rq", "quickstart", "--jobs", "0"], "--jobs"),
        ([], "nothing to run"),
        (["--create_data", "--data", "x.csv"], "leave out --data"),
        (["--rq", "environment", "--engine", "dense", "--device", "cuda"], "dense"),
        (["--create_data", "--output_dir", "s3://bucket/data"], "s3://bucket/data"),
        (["--rq", "quickstart", "--output_dir", "foo://bucket"], "foo://bucket"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    typed: Callable[..., Typed], arguments: list[str], told: str, tmp_path: Path
) -> None:
    done = typed("--output_dir", str(tmp_path / "out"), *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert told in line
    assert not (tmp_path / "out").exists()


def test_a_missing_value_in_the_data_is_told_with_its_place(
    typed: Callable[..., Typed], tmp_path: Path
) -> None:
    values = np.random.default_rng(0).random((40, 3))
    values[17, 1] = np.nan
    pd.DataFrame(values, columns=["a", "b", "c"]).to_csv(tmp_path / "d.csv", index=False)
    done = typed("--data", str(tmp_path / "d.csv"), "--output_dir", str(tmp_path / "out"))
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "column 'b', row 18" in line
    assert not (tmp_path / "out").exists()


def test_a_preset_runs_end_to_end_and_prints_its_table(tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--rq", "capacity", *TINY, "--epochs", "2", "--population-size", "3"]
    done = run_py(*arguments, "--output-dir", str(out), "--jobs", "2", "--local")
    assert done.returncode == 0, done.stderr
    assert "lexicase" in done.stdout
    assert f"results: {out}" in done.stdout
    assert len(pd.read_parquet(out / "trials")) == 2
    again = run_py(*arguments, "--output-dir", str(out))
    assert again.returncode == 0
    assert "0 trials to run, 2 done before" in again.stderr


@pytest.mark.parametrize(
    ("field", "n_values"), [("environment", 6), ("cell_evaluation", 5), ("topology", 4)]
)
def test_every_choice_of_a_field_runs_from_the_command_line(
    typed: Callable[..., Typed], field: str, n_values: int, tmp_path: Path
) -> None:
    choices = BUILT_IN.get(field) or get_args(Variant.model_fields[field].annotation)
    choices = tuple(choice for choice in choices if choice != "graph")  # which needs its edges
    done = typed(
        *("--rq", "quickstart", "--trials", "1", "--epochs", "3", "--population_size", "4"),
        *("--prune_method", "None", f"--{field}", ",".join(choices), *TINY),
        *("--dataset_name", "2_4_6", "--output_dir", str(tmp_path / "out"), "--jobs", "1"),
    )
    assert done.returncode == 0, done.stderr
    trials = pd.read_parquet(tmp_path / "out/trials")
    assert set(trials[field]) == set(choices)
    assert len(choices) == n_values
    assert set(pd.read_parquet(tmp_path / "out/generations")["generation"]) == {0, 1, 2}


def test_the_exit_code_is_1_until_failed_trials_are_tried_again(
    typed: Callable[..., Typed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = ["--rq", "quickstart", "--trials", "3", "--epochs", "1", "--population_size", "2"]
    study += ["--prune_method", "None", *TINY, "--output_dir", str(tmp_path / "out")]
    study += ["--local", "--jobs", "1"]
    with monkeypatch.context() as patch:
        patch.setattr("aes_lipi.coevolution.evolution.generation", breaks_in_trial_one)
        done = typed(*study)
    assert done.returncode == 1
    assert "training diverged" in done.stderr
    assert sorted(pd.read_parquet(tmp_path / "out/trials")["trial"]) == [0, 2]
    assert typed(*study).returncode == 1
    again = typed(*study, "--retry_failed")
    assert again.returncode == 0, again.stderr
    assert sorted(pd.read_parquet(tmp_path / "out/trials")["trial"]) == [0, 1, 2]


def test_a_users_own_study_and_data(typed: Callable[..., Typed], tmp_path: Path) -> None:
    matrix = (np.random.default_rng(1).random((60, 8)) < 0.5).astype(np.float32)
    np.save(tmp_path / "mine.npy", matrix)
    (tmp_path / "study.yaml").write_text(
        "description: mine\ntrials: 1\nsettings: {epochs: 2, population_size: 3, "
        "prune_method: [magnitude, activation_low], prune_probability: 1.0, hidden_sizes: [5, 4]}\n"
    )
    done = typed(
        *("--config", str(tmp_path / "study.yaml"), "--data", str(tmp_path / "mine.npy")),
        *("--output_dir", str(tmp_path / "out"), "--jobs", "1", "--store_all_nodes"),
    )
    assert done.returncode == 0, done.stderr
    trials = pd.read_parquet(tmp_path / "out/trials")
    assert trials["architecture"].tolist() == ["8-5-4-4-4-5-8"] * 2  # half of the columns
    assert trials["dataset_name"].tolist() == ["mine"] * 2
    assert trials["store_all_nodes"].all()


def test_the_size_of_all_centres_is_said_and_asked_for() -> None:
    """Of the published study: 30 trials of four variants, and of a small one."""
    words = ("run", "--rq", "best_of_lipi", "--store_generations", "all", "--local")
    line = r"all generations take 110\.3 GiB, up to 0\.92 GiB a trial"
    with pytest.raises(UserError, match=rf"{line}; give --yes if there is room"):
        CliRunner().invoke(app, words, catch_exceptions=False, standalone_mode=False)
    shown = CliRunner().invoke(app, [*words, "--dry_run"], catch_exceptions=False).output
    assert re.search(line, " ".join(shown.split()))
    small = ("run", "--rq", "quickstart", "--test", *words[3:], "--dry_run")
    shown = CliRunner().invoke(app, small, catch_exceptions=False).output
    assert re.search(r"all generations take [\d.]+ MiB, up to [\d.]+ MiB a trial", shown)


def test_create_data_writes_what_data_reads(typed: Callable[..., Typed], tmp_path: Path) -> None:
    made = typed("--create_data", *TINY[:-2], "--output_dir", str(tmp_path / "data"))
    assert made.returncode == 0, made.stderr
    [path] = made.stdout.split()
    done = typed(
        *("--rq", "quickstart", "--epochs", "1", "--trials", "1", "--data", path),
        *("--output_dir", str(tmp_path / "out"), "--jobs", "1"),
    )
    assert done.returncode == 0, done.stderr
    trials = pd.read_parquet(tmp_path / "out/trials")
    assert trials["architecture"].iloc[0].startswith("6-30-3")


@pytest.mark.parametrize(
    "deadly",
    [
        signal.SIGINT,
        *(pytest.param(each, marks=pytest.mark.slow) for each in (signal.SIGTERM, signal.SIGKILL)),
    ],
)
def test_a_stopped_study_goes_on_where_it_stopped(
    deadly: signal.Signals, typed: Callable[..., Typed], tmp_path: Path
) -> None:
    study = [
        *("--rq", "quickstart", "--trials", "3", "--epochs", "150", *TINY),
        *("--population_size", "3", "--output_dir", str(tmp_path / "out"), "--local"),
    ]
    process = start(*study, "--jobs", "2")
    markers = tmp_path / "out" / "committed"
    wait_until(lambda: any(markers.glob("*/*.json")))
    process.send_signal(deadly)
    _, errors = process.communicate(timeout=PATIENCE_S)
    if deadly == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130
        assert errors.splitlines()[-1].startswith("error: interrupted; run the same command again")
    assert "Traceback" not in errors
    done = settled_count(markers) if deadly == signal.SIGKILL else committed(markers)
    assert 0 < done < 6
    again = typed(*study, "--jobs", "1")
    assert again.returncode == 0, again.stderr
    assert f"{6 - done} trials to run, {done} done before" in again.stderr
    assert len(pd.read_parquet(tmp_path / "out" / "trials")) == 6
    assert not list((tmp_path / "out").glob("lock-*"))
    assert not (tmp_path / "out" / "failures").exists()


def test_two_command_lines_share_no_folder_and_fresh_starts_again(
    typed: Callable[..., Typed], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = [
        *("--rq", "quickstart", "--trials", "1", "--epochs", "20000", *TINY, "--jobs", "1"),
        *("--population_size", "3", "--output_dir", str(out), "--local"),
    ]
    with start(*arguments) as first:
        wait_until((out / "study.json").exists)
        second = typed(*arguments)
        first.terminate()
    assert second.returncode == 2
    [line] = second.stderr.splitlines()
    assert f"in use by process {first.pid} on {socket.gethostname()}" in line
    changed = [*arguments, "--epochs", "2"]
    refused = typed(*changed)
    assert refused.returncode == 2
    [line] = refused.stderr.splitlines()
    assert "epochs: 20000 there, 2 asked for" in line
    assert typed(*changed, "--fresh").returncode == 0
    assert set(pd.read_parquet(out / "trials")["epochs"]) == {2}
    cleaned = CliRunner().invoke(app, ["clean", str(out)])
    assert cleaned.output == "nothing to remove\n"


def start(*arguments: str) -> subprocess.Popen[str]:
    """`run.py` in a process of its own."""
    return warm.start(
        [sys.executable, ROOT / "run.py", *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
        new_session=True,
    )


def committed(markers: Path) -> int:
    return len(list(markers.glob("*/*.json")))


def settled_count(markers: Path) -> int:
    """Committed trials once the workers have noticed that their driver is gone."""
    count, same_since = -1, time.monotonic()
    while time.monotonic() - same_since < 3:
        now = committed(markers)
        if now != count:
            count, same_since = now, time.monotonic()
        time.sleep(0.1)
    return count
