"""A topology of one's own: a ring with random shortcuts, the same whenever it is made."""

import random


def shortcuts(population_size, n: int = 2):
    """Who reads whom: the next cell, and for some a cell anywhere."""
    draw = random.Random(1)
    read = [[(i + 1) % population_size] for i in range(population_size)]
    for i in draw.sample(range(population_size), n):
        read[i] += draw.sample([j for j in range(population_size) if j not in (i, *read[i])], 1)
    return read
