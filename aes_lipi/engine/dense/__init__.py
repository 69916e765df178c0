"""The dense engine: chains of ReLU layers, variational ones too, fused on the CPU."""

from aes_lipi.engine.dense.engine import DenseEngine, fits
from aes_lipi.engine.dense.warm import compile_kernels

__all__ = ["DenseEngine", "compile_kernels", "fits"]
