"""The formats that a model is exported in, and the first of them: safetensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version

from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.export.package import Package
from aes_lipi.models import Model, model_bytes

_FILE = "model.safetensors"

_READ = """\
import json

import numpy as np
from safetensors import safe_open

with safe_open("model.safetensors", "np") as file:
    about = json.loads(file.metadata()["aes_lipi"])
    weights = {name: file.get_tensor(name) for name in file.keys()}


def run(part, x):
    for layer in about["architecture"][part]["layers"]:
        x = x @ weights[f"{part}.{layer['name']}.weight"].T
        x = x + weights[f"{part}.{layer['name']}.bias"]
        if layer["activation"] != "linear":
            x = np.maximum(x, 0) if layer["activation"] == "relu" else 1 / (1 + np.exp(-x))
    return x


"""
_AS_THEY_ARE = """\
code = run("encoder", rows)  # rows: float32, (rows, columns), in [0, 1]
reconstruction = run("decoder", code)
score = np.abs(rows - reconstruction).mean(axis=1)  # of each row: high if it is strange
"""
_SCALED = """\
low, high = (np.array(about["scaling"][bound]) for bound in ("low", "high"))
scaled = (rows - low) / np.where(high > low, high - low, np.inf)  # rows: in their own units
scaled = scaled + (rows != low) * (high == low)  # what was constant in training, and is not now
inside = np.clip(scaled, 0, 1) * (high > low)
code = run("encoder", inside.astype(np.float32))
decoded = run("decoder", code)
reconstruction = low + (high - low) * decoded
score = np.abs(scaled - decoded).mean(axis=1)  # of each row: high if it is strange
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
        usage=_READ + (_AS_THEY_ARE if model.scaling is None else _SCALED),
    )


def _onnx(model: Model) -> Package:
    from aes_lipi.export.onnx import onnx_package  # noqa: PLC0415 - an optional dependency

    return onnx_package(model)


def _torch(model: Model) -> Package:
    from aes_lipi.export.torch import torch_package  # noqa: PLC0415 - torch is slow to import

    return torch_package(model)


FORMATS: Mapping[str, Callable[[Model], Package]] = {
    "safetensors": _safetensors,
    "onnx": _onnx,
    "torch": _torch,
}
