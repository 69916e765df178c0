"""Golden arrays, computed from the definitions of the algorithm alone.

    python tests/golden.py > tests/fixtures/golden.json

Nothing of aes_lipi is imported, and what is looped over here is looped over: this is meant to be
read beside aes_lipi/ALGORITHM.md. Sections are named where they are used. Draws are given.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import statistics
from typing import Any

SIZES = [(4, 5), (5, 3)]
"""Inputs and nodes of the layers of a network."""

SLOTS, BATCHES, ROWS = 3, 4, 12

AMOUNTS = (0.1, 0.25, 0.5)


def scaled(values: list[float]) -> list[float]:
    """Min-max over the layer's nodes; as they are if they are all equal."""
    low, high = min(values), max(values)
    return values if low == high else [(value - low) / (high - low) for value in values]


def scores_of(seen: list[Any], first: int, n: int) -> list[float]:
    """Section 5: of a layer's nodes, the standard deviations over batches, summed over slots."""
    return [
        sum(statistics.pstdev(batch[slot][u] for batch in seen) for slot in range(SLOTS))
        for u in range(first, first + n)
    ]


def activation(seen: list[Any], uniforms: list[float], low: bool) -> list[bool]:
    """Section 5, `activation`: which entries are kept; seen is (batches, slots, nodes)."""
    keep: list[bool] = []
    draws, first = iter(uniforms), 0
    for n_in, n_out in SIZES:
        scores = scores_of(seen, first, n_out)
        k = scaled(scores) if low else scaled([1 - score for score in scores])
        keep += [k[u] > next(draws) for u in range(n_out) for _ in range(n_in)]
        keep += [k[u] > next(draws) for u in range(n_out)]
        first += n_out
    return keep


def lexicase(rows: list[list[float]], threshold: float) -> list[bool]:
    """Section 5, `lexicase`: which entries are kept; rows is (rows, nodes)."""
    keep: list[bool] = []
    first = 0
    for n_in, n_out in SIZES:
        left = set(range(n_out))
        for row in rows:
            values = row[first : first + n_out]
            low, high = min(values), max(values)
            quiet = {u for u in left if low < high and scaled(values)[u] < threshold}
            left = left & quiet
            if len(left) <= 1:
                break
        keep += [u not in left for u in range(n_out) for _ in range(n_in)]
        keep += [u not in left for u in range(n_out)]
        first += n_out
    return keep


def tensors() -> list[int]:
    """Sizes of the weights and biases of the layers, in their order."""
    return [n for n_in, n_out in SIZES for n in (n_in * n_out, n_out)]


def roulette(seen: list[Any], uniforms: list[float], amount: float) -> list[bool]:
    """Section 5, `roulette`: which entries are kept; seen is (batches, slots, nodes).

    Entries are drawn one after another, each with a chance proportional to its node's score, by the
    keys U^(1/score): the largest come first (Efraimidis and Spirakis 2006). A score of 0 has no
    chance.
    """
    keep: list[bool] = []
    draws, first = iter(uniforms), 0
    for n_in, n_out in SIZES:
        scores = scores_of(seen, first, n_out)
        for per_node in (n_in, 1):
            keys = [
                next(draws) ** (1 / score) if score > 0 else -1.0
                for score in scores
                for _ in range(per_node)
            ]
            by_turn = sorted(range(len(keys)), key=lambda k: -keys[k])
            pruned = by_turn[: round(amount * len(keys))]
            keep += [k not in pruned for k in range(len(keys))]
        first += n_out
    return keep


def chosen(choices: list[list[int]]) -> list[bool]:
    """Section 5, `random`: which entries are kept, given the positions drawn of each tensor."""
    keep: list[bool] = []
    for size, positions in zip(tensors(), choices, strict=True):
        keep += [k not in positions for k in range(size)]
    return keep


def magnitude(weights: list[float], amount: float) -> list[bool]:
    """Section 5, `magnitude`: which entries are kept."""
    keep: list[bool] = []
    for size in tensors():
        tensor = weights[len(keep) : len(keep) + size]
        smallest = sorted(range(size), key=lambda k: abs(tensor[k]))[: round(amount * size)]
        keep += [k not in smallest for k in range(size)]
    return keep


def probability(schedule: str, p: float, t: int, epochs: int, *, n: int, baseline: bool) -> float:
    """Section 6: the probability of a prune event."""
    end = epochs if baseline else epochs - 1
    if end == 0:
        return {"fixed": p, "final_n": p, "prune_after": p, "decrease": 1.0}.get(schedule, 0.0)
    return {
        "fixed": p,
        "increase": p * t / end,
        "decrease": 1 - p * t / end,
        "population": p * t / (end * n),
        "exponential": p * (1 - math.exp(-2 * t / end)),
        "final_n": 0.0 if t < 0.75 * end else p,
        "prune_after": 0.0 if t < end else p,
    }[schedule]


SCHEDULES = [
    *("fixed", "increase", "decrease", "population", "exponential", "final_n", "prune_after"),
]


def schedules() -> list[list[Any]]:
    """At the edges of short and long runs, on the ring (n = 3) and in the baseline (n = 1)."""
    return [
        [
            schedule,
            p,
            t,
            epochs,
            baseline,
            probability(schedule, p, t, epochs, n=n, baseline=baseline),
        ]
        for schedule in SCHEDULES
        for p in (0.1, 1.0)
        for epochs in (1, 2, 4, 5, 400)
        for baseline, n in ((False, 3), (True, 1))
        for t in sorted({0, 1, (3 * epochs) // 4 - 1, (3 * epochs) // 4, epochs - 2, epochs - 1})
        if 0 <= t < epochs
    ]


def pairs(order: tuple[int, ...]) -> list[list[int]]:
    """Section 4, `all_vs_all`: encoder, decoder, and how often each was trained before, in order.

    The pairs are the product of one list of encoders and one of decoders, both in this order, and
    both networks are trained in place.
    """
    trained = {(part, k): 0 for part in "ed" for k in order}
    found = []
    for encoder, decoder in itertools.product(order, order):
        found.append([encoder, decoder, trained["e", encoder], trained["d", decoder]])
        trained["e", encoder] += 1
        trained["d", decoder] += 1
    return found


def meetings(winner: int, drawn: list[list[int]]) -> list[list[int]]:
    """Section 4, `epoch-node`: encoder and decoder of every update, two a batch."""
    updates = []
    for decoder, encoder in drawn:
        updates += [[winner, decoder], [encoder, winner]]
    return updates


def golden() -> dict[str, Any]:
    """All arrays, with what was given for them."""
    rng = random.Random(1)
    nodes = sum(n_out for _, n_out in SIZES)
    entries = sum(n_in * n_out + n_out for n_in, n_out in SIZES)
    seen = [[[rng.random() for _ in range(nodes)] for _ in range(SLOTS)] for _ in range(BATCHES)]
    uniforms = [rng.random() for _ in range(entries)]
    # Two nodes of each layer are quiet in most rows, so that an intersection of several is left.
    rows = [[rng.random() * (0.02 if u % 4 < 2 else 1) for u in range(nodes)] for _ in range(ROWS)]
    weights = [round(rng.gauss(0, 1), 2) for _ in range(entries)]
    drawn = [[rng.randrange(3), rng.randrange(3)] for _ in range(4)]
    orders = list(itertools.permutations(range(3)))
    choices = {
        str(each): [rng.sample(range(size), round(each * size)) for size in tensors()]
        for each in AMOUNTS
    }
    return {
        "sizes": SIZES,
        "seen": seen,
        "uniforms": uniforms,
        "activation": activation(seen, uniforms, low=False),
        "activation_low": activation(seen, uniforms, low=True),
        "rows": rows,
        "lexicase": {str(each): lexicase(rows, each) for each in (0.005, 0.1, 0.5)},
        "weights": weights,
        "magnitude": {str(each): magnitude(weights, each) for each in AMOUNTS},
        "roulette": {str(each): roulette(seen, uniforms, each) for each in AMOUNTS},
        "choices": choices,
        "random": {amount: chosen(positions) for amount, positions in choices.items()},
        "schedules": schedules(),
        "pairs": {",".join(map(str, order)): pairs(order) for order in orders},
        "drawn": drawn,
        "meetings": [meetings(winner, drawn) for winner in range(3)],
    }


def main() -> None:
    """Print them."""
    print(json.dumps(golden()))


if __name__ == "__main__":
    main()
