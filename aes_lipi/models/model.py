"""A trained autoencoder, used with numpy alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.forward import decode, encode
from aes_lipi.autoencoders.layout import Float32
from aes_lipi.autoencoders.networks import Pair


@dataclass(frozen=True)
class Model:
    """A trained autoencoder.

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
        """Codes of rows x (rows, n_dim): float32, (rows, latent size).

        Raises:
            ValueError: x is not of that shape.
        """
        rows = _rows(x, self.architecture.n_dim)
        return encode(self.architecture, self.pair.encoder.genome, rows)

    def decode(self, z: Float32) -> Float32:
        """Reconstructions from codes z (rows, latent size): float32, (rows, n_dim).

        Raises:
            ValueError: z is not of that shape.
        """
        codes = _rows(z, self.architecture.latent_size)
        return decode(self.architecture, self.pair.decoder.genome, codes)

    def reconstruct(self, x: Float32) -> Float32:
        """Reconstructions of rows x (rows, n_dim): float32, (rows, n_dim).

        Raises:
            ValueError: x is not of that shape.
        """
        return self.decode(self.encode(x))


def _rows(values: Float32, width: int) -> Float32:
    rows = np.asarray(values, np.float32)
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ValueError(f"expected rows of {width} values, got an array of shape {rows.shape}")
    return rows


def describe_layers(architecture: Architecture) -> str:
    """The widths from input over code to output, as in `1000-30-10-30-1000`."""
    encoder = [architecture.encoder.n_in, *architecture.encoder.hidden_sizes]
    decoder = [layer.n_out for layer in architecture.decoder.layers]
    widths = "-".join(map(str, [*encoder, architecture.latent_size, *decoder]))
    return f"{widths} (variational)" if architecture.variational else widths
