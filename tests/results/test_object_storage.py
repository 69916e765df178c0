"""Results in an object store: a server of the S3 interface, on this machine."""

from __future__ import annotations

import _thread
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pandas as pd
import pytest
import warm
from helpers import tiny_study
from patience import wait_until
from prepared import prepared_checkpoint, prepared_files, prepared_study, run_prepared, trial_ids
from pyarrow import fs
from studies import assert_same_study, names, run_study

from aes_lipi.errors import UserError
from aes_lipi.execution.run import Summary
from aes_lipi.export import export
from aes_lipi.models import read_model
from aes_lipi.results import index
from aes_lipi.results.cleaning import clean
from aes_lipi.results.description import Progress, RunningTrial
from aes_lipi.results.lock import STALE_AFTER_S, locked
from aes_lipi.results.object_storage import _ObjectStorage, open_storage
from aes_lipi.results.reading import load_results
from aes_lipi.results.status import Counts, Driver, study_status
from aes_lipi.results.storage import join, place_of
from aes_lipi.results.store import ResultStore

ROOT = Path(__file__).resolve().parents[2]
NEW_BUCKET = "&allow_bucket_creation=true"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server writes a line for each request."""
    return tmp_path_factory.mktemp("server") / "log"


@pytest.fixture(scope="module")
def options(log: Path) -> Iterator[str]:
    """What an address has after its question mark to reach the server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve = f"from moto.server import main; main(['-p', '{port}'])"
    with log.open("w") as written:
        process = subprocess.Popen([sys.executable, "-c", serve], stdout=written, stderr=written)
    with process, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("OBJECT_STORE", f"http://127.0.0.1:{port}")
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/moto-api/"))
            yield f"endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url):
            return True
    except URLError:
        return False


def test_a_study_in_an_object_store_has_the_bits_of_one_on_disk(
    options: str, tmp_path: Path
) -> None:
    study = tiny_study(prune_method=["None", "random"])
    address = f"s3://bits/results/tiny?{options}{NEW_BUCKET}"
    assert run_study(study, address) == Summary(4, 0)
    run_study(study, tmp_path / "local")
    assert_same_study(tmp_path / "local", address)
    assert run_study(study, address) == Summary(4, 0)
    whole = load_results(tmp_path / "local")
    for table in ("trials", "generations"):
        frame = pd.read_parquet(join(address, table))
        assert len(frame) == len(getattr(whole, table))
    files, path = fs.FileSystem.from_uri(str(join(address, "trials")))
    assert len(pd.read_parquet(path, filesystem=files)) == 4
    assert not [name for name in names(address) if name.startswith("lock-")]


def test_a_study_in_an_object_store_says_how_it_stands(options: str) -> None:
    study = prepared_study(3)
    first, second, _ = trial_ids(study)
    store = ResultStore(f"s3://status/study?{options}{NEW_BUCKET}")
    running = RunningTrial(variant=second.variant, label="x", trial=1, generations=7, epochs=9)
    with store.locked() as held:
        store.open(study)
        store.commit(first, prepared_files(first))
        progress = Progress(
            lock=held.lock.token,
            generations_per_second=None,
            generations_left=11,
            running=(running,),
        )
        store.write_progress(progress)
        status = study_status(f"s3://status/study?{options}")
        assert status.driver == Driver(socket.gethostname(), os.getpid(), alive=True)
        assert status.directory == "s3://status/study"
        assert status.trials == Counts(total=3, committed=1, running=1, failed=0, pending=1)
        assert status.running == (running,)
        store.remove_progress()
    status = study_status(f"s3://status/study?{options}")
    assert (status.driver, status.trials.pending) == (None, 2)


def test_the_command_line_goes_on_in_an_object_store_after_a_kill(options: str) -> None:
    """Found by the environment that other tools use, and without any option."""
    open_storage(f"s3://kills/x?{options}{NEW_BUCKET}").write("any", b"")
    arguments = [
        *("--rq", "quickstart", "--trials", "2", "--epochs", "100", "--jobs", "1"),
        *("--n_clusters", "2", "--n_examples_per_cluster", "4", "--n_dim", "6", "--local"),
        *("--population_size", "3", "--device", "cpu", "--output_dir"),
    ]
    command = [sys.executable, str(ROOT / "run.py"), *arguments]
    environment = os.environ | {"AWS_ENDPOINT_URL": os.environ["OBJECT_STORE"]}
    storage = open_storage(f"s3://kills/study?{options}")
    with warm.start([*command, "s3://kills/study"], env=environment, cwd=ROOT) as driver:
        wait_until(lambda: storage.files("committed"))
        driver.send_signal(signal.SIGKILL)
    done = len(storage.files("committed"))
    assert 0 < done < 4
    again = warm.run([*command, "s3://kills/study"], env=environment, cwd=ROOT)
    assert again.returncode == 0, again.stderr
    assert f"{4 - done} trials to run, {done} done before" in again.stderr
    assert "which is gone" in again.stderr
    assert "results: s3://kills/study" in again.stdout
    results = load_results(f"s3://kills/study?{options}")
    assert (len(results.trials), results.skipped) == (4, ())


def test_a_trial_without_a_marker_is_passed_over_run_again_and_cleaned(
    options: str, tmp_path: Path
) -> None:
    study = prepared_study()
    [first, second] = trial_ids(study)
    address = f"s3://orphans/study?{options}{NEW_BUCKET}"
    run_prepared(study, address)
    storage = ResultStore(address).storage
    storage.remove(second.path("committed"))
    results = load_results(address)
    assert results.trials["trial"].tolist() == [first.trial]
    assert "without a commit marker" in results.skipped[0]
    assert sorted(clean(address).removed) == sorted(
        second.path(folder) for folder in ("models", "generations", "trials")
    )
    assert run_prepared(study, address) == [second]
    run_prepared(study, tmp_path / "local")
    assert_same_study(tmp_path / "local", address)


def test_a_reader_with_an_index_asks_for_listings_and_not_for_trials(
    options: str, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_WORTH", 1)
    monkeypatch.setattr(index, "_RECENT_S", 0.0)
    study, address = prepared_study(8), f"s3://listed/study?{options}{NEW_BUCKET}"
    store, trials = ResultStore(address), trial_ids(study)
    store.open(study)
    asked = []
    for some in (trials[:4], trials[4:]):
        for trial in some:
            store.commit(trial, prepared_files(trial))
        load_results(address)  # writes the index
        before = len(log.read_text())
        assert study_status(address).trials.committed == len(load_results(address).trials)
        asked.append(re.findall(r'"(\w+ /\S+) HTTP', log.read_text()[before:]))
    few, many = asked
    assert len(few) == len(many)
    objects = [each for each in many if "list-type" not in each and "/study/" in each]
    assert not [each for each in objects if "trial=" in each]
    print(f"{len(many)} requests, {len(objects)} of them for objects")


def test_a_second_driver_on_an_object_store_is_refused(options: str) -> None:
    storage = open_storage(f"s3://locks/study?{options}{NEW_BUCKET}")
    with (
        locked(storage),
        pytest.raises(UserError, match=f"s3://locks/study: in use by process {os.getpid()} on "),
        locked(storage),
    ):
        pass
    with locked(storage):
        assert storage.refresh("lock-nobody", b"") is False
        [entry] = storage.children()
        assert abs(entry.modified - time.time()) < STALE_AFTER_S


def test_a_late_duplicate_changes_nothing(options: str) -> None:
    study = prepared_study(1)
    address = f"s3://late/study?{options}{NEW_BUCKET}"
    run_prepared(study, address, run=0)
    [trial] = trial_ids(study)
    store = ResultStore(address)
    before = {name: store.storage.read(name) for name in names(address)}
    store.commit(trial, prepared_files(trial, run=1))
    assert {name: store.storage.read(name) for name in names(address)} == before


def test_checkpoints_leave_nothing_behind(options: str) -> None:
    study = prepared_study(1)
    address = f"s3://checkpoints/study?{options}{NEW_BUCKET}"
    [trial] = trial_ids(study)
    store = ResultStore(address)
    store.open(study)
    for generations in (1, 2, 3):
        store.write_checkpoint(trial, generations, prepared_checkpoint(generations))
    kept = list(ResultStore(address).checkpoints(trial))
    assert [content for _, content in kept] == [prepared_checkpoint(3), prepared_checkpoint(2)]
    store.commit(trial, prepared_files(trial))
    tops = {entry.name for entry in store.storage.children()}
    assert tops == {"committed", "generations", "models", "study.json", "trials"}


def test_an_interrupt_does_not_leave_half_an_object(options: str) -> None:
    address = f"s3://interrupts/study?{options}{NEW_BUCKET}"
    open_storage(address).write("file", b"before")
    files, root = fs.FileSystem.from_uri(address)
    storage = _ObjectStorage(InterruptingFiles(files), root, address, makes_bucket=False)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            storage.write("file", b"after" * 1000)
    finally:
        signal.signal(signal.SIGINT, before)
    assert open_storage(address).read("file") == b"after" * 1000


class InterruptingFiles:
    """Opens files for writing, and is interrupted before anything is written."""

    def __init__(self, files: Any) -> None:
        self._files = files

    def open_output_stream(self, path: str, compression: str | None) -> Any:
        stream = self._files.open_output_stream(path, compression=compression)
        _thread.interrupt_main()
        time.sleep(0.1)
        return stream


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("foo://bucket/x", r"foo://bucket/x: cannot be used \(Unrecognized"),
        ("s3://", "names no bucket"),
        ("s3:///x", "Missing bucket"),
        ("s3://bucket/x?nonsense=1", "nonsense"),
        ("s3://key:secret@bad bucket/x", "cannot be used"),
        ("s3://nowhere/x?{options}", "NO_SUCH_BUCKET"),
        (
            "s3://key:secret@bucket/x?endpoint_override=127.0.0.1:1&scheme=http",
            "NETWORK_CONNECTION",
        ),
    ],
)
def test_what_is_wrong_with_a_store_is_told_in_one_line(
    address: str, told: str, options: str
) -> None:
    with pytest.raises(UserError, match=told) as error:
        run_prepared(prepared_study(), address.format(options=options))
    line = str(error.value)
    assert "\n" not in line
    assert "secret" not in line
    assert len(line) < 600


def test_models_are_exported_from_an_object_store(options: str, tmp_path: Path) -> None:
    address = f"s3://exports/study?{options}{NEW_BUCKET}"
    study = tiny_study(trials=1, store_generations="recorded", prune_method="random")
    run_study(study, address)
    for target in (None, 1.0):
        done = export(address, target_capacity=target, compact=True, output_dir=tmp_path / "out")
        assert read_model(Path(done.files[0])).provenance["variant"] == study.variants[0].id
    done = export(address)
    stored = open_storage(done.folder)
    for name, content in done.package.files.items():
        assert stored.read(name) == content
    assert str(done.folder).startswith("s3://exports/study/exports/")
    assert len(load_results(address).trials) == 1


def test_addresses_keep_their_options_and_hide_their_keys() -> None:
    address = "s3://key:secret@bucket/results/?region=eu-west-1"
    assert join(address, "capacity") == "s3://key:secret@bucket/results/capacity?region=eu-west-1"
    assert place_of(address) == "s3://bucket/results"
    assert join("results", "capacity") == Path("results/capacity")
    with pytest.raises(UserError, match="give the address as text"):
        open_storage(Path("s3://bucket/results"))


def test_an_address_of_a_local_folder_is_that_folder(tmp_path: Path) -> None:
    run_prepared(prepared_study(), f"file://{tmp_path}/study")
    assert len(load_results(tmp_path / "study").trials) == 2
