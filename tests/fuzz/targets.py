"""What is fuzzed: every reader of something that a user, or somebody else, may have written."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import shutil
import tempfile
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from helpers import setup_of, tiny_variant
from own_tables import load_file
from prepared import prepared_failure, prepared_study, run_prepared, trial_ids
from rings import advanced, begun, course_of
from safetensors.numpy import load, save

from aes_lipi.autoencoders.environments import ENVIRONMENTS, build_architecture
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.config import StudyFile, Variant, list_presets, load_study_file, resolve_study
from aes_lipi.config.presets import presets_directory
from aes_lipi.data.encoding import Column, Encoding
from aes_lipi.data.fitting import learn_scaling
from aes_lipi.data.scaling import Scaling
from aes_lipi.data.source import array_source
from aes_lipi.errors import UserError
from aes_lipi.models import Model, Place, load_recorded, read_model
from aes_lipi.models.files import model_bytes, sealed
from aes_lipi.results import checkpoint as checkpoints
from aes_lipi.results import description, lock, trial_files
from aes_lipi.results.checkpoint import Checkpoint, decode_checkpoint, encode_checkpoint, identify
from aes_lipi.results.cleaning import clean
from aes_lipi.results.processes import Process
from aes_lipi.results.reading import load_results
from aes_lipi.results.replay import load_reads
from aes_lipi.results.status import study_status
from aes_lipi.results.storage import LocalStorage
from aes_lipi.results.store import ResultStore
from aes_lipi.results.trial_files import TrialId
from fuzz import mutations
from fuzz.watch import MOST_MEMORY_MB, Failure, failure_of

Read = Callable[[bytes], None]

VALUES = np.random.default_rng(0).random((7, 3)).astype(np.float32)
_TRIAL = TrialId("v0123456789", 3)


@dataclass(frozen=True)
class Target:
    """A reader and what is given to it.

    Attributes:
        read: reads an input.
        seeds: valid inputs, and some that are nearly so.
        mutate: damages an input where this reader looks.
        longest: bytes of an input.
        most_memory_mb: by which the process may grow when it reads one.
    """

    read: Read
    seeds: Sequence[bytes]
    mutate: mutations.Mutation
    longest: int = 2**14
    most_memory_mb: int = MOST_MEMORY_MB

    def failure(self, content: bytes) -> Failure | None:
        """What is wrong with how an input is read; None if nothing is."""
        return failure_of(self.read, content, most_memory_mb=self.most_memory_mb)


def npy(values: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def parquet(table: pa.Table, **options: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()


def parquet_of_values() -> list[bytes]:
    """Of all kinds of columns and encodings."""
    table = pa.table(
        {
            "a": [True, False, None],
            "b": pa.array([1, 0, 1], pa.uint8()),
            "c": [0.5, 0.25, 1.0],
            "d": pa.array([0.5, 0.25, 1.0], pa.float16()),
        }
    )
    rows = pa.table({"a": np.zeros(5000, np.float32), "b": np.tile(VALUES[:5, 0], 1000)})
    text = pa.table(
        {"a": ["x", "y"], "b": [[1], [2]], "c": pa.array(["x", "x"]).dictionary_encode()}
    )
    lists = pa.table({"a": VALUES.tolist(), "d": [Decimal("0.25")] * 7, "Unnamed: 0": range(7)})
    return [
        parquet(table),
        parquet(table, compression="none", data_page_version="2.0"),
        parquet(table, compression="zstd", use_dictionary=False, write_page_checksum=True),
        parquet(table, compression="gzip", use_byte_stream_split=["c"], use_dictionary=False),
        parquet(table.to_pandas().set_index("c").pipe(pa.Table.from_pandas)),
        parquet(rows, row_group_size=1000),
        parquet(text),
        parquet(lists, row_group_size=3),
        parquet(lists.set_column(0, "a", pa.FixedSizeListArray.from_arrays(VALUES.ravel(), 3))),
    ]


def model_files() -> list[bytes]:
    """Of every kind of autoencoder: masks, further centres, recorded ones, scaling; compact."""
    files = []
    for number, environment in enumerate(ENVIRONMENTS.values()):
        architecture = build_architecture(environment, 4, environment.hidden_sizes[:1], 2)
        rng = np.random.default_rng(number)
        pair = Pair(
            *(_network(each.size, rng) for each in (architecture.encoder, architecture.decoder))
        )
        others = (pair, pair) if number % 2 else ()
        model = Model(architecture, pair, others, {"study": "x", "trial": 1})
        scaling = Scaling(
            "minmax", np.array([0.0, -5.0, 1e9, 0.0]), np.array([1.0, 5.0, 1e9, 1e-9])
        )
        own = replace(model, scaling=scaling, columns=("a", "b", "c", "d"))
        text = Column("t", ("x", "y"))
        power = learn_scaling(array_source("x", rng.normal(size=(9, 4))), kind="power")
        ranked = learn_scaling(array_source("x", rng.normal(size=(9, 4))), kind="quantile")
        encoded = Encoding((Column("a", fill=0.5), text, Column("b", fill=1.0)), fills=True)
        files.append(model_bytes(replace(model, scaling=ranked)))
        whole = replace(model, scaling=power, encoding=encoded, columns=encoded.names)
        files.append(model_bytes(whole))
        recorded = {Place(t, 0): pair for t in range(2)}
        files += [model_bytes(model), model_bytes(own, recorded), model_bytes(own.compacted())]
    return files


def _network(size: int, rng: np.random.Generator) -> Network:
    return Network(rng.random(size).astype(np.float32), rng.random(size) < 0.5, 2)


def _data_reader(folder: Path, extension: str) -> Read:
    path = folder / f"x{extension}"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        with suppress(UserError):
            load_file(path, scale="minmax")
        load_file(path)

    return read


def _data_target(extension: str, seeds: Sequence[bytes], mutate: mutations.Mutation) -> Target:
    return Target(_data_reader(_folder(), extension), seeds, mutate)


def csv_target() -> Target:
    """Tables as text."""
    seeds = (
        *(b"a,b\n0.5,true\n1,false\n", b"0.5,1\n,0.25\n", b"0,1,2\n0.5,0.5,0.5\n1,0,1\n"),
        *(b'"a","b ""c"""\r\n1e-3,+.5\r\n\r\nnan,inf\r\n', "\ufeffgröße,😀\n0,1\n".encode()),
        *(b"a;b\n0,5;1\n", b"a\n" + b"0.25\n" * 50, b",".join([b"0"] * 200) + b"\n"),
        *(b"# a b\n0.5  1\n 1 .5\n0 0\n# end\n", b",0,1\n0,.5,.5\n1,0,1\n2,1,0\n"),
        *(b"400,500\n.5,.25\n.1,.3\n.2,.4\n", b"a,b\n.5,1,\n1,0,\n0,0,\n", b"a\tb\n1\t0\n"),
        gzip.compress(b"a,b\n0.5,1\n1,0\n0,0\n"),
    )
    return _data_target(".csv", seeds, mutations.mutated)


def npy_target() -> Target:
    """Arrays of all types, mapped into memory."""
    kinds = ("?", "u1", "<i2", ">f4", "<f8", "f2", "c8", "U3", "M8[s]")
    seeds = [npy(np.zeros((3, 2), kind)) for kind in kinds]
    shapes = [npy(np.zeros(shape)) for shape in ((), (3,), (2, 2, 2), (0, 3))]
    return _data_target(
        ".npy", [*seeds, *shapes, npy(np.asfortranarray(VALUES))], mutations.mutated
    )


def npz_target() -> Target:
    """Archives of arrays."""
    split = npz(train=VALUES, test=VALUES[:2], validation=VALUES[:1])
    seeds = [
        npz(m=VALUES),
        npz(m=np.zeros((2000, 500), np.uint8)),
        split,
        npz(),
        npz(a=VALUES, b=VALUES),
    ]
    stored = mutations.zipped([("m.npy", npy(VALUES))], 0)

    def mutate(content: bytes, rng: random.Random) -> bytes:
        return rng.choice((mutations.mutated, mutations.npz_mutated))(content, rng)

    return _data_target(".npz", [*seeds, stored], mutate)


def parquet_target() -> Target:
    """Tables in Parquet."""

    def mutate(content: bytes, rng: random.Random) -> bytes:
        return rng.choice((mutations.mutated, mutations.parquet_mutated))(content, rng)

    target = _data_target(".parquet", parquet_of_values(), mutate)
    return replace(target, most_memory_mb=2**11)  # a user's own file is no attack: Arrow decides


def model_target() -> Target:
    """Saved models."""
    path = _folder() / "m.safetensors"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        model = read_model(path)
        with np.errstate(all="ignore"):  # of weights beyond all measure
            model.score(np.zeros((2, model.architecture.n_dim), np.float32))
        load_recorded(path, Place(1, 0)).compacted()

    def mutate(content: bytes, rng: random.Random) -> bytes:
        made = rng.choice((mutations.mutated, mutations.safetensors_mutated))(content, rng)
        with suppress(ValueError):  # no place for a digest is left
            return sealed(made) if rng.random() < 0.9 else made
        return made

    return Target(read, model_files(), mutate)


def study_target() -> Target:
    """Study files."""
    path = _folder() / "s.yaml"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        study = resolve_study("s", load_study_file(path), {})
        description.describe_study(study)

    presets = [(presets_directory() / f"{name}.yaml").read_bytes() for name in list_presets()]
    odd = (
        *(b"settings: {epochs: 3, hidden_sizes: [[60, 30], [5]]}\n", b"trials: !!int '3'\n"),
        *(b"settings:\n  data: x.csv\n", b"variants:\n- {prune_method: None}\n- {seed: 1}\n"),
        *(b"a: &x [1]\nb: *x\n", b"settings: {epochs: [0x10, 1:30, 1e3, .inf, 2001-01-01]}\n"),
    )
    return Target(read, [*presets, *odd], mutations.mutated)


def flags_target() -> Target:
    """Flags of the fields: a line `field=value` each."""

    def read(content: bytes) -> None:
        lines = content.decode(errors="surrogateescape").splitlines()
        overrides = dict(line.partition("=")[::2] for line in lines)
        description.describe_study(resolve_study("s", StudyFile(), overrides))

    settings = Variant().model_dump(mode="json")
    every = [f"{name}={value}".encode() for name, value in settings.items()]
    swept = b"prune_method=random,lexicase\nprune_probability=0.1,0.5\nhidden_sizes=60,30\ntrials=3"
    canonical = b"cell_evaluation=ann_canonical\nepochs=3,4\ndataset_name=2_4_8"
    added = b"prune_method=random,a.b:c\nenvironment=a:d.e\ndataset_name=a:f"
    seeds = [*every, swept, canonical, added, b"\n".join(every)]
    return Target(read, seeds, mutations.mutated)


def checkpoint_target() -> Target:
    """Checkpoints, half of them of somebody who knows how their digest is made."""
    variant = tiny_variant(epochs=4, optimizer_state="cell", pruned_weights="frozen", **_PRUNED)
    setup = setup_of(variant)
    at = datetime(2025, 1, 1, tzinfo=UTC)
    seeds = [
        encode_checkpoint(Checkpoint(state, at, 1.0), variant, "any")
        for state in course_of(setup, begun(setup))
    ]

    def read(content: bytes) -> None:
        try:
            identify(content)
            checkpoint = decode_checkpoint(content, variant, setup.architecture)
        except ValueError as error:
            raise UserError(str(error)) from None
        if checkpoint.state.generations < variant.epochs:
            advanced(checkpoint.state, setup)

    return Target(read, seeds, _checkpoint_mutated)


_PRUNED = {"prune_method": "magnitude", "prune_probability": 0.5, "on_divergence": "skip"}


def _checkpoint_mutated(content: bytes, rng: random.Random) -> bytes:
    changed = rng.choice((mutations.mutated, mutations.safetensors_mutated))(content, rng)
    try:
        tensors = dict(load(changed))
        name = rng.choice(sorted(tensors))
        tensors[name] = rng.choice(_CHANGES)(tensors[name], rng)
        identity = checkpoints._read(content)[0]
        digest = checkpoints._digest(identity, tensors)
    except Exception:
        return changed
    whole = identity.model_copy(update={"sha256": digest})
    return save(tensors, metadata={"aes_lipi": whole.model_dump_json()})


def _with_damaged_bytes(array: Any, rng: random.Random) -> Any:
    content = mutations.mutated(array.tobytes(), rng)
    return np.frombuffer(content[: len(content) // array.itemsize * array.itemsize], array.dtype)


_CHANGES: tuple[Callable[[Any, random.Random], Any], ...] = (
    lambda array, rng: array[: rng.randrange(len(array) + 1)].copy(),
    lambda array, rng: np.concatenate([array, array]),
    lambda array, rng: np.full_like(array, rng.choice((-1, 0, 1, 255, 2**31 - 1)) % 2**31),
    lambda array, rng: array.astype(rng.choice((np.float32, np.float64, np.int64, np.uint8))),
    lambda array, rng: (array * rng.choice((0, 1e30, -1))).astype(array.dtype),
    lambda array, rng: array.reshape(-1),
    _with_damaged_bytes,
    lambda array, rng: np.where(rng.random() < 0.5, np.nan, array).astype(array.dtype),
)


def documents_target() -> Target:
    """The small JSON files of a results folder: a marker, a description, a lock, progress."""
    folder = _folder()
    storage = LocalStorage(folder)
    own = lock.Lock(uuid.uuid4().hex, Process("host", "machine", 7, "1"))
    path = folder / own.name
    study = prepared_study(rng_seed=[1, 2])

    def read(content: bytes) -> None:
        trial_files._read_marker(content, _TRIAL)
        description.read_study_description(content)
        (folder / description.PROGRESS_FILE).write_bytes(content)
        description.read_progress(storage)
        path.write_bytes(content)
        other = lock._read(storage, own.name)
        if other is not None and not other.is_stale(0.0):
            raise lock._refusal(storage, other)
        description.check_same_study(storage, content, study)

    facts = {
        folder: trial_files.FileFacts(_TRIAL.path(folder), 1, 2, "0" * 64)._asdict()
        for folder in ("models", "generations", "trials")
    }
    marker = {"format": 1, "variant": _TRIAL.variant, "trial": _TRIAL.trial, "files": facts}
    running = description.RunningTrial(variant="v", label="x", trial=1, generations=2, epochs=3)
    said = description.Progress(
        lock=own.token, generations_per_second=0.5, generations_left=1, running=(running,)
    )
    seeds = [
        *(own.content(), description.describe_study(study), json.dumps(marker).encode()),
        said.encoded(),
    ]

    def mutate(content: bytes, rng: random.Random) -> bytes:
        return rng.choice((mutations.mutated, mutations.json_mutated))(content, rng)

    return Target(read, seeds, mutate)


def results_target() -> Target:
    """One file of a results folder: which (a byte), whether its marker fits (a byte), content."""
    folder = _folder() / "results"
    study = prepared_study(1)
    run_prepared(study, folder)
    ResultStore(folder).record_failure(TrialId(_TRIAL.variant, 0), prepared_failure(_TRIAL))
    whole = {path: path.read_bytes() for path in sorted(folder.rglob("*.*")) if path.is_file()}
    paths = list(whole)
    first = trial_ids(study)[0]
    marker = folder / first.path("committed")

    def read(content: bytes) -> None:
        path = paths[content[0] % len(paths)] if content else paths[0]
        try:
            path.write_bytes(content[2:])
            if content[1:2] == b"\1" and path != marker:
                marker.write_bytes(_remade(whole[marker], path.relative_to(folder), content[2:]))
            with suppress(UserError):
                load_reads(LocalStorage(folder), first, study.variants[0])
            with suppress(UserError):
                ResultStore(folder).holds(study)
            with suppress(UserError):
                study_status(folder)
            load_results(folder)
        finally:
            for each in (path, marker):
                each.write_bytes(whole[each])

    seeds = [bytes([k, fits]) + whole[path] for k, path in enumerate(paths) for fits in (0, 1)]
    return Target(read, seeds, _behind_two, longest=2**16)


def _behind_two(content: bytes, rng: random.Random) -> bytes:
    is_parquet = content[2:5] == b"PAR" and rng.random() < 0.5
    change = mutations.parquet_mutated if is_parquet else mutations.mutated
    if content[2:3] == b"{":
        change = mutations.json_mutated
    return content[:1] + bytes([rng.random() < 0.9]) + change(content[2:], rng)


def _remade(marker: bytes, path: Path, content: bytes) -> bytes:
    """A marker that says of a file what is true."""
    document = json.loads(marker)
    for facts in document["files"].values():
        if facts["path"] == str(path):
            facts |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            with suppress(pa.ArrowException, OSError):
                facts["rows"] = pq.read_metadata(pa.BufferReader(content)).num_rows
    return json.dumps(document).encode()


def cleaning_target() -> Target:
    """Names of files in a results folder, a line each, as `clean` meets them."""
    place = _folder()

    def read(content: bytes) -> None:
        folder = place / uuid.uuid4().hex
        (folder / "trials").mkdir(parents=True)
        (folder / "study.json").write_bytes(b"{}")
        try:
            for name in content.split(b"\n")[:20]:
                _make(folder, name.decode(errors="surrogateescape"))
            clean(folder)
        finally:
            shutil.rmtree(folder)

    seeds = [b"variant=v0123456789/trial=0001.parquet\n.writing-" + b"0" * 32, b"x/y\n\xff\n"]
    return Target(read, seeds, mutations.mutated, longest=2**10)


def _make(folder: Path, name: str) -> None:
    """An empty file among the trials, if there can be one of this name."""
    path = folder / "trials" / name.lstrip("/")
    with suppress(OSError, ValueError):
        if ".." not in path.parts:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def _folder() -> Path:
    """A new temporary folder, below the one that the caller removes."""
    return Path(tempfile.mkdtemp())


TARGETS: dict[str, Callable[[], Target]] = {
    "csv": csv_target,
    "npy": npy_target,
    "npz": npz_target,
    "parquet": parquet_target,
    "model": model_target,
    "study": study_target,
    "flags": flags_target,
    "checkpoint": checkpoint_target,
    "documents": documents_target,
    "results": results_target,
    "cleaning": cleaning_target,
}
