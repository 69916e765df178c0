"""The engine that is right for every environment and device: torch, differentiated by autograd."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from aes_lipi.arrays import Float64, Int32
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.data.dataset import Dataset, Split
from aes_lipi.engine.autograd_stack import TrainingStack
from aes_lipi.engine.functional import Passed, code_of, l1_of, losses_of, parameters_of, run
from aes_lipi.engine.host import OnHost
from aes_lipi.engine.protocol import (
    Activations,
    ActivationsTask,
    EvaluateTask,
    Measure,
    Trained,
    TrainTask,
)


class AutogradEngine(OnHost):
    """Trains and evaluates stacks of models with torch.

    Args:
        architecture: layouts, loss and noise of the environment.
        dataset: its splits are kept on the device.
        batch_size: rows of a batch.
        device: `cpu` or `cuda`.

    Tasks are computed one after another, so that a task's bits do not depend on its stack: the
    reference for other engines, on any device.
    """

    def __init__(
        self, architecture: Architecture, dataset: Dataset, batch_size: int, device: str = "cpu"
    ) -> None:
        self.name = "autograd"
        self._architecture = architecture
        self._batch_size = batch_size
        self.device = device
        self._device = torch.device(device)
        splits: tuple[Split, ...] = ("train", "test", "validation")
        self._splits = {
            split: torch.from_numpy(np.array(dataset.split(split))).to(self._device)
            for split in splits
        }

    def train(self, tasks: Sequence[TrainTask]) -> list[Trained]:
        """Make every task's updates; see `Engine.train`."""
        rows = self._splits["train"]
        return [
            trained
            for task in tasks
            for trained in TrainingStack([task], self._architecture, rows, self._batch_size).train()
        ]

    @torch.no_grad()
    def loss_matrices(self, tasks: Sequence[EvaluateTask]) -> list[Float64]:
        """Loss of every encoder with every decoder; see `Engine.loss_matrices`."""
        return [self._loss_matrix(task) for task in tasks]

    def _loss_matrix(self, task: EvaluateTask) -> Float64:
        """Each encoder is run once, each decoder once on every code."""
        layout = self._architecture
        x = self._rows(task.split, task.rows).unsqueeze(0)
        decoders = parameters_of(self._stacked(task.decoders), layout.decoder)
        matrix = np.empty((len(task.encoders), len(task.decoders)))
        for i, encoder in enumerate(task.encoders):
            parameters = parameters_of(self._stacked((encoder,)), layout.encoder)
            encoded = run(layout.encoder, parameters, x)
            code = code_of(layout, encoded, None).expand(len(task.decoders), -1, -1)
            decoded = run(layout.decoder, decoders, code)
            matrix[i] = losses_of(layout, encoded, decoded, x).cpu().numpy()
        return matrix

    @torch.no_grad()
    def batch_losses(self, pairs: Sequence[Pair], split: Split, measure: Measure) -> list[Float64]:
        """Loss or L1 of every batch of a split in order; see `Engine.batch_losses`."""
        rows = self._splits[split]
        return [
            np.array(
                [
                    self._batch_loss(pair, rows[start : start + self._batch_size], measure)
                    for start in range(0, len(rows), self._batch_size)
                ]
            )
            for pair in pairs
        ]

    def _batch_loss(self, pair: Pair, rows: torch.Tensor, measure: Measure) -> float:
        x = rows.unsqueeze(0)
        encoded, decoded = self._passed(pair, x)
        if measure == "l1":
            return float(l1_of(decoded.outputs[-1], x))
        return float(losses_of(self._architecture, encoded, decoded, x))

    @torch.no_grad()
    def activations(self, tasks: Sequence[ActivationsTask]) -> list[Activations]:
        """Recorded activations of every pair; see `Engine.activations`."""
        seen = [
            self._passed(task.pair, self._rows(task.split, task.rows).unsqueeze(0))
            for task in tasks
        ]
        return [
            Activations(encoded.nodes()[0].cpu().numpy(), decoded.nodes()[0].cpu().numpy())
            for encoded, decoded in seen
        ]

    def _passed(self, pair: Pair, x: torch.Tensor) -> tuple[Passed, Passed]:
        """The pair's encoder on x (1, B, X), and its decoder on the code."""
        layout = self._architecture
        encoder = parameters_of(self._stacked((pair.encoder,)), layout.encoder)
        decoder = parameters_of(self._stacked((pair.decoder,)), layout.decoder)
        encoded = run(layout.encoder, encoder, x)
        return encoded, run(layout.decoder, decoder, code_of(layout, encoded, None))

    def _rows(self, split: Split, rows: Int32) -> torch.Tensor:
        return self._splits[split][torch.from_numpy(rows.astype(np.int64)).to(self._device)]

    def _stacked(self, networks: Sequence[Network]) -> torch.Tensor:
        genomes = np.stack([network.genome for network in networks])
        return torch.from_numpy(genomes).to(self._device)
