"""The autoencoders a study can train ("environments"), algorithm sections 2 and 10.

An environment is data: layer widths, what the encoder's head looks like, which loss it is trained
with and which noise it trains under. Engines read these facts; nothing else knows the names.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.network import Activation, Layer, NetworkLayout, chain
from aes_lipi.errors import printable
from aes_lipi.extension import Kind, Plugin, called, settled

Loss = Literal["l1", "negative_elbo"]


@dataclass(frozen=True)
class Environment:
    """What distinguishes one kind of autoencoder.

    Attributes:
        hidden_sizes: widths of the encoder's hidden layers; the decoder mirrors them.
        latent_size: width of the latent code.
        variational: the encoder ends in two linear heads, mean and log-variance of the code.
        loss: `l1`, the mean absolute error over batch and dimensions, or `negative_elbo`, the
            summed binary cross-entropy plus the Kullback-Leibler divergence to N(0, I).
        input_noise: standard deviation of the Gaussian noise on the input while training.
        linear_code: the code's values may be any numbers; otherwise they are outputs of ReLU units.
    """

    hidden_sizes: tuple[int, ...] = (30,)
    latent_size: int = 10
    variational: bool = False
    loss: Loss = "l1"
    input_noise: float = 0.0
    linear_code: bool = False


ENVIRONMENTS: dict[str, Environment] = {
    "AutoencoderBinaryClustering": Environment(),
    "AutoencoderBinaryClustering_Small": Environment(latent_size=2),
    "AutoencoderBinaryClustering_Large": Environment(hidden_sizes=(60, 30)),
    "DenoisingAutoencoderBinaryClustering": Environment(),
    "VariationalAutoencoderBinaryClustering": Environment(variational=True, loss="negative_elbo"),
    "LinearCodeAutoencoder": Environment(linear_code=True),
}


@dataclass(frozen=True)
class Architecture:
    """An environment laid out for data of a given width: the two layouts and how to train them.

    Attributes:
        encoder: layers from the data to the code. A variational encoder's last two layers are the
            heads `mean` and `log_variance`, both reading the last hidden layer.
        decoder: layers from the code back to the data; sigmoid output.
        loss: see `Environment`.
        input_noise: see `Environment`.
        variational: see `Environment`.
    """

    encoder: NetworkLayout
    decoder: NetworkLayout
    loss: Loss
    input_noise: float
    variational: bool

    @property
    def n_dim(self) -> int:
        """Width of a data row."""
        return self.encoder.n_in

    @property
    def latent_size(self) -> int:
        """Width of the latent code."""
        return self.decoder.n_in

    @property
    def n_parameters(self) -> int:
        """Weights and biases of encoder and decoder together."""
        return self.encoder.size + self.decoder.size

    @property
    def noise_width(self) -> int:
        """Standard normal values that one training row consumes: input noise, then code noise."""
        return (self.n_dim if self.input_noise else 0) + (
            self.latent_size if self.variational else 0
        )

    def encode(self, genome: Float32, x: Float32) -> Float32:
        """The code of rows x, float32, shape (rows, latent size); a variational encoder's mean.

        Args:
            genome: of the encoder.
            x: rows, float32, shape (rows, n_dim).
        """
        outputs = self.encoder.outputs(genome, x)
        return outputs[-2] if self.variational else outputs[-1]

    def decode(self, genome: Float32, code: Float32) -> Float32:
        """The reconstruction from codes: float32, shape (rows, n_dim).

        Args:
            genome: of the decoder.
            code: float32, shape (rows, latent size).
        """
        return self.decoder.outputs(genome, code)[-1]


def build_architecture(
    environment: Environment, n_dim: int, hidden_sizes: tuple[int, ...], latent_size: int
) -> Architecture:
    """Lay out an environment for rows of `n_dim` values with the given layer widths."""
    return Architecture(
        encoder=_encoder(environment, n_dim, hidden_sizes, latent_size),
        decoder=chain(
            (*(f"hidden_{k}" for k in range(1, len(hidden_sizes) + 1)), "output"),
            (latent_size, *reversed(hidden_sizes), n_dim),
            "sigmoid",
        ),
        loss=environment.loss,
        input_noise=environment.input_noise,
        variational=environment.variational,
    )


def _encoder(
    environment: Environment, n_dim: int, hidden_sizes: tuple[int, ...], latent_size: int
) -> NetworkLayout:
    hidden = tuple(f"hidden_{k}" for k in range(1, len(hidden_sizes) + 1))
    if not environment.variational:
        last: Activation = "linear" if environment.linear_code else "relu"
        return chain((*hidden, "latent"), (n_dim, *hidden_sizes, latent_size), last)
    trunk = chain(hidden, (n_dim, *hidden_sizes), "relu").layers if hidden else ()
    width = hidden_sizes[-1] if hidden_sizes else n_dim
    heads = tuple(
        Layer(name, width, latent_size, "linear", reads=len(trunk) - 1)
        for name in ("mean", "log_variance")
    )
    return NetworkLayout((*trunk, *heads))


_MAX_WIDTH = 1_000_000


def _plugged(plugin: Plugin) -> Environment:
    """An environment of a user's: an `Environment`, or a function that makes one.

    Raises:
        UserError: the plug-in gives something else, or a field is out of bounds; the line says what
            to give.
    """
    if isinstance(plugin.value, Environment):
        return _checked(plugin, plugin.value)
    make = plugin.value
    if not (isinstance(make, type) and issubclass(make, Environment)):
        make = plugin.function()
    return settled(
        plugin, lambda: _checked(plugin, called(plugin, {}, lambda _: make())), operator.eq
    )


def _checked(plugin: Plugin, made: Any) -> Environment:
    """An environment whose fields are right.

    Raises:
        UserError: the value is no `Environment`, or a field is out of bounds; the line says what to
            give.
    """
    if not isinstance(made, Environment):
        raise plugin.error(
            f"gives a value of type {type(made).__name__}; it must be an "
            "aes_lipi.plugins.Environment, or a function without parameters that returns one"
        )
    for field, is_right, remedy in _facts(made):
        if not is_right:
            raise plugin.error(f"has {field} = {printable(repr(getattr(made, field)))}; {remedy}")
    return made


def _facts(made: Environment) -> tuple[tuple[str, bool, str], ...]:
    """Of every field whether it is right, and what would be."""
    sizes, losses = made.hidden_sizes, get_args(Loss)
    return (
        (
            "hidden_sizes",
            isinstance(sizes, tuple) and all(_is_width(size) for size in sizes),
            "give a tuple of whole numbers from 1, such as (60, 30)",
        ),
        ("latent_size", _is_width(made.latent_size), "give a whole number from 1"),
        ("variational", isinstance(made.variational, bool), "give True or False"),
        ("linear_code", isinstance(made.linear_code, bool), "give True or False"),
        (
            "loss",
            isinstance(made.loss, str) and made.loss in losses,
            f"give one of {', '.join(losses)}",
        ),
        (
            "loss",
            made.loss != "negative_elbo" or made.variational,
            "it is the loss of variational environments; set variational=True, or loss='l1'",
        ),
        ("input_noise", _is_spread(made.input_noise), "give a number from 0"),
    )


def _is_width(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_WIDTH


def _is_spread(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 <= value < math.inf


ENVIRONMENT = Kind("environment", _plugged, ENVIRONMENTS)
"""What `load` finds environments by."""
