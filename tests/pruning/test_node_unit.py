"""Pruning of whole nodes (`prune_unit: node`), by hand and on random networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.environments import ENVIRONMENTS, build_architecture
from aes_lipi.autoencoders.network import ActivationStatistics, Mask, Network, NetworkLayout, chain
from aes_lipi.pruning.contract import Evidence, Settings, keep_nodes
from aes_lipi.pruning.operators import OPERATORS, prune

Flags = npt.NDArray[np.bool_]
examples = settings(deadline=None, max_examples=60)

# Two inputs, three hidden nodes (0, 1, 2), two nodes in the last layer (3, 4). In the genome:
#   0-5 the hidden nodes' incoming weights, two each     6-8 their biases
#   9-14 the last layer's incoming weights, three each   15-16 its biases
ENCODER = chain(("hidden", "latent"), (2, 3, 2), "relu")
DECODER = chain(("hidden", "output"), (2, 3, 2), "sigmoid")
# What each node takes with it: incoming weights, bias, outgoing weights.
WHOLE = [{0, 1, 6, 9, 12}, {2, 3, 7, 10, 13}, {4, 5, 8, 11, 14}, {9, 10, 11, 15}, {12, 13, 14, 16}]
GENOME = np.array(
    [1, -2, -0.5, 0.25, 4, 0, 9, 9, 9, 0, 5, 0, 1, 1, -1, 7, -7],
    dtype=np.float32,
)
"""L1 norms of incoming weights: 3, 0.75, 4 of the hidden nodes, 5 and 3 of the last layer."""


def whole(*nodes: int) -> list[int]:
    return sorted(set().union(*(WHOLE[node] for node in nodes)))


def gone(
    method: str,
    layout: NetworkLayout,
    evidence: Evidence | None = None,
    *,
    amount: float = 0.1,
    genome: Float32 = GENOME,
    seed: int = 0,
) -> list[int]:
    """The entries that an operator prunes."""
    asked, rng = Settings(method, amount, unit="node"), np.random.default_rng(seed)
    keep = OPERATORS[method].function(genome, layout, evidence or Evidence(), asked, rng)
    return [int(entry) for entry in np.flatnonzero(~keep)]


def varied(*deviations: float) -> Evidence:
    """Statistics of two batches of a row, in which every node deviates so much."""
    batches = [np.zeros((1, 5)), 2 * np.array([deviations])]
    one, other = (ActivationStatistics.of_batch(batch.astype(np.float32), 1) for batch in batches)
    return Evidence(statistics=one.merged(other))


def recorded(*rows: list[float]) -> Evidence:
    return Evidence(activations=np.array(rows, dtype=np.float32))


# --- what goes with a node


@pytest.mark.parametrize("node", range(5))
def test_node_of_an_encoder_goes_with_all_its_weights(node: int) -> None:
    keep = keep_nodes(ENCODER, np.arange(5) == node, "node")
    assert np.flatnonzero(~keep).tolist() == whole(node)


def test_nodes_that_make_the_data_stay_and_lose_only_what_comes_from_dead_ones() -> None:
    keep = keep_nodes(DECODER, np.array([False, True, False, True, True]), "node")
    assert np.flatnonzero(~keep).tolist() == whole(1)


def test_decoder_without_hidden_layers_has_no_node_to_prune() -> None:
    for last in ("sigmoid", "linear"):
        assert keep_nodes(chain(("output",), (2, 3), last), np.ones(3, np.bool_), "node").all()


@pytest.mark.parametrize("layout", [ENCODER, DECODER])
def test_hidden_nodes_alone_may_be_what_is_pruned(layout: NetworkLayout) -> None:
    keep = keep_nodes(layout, np.ones(5, np.bool_), "hidden_node")
    assert np.flatnonzero(~keep).tolist() == whole(0, 1, 2)


def test_the_code_is_spared_where_hidden_nodes_are_pruned() -> None:
    asked = Settings("magnitude", 0.5, unit="hidden_node")  # 2 of 3 hidden nodes, 1 of the code's 2
    rng = np.random.default_rng(0)
    keep = OPERATORS["magnitude"].function(GENOME, ENCODER, Evidence(), asked, rng)
    assert np.flatnonzero(~keep).tolist() == whole(0, 1)


def test_both_heads_of_a_variational_encoder_lose_what_comes_from_a_dead_node() -> None:
    environment = ENVIRONMENTS["VariationalAutoencoderBinaryClustering"]
    layout = build_architecture(environment, 1, (2,), 1).encoder
    # 0-1 weights and 2-3 biases of the hidden nodes; 4-5 weights and 6 bias of the mean, 7-8 and 9
    # of the log-variance. Hidden node 0 and the mean die.
    keep = keep_nodes(layout, np.array([True, False, True, False]), "node")
    assert np.flatnonzero(~keep).tolist() == [0, 2, 4, 5, 6, 7]


def test_node_is_alive_while_anything_of_it_is_left() -> None:
    genome = np.zeros(17, dtype=np.float32)
    assert not ENCODER.living_nodes(genome).any()
    for entry in range(17):
        genome[:] = 0
        genome[entry] = -1
        alive = np.flatnonzero(ENCODER.living_nodes(genome)).tolist()
        assert alive == [node for node in range(5) if entry in WHOLE[node]]


# --- the operators, by hand


def test_magnitude_prunes_the_nodes_of_smallest_incoming_norm() -> None:
    # round(0.4 * 3) = 1 hidden node, 1 with its norm of 0.75, though its bias is 9; round(0.4 * 2)
    # = 1 of the last layer, 4 with 3 against 5: norms are those before the event, for without node
    # 1 the norm of 3 would be 0.
    assert gone("magnitude", ENCODER, amount=0.4) == whole(1, 4)
    assert gone("magnitude", DECODER, amount=0.4) == whole(1)


@pytest.mark.parametrize(
    ("amount", "nodes"),
    # Of 3 and 2 nodes, rounded half to even: 0.45 and 0.3; 0.6 and 0.4; 1.5 -> 2 and 1; all.
    [(0.0, []), (0.15, []), (0.2, [1]), (0.5, [0, 1, 4]), (1.0, [0, 1, 2, 3, 4])],
)
def test_magnitude_rounds_the_amount_per_layer(amount: float, nodes: list[int]) -> None:
    assert gone("magnitude", ENCODER, amount=amount) == whole(*nodes)


def test_magnitude_breaks_ties_by_position() -> None:
    equal = np.ones(17, dtype=np.float32)
    assert gone("magnitude", ENCODER, amount=0.5, genome=equal) == whole(0, 1, 3)


def test_activation_prunes_the_node_of_highest_variance_and_spares_that_of_lowest() -> None:
    # k = 1 - score, scaled over the layer: 1, 0, 1 and 1, 0.
    evidence = varied(0.5, 3, 0.5, 1, 2)
    assert gone("activation", ENCODER, evidence) == whole(1, 4)
    assert gone("activation", DECODER, evidence) == whole(1)


def test_activation_low_swaps_the_roles() -> None:
    # k = score, scaled: 0, 1, 0 and 0, 1.
    evidence = varied(0.5, 3, 0.5, 1, 2)
    assert gone("activation_low", ENCODER, evidence) == whole(0, 2, 3)
    assert gone("activation_low", DECODER, evidence) == whole(0, 2)


@pytest.mark.parametrize(("method", "chance"), [("activation", 0.25), ("activation_low", 0.75)])
def test_activation_draws_once_for_a_node(method: str, chance: float) -> None:
    # Scores 0, 3, 4: node 1 is kept with k = 1 - 3/4 or 3/4, as a whole.
    kept = 0
    for seed in range(400):
        lost = set(gone(method, DECODER, varied(0, 3, 4, 0, 0), seed=seed))
        own = WHOLE[1] & lost
        assert own in (set(), WHOLE[1])
        kept += not own
    # Standard deviation sqrt(400 * 3/16) = 8.7
    assert abs(kept - 400 * chance) < 5 * 8.7


def test_lexicase_spares_the_output_and_takes_outgoing_weights() -> None:
    # Candidates of the hidden layer: 0, 1, then 1; of the last layer: 3.
    evidence = recorded([0, 0, 9, 0, 9], [9, 0, 9, 0, 9])
    assert gone("lexicase", ENCODER, evidence) == whole(1, 3)
    assert gone("lexicase", DECODER, evidence) == whole(1)


@pytest.mark.parametrize(
    ("amount", "hidden", "latent"), [(0.0, 0, 0), (0.4, 1, 1), (0.6, 2, 1), (1.0, 3, 2)]
)
def test_random_prunes_the_amount_of_every_layers_nodes(
    amount: float, hidden: int, latent: int
) -> None:
    for seed in range(20):
        lost = set(gone("random", ENCODER, amount=amount, seed=seed))
        nodes = [node for node in range(5) if WHOLE[node] <= lost]
        assert sum(node < 3 for node in nodes) == hidden
        # With every hidden node dead, a node of the last layer has nothing but its bias.
        assert len({15, 16} & lost) == latent


@pytest.mark.parametrize("cumulative", [False, True])
def test_random_chooses_nodes_equally_often_but_the_dead_first_if_they_count(
    cumulative: bool,
) -> None:
    genome = np.where(keep_nodes(ENCODER, np.arange(5) == 2, "node"), GENOME, np.float32(0))
    asked = Settings("random", 0.7, unit="node", cumulative=cumulative)  # 2 of 3, 1 of 2
    biases = [6, 7, 8, 15, 16]
    times = np.zeros(5)
    for seed in range(600):
        rng = np.random.default_rng(seed)
        times += ~OPERATORS["random"].function(genome, ENCODER, Evidence(), asked, rng)[biases]
    expected = [300, 300, 600, 300, 300] if cumulative else [400, 400, 400, 300, 300]
    # Standard deviations of at most sqrt(600 / 4) = 12.2
    assert np.abs(times - expected).max() < 5 * 12.2
    assert times[2] == 600 or not cumulative


@pytest.mark.parametrize("frozen", [False, True])
def test_prune_event_of_nodes_by_hand(frozen: bool) -> None:
    asked = Settings("magnitude", 0.4, frozen=frozen, unit="node")
    after = prune(Network(GENOME), DECODER, Evidence(), asked, np.random.default_rng(0))
    assert after.genome.tolist() == [1, -2, 0, 0, 4, 0, 9, 0, 9, 0, 0, 0, 1, 0, -1, 7, -7]
    assert after.n_pruned == 8  # of which three, at 5, 9 and 11, were zero before
    if frozen:
        assert after.mask is not None
        assert np.flatnonzero(~after.mask).tolist() == whole(1)
    else:
        assert after.mask is None


# --- every operator, on random networks


@dataclass(frozen=True)
class Case:
    """A network in which some nodes are dead and nothing else is zero, and what is known of it."""

    layout: NetworkLayout
    genome: Float32
    dead: Flags
    evidence: Evidence
    amount: float
    seed: int

    def keep(self, method: str, cumulative: bool = False) -> Mask:
        asked = Settings(method, self.amount, 0.5, unit="node", cumulative=cumulative)
        rng = np.random.default_rng(self.seed)
        return OPERATORS[method].function(self.genome, self.layout, self.evidence, asked, rng)

    def living_of_each_layer(self) -> list[bool]:
        return [not self.dead[nodes].all() for nodes in self.layout.node_slices()]

    def after(self, method: str, cumulative: bool = False) -> Float32:
        return np.where(self.keep(method, cumulative), self.genome, np.float32(0))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    architecture = build_architecture(
        draw(st.sampled_from(list(ENVIRONMENTS.values()))),
        n_dim=draw(st.integers(1, 5)),
        hidden_sizes=tuple(draw(st.lists(st.integers(1, 6), max_size=2))),
        latent_size=draw(st.integers(1, 4)),
    )
    layout = draw(st.sampled_from([architecture.encoder, architecture.decoder]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dead = (rng.random(layout.n_nodes) < draw(st.sampled_from([0, 0.3]))) & ~output(layout)
    genome = rng.uniform(0.1, 1, layout.size).astype(np.float32)
    genome[~keep_nodes(layout, dead, "node")] = 0
    spread = rng.integers(0, 4, (2, layout.n_nodes)).astype(np.float64)
    return Case(
        layout,
        genome,
        dead,
        Evidence(
            ActivationStatistics(np.full(2, 4.0), spread, spread),
            rng.integers(0, 4, (3, layout.n_nodes)).astype(np.float32),
        ),
        amount=draw(st.floats(0, 1)),
        seed=draw(st.integers(0, 2**32)),
    )


def output(layout: NetworkLayout) -> Flags:
    """Nodes of a decoder's last layer."""
    is_output = np.zeros(layout.n_nodes, dtype=np.bool_)
    if layout.layers[-1].name == "output":
        is_output[layout.node_slices()[-1]] = True
    return is_output


@pytest.mark.parametrize("method", OPERATORS)
@examples
@given(case=cases())
def test_a_node_goes_as_a_whole_and_the_output_never(method: str, case: Case) -> None:
    keep, layout = case.keep(method), case.layout
    biases = np.concatenate([keep[layout.bias_slice(k)] for k in range(len(layout.layers))])
    assert biases[output(layout)].all()
    assert np.array_equal(keep, keep_nodes(layout, ~biases, "node"))
    for k, layer in enumerate(layout.layers):
        nodes = layout.node_slices()
        weights = keep[layout.weight_slice(k)].reshape(layer.n_out, layer.n_in)
        reads = np.ones(layer.n_in, np.bool_) if layer.reads < 0 else biases[nodes[layer.reads]]
        assert np.array_equal(weights, biases[nodes[k]][:, None] & reads)


@pytest.mark.parametrize("method", OPERATORS)
@examples
@given(case=cases())
def test_dead_nodes_are_dead_in_and_out(method: str, case: Case) -> None:
    keep, layout = case.keep(method), case.layout
    biases = np.concatenate([keep[layout.bias_slice(k)] for k in range(len(layout.layers))])
    assert not layout.living_nodes(case.after(method))[~biases].any()


def count(flags: Flags, layout: NetworkLayout) -> list[int]:
    return [int(flags[nodes].sum()) for nodes in layout.node_slices()]


@pytest.mark.parametrize("method", ["random", "magnitude"])
@examples
@given(case=cases())
def test_cumulative_amount_is_the_share_of_dead_nodes_after_the_event(
    method: str, case: Case
) -> None:
    layout = case.layout
    # Where a layer is all dead, the norms of the next are all 0, and position decides.
    assume(method == "random" or all(case.living_of_each_layer()))
    dead = ~layout.living_nodes(case.after(method, cumulative=True))
    wanted = [round(case.amount * layer.n_out) for layer in layout.layers]
    wanted = [
        0 if layer.name == "output" else n for n, layer in zip(wanted, layout.layers, strict=True)
    ]
    assert count(dead, layout) == [
        max(pair) for pair in zip(wanted, count(case.dead, layout), strict=True)
    ]
