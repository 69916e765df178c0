"""Autoencoders as flat genomes: layouts, environments, initialisation, torch modules."""
