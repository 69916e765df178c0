"""Trials on a Ray cluster: cells as actors, or rings as tasks. The only part that uses ray."""
