"""Models of tables with text and missing values: what they take, their files, and their exports."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from helpers import random_pair
from own_tables import load_file, penguins
from safetensors import safe_open
from safetensors.numpy import save_file

from aes_lipi.autoencoders.environments import ENVIRONMENTS, build_architecture
from aes_lipi.data.encoding import Encoding
from aes_lipi.errors import UserError
from aes_lipi.export import FORMATS
from aes_lipi.models import Model, read_model, save_model
from aes_lipi.models.files import METADATA_KEY

TABLE = penguins()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """An untrained model of that table, without its label."""
    path = tmp_path_factory.mktemp("data") / "penguins.csv"
    TABLE.to_csv(path, index=False)
    data = load_file(path, scale="minmax", one_hot=True, impute="median", label="species")
    architecture = build_architecture(ENVIRONMENTS["LinearCodeAutoencoder"], data.n_dim, (5,), 3)
    return Model(
        architecture,
        random_pair(architecture, 0),
        scaling=data.scaling,
        columns=data.columns,
        encoding=data.encoding,
    )


def encoded(model: Model) -> Any:
    """The rows as numbers, with NaN where values are missing."""
    assert model.encoding is not None
    return model.encoding.of_table(TABLE)


def test_the_rows_are_those_of_pandas_dummies(model: Model) -> None:
    rows = pd.DataFrame(encoded(model), columns=list(model.columns or ()))
    expected = pd.get_dummies(TABLE.drop(columns="species"), prefix_sep="=", dtype=np.float64)
    filled = rows.fillna(0)[expected.columns]
    pd.testing.assert_frame_equal(filled, expected.fillna(0).astype(np.float64))


@pytest.mark.parametrize(
    "make",
    [
        lambda table: table,
        lambda table: table.convert_dtypes(),
        lambda table: table.astype({"island": "category", "sex": "category"}),
        lambda table: table[table.columns[::-1]].assign(more="x"),
        pa.Table.from_pandas,
        pl.from_pandas,
    ],
    ids=["pandas", "nullable", "categories", "other order", "arrow", "polars"],
)
def test_every_kind_of_table_is_encoded_alike(
    model: Model, make: Callable[[pd.DataFrame], Any]
) -> None:
    table = make(TABLE)
    assert np.array_equal(model.encode(table), model.encode(encoded(model)))
    assert np.array_equal(model.score(table), model.score(encoded(model)))
    assert model.reconstruct(table).shape == (150, 7)
    assert np.isfinite(model.reconstruct(table)).all()


def test_what_is_missing_counts_as_the_median_and_unknown_text_as_none(model: Model) -> None:
    assert model.encoding is not None
    fill = dict(zip(model.encoding.names, model.encoding.fill, strict=True))
    holes = TABLE.iloc[:3].copy()
    holes.loc[0, "bill"], holes.loc[1, "sex"], holes.loc[2, "island"] = np.nan, None, "Torgersen"
    full = model.encoding.of_table(TABLE.iloc[:3])
    names = list(model.encoding.names)
    full[0, names.index("bill")] = fill["bill"]
    for row, name in ((1, "sex="), (2, "island=")):
        full[row, [k for k, each in enumerate(names) if each.startswith(name)]] = 0
    assert np.array_equal(model.encode(holes), model.encode(full))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda table: table.drop(columns=["bill", "sex"]), "lacks columns .* 'bill', 'sex'"),
        (lambda table: table.assign(bill="long"), "column 'bill': not numbers"),
        (lambda table: pd.concat([table, table[["bill"]]], axis=1), "of one name: 'bill'; rename"),
        (lambda table: table.assign(year=pd.Timestamp("2020")), "'year': dates or times; give"),
        (lambda table: table.assign(mass=np.inf), "row 1, column 'mass': a missing or infinite"),
        (lambda table: table.to_numpy()[:, :5], "could not convert|rows of 7 values"),
    ],
)
def test_tables_that_the_model_does_not_know_are_refused(
    model: Model, change: Callable[[pd.DataFrame], Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        model.encode(change(TABLE))


def test_missing_values_are_refused_where_they_were_in_training(model: Model) -> None:
    assert model.encoding is not None
    columns = tuple(replace(column, fill=None) for column in model.encoding.columns)
    strict = replace(model, encoding=Encoding(columns))
    for column, told in (("bill", "row 4, column 'bill'"), ("sex", "row 1, column 'sex=female'")):
        holes = TABLE.fillna({"bill": 44.0, "sex": "male"}).copy()
        holes.loc[3 if column == "bill" else 0, column] = np.nan if column == "bill" else None
        with pytest.raises(ValueError, match=told):
            strict.encode(holes)


@pytest.mark.parametrize("name", FORMATS)
def test_the_encoding_is_part_of_every_export(name: str, model: Model, tmp_path: Path) -> None:
    package, rows = FORMATS[name](model), encoded(model)
    np.testing.assert_allclose(package.encode(rows), model.encode(TABLE), rtol=1e-4, atol=1e-5)
    span = np.nanmax(rows, axis=0) - np.nanmin(rows, axis=0)
    apart = np.abs(package.reconstruct(rows) - model.reconstruct(TABLE)) / span
    assert apart.max() < (5e-5 if name == "onnx" else 1e-6)  # years in float32
    np.testing.assert_allclose(package.score(rows), model.score(TABLE), rtol=1e-4)
    if name == "onnx":
        graph = onnx.load_from_string(package.files["autoencoder.onnx"])
        about = {entry.key: json.loads(entry.value) for entry in graph.metadata_props}
        assert tuple(about["columns"]) == model.columns
        assert [each["name"] for each in about["encoding"]["columns"]] == list(TABLE)[1:]
        assert "1 where it is that text" in graph.graph.input[0].doc_string
        assert all(each.doc_string for each in graph.graph.output)


def test_unscaled_rows_are_filled_in_float32(model: Model) -> None:
    plain = replace(model, scaling=None)
    rows = np.random.default_rng(0).random((9, 7), dtype=np.float32)
    rows[::2, 2] = np.nan
    for pack in FORMATS.values():
        package = pack(plain)
        np.testing.assert_allclose(package.reconstruct(rows), plain.reconstruct(rows), atol=1e-6)
        np.testing.assert_allclose(package.score(rows), plain.score(rows), rtol=1e-5)


def test_the_encoding_is_in_the_file(model: Model, tmp_path: Path) -> None:
    save_model(tmp_path / "m.safetensors", model)
    again = read_model(tmp_path / "m.safetensors")
    assert again.encoding == model.encoding
    assert np.array_equal(again.score(TABLE), model.score(TABLE))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"columns": []}, "at least 1 item"),
        ({"columns": [{"name": "a"}]}, "does not make the 7 columns"),
        ({"columns": [{"name": "a", "categories": []}]}, "at least 1 item"),
        ({"columns": [{"name": str(k)} for k in range(7)]}, "does not make the 7 columns"),
        ({"columns": [{"name": "a", "categories": ["b"] * 1001}]}, "at most 1000 items"),
        ({"columns": [{"name": "a" * 99_999, "categories": ["b"] * 900}] * 99}, "does not make"),
        ({"columns": [{"name": "a", "fill": "x"}]}, "valid number"),
        ({"columns": [{"name": "a"}] * 7, "more": 1}, "[Ee]xtra"),
    ],
)
def test_a_file_whose_encoding_cannot_be_true_is_refused(
    change: dict[str, Any], told: str, model: Model, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    save_model(path, model)
    with safe_open(path, "np") as file:
        described = json.loads(file.metadata()[METADATA_KEY])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    described |= {"encoding": change, "format": 1}
    described.pop("digest")
    save_file(tensors, path, {METADATA_KEY: json.dumps(described)})
    with pytest.raises(UserError, match=told):
        read_model(path)
