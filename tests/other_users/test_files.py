"""Files that are not ours stay, bit for bit, and what a command refuses, it refuses first."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import warm
from helpers import TINY, tiny_study
from studies import run_study

from aes_lipi.analysis.report import analyse
from aes_lipi.cli.run import run_app
from aes_lipi.config import StudyFile, Variant, resolve_study
from aes_lipi.data.binary_clustering import PAPER_DATASETS
from aes_lipi.errors import UserError
from aes_lipi.execution import run
from aes_lipi.execution.local import LocalRunner
from aes_lipi.execution.messages import Job
from aes_lipi.execution.study_run import StudyRun
from aes_lipi.io.files import check_own_page
from aes_lipi.results.cleaning import clean

pytestmark = pytest.mark.xdist_group("other users")  # one machine of two users

STUDY = tiny_study(trials=2)
OTHER = tiny_study(trials=2, epochs=2)
THEIRS = {
    "text": b"my study of the tides\n",
    "another program's": b'{"study": "tides", "trials": 3, "variants": ["a", "b"]}',
    "like ours": b'{"format": 1, "name": "t", "trials": 3, "variants": {"high": {}}}',
    "none": b"",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole study."""
    run_study(STUDY, tmp_path / "s")
    return tmp_path / "s"


def everything(folder: Path) -> dict[str, bytes]:
    files = (each for each in folder.rglob("*") if each.is_file())
    return {str(each.relative_to(folder)): each.read_bytes() for each in files}


@pytest.mark.parametrize("theirs", THEIRS.values(), ids=THEIRS)
@pytest.mark.parametrize("fresh", [False, True])
def test_a_study_file_of_the_users_own_is_not_replaced(
    theirs: bytes, fresh: bool, folder: Path
) -> None:
    (folder / "study.json").write_bytes(theirs)
    before = everything(folder)
    with pytest.raises(UserError, match=r"study\.json: was not written by aes_lipi.*move it away"):
        run_study(OTHER, folder, fresh=fresh)
    assert everything(folder) == before


def test_a_progress_file_of_the_users_own_is_neither_replaced_nor_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_LOOK_INTERVAL_S", 0.001)
    monkeypatch.setattr(run, "WRITE_INTERVAL_S", 0.001)
    theirs = json.dumps({"weight": 70}).encode()
    (folder / "progress.json").write_bytes(theirs)
    assert run_study(OTHER, folder, fresh=True).committed == 2
    assert (folder / "progress.json").read_bytes() == theirs
    clean(folder)
    assert (folder / "progress.json").read_bytes() == theirs


class Refusing:
    """A runner that finds out late that it cannot run."""

    def check(self, variants: Sequence[Variant]) -> None:
        return None

    def run(self, jobs: Sequence[Job], study: StudyRun) -> None:
        raise UserError("there is no room for this study")


def test_what_the_runner_refuses_is_refused_before_anything_is_removed(folder: Path) -> None:
    before = everything(folder)
    with pytest.raises(UserError, match="there is no room for this study"):
        run.run_study(OTHER, folder, Refusing(), fresh=True)
    assert everything(folder) == before


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    warm.run([sys.executable, "-c", ""])  # what stands by for other tests keeps its descriptors
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(each.name) for each in Path("/proc/self/fd").iterdir()}
    free = [number for number in range(2 * len(taken) + 100) if number not in taken]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[12], limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")
def test_toofew_descriptors_are_told_in_one_line_before_anything_is_removed(
    folder: Path, few_descriptors: None
) -> None:
    before = everything(folder)
    many = tiny_study(trials=40)
    with pytest.raises(UserError, match=r"--jobs 40: so many processes cannot be started .*ulimit"):
        run.run_study(many, folder, LocalRunner(40), fresh=True)
    assert everything(folder) == before


def test_a_file_of_places_of_the_users_own_stays_and_ours_is_written(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("a,b,c\n" + "0.1,0.2,0.3\n0.9,0.8,0.7\n" * 20)
    generated = ("n_clusters", "n_examples_per_cluster", "n_dim")
    settings = {name: value for name, value in TINY.items() if name not in generated}
    settings |= {"data": str(rows), "hidden_sizes": [4], "latent_size": 1}
    study = resolve_study("own", StudyFile(trials=1, settings=settings), {})
    run_study(study, tmp_path / "s")
    places = tmp_path / "s" / "local.json"
    assert list(json.loads(places.read_bytes())["data"].values()) == [str(rows)]
    places.write_text('{"here": "Bremen"}')
    before = everything(tmp_path / "s")
    with pytest.raises(UserError, match=r"local\.json: was not written by aes_lipi"):
        run_study(study, tmp_path / "s", fresh=True)
    assert run_study(STUDY, tmp_path / "t").committed == 2
    assert everything(tmp_path / "s") == before


@pytest.mark.parametrize("content", [b"<html>my tides</html>", b"", b"\xff\xfe"])
def test_a_page_of_the_users_own_is_not_replaced(content: bytes, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    check_own_page(page)
    page.write_bytes(content)
    with pytest.raises(UserError, match=r"report\.html: was not written by aes_lipi, and stays"):
        check_own_page(page)
    page.write_text("<p>Report written by aes_lipi 1.0.</p>")
    check_own_page(page)


@pytest.mark.parametrize("content", [b"my tides", b"", "mine"])
def test_a_data_set_of_the_users_own_is_not_replaced(
    content: bytes | str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of four files the last one's name is taken: none is written."""
    path = tmp_path / f"{PAPER_DATASETS[-1]}.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, train=np.ones((4, 2)), test=np.ones((4, 2)), validation=np.ones((4, 2)))
    before = everything(tmp_path)
    with pytest.raises(UserError, match=r"npz': does not say that aes_lipi wrote it, and stays"):
        run_app(["--create_data", "--output_dir", str(tmp_path)], standalone_mode=False)
    assert everything(tmp_path) == before
    flags = ["--n_clusters", "2", "--n_examples_per_cluster", "4", "--n_dim", "6"]
    for _ in range(2):  # our own is replaced
        run_app(["--create_data", *flags, "--output_dir", str(tmp_path)], standalone_mode=False)
    assert len(everything(tmp_path)) == 2


def test_a_report_is_refused_before_any_file_of_it_is_written(folder: Path) -> None:
    (folder / "report").mkdir()
    (folder / "report" / "report.html").write_text("my tides")
    before = everything(folder)
    with pytest.raises(UserError, match=r"report\.html: was not written by aes_lipi"):
        analyse(folder)
    assert everything(folder) == before
