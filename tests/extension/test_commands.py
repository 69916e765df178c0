"""Plug-ins from the command line, in processes of its own, as the guide to extending says."""

from __future__ import annotations

import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from plugin_modules import (
    ROOT,
    SMALL_DATA,
    TINY,
    refusal_of,
    run_in,
    said_in,
    write_distribution,
    write_module,
)

GUIDE = ROOT / "docs" / "how_to" / "extending.md"
FIELDS = ("prune_method", "prune_schedule", "environment", "loss", "dataset_name", "topology")
_GROUPS = ("prune_methods", "prune_schedules", "environments", "losses", "datasets", "topologies")
SHORT = ["--trials", "1", "--epochs", "3", "--population_size", "4", "--record_interval", "1"]
FAILS_LATER = """
def keep(genome, layout, evidence, settings, rng):
    if (genome == 0).any():
        raise RuntimeError("zeros already")
    return np.arange(genome.size) > 3
"""


def section() -> str:
    """The guide's text."""
    return GUIDE.read_text()


def snippets(language: str) -> list[str]:
    """The code blocks of the section in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", section(), re.DOTALL | re.MULTILINE)


def modules() -> dict[str, str]:
    """The modules that the section shows, by the names of their files."""
    found = re.findall(
        r"^`(\w+\.py)`:\n\n```python\n(.*?)^```$", section(), re.DOTALL | re.MULTILINE
    )
    return dict(found)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with the guide's modules, which other tests do not find imported."""
    for name, code in modules().items():
        (tmp_path / name).write_text(code)
    yield tmp_path
    for name in modules():
        sys.modules.pop(Path(name).stem, None)


# --- the guide


def test_the_guide_has_a_short_module_and_a_command_for_every_field_and_for_parameters() -> None:
    assert len(modules()) == len(snippets("sh")) == len(FIELDS) + 1
    assert all(len(code.splitlines()) < 15 for code in modules().values())
    commands = snippets("sh")
    assert [[f"--{field} " in command for command in commands].count(True) for field in FIELDS] == [
        *(3, 1, 1, 1, 1, 1),
    ]


@pytest.mark.parametrize("field", FIELDS)
def test_a_command_of_the_readme_runs_its_module(field: str, folder: Path) -> None:
    command = next(each for each in snippets("sh") if re.search(rf"--{field} \S*:", each))
    arguments = [*shlex.split(command), *SHORT, "--jobs", "1", "--output_dir", "out", "--local"]
    if field != "dataset_name":
        arguments += SMALL_DATA
    run = run_in if field == "prune_method" else said_in
    done = run(folder, *arguments)
    assert done.returncode == 0, done.stderr
    trials = pd.read_parquet(folder / "out" / "trials")
    [added] = {name for name in trials[field] if ":" in name}
    module, name = added.split(":")
    assert (folder / f"{module}.py").exists()
    ours = trials[trials[field] == added]
    content = "graph" if field == "topology" else "plugins_digest"
    assert ours[content].notna().all()
    generations = pd.read_parquet(folder / "out" / "generations")
    of_ours = generations[generations["variant"].isin(ours["variant"])]
    assert len(of_ours) == 3 * 4 * len(ours)
    assert of_ours["mean_L1"].between(0, 1).all()
    if field in ("prune_method", "prune_schedule"):
        assert name in done.stdout
    if field == "prune_schedule":
        by_t = of_ours.groupby("generation")["prune_probability"].first()
        assert by_t.to_list() == pytest.approx([0, 0.5, 0])  # sin(0), sin(1.5 pi), sin(3 pi)
    if field == "environment":
        assert set(ours["architecture"]) == {"6-120-60-30-6-30-60-120-6"}
    if field == "dataset_name":
        assert set(ours["architecture"]) == {"64-30-10-30-64"}


@pytest.mark.slow
def test_the_readmes_entry_points_give_short_names_also_in_workers(folder: Path) -> None:
    [toml] = snippets("toml")
    groups = tomllib.loads(toml)["project"]["entry-points"]
    site = folder / "site"
    write_distribution(site, groups, "of_the_readme")
    for name in modules():
        (folder / name).rename(site / name)
    fields = {f"aes_lipi.{group}": field for group, field in zip(_GROUPS, FIELDS, strict=True)}
    [names] = [
        [f"--{fields[group]}={name}" for group, entries in groups.items() for name in entries]
    ]
    assert len(names) == len(FIELDS)
    arguments = [
        "aes-lipi",
        "run",
        "--rq",
        "quickstart",
        *names,
        *SHORT,
        "--prune_probability",
        "1",
    ]
    for jobs in ("1", "2"):
        done = run_in(
            folder,
            *arguments,
            "--trials",
            "2",
            "--jobs",
            jobs,
            "--output_dir",
            jobs,
            "--local",
            path=site,
        )
        assert done.returncode == 0, done.stderr
    one, two = (pd.read_parquet(folder / jobs / "generations") for jobs in ("1", "2"))
    columns = ["mean_L1", "capacity", "prune_probability"]
    pd.testing.assert_frame_equal(one[columns], two[columns], check_exact=True)
    assert set(pd.read_parquet(folder / "2" / "trials")["environment"]) == {"deep"}


# --- mistakes


@pytest.mark.parametrize(
    ("program", "name", "told"),
    [
        (["run.py"], "nosuch", "prune_method: input should be 'None', 'random', "),
        (
            ["aes-lipi", "run"],
            "nosuch:f",
            "prune_method nosuch:f: there is no module nosuch, neither installed nor",
        ),
        (["run.py"], "{module}:keep_al", "has no keep_al; did you mean keep_all "),
        (
            ["aes-lipi", "run"],
            "{module}:keep_floats",
            "returns an array of float32; return a bool array of shape (520,)",
        ),
    ],
)
def test_a_mistake_is_told_in_one_line_before_anything_is_written(
    program: list[str], name: str, told: str, tmp_path: Path
) -> None:
    parameters = "genome, layout, evidence, settings, rng"
    module = write_module(
        tmp_path,
        f"def keep_all({parameters}): return genome == genome\n"
        f"def keep_floats({parameters}): return genome",
    )
    done = said_in(
        tmp_path,
        *(*program, "--rq", "quickstart", "--prune_method", name.format(module=module)),
        *(*SMALL_DATA, "--output_dir", "out", "--local"),
    )
    line = refusal_of(done)
    assert line.startswith("error: prune_method")
    assert told in line
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("jobs", [pytest.param("1", marks=pytest.mark.slow), "2"])
def test_a_plug_in_that_fails_later_ends_the_study_with_its_results(
    jobs: str, tmp_path: Path
) -> None:
    module = write_module(tmp_path, FAILS_LATER)
    (tmp_path / "study.yaml").write_text(
        "trials: 2\nsettings: {epochs: 2, prune_probability: 1.0, pruned_weights: frozen}\n"
        f"variants:\n- prune_method: None\n- prune_method: {module}:keep\n"
        "  prune_schedule: final_n\n  epochs: 400\n"
    )
    arguments = [
        "--config",
        "study.yaml",
        *TINY,
        *SMALL_DATA,
        "--output_dir",
        "out",
        "--jobs",
        jobs,
    ]
    done = run_in(tmp_path, "run.py", *arguments, "--local")
    assert refusal_of(done) == (
        f"error: prune_method {module}:keep: raised RuntimeError: zeros already "
        f"({module}.py, line 5); mend it"
    )
    trials = pd.read_parquet(tmp_path / "out" / "trials")
    assert set(trials["prune_method"]) == {"None"}
    assert not (tmp_path / "out" / "failures").exists()


def test_a_study_is_not_gone_on_with_when_its_plug_in_has_changed(tmp_path: Path) -> None:
    code = "def keep(genome, layout, evidence, settings, rng): return genome > {}"
    module = write_module(tmp_path, code.format(-1))
    arguments = ["aes-lipi", "run", "--rq", "quickstart", "--prune_method", f"{module}:keep"]
    arguments += [*SHORT, *SMALL_DATA, "--output_dir", "out", "--jobs", "1", "--local"]
    assert run_in(tmp_path, *arguments).returncode == 0
    known = json.loads((tmp_path / "out" / "study.json").read_text())["variants"]
    planned = run_in(tmp_path, *arguments, "--dry_run").stdout
    assert all(f"variant={variant}  " in planned for variant in known)
    write_module(tmp_path, code.format(0), module)
    line = refusal_of(run_in(tmp_path, *arguments))
    assert re.search(
        r"holds a different study \(plugins_digest: [0-9a-f.]+ there, [0-9a-f.]+ asked for\)", line
    )
    write_module(tmp_path, code.format(-1), module)
    again = run_in(tmp_path, *arguments)
    assert "0 trials to run, 2 done before" in again.stderr


def test_data_of_a_function_are_written_to_a_file_that_is_read_back(tmp_path: Path) -> None:
    module = write_module(tmp_path, "def rows(rng): return rng.random((40, 6))")
    arguments = ["--create_data", "--dataset_name", f"{module}:rows", "--output_dir", "data"]
    done = said_in(tmp_path, "run.py", *arguments)
    assert done.returncode == 0, done.stderr
    splits = np.load(tmp_path / done.stdout.strip())
    assert {name: splits[name].shape for name in splits} == {
        "train": (28, 6),
        "test": (8, 6),
        "validation": (4, 6),
    }


def test_data_of_a_function_are_split_and_scaled_as_a_table_is(tmp_path: Path) -> None:
    module = write_module(tmp_path, "def rows(rng): return 9 * rng.random((40, 6))")
    given = ["--scale", "standard", "--test_fraction", "0.5", "--validation_fraction", "0.25"]
    study = ["--rq", "quickstart", "--dataset_name", f"{module}:rows", *given, *TINY, *SHORT]
    place = ["--local", "--jobs", "1", "--output_dir", "out"]
    assert said_in(tmp_path, "run.py", *study, "--dry_run").returncode == 0
    done = said_in(tmp_path, "run.py", *study, "--prune_method", "None", *place)
    assert done.returncode == 0, done.stderr
    assert (pd.read_parquet(tmp_path / "out/trials")["scale"] == "standard").all()


def test_help_lists_the_built_in_names_and_the_form_of_ones_own(tmp_path: Path) -> None:
    told = "".join(said_in(tmp_path, "run.py", "--help").stdout.split())
    assert "roulette|MODULE:NAME" in re.sub(r"[│\s]", "", told)
