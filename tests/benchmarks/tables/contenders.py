"""What a table could be given to instead: nothing learnt, PCA, and networks in plain PyTorch.

All get the training rows in min-max units, have the same code width, and decide nothing on test
rows. Compute is processor seconds of this process while it trains.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from benchmarks.tables.data import Rows, Split

BATCH, RATE = 64, 3e-3
STEPS = 6000
"""Of every network in PyTorch."""


@dataclass(frozen=True)
class Outcome:
    """What a contender gives.

    Attributes:
        reconstruct: of rows.
        parameters: numbers that it holds.
        seconds: of processor, all of its training.
    """

    reconstruct: Callable[[Rows], Rows]
    parameters: int
    seconds: float


def constant(split: Split) -> Outcome:
    """The mean of every column."""
    mean = split.train.mean(axis=0)
    return Outcome(lambda rows: np.broadcast_to(mean, rows.shape), mean.size, 0.0)


def pca(split: Split, code: int) -> Outcome:
    """The leading principal axes."""
    started = time.process_time()
    mean = split.train.mean(axis=0)
    _, _, vectors = np.linalg.svd(split.train - mean, full_matrices=False)
    axes = vectors[:code]
    seconds = time.process_time() - started
    return Outcome(
        lambda rows: (rows - mean) @ axes.T @ axes + mean, axes.size + mean.size, seconds
    )


def network(n_dim: int, hidden: int, code: int) -> nn.Sequential:
    """The shape of an exported model: one hidden layer on either side, a linear code."""
    return nn.Sequential(
        *(nn.Linear(n_dim, hidden), nn.ReLU(), nn.Linear(hidden, code)),
        *(nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, n_dim)),
    )


def torch_cosine(split: Split, hidden: int, code: int, seed: int) -> Outcome:
    """A network of the exported size: Adam, squared error, a rate that falls along a cosine."""
    torch.manual_seed(seed)
    model = network(split.train.shape[1], hidden, code)
    started = time.process_time()
    _fit(model, split, STEPS, RATE, seed)
    return _outcome(model, started)


def torch_pruned(split: Split, hidden: int, left: int, code: int, seed: int) -> Outcome:
    """A larger network, trained, pruned to the exported size by magnitude, and fine-tuned."""
    import torch_pruning as tp  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415

    torch.manual_seed(seed)
    n_dim = split.train.shape[1]
    model = network(n_dim, hidden, code)
    started = time.process_time()
    _fit(model, split, STEPS // 2, RATE, seed)
    pruner = tp.pruner.MagnitudePruner(
        model,
        torch.zeros(1, n_dim),
        importance=tp.importance.MagnitudeImportance(p=2),
        pruning_ratio=1 - left / hidden,
        ignored_layers=[model[2], model[5]],
    )
    pruner.step()
    _fit(model, split, STEPS // 2, RATE / 3, seed + 1)
    return _outcome(model, started)


def _fit(model: nn.Sequential, split: Split, steps: int, rate: float, seed: int) -> None:
    """Train, and leave the model with the weights that were best on validation rows."""
    x, held_out = (torch.tensor(rows, dtype=torch.float32) for rows in split[:2])
    draw = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    best, kept = np.inf, None
    for step in range(steps):
        rows = x[draw.integers(0, len(x), min(BATCH, len(x)))]
        optimiser.zero_grad()
        nn.functional.mse_loss(model(rows), rows).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        decay.step()
        if (step + 1) % (steps // 20) == 0:
            with torch.no_grad():
                loss = float(nn.functional.mse_loss(model(held_out), held_out))
            if loss < best:
                best, kept = loss, {k: v.clone() for k, v in model.state_dict().items()}
    if kept is not None:
        model.load_state_dict(kept)


def _outcome(model: nn.Sequential, started: float) -> Outcome:
    seconds = time.process_time() - started

    def reconstruct(rows: Rows) -> Rows:
        with torch.no_grad():
            found = model(torch.tensor(rows, dtype=torch.float32))
        return np.asarray(found, np.float64)

    return Outcome(reconstruct, sum(each.numel() for each in model.parameters()), seconds)
