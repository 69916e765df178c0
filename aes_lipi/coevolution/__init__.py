"""Coevolution: topologies, selection, the generation of a cell, and the ring. Pure functions."""
