"""What every registered pruning operator promises, on random networks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.environments import ENVIRONMENTS, build_architecture
from aes_lipi.autoencoders.network import ActivationStatistics, Mask, Network, NetworkLayout
from aes_lipi.config import Variant
from aes_lipi.pruning.contract import Evidence, Settings
from aes_lipi.pruning.operators import OPERATORS, prune
from aes_lipi.pruning.schedules import SCHEDULES

every_operator = pytest.mark.parametrize("method", OPERATORS)
examples = settings(deadline=None, max_examples=40)
Unit = Literal["weight", "node", "hidden_node"]
UNITS: tuple[Unit, ...] = ("weight", "node", "hidden_node")


@dataclass(frozen=True)
class Case:
    """A network and everything an operator could ask for, all of it read-only."""

    network: Network
    layout: NetworkLayout
    evidence: Evidence
    amount: float
    threshold: float
    seed: int
    unit: Unit = "weight"
    cumulative: bool = False

    def settings(self, method: str, frozen: bool = False) -> Settings:
        return Settings(
            method, self.amount, self.threshold, frozen, self.unit, cumulative=self.cumulative
        )

    def keep(self, method: str) -> Mask:
        operator, genome = OPERATORS[method].function, self.network.genome
        return operator(genome, self.layout, self.evidence, self.settings(method), self.stream())

    def pruned(self, method: str, frozen: bool = False) -> Network:
        asked = self.settings(method, frozen)
        return prune(self.network, self.layout, self.evidence, asked, self.stream())

    def stream(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


@st.composite
def layouts(draw: st.DrawFn) -> NetworkLayout:
    architecture = build_architecture(
        draw(st.sampled_from(list(ENVIRONMENTS.values()))),
        n_dim=draw(st.integers(1, 9)),
        hidden_sizes=tuple(draw(st.lists(st.integers(1, 6), max_size=2))),
        latent_size=draw(st.integers(1, 4)),
    )
    return draw(st.sampled_from([architecture.encoder, architecture.decoder]))


@st.composite
def cases(draw: st.DrawFn, masked: bool | None = None, unit: Unit | None = None) -> Case:
    layout = draw(layouts())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    genome = rng.normal(size=layout.size).astype(np.float32)
    genome[rng.random(layout.size) < 0.2] = 0.0
    genome[rng.random(layout.size) < 0.2] = np.float32(-0.25)  # ties
    mask = None
    if draw(st.booleans()) if masked is None else masked:
        mask = rng.random(layout.size) < 0.7
        genome[~mask] = 0.0
        mask.setflags(write=False)
    genome.setflags(write=False)
    return Case(
        Network(genome, mask, n_pruned=123),
        layout,
        Evidence(random_statistics(layout, rng), random_activations(layout, rng)),
        amount=draw(st.floats(0, 1)),
        threshold=draw(st.floats(0, 1)),
        seed=draw(st.integers(0, 2**32)),
        unit=draw(st.sampled_from(UNITS if unit is None else (unit,))),
        cumulative=draw(st.booleans()),
    )


def random_statistics(layout: NetworkLayout, rng: np.random.Generator) -> ActivationStatistics:
    shape = (int(rng.integers(1, 5)), layout.n_nodes)
    parts = [
        np.full(shape[0], 4.0),
        rng.normal(size=shape),
        rng.integers(0, 3, size=shape).astype(np.float64),
    ]
    for part in parts:
        part.setflags(write=False)
    return ActivationStatistics(*parts)


def random_activations(layout: NetworkLayout, rng: np.random.Generator) -> Float32:
    shape = (int(rng.integers(1, 8)), layout.n_nodes)
    activations = rng.integers(0, 4, size=shape).astype(np.float32)
    activations.setflags(write=False)
    return activations


def same_mask(one: Mask | None, other: Mask | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def bits(values: Float32) -> npt.NDArray[np.uint32]:
    return values.view(np.uint32)


@every_operator
@examples
@given(case=cases())
def test_what_survives_keeps_its_bits_and_the_rest_is_zero(method: str, case: Case) -> None:
    keep, after = case.keep(method), case.pruned(method).genome
    assert keep.dtype == np.bool_
    assert keep.shape == (case.layout.size,)
    assert after.dtype == np.float32
    assert after.shape == (case.layout.size,)
    assert np.array_equal(bits(after)[keep], bits(case.network.genome)[keep])
    assert not bits(after)[~keep].any()


@every_operator
@pytest.mark.parametrize("frozen", [False, True])
@examples
@given(case=cases())
def test_what_is_given_is_left_as_it_was(method: str, frozen: bool, case: Case) -> None:
    # The arrays are read-only, so that a write in place would raise; the copies catch the rest.
    genome = case.network.genome.copy()
    mask = None if case.network.mask is None else case.network.mask.copy()
    statistics, activations = case.evidence.statistics, case.evidence.activations
    assert statistics is not None
    assert activations is not None
    before = [part.copy() for part in (statistics.count, statistics.mean, statistics.m2)]
    seen = activations.copy()
    after = case.pruned(method, frozen)
    assert np.array_equal(bits(case.network.genome), bits(genome))
    assert same_mask(case.network.mask, mask)
    assert np.array_equal(activations, seen)
    for part, earlier in zip(
        (statistics.count, statistics.mean, statistics.m2), before, strict=True
    ):
        assert np.array_equal(part, earlier)
    assert case.network.n_pruned == 123
    assert not np.shares_memory(after.genome, case.network.genome)


@every_operator
@examples
@given(case=cases())
def test_n_pruned_counts_the_zeros_after_the_event(method: str, case: Case) -> None:
    after = case.pruned(method)
    assert after.n_pruned == int((after.genome == 0).sum()) == after.n_zero
    assert type(after.n_pruned) is int


@every_operator
@examples
@given(case=cases(masked=False))
def test_frozen_makes_a_mask_of_what_is_kept(method: str, case: Case) -> None:
    mask = case.pruned(method, frozen=True).mask
    assert mask is not None
    assert mask.dtype == np.bool_
    assert np.array_equal(mask, case.keep(method))


@every_operator
@examples
@given(case=cases(masked=True))
def test_frozen_mask_only_shrinks_and_what_it_hides_is_zero(method: str, case: Case) -> None:
    after, before = case.pruned(method, frozen=True), case.network.mask
    assert before is not None
    assert after.mask is not None
    assert np.array_equal(after.mask, before & case.keep(method))
    assert not (after.mask & ~before).any()
    assert not after.genome[~after.mask].any()


@every_operator
@examples
@given(case=cases())
def test_regrow_leaves_the_mask_as_it_was(method: str, case: Case) -> None:
    assert case.pruned(method).mask is case.network.mask


@every_operator
@examples
@given(case=cases())
def test_same_stream_gives_the_same_result(method: str, case: Case) -> None:
    assert np.array_equal(case.keep(method), case.keep(method))
    one, other = case.pruned(method, frozen=True), case.pruned(method, frozen=True)
    assert np.array_equal(bits(one.genome), bits(other.genome))
    assert same_mask(one.mask, other.mask)


@every_operator
@examples
@given(case=cases())
def test_operator_looks_at_no_more_than_it_needs(method: str, case: Case) -> None:
    needs = OPERATORS[method].needs
    evidence = Evidence(
        statistics=case.evidence.statistics if needs == "statistics" else None,
        activations=case.evidence.activations if needs == "activations" else None,
    )
    assert np.array_equal(replace(case, evidence=evidence).keep(method), case.keep(method))


@pytest.mark.parametrize(
    "method", [name for name, op in OPERATORS.items() if op.needs != "nothing"]
)
@settings(deadline=None, max_examples=5)
@given(case=cases())
def test_missing_evidence_is_an_error(method: str, case: Case) -> None:
    with pytest.raises(ValueError, match=r"pruning needs"):
        replace(case, evidence=Evidence()).keep(method)


@pytest.mark.parametrize("method", ["random", "magnitude"])
@examples
@given(case=cases(unit="weight"))
def test_amount_is_met_in_every_tensor(method: str, case: Case) -> None:
    keep = case.keep(method)
    for entries in case.layout.tensor_slices():
        size = entries.stop - entries.start
        assert int((~keep[entries]).sum()) == round(case.amount * size)


@pytest.mark.parametrize("method", ["random", "magnitude"])
@examples
@given(case=cases())
def test_amount_nought_prunes_nothing_and_one_prunes_all(method: str, case: Case) -> None:
    assert replace(case, amount=0.0).keep(method).all()
    assert not replace(case, amount=1.0, unit="weight").keep(method).any()


def zeros(genome: Float32, entries: slice) -> int:
    return int((genome[entries] == 0).sum())


@pytest.mark.parametrize("method", ["random", "magnitude"])
@examples
@given(case=cases(unit="weight"))
def test_cumulative_amount_is_the_share_of_zeros_after_the_event(method: str, case: Case) -> None:
    after = replace(case, cumulative=True).pruned(method, frozen=True).genome
    for entries in case.layout.tensor_slices():
        wanted = round(case.amount * (entries.stop - entries.start))
        assert zeros(after, entries) == max(wanted, zeros(case.network.genome, entries))


@pytest.mark.parametrize("frozen", [False, True])
@examples
@given(case=cases(), amounts=st.lists(st.floats(0, 1), min_size=2, max_size=4).map(sorted))
def test_random_under_growing_amounts_prunes_only_what_is_missing(
    frozen: bool, case: Case, amounts: list[float]
) -> None:
    network, rng, unit = case.network, case.stream(), case.unit
    for amount in amounts:
        asked = Settings("random", amount, frozen=frozen, unit=unit, cumulative=True)
        again = prune(network, case.layout, Evidence(), asked, rng)
        once_more = prune(again, case.layout, Evidence(), asked, rng)
        assert np.array_equal(bits(once_more.genome), bits(again.genome))
        assert not again.genome[network.genome == 0].any()
        network = again


@examples
@given(case=cases(unit="weight"))
def test_magnitude_prunes_nothing_larger_than_what_it_keeps(case: Case) -> None:
    keep, size = case.keep("magnitude"), np.abs(case.network.genome)
    for entries in case.layout.tensor_slices():
        kept, gone = size[entries][keep[entries]], size[entries][~keep[entries]]
        assert gone.max(initial=0) <= kept.min(initial=np.inf)


@examples
@given(case=cases(unit="weight"))
def test_random_draws_of_weights_are_those_of_the_published_operator(case: Case) -> None:
    rng, expected = case.stream(), np.ones(case.layout.size, dtype=np.bool_)
    for entries in case.layout.tensor_slices():
        size = entries.stop - entries.start
        chosen = rng.choice(size, round(case.amount * size), replace=False, shuffle=False)
        expected[entries][chosen] = False
    assert np.array_equal(replace(case, cumulative=False).keep("random"), expected)


@pytest.mark.parametrize("method", ["activation", "activation_low", "lexicase"])
@examples
@given(case=cases(), amount=st.floats(0, 1))
def test_amount_has_no_effect_on_operators_of_activations(
    method: str, case: Case, amount: float
) -> None:
    assert np.array_equal(replace(case, amount=amount).keep(method), case.keep(method))


@pytest.mark.parametrize("method", ["activation", "activation_low"])
@examples
@given(case=cases(unit="weight"))
def test_activation_clears_one_end_of_the_scores_and_spares_the_other(
    method: str, case: Case
) -> None:
    statistics, keep = case.evidence.statistics, case.keep(method)
    assert statistics is not None
    scores = statistics.standard_deviation().sum(axis=0)
    chances = 1 - scores if method == "activation" else scores
    for k, nodes in enumerate(case.layout.node_slices()):
        layer, chance = case.layout.layers[k], chances[nodes]
        if chance.min() == chance.max():
            continue
        weights = keep[case.layout.weight_slice(k)].reshape(layer.n_out, layer.n_in)
        bias = keep[case.layout.bias_slice(k)]
        for entries in (weights, bias):
            assert not entries[chance == chance.min()].any()
            assert entries[chance == chance.max()].all()


def naive_candidates(row: Float32, threshold: float) -> set[int]:
    """Nodes whose min-max normalised value is below the threshold, in float64."""
    values = [float(value) for value in row]
    low, high = min(values), max(values)
    if low == high:
        return set()
    return {u for u, value in enumerate(values) if (value - low) / (high - low) < threshold}


def naive_lexicase(rows: Float32, threshold: float) -> set[int]:
    """Nodes of one layer that lexicase clears, as section 5 says it, with sets."""
    left = naive_candidates(rows[0], threshold)
    for row in rows[1:]:
        if len(left) <= 1:
            break
        left &= naive_candidates(row, threshold)
    return left


@examples
@given(case=cases(unit="weight"), threshold=st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0]))
def test_lexicase_clears_whole_nodes_as_an_implementation_with_sets_does(
    case: Case, threshold: float
) -> None:
    activations, keep = (
        case.evidence.activations,
        replace(case, threshold=threshold).keep("lexicase"),
    )
    assert activations is not None
    for k, nodes in enumerate(case.layout.node_slices()):
        layer = case.layout.layers[k]
        cleared = naive_lexicase(activations[:, nodes], threshold)
        expected = np.array([u not in cleared for u in range(layer.n_out)])
        weights = keep[case.layout.weight_slice(k)].reshape(layer.n_out, layer.n_in)
        assert np.array_equal(weights, np.repeat(expected[:, None], layer.n_in, axis=1))
        assert np.array_equal(keep[case.layout.bias_slice(k)], expected)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("method", OPERATORS)
@pytest.mark.parametrize("frozen", [False, True])
def test_settings_are_taken_from_the_variant(method: str, frozen: bool, unit: Unit) -> None:
    variant = Variant.model_validate(
        {
            "prune_method": method,
            "prune_amount": 0.3,
            "lexi_threshold": 0.2,
            "pruned_weights": "frozen" if frozen else "regrow",
            "prune_unit": unit,
        }
    )
    expected = Settings(method, amount=0.15, threshold=0.2, frozen=frozen, unit=unit)
    assert Settings.of(variant, 0.15) == expected


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_amount_is_cumulative_under_the_gradual_schedule_alone(schedule: str) -> None:
    variant = Variant.model_validate({"prune_method": "random", "prune_schedule": schedule})
    assert Settings.of(variant, 0.1).cumulative == (schedule == "gradual")
