"""Compiling ahead: once, before many processes start and would all compile the same."""

from __future__ import annotations

import numpy as np

from aes_lipi.autoencoders.environments import Environment, build_architecture
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.data.dataset import Dataset
from aes_lipi.engine.dense.engine import DenseEngine
from aes_lipi.engine.protocol import ActivationsTask, EvaluateTask, TrainTask, Updates


def compile_kernels() -> None:
    """Compile every entry point of the dense engine, or load it from the cache.

    Kernels are compiled once for all architectures, so the smallest will do.
    """
    architecture = build_architecture(Environment(), 2, (), 1)
    rows = np.zeros((1, 2), np.float32)
    engine = DenseEngine(architecture, Dataset("", rows, rows, rows), batch_size=1)
    encoder = Network(np.zeros(architecture.encoder.size, np.float32))
    decoder = Network(np.zeros(architecture.decoder.size, np.float32))
    first = np.zeros(1, np.int32)
    updates = Updates(first[None], first, first, np.zeros(1))
    engine.train([TrainTask((encoder,), (decoder,), updates)])
    engine.loss_matrices([EvaluateTask((encoder,), (decoder,), first)])
    engine.batch_losses([Pair(encoder, decoder)], "train", "l1")
    engine.activations([ActivationsTask(Pair(encoder, decoder), first)])
