"""Pruning: operators that say which entries of a genome survive, and when they act."""
