"""Networks and optimisers on a device: only what is asked of them comes back to this process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.network import Mask, Network
from aes_lipi.engine.protocol import Moments


class DeviceGenomes:
    """Genomes on a device, one per row, and what is known of them all.

    Args:
        rows: (N, P), never changed any more.
        here: the same in this process, if they are at hand.

    Attributes:
        each: the rows, (P,) each.
        n_zero: of every row the number of zeros.
        finite: of every row whether all its entries are finite.
    """

    def __init__(self, rows: Tensor, here: Float32 | None = None) -> None:
        self.each = rows.unbind()
        self.here = here
        self.n_zero: list[int]
        self.finite: list[bool]
        if here is not None:
            self.n_zero = (here.shape[1] - np.count_nonzero(here, axis=1)).tolist()
            self.finite = [bool(np.isfinite(row).all()) for row in here]
            return
        n_zero = rows.shape[1] - torch.count_nonzero(rows, 1)
        finite = torch.isfinite(rows.sum(1, dtype=torch.float64))
        known = torch.stack([n_zero, finite.long()]).cpu()
        self.n_zero, self.finite = known[0].tolist(), known[1].bool().tolist()


class DeviceNetwork(Network):
    """A network whose weights lie on a device; they are fetched when they are asked for.

    Args:
        genomes: where its weights are.
        k: which row.
        alive: the mask on the device, bool, (P,); None while nothing is frozen.
        n_pruned: see `Network`.
    """

    _genomes: DeviceGenomes
    _k: int
    _alive: Tensor | None

    def __init__(self, genomes: DeviceGenomes, k: int, alive: Tensor | None, n_pruned: int) -> None:
        self.__dict__.update(_genomes=genomes, _k=k, _alive=alive, n_pruned=n_pruned)

    @property
    def row(self) -> Tensor:
        """Its weights on the device, (P,)."""
        return self._genomes.each[self._k]

    @property
    def is_here(self) -> bool:
        """Whether its weights are at hand in this process."""
        return "genome" in self.__dict__ or self._genomes.here is not None

    @property
    def alive(self) -> Tensor | None:
        """Its mask on the device, bool, (P,)."""
        return self._alive

    @cached_property
    def genome(self) -> Float32:
        """Its weights in this process."""
        here = self._genomes.here
        return _array(self.row) if here is None else here[self._k]

    @cached_property
    def mask(self) -> Mask | None:
        """See `Network`."""
        return None if self.alive is None else _array(self.alive)

    @property
    def is_masked(self) -> bool:
        """See `Network`."""
        return self.alive is not None

    @property
    def size(self) -> int:
        """See `Network`."""
        return self.row.numel()

    @property
    def n_zero(self) -> int:
        """See `Network`."""
        return self._genomes.n_zero[self._k]

    @property
    def is_finite(self) -> bool:
        """See `Network`."""
        return self._genomes.finite[self._k]

    def with_genome(self, genome: Float32) -> Network:
        """See `Network`; its weights are in this process."""
        return Network(genome, self.mask, self.n_pruned)

    def __reduce__(self) -> tuple[Any, ...]:
        """Elsewhere it is an ordinary network."""
        return Network, (self.genome, self.mask, self.n_pruned)


class DeviceMoments(Moments):
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


def to_device(networks: Sequence[Network], device: torch.device) -> list[DeviceNetwork]:
    """The same networks on a device; those that lie there are not sent again."""
    held: dict[int, DeviceNetwork] = {}
    by_size: dict[int, list[int]] = {}
    for k, network in enumerate(networks):
        if isinstance(network, DeviceNetwork) and network.row.device == device:
            held[k] = network
        else:
            by_size.setdefault(network.size, []).append(k)
    for members in by_size.values():
        here = np.stack([networks[k].genome for k in members])
        genomes = DeviceGenomes(sent(here, device), here)
        for place, k in enumerate(members):
            mask = networks[k].mask
            alive = None if mask is None else sent(mask, device)
            held[k] = DeviceNetwork(genomes, place, alive, networks[k].n_pruned)
    return [held[k] for k in range(len(networks))]


def to_host(networks: Iterable[Network]) -> None:
    """Fetch those weights that are not in this process yet, all of a size at once."""
    by_size: dict[int, list[DeviceNetwork]] = {}
    for network in networks:
        if isinstance(network, DeviceNetwork) and not network.is_here:
            by_size.setdefault(network.size, []).append(network)
    for members in by_size.values():
        genomes = _array(torch.stack([network.row for network in members]))
        for network, genome in zip(members, genomes, strict=True):
            network.__dict__["genome"] = genome


def means_of(moments: Moments, device: torch.device) -> tuple[Tensor, Tensor]:
    """Both running means on a device, sent only if they are not there already."""
    if isinstance(moments, DeviceMoments):
        return moments.on_device
    return sent(moments.first, device), sent(moments.second, device)


def sent(array: np.ndarray, device: torch.device) -> Tensor:
    """A copy on a device, also where that is this process's memory."""
    return torch.tensor(array, device=device)


def _array(tensor: Tensor) -> np.ndarray:
    """A copy in this process, which no training changes."""
    array: np.ndarray = tensor.to("cpu", copy=True).numpy()
    return array
