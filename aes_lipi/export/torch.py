"""Models as the state dict of a plain `torch.nn.Module`."""

from __future__ import annotations

import io
from collections import OrderedDict

import torch
from torch import Tensor, nn

from aes_lipi.arrays import Float32, Floats
from aes_lipi.autoencoders.network import Activation, NetworkLayout
from aes_lipi.export.package import Package
from aes_lipi.models import Model
from aes_lipi.models.model import row_errors

_FILE = "model.pt"
_LOW, _HIGH = "scaling.low", "scaling.high"

_LOAD = """\
from collections import OrderedDict

import torch
from torch import nn

weights = torch.load("model.pt", weights_only=True){scaling}


def network(part, last):
    shapes = [w.shape for name, w in weights.items() if name.startswith(part) and w.ndim == 2]
    layers = [each for n_out, n_in in shapes for each in (nn.Linear(n_in, n_out), nn.ReLU())]
    return nn.Sequential(*layers[:-1], last)


encoder, decoder = network("encoder", nn.{code}()), network("decoder", nn.Sigmoid())
model = nn.Sequential(OrderedDict(encoder=encoder, decoder=decoder))
model.load_state_dict(weights)
{use}
"""
_AS_THEY_ARE = """\
code = model.encoder(rows)  # rows: float32, (rows, columns), in [0, 1]
reconstruction = model.decoder(code)
score = (rows - reconstruction).abs().mean(1)  # of each row: high if it is strange"""
_SCALED = """\
scaled = (rows - low) / torch.where(high > low, high - low, torch.inf)  # rows: in their own units
scaled = scaled + (rows != low) * (high == low)  # what was constant in training, and is not now
inside = torch.clip(scaled, 0, 1) * (high > low)
code = model.encoder(inside.float())
decoded = model.decoder(code)
reconstruction = low + (high - low) * decoded
score = (scaled - decoded).abs().mean(1)  # of each row: high if it is strange"""
_POP = '\nlow, high = weights.pop("scaling.low"), weights.pop("scaling.high")'
_LAST: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "linear": nn.Identity,
}


def torch_package(model: Model) -> Package:
    """`encoder.<k>.weight` and so on, the keys of `nn.Sequential`s; float64 bounds of a scaling."""
    architecture, pair = model.architecture, model.pair
    module = nn.Sequential(
        OrderedDict(
            encoder=_sequential(architecture.encoder, pair.encoder.genome),
            decoder=_sequential(architecture.decoder, pair.decoder.genome),
        )
    )
    weights: dict[str, Tensor] = dict(module.state_dict())
    if model.scaling is not None:
        weights |= {_LOW: torch.tensor(model.scaling.low), _HIGH: torch.tensor(model.scaling.high)}
    content = io.BytesIO()
    torch.save(weights, content)
    return Package(
        files={_FILE: content.getvalue()},
        whole=_FILE,
        runtime=f"torch {torch.__version__}",
        encode=lambda rows: _run(module[0], model, rows),
        reconstruct=lambda rows: model.units.from_network(_run(module, model, rows)),
        score=lambda rows: row_errors(model.units.scaled(rows), _run(module, model, rows)),
        usage=_usage(model),
    )


def _sequential(layout: NetworkLayout, genome: Float32) -> nn.Sequential:
    """Dense layers and activations in turn, with a genome's weights."""
    parts: list[nn.Module] = []
    for k, layer in enumerate(layout.layers):
        linear = nn.Linear(layer.n_in, layer.n_out)
        linear.load_state_dict(
            {
                "weight": torch.from_numpy(layout.weight(genome, k).copy()),
                "bias": torch.from_numpy(layout.bias(genome, k).copy()),
            }
        )
        parts += [linear, _LAST[layer.activation]()]
    return nn.Sequential(*parts)


def _run(module: nn.Module, model: Model, rows: Floats) -> Floats:
    with torch.inference_mode():
        result: Floats = module(torch.from_numpy(model.units.to_network(rows))).numpy()
    return result


def _usage(model: Model) -> str:
    scaled = model.scaling is not None
    code = _LAST[model.architecture.encoder.layers[-1].activation].__name__
    return _LOAD.format(
        scaling=_POP if scaled else "", code=code, use=_SCALED if scaled else _AS_THEY_ARE
    )
