"""The dense engine: chains of ReLU layers, variational ones too, compiled for the CPU."""

from aes_lipi.engine.dense.engine import DenseEngine, compile_kernels, fits

__all__ = ["DenseEngine", "compile_kernels", "fits"]
