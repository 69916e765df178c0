"""The columns of the result tables, and their types."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from aes_lipi.coevolution.baselines import BaselineMeasures, ColumnMeasures
from aes_lipi.coevolution.records import Record
from aes_lipi.coevolution.result import RetrievalMeasures, TrialResult
from aes_lipi.config import Variant
from aes_lipi.config.defaults import METRIC_PREFIX, metric_column

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
    bytes: pa.large_binary(),  # together they may be more than 2 GiB
}

_LISTS: dict[Any, pa.DataType] = {
    tuple[int, ...]: pa.list_(pa.int32()),
    tuple[float, ...] | None: pa.list_(pa.float64()),
}


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


def trials_schema() -> pa.Schema:
    """One row per trial: what it is, all settings, the fields of `TrialResult`, how it was run."""
    return pa.schema(
        [
            *_identity_fields(),
            *_settings_fields(),
            pa.field("architecture", pa.string()),
            *_dataclass_fields(TrialResult, leave_out=tuple(NESTED)),
            *(field for table in NESTED.values() for field in _dataclass_fields(table)),
            *_run_fields(),
        ]
    )


def failures_schema() -> pa.Schema:
    """One row per failed trial: what it is, all settings, the error."""
    return pa.schema(
        [
            *_identity_fields(),
            *_settings_fields(),
            pa.field("error", pa.string()),
            pa.field("traceback", pa.string()),
            pa.field("started_at", pa.timestamp("us", tz="UTC")),
            pa.field("host", pa.string()),
        ]
    )


def _identity_fields() -> list[pa.Field]:
    return [
        pa.field("study", pa.string()),
        pa.field("variant_name", pa.string()),
        pa.field("trial", pa.int64()),
    ]


def _settings_fields() -> list[pa.Field]:
    hints = typing.get_type_hints(Variant)
    return [pa.field(name, _arrow_type(hints[name])) for name in Variant.model_fields]


def _run_fields() -> list[pa.Field]:
    return [
        pa.field("engine_used", pa.string()),
        pa.field("device_used", pa.string()),
        pa.field("aes_lipi_version", pa.string()),
        pa.field("numpy_version", pa.string()),
        pa.field("torch_version", pa.string()),
        pa.field("wall_time_s", pa.float64()),
        pa.field("cpu_time_s", pa.float64()),
        pa.field("started_at", pa.timestamp("us", tz="UTC")),
        pa.field("host", pa.string()),
        pa.field("processor", pa.string()),
        pa.field("data_read", pa.string()),
    ]


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
