"""Which engine computes a variant."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Literal

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.config import Variant
from aes_lipi.data.dataset import Dataset
from aes_lipi.engine.protocol import Engine
from aes_lipi.errors import UserError
from aes_lipi.extension import load
from aes_lipi.optional import is_installed, not_installed

_BLAS_BATCH, _BLAS_WIDTH = 256, 300

_EngineName = Literal["dense", "torch"]


def choose_engine(variant: Variant, architecture: Architecture, dataset: Dataset) -> Engine:
    """Make the engine that a variant asks for; `auto` takes the fastest that fits.

    Raises:
        UserError: dense cannot train this environment, or not on a GPU; use torch. Or torch is not
            installed, or there is no GPU here; use the CPU.
    """
    if engine_name(variant, architecture) == "dense":
        from aes_lipi.engine.dense import DenseEngine  # noqa: PLC0415 - numba is slow to import

        return DenseEngine(architecture, dataset, variant.batch_size)
    _check_torch(variant, architecture)
    from aes_lipi.engine.torch import TorchEngine  # noqa: PLC0415 - torch is slow to import

    return TorchEngine(architecture, dataset, variant.batch_size, choose_device(variant))


def check_engine(variant: Variant, architecture: Architecture) -> None:
    """Find out whether a variant's engine and device can be had, without making them.

    Raises:
        UserError: dense cannot train this environment or loss, or not on a GPU; use torch. Or torch
            is not installed, or there is no GPU here; use the CPU.
    """
    if engine_name(variant, architecture) == "dense":
        return
    _check_torch(variant, architecture)
    if variant.device == "cuda":
        choose_device(variant)


def check_loss(variant: Variant, architecture: Architecture) -> None:
    """Try a loss of the user's, wherever the variant will be computed; not without torch.

    Raises:
        UserError: it breaks a rule; the line says which.
    """
    if "loss" in variant.added and is_installed("torch"):
        from aes_lipi.engine.torch.losses import LOSS  # noqa: PLC0415 - torch is slow to import

        load(LOSS, architecture.loss)


def engine_name(variant: Variant, architecture: Architecture) -> _EngineName:
    """The engine that computes a variant on this machine.

    `auto` is `dense` wherever that fits and is fastest, and no GPU is asked for, so that a study
    has the same bits on machines with a GPU and without; otherwise `torch`, whether it is installed
    or not: what is missing never changes bits.

    Raises:
        UserError: dense cannot train this environment, or not on a GPU; use torch.
    """
    if variant.engine == "dense":
        _check_dense(variant, architecture)
    if variant.engine != "auto":
        return variant.engine
    if variant.device != "cuda" and _dense_is_fastest(variant, architecture):
        return "dense"
    return "torch"


def _check_dense(variant: Variant, architecture: Architecture) -> None:
    """Whether the engine `dense` can do what a variant asks of it.

    Raises:
        UserError: dense trains no such environment or loss, or the device is a GPU; use torch.
    """
    from aes_lipi.engine.dense import fits  # noqa: PLC0415 - numba is slow to import

    if not fits(architecture):
        what = variant.environment if variant.loss is None else f"with loss {architecture.loss}"
        raise UserError(f"engine: dense cannot train {what}; use --engine torch")
    if variant.device == "cuda":
        raise UserError("engine: dense computes on the CPU; use --engine torch with cuda")


def _check_torch(variant: Variant, architecture: Architecture) -> None:
    """Whether torch is there for a variant that it is to compute.

    Raises:
        UserError: it is not; install it, or take `dense` where that can compute the variant.
    """
    if is_installed("torch"):
        return
    if variant.engine == "torch":
        raise not_installed("--engine torch", "torch", "torch")
    if variant.device == "cuda":
        raise not_installed("--device cuda", "torch", "torch")
    from aes_lipi.engine.dense import fits  # noqa: PLC0415 - numba is slow to import

    what = f"--engine auto, for {variant.environment} with loss {architecture.loss},"
    if not fits(architecture):
        raise not_installed(what, "torch", "torch")
    error = not_installed("--engine auto, for layers and batches this large,", "torch", "torch")
    raise UserError(f"{error}, or give --engine dense, which is slower and has other bits")


def _dense_is_fastest(variant: Variant, architecture: Architecture) -> bool:
    from aes_lipi.engine.dense import fits  # noqa: PLC0415 - numba is slow to import

    return fits(architecture) and not _blas_wins(variant.batch_size, architecture)


def _blas_wins(batch_size: int, architecture: Architecture) -> bool:
    """Whether wide layers and large batches make torch's BLAS faster than the fused kernel.

    As measured by tests/benchmarks/crossover.py.
    """
    widths = (*architecture.encoder.hidden_sizes, *architecture.decoder.hidden_sizes)
    return batch_size >= _BLAS_BATCH and max(widths, default=0) >= _BLAS_WIDTH


def compile_ahead(variants: Iterable[Variant]) -> None:
    """Compile what variants will need, once, before many processes would all do it."""
    if any(
        variant.engine in ("auto", "dense") and variant.device != "cuda" for variant in variants
    ):
        from aes_lipi.engine.dense import compile_kernels  # noqa: PLC0415 - numba is slow to import

        compile_kernels()


def kernel_remarks() -> list[str]:
    """What a user should know of the kernels of this process and was not told yet, in lines."""
    target = sys.modules.get("aes_lipi.engine.dense.target")  # numba is slow to import
    found: list[str] = [] if target is None else target.remarks()
    return found


def choose_device(variant: Variant) -> str:
    """Where torch computes a variant: `cpu` or `cuda`.

    Raises:
        UserError: a GPU is asked for and torch finds none here; use --device cpu.
    """
    if variant.device == "cpu":
        return "cpu"
    import torch  # noqa: PLC0415 - slow to import

    available = torch.cuda.is_available()
    if variant.device == "cuda" and not available:
        raise UserError("device: cuda asked for, but torch finds no GPU here; use --device cpu")
    return "cuda" if available else "cpu"
