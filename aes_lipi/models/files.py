"""Trained pairs in safetensors files: tensors by name, everything else in the metadata.

Tensors are named `encoder.<layer>.weight`, `encoder.<layer>.bias` and so on for the best pair, and
`cell_<nnn>.encoder...` for further centres; `<network>.mask` (uint8, flat) where pruning froze
weights. Centres of recorded, or of all, generations are the rows of `recorded.encoder` and
`recorded.decoder`, float32, flat; `recorded.places`, int64, has generation and cell of each.
Nothing is pickled.
A digest of the whole file stands in the metadata, so that a file with a flipped bit is refused.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Network, NetworkLayout, Pair
from aes_lipi.config import expanded
from aes_lipi.errors import UserError
from aes_lipi.models.description import (
    UNSEALED,
    Description,
    read_description,
    write_description,
)
from aes_lipi.models.model import Model, describe_layers
from aes_lipi.models.torch_checkpoints import SUFFIX, read_checkpoint

T = TypeVar("T")

METADATA_KEY = "aes_lipi"
_PART = 2**20  # bytes that are read at a time
_MALFORMED = (
    SafetensorError,
    ValueError,
    LookupError,
    TypeError,
    RecursionError,
    AttributeError,  # of safetensors, for types that numpy does not have
)


@dataclass(frozen=True, order=True)
class Place:
    """Of which recorded generation and cell a centre is."""

    generation: int
    cell: int


_NONE: Mapping[Place, Pair] = {}


def save_model(path: str | Path, model: Model) -> None:
    """Write a model to a safetensors file."""
    Path(expanded(path)).write_bytes(model_bytes(model))


def model_bytes(model: Model, recorded: Mapping[Place, Pair] = _NONE) -> bytes:
    """The content of a model's safetensors file; the same bytes for the same model.

    Args:
        model: the model.
        recorded: centres of recorded generations that the file is to hold as well.
    """
    tensors = _tensors(model.architecture, model.pair, "")
    for cell, pair in enumerate(model.others):
        tensors |= _tensors(model.architecture, pair, f"cell_{cell:03d}.")
    if recorded:
        tensors |= _recorded_tensors(recorded)
    # One entry only: safetensors writes several in an order that differs from run to run.
    metadata = {METADATA_KEY: write_description(model, len(recorded))}
    return sealed(save(tensors, metadata=metadata))


_DIGEST = re.compile(rb'\\"digest\\": \\"([0-9a-f]{64})\\"')
"""In the header, whose metadata is JSON within JSON; what users name is spelt otherwise there."""

_LENGTH = 8  # bytes at the beginning that say how long the header is


def sealed(content: bytes) -> bytes:
    """A model file's content, with its digest in the place that the description has for it.

    Raises:
        ValueError: there is no such place.
    """
    found = _DIGEST.search(content)
    if found is None:
        raise ValueError("no place for a digest")
    view = memoryview(content)  # without copies: the centres of all generations are a gigabyte
    before, after = view[: found.start(1)], view[found.end(1) :]
    digest = hashlib.sha256(before)
    digest.update(UNSEALED.encode())
    digest.update(after)
    return b"".join([before, digest.hexdigest().encode(), after])


def _check_digest(path: Path) -> None:
    """Refuse a file that is not what its digest says; files of earlier versions have none.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged.
    """
    with path.open("rb") as stream:
        length = stream.read(_LENGTH)
        header = stream.read(min(int.from_bytes(length, "little"), path.stat().st_size))
        found = _DIGEST.search(header)
        if found is None:
            return
        digest = hashlib.sha256(length + header[: found.start(1)] + UNSEALED.encode())
        digest.update(header[found.end(1) :])
        while part := stream.read(_PART):
            digest.update(part)
    if digest.hexdigest().encode() != found[1]:
        raise ValueError("damaged: its digest is another")


def _recorded_tensors(recorded: Mapping[Place, Pair]) -> dict[str, np.ndarray[Any, Any]]:
    places = sorted(recorded)
    pairs = [recorded[place] for place in places]
    return {
        "recorded.places": np.array([[p.generation, p.cell] for p in places], np.int64),
        "recorded.encoder": np.stack([pair.encoder.genome for pair in pairs]),
        "recorded.decoder": np.stack([pair.decoder.genome for pair in pairs]),
    }


def read_model(path: str | Path) -> Model:
    """Read a model that a study or an export wrote, wherever its file is.

    Raises:
        UserError: the file is missing, or is not such a model; give a saved one.
    """
    return _loaded(path, _read)


def load_recorded(path: str | Path, place: Place) -> Model:
    """Read the centre of a recorded generation as a model of its own.

    Raises:
        UserError: the file is missing, is not a model, or does not hold that centre; run the study
            with store_generations.
    """
    model = _loaded(path, lambda file: _read_recorded(file, place))
    if model is None:
        raise UserError(
            f"{path}: holds no centre of cell {place.cell} in generation {place.generation}; "
            "run the study with --store_generations recorded, which keeps those that no other beats"
        )
    return model


def measured_centres(path: str | Path, measure: Callable[[Float32], T]) -> dict[int, T]:
    """What is measured of the centres of each generation that the file holds of all cells.

    Args:
        path: of the file.
        measure: takes the weights of all cells, the encoder's and then the decoder's, shape (cells,
            parameters); those of one generation are in memory at a time.

    Raises:
        UserError: the file is missing, or is not a model.
    """
    return _loaded(path, lambda file: _measured(file, measure))


def load_content(content: bytes, load: Callable[[Path], T]) -> T:
    """Read the content of a model's file, as it comes from an object store.

    Args:
        content: of the file.
        load: reads a file.

    Raises:
        UserError: as `load` does.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(content)
        return load(path)


def _loaded(path: str | Path, read: Callable[[Path], T]) -> T:
    """What is read of a file.

    Raises:
        UserError: the file is missing, or is not a model; give a saved one.
    """
    path = Path(expanded(path))
    try:
        _check_file(path)
        _check_digest(path)
        return read(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; give a saved model") from None
    except _MALFORMED as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a model saved by aes_lipi ({reason})") from None


def models_digest(files: Iterable[Path]) -> str:
    """SHA-256 over the contents of model files in their order, in hexadecimal digits.

    Raises:
        UserError: a file cannot be read; give saved models.
    """
    digest = hashlib.sha256()
    for file in files:
        try:
            _check_file(file)
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise UserError(f"--ann_path {file}: {error.strerror}; give a saved model") from None
        except ValueError as error:
            raise UserError(f"--ann_path {file}: {error}; give a saved model") from None
    return digest.hexdigest()


def load_pairs(files: Iterable[Path], architecture: Architecture) -> list[Pair]:
    """The pairs of model files: of each all centres, if it holds them, or the best pair.

    A file that ends in .pt is a checkpoint of the published code.

    Raises:
        UserError: a file is no model, or has other layers than `architecture`; start from models of
            the same layers.
    """
    pairs: list[Pair] = []
    for file in files:
        model = read_checkpoint(file) if file.suffix == SUFFIX else read_model(file)
        if (model.architecture.encoder, model.architecture.decoder) != (
            architecture.encoder,
            architecture.decoder,
        ):
            raise UserError(
                f"--ann_path {file}: its layers are {describe_layers(model.architecture)}, the "
                f"study's {describe_layers(architecture)}; start from a model of the same layers"
            )
        pairs += model.others or (model.pair,)
    return pairs


def _check_file(path: Path) -> None:
    """Refuse what would never end, such as a pipe, before it is opened.

    Raises:
        OSError: the file is missing, or is not a regular one.
        ValueError: the path holds a null byte, or is no file's for another reason.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file")


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
        text = (file.metadata() or {})[METADATA_KEY]
        description, architecture = read_description(text)
        if description.n_others > len(file.keys()):
            raise ValueError(f"n_others: {description.n_others} is more than there are tensors")
        others = [f"cell_{cell:03d}." for cell in range(description.n_others)]
        pairs = [_pair(file, architecture, prefix) for prefix in ("", *others)]
        return _model(description, architecture, pairs[0], tuple(pairs[1:]))


def _model(
    description: Description, architecture: Architecture, pair: Pair, others: tuple[Pair, ...]
) -> Model:
    return Model(
        architecture,
        pair,
        others,
        description.provenance,
        scaling=description.scaling_of(architecture.n_dim),
        columns=description.columns_of(architecture.n_dim),
        compaction=description.compaction,
        encoding=description.encoding_of(architecture.n_dim),
        score_quantiles=description.quantiles(),
    )


def _read_recorded(path: Path, place: Place) -> Model | None:
    with safe_open(path, framework="np") as file:
        description, architecture = read_description((file.metadata() or {})[METADATA_KEY])
        n = description.n_recorded
        places = _places(file, n)
        [found] = np.nonzero((places == [place.generation, place.cell]).all(axis=1))
        if not len(found):
            return None
        weights = _weights(file, architecture, n, slice(int(found[0]), int(found[0]) + 1))
        encoder, decoder = (Network(part.ravel()) for part in weights)
        provenance = {**description.provenance, **dataclasses.asdict(place)}
        model = _model(description, architecture, Pair(encoder, decoder), ())
        # The quantiles in the file are of the best pair's scores.
        return dataclasses.replace(model, provenance=provenance, score_quantiles=None)


def _measured(path: Path, measure: Callable[[Float32], T]) -> dict[int, T]:
    with safe_open(path, framework="np") as file:
        description, architecture = read_description((file.metadata() or {})[METADATA_KEY])
        n = description.n_recorded
        places = _places(file, n)
        n_cells = int(places[:, 1].max(initial=-1)) + 1
        starts = np.flatnonzero(places[:, 1] == 0)
        whole = {
            int(places[start, 0]): slice(start, start + n_cells)
            for start in starts.tolist()
            if (places[start : start + n_cells, 0] == places[start, 0]).all()
            and np.array_equal(places[start : start + n_cells, 1], np.arange(n_cells))
        }
        return {
            t: measure(np.hstack(_weights(file, architecture, n, rows)))
            for t, rows in whole.items()
        }


def _places(file: Any, n: int) -> np.ndarray[Any, Any]:
    """Generation and cell of the centres of generations, int64, shape (n, 2)."""
    return _tensor(file, "recorded.places", (n, 2), np.int64) if n else np.zeros((0, 2), np.int64)


def _weights(file: Any, architecture: Architecture, n: int, rows: slice) -> list[Float32]:
    """Some of the n centres of generations, encoders and decoders; the others are not read."""
    found: list[Float32] = []
    for part, layout in (("encoder", architecture.encoder), ("decoder", architecture.decoder)):
        name, shape = f"recorded.{part}", (n, layout.size)
        tensor = file.get_slice(name)
        if (there := tuple(tensor.get_shape())) != shape:
            raise ValueError(f"{name}: shape {there}, not {shape}")
        found.append(tensor[rows])
        if found[-1].dtype != np.float32:
            raise ValueError(f"{name}: {found[-1].dtype}, not float32")
    return found


def _pair(file: Any, architecture: Architecture, prefix: str) -> Pair:
    return Pair(
        _network(file, architecture.encoder, f"{prefix}encoder."),
        _network(file, architecture.decoder, f"{prefix}decoder."),
    )


def _network(file: Any, layout: NetworkLayout, prefix: str) -> Network:
    parts = []
    for layer in layout.layers:
        for kind, shape in (("weight", (layer.n_out, layer.n_in)), ("bias", (layer.n_out,))):
            name = f"{prefix}{layer.name}.{kind}"
            parts.append(_tensor(file, name, shape, np.float32).ravel())
    mask = None
    if f"{prefix}mask" in file.keys():  # noqa: SIM118 - not a mapping
        flags = _tensor(file, f"{prefix}mask", (layout.size,), np.uint8)
        mask = flags.astype(np.bool_)
    n_pruned = _tensor(file, f"{prefix}n_pruned", (1,), np.int64)
    return Network(np.concatenate(parts), mask, int(n_pruned[0]))


def _tensor(
    file: Any, name: str, shape: tuple[int, ...], dtype: type[np.generic]
) -> np.ndarray[Any, Any]:
    """A tensor of the file, refused before it is read if it is not what it must be."""
    found = tuple(file.get_slice(name).get_shape())
    if found != shape:
        raise ValueError(f"{name}: shape {found}, not {shape}")
    tensor: np.ndarray[Any, Any] = file.get_tensor(name)
    if tensor.dtype != dtype:
        raise ValueError(f"{name}: {tensor.dtype}, not {np.dtype(dtype)}")
    return tensor
