"""Plug-ins on a cluster: its workers find them where the command was started."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from plugin_modules import TINY, refusal_of, run_in, write_module
from ray_processes import NodeProcesses
from studies import assert_same_study

pytestmark = pytest.mark.xdist_group("ray")

CODE = """
def keep(genome, layout, evidence, settings, rng):
    return rng.random(genome.size) < 0.7

def halves(moment):
    return 0.5

def falls(moment):
    return 0.5 - moment.t if moment.t == 2 else 0.5

small = Environment(hidden_sizes=(5,), latent_size=2)

def bits(rng):
    return rng.random((40, 6)) < 0.5

def worst_row(model, data):
    return np.abs(model.reconstruct(data.test) - data.test).mean(axis=1).max()
"""
PLACEMENTS = {
    "trial": ["--placement", "trial"],
    "cell": ["--cells_per_actor", "2", "--cell_resources", "CPU=0.25"],
    "chosen": [],
}


def run(folder: Path, out: str, schedule: str, *arguments: str, path: Path | None = None) -> str:
    """A study of nothing but plug-ins; its error, if there is one."""
    (folder / "study.yaml").write_text(
        "trials: 2\nsettings: {prune_method: mine:keep, prune_schedule: mine:" + schedule + ", "
        "environment: mine:small, dataset_name: mine:bits, metrics: mine:worst_row, epochs: 5, "
        "pruned_weights: frozen}\n"
    )
    shapes = [each for each in TINY if each not in ("--hidden_sizes", "5,4", "--latent_size", "3")]
    command = ["run.py", "--config", "study.yaml", *shapes, "--output_dir", out, *arguments]
    done = run_in(folder, *command, path=path)
    return "" if done.returncode == 0 else refusal_of(done)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugins")
    write_module(folder, CODE, "mine")
    assert run(folder, "here", "halves", "--local", "--jobs", "1") == ""
    return folder


@pytest.mark.parametrize(
    "placement",
    ["trial", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cell", "chosen"))],
)
def test_the_bits_are_those_of_one_process(
    placement: str, folder: Path, three_nodes: NodeProcesses
) -> None:
    where = ["--address", three_nodes.address, *PLACEMENTS[placement]]
    assert run(folder, placement, "halves", *where) == ""
    assert_same_study(folder / "here", folder / placement)
    generations = pd.read_parquet(folder / placement / "generations")
    assert generations["n_pruned_encoder"].max() > 0
    assert (generations["metric_worst_row"] > generations["test_L1"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_plug_in_that_fails_on_the_way_is_told_in_one_line(
    placement: str, folder: Path, three_nodes: NodeProcesses
) -> None:
    where = ["--address", three_nodes.address, *PLACEMENTS[placement]]
    line = run(folder, f"{placement}_fails", "falls", *where, "--epochs", "400")
    told = "error: prune_schedule mine:falls: returns -1.5 at t = 2; return a probability, a number"
    assert line.startswith(told)
    assert not (folder / f"{placement}_fails" / "failures").exists()


@pytest.mark.slow
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_workers_that_have_another_file_refuse_it(
    placement: str, folder: Path, three_nodes: NodeProcesses, tmp_path: Path
) -> None:
    """As on a node where an old file lies: the driver alone finds the new one."""
    write_module(tmp_path, CODE + "# newer", "mine")
    where = ["--address", three_nodes.address, *PLACEMENTS[placement]]
    line = run(folder, f"{placement}_differs", "halves", *where, path=tmp_path)
    assert "prune_schedule mine:halves and metrics mine:worst_row: not the file that the" in line
    assert line.endswith("or bring every node of a cluster the same file")
