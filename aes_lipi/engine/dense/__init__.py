"""The dense engine: chains of ReLU layers with sigmoid output and L1 loss, fused on the CPU."""

from aes_lipi.engine.dense.engine import DenseEngine, fits

__all__ = ["DenseEngine", "fits"]
