"""A worked example, checked by hand, for every pruning operator (algorithm section 5)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.network import (
    Activation,
    ActivationStatistics,
    Mask,
    Network,
    NetworkLayout,
    chain,
)
from aes_lipi.pruning.contract import Evidence, Settings, keep_nodes
from aes_lipi.pruning.operators import OPERATORS, prune

N_IN = 2000
WIDE = chain(("only",), (N_IN, 3), "relu")
"""Three nodes with so many incoming weights that the share kept shows the chance."""


def keep(
    method: str,
    layout: NetworkLayout,
    evidence: Evidence | None = None,
    *,
    genome: Float32 | None = None,
    seed: int = 0,
    amount: float = 0.1,
    threshold: float = 0.1,
) -> Mask:
    weights = np.ones(layout.size, dtype=np.float32) if genome is None else genome
    settings = Settings(method, amount, threshold)
    rng = np.random.default_rng(seed)
    return OPERATORS[method].function(weights, layout, evidence or Evidence(), settings, rng)


def statistics(*batches: list[list[float]]) -> Evidence:
    """The evidence of batches, each a list of rows of activations."""
    parts = [
        ActivationStatistics.of_batch(np.array(batch, dtype=np.float32), len(batches[0]))
        for batch in batches
    ]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merged(part)
    return Evidence(statistics=merged)


def shares(kept: Mask) -> npt.NDArray[np.float64]:
    """The share of each node's incoming weights of WIDE that are kept, shape (3,)."""
    share: npt.NDArray[np.float64] = kept[WIDE.weight_slice(0)].reshape(3, N_IN).mean(axis=1)
    return share


def assert_shares(kept: Mask, chances: list[float]) -> None:
    """Exact for chances of 0 and 1, else within 5 standard deviations of a binomial's share."""
    for share, chance in zip(shares(kept), chances, strict=True):
        assert abs(share - chance) <= 5 * np.sqrt(chance * (1 - chance) / N_IN)


# Two batches of two rows (slots) of three nodes. Standard deviation over the two batches:
#   slot 0: (1, 3) -> 1    (0, 4) -> 2    (5, 5) -> 0
#   slot 1: (2, 0) -> 1    (1, 3) -> 1    (0, 0) -> 0
# Scores, summed over the slots: 2, 3, 0.
VARIED = statistics([[1, 0, 5], [2, 1, 0]], [[3, 4, 5], [0, 3, 0]])


def test_activation_clears_the_node_of_highest_variance_and_spares_that_of_lowest() -> None:
    # k = 1 - score = -1, -2, 1; scaled by (k + 2) / 3: 1/3, 0, 1.
    kept = keep("activation", WIDE, VARIED)
    assert_shares(kept, [1 / 3, 0, 1])
    assert kept[WIDE.bias_slice(0)][1:].tolist() == [False, True]


def test_activation_low_swaps_the_roles() -> None:
    # k = score = 2, 3, 0; scaled by k / 3: 2/3, 1, 0.
    kept = keep("activation_low", WIDE, VARIED)
    assert_shares(kept, [2 / 3, 1, 0])
    assert kept[WIDE.bias_slice(0)][1:].tolist() == [True, False]


def test_activation_draws_a_bias_as_it_draws_a_weight() -> None:
    kept = [
        bool(keep("activation", WIDE, VARIED, seed=s)[WIDE.bias_slice(0)][0]) for s in range(400)
    ]
    # 1/3 of 400 with a standard deviation of sqrt(400 * 2/9) = 9.4
    assert abs(sum(kept) - 400 / 3) < 5 * 9.4


@pytest.mark.parametrize(
    ("method", "deviation", "chance"),
    [
        # All scores equal: k is left unscaled, 1 - score for activation and score for its twin.
        ("activation", 0.25, 0.75),
        ("activation", 0.0, 1.0),
        ("activation", 1.0, 0.0),
        ("activation", 2.0, 0.0),
        ("activation_low", 0.25, 0.25),
        ("activation_low", 0.0, 0.0),
        ("activation_low", 2.0, 1.0),
    ],
)
def test_activation_leaves_equal_scores_unscaled(
    method: str, deviation: float, chance: float
) -> None:
    # Standard deviation of (0, 2d) is d.
    evidence = statistics([[0, 0, 0]], [[2 * deviation] * 3])
    assert_shares(keep(method, WIDE, evidence), [chance] * 3)


@pytest.mark.parametrize(("method", "chance"), [("activation", 0.3), ("activation_low", 0.7)])
def test_activation_sums_over_the_batch_slots(method: str, chance: float) -> None:
    # Standard deviations of 0.5 in the first slot and 0.2 in the second: every score is 0.7.
    evidence = statistics([[0] * 3, [0] * 3], [[1] * 3, [0.4] * 3])
    assert_shares(keep(method, WIDE, evidence), [chance] * 3)


def test_activation_sums_a_slot_over_the_batches_that_filled_it() -> None:
    # The second batch is short. Slot 0 deviates by 1, 0, 0 over two batches, slot 1, seen once,
    # by nothing: scores 1, 0, 0, whatever the only row of slot 1 was.
    evidence = statistics([[0, 5, 7], [3, 0, 9]], [[2, 5, 7]])
    assert_shares(keep("activation", WIDE, evidence), [0, 1, 1])


def test_activation_of_a_single_batch_prunes_nothing() -> None:
    # One batch has no spread: all scores are 0, k = 1.
    assert keep("activation", WIDE, statistics([[1, 2, 3], [4, 5, 6]])).all()


def test_activation_scales_every_layer_by_itself() -> None:
    layout = chain(("one", "two"), (50, 2, 2), "relu")
    # Scores: 10, 20 in the first layer, 1, 2 in the second; the higher of each loses everything.
    kept = keep("activation", layout, statistics([[0, 0, 0, 0]], [[20, 40, 2, 4]]))
    for k in range(2):
        weights = kept[layout.weight_slice(k)].reshape(2, -1)
        assert weights.all(axis=1).tolist() == [True, False]
        assert weights.any(axis=1).tolist() == [True, False]
        assert kept[layout.bias_slice(k)].tolist() == [True, False]


LAYERED = chain(("one", "two"), (2, 4, 2), "relu")


def lexicase(rows: list[list[float]], threshold: float = 0.1) -> list[int]:
    """The nodes of LAYERED that lexicase clears; the second layer's are 4 and 5."""
    activations = np.array(rows, dtype=np.float32)
    kept = keep("lexicase", LAYERED, Evidence(activations=activations), threshold=threshold)
    alive = [
        *kept[LAYERED.weight_slice(0)].reshape(4, 2).tolist(),
        *kept[LAYERED.weight_slice(1)].reshape(2, 4).tolist(),
    ]
    biases = [*kept[LAYERED.bias_slice(0)], *kept[LAYERED.bias_slice(1)]]
    assert [any(weights) for weights in alive] == [all(weights) for weights in alive] == biases
    return [u for u, bias in enumerate(biases) if not bias]


EQUAL = [7.0, 7.0]  # a second layer that has no candidates


def test_lexicase_clears_the_nodes_that_are_quiet_on_every_row() -> None:
    # Candidates 0, 1, 2 and then 0, 1, 3: their intersection 0, 1 is what is left.
    assert lexicase([[0, 0, 0, 1, *EQUAL], [0, 0, 1, 0, *EQUAL]]) == [0, 1]


def test_lexicase_stops_at_one_node_and_clears_it() -> None:
    # 0, 1; then 1, 2 leaves 1 alone: row 3, on which 1 is the loudest, is never looked at.
    rows = [[0, 0, 5, 5, *EQUAL], [5, 0, 0, 5, *EQUAL], [0, 5, 0, 0, *EQUAL]]
    assert lexicase(rows) == [1]


def test_lexicase_stops_at_a_first_row_of_one_candidate() -> None:
    assert lexicase([[5, 5, 0, 5, *EQUAL], [0, 0, 5, 0, *EQUAL]]) == [2]


def test_lexicase_may_stop_at_nothing() -> None:
    # 0, 1 and then 2, 3 have nothing in common; row 3 cannot bring anything back.
    rows = [[0, 0, 5, 5, *EQUAL], [5, 5, 0, 0, *EQUAL], [0, 0, 0, 5, *EQUAL]]
    assert lexicase(rows) == []


def test_lexicase_finds_no_candidates_in_a_layer_of_equal_activations() -> None:
    assert lexicase([[3, 3, 3, 3, *EQUAL]] * 5) == []
    # One such row among others ends the search with nothing.
    assert lexicase([[0, 0, 5, 5, *EQUAL], [3, 3, 3, 3, *EQUAL], [0, 0, 5, 5, *EQUAL]]) == []


def test_lexicase_searches_every_layer_by_itself() -> None:
    # First layer: 0, 1, 2 on both rows. Second: node 4 at once.
    assert lexicase([[0, 0, 0, 5, 0, 9], [0, 0, 0, 5, 9, 0]]) == [0, 1, 2, 4]


@pytest.mark.parametrize(
    ("threshold", "cleared"),
    [
        # Normalised activations: 0, 1/10, 2/10, 1. Strictly below the threshold.
        (0.0, []),
        (0.05, [0]),
        (0.1, [0]),
        (0.11, [0, 1]),
        (0.2, [0, 1]),
        (0.21, [0, 1, 2]),
        (1.0, [0, 1, 2]),
    ],
)
def test_lexicase_threshold_is_excluded(threshold: float, cleared: list[int]) -> None:
    assert lexicase([[10, 11, 12, 20, *EQUAL]], threshold) == cleared


def test_lexicase_normalises_negative_activations_too() -> None:
    # A decoder's output nodes are recorded before the sigmoid: -4 is the quietest, 16 the loudest.
    assert lexicase([[-4, -3, -2, 16, *EQUAL]]) == [0, 1]


@pytest.mark.parametrize(
    ("activation", "dead"),
    [("relu", [0]), ("linear", [0]), ("tanh", [1]), ("gelu", [1]), ("leaky_relu", [1])],
)
def test_lexicase_takes_the_distance_from_zero_of_what_a_signed_activation_puts_out(
    activation: Activation, dead: list[int]
) -> None:
    layout = chain(("only",), (2, 3), activation)
    recorded = np.array([[-0.9, 0.02, 0.8]] * 3, np.float32)
    kept = keep("lexicase", layout, Evidence(activations=recorded))
    assert np.flatnonzero(~kept[layout.bias_slice(0)]).tolist() == dead


def test_cleared_nodes_lose_incoming_weights_and_bias_only() -> None:
    dead = np.array([False, True, False, False, True, False])
    kept = keep_nodes(LAYERED, dead)
    # First layer: rows of 2 weights; second: rows of 4, of which column 1 (outgoing) stays.
    assert kept[LAYERED.weight_slice(0)].reshape(4, 2).tolist() == [
        [True, True],
        [False, False],
        [True, True],
        [True, True],
    ]
    assert kept[LAYERED.bias_slice(0)].tolist() == [True, False, True, True]
    assert kept[LAYERED.weight_slice(1)].reshape(2, 4).tolist() == [[False] * 4, [True] * 4]
    assert kept[LAYERED.bias_slice(1)].tolist() == [False, True]


FLAT = chain(("only",), (5, 2), "relu")


def test_magnitude_prunes_the_smallest_of_each_tensor_ties_by_position() -> None:
    genome = np.array([9, -1, 1, -7, 1, 8, 1, -2, 0.5, 6, 100, -99], dtype=np.float32)
    # Weights: round(0.3 * 10) = 3, namely 0.5 (at 8) and then the first two of the four ones, at 1
    # and 2. Biases: round(0.3 * 2) = 1, namely -99, though it is larger than every weight.
    kept = keep("magnitude", FLAT, genome=genome, amount=0.3)
    assert np.flatnonzero(~kept).tolist() == [1, 2, 8, 11]


def test_magnitude_counts_zeros_among_the_smallest() -> None:
    genome = np.array([0, 5, 0, 5, 5, 5, 5, 5, 5, 1, 1, 1], dtype=np.float32)
    kept = keep("magnitude", FLAT, genome=genome, amount=0.3)
    # Two zeros and the 1 at position 9; round(0.6) = 1 bias, the first of two equal ones.
    assert np.flatnonzero(~kept).tolist() == [0, 2, 9, 10]


def test_magnitude_draws_nothing() -> None:
    genome = np.arange(12, dtype=np.float32)
    assert np.array_equal(
        keep("magnitude", FLAT, genome=genome, seed=1),
        keep("magnitude", FLAT, genome=genome, seed=2),
    )


@pytest.mark.parametrize("method", ["random", "magnitude"])
@pytest.mark.parametrize(
    ("amount", "weights", "biases"),
    # Of 10 weights and 2 biases, rounded half to even: 0.25 -> 2.5 -> 2 and 0.5 -> 0;
    # 0.75 -> 7.5 -> 8 and 1.5 -> 2.
    [(0.0, 0, 0), (0.1, 1, 0), (0.25, 2, 0), (0.5, 5, 1), (0.75, 8, 2), (1.0, 10, 2)],
)
def test_amount_is_rounded_per_tensor(
    method: str, amount: float, weights: int, biases: int
) -> None:
    kept = keep(method, FLAT, genome=np.arange(12, dtype=np.float32), amount=amount)
    assert int((~kept[:10]).sum()) == weights
    assert int((~kept[10:]).sum()) == biases


def test_random_chooses_every_entry_equally_often_zeros_included() -> None:
    genome = np.array([0] * 5 + [1] * 7, dtype=np.float32)
    gone = sum(
        (~keep("random", FLAT, genome=genome, amount=0.5, seed=seed)).astype(int)
        for seed in range(600)
    )
    # 300 of 600 each, standard deviation sqrt(600 / 4) = 12.2
    assert np.abs(np.asarray(gone) - 300).max() < 5 * 12.2


def test_prune_event_by_hand() -> None:
    genome = np.array([9, -1, 1, -7, 1, 8, 1, -2, 0.5, 6, 100, -99], dtype=np.float32)
    mask = np.ones(12, dtype=np.bool_)
    mask[3] = False
    genome[3] = 0.0
    network = Network(genome, mask, n_pruned=1)
    # As above, but the zero at 3 is now the smallest weight, and then 0.5 and the first 1.
    settings = Settings("magnitude", amount=0.3, frozen=True)
    after = prune(network, FLAT, Evidence(), settings, np.random.default_rng(0))
    assert after.genome.tolist() == [9, 0, 1, 0, 1, 8, 1, -2, 0, 6, 100, 0]
    assert after.mask is not None
    assert np.flatnonzero(~after.mask).tolist() == [1, 3, 8, 11]
    assert after.n_pruned == 4
    assert network.n_pruned == 1
    assert mask.sum() == 11


# Roulette: standard deviations over the two batches, summed over one slot, are 1, 2 and 0.
RISING = statistics([[1, 0, 5]], [[3, 4, 5]])


def test_roulette_draws_entries_with_chances_as_their_nodes_vary() -> None:
    """A tenth of 6,000 weights: nodes of 1 and 2 share it as 1 to 2, nearly; that of 0 has none."""
    pruned = ~keep("roulette", WIDE, RISING, amount=0.1)[WIDE.weight_slice(0)].reshape(3, N_IN)
    assert pruned.sum() == round(0.1 * 3 * N_IN)
    one, two, none = pruned.sum(axis=1)
    assert none == 0
    assert 1.6 < two / one < 2.4


def test_roulette_takes_entries_of_no_chance_last() -> None:
    """Nine tenths are more than the two nodes that vary have: both go, and part of the third."""
    pruned = ~keep("roulette", WIDE, RISING, amount=0.9)[WIDE.weight_slice(0)].reshape(3, N_IN)
    assert pruned[:2].all()
    assert pruned[2].sum() == round(0.9 * 3 * N_IN) - 2 * N_IN


def test_roulette_without_statistics_is_refused() -> None:
    with pytest.raises(ValueError, match="needs activation statistics"):
        keep("roulette", WIDE)
