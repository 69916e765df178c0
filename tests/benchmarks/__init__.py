"""Measurements: `make bench`. Times are compared within one run; machines are shared and noisy."""
