"""Trained pairs in safetensors files: tensors by name, everything else in the metadata.

Tensors are named `encoder.<layer>.weight`, `encoder.<layer>.bias` and so on for the best pair, and
`cell_<nnn>.encoder...` for further centres; `<network>.mask` (uint8, flat) where pruning froze
weights. Nothing is pickled.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.forward import decode, encode
from aes_lipi.autoencoders.layout import Float32, Layer, NetworkLayout
from aes_lipi.autoencoders.networks import Network, Pair
from aes_lipi.errors import UserError

MODEL_FORMAT = 1
METADATA_KEY = "aes_lipi"


@dataclass(frozen=True)
class Model:
    """A trained autoencoder, computed with numpy alone.

    Attributes:
        architecture: of the pair.
        pair: the best pair of its trial.
        others: every cell's centre, in cell order, if the study stored them all.
        provenance: study, variant, trial, cell and settings it comes from.
    """

    architecture: Architecture
    pair: Pair
    others: tuple[Pair, ...] = ()
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def encode(self, x: Float32) -> Float32:
        """Codes of rows x (rows, n_dim): float32, (rows, latent size)."""
        return encode(self.architecture, self.pair.encoder.genome, np.asarray(x, np.float32))

    def decode(self, z: Float32) -> Float32:
        """Reconstructions from codes z (rows, latent size): float32, (rows, n_dim)."""
        return decode(self.architecture, self.pair.decoder.genome, np.asarray(z, np.float32))

    def reconstruct(self, x: Float32) -> Float32:
        """Reconstructions of rows x (rows, n_dim): float32, (rows, n_dim)."""
        return self.decode(self.encode(x))


def save_model(path: Path, model: Model) -> None:
    """Write a model to a safetensors file."""
    tensors = _tensors(model.architecture, model.pair, "")
    for cell, pair in enumerate(model.others):
        tensors |= _tensors(model.architecture, pair, f"cell_{cell:03d}.")
    description = {
        "format": MODEL_FORMAT,
        "architecture": dataclasses.asdict(model.architecture),
        "provenance": dict(model.provenance),
        "n_others": len(model.others),
    }
    # One entry only: safetensors writes several in an order that differs from run to run.
    metadata = {METADATA_KEY: json.dumps(description, sort_keys=True)}
    save_file(tensors, path, metadata=metadata)


def load_model(path: str | Path) -> Model:
    """Read a model that `save_model` wrote.

    Raises:
        UserError: the file is missing, or is not such a model.
    """
    try:
        return _read(Path(path))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; give a saved model") from None
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a model saved by aes_lipi ({reason})") from None


def load_pairs(path: Path, architecture: Architecture) -> list[Pair]:
    """The best pairs of a model file, or of all model files below a folder, in order of path.

    Raises:
        UserError: there is no model, or one is laid out differently from `architecture`.
    """
    files = sorted(path.rglob("*.safetensors")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"--ann_path {path}: no .safetensors model in this folder")
    pairs = []
    for file in files:
        model = load_model(file)
        if (model.architecture.encoder, model.architecture.decoder) != (
            architecture.encoder,
            architecture.decoder,
        ):
            raise UserError(
                f"--ann_path {file}: its layers are {describe_layers(model.architecture)}, the "
                f"study's {describe_layers(architecture)}; start from a model of the same layers"
            )
        pairs.append(model.pair)
    return pairs


def describe_layers(architecture: Architecture) -> str:
    """The widths from input over code to output, as in `1000-30-10-30-1000`."""
    encoder = [architecture.encoder.n_in, *architecture.encoder.hidden_sizes]
    decoder = [layer.n_out for layer in architecture.decoder.layers]
    return "-".join(map(str, [*encoder, architecture.latent_size, *decoder]))


def _tensors(
    architecture: Architecture, pair: Pair, prefix: str
) -> dict[str, np.ndarray[Any, Any]]:
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    parts = (
        ("encoder", architecture.encoder, pair.encoder),
        ("decoder", architecture.decoder, pair.decoder),
    )
    for part, layout, network in parts:
        for k, layer in enumerate(layout.layers):
            name = f"{prefix}{part}.{layer.name}"
            tensors[f"{name}.weight"] = np.ascontiguousarray(layout.weight(network.genome, k))
            tensors[f"{name}.bias"] = np.ascontiguousarray(layout.bias(network.genome, k))
        if network.mask is not None:
            tensors[f"{prefix}{part}.mask"] = network.mask.astype(np.uint8)
        tensors[f"{prefix}{part}.n_pruned"] = np.array([network.n_pruned], dtype=np.int64)
    return tensors


def _read(path: Path) -> Model:
    with safe_open(path, framework="np") as file:
        description = json.loads((file.metadata() or {})[METADATA_KEY])
        if description["format"] != MODEL_FORMAT:
            raise ValueError(f"format {description['format']!r}, not {MODEL_FORMAT!r}")
        architecture = _architecture(description["architecture"])
        others = [f"cell_{cell:03d}." for cell in range(int(description["n_others"]))]
        pairs = [_pair(file, architecture, prefix) for prefix in ("", *others)]
        return Model(architecture, pairs[0], tuple(pairs[1:]), description["provenance"])


def _architecture(described: Mapping[str, Any]) -> Architecture:
    fields = dict(described)
    for part in ("encoder", "decoder"):
        layers = tuple(Layer(**layer) for layer in fields[part]["layers"])
        fields[part] = NetworkLayout(layers)
    return Architecture(**fields)


def _pair(file: Any, architecture: Architecture, prefix: str) -> Pair:
    return Pair(
        _network(file, architecture.encoder, f"{prefix}encoder."),
        _network(file, architecture.decoder, f"{prefix}decoder."),
    )


def _network(file: Any, layout: NetworkLayout, prefix: str) -> Network:
    names: Sequence[str] = file.keys()
    parts = []
    for layer in layout.layers:
        for kind, shape in (("weight", (layer.n_out, layer.n_in)), ("bias", (layer.n_out,))):
            tensor = file.get_tensor(f"{prefix}{layer.name}.{kind}")
            if tensor.shape != shape or tensor.dtype != np.float32:
                raise ValueError(f"{prefix}{layer.name}.{kind}: {tensor.dtype} {tensor.shape}")
            parts.append(tensor.ravel())
    mask = None
    if f"{prefix}mask" in names:
        mask = file.get_tensor(f"{prefix}mask").astype(np.bool_)
        if mask.shape != (layout.size,):
            raise ValueError(f"{prefix}mask: shape {mask.shape}")
    return Network(np.concatenate(parts), mask, int(file.get_tensor(f"{prefix}n_pruned")[0]))
