"""Which engine computes a variant."""

from __future__ import annotations

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.config import Variant
from aes_lipi.datasets.dataset import Dataset
from aes_lipi.engine.protocol import Engine
from aes_lipi.errors import UserError


def choose_engine(variant: Variant, architecture: Architecture, dataset: Dataset) -> Engine:
    """Make the engine that a variant asks for; `auto` takes the fastest that fits.

    Raises:
        UserError: the engine or the device asked for cannot serve this variant here.
    """
    from aes_lipi.engine.autograd import AutogradEngine  # noqa: PLC0415 - torch is slow to import

    return AutogradEngine(architecture, dataset, variant.batch_size, choose_device(variant))


def choose_device(variant: Variant) -> str:
    """Where torch computes a variant: `cpu` or `cuda`.

    Raises:
        UserError: a GPU is asked for and there is none.
    """
    if variant.device == "cpu":
        return "cpu"
    import torch  # noqa: PLC0415 - slow to import

    available = torch.cuda.is_available()
    if variant.device == "cuda" and not available:
        raise UserError("device: cuda asked for, but torch finds no GPU here; use --device cpu")
    return "cuda" if available else "cpu"
