"""Engines: the arithmetic of training and evaluating stacks of autoencoders."""
