"""The autoencoders a study can train ("environments"), algorithm sections 2 and 10.

An environment is data: layer widths, what the encoder's head looks like, which loss it is trained
with and which noise it trains under. Engines read these facts; nothing else knows the names.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any, get_args

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.network import OUTPUT, Activation, Layer, NetworkLayout, chain
from aes_lipi.config.variant import HiddenActivation, LossName, OutputActivation
from aes_lipi.errors import UserError, printable
from aes_lipi.extension import Kind, Plugin, called, settled

HUBER_LIMIT = 0.1
"""Where Huber's loss becomes a line: a tenth of what a column spans."""

OF_PROBABILITIES = ("bce", "negative_elbo")
"""Losses of outputs between 0 and 1 alone: they take the logarithm of both sides."""


@dataclass(frozen=True)
class Environment:
    """What distinguishes one kind of autoencoder.

    Attributes:
        hidden_sizes: widths of the encoder's hidden layers; the decoder mirrors them.
        latent_size: width of the latent code.
        variational: the encoder ends in two linear heads, mean and log-variance of the code.
        loss: what it is trained with, and chosen by. Means over batch and dimensions: `l1`, of the
            absolute error; `mse`, of its square; `huber`, half the square up to `HUBER_LIMIT` and a
            line beyond; `bce`, of the binary cross-entropy. `negative_elbo`: the summed binary
            cross-entropy plus the Kullback-Leibler divergence to N(0, I).
        input_noise: standard deviation of the Gaussian noise on the input while training.
        linear_code: the code's values may be any numbers; otherwise they have the hidden layers'
            activation.
        hidden_activation: of the hidden layers of encoder and decoder.
        output_activation: of the reconstruction.
    """

    hidden_sizes: tuple[int, ...] = (30,)
    latent_size: int = 10
    variational: bool = False
    loss: LossName = "l1"
    input_noise: float = 0.0
    linear_code: bool = False
    hidden_activation: HiddenActivation = "relu"
    output_activation: OutputActivation = "sigmoid"


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
        decoder: layers from the code back to the data; the last is named `OUTPUT`.
        loss: see `Environment`; or the path of a user's own.
        input_noise: see `Environment`.
        variational: see `Environment`.
    """

    encoder: NetworkLayout
    decoder: NetworkLayout
    loss: str
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
        return (self.n_dim if self.has_noisy_input else 0) + (
            self.latent_size if self.variational else 0
        )

    @property
    def has_noisy_input(self) -> bool:
        """Whether training rows have noise: as far as float32 has a number for its spread."""
        return self.input_noise >= 2.0**-126

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
    environment: Environment,
    n_dim: int,
    hidden_sizes: tuple[int, ...],
    latent_size: int,
    loss: str | None = None,
) -> Architecture:
    """Lay out an environment for rows of `n_dim` values with the given layer widths.

    Args:
        environment: what is laid out.
        n_dim: width of a data row.
        hidden_sizes: widths of the encoder's hidden layers.
        latent_size: width of the code.
        loss: by default the environment's; see `Architecture`.
    """
    return Architecture(
        encoder=_encoder(environment, n_dim, hidden_sizes, latent_size),
        decoder=chain(
            (*(f"hidden_{k}" for k in range(1, len(hidden_sizes) + 1)), OUTPUT),
            (latent_size, *reversed(hidden_sizes), n_dim),
            environment.output_activation,
            environment.hidden_activation,
        ),
        loss=environment.loss if loss is None else loss,
        input_noise=environment.input_noise,
        variational=environment.variational,
    )


def _encoder(
    environment: Environment, n_dim: int, hidden_sizes: tuple[int, ...], latent_size: int
) -> NetworkLayout:
    hidden = tuple(f"hidden_{k}" for k in range(1, len(hidden_sizes) + 1))
    activation = environment.hidden_activation
    if not environment.variational:
        last: Activation = "linear" if environment.linear_code else activation
        return chain((*hidden, "latent"), (n_dim, *hidden_sizes, latent_size), last, activation)
    widths = (n_dim, *hidden_sizes)
    trunk = chain(hidden, widths, activation, activation).layers if hidden else ()
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
    for field, is_right, remedy in (*_facts(made), *_agreements(made)):
        if not is_right:
            raise plugin.error(f"has {field} = {printable(repr(getattr(made, field)))}; {remedy}")
    return made


_Facts = tuple[tuple[str, bool, str], ...]
"""Of fields whether they are right, and what would be."""


def check_agreement(environment: Environment) -> None:
    """Make sure that an environment's loss fits what it puts out.

    Raises:
        UserError: the loss needs another encoder or output; the line says what to give.
    """
    for field, is_right, remedy in _agreements(environment):
        if not is_right:
            raise UserError(f"{field}: {getattr(environment, field)}; {remedy}")


def _agreements(made: Environment) -> _Facts:
    return (
        (
            "loss",
            made.loss != "negative_elbo" or made.variational,
            "it is the loss of variational environments; take one of these, or loss l1",
        ),
        (
            "loss",
            made.loss not in OF_PROBABILITIES or made.output_activation == "sigmoid",
            "it is a loss of outputs between 0 and 1; take output_activation sigmoid, or loss mse",
        ),
    )


def _facts(made: Environment) -> _Facts:
    sizes = made.hidden_sizes
    return (
        (
            "hidden_sizes",
            isinstance(sizes, tuple) and all(_is_width(size) for size in sizes),
            "give a tuple of whole numbers from 1, such as (60, 30)",
        ),
        ("latent_size", _is_width(made.latent_size), "give a whole number from 1"),
        ("variational", isinstance(made.variational, bool), "give True or False"),
        ("linear_code", isinstance(made.linear_code, bool), "give True or False"),
        _choice(made, "loss", get_args(LossName)),
        _choice(made, "hidden_activation", get_args(HiddenActivation)),
        _choice(made, "output_activation", get_args(OutputActivation)),
        ("input_noise", _is_spread(made.input_noise), "give a number from 0"),
    )


def _choice(made: Environment, field: str, known: tuple[str, ...]) -> tuple[str, bool, str]:
    value = getattr(made, field)
    is_known = isinstance(value, str) and value in known
    return field, is_known, f"give one of {', '.join(known)}"


def _is_width(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_WIDTH


def _is_spread(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 <= value < math.inf


ENVIRONMENT = Kind("environment", _plugged, ENVIRONMENTS)
"""What `load` finds environments by."""
