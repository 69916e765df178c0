"""Networks that stay on the device: only what is asked of them comes back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.network import Mask, Network
from aes_lipi.engine.protocol import Moments


class Rows:
    """Genomes on a device, one per row, and what is known of them all.

    Args:
        genomes: (N, P), never changed any more.
        here: the same in this process, if they are at hand.
    """

    def __init__(self, genomes: Tensor, here: Float32 | None = None) -> None:
        self.genomes = genomes
        self.each = genomes.unbind()
        self.here = here

        self.n_zero: list[int] = []
        self.finite: list[bool] = []

    def look(self) -> None:
        """Find out of every row the number of zeros, and whether all its entries are finite."""
        if self.here is not None:
            zeros = self.here.shape[1] - np.count_nonzero(self.here, axis=1)
            self.n_zero = zeros.tolist()
            self.finite = [bool(np.isfinite(row).all()) for row in self.here]
            return
        n_zero = self.genomes.shape[1] - torch.count_nonzero(self.genomes, 1)
        finite = torch.isfinite(self.genomes.sum(1, dtype=torch.float64))
        known = torch.stack([n_zero, finite.long()]).cpu()
        self.n_zero, self.finite = known[0].tolist(), known[1].bool().tolist()


class ResidentNetwork(Network):
    """A network whose weights lie on a device; they are fetched when they are asked for.

    Args:
        rows: where its weights are.
        k: which row.
        alive: the mask on the device, bool, (P,); None while nothing is frozen.
        n_pruned: see `Network`.
    """

    _rows: Rows
    _k: int
    _alive: Tensor | None

    def __init__(self, rows: Rows, k: int, alive: Tensor | None, n_pruned: int) -> None:
        self.__dict__.update(_rows=rows, _k=k, _alive=alive, n_pruned=n_pruned)

    @property
    def row(self) -> Tensor:
        """Its weights on the device, (P,)."""
        return self._rows.each[self._k]

    @property
    def is_here(self) -> bool:
        """Whether its weights are at hand in this process."""
        return "genome" in self.__dict__ or self._rows.here is not None

    @property
    def alive(self) -> Tensor | None:
        """Its mask on the device, bool, (P,)."""
        return self._alive

    @cached_property
    def genome(self) -> Float32:
        """Its weights in this process."""
        return _array(self.row) if self._rows.here is None else self._rows.here[self._k]

    @cached_property
    def mask(self) -> Mask | None:
        """See `Network`."""
        return None if self.alive is None else _array(self.alive)

    @property
    def size(self) -> int:
        """See `Network`."""
        return self.row.numel()

    @property
    def n_zero(self) -> int:
        """See `Network`."""
        return self._rows.n_zero[self._k]

    @property
    def is_finite(self) -> bool:
        """See `Network`."""
        return self._rows.finite[self._k]

    def with_genome(self, genome: Float32) -> Network:
        """See `Network`; its weights are in this process."""
        return Network(genome, self.mask, self.n_pruned)

    def __reduce__(self) -> tuple[Any, ...]:
        """Elsewhere it is an ordinary network."""
        return Network, (self.genome, self.mask, self.n_pruned)


class ResidentMoments(Moments):
    """The state of an optimiser that lies on a device, fetched when it is asked for.

    Args:
        on_device: running means of the gradient and of its square, (P,) each.
        steps: see `Moments`.
    """

    _on_device: tuple[Tensor, Tensor]

    def __init__(self, on_device: tuple[Tensor, Tensor], steps: int) -> None:
        self.__dict__.update(_on_device=on_device, steps=steps)

    @property
    def on_device(self) -> tuple[Tensor, Tensor]:
        """Both means on the device, (P,) each."""
        return self._on_device

    @cached_property
    def first(self) -> Float32:
        """See `Moments`."""
        return _array(self.on_device[0])

    @cached_property
    def second(self) -> Float32:
        """See `Moments`."""
        return _array(self.on_device[1])

    def __reduce__(self) -> tuple[Any, ...]:
        """Elsewhere they are ordinary moments."""
        return Moments, (self.first, self.second, self.steps)


class Store:
    """Sends networks to a device and fetches them.

    Args:
        device: where they are kept.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = torch.empty(0, device=device).device  # with its number

    def hold(self, networks: Sequence[Network]) -> list[ResidentNetwork]:
        """The same networks on the device; those that lie there are not sent again."""
        new = [k for k, network in enumerate(networks) if not self._has(network)]
        held: dict[int, ResidentNetwork] = {}
        by_size: dict[int, list[int]] = {}
        for k in new:
            by_size.setdefault(networks[k].size, []).append(k)
        for members in by_size.values():
            genomes = np.stack([networks[k].genome for k in members])
            rows = Rows(self._sent(genomes), genomes)
            rows.look()
            for place, k in enumerate(members):
                mask = networks[k].mask
                alive = None if mask is None else self._sent(mask)
                held[k] = ResidentNetwork(rows, place, alive, networks[k].n_pruned)
        return [held.get(k) or _resident(network) for k, network in enumerate(networks)]

    def fetch(self, networks: Sequence[Network]) -> None:
        """Fetch those weights that are not here yet, all of a size at once."""
        by_size: dict[int, list[ResidentNetwork]] = {}
        for network in networks:
            if isinstance(network, ResidentNetwork) and not network.is_here:
                by_size.setdefault(network.size, []).append(network)
        for members in by_size.values():
            genomes = _array(torch.stack([network.row for network in members]))
            for network, genome in zip(members, genomes, strict=True):
                network.__dict__["genome"] = genome

    def _has(self, network: Network) -> bool:
        return isinstance(network, ResidentNetwork) and network.row.device == self._device

    def _sent(self, array: np.ndarray) -> Tensor:
        """A copy on the device, also where that is this process's memory."""
        return torch.tensor(array, device=self._device)


def is_masked(network: Network) -> bool:
    """Whether anything is frozen in a network; nothing is fetched for that."""
    if isinstance(network, ResidentNetwork):
        return network.alive is not None
    return network.mask is not None


def _resident(network: Network) -> ResidentNetwork:
    if not isinstance(network, ResidentNetwork):
        raise TypeError("not on the device")
    return network


def _array(tensor: Tensor) -> np.ndarray:
    """A copy in this process, which no training changes."""
    array: np.ndarray = tensor.to("cpu", copy=True).numpy()
    return array
