"""Models as ONNX: encoder, decoder, and both in one graph."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from aes_lipi._version import __version__
from aes_lipi.arrays import Float32, Floats
from aes_lipi.autoencoders.network import LEAK, Activation, NetworkLayout
from aes_lipi.data.encoding import Encoding
from aes_lipi.data.scaling import Scaling
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

_ABOUT = {
    _CODE: "The code of each row.",
    _RECONSTRUCTION: "The rows as the decoder makes them of their codes, in the units of the rows.",
    _SCORE: "The mean absolute error of each row over the scaled columns: high if it is strange.",
}
"""What inputs and outputs are, in words."""

_AS_THEY_ARE = "rows: float32, (rows, columns), in [0, 1]"
_SCALED = "rows: float64, (rows, columns), in their own units"
_USAGE = """\
import onnxruntime

session = onnxruntime.InferenceSession("autoencoder.onnx")
code, reconstruction, score = session.run(None, {{"rows": rows}})  # {units}
# The score of a row is high if it is strange.
encoder = onnxruntime.InferenceSession("encoder.onnx")  # rows to code
decoder = onnxruntime.InferenceSession("decoder.onnx")  # code to reconstruction
"""


def onnx_package(model: Model) -> Package:
    """Three graphs, found valid by ONNX's own checker.

    Where the model scales, the graphs do, and take and give rows in float64: in float32, a column
    of dates would lose its days. Else rows are float32; codes always are.

    Raises:
        UserError: onnx or onnxruntime is not installed (install `aes_lipi[onnx]`), or a column
            spans more than float64 does (export as safetensors, or rescale the data).
    """
    runtime = _runtime()
    _check_units(model.scaling)
    graphs = {
        _WHOLE: _model_of(model, encoder=True, decoder=True),
        _ENCODER: _model_of(model, encoder=True, decoder=False),
        _DECODER: _model_of(model, encoder=False, decoder=True),
    }
    files = {name: graph.SerializeToString() for name, graph in graphs.items()}
    return Package(
        files=files,
        whole=_WHOLE,
        runtime=f"onnxruntime {version('onnxruntime')}",
        encode=_session(runtime, files[_ENCODER], _CODE),
        reconstruct=_session(runtime, files[_WHOLE], _RECONSTRUCTION),
        score=_session(runtime, files[_WHOLE], _SCORE),
        usage=_USAGE.format(units=_SCALED if model.scaling else _AS_THEY_ARE),
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


def _session(runtime: Any, content: bytes, output: str) -> Callable[[Floats], Any]:
    """Run a graph on one thread."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda rows: session.run([output], {name: rows})[0]


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

    def filled(self, encoding: Encoding, dtype: type[np.floating]) -> str:
        """Append what `Encoding.filled` does to the rows."""
        fill = self.constant("encoding.fill", encoding.fill.astype(dtype))
        is_missing = self.add("IsNaN", [_ROWS], "encoding.missing")
        return self.add("Where", [is_missing, fill, _ROWS], "encoding.rows")

    def score(self, rows: str, decoded: str) -> str:
        """Append the mean absolute error of each row."""
        apart = self.add("Sub", [rows, decoded], "score.difference")
        error = self.add("Abs", [apart], "score.errors")
        return self.add("ReduceMean", [error], _SCORE, axes=[1], keepdims=0)


def _model_of(model: Model, *, encoder: bool, decoder: bool) -> onnx.ModelProto:
    """A checked graph of one or both of the networks."""
    from onnx import checker, helper  # noqa: PLC0415

    graph, outputs = _Graph(), []
    architecture, pair = model.architecture, model.pair
    code, in_units = _CODE, model.scaling is not None
    targets = rows = _ROWS
    if encoder:
        if model.encoding is not None and model.encoding.fills:
            targets = rows = graph.filled(model.encoding, np.float64 if in_units else np.float32)
        if model.scaling is not None:
            targets, rows = scaled(graph, model.scaling, rows)
        last = graph.dense("encoder", architecture.encoder, pair.encoder.genome, rows)
        code = graph.add("Identity", [last], _CODE)
        outputs.append(_value(_CODE, architecture.latent_size))
    if decoder:
        decoded = graph.dense("decoder", architecture.decoder, pair.decoder.genome, code)
        last = decoded if model.scaling is None else unscaled(graph, model.scaling, decoded)
        graph.add("Identity", [last], _RECONSTRUCTION)
        outputs.append(_value(_RECONSTRUCTION, architecture.n_dim, in_units))
    if encoder and decoder:
        graph.score(targets, decoded)
        outputs.append(_value(_SCORE))
    entry = (
        _value(_ROWS, architecture.n_dim, in_units, about=_about_rows(model))
        if encoder
        else _value(_CODE, architecture.latent_size)
    )
    made = helper.make_model(
        helper.make_graph(graph.nodes, "autoencoder", [entry], outputs, graph.weights),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="aes_lipi",
        producer_version=__version__,
    )
    helper.set_model_props(made, _metadata(model))
    checker.check_model(made, full_check=True)
    return made


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


def _value(name: str, width: int | None = None, is_wide: bool = False, about: str = "") -> Any:
    """A matrix, or a value for each row, that goes in or comes out: float32, or float64 if wide."""
    from onnx import TensorProto, helper  # noqa: PLC0415

    kind = TensorProto.DOUBLE if is_wide else TensorProto.FLOAT
    shape: list[str | int | None] = ["batch"] if width is None else ["batch", width]
    return helper.make_tensor_value_info(name, kind, shape, about or _ABOUT.get(name, ""))


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
