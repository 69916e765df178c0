"""The columns of the result tables, and their types."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import pyarrow as pa

from aes_lipi.coevolution.baselines import BaselineMeasures, ColumnMeasures
from aes_lipi.coevolution.records import Record
from aes_lipi.coevolution.result import RetrievalMeasures, TrialResult
from aes_lipi.config import Variant
from aes_lipi.config.defaults import METRIC_PREFIX, metric_column
from aes_lipi.config.parameters import Parameters

WEIGHTS = ("centre",)
"""Fields of a record that go to the file of the model."""

METRICS = ("metrics",)
"""Fields of a record that have columns of their own, one for each metric of a user's."""

NESTED = {
    "retrieval": RetrievalMeasures,
    "columns": ColumnMeasures,
    "baselines": BaselineMeasures,
}
"""Parts of a result that not every trial has; their fields are columns of the trials."""

_ARROW_TYPES: dict[Any, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    datetime: pa.timestamp("us", tz="UTC"),
    bytes: pa.large_binary(),  # together they may be more than 2 GiB
}

_LISTS: dict[Any, pa.DataType] = {
    tuple[int, ...]: pa.list_(pa.int32()),
    tuple[float, ...] | None: pa.list_(pa.float64()),
}


@dataclass(frozen=True)
class TrialIdentity:
    """Which trial a row is of.

    Attributes:
        study: Name of the study.
        variant_name: What sets the variant apart from the others of the study.
        trial: Number of the trial, from 0. Trials of one number share their random draws across
            variants.
    """

    study: str
    variant_name: str
    trial: int


@dataclass(frozen=True)
class WhatWasTrained:
    """What was trained.

    Attributes:
        architecture: Layers of the networks, in words.
    """

    architecture: str


@dataclass(frozen=True)
class HowItWasRun:
    """How a trial was run.

    Attributes:
        engine_used: `dense` or `torch`.
        device_used: `cpu` or `cuda`.
        aes_lipi_version: Version of this package.
        numpy_version: Version of numpy.
        torch_version: Version of torch.
        wall_time_s: Seconds that the trial took by the clock.
        cpu_time_s: Processor seconds of all its generations and cells.
        started_at: When it was begun, in UTC.
        host: Name of the machine.
        processor: Its processor, and what kernels were compiled for; on a GPU its kind.
        data_read: What was read of a file of one's own.
    """

    engine_used: str
    device_used: str
    aes_lipi_version: str
    numpy_version: str
    torch_version: str
    wall_time_s: float
    cpu_time_s: float
    started_at: datetime
    host: str
    processor: str
    data_read: str | None


@dataclass(frozen=True)
class Failure:
    """Why a trial failed.

    Attributes:
        error: What went wrong, in a line.
        traceback: Where.
        started_at: When the trial was begun, in UTC.
        host: Name of the machine.
    """

    error: str
    traceback: str
    started_at: datetime
    host: str


@cache
def records_schema() -> pa.Schema:
    """One row per generation and cell: the fields of `Record`."""
    return pa.schema(_dataclass_fields(Record))


def generations_schema(columns: Iterable[str] = ()) -> pa.Schema:
    """One row per generation and cell: `variant_name` and the fields of `Record` but weights.

    Args:
        columns: those among them that are metrics are added.
    """
    fields = [field for field in records_schema() if field.name not in (*WEIGHTS, *METRICS)]
    added = [pa.field(name, pa.float64()) for name in columns if name.startswith(METRIC_PREFIX)]
    return pa.schema([pa.field("variant_name", pa.string()), *fields, *added])


def metric_values(record: Record, variant: Variant) -> dict[str, float | None]:
    """The metrics of a record by their columns; None where they were not measured."""
    names = [metric_column(name) for name in variant.metrics or ()]
    values: Iterable[float | None] = record.metrics or [None] * len(names)
    return dict(zip(names, values, strict=True))


@cache
def trials_schema(parameters: Parameters = ()) -> pa.Schema:
    """One row per trial: what it is, all settings, the fields of `TrialResult`, how it was run."""
    return pa.schema(
        [
            *_dataclass_fields(TrialIdentity),
            *_settings_fields(),
            *_dataclass_fields(WhatWasTrained),
            *_dataclass_fields(TrialResult, leave_out=tuple(NESTED)),
            *(field for table in NESTED.values() for field in _dataclass_fields(table)),
            *_dataclass_fields(HowItWasRun),
            *(pa.field(name, _ARROW_TYPES[kind]) for name, kind in parameters),
        ]
    )


@cache
def failures_schema() -> pa.Schema:
    """One row per failed trial: what it is, all settings, the error."""
    return pa.schema(
        [
            *_dataclass_fields(TrialIdentity),
            *_settings_fields(),
            *_dataclass_fields(Failure),
        ]
    )


def _settings_fields() -> list[pa.Field]:
    hints = typing.get_type_hints(Variant)
    return [pa.field(name, _arrow_type(hints[name])) for name in Variant.model_fields]


def _dataclass_fields(table: type, leave_out: tuple[str, ...] = ()) -> list[pa.Field]:
    hints = typing.get_type_hints(table)
    names = [field.name for field in dataclasses.fields(table)]
    return [pa.field(name, _result_type(hints[name])) for name in names if name not in leave_out]


def _result_type(hint: Any) -> pa.DataType:
    """The column type of a result's annotation; a tuple of numbers is a list."""
    return _LISTS[hint] if hint in _LISTS else _arrow_type(hint)


def _arrow_type(hint: Any) -> pa.DataType:
    """The column type of a setting's annotation; a tuple is kept as text, as in `60,30`."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        *_, hint = [part for part in typing.get_args(hint) if part is not type(None)]
        origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return pa.string()
    return pa.string() if origin is tuple else _ARROW_TYPES[hint]


def settings_row(variant: Variant) -> dict[str, Any]:
    """A variant's settings as the values of their columns."""
    values = variant.portable()
    return {
        name: ",".join(map(str, value)) if isinstance(value, list) else value
        for name, value in values.items()
    }
