"""Text of somebody else's stays text, wherever it is shown; secrets of addresses are not shown."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from aes_lipi.cli.running import PlainProgress
from aes_lipi.cli.tables import print_trials
from aes_lipi.cli.terminal import cell, say
from aes_lipi.config import Study, StudyFile, resolve_study
from aes_lipi.errors import UserError, without_folders, without_secrets
from aes_lipi.results.object_storage import open_storage
from aes_lipi.results.storage import is_address, place_of
from aes_lipi.templates import render
from aes_lipi.templates.escaping import code_span, csv_text, markdown

HOSTILE = (
    "<svg onload=alert(1)>",
    "![x](javascript:alert(1))",
    "a | b",
    "\x1b[2J\x1b]0;owned\x07",
    "`code` ``more``",
    "two\nlines\r# heading",
    "&lt;b&gt;",
    "\u202ereversed",
    "[red]markup[/red]",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_keeps_text_as_text(text: str) -> None:
    shown = markdown(text)
    assert shown.isprintable()
    assert not re.search(r"[<>]", shown)
    assert not re.search(r"&(?!(amp|lt|gt);)", shown)
    assert not re.search(r"(?<!\\)[`*\[\]|#~!]", shown.replace("\\\\", ""))


@pytest.mark.parametrize("text", [*HOSTILE, "`", "``", " ", ""])
def test_a_span_of_code_ends_where_its_text_ends(text: str) -> None:
    shown = code_span(text)
    fence = re.match("`+", shown)
    assert fence is not None
    assert shown.endswith(fence[0])
    runs = re.findall("`+", shown[len(fence[0]) : -len(fence[0])])
    assert fence[0] not in runs
    assert shown.isprintable()


def test_names_with_underscores_are_not_spelt_out() -> None:
    assert markdown("binary_clustering_1_2") == "binary_clustering_1_2"
    assert markdown("__init__") == r"\_\_init\_\_"


def test_a_template_of_markdown_escapes_by_itself() -> None:
    templates = Path(render.__code__.co_filename).parent
    assert [each.name for each in templates.glob("*.md.j2")] == ["model_card.md.j2"]
    assert "| safe" not in (templates / "model_card.md.j2").read_text("utf-8")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_terminal_is_shown_nothing_but_text(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study = Study.model_validate(
        {**resolve_study("s", StudyFile(), {}).model_dump(), "name": text, "description": text}
    )
    say(text)
    PlainProgress(study)._say(text)
    print_trials([study])
    out, err = capsys.readouterr()
    assert all(line.isprintable() for line in (*out.split("\n"), *err.split("\n")))
    assert cell(text).isprintable()
    assert "[/red]" not in text or text in out


def test_cells_of_csv_are_no_formulas_and_numbers_stay() -> None:
    texts = ["=1+1", "+1", "-2.5", "@x", "\t=1", "-1_0", "plain"]
    table = pd.DataFrame({"=name": texts, "n": [-1.5, 2, 3, 4, 5, 6, float("nan")]})
    head, *lines = csv_text(table).splitlines()
    assert head == "'=name,n"
    assert [line.rpartition(",")[0] for line in lines] == [
        *("'=1+1", "+1", "-2.5", "'@x", "'\t=1", "'-1_0", "plain")
    ]
    assert [line.rpartition(",")[2] for line in lines[:2]] == ["-1.5", "2.0"]
    assert table.columns[0] == "=name"
    odd = pd.DataFrame([["=x", 1]], columns=["same", "same"])
    assert csv_text(odd).splitlines() == ["same,same", "'=x,1"]


ADDRESSES = {
    "s3://KEY:SECRET@bucket/a": "s3://bucket/a",
    "s3://KEY:SEC/RET@bucket/a": "s3://bucket/a",
    "s3://KEY:SEC?RET@bucket/a": "s3://bucket/a",
    "s3://KEY:SEC RET@bucket/a": "s3://bucket/a",
    "s3://KEY:SEC@RET@bucket/a": "s3://bucket/a",
    "s3://KEY@bucket/a?secret_key=SECRET": "s3://bucket/a",
    "s3://bucket/a@b": "s3://bucket/a@b",
    "http://host:9000/a": "http://host:9000/a",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_are_shown_without_user_and_secret(address: str) -> None:
    assert place_of(address) == ADDRESSES[address]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("No such file: '/home/Jo Doe/x.csv'", "No such file: '.../x.csv'"),
        ('File "/usr/lib/python3.11/json/x.py", line', 'File ".../json/x.py", line'),
        ('"/opt/lib/site-packages/aes_lipi/a/b.py"', '".../aes_lipi/a/b.py"'),
        ("ValueError: /data/u/x.csv: broken", "ValueError: .../x.csv: broken"),
        ("(/home/u/a) and x=/home/u/b,", "(.../a) and x=.../b,"),
        ("and/or 3/4 s3://bucket/a/b ~/a/b ./a/b", "and/or 3/4 s3://bucket/a/b ~/a/b ./a/b"),
    ],
)
def test_what_travels_has_the_names_of_files_alone(text: str, shown: str) -> None:
    assert without_folders(text) == shown


SECRETIVE = [each for each in ADDRESSES if "KEY" in each and " " not in each]


@pytest.mark.parametrize("address", SECRETIVE)
def test_no_error_line_has_the_secret_of_an_address(address: str) -> None:
    lines = [str(UserError(f"--output_dir {address}: no")), without_secrets(f"'{address}'")]
    with pytest.raises(UserError, match="give the address as text") as caught:
        is_address(Path(address))
    lines.append(str(caught.value))
    for scheme in ("s3", "nothing", "s3 "):
        try:
            open_storage(address.replace("s3", scheme, 1)).children()
        except UserError as error:
            lines.append(str(error))
    assert len(lines) >= 5
    for line in lines:
        assert not re.search("KEY|SEC|RET(?!URN)", line), line
