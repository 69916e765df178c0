"""Reproduction: the published figures and claims beside our own results."""
