"""What an engine is asked for and answers: the only way the ring reaches arithmetic.

Every request is made for a stack (a sequence) of independent tasks, which an engine may batch.
On the CPU, the answer for a task never depends, not in one bit, on the other tasks of its stack.
Engines never change an array that they are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from aes_lipi.arrays import Float32, Float64, Int32
from aes_lipi.autoencoders.network import ActivationStatistics, Network, Pair
from aes_lipi.data.dataset import Split

Measure = Literal["loss", "l1", "mse"]

ADAM_BETAS = (0.5, 0.999)
ADAM_EPSILON = 1e-8


@dataclass(frozen=True)
class Updates:
    """The training updates of one task, in the order they are made.

    Update s trains encoder `encoder[s]` and decoder `decoder[s]` of the task, both, on the training
    rows `rows[s]`, with learning rate `learning_rate[s]`.

    Attributes:
        rows: indices of training rows, shape (S, B); -1 at the end of a row pads a smaller batch.
        encoder: shape (S,).
        decoder: shape (S,).
        learning_rate: float64, shape (S,).
    """

    rows: Int32
    encoder: Int32
    decoder: Int32
    learning_rate: Float64


@dataclass(frozen=True)
class Moments:
    """The state of a kept Adam optimiser for one network.

    Attributes:
        first: running mean of the gradient, float32, shape (P,).
        second: running mean of the squared gradient, float32, shape (P,).
        steps: updates made so far.
    """

    first: Float32
    second: Float32
    steps: int

    @staticmethod
    def zero(size: int) -> Moments:
        """The state before the first update."""
        return Moments(np.zeros(size, np.float32), np.zeros(size, np.float32), 0)


@dataclass(frozen=True)
class TrainTask:
    """Networks to train and the updates to make.

    Attributes:
        encoders: E networks.
        decoders: D networks.
        updates: what is trained on what, in order.
        encoder_moments: one per encoder for an Adam that is kept; None for a new Adam at every
            update, for which a step is exactly w - lr * g / (|g| + eps).
        decoder_moments: one per decoder; None exactly where `encoder_moments` is.
        noise: source of the standard normal values of environments that train under noise:
            update after update, `rows x Architecture.noise_width` values, row by row, drawn with
            `standard_normal(dtype=float32)`. None where `noise_width` is 0.
        observe: gather activation statistics of every network over its updates.
        measure: give the loss of every update's batch.
    """

    encoders: tuple[Network, ...]
    decoders: tuple[Network, ...]
    updates: Updates
    encoder_moments: tuple[Moments, ...] | None = None
    decoder_moments: tuple[Moments, ...] | None = None
    noise: np.random.Generator | None = None
    observe: bool = False
    measure: bool = False


@dataclass(frozen=True)
class Trained:
    """What training made of a task's networks, each tuple in the task's order.

    Statistics and losses, float64, shape (S,), are of the forward pass of each update, under its
    noise and before its weights move; None where the task did not ask for them. A network that no
    update touched has statistics of count 0.
    """

    encoders: tuple[Network, ...]
    decoders: tuple[Network, ...]
    encoder_moments: tuple[Moments, ...] | None
    decoder_moments: tuple[Moments, ...] | None
    encoder_statistics: tuple[ActivationStatistics, ...] | None
    decoder_statistics: tuple[ActivationStatistics, ...] | None
    losses: Float64 | None = None


@dataclass(frozen=True)
class EvaluateTask:
    """Encoders and decoders to evaluate against each other on the same rows.

    Attributes:
        encoders: E networks.
        decoders: D networks.
        rows: indices of rows of the split, shape (B,).
        split: which rows.
        code_noise: standard normal values that a variational code is drawn with, of every pair its
            own, float32, shape (E, D, B, Z); None for its mean.
    """

    encoders: tuple[Network, ...]
    decoders: tuple[Network, ...]
    rows: Int32
    split: Split = "train"
    code_noise: Float32 | None = None


@dataclass(frozen=True)
class ActivationsTask:
    """A pair whose activations on some rows are asked for.

    Attributes:
        pair: the encoder, and the decoder that is fed with its code.
        rows: indices of rows of the split, shape (B,).
        split: which rows.
        code_noise: see `EvaluateTask`; shape (B, Z).
    """

    pair: Pair
    rows: Int32
    split: Split = "train"
    code_noise: Float32 | None = None


@dataclass(frozen=True)
class Activations:
    """Recorded activations of a pair on some rows: see `ActivationStatistics` for what is recorded.

    Attributes:
        encoder: float32, shape (rows, nodes of the encoder).
        decoder: float32, shape (rows, nodes of the decoder), fed with the encoder's code.
    """

    encoder: Float32
    decoder: Float32


class Engine(Protocol):
    """Trains and evaluates stacks of autoencoders on one data set.

    Outside training no noise is added to rows.
    """

    name: str
    device: str

    def train(self, tasks: Sequence[TrainTask]) -> list[Trained]:
        """Make every task's updates."""
        ...

    def loss_matrices(self, tasks: Sequence[EvaluateTask]) -> list[Float64]:
        """Per task the architecture's loss of encoder i with decoder j, shape (E, D)."""
        ...

    def batch_losses(
        self,
        pairs: Sequence[Pair],
        split: Split,
        measure: Measure,
        order: Int32 | None = None,
        code_noise: Sequence[Float32 | None] | None = None,
    ) -> list[Float64]:
        """Per pair the architecture's loss, or another measure, of every batch of a split.

        Args:
            pairs: to measure.
            split: which rows.
            measure: the architecture's loss, L1 or the mean squared error.
            order: in which order the split's rows are taken, shape (rows,); None for their own.
            code_noise: of every pair, see `EvaluateTask`, for its rows in that order; shape
                (rows, Z) each, or None.

        Returns:
            shape (ceil(rows / batch_size),) per pair.
        """
        ...

    def activations(self, tasks: Sequence[ActivationsTask]) -> list[Activations]:
        """Per task the recorded activations of its pair on its rows."""
        ...

    def hold(self, networks: Sequence[Network]) -> list[Network]:
        """The same networks, kept where the engine computes.

        Networks that come out of training are there already.
        """
        ...

    def fetch(self, networks: Sequence[Network]) -> None:
        """Have the weights of all these networks at hand in this process, in one go.

        Without it, each is fetched when its `genome` is asked for.
        """
        ...

    def release(self) -> None:
        """Give back memory that is kept for later use."""
        ...

    def is_lost(self) -> bool:
        """Whether the device has failed in a way from which this process cannot recover."""
        ...


class OnHost:
    """An engine that keeps networks nowhere but in this process."""

    def hold(self, networks: Sequence[Network]) -> list[Network]:
        """The networks as they are; see `Engine.hold`."""
        return list(networks)

    def fetch(self, networks: Sequence[Network]) -> None:
        """Nothing to do; see `Engine.fetch`."""

    def release(self) -> None:
        """Nothing to do; see `Engine.release`."""

    def is_lost(self) -> bool:
        """Never; see `Engine.is_lost`."""
        return False
