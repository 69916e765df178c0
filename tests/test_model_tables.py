"""What a model takes: every kind of table and array that a study is trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from helpers import random_pair

from aes_lipi.autoencoders.environments import ENVIRONMENTS, build_architecture
from aes_lipi.data.scaling import Scaling
from aes_lipi.models import Model

ARCHITECTURE = build_architecture(ENVIRONMENTS["AutoencoderBinaryClustering"], 4, (3,), 2)
SCALED = Model(
    ARCHITECTURE,
    random_pair(ARCHITECTURE, 1),
    scaling=Scaling("minmax", np.zeros(4), np.ones(4)),
    columns=tuple("abcd"),
)
MODELS = (SCALED, Model(ARCHITECTURE, random_pair(ARCHITECTURE, 1), columns=tuple("abcd")))
VALUES = np.random.default_rng(0).random((6, 4)).round(3)
FRAME = pd.DataFrame(VALUES, columns=list("abcd"))

TABLES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda frame: frame,
    "nullable": lambda frame: frame.convert_dtypes(),
    "objects": lambda frame: frame.astype(object),
    "arrow types": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "table": pa.Table.from_pandas,
    "batch": pa.RecordBatch.from_pandas,
    "chunks": lambda frame: pa.concat_tables([pa.Table.from_pandas(frame)] * 2).slice(0, 6),
    "polars": pl.from_pandas,
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
def test_every_kind_of_table_is_taken(model: Model, make: Callable[[Any], Any]) -> None:
    table = make(FRAME)
    assert np.array_equal(model.encode(table), model.encode(VALUES))
    assert np.array_equal(model.score(table), model.score(VALUES))
    with pytest.raises(ValueError, match="column 1 is 'd' where the model knows 'a'"):
        model.encode(make(FRAME[list("dcba")]))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
def test_a_missing_value_is_told_with_row_and_column(
    model: Model, make: Callable[[Any], Any]
) -> None:
    holes = FRAME.copy()
    holes.loc[2, "c"] = None
    with pytest.raises(ValueError, match=r"^row 3, column 'c': a missing or infinite value$"):
        model.encode(make(holes))


@pytest.mark.parametrize(
    "rows",
    [
        [[0.1, 0.2, None, 0.4]],
        [[0.1, 0.2, pd.NA, 0.4]],
        np.array([[0.1, 0.2, None, 0.4]], dtype=object),
        np.ma.masked_invalid([[0.1, 0.2, np.nan, 0.4]]),
        np.ma.MaskedArray([[1, 0, 1, 0]], mask=[[False, False, True, False]]),
        pd.DataFrame([[1, 0, pd.NA, 1]], columns=list("abcd"), dtype="Int64"),
        pd.DataFrame([[True, False, pd.NA, True]], columns=list("abcd"), dtype="boolean"),
        pd.DataFrame([[0.1, 0.2, np.inf, 0.4]], columns=list("abcd")),
    ],
)
def test_whatever_is_missing_is_told(rows: Any) -> None:
    for model in MODELS:
        with pytest.raises(ValueError, match="row 1, column 'c': a missing or infinite value"):
            model.score(rows)


def test_lists_and_rows_of_more_dimensions_are_taken() -> None:
    names = tuple(f"emb[{k}]" for k in range(4))
    model = Model(ARCHITECTURE, random_pair(ARCHITECTURE, 1), columns=names)
    expected = model.encode(VALUES)
    lists = pa.table({"emb": VALUES.tolist()})
    nested = pa.table({"emb": VALUES.reshape(6, 2, 2).tolist()})
    for table in (lists, nested, lists.to_pandas(), pl.from_arrow(lists)):
        assert np.array_equal(model.encode(table), expected)
    for shape in ((6, 2, 2), (6, 4, 1), (6, 1, 2, 2)):
        assert np.array_equal(model.encode(VALUES.reshape(shape)), expected)
    with pytest.raises(ValueError, match="expected rows of 4 values"):
        model.encode(VALUES.reshape(4, 3, 2))


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (FRAME.to_csv, pd.read_csv),
        (lambda path: np.savetxt(path, VALUES, delimiter=",", header="a,b,c,d"), pd.read_csv),
        (lambda path: FRAME.to_csv(path, sep=";"), lambda path: pd.read_csv(path, sep=";")),
        (FRAME.to_csv, pl.read_csv),
        (lambda path: FRAME.set_axis(list("uvwxyz")).to_parquet(path), pl.read_parquet),
    ],
)
def test_a_file_is_taken_as_others_read_it(
    tmp_path: Path, write: Callable[[Path], Any], read: Callable[[Path], Any]
) -> None:
    write(tmp_path / "x")
    assert np.array_equal(SCALED.encode(read(tmp_path / "x")), SCALED.encode(VALUES))
