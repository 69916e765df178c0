"""Distributed spatial coevolution of autoencoders that are pruned while they train."""

__version__ = "0.1.0"
