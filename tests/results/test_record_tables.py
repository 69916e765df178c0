"""Records as bytes: every value comes back with its bits."""

from __future__ import annotations

import dataclasses
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aes_lipi.coevolution.records import Record
from aes_lipi.results.checkpoint_tensors import (
    newest_mean_l1,
    records_from_tensors,
    records_to_tensors,
)

_BITS = st.integers(min_value=0, max_value=2**64 - 1)
FLOATS = _BITS.map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0]) | st.floats()
INTEGERS = st.integers(min_value=-(2**63), max_value=2**63 - 1)
KINDS = {"int": INTEGERS, "float": FLOATS, "bool": st.booleans(), "None": st.none()}


def values_of(field: dataclasses.Field[Any]) -> st.SearchStrategy[Any]:
    given_lengths = {
        "read_generations": st.tuples(*[st.integers(min_value=-1, max_value=2**31 - 1)] * 3),
        "selection_losses": st.none() | st.tuples(*[FLOATS] * 9),
        "cell": st.integers(0, 1),
        "centre": st.none() | st.binary(min_size=8, max_size=8),
        "metrics": st.none() | st.tuples(*[FLOATS] * 2),
    }
    if field.name in given_lengths:
        return given_lengths[field.name]
    return st.one_of([KINDS[kind] for kind in str(field.type).split(" | ")])


RECORDS = st.builds(
    Record, **{field.name: values_of(field) for field in dataclasses.fields(Record)}
)


def bits(value: Any) -> Any:
    """A value, with floats as their bits, so that NaN is NaN and zeros have a sign."""
    if isinstance(value, tuple):
        return tuple(map(bits, value))
    return (type(value), struct.pack("<d", value) if isinstance(value, float) else value)


@given(st.lists(RECORDS, max_size=4))
def test_every_value_comes_back_with_its_bits(records: list[Record]) -> None:
    back = records_from_tensors(records_to_tensors(records), [3, 3], n_bytes=8, n_metrics=2)
    assert [bits(dataclasses.astuple(each)) for each in back] == [
        bits(dataclasses.astuple(each)) for each in records
    ]


def test_records_are_as_long_as_the_neighbourhoods_of_their_cells() -> None:
    fields: dict[str, Any] = dict.fromkeys((each.name for each in dataclasses.fields(Record)), 0)
    fields |= {"centre": None, "metrics": None, "prune_event": False, "diverged": False}
    hub = {"cell": 0, "read_generations": (0, 0, 0), "selection_losses": (0.5,) * 9}
    leaf = {"cell": 1, "read_generations": (0, 0), "selection_losses": (0.5,) * 4}
    tensors = records_to_tensors([Record(**fields | hub), Record(**fields | leaf)])
    assert [each.cell for each in records_from_tensors(tensors, [3, 2], n_bytes=8)] == [0, 1]
    with pytest.raises(ValueError, match="read_generations has another number of values"):
        records_from_tensors(tensors, [3, 3], n_bytes=8)
    with pytest.raises(ValueError, match="of cells that there are not"):
        records_from_tensors(tensors, [3], n_bytes=8)


def test_the_newest_loss_is_of_a_generation_that_all_cells_have_measured() -> None:
    fields: dict[str, Any] = dict.fromkeys((each.name for each in dataclasses.fields(Record)), 0)
    fields |= {"read_generations": (0, 0), "selection_losses": None, "centre": None}
    fields |= {"metrics": None}
    fields |= {"prune_event": False, "diverged": False}
    measured = {(0, 0): 1.0, (0, 1): 2.0, (1, 0): 5.0, (1, 1): None}

    def newest(losses: dict[tuple[int, int], float | None]) -> float | None:
        records = [
            Record(**{**fields, "generation": t, "cell": i, "mean_L1": loss})
            for (t, i), loss in losses.items()
        ]
        return newest_mean_l1(records_to_tensors(records))

    assert newest({}) is None
    assert newest(measured) == 1.5
    assert newest(measured | {(1, 1): 6.0}) == 5.5
    assert newest(measured | {(1, 1): math.inf}) is None
    assert newest(measured | {(1, 1): math.nan}) is None
    assert newest({(0, 0): None}) is None
