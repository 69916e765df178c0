"""Names that no file should have: long ones, unprintable ones, links, pipes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import random_pair
from own_tables import read_matrix
from prepared import prepared_study, run_prepared, trial_ids

from aes_lipi import load_results
from aes_lipi.autoencoders.environments import ENVIRONMENTS, build_architecture
from aes_lipi.data.files import file_digest
from aes_lipi.errors import UserError
from aes_lipi.io.files import encode_json
from aes_lipi.models import Model, read_model, save_model
from aes_lipi.models.files import models_digest
from aes_lipi.results.model_files import warm_start_files
from aes_lipi.results.status import study_status
from aes_lipi.results.storage import LocalStorage
from aes_lipi.results.store import ResultStore
from fuzz.hostile import parquet_bytes, refusal

READERS: dict[str, Callable[[Path], Any]] = {
    "data": read_matrix,
    "digest": file_digest,
    "model": read_model,
    "models": lambda path: models_digest(warm_start_files(path)),
    "results": load_results,
    "status": study_status,
    "store": lambda path: ResultStore(path).holds(prepared_study()),
    "listing": lambda path: LocalStorage(path).children() or load_results(path),
}
every_reader = pytest.mark.parametrize("reader", READERS)

NO_NAMES = {"long": "x" * 256, "deep": "x/" * 2500, "null": "a\0b", "emoji": "😀" * 70}
ODD_NAMES = {"control": "a\nb\x1b[0m\u2028", "bytes": "\udcff.npy"}


@every_reader
@pytest.mark.parametrize("name", NO_NAMES)
def test_path_that_cannot_be(tmp_path: Path, reader: str, name: str) -> None:
    refusal(lambda: READERS[reader](tmp_path / NO_NAMES[name]))


@pytest.mark.parametrize("reader", sorted(READERS.keys() - {"store"}))
@pytest.mark.parametrize("name", ODD_NAMES)
def test_path_that_is_odd_and_not_there(tmp_path: Path, reader: str, name: str) -> None:
    refusal(lambda: READERS[reader](tmp_path / ODD_NAMES[name]))


@every_reader
def test_path_that_leads_in_a_circle(tmp_path: Path, reader: str) -> None:
    path = tmp_path / "x.npy"
    path.symlink_to(path)
    refusal(lambda: READERS[reader](path / "y.npy"))


@pytest.mark.parametrize("reader", ["data", "model", "models"])
def test_pipe_is_not_waited_for(tmp_path: Path, reader: str) -> None:
    path = tmp_path / "x.npy"
    os.mkfifo(path)
    assert "regular file" in refusal(lambda: READERS[reader](path))


@pytest.mark.parametrize("reader", ["data", "model"])
def test_folder_is_no_file(tmp_path: Path, reader: str) -> None:
    assert "directory" in refusal(lambda: READERS[reader](tmp_path)).lower()


def test_message_is_one_line_whatever_it_names() -> None:
    assert str(UserError("a\nb\r\x1b\u2028\ud800c: ö 😀")) == "a?b????c: ö 😀"


def test_model_of_an_odd_name_is_read(tmp_path: Path) -> None:
    architecture = build_architecture(ENVIRONMENTS["AutoencoderBinaryClustering"], 4, (3,), 2)
    path = tmp_path / "a\nb 😀.safetensors"
    save_model(path, Model(architecture, random_pair(architecture, 0)))
    assert read_model(path).architecture == architecture


@pytest.mark.parametrize("name", ["x" * 300, "two\nlines", "😀\u202e", "\x1b[31m", " "])
def test_odd_name_of_a_column(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(parquet_bytes({name: [0.5, 2.0]}))
    message = refusal(lambda: read_matrix(path))
    assert "row 2: the value 2 is outside [0, 1]" in message
    assert len(message) < 300 + len(str(path))


def test_text_that_is_not_unicode_is_refused_before_it_is_written() -> None:
    with pytest.raises(UserError, match=r'^"data": "\?.csv": is not Unicode; rename the file'):
        encode_json({"trials": 1, "data": "\udcff.csv", "name": "x"})


# Links out of a results folder


@pytest.mark.parametrize("folder", ["models", "generations", "trials", "committed"])
def test_link_out_of_a_results_folder_is_not_followed(tmp_path: Path, folder: str) -> None:
    results, outside = tmp_path / "results", tmp_path / "outside"
    run_prepared(prepared_study(1), results)
    (results / folder).rename(outside)
    (results / folder).symlink_to(outside)
    for read in (lambda: load_results(results), lambda: LocalStorage(results).read(f"{folder}/x")):
        assert f"{folder}: is a link; move it away" in refusal(read)


@pytest.mark.parametrize("folder", ["models", "generations", "trials", "committed"])
def test_link_in_place_of_a_file_is_not_followed(tmp_path: Path, folder: str) -> None:
    results, study = tmp_path / "results", prepared_study(1)
    run_prepared(study, results)
    name = trial_ids(study)[0].path(folder)
    (results / name).rename(tmp_path / "outside")
    (results / name).symlink_to(tmp_path / "outside")
    assert f"{name}: is a link; move it away" in refusal(lambda: load_results(results))
    (results / name).unlink()
    (tmp_path / "outside").rename(results / name)
    assert len(load_results(results).trials) == 1


def test_link_in_place_of_the_description(tmp_path: Path) -> None:
    run_prepared(prepared_study(1), tmp_path / "results")
    (tmp_path / "results" / "study.json").unlink()
    (tmp_path / "results" / "study.json").symlink_to("/dev/zero")
    message = refusal(lambda: ResultStore(tmp_path / "results").holds(prepared_study(1)))
    assert "is a link" in message
