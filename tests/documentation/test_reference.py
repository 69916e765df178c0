"""Reference pages say everything that the package has."""

from __future__ import annotations

import re
from dataclasses import fields
from types import ModuleType

import pytest
from sitegen import reference
from sitegen.links import DOCS, ROOT
from sitegen.pages import INSERT, filled

import aes_lipi
from aes_lipi import analysis
from aes_lipi.analysis.report import gallery
from aes_lipi.cli import entry
from aes_lipi.coevolution.records import Record
from aes_lipi.config import Variant
from aes_lipi.results import schema
from aes_lipi.results.description import LOCAL_FILE, PROGRESS_FILE, STUDY_FILE
from aes_lipi.results.trial_files import FOLDERS

PAGES = {path.stem: path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md")}


@pytest.mark.parametrize("part", [part for _, part in reference._PARTS_OF_TRIALS] + [Record])
def test_every_column_is_described_where_it_is_made(part: type) -> None:
    parts = ("retrieval", "columns", "baselines")  # whose fields are columns themselves
    told = [name for name in reference.attributes(part) if name not in parts]
    assert told == [field.name for field in fields(part) if field.name not in parts]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (reference.trials_columns() + reference.settings(), schema.trials_schema()),
        (reference.generations_columns(), schema.generations_schema()),
        (reference.failures_columns() + reference.settings(), schema.failures_schema()),
    ],
)
def test_every_column_has_one_line(text: str, found: object) -> None:
    named = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert sorted(named) == sorted(field.name for field in found)  # type: ignore[attr-defined]


def test_every_setting_has_values_and_a_description() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (.+?) \| .*? \| (.+) \|$", reference.settings(), re.MULTILINE
    )
    assert [name for name, _, _ in rows] != []
    assert {name for name, _, _ in rows} == set(Variant.model_fields)


def test_sound_settings_are_those_of_the_sound_presets() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (\S+) \|", reference.published_and_sound(), re.M)
    assert len(rows) > 5
    for name, published, sound in rows:
        assert str(Variant.model_fields[name].default) == published
        assert (
            getattr(Variant.model_validate({name: sound, "prune_method": "random"}), name) == sound
        )


@pytest.mark.parametrize("name", sorted(reference.commands()))
def test_every_command_has_its_flags_and_an_example(name: str) -> None:
    [section] = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGES["commands"], re.M | re.S)
    assert f"```sh\naes-lipi {name} " in section
    assert f"<!-- insert: command {name} -->" in section
    flags = {each.opts[0] for each in reference.commands()[name].params if not each.hidden}
    settings = {f"--{field}" for field in Variant.model_fields}
    told = set(re.findall(r"^\| `(--\w+)", reference.command(name), re.MULTILINE))
    assert {each for each in flags if each.startswith("--")} - settings - {"--help"} == told


def test_every_exit_code_is_told() -> None:
    codes = {str(value) for name, value in vars(entry).items() if name.startswith("_EXIT_")}
    assert {"0", "1", *codes} == set(re.findall(r"^\| (\d+) \|", PAGES["commands"], re.MULTILINE))


@pytest.mark.parametrize("name", [*FOLDERS, STUDY_FILE, LOCAL_FILE, PROGRESS_FILE, "checkpoints"])
def test_every_file_of_a_folder_is_told(name: str) -> None:
    assert re.search(rf"^  {re.escape(name)}[/ ]", PAGES["results"], re.MULTILINE)


@pytest.mark.parametrize(("page", "room"), [("api", aes_lipi), ("analysis", analysis)])
def test_every_public_name_is_told(page: str, room: ModuleType) -> None:
    told = re.findall(r"^\.\. auto\w+:: (?:[\w.]+\.)?(\w+)(?:\(\))?$", PAGES[page], re.MULTILINE)
    assert {name for name in room.__all__ if name != "__version__"} - set(told) == set()


def test_every_figure_function_is_public_and_in_the_gallery() -> None:
    sources = (path.read_text() for path in (ROOT / "aes_lipi/analysis/figures").glob("*.py"))
    functions = {name for text in sources for name in re.findall(r"^def (plot_\w+)", text, re.M)}
    assert functions == {name for name in analysis.__all__ if name.startswith("plot_")}
    assert functions == set(re.findall(r"analysis\.(plot_\w+)\(", PAGES["gallery"]))


def test_every_figure_of_the_report_is_in_the_gallery() -> None:
    source = (ROOT / "aes_lipi/analysis/report/gallery.py").read_text()
    names = re.findall(r'_Picture\(\s*f?"([a-z_]+)', source) + [
        each[0] for each in gallery._COURSES
    ]
    assert len(names) > 15
    assert [name for name in names if f"`{name}" not in PAGES["gallery"]] == []


def test_errors_have_remedies() -> None:
    found = [each.text for each in reference.refusals()]
    assert len(found) > 150
    assert sum("; " in text for text in found) > 0.7 * len(found)
    assert "{" not in reference.errors()


def test_what_is_refused_of_plugins_is_among_them() -> None:
    """Whatever room finds it out, and by whatever way it gets the plug-in's name."""
    plugins = reference.errors().partition("## Plug-ins")[2].partition("\n## ")[0]
    for problem in (
        "returns a value of type *name* | return a number",  # models/metrics.py
        "is not registered here | install its package",  # extension/loading.py, by `_error`
        "is of type *name* | name a function with the parameters",  # and by `self.error`
        "has no parameter *name*",  # extension/signature.py, by a ValueError
        "gives neighbours of *key* | cells are 0 to",  # execution/graphs.py
    ):
        assert f"*field* *plug-in*: {problem}" in plugins


def test_what_is_inserted_is_known() -> None:
    asked = [name for text in PAGES.values() for name in INSERT.findall(text)]
    assert set(asked) == set(reference.INSERTS)
    columns = filled(PAGES["columns"], DOCS / "reference/columns.md")
    assert "<!-- insert" not in columns
    assert "| {name}`mean_L1` | double |" in columns  # which search leads to
