"""What a model file says of itself besides its tensors, and whether that can be true."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aes_lipi.autoencoders.environments import (
    Architecture,
    Environment,
    Loss,
    build_architecture,
)
from aes_lipi.autoencoders.layout import Activation, Layer, NetworkLayout

MODEL_FORMAT = 1

_Width = Annotated[int, Field(ge=1, lt=2**31)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _Layer(_Strict):
    name: str
    n_in: _Width
    n_out: _Width
    activation: Activation
    reads: Annotated[int, Field(ge=-1)]


class _Network(_Strict):
    layers: Annotated[list[_Layer], Field(min_length=1)]


class _Architecture(_Strict):
    encoder: _Network
    decoder: _Network
    loss: Loss
    input_noise: Annotated[float, Field(ge=0)]
    variational: bool


class Description(_Strict):
    """The metadata of a model file.

    Attributes:
        format: version of this description.
        architecture: every layer of both networks, loss and noise.
        provenance: where the model comes from.
        n_others: further centres in the file.
    """

    format: Literal[1]
    architecture: _Architecture
    provenance: dict[str, Any]
    n_others: Annotated[int, Field(ge=0, lt=2**20)]


def write_description(architecture: Architecture, provenance: dict[str, Any], n_others: int) -> str:
    """The description as JSON, the same text for the same content."""
    described = {
        "format": MODEL_FORMAT,
        "architecture": dataclasses.asdict(architecture),
        "provenance": provenance,
        "n_others": n_others,
    }
    return json.dumps(described, sort_keys=True)


def read_description(text: str) -> tuple[Description, Architecture]:
    """A description from JSON, and the architecture that it describes.

    Raises:
        ValueError: it is not such a description, or its layers do not fit together.
    """
    try:
        description = Description.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg']}") from None
    return description, _checked(description.architecture)


def _checked(described: _Architecture) -> Architecture:
    """The architecture, if it is one that `build_architecture` makes."""
    architecture = Architecture(
        encoder=_layout(described.encoder),
        decoder=_layout(described.decoder),
        loss=described.loss,
        input_noise=described.input_noise,
        variational=described.variational,
    )
    hidden_sizes = architecture.encoder.hidden_sizes
    environment = Environment(
        hidden_sizes,
        architecture.latent_size,
        described.variational,
        described.loss,
        described.input_noise,
    )
    made = build_architecture(
        environment, architecture.n_dim, hidden_sizes, architecture.latent_size
    )
    if made != architecture:
        raise ValueError("architecture: its layers do not fit together")
    return architecture


def _layout(network: _Network) -> NetworkLayout:
    return NetworkLayout(tuple(Layer(**layer.model_dump()) for layer in network.layers))
