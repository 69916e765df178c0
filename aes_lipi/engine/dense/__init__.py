"""The dense engine: chains of ReLU layers, variational ones too, compiled for the CPU."""

from aes_lipi.engine.dense.engine import DenseEngine, compile_kernels, fits
from aes_lipi.engine.dense.target import target_name

__all__ = ["DenseEngine", "compile_kernels", "fits", "target_name"]
