"""Graphs of users' own: from a file, a function or a list; and what cannot be one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers import tiny_study
from plugin_modules import write_module
from studies import run_study

from aes_lipi.config import Study, Variant
from aes_lipi.errors import UserError
from aes_lipi.execution.graphs import with_graph
from aes_lipi.execution.inputs import with_digests
from aes_lipi.results.description import read_study_description
from aes_lipi.results.reading import load_results

STAR = "1 2 3;0;0;0"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def graph_of(**settings: Any) -> str | None:
    return with_graph(Variant(population_size=4, **settings)).graph


@pytest.mark.parametrize(
    "text",
    [
        "0,1\n0,2\n0,3\n",
        "cell,neighbour\n3,0\n1,0\n\n2,0  # the last one\n1,0\n",
        "# a star\n0 1\n0\t2\n 0 ;3\n",
        "\ufeff0,1\r\n0,2\r\n3,0",
    ],
)
def test_a_file_has_two_cells_a_line_that_are_neighbours_of_each_other(
    text: str, folder: Path
) -> None:
    Path("star.csv").write_text(text, encoding="utf-8", newline="")
    assert graph_of(edges="star.csv") == STAR


@pytest.mark.parametrize(
    "code",
    [
        "def star(population_size): return [range(1, population_size)] + [[0]] * 3",
        "def star(n): return {0: {1: {}, 2: {}, 3: {}}, 1: {0: {}}, 2: {0: {}}, 3: {0: {}}}",
        "def star(n): return [[0, 1, 2, 3], [1, 0], [2, 0], [3, 0]]",
        "def star(n): return np.array([[1]]).repeat(3, 0).tolist() and ((1, 2, 3), (0,), [0], {0})",
        "star = [[1, 2, 3], [0], [0], [0]]",
        "class star:\n    def __call__(self, n): return [np.arange(1, 4), [0], [0], [0]]",
    ],
)
def test_a_function_or_a_value_gives_the_neighbours_of_every_cell(code: str, folder: Path) -> None:
    assert graph_of(topology=f"{write_module(folder, code)}:star") == STAR


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0,1\n2,4\n", ", line 2: there is no cell 4; cells are 0 to 3 (population_size)"),
        ("0,1\n2,2\n", ", line 2: cell 2 with itself, which it sees anyway; leave it out"),
        ("0,1,0.5\n", ", line 1: '0,1,0.5' is no edge; give two cells a line, 0,1"),
        ("0,1\na,b\n", ", line 2: 'a,b' is no edge; give two cells a line, 0,1"),
        ("0,-1\n", ", line 1: '0,-1' is no edge; give two cells a line, 0,1"),
        ("0,1\n", ": graph: without a neighbour is cell 2, 3; give every cell one (a ring"),
        ("\x00\xff", ": not text in UTF-8; give two cells a line, 0,1"),
        (None, ": No such file or directory; give a readable file"),
    ],
)
def test_a_file_that_is_no_graph_is_refused_in_one_line(
    text: str | None, problem: str, folder: Path
) -> None:
    if text is not None:
        Path("edges.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError) as caught:
        graph_of(edges="edges.csv")
    assert str(caught.value).startswith(f"edges edges.csv{problem}")


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        ("[[1], [0]]", "graph: of 2 cells, where population_size is 4; give as many"),
        ("[[1], [0], [9], [0]]", "graph: cell 2 reads cell 9; cells are 0 to 3"),
        ("[[1, 1], [0], [0], [0]]", "graph: cell 0 names cell 1 twice; name each neighbour once"),
        ("[[1, 0], [0], [0], [0]]", "graph: cell 0 is its own neighbour; leave it out, it is"),
        ("[[1], [0], [], []]", "graph: without a neighbour is cell 2, 3; give every cell one"),
        ("[[-1], [0], [0], [0]]", "'-1' is no number of a cell; give the neighbours of every cell"),
        ("[[1.0], [0], [0], [0]]", "'1.0' is no number of a cell; give the neighbours of every"),
        ("[1, 0, 0, 0]", "1 is no list of cells; give the neighbours of every cell, as in"),
        ("{0: [1], 7: [0]}", "gives neighbours of 7; cells are 0 to 3"),
        ("None", "give the neighbours of every cell, as in '1 2;0;0' or [[1, 2], [0], [0]]"),
        (
            "[[len(calls.append(0) or calls) % 3 + 1], [0], [0], [0]]",
            "gives another result when it is called",
        ),
    ],
)
def test_a_function_that_makes_no_graph_is_refused_in_one_line(
    made: str, problem: str, folder: Path
) -> None:
    code = f"calls = []\ndef made(n): return {made}"
    name = f"{write_module(folder, code)}:made"
    with pytest.raises(UserError) as caught:
        graph_of(topology=name)
    assert str(caught.value).startswith(f"topology {name}: {problem}")


def resolved(**settings: Any) -> Study:
    return with_digests(tiny_study(trials=1, **settings))


def test_the_graph_counts_and_not_where_it_comes_from(folder: Path) -> None:
    Path("star.csv").write_text("0,1\n0,2\n0,3\n")
    module = write_module(folder, f"star = {[[1, 2, 3], [0], [0], [0]]}")
    ways = ({"edges": "star.csv"}, {"graph": STAR}, {"topology": f"{module}:star"})
    variants = [resolved(**way).variants[0] for way in ways]
    assert len({variant.id for variant in variants}) == 1
    assert variants[0].id != resolved(topology="star").variants[0].id
    assert variants[0].portable()["edges"] == "star.csv"
    twice = [{"edges": ["star.csv", str(folder / "star.csv")]}]
    with pytest.raises(UserError, match="come to the same content"):
        resolved(**twice[0])


def test_another_graph_of_the_same_name_does_not_extend_a_study(folder: Path) -> None:
    module = write_module(folder, "def mine(n): return [[1, 2, 3], [0], [0], [0]]")
    study = tiny_study(trials=1, topology=f"{module}:mine")
    run_study(study, "out")
    described = read_study_description(Path("out/study.json").read_bytes())
    assert described is not None
    [settings] = described.variants.values()
    assert settings["graph"] == STAR
    [row] = load_results("out").trials.to_dict("records")
    assert (row["topology"], row["graph"]) == (f"{module}:mine", STAR)
    Path("edges.csv").write_text("0,1\n1,2\n2,3\n")
    other = tiny_study(trials=2, edges="edges.csv")
    with pytest.raises(UserError, match=r"different study \(topology: .*graph: 1 2 3;0;0;0 there"):
        run_study(other, "out")
    run_study(tiny_study(trials=2, topology=f"{module}:mine"), "out")
    assert len(load_results("out").trials) == 2


def test_cells_read_those_that_they_are_joined_to(folder: Path) -> None:
    run_study(tiny_study(trials=1, graph="1 2 3;0;3;2", epochs=6), "out")
    generations = load_results("out").generations
    read = generations.groupby("cell")["winner_cell"].unique().map(set)
    assert read[1] <= {0, 1}
    assert read[2] <= {2, 3}
    assert generations["read_generations"].map(len).groupby(generations["cell"]).max().tolist() == [
        *(4, 2, 2, 2)
    ]
