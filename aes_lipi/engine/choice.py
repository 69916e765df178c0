"""Which engine computes a variant."""

from __future__ import annotations

from collections.abc import Iterable

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.config import Variant
from aes_lipi.datasets.dataset import Dataset
from aes_lipi.engine.protocol import Engine
from aes_lipi.errors import UserError

BLAS_BATCH, BLAS_WIDTH = 256, 300


def choose_engine(variant: Variant, architecture: Architecture, dataset: Dataset) -> Engine:
    """Make the engine that a variant asks for; `auto` takes the fastest that fits.

    Raises:
        UserError: the engine or the device asked for cannot serve this variant here.
    """
    if _is_dense(variant, architecture):
        from aes_lipi.engine.dense import DenseEngine  # noqa: PLC0415 - numba is slow to import

        return DenseEngine(architecture, dataset, variant.batch_size)
    from aes_lipi.engine.autograd import AutogradEngine  # noqa: PLC0415 - torch is slow to import

    return AutogradEngine(architecture, dataset, variant.batch_size, choose_device(variant))


def check_engine(variant: Variant, architecture: Architecture) -> None:
    """Find out whether a variant's engine and device can be had, without making them.

    Raises:
        UserError: they cannot.
    """
    if not _is_dense(variant, architecture) and variant.device == "cuda":
        choose_device(variant)


def _is_dense(variant: Variant, architecture: Architecture) -> bool:
    """Whether the dense engine computes a variant.

    Raises:
        UserError: it is asked for, and cannot.
    """
    if variant.engine == "autograd" or (variant.engine == "auto" and variant.device == "cuda"):
        return False
    from aes_lipi.engine.dense import fits  # noqa: PLC0415 - numba is slow to import

    if variant.engine == "auto":
        return fits(architecture) and not blas_wins(variant.batch_size, architecture)
    if not fits(architecture):
        raise UserError(
            f"engine: dense cannot train {variant.environment}; use --engine autograd or auto"
        )
    if variant.device == "cuda":
        raise UserError("engine: dense computes on the CPU; use --engine autograd with cuda")
    return True


def blas_wins(batch_size: int, architecture: Architecture) -> bool:
    """Whether wide layers and large batches make torch's BLAS faster than the fused kernel.

    As measured by tests/benchmarks/crossover.py.
    """
    widths = (*architecture.encoder.hidden_sizes, *architecture.decoder.hidden_sizes)
    return batch_size >= BLAS_BATCH and max(widths, default=0) >= BLAS_WIDTH


def compile_ahead(variants: Iterable[Variant]) -> None:
    """Compile what variants will need, once, before many processes would all do it."""
    if any(variant.engine != "autograd" and variant.device != "cuda" for variant in variants):
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
