"""The pruning operators, one a file (algorithm section 5), and their contract.

An operator is a pure function `(genome, layout, evidence, settings, rng) -> keep`: it never changes
the genome, it says which entries survive.
"""
