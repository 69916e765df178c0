"""What a model file says of itself besides its tensors, and whether that can be true."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aes_lipi.autoencoders.environments import (
    Architecture,
    Environment,
    build_architecture,
)
from aes_lipi.autoencoders.network import OUTPUT, Activation, Layer, NetworkLayout, chain
from aes_lipi.config import Scale
from aes_lipi.config.variant import HiddenActivation, LossName, OutputActivation
from aes_lipi.data.columns import MOST_CATEGORIES
from aes_lipi.data.encoding import Column, Encoding
from aes_lipi.data.scaling import Scaling
from aes_lipi.models.model import Compaction, Model

_MODEL_FORMAT = 2
_WITHOUT_DIGEST = 1  # the format of earlier versions

UNSEALED = "0" * 64
"""Where the digest comes to stand."""

_Width = Annotated[int, Field(ge=1, lt=2**31)]
_Score = Annotated[float, Field(ge=0)]


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
    loss: LossName | Annotated[str, Field(max_length=1000, pattern=":")]
    input_noise: Annotated[float, Field(ge=0)]
    variational: bool


class _Scaling(_Strict):
    kind: Scale = "minmax"
    low: list[float]
    high: list[float]
    centre: list[float] | None = None
    spread: list[float] | None = None
    power: list[float] | None = None
    quantiles: list[list[float]] | None = None


_Text = Annotated[str, Field(max_length=100_000)]


class _Column(_Strict):
    name: _Text
    categories: Annotated[list[_Text], Field(min_length=1, max_length=MOST_CATEGORIES)] | None = (
        None
    )
    fill: float | None = None


class _Encoding(_Strict):
    columns: Annotated[list[_Column], Field(min_length=1)]
    fills: bool = False


class Description(_Strict):
    """The metadata of a model file.

    Attributes:
        format: version of this description.
        digest: SHA-256 of the whole file with zeros in its place, in hexadecimal digits.
        architecture: every layer of both networks, loss and noise.
        provenance: where the model comes from.
        n_others: further centres in the file.
        n_recorded: centres of recorded generations in the file.
        scaling: its kind (`minmax` where it is not said), smallest and largest value of every
            column of the data, and the further arrays of its kind.
        columns: names of the data's columns.
        compaction: of a compact model, what became of the original.
        encoding: how a table becomes the data's columns.
        score_quantiles: percentiles 0 to 100 of the training rows' scores.
    """

    format: Literal[1, 2]
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    architecture: _Architecture
    provenance: dict[str, Any]
    n_others: Annotated[int, Field(ge=0, lt=2**20)]
    n_recorded: Annotated[int, Field(ge=0, lt=2**31)] = 0
    scaling: _Scaling | None = None
    columns: list[str] | None = None
    compaction: Compaction | None = None
    encoding: _Encoding | None = None
    score_quantiles: Annotated[list[_Score], Field(min_length=101, max_length=101)] | None = None

    def quantiles(self) -> tuple[float, ...] | None:
        """The percentiles of scores.

        Raises:
            ValueError: they do not rise.
        """
        if self.score_quantiles is None:
            return None
        if sorted(self.score_quantiles) != self.score_quantiles:
            raise ValueError("score_quantiles: not in rising order")
        return tuple(self.score_quantiles)

    def encoding_of(self, n_dim: int) -> Encoding | None:
        """The encoding that makes so many columns.

        Raises:
            ValueError: it makes more or fewer, or other ones than those that are named.
        """
        if self.encoding is None:
            return None
        problem = ValueError(f"encoding: does not make the {n_dim} columns that are named")
        if sum(len(each.categories or "1") for each in self.encoding.columns) != n_dim:
            raise problem
        columns = [
            Column(each.name, None if each.categories is None else (*each.categories,), each.fill)
            for each in self.encoding.columns
        ]
        named = self.columns_of(n_dim) or ()
        made = (name for column in columns for name in column.each_name())
        if len(set(named)) != n_dim or any(a != b for a, b in zip(made, named, strict=True)):
            raise problem
        return Encoding(tuple(columns), self.encoding.fills)

    def scaling_of(self, n_dim: int) -> Scaling | None:
        """The scaling of so many columns.

        Raises:
            ValueError: its arrays are not those of its kind and of that many columns.
        """
        if self.scaling is None:
            return None
        told = self.scaling.model_dump(exclude={"kind"}, exclude_none=True)
        arrays = {name: np.array(values, np.float64) for name, values in told.items()}
        scaling = Scaling(self.scaling.kind, arrays.pop("low"), arrays.pop("high"), arrays)
        scaling.check(n_dim)
        return scaling

    def columns_of(self, n_dim: int) -> tuple[str, ...] | None:
        """The names of so many columns.

        Raises:
            ValueError: the file names more or fewer columns.
        """
        if self.columns is not None and len(self.columns) != n_dim:
            raise ValueError(f"columns: {len(self.columns)} names of {n_dim} columns")
        return None if self.columns is None else tuple(self.columns)


def write_description(model: Model, n_recorded: int) -> str:
    """The description as JSON, the same text for the same content."""
    described = {
        "format": _MODEL_FORMAT,
        "digest": UNSEALED,
        "architecture": dataclasses.asdict(model.architecture),
        "provenance": dict(model.provenance),
        "n_others": len(model.others),
        "n_recorded": n_recorded,
        "scaling": model.scaling and _described_scaling(model.scaling),
        "columns": model.columns,
        "compaction": model.compaction and dataclasses.asdict(model.compaction),
    }
    if model.encoding is not None:
        described["encoding"] = dataclasses.asdict(model.encoding)
    if model.score_quantiles is not None:
        described["score_quantiles"] = list(model.score_quantiles)
    return json.dumps(described, sort_keys=True)


def _described_scaling(scaling: Scaling) -> dict[str, Any]:
    kind = {} if scaling.kind == "minmax" else {"kind": scaling.kind}
    return {**kind, **{name: array.tolist() for name, array in scaling.arrays.items()}}


def read_description(text: str) -> tuple[Description, Architecture]:
    """A description from JSON, and the architecture that it describes.

    Raises:
        ValueError: the text is no such description, or the layers do not fit together.
    """
    try:
        description = Description.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg']}") from None
    if (description.digest is None) != (description.format == _WITHOUT_DIGEST):
        raise ValueError("digest: missing, or in a file of a version that had none")
    architecture = _architecture(description.architecture)
    small = description.compaction is not None
    for_use = _is_of_means(architecture) and not architecture.variational
    made = _compact(architecture) if small or for_use else _mirrored(architecture)
    if made != architecture:
        raise ValueError("architecture: its layers do not fit together")
    return description, architecture


def _architecture(described: _Architecture) -> Architecture:
    return Architecture(
        encoder=_layout(described.encoder),
        decoder=_layout(described.decoder),
        loss=described.loss,
        input_noise=described.input_noise,
        variational=described.variational,
    )


def _layout(network: _Network) -> NetworkLayout:
    return NetworkLayout(tuple(Layer(**layer.model_dump()) for layer in network.layers))


def _mirrored(described: Architecture) -> Architecture:
    """What `build_architecture` makes of the same widths and activations."""
    hidden_sizes = described.encoder.hidden_sizes
    environment = Environment(
        hidden_sizes,
        described.latent_size,
        described.variational,
        input_noise=described.input_noise,
        linear_code=described.encoder.layers[-1].activation == "linear",
        **_activations(described),
    )
    widths = (described.n_dim, hidden_sizes, described.latent_size)
    return build_architecture(environment, *widths, described.loss)


def _is_of_means(described: Architecture) -> bool:
    """Whether the code is of the means that a variational encoder had, whatever its loss."""
    return described.encoder.layers[-1].name == "mean"


def _compact(described: Architecture) -> Architecture:
    """What `compact`, or `Model.for_use`, makes with the same widths: two chains of equal depth."""
    variational = _is_of_means(described)
    encoder = [layer.n_out for layer in described.encoder.layers]
    decoder = [layer.n_out for layer in described.decoder.layers][:-1]
    names = [f"hidden_{k}" for k in range(1, len(encoder))]
    hidden, output = _activations(described).values()
    is_linear = variational or described.encoder.layers[-1].activation == "linear"
    n_dim = described.n_dim
    return Architecture(
        encoder=chain(
            (*names, "mean" if variational else "latent"),
            (n_dim, *encoder),
            "linear" if is_linear else hidden,
            hidden,
        ),
        decoder=chain((*names, OUTPUT), (encoder[-1], *decoder, n_dim), output, hidden),
        loss=described.loss,
        input_noise=described.input_noise,
        variational=False,
    )


def _activations(described: Architecture) -> dict[str, Any]:
    """Of the hidden layers and of the reconstruction, as an `Environment` has them.

    Raises:
        ValueError: they are none that an environment can have.
    """
    *hidden, output = (*described.encoder.layers, *described.decoder.layers)
    others = [layer.activation for layer in hidden if layer.activation != "linear"]
    found = {
        "hidden_activation": others[0] if others else "relu",
        "output_activation": output.activation,
    }
    for name, choices in (("hidden", HiddenActivation), ("output", OutputActivation)):
        if found[f"{name}_activation"] not in get_args(choices):
            raise ValueError(f"architecture: {found[f'{name}_activation']} of {name} nodes")
    return found
