"""What is remembered of a network's activations over batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aes_lipi.arrays import Float32, Float64


@dataclass(frozen=True)
class ActivationStatistics:
    """Mean and spread of recorded activations, per batch slot and node, over the batches seen.

    Recorded is the output of a layer after ReLU, or before a sigmoid (algorithm section 5).

    Attributes:
        count: batches that had this slot, shape (B,).
        mean: shape (B, U), U the nodes of all layers in order.
        m2: sum of squared deviations from the mean, shape (B, U).
    """

    count: Float64
    mean: Float64
    m2: Float64

    @staticmethod
    def of_batch(activations: Float32, batch_size: int) -> ActivationStatistics:
        """The statistics of a single batch of at most `batch_size` rows, shape (rows, U)."""
        count = np.zeros(batch_size)
        mean = np.zeros((batch_size, activations.shape[1]))
        count[: len(activations)] = 1.0
        mean[: len(activations)] = activations
        return ActivationStatistics(count, mean, np.zeros_like(mean))

    def merged(self, other: ActivationStatistics) -> ActivationStatistics:
        """The statistics of both sets of batches together (Chan, Golub and LeVeque, 1979)."""
        count = self.count + other.count
        safe = np.maximum(count, 1.0)[:, None]
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count[:, None] / safe)
        m2 = self.m2 + other.m2 + delta**2 * (self.count * other.count)[:, None] / safe
        return ActivationStatistics(count, mean, m2)

    def standard_deviation(self) -> Float64:
        """Standard deviation over batches, shape (B, U); 0 for a slot never seen."""
        deviation: Float64 = np.sqrt(self.m2 / np.maximum(self.count, 1.0)[:, None])
        return deviation
