"""Torch modules made from genomes, and genomes from torch modules, exactly."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Activation, NetworkLayout, Pair

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "linear": lambda value: value,
}


class NetworkModule(nn.Module):
    """An encoder or decoder as a torch module, its dense layers named as in the layout.

    `forward` takes (rows, n_in) and gives (rows, n_out); of a variational encoder it gives mean and
    log-variance side by side, (rows, 2 * latent size).
    """

    def __init__(self, layout: NetworkLayout) -> None:
        super().__init__()
        self.layout = layout
        self.layers = nn.ModuleDict(
            OrderedDict((layer.name, nn.Linear(layer.n_in, layer.n_out)) for layer in layout.layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Pass rows through the layers."""
        outputs: list[Tensor] = []
        for layer in self.layout.layers:
            source = x if layer.reads < 0 else outputs[layer.reads]
            outputs.append(ACTIVATIONS[layer.activation](self.layers[layer.name](source)))
        read = {layer.reads for layer in self.layout.layers}
        return torch.cat([out for k, out in enumerate(outputs) if k not in read], dim=-1)


class AutoencoderModule(nn.Module):
    """A pair as a torch module: submodules `encoder` and `decoder`."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.encoder = NetworkModule(architecture.encoder)
        self.decoder = NetworkModule(architecture.decoder)

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction of rows (rows, n_dim), without noise."""
        reconstruction: Tensor = self.decoder(self.encoder(x)[..., : self.architecture.latent_size])
        return reconstruction


def network_module(layout: NetworkLayout, genome: Float32) -> NetworkModule:
    """A torch module with a genome's weights."""
    module = NetworkModule(layout)
    with torch.no_grad():
        parameters = module.parameters()
        for parameter, entries in zip(parameters, layout.tensor_slices(), strict=True):
            parameter.copy_(torch.from_numpy(genome[entries].copy()).view_as(parameter))
    return module


def autoencoder_module(architecture: Architecture, pair: Pair) -> AutoencoderModule:
    """A torch module with a pair's weights."""
    module = AutoencoderModule(architecture)
    module.encoder = network_module(architecture.encoder, pair.encoder.genome)
    module.decoder = network_module(architecture.decoder, pair.decoder.genome)
    return module


def genome_of(module: NetworkModule) -> Float32:
    """The genome with a torch module's weights, float32, shape (P,)."""
    parts = [parameter.detach().cpu().numpy().ravel() for parameter in module.parameters()]
    return np.concatenate(parts).astype(np.float32, copy=False)
