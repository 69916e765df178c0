"""The formats that a model is exported in: safetensors and torch, and the table of them all."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from aes_lipi.arrays import Float32, Floats
from aes_lipi.autoencoders.network import LEAK, Activation, Layer, Network, NetworkLayout, Pair
from aes_lipi.export.onnx import onnx_package
from aes_lipi.export.package import Package
from aes_lipi.export.scaling_lines import lines_of
from aes_lipi.models import Model, model_bytes
from aes_lipi.models.model import row_errors
from aes_lipi.optional import not_installed

if TYPE_CHECKING:
    import torch
    from torch import nn

_FILE = "model.safetensors"

_FILLED = """\
fill = []  # what a missing value of each column is taken for; 0 in those of text
for column in about["encoding"]["columns"]:
    texts = column["categories"]
    fill += [0] * len(texts) if texts else [column["fill"]]
rows = np.where(np.isnan(rows), np.array(fill, {dtype}), rows)
"""
_TORCH_FILLED = """\
fill = weights.pop("encoding.fill"){narrow}  # what a missing value is taken for
rows = torch.where(torch.isnan(rows), fill, rows{wide})
"""

_READ = """\
import json

import numpy as np
from safetensors import safe_open{scipy}

with safe_open("model.safetensors", "np") as file:
    about = json.loads(file.metadata()["aes_lipi"])
    weights = {{name: file.get_tensor(name) for name in file.keys()}}
activate = {{
{activations}
}}


def run(part, x):
    for layer in about["architecture"][part]["layers"]:
        x = x @ weights[f"{{part}}.{{layer['name']}}.weight"].T
        x = x + weights[f"{{part}}.{{layer['name']}}.bias"]
        x = activate[layer["activation"]](x)
    return x


"""
_FORMULAS: Mapping[Activation, str] = {
    "relu": "np.maximum(x, 0)",
    "leaky_relu": f"np.where(x > 0, x, {LEAK} * x)",
    "tanh": "np.tanh(x)",
    "gelu": "x * ndtr(x)",
    "sigmoid": "1 / (1 + np.exp(-x))",
    "linear": "x",
}
_AS_THEY_ARE = """\
code = run("encoder", rows)  # rows: float32, (rows, columns), in [0, 1]
reconstruction = run("decoder", code)
score = np.abs(rows - reconstruction).mean(axis=1)  # of each row: high if it is strange
"""


def _safetensors(model: Model) -> Package:
    """The best pair alone: weights by name; layout, scaling and provenance in the metadata."""
    pair = Pair(Network(model.pair.encoder.genome), Network(model.pair.decoder.genome))
    return Package(
        files={_FILE: model_bytes(replace(model, pair=pair, others=()))},
        whole=_FILE,
        runtime=f"numpy {version('numpy')}",
        encode=model.encode,
        reconstruct=model.reconstruct,
        score=model.score,
        usage=_reading(model) + _use(model),
    )


def _use(model: Model) -> str:
    """The lines on how the networks are run."""
    scaling = model.scaling
    dtype = "rows.dtype" if scaling is None else "float"  # as a scaling has its columns' values
    filled = _FILLED.format(dtype=dtype) if _fills(model) else ""
    if scaling is None:
        return filled + _AS_THEY_ARE
    named = ", ".join(f'"{name}"' for name in scaling.arrays)
    read = f'{", ".join(scaling.arrays)} = (np.array(about["scaling"][part]) for part in ({named}))'
    return f"{filled}{read}\n\n\n{lines_of(scaling, 'numpy')}"


def _fills(model: Model) -> bool:
    return model.encoding is not None and model.encoding.fills


def _reading(model: Model) -> str:
    """How the file is read, with those activations that it has."""
    used = {layer.activation for layer in _layers(model)}
    lines = [f'    "{name}": lambda x: {_FORMULAS[name]},' for name in _FORMULAS if name in used]
    scipy = "\nfrom scipy.special import ndtr" if "gelu" in used else ""
    return _READ.format(activations="\n".join(lines), scipy=scipy)


def _layers(model: Model) -> tuple[Layer, ...]:
    return (*model.architecture.encoder.layers, *model.architecture.decoder.layers)


_TORCH_FILE = "model.pt"
_SCALING = "scaling."

_LOAD = """\
from collections import OrderedDict

import torch
from torch import nn

weights = torch.load("model.pt", weights_only=True){scaling}
{filled}

def network(part, last):
    shapes = [w.shape for name, w in weights.items() if name.startswith(part) and w.ndim == 2]
    layers = [each for n_out, n_in in shapes for each in (nn.Linear(n_in, n_out), nn.{hidden}())]
    return nn.Sequential(*layers[:-1], last)


encoder, decoder = network("encoder", nn.{code}()), network("decoder", nn.{output}())
model = nn.Sequential(OrderedDict(encoder=encoder, decoder=decoder))
model.load_state_dict(weights)
{use}
"""
_TORCH_AS_THEY_ARE = """\
code = model.encoder(rows)  # rows: float32, (rows, columns), in [0, 1]
reconstruction = model.decoder(code)
score = (rows - reconstruction).abs().mean(1)  # of each row: high if it is strange"""
_MODULES: Mapping[Activation, str] = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "tanh": "Tanh",
    "gelu": "GELU",
    "sigmoid": "Sigmoid",
    "linear": "Identity",
}
"""Of a layer by its activation: the module of `torch.nn`."""


def _torch(model: Model) -> Package:
    """`encoder.<k>.weight` and so on, the keys of `nn.Sequential`s; float64 arrays of a scaling.

    Raises:
        UserError: torch is not installed; install `aes_lipi[torch]`.
    """
    try:
        import torch  # noqa: PLC0415 - an optional dependency
        from torch import nn  # noqa: PLC0415
    except ModuleNotFoundError:
        raise not_installed("--format torch", "torch", "torch") from None
    architecture, pair = model.architecture, model.pair
    module = nn.Sequential(
        OrderedDict(
            encoder=_sequential(architecture.encoder, pair.encoder.genome),
            decoder=_sequential(architecture.decoder, pair.decoder.genome),
        )
    )
    weights: dict[str, torch.Tensor] = dict(module.state_dict())
    if model.scaling is not None:
        arrays = model.scaling.arrays.items()
        weights |= {f"{_SCALING}{name}": torch.tensor(array) for name, array in arrays}
    if model.encoding is not None and model.encoding.fills:
        weights["encoding.fill"] = torch.tensor(model.encoding.fill)
    content = io.BytesIO()
    torch.save(weights, content)
    return Package(
        files={_TORCH_FILE: content.getvalue()},
        whole=_TORCH_FILE,
        runtime=f"torch {torch.__version__}",
        encode=lambda rows: _run(module[0], model, rows),
        reconstruct=lambda rows: model.units.from_network(_run(module, model, rows)),
        score=lambda rows: row_errors(model.units.scaled(rows), _run(module, model, rows)),
        usage=_usage(model),
    )


def _sequential(layout: NetworkLayout, genome: Float32) -> nn.Sequential:
    """Dense layers and activations in turn, with a genome's weights."""
    import torch  # noqa: PLC0415
    from torch import nn  # noqa: PLC0415

    parts: list[nn.Module] = []
    for k, layer in enumerate(layout.layers):
        linear = nn.Linear(layer.n_in, layer.n_out)
        linear.load_state_dict(
            {
                "weight": torch.from_numpy(layout.weight(genome, k).copy()),
                "bias": torch.from_numpy(layout.bias(genome, k).copy()),
            }
        )
        parts += [linear, getattr(nn, _MODULES[layer.activation])()]
    return nn.Sequential(*parts)


def _run(module: nn.Module, model: Model, rows: Floats) -> Floats:
    import torch  # noqa: PLC0415

    with torch.inference_mode():
        result: Floats = module(torch.from_numpy(model.units.to_network(rows))).numpy()
    return result


def _usage(model: Model) -> str:
    scaling, architecture = model.scaling, model.architecture
    arrays = () if scaling is None else scaling.arrays
    popped = [f'\n{name} = weights.pop("{_SCALING}{name}")' for name in arrays]
    last = (architecture.encoder.layers[-1], architecture.decoder.layers[-1])
    inner: list[Activation] = [k.activation for k in _layers(model) if k not in last]
    code, output = (_MODULES[layer.activation] for layer in last)
    narrow, wide = (".to(rows.dtype)", "") if scaling is None else ("", ".double()")
    return _LOAD.format(
        scaling="".join(popped),
        filled=_TORCH_FILLED.format(narrow=narrow, wide=wide) if _fills(model) else "",
        hidden=_MODULES[inner[0] if inner else "relu"],
        code=code,
        output=output,
        use="\n\n" + lines_of(scaling, "torch") if scaling else _TORCH_AS_THEY_ARE,
    )


FORMATS: Mapping[str, Callable[[Model], Package]] = {
    "safetensors": _safetensors,
    "onnx": onnx_package,
    "torch": _torch,
}
