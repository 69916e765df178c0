"""Models as ONNX: encoder, decoder, and both in one graph."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from aes_lipi._version import __version__
from aes_lipi.arrays import Float32, Float64, Floats
from aes_lipi.autoencoders.network import LEAK, Activation, NetworkLayout
from aes_lipi.data.scaling import Scaling
from aes_lipi.data.source import quoted
from aes_lipi.errors import UserError
from aes_lipi.export.onnx_scaling import scaled, unscaled
from aes_lipi.export.package import Package
from aes_lipi.models import Model
from aes_lipi.optional import not_installed

if TYPE_CHECKING:
    import onnx

_WHOLE, _ENCODER, _DECODER = "autoencoder.onnx", "encoder.onnx", "decoder.onnx"
OPSET = 17
_IR_VERSION = 8
"""Of 2022: what runtimes have understood for years."""

_ROWS, _CODE, _RECONSTRUCTION, _SCORE = "rows", "code", "reconstruction", "score"

_FLAGGED = "NaN where a value of the row is missing or infinite."
_ABOUT = {
    _CODE: f"The code of each row; {_FLAGGED}",
    _RECONSTRUCTION: "The rows as the decoder makes them of their codes, in the units of the rows; "
    f"{_FLAGGED}",
    _SCORE: "The mean absolute error of each row over the scaled columns: high if it is strange; "
    f"{_FLAGGED}",
}
"""What inputs and outputs are, in words."""

InputDtype = Literal["float32", "float64"]
INPUT_DTYPES: tuple[InputDtype, ...] = get_args(InputDtype)
"""What the graphs' rows can be."""

_COARSE = 1e-4
"""The share of a column's span to which float32 must hold its values: the difference that the check
of an export allows. Years hold it, which are whole and so have no error at all; dates do not."""

_AS_THEY_ARE, _SCALED = "in [0, 1]", "in their own units"
_USAGE = """\
import onnxruntime

session = onnxruntime.InferenceSession("autoencoder.onnx")
code, reconstruction, score = session.run(None, {{"rows": rows}})  # {units}
# The score of a row is high if it is strange.
encoder = onnxruntime.InferenceSession("encoder.onnx")  # rows to code
decoder = onnxruntime.InferenceSession("decoder.onnx")  # code to reconstruction
"""


def onnx_package(model: Model, input_dtype: InputDtype = "float32") -> Package:
    """Three graphs, found valid by ONNX's own checker.

    Where the model scales, the graphs do, in float64. A row with a value that is missing, unless
    the model fills it in, or infinite has NaN for its code, reconstruction and score: a graph
    cannot refuse it.

    Args:
        model: the model.
        input_dtype: of rows and reconstructions. Codes and scores are float32.

    Raises:
        UserError: onnx or onnxruntime is not installed (install `aes_lipi[onnx]`), a column spans
            more than float64 does (export as safetensors, or rescale the data), or float32 does not
            tell its values apart, as those of dates (take float64).
    """
    runtime = _runtime()
    _check_units(model.scaling)
    if input_dtype == "float32":
        _check_float32(model)
    graphs = {
        _WHOLE: _model_of(model, input_dtype, encoder=True, decoder=True),
        _ENCODER: _model_of(model, input_dtype, encoder=True, decoder=False),
        _DECODER: _model_of(model, input_dtype, encoder=False, decoder=True),
    }
    files = {name: graph.SerializeToString() for name, graph in graphs.items()}
    return Package(
        files=files,
        whole=_WHOLE,
        runtime=f"onnxruntime {version('onnxruntime')}",
        encode=_session(runtime, files[_ENCODER], _CODE),
        reconstruct=_session(runtime, files[_WHOLE], _RECONSTRUCTION),
        score=_session(runtime, files[_WHOLE], _SCORE),
        usage=_USAGE.format(
            units=f"rows: {input_dtype}, (rows, columns), "
            f"{_SCALED if model.scaling else _AS_THEY_ARE}"
        ),
    )


def _runtime() -> Any:
    try:
        import onnx  # noqa: F401, PLC0415 - an optional dependency
        import onnxruntime  # noqa: PLC0415
    except ImportError as error:
        raise not_installed("--format onnx", error.name or "onnx", "onnx") from None
    return onnxruntime


def _check_units(scaling: Scaling | None) -> None:
    """Whether the graphs' arithmetic can hold the spans of the columns.

    Raises:
        UserError: a column spans more than float64 does; export as safetensors, or rescale.
    """
    if scaling is None:
        return
    with np.errstate(over="ignore"):
        span = scaling.high - scaling.low
    if not np.isfinite(span).all():
        raise UserError(
            "--format onnx: a column spans more than float64 can hold; export as safetensors, or "
            "rescale the data"
        )


def _check_float32(model: Model) -> None:
    """Whether float32 tells the values of all columns apart.

    Raises:
        UserError: it does not; take float64.
    """
    scaling = model.scaling
    if scaling is None:
        return
    with np.errstate(over="ignore"):
        size = np.maximum(np.abs(scaling.low), np.abs(scaling.high)).astype(np.float32)
    spans = scaling.high - scaling.low
    if scaling.kind in ("standard", "robust"):  # of the others, spreads are of other units
        spans = np.minimum(spans, scaling.parts["spread"])
    with np.errstate(invalid="ignore"):
        steps = np.spacing(size) / 2
    is_told = np.isfinite(size) & (scaling.constant | (steps <= _COARSE * spans))
    bad = np.flatnonzero(~is_told)
    if len(bad):
        names = [quoted(model.columns[k]) if model.columns else str(k + 1) for k in bad[:20]]
        raise UserError(
            f"--input_dtype float32: does not tell the values of column{'s' * (len(bad) > 1)} "
            f"{', '.join(names)} apart; give --input_dtype float64"
        )


def _session(runtime: Any, content: bytes, output: str) -> Callable[[Floats], Any]:
    """Run a graph on one thread."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    dtype = np.float64 if entry.type == "tensor(double)" else np.float32
    return lambda rows: session.run([output], {entry.name: rows.astype(dtype, copy=False)})[0]


_NODES: Mapping[Activation, str] = {
    "relu": "Relu",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "linear": "Identity",
}


@dataclass
class _Graph:
    """A graph in the making: a chain of nodes."""

    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)

    def constant(self, name: str, value: Any) -> str:
        """Keep an array under a name."""
        from onnx import numpy_helper  # noqa: PLC0415

        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append a node, named as what it computes."""
        from onnx import helper  # noqa: PLC0415

        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def dense(self, part: str, layout: NetworkLayout, genome: Float32, source: str) -> str:
        """Append the layers of a network; the name of what comes out."""
        for k, layer in enumerate(layout.layers):
            name = f"{part}.{layer.name}"
            weight = self.constant(f"{name}.weight", layout.weight(genome, k))
            bias = self.constant(f"{name}.bias", layout.bias(genome, k))
            value = self.add("Gemm", [source, weight, bias], f"{name}.sum", transB=1)
            source = self.activated(layer.activation, value, f"{name}.output")
        return source

    def activated(self, activation: Activation, value: str, output: str) -> str:
        """Append an activation; GELU in parts, which this version of ONNX has no node for."""
        if activation == "leaky_relu":
            return self.add("LeakyRelu", [value], output, alpha=LEAK)
        if activation == "gelu":
            root, one, half = (
                self.constant(f"{output}.{name}", np.float32(number))
                for name, number in (("root", 2**0.5), ("one", 1), ("half", 0.5))
            )
            measured = self.add("Div", [value, root], f"{output}.scaled")
            error = self.add("Erf", [measured], f"{output}.error")
            share = self.add("Add", [error, one], f"{output}.share")
            gated = self.add("Mul", [value, share], f"{output}.gated")
            return self.add("Mul", [gated, half], output)
        return self.add(_NODES[activation], [value], output)

    def cast(self, source: str, dtype: str, output: str) -> str:
        """Append a change of type."""
        return self.add("Cast", [source], output, to=_element(dtype))

    def filled(self, fill: Float64, rows: str, dtype: str) -> str:
        """Append what `Encoding.filled` does to the rows."""
        filled = self.constant("encoding.fill", fill.astype(dtype))
        is_missing = self.add("IsNaN", [rows], "encoding.missing")
        return self.add("Where", [is_missing, filled, rows], "encoding.rows")

    def flag(self, values: str, dtype: str) -> str:
        """Append what is 0 for each row, and NaN where one of its values is not finite: (rows, 1).

        Activations and comparisons would lose a NaN on the way.
        """
        none = self.constant("flag.zero", np.zeros((), dtype))
        axis = self.constant("flag.axis", np.array([1], np.int64))
        nothing = self.add("Mul", [values, none], "flag.values")
        return self.add("ReduceSum", [nothing, axis], "flag", keepdims=1)

    def score(self, rows: str, decoded: str) -> str:
        """Append the mean absolute error of each row."""
        apart = self.add("Sub", [rows, decoded], "score.difference")
        error = self.add("Abs", [apart], "score.errors")
        return self.add("ReduceMean", [error], _SCORE, axes=[1], keepdims=0)


def _model_of(
    model: Model, input_dtype: InputDtype, *, encoder: bool, decoder: bool
) -> onnx.ModelProto:
    """A checked graph of one or both of the networks, by its name."""
    from onnx import checker, helper  # noqa: PLC0415

    graph, outputs = _Graph(), []
    architecture, pair, scaling = model.architecture, model.pair, model.scaling
    code, flag = _CODE, ""
    if encoder:
        targets, rows, flag = _rows_of(graph, model, input_dtype)
        last = graph.dense("encoder", architecture.encoder, pair.encoder.genome, rows)
        code = graph.add("Add", [last, flag], _CODE)
        outputs.append(_value(_CODE, architecture.latent_size))
    if decoder:
        flag = flag or graph.flag(_CODE, "float32")
        decoded = graph.dense("decoder", architecture.decoder, pair.decoder.genome, code)
        computed = "float32" if scaling is None else "float64"
        last = decoded if scaling is None else unscaled(graph, scaling, decoded)
        if computed != input_dtype:
            last = graph.cast(last, input_dtype, "reconstruction.cast")
        if input_dtype == "float64":
            flag = graph.cast(flag, "float64", "flag.wide")
        graph.add("Add", [last, flag], _RECONSTRUCTION)
        outputs.append(_value(_RECONSTRUCTION, architecture.n_dim, input_dtype))
    if encoder and decoder:
        graph.score(targets, decoded)
        outputs.append(_value(_SCORE))
    entry = (
        _value(_ROWS, architecture.n_dim, input_dtype, about=_about_rows(model))
        if encoder
        else _value(_CODE, architecture.latent_size)
    )
    name = "autoencoder" if encoder and decoder else "encoder" if encoder else "decoder"
    made = helper.make_model(
        helper.make_graph(graph.nodes, name, [entry], outputs, graph.weights),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="aes_lipi",
        producer_version=__version__,
    )
    helper.set_model_props(made, _metadata(model))
    checker.check_model(made, full_check=True)
    return made


def _rows_of(graph: _Graph, model: Model, input_dtype: InputDtype) -> tuple[str, str, str]:
    """Append what is done to rows: as they are compared, as the network takes them, and the flag.

    All three are float32.
    """
    encoding, scaling = model.encoding, model.scaling
    computed = "float32" if scaling is None else "float64"
    rows = _ROWS
    if computed != input_dtype:
        rows = graph.cast(rows, computed, "rows.cast")
    if encoding is not None and encoding.fills:
        fill = encoding.fill if input_dtype == "float64" else _narrowed(encoding.fill)
        rows = graph.filled(fill, rows, computed)
    flag = graph.flag(rows, computed)
    if scaling is None:
        return rows, rows, flag
    narrow = graph.cast(flag, "float32", "flag.narrow")
    known = scaling if input_dtype == "float64" else _as_float32(scaling)
    return *scaled(graph, known, rows), narrow


def _as_float32(scaling: Scaling) -> Scaling:
    """The scaling with the values of columns as float32 has them, so that equal ones still are."""
    parts = dict(scaling.parts)
    if "quantiles" in parts:
        parts["quantiles"] = _narrowed(parts["quantiles"])
    return replace(scaling, low=_narrowed(scaling.low), high=_narrowed(scaling.high), parts=parts)


def _narrowed(values: Float64) -> Float64:
    """Values as float32 has them."""
    return values.astype(np.float32).astype(np.float64)


def _element(dtype: str) -> int:
    """ONNX's number of a type."""
    from onnx import TensorProto  # noqa: PLC0415

    return int(TensorProto.DOUBLE if dtype == "float64" else TensorProto.FLOAT)


def _about_rows(model: Model) -> str:
    """What the graph's rows are, in words."""
    said = ["One row of the table each, "]
    said.append("in its own units: the graph scales" if model.scaling else "with values in [0, 1]")
    if model.encoding is not None:
        said.append(
            "; a column of text is one for each of its texts, named column=text, 1 where it is "
            "that text and else 0 (all 0 for a text that is unknown)"
        )
        said.append("; NaN is missing, and filled in" if model.encoding.fills else "")
    said.append("; the metadata `columns` names the columns in their order" * bool(model.columns))
    return "".join([*said, "."])


def _value(
    name: str, width: int | None = None, dtype: InputDtype = "float32", about: str = ""
) -> Any:
    """A matrix, or a value for each row, that goes in or comes out."""
    from onnx import helper  # noqa: PLC0415

    shape: list[str | int | None] = ["batch"] if width is None else ["batch", width]
    return helper.make_tensor_value_info(name, _element(dtype), shape, about or _ABOUT[name])


def _metadata(model: Model) -> dict[str, str]:
    """Where the model comes from, and what its columns are."""
    about: dict[str, Any] = {"provenance": dict(model.provenance)}
    if model.columns is not None:
        about["columns"] = list(model.columns)
    if model.encoding is not None:
        about["encoding"] = asdict(model.encoding)
    if model.compaction is not None:
        about["latent_values_left"] = list(model.compaction.code)
    if model.score_quantiles is not None:
        about["training_score_percentiles"] = list(model.score_quantiles)
    return {name: json.dumps(value, sort_keys=True) for name, value in about.items()}
