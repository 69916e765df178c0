"""ONNX graphs: types of rows, names and words, and rows that a model would refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from export.test_alone import scaled, untrained

from aes_lipi.arrays import Floats
from aes_lipi.autoencoders.environments import Environment
from aes_lipi.config import Scale
from aes_lipi.config.variant import HiddenActivation
from aes_lipi.data.encoding import Column, Encoding
from aes_lipi.data.fitting import learn_scaling
from aes_lipi.data.source import array_source
from aes_lipi.errors import UserError
from aes_lipi.export.formats import FORMATS
from aes_lipi.export.onnx import INPUT_DTYPES, InputDtype, onnx_package
from aes_lipi.export.package import CheckedRows, largest_difference
from aes_lipi.models import Model

NAMES = ("autoencoder", "encoder", "decoder")
every_dtype = pytest.mark.parametrize("dtype", INPUT_DTYPES)

every_scale = pytest.mark.parametrize("scale", [None, *get_args(Scale)])


def learned(scale: Scale | None) -> tuple[Model, Floats]:
    """A model that scales, of columns that float32 tells apart: ties, a constant, far values."""
    rng = np.random.default_rng(2)
    rows = np.column_stack(
        [
            *(rng.normal(size=150), 1e3 * rng.lognormal(size=150), rng.choice([0.1, 0.7], 150)),
            *(np.full(150, 0.1), 50 + rng.random(150), np.maximum(rng.normal(size=150), 0.3)),
        ]
    )
    if scale is None:
        return untrained("AutoencoderBinaryClustering_Large"), rng.random((150, 7))
    scaling = learn_scaling(array_source("'x'", rows[:120]), kind=scale)
    return untrained(Environment(output_activation="linear", loss="mse"), scaling), rows


@every_dtype
@every_scale
def test_rows_and_reconstructions_are_of_the_type_that_is_asked_for(
    scale: Scale | None, dtype: InputDtype
) -> None:
    model, rows = learned(scale)
    package = onnx_package(model, dtype)
    sessions = [onnxruntime.InferenceSession(package.files[f"{name}.onnx"]) for name in NAMES]
    element = {"float32": "tensor(float)", "float64": "tensor(double)"}[dtype]
    entries = [[(each.name, each.type) for each in session.get_inputs()] for session in sessions]
    assert entries == [[("rows", element)], [("rows", element)], [("code", "tensor(float)")]]
    code, reconstruction, score = sessions[0].run(None, {"rows": rows.astype(dtype)})
    assert (code.dtype, reconstruction.dtype, score.dtype) == (np.float32, dtype, np.float32)
    span = np.where(np.ptp(rows, axis=0) > 0, np.ptp(rows, axis=0), 1.0)
    tolerance = 1e-5 if dtype == "float32" else 1e-6
    assert (np.abs(reconstruction - model.reconstruct(rows)) / span).max() < tolerance
    np.testing.assert_allclose(score, model.score(rows), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(code, model.encode(rows), rtol=1e-4, atol=1e-5)
    [alone] = sessions[2].run(None, {"code": code})
    np.testing.assert_array_equal(alone, reconstruction)
    assert f"# rows: {dtype}, (rows, columns)" in package.usage.replace("  # ", "# ")


@every_dtype
def test_every_graph_has_its_name_and_says_what_goes_in_and_out(dtype: InputDtype) -> None:
    package = onnx_package(learned("minmax")[0], dtype)
    for name in NAMES:
        graph = onnx.load_from_string(package.files[f"{name}.onnx"]).graph
        assert graph.name == name
        assert all(each.doc_string for each in (*graph.input, *graph.output))
    assert "NaN where a value of the row is missing" in graph.output[0].doc_string


def assert_flagged(package: Any, rows: Floats, bad: Any) -> None:
    """Bad rows have NaN alone for all that comes out, and others what they have among good ones."""
    for output in (package.encode, package.reconstruct, package.score):
        found = output(rows).reshape(len(rows), -1)
        assert np.isnan(found[bad]).all()
        assert np.isfinite(found[~bad]).all()
        np.testing.assert_allclose(
            found[~bad], output(rows[~bad]).reshape(sum(~bad), -1), rtol=1e-6
        )


@every_dtype
@every_scale
def test_rows_that_a_model_refuses_are_flagged(scale: Scale | None, dtype: InputDtype) -> None:
    model, rows = learned(scale)
    bad = np.zeros(len(rows), np.bool_)
    for row, (column, value) in enumerate([(0, np.nan), (3, np.inf), (2, -np.inf), (3, np.nan)]):
        rows[row, column], bad[row] = value, True
        with pytest.raises(ValueError, match="missing or infinite"):
            model.encode(rows[row : row + 1])
    assert_flagged(onnx_package(model, dtype), rows, bad)


@pytest.mark.parametrize("hidden", get_args(HiddenActivation))
def test_no_activation_loses_the_flag(hidden: HiddenActivation) -> None:
    kind = Environment(hidden_activation=hidden, output_activation="sigmoid")
    model, rows = untrained(kind), np.random.default_rng(0).random((9, 7))
    bad = np.arange(9) == 4
    rows[4, 2] = np.nan
    package = onnx_package(model)
    assert_flagged(package, rows, bad)
    decoder = onnxruntime.InferenceSession(package.files["decoder.onnx"])
    code = np.zeros((2, 3), np.float32)
    code[0, 1] = np.nan
    [found] = decoder.run(None, {"code": code})
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()


@every_dtype
def test_what_is_filled_in_is_not_flagged(dtype: InputDtype) -> None:
    model, rows = learned("minmax")
    columns = tuple(Column(f"c{k}", fill=0.5) for k in range(rows.shape[1]))
    model = replace(model, encoding=Encoding(columns, fills=True))
    rows[3, 0], rows[5, 1] = np.nan, np.inf
    assert_flagged(onnx_package(model, dtype), rows, np.arange(len(rows)) == 5)


def filling(scale: Scale | None) -> tuple[Model, Floats]:
    """A model that fills in, a value of every column that other rows have, and rows with holes."""
    model, rows = learned(scale)
    fill = np.median(rows, axis=0)
    columns = tuple(Column(f"c{k}", fill=float(value)) for k, value in enumerate(fill))
    width = np.arange(rows.shape[1])
    rows[width, width] = np.nan
    return replace(model, encoding=Encoding(columns, fills=True)), rows[: len(width)]


@every_dtype
@every_scale
def test_what_is_filled_in_is_what_the_model_fills_in(
    scale: Scale | None, dtype: InputDtype
) -> None:
    """Also where it is a column's constant, or one of many equal values among its quantiles."""
    model, rows = filling(scale)
    package = onnx_package(model, dtype)
    np.testing.assert_allclose(package.score(rows), model.score(rows), rtol=1e-4)
    np.testing.assert_allclose(package.encode(rows), model.encode(rows), rtol=1e-4, atol=1e-5)


@every_dtype
@pytest.mark.parametrize("name", ["safetensors", "torch"])
@pytest.mark.parametrize("scale", get_args(Scale))
def test_so_do_the_lines_of_the_card(
    scale: Scale, name: str, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = filling(scale)
    package = FORMATS[name](model)
    for file, content in package.files.items():
        (tmp_path / file).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    given = rows.astype(dtype)
    known = {"rows": torch.from_numpy(given) if name == "torch" else given}
    exec(package.usage, known)
    score = known["score"]
    found = score.detach().numpy() if isinstance(score, torch.Tensor) else score
    np.testing.assert_allclose(found, model.score(given), rtol=1e-4)


def test_what_is_exported_is_checked_with_holes() -> None:
    """Where a model fills in: a package that does not is refused."""
    model, rows = filling("minmax")
    whole = CheckedRows(np.where(np.isnan(rows), 0.5, rows), "rows", is_real=True)
    largest_difference(model, model, onnx_package(model), whole)
    with pytest.raises(UserError, match="reconstructions differ"):
        largest_difference(model, model, onnx_package(replace(model, encoding=None)), whole)


def test_values_that_float32_does_not_tell_apart_are_refused() -> None:
    for scale in get_args(Scale):
        model, _ = scaled(scale)
        names = tuple(f"c{k}" for k in range(model.architecture.n_dim))
        with pytest.raises(UserError, match=r"values of column 'c5' apart; give --input_dtype flo"):
            onnx_package(replace(model, columns=names))
        assert onnx_package(model, "float64").files
