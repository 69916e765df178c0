"""Which engine computes a variant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.config import Variant
from aes_lipi.data.dataset import Dataset
from aes_lipi.engine.protocol import Engine
from aes_lipi.errors import UserError

BLAS_BATCH, BLAS_WIDTH = 256, 300

EngineName = Literal["dense", "autograd", "batched"]


def choose_engine(variant: Variant, architecture: Architecture, dataset: Dataset) -> Engine:
    """Make the engine that a variant asks for; `auto` takes the fastest that fits.

    Raises:
        UserError: the engine or the device asked for cannot serve this variant here.
    """
    name = engine_name(variant, architecture)
    if name == "dense":
        from aes_lipi.engine.dense import DenseEngine  # noqa: PLC0415 - numba is slow to import

        return DenseEngine(architecture, dataset, variant.batch_size)
    device = choose_device(variant)
    if name == "batched":
        from aes_lipi.engine.torch import BatchedEngine  # noqa: PLC0415 - torch is slow to import

        return BatchedEngine(architecture, dataset, variant.batch_size, device)
    from aes_lipi.engine.autograd import AutogradEngine  # noqa: PLC0415 - torch is slow to import

    return AutogradEngine(architecture, dataset, variant.batch_size, device)


def check_engine(variant: Variant, architecture: Architecture) -> None:
    """Find out whether a variant's engine and device can be had, without making them.

    Raises:
        UserError: they cannot.
    """
    if engine_name(variant, architecture) != "dense" and variant.device == "cuda":
        choose_device(variant)


def engine_name(variant: Variant, architecture: Architecture) -> EngineName:
    """The engine that computes a variant on this machine.

    `auto` is `dense` wherever that fits and is fastest, and no GPU is asked for, so that a study
    has the same bits on machines with a GPU and without; otherwise `batched` on a GPU, and
    `autograd` on a CPU.

    Raises:
        UserError: an engine is asked for that cannot, or a GPU where there is none.
    """
    if variant.engine == "dense":
        check_dense(variant, architecture)
    if variant.engine != "auto":
        return variant.engine
    if variant.device != "cuda" and _dense_is_fastest(variant, architecture):
        return "dense"
    return "batched" if choose_device(variant) == "cuda" else "autograd"


def check_dense(variant: Variant, architecture: Architecture) -> None:
    """Whether the engine `dense` can do what a variant asks of it.

    Raises:
        UserError: it cannot.
    """
    from aes_lipi.engine.dense import fits  # noqa: PLC0415 - numba is slow to import

    if not fits(architecture):
        raise UserError(
            f"engine: dense cannot train {variant.environment}; use --engine autograd, or batched "
            "on a GPU"
        )
    if variant.device == "cuda":
        raise UserError("engine: dense computes on the CPU; use --engine batched with cuda")


def _dense_is_fastest(variant: Variant, architecture: Architecture) -> bool:
    from aes_lipi.engine.dense import fits  # noqa: PLC0415 - numba is slow to import

    return fits(architecture) and not blas_wins(variant.batch_size, architecture)


def blas_wins(batch_size: int, architecture: Architecture) -> bool:
    """Whether wide layers and large batches make torch's BLAS faster than the fused kernel.

    As measured by tests/benchmarks/crossover.py.
    """
    widths = (*architecture.encoder.hidden_sizes, *architecture.decoder.hidden_sizes)
    return batch_size >= BLAS_BATCH and max(widths, default=0) >= BLAS_WIDTH


def compile_ahead(variants: Iterable[Variant]) -> None:
    """Compile what variants will need, once, before many processes would all do it."""
    if any(
        variant.engine in ("auto", "dense") and variant.device != "cuda" for variant in variants
    ):
        from aes_lipi.engine.dense import compile_kernels  # noqa: PLC0415 - numba is slow to import

        compile_kernels()


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
