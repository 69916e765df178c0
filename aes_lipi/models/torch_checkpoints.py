"""Checkpoints of the published code as models: `{"encoder": state, "decoder": state}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aes_lipi.autoencoders.environments import Environment, build_architecture
from aes_lipi.autoencoders.network import Network, NetworkLayout, Pair
from aes_lipi.errors import UserError, printable
from aes_lipi.io.torch_files import read_torch
from aes_lipi.models.model import Model

SUFFIX = ".pt"

_HEADS = ("fc21", "fc22")
_VARIATIONAL = ("fc1", *_HEADS)
_PLAIN = re.compile(r"(?:encoder|decoder)\.(\d{1,3})\.weight")


def read_checkpoint(path: Path) -> Model:
    """Read a network pair that the published code saved.

    Raises:
        UserError: torch is not installed, or the file is no such checkpoint; give one.
    """
    content = read_torch(path)
    try:
        if not isinstance(content, dict) or content.keys() != {"encoder", "decoder"}:
            raise ValueError("not a dictionary of encoder and decoder")
        return _model(content["encoder"], content["decoder"], path.name)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        said = printable(" ".join(str(error).split()), 160)
        raise UserError(f"{path}: not a checkpoint of the published code ({said})") from None


def _model(encoder: Mapping[str, Any], decoder: Mapping[str, Any], name: str) -> Model:
    variational = "fc1.weight" in encoder
    encoder_names = list(_VARIATIONAL) if variational else _names(encoder, "encoder")
    decoder_names = _names(decoder, "decoder")
    widths = [_width(encoder, each) for each in encoder_names]
    hidden = widths[: -len(_HEADS)] if variational else widths[:-1]
    environment = Environment(
        hidden_sizes=tuple(hidden),
        latent_size=widths[-1],
        variational=variational,
        loss="negative_elbo" if variational else "l1",
    )
    n_dim = _width(decoder, decoder_names[-1])
    architecture = build_architecture(environment, n_dim, tuple(hidden), widths[-1])
    pair = Pair(
        _network(architecture.encoder, encoder, encoder_names),
        _network(architecture.decoder, decoder, decoder_names),
    )
    return Model(architecture, pair, (), {"converted_from": name})


def _names(state: Mapping[str, Any], part: str) -> list[str]:
    """The layers of a plain stack in their order."""
    found = (_PLAIN.fullmatch(key) for key in state)
    return [f"{part}.{number}" for number in sorted(int(each[1]) for each in found if each)]


def _width(state: Mapping[str, Any], layer: str) -> int:
    """Nodes of a layer."""
    return int(np.shape(state[f"{layer}.weight"])[0])


def _network(layout: NetworkLayout, state: Mapping[str, Any], names: list[str]) -> Network:
    """A network of the tensors of these layers.

    Raises:
        ValueError: a tensor is not the layer's, or one is left over.
    """
    if len(state) != 2 * len(names) or len(names) != len(layout.layers):
        raise ValueError(f"the tensors {', '.join(sorted(state)[:10])}")
    parts = []
    for name, layer in zip(names, layout.layers, strict=True):
        for kind, shape in (("weight", (layer.n_out, layer.n_in)), ("bias", (layer.n_out,))):
            tensor = state[f"{name}.{kind}"]
            if tensor.shape != shape or tensor.dtype != np.float32:
                raise ValueError(f"{name}.{kind}: {tensor.dtype} of shape {tensor.shape}")
            parts.append(tensor.ravel())
    return Network(np.concatenate(parts))
