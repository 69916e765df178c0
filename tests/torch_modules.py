"""A pair as a torch module, as users of torch write it: what all else must agree with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Activation, NetworkLayout, Pair

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "tanh": torch.tanh,
    "gelu": torch.nn.functional.gelu,
    "sigmoid": torch.sigmoid,
    "linear": lambda value: value,
}


class NetworkModule(nn.Module):
    """Gives (rows, n_out); of a variational encoder mean and log-variance side by side."""

    def __init__(self, layout: NetworkLayout, genome: Float32) -> None:
        super().__init__()
        self.layout = layout
        self.layers = nn.ModuleList(nn.Linear(layer.n_in, layer.n_out) for layer in layout.layers)
        with torch.no_grad():
            parameters = self.layers.parameters()
            for parameter, entries in zip(parameters, layout.tensor_slices(), strict=True):
                parameter.copy_(torch.from_numpy(genome[entries].copy()).view_as(parameter))

    def forward(self, x: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        for layer, linear in zip(self.layout.layers, self.layers, strict=True):
            source = x if layer.reads < 0 else outputs[layer.reads]
            outputs.append(ACTIVATIONS[layer.activation](linear(source)))
        read = {layer.reads for layer in self.layout.layers}
        return torch.cat([out for k, out in enumerate(outputs) if k not in read], dim=-1)


class AutoencoderModule(nn.Module):
    """Gives the reconstruction of rows, without noise."""

    def __init__(self, architecture: Architecture, pair: Pair) -> None:
        super().__init__()
        self.latent_size = architecture.latent_size
        self.encoder = NetworkModule(architecture.encoder, pair.encoder.genome)
        self.decoder = NetworkModule(architecture.decoder, pair.decoder.genome)

    def forward(self, x: Tensor) -> Tensor:
        reconstruction: Tensor = self.decoder(self.encoder(x)[..., : self.latent_size])
        return reconstruction
