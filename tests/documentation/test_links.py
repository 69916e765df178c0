"""Links between the Markdown files of the repository, and the check of the site that is built."""

from __future__ import annotations

from pathlib import Path

import pytest
from sitegen.check import faults_of
from sitegen.links import DOCS, ROOT, SHOWN_AS, broken_links, rebased

PAGES = sorted([*DOCS.rglob("*.md"), *(ROOT / name for name in SHOWN_AS)])


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    assert broken_links(page) == []


def test_files_outside_have_pages() -> None:
    assert [name for name in SHOWN_AS.values() if not (DOCS / name).is_file()] == []


@pytest.mark.parametrize(
    ("link", "becomes"),
    [
        ("[a](docs/how_to/own_data.md#scaling)", "[a](../how_to/own_data.md#scaling)"),
        ("[a](README.md)", "[a](../index.md)"),
        ("[a](cluster/aws.yaml)", "[a](../../cluster/aws.yaml)"),
        ("[a](https://example.org/b.md)", "[a](https://example.org/b.md)"),
        ("[a](#here)", "[a](#here)"),
    ],
)
def test_links_of_a_file_at_the_top_lead_on_from_its_page(link: str, becomes: str) -> None:
    assert rebased(link, ROOT, DOCS / "project/contributing.md") == becomes


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('<a href="gone.html">', "is not there"),
        ('<a href="b.html#nowhere">', "has no such place"),
        ('<script src="https://example.org/a.js">', "is fetched from elsewhere"),
        ('<link href="//example.org/a.css">', "is fetched from elsewhere"),
    ],
)
def test_a_site_that_does_not_stand_on_its_own_is_told(
    tmp_path: Path, content: str, fault: str
) -> None:
    good = '<a href="b.html#there"><a href="https://example.org"><img src="data:image/png;base64,">'
    (tmp_path / "b.html").write_text('<p id="there">')
    (tmp_path / "a.html").write_text(good)
    assert faults_of(tmp_path) == []
    (tmp_path / "a.html").write_text(content)
    [line] = faults_of(tmp_path)
    assert line.startswith("a.html: ")
    assert line.endswith(fault)


def test_style_sheets_fetch_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text('@import "https://example.org/b.css"; p {src: url(f.woff)}')
    assert faults_of(tmp_path) == ["a.css: https://example.org/b.css is fetched from elsewhere"]
