"""Checkpoints as bytes: a trial goes on from them with the same bits, and damage is noticed."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from helpers import setup_of, tiny_variant
from hypothesis import given
from hypothesis import strategies as st
from rings import begun, cells_of, course_of, records_of
from safetensors.numpy import load, save

from aes_lipi.coevolution.records import RecordLog
from aes_lipi.coevolution.state import Held, NetworkState, Setup, TrialState
from aes_lipi.config import Variant
from aes_lipi.results.checkpoint import (
    Checkpoint,
    _digest,
    _read,
    decode_checkpoint,
    encode_checkpoint,
    identify,
)
from aes_lipi.results.schema import records_schema

State = TrialState[Held]

AT = datetime(2025, 1, 1, tzinfo=UTC)
CASES: dict[str, dict[str, Any]] = {
    "published": {"prune_method": "random", "prune_probability": 0.5},
    "kept Adam": {"optimizer_state": "cell"},
    "masks": {"prune_method": "magnitude", "pruned_weights": "frozen", "prune_probability": 0.3},
    "statistics": {
        "cell_evaluation": "ann_canonical",
        "prune_method": "activation",
        "prune_probability": 0.2,
        "seed": 3,
    },
    "synchronous": {"update_order": "synchronous", "record_interval": 4},
    "epoch-node": {"cell_evaluation": "epoch-node", "optimizer_state": "cell"},
    "no space": {"cell_evaluation": "all_vs_all"},
    "no test loss": {"record_test_loss": False, "record_interval": 100},
}


@cache
def case(name: str) -> tuple[Variant, Setup, list[State]]:
    """A variant, what its cells share, and its trial after every generation."""
    settings = {key: value for key, value in CASES[name].items() if key != "seed"}
    variant = tiny_variant(epochs=8, rng_seed=CASES[name].get("seed", 1), **settings)
    setup = setup_of(variant)
    return variant, setup, course_of(setup, begun(setup, 2))


def content(state: State, variant: Variant) -> bytes:
    still = dataclasses.replace(state, records=RecordLog(records_of(state)))
    return encode_checkpoint(Checkpoint(still, AT, 1.5), variant, "some processor")


@pytest.mark.parametrize("name", CASES)
def test_a_trial_goes_on_from_any_generation_with_the_same_bits(name: str) -> None:
    variant, setup, course = case(name)
    for start in course[:-1:3]:
        checkpoint = decode_checkpoint(content(start, variant), variant, setup.architecture)
        assert (checkpoint.started_at, checkpoint.wall_time_s) == (AT, 1.5)
        left = course_of(setup, checkpoint.state)
        assert [state.generations for state in left] == list(range(start.generations + 1, 9))
        assert content(left[-1], variant) == content(course[-1], variant)


def test_the_cases_have_something_to_forget() -> None:
    def cells(name: str) -> list[Any]:
        return [cell for state in case(name)[2] for cell in cells_of(state)]

    assert all(cell.encoder_moments is not None for cell in cells("kept Adam"))
    assert {cell.pair.encoder.mask is None for cell in cells("masks")} == {False, True}
    assert {cell.encoder_statistics is None for cell in cells("statistics")} == {False, True}
    assert any(cell.pair.decoder.n_pruned for cell in cells("published"))


def test_networks_that_go_their_own_ways_are_kept_each_for_itself() -> None:
    variant, setup, course = case("no space")
    read = decode_checkpoint(content(course[3], variant), variant, setup.architecture).state
    assert read.newest == course[3].newest
    assert read.rates == course[3].rates
    for version, held in read.held.items():
        known = course[3].held[version]
        assert isinstance(held, NetworkState)
        assert isinstance(known, NetworkState)
        np.testing.assert_array_equal(held.network.genome, known.network.genome)


def test_a_replay_goes_on_from_any_round() -> None:
    """Its cells are at different generations, and some will read what others left behind."""
    variant = tiny_variant(update_order="asynchronous", epochs=12)
    setup = setup_of(variant)
    rng = np.random.default_rng(0)
    lag = rng.integers(3, size=(12, 4, 3))
    lag[:, :, 0] = 0
    reads = np.maximum(np.arange(12)[:, None, None] - 1 - lag, -1).astype(np.int32)
    reads = np.maximum.accumulate(reads, axis=0)
    course = course_of(setup, begun(setup), reads)
    assert any(len(state.held) > 4 for state in course)
    for start in course[:-1]:
        read = decode_checkpoint(content(start, variant), variant, setup.architecture)
        [*_, last] = course_of(setup, read.state, reads)
        assert content(last, variant) == content(course[-1], variant)


def test_cells_that_ran_freely_go_on_in_one_process_and_can_be_replayed() -> None:
    """Those behind catch up; the reads of the whole course, repeated, give the same bits."""
    variant = tiny_variant(update_order="asynchronous", epochs=8)
    setup = setup_of(variant)
    ragged = next(s for s in course_of(setup, begun(setup)) if len(set(s.newest.values())) > 1)
    read = decode_checkpoint(content(ragged, variant), variant, setup.architecture)
    [*_, last] = course_of(setup, read.state)
    reads = np.array([record.read_generations for record in records_of(last)]).reshape(8, 4, 3)
    [*_, again] = course_of(setup, begun(setup), reads.astype(np.int32))
    assert content(again, variant) == content(last, variant)


def test_it_says_what_it_is_of() -> None:
    variant, _, course = case("published")
    identity = identify(content(course[4], variant))
    assert (identity.variant, identity.trial, identity.generations) == (variant.id, 2, 5)
    assert identity.processor == "some processor"
    assert identity.software.startswith("aes_lipi 0")


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=7))
def test_a_flipped_bit_is_noticed(position: int, bit: int) -> None:
    variant, _, course = case("masks")
    whole = content(course[5], variant)
    flipped = bytearray(whole)
    flipped[position % len(whole)] ^= 1 << bit
    try:
        found = identify(bytes(flipped))
    except ValueError:
        return
    assert found == identify(whole)  # a bit of the white space that ends the header, say
    ours, theirs = load(bytes(flipped)), load(whole)
    assert {name: each.tobytes() for name, each in ours.items()} == {
        name: each.tobytes() for name, each in theirs.items()
    }


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=7))
def test_a_flipped_bit_of_an_array_is_refused(position: int, bit: int) -> None:
    """What follows the header is arrays and nothing else."""
    variant, _, course = case("masks")
    flipped = bytearray(content(course[5], variant))
    start = 8 + int(struct.unpack_from("<Q", flipped)[0])
    flipped[start + position % (len(flipped) - start)] ^= 1 << bit
    with pytest.raises(ValueError, match="its content is not what was written"):
        identify(bytes(flipped))


@given(st.integers(min_value=0), st.binary(max_size=40))
def test_a_cut_or_continued_file_is_noticed(position: int, more: bytes) -> None:
    variant, _, course = case("published")
    whole = content(course[5], variant)
    for damaged in (whole[: position % len(whole)], whole + more + b"x", more):
        with pytest.raises(ValueError, match=r"^[^\n]+$"):
            identify(damaged)


def rewritten(change: Any, name: str = "masks") -> bytes:
    """A checkpoint that was changed by somebody who knows how its digest is made."""
    variant, _, course = case(name)
    identity, tensors = _read(content(course[5], variant))
    changed = dict(tensors)
    fields = change(changed) or {}
    identity = identity.model_copy(update=fields)
    identity = identity.model_copy(update={"sha256": _digest(identity, changed)})
    return save(changed, metadata={"aes_lipi": identity.model_dump_json()})


def replaced(name: str, array: Any) -> Any:
    return lambda tensors: tensors.update({name: np.asarray(array)})


def dropped(name: str) -> Any:
    return lambda tensors: tensors.pop(name) is None or None


def with_records(change: Callable[[pa.RecordBatch], pa.RecordBatch], **options: Any) -> Any:
    """Change the columns of the records, or how they are written."""

    def change_tensors(tensors: Any) -> None:
        batch = change(pa.ipc.read_record_batch(pa.py_buffer(tensors["records"]), records_schema()))
        stream = pa.BufferOutputStream()
        with pa.ipc.new_stream(stream, batch.schema, **options) as writer:
            writer.write_batch(batch)
        reader = pa.ipc.MessageReader.open_stream(stream.getvalue())
        reader.read_next_message()  # the schema
        content = reader.read_next_message().serialize()
        tensors["records"] = np.frombuffer(content, np.uint8)

    return change_tensors


def with_column(name: str, values: Any) -> Any:
    """Give the records another column."""

    def change(batch: pa.RecordBatch) -> pa.RecordBatch:
        column = pa.array([values] * len(batch), batch.schema.field(name).type)
        return batch.set_column(batch.schema.names.index(name), name, column)

    return with_records(change)


def damaged_records(change: Callable[[bytes], bytes]) -> Any:
    """Change the bytes of the records."""

    def change_tensors(tensors: Any) -> None:
        content = change(tensors["records"].tobytes())
        tensors["records"] = np.frombuffer(content, np.uint8)

    return change_tensors


UNFIT: dict[str, Any] = {
    "versions: not those": replaced("versions", np.zeros((4, 3), np.int64)),
    "versions: of generations": lambda t: t["versions"].__setitem__((0, 2), 99),
    "versions: of parts": lambda t: t["versions"].__setitem__((0, 0), 3),
    "versions: float64": replaced("versions", np.zeros((4, 3))),
    "encoder.genomes: float32 of shape": replaced("encoder.genomes", np.zeros((4, 9), np.float32)),
    "decoder.genomes: missing": dropped("decoder.genomes"),
    "encoder.masks: missing": dropped("encoder.masks"),
    "decoder.n_pruned: int64 of": replaced("decoder.n_pruned", np.zeros(3, np.int64)),
    "encoder.first: missing": replaced("encoder.steps", np.ones(4, np.int64)),
    "decoder.counts: missing": replaced("decoder.observed", np.ones(4, np.uint8)),
    "rates: not finite": replaced("rates", np.full(4, np.nan)),
    "rates: float64 of": replaced("rates", np.ones(5)),
    "rates.of: not those": lambda t: t["rates.of"].__setitem__((0, 1), 99),
    "records: not those": with_records(lambda batch: batch[:-1]),
    "records: missing": dropped("records"),
    "records: int64 of": replaced("records", np.zeros(9, np.int64)),
    "records: of another trial": lambda _: {"trial": 7},
    "records: wall_time_s is not known": with_column("wall_time_s", None),
    "records: read_generations has another number of values than its cell": with_column(
        "read_generations", [0, 0]
    ),
    "records: selection_losses has another number of values than its cell": with_column(
        "selection_losses", [None] * 9
    ),
    "records: centre has another number of values than its cell": with_column("centre", b"x"),
    "records: not a plain record batch": with_records(
        lambda batch: batch, options=pa.ipc.IpcWriteOptions(compression="zstd")
    ),
    "records: not a record batch (Ran out of field metadata": with_records(
        lambda batch: batch.select(range(5))
    ),
    "records: not a record batch": damaged_records(lambda content: content[:-9]),
    "variant: v0000000000": lambda _: {"variant": "v0000000000"},
}


@pytest.mark.parametrize("reason", UNFIT)
def test_what_is_no_state_of_the_ring_is_refused(reason: str) -> None:
    variant, setup, _ = case("masks")
    hostile = rewritten(UNFIT[reason])
    identify(hostile)
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        decode_checkpoint(hostile, variant, setup.architecture)
    assert str(error.value).startswith(reason)


def with_header(header: bytes, claimed: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if claimed is None else claimed) + header


HEADERS: dict[str, bytes] = {
    "empty": b"",
    "a huge header": with_header(b"{}", 2**63),
    "a header beyond the end": with_header(b"{}", 100),
    "no metadata": with_header(b"{}"),
    "no object": with_header(b"[]"),
    "deep": with_header(b"[" * 100_000),
    "not text": with_header(b"\xff\xfe"),
    "a huge tensor": with_header(
        json.dumps(
            {"x": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}
        ).encode()
    ),
    "a pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
}


@pytest.mark.parametrize("name", HEADERS)
def test_what_is_no_checkpoint_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        identify(HEADERS[name])
