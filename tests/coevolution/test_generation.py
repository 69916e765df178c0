"""The generation of a cell, followed step by step in float64, and each variant's own promises."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import setup_of, tiny_variant
from rings import advanced, begun, cells_of, evolved, records_of, with_cells

from aes_lipi.autoencoders.network import NetworkLayout, Pair
from aes_lipi.coevolution.cell import Task
from aes_lipi.coevolution.evolution import waves
from aes_lipi.coevolution.generation import CELL_EVALUATIONS, generation
from aes_lipi.coevolution.records import Record
from aes_lipi.coevolution.schedule import Schedule, make_plan
from aes_lipi.coevolution.state import Cell, Held, NetworkState, Setup, Step, TrialState
from aes_lipi.coevolution.topology import ring as ring_topology
from aes_lipi.config import Variant
from aes_lipi.pruning.operators import OPERATORS
from aes_lipi.randomness import Address, Purpose

Array = npt.NDArray[np.float64]


# An independent float64 autoencoder: one hidden layer each, ReLU, sigmoid at the end, L1 loss.


def unpack(genome: Array, layout: NetworkLayout) -> list[Array]:
    shapes = [s for layer in layout.layers for s in ((layer.n_out, layer.n_in), (layer.n_out,))]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    return [
        genome[end - int(np.prod(shape)) : end].reshape(shape)
        for end, shape in zip(ends, shapes, strict=True)
    ]


def forward(encoder: list[Array], decoder: list[Array], x: Array) -> list[Array]:
    hidden = np.maximum(x @ encoder[0].T + encoder[1], 0)
    code = np.maximum(hidden @ encoder[2].T + encoder[3], 0)
    back = np.maximum(code @ decoder[0].T + decoder[1], 0)
    output = 1 / (1 + np.exp(-(back @ decoder[2].T + decoder[3])))
    return [hidden, code, back, output]


def loss(encoder: list[Array], decoder: list[Array], x: Array) -> float:
    return float(np.abs(forward(encoder, decoder, x)[-1] - x).mean())


def gradients(encoder: list[Array], decoder: list[Array], x: Array) -> tuple[list[Array], ...]:
    hidden, code, back, output = forward(encoder, decoder, x)
    d_output = np.sign(output - x) / x.size * output * (1 - output)
    d_back = (d_output @ decoder[2]) * (back > 0)
    d_code = (d_back @ decoder[0]) * (code > 0)
    d_hidden = (d_code @ encoder[2]) * (hidden > 0)
    return (
        [d_hidden.T @ x, d_hidden.sum(0), d_code.T @ hidden, d_code.sum(0)],
        [d_back.T @ code, d_back.sum(0), d_output.T @ back, d_output.sum(0)],
    )


def train_pass(
    encoder: list[Array], decoder: list[Array], batches: list[Array], rate: float
) -> tuple[list[Array], list[Array]]:
    for x in batches:
        for weights, slopes in zip((encoder, decoder), gradients(encoder, decoder, x), strict=True):
            for weight, slope in zip(weights, slopes, strict=True):
                np.subtract(weight, rate * slope / (np.abs(slope) + 1e-8), out=weight)
    return encoder, decoder


def as_float64(pair: Pair, setup: Setup) -> tuple[list[Array], list[Array]]:
    return (
        unpack(pair.encoder.genome.astype(np.float64), setup.architecture.encoder),
        unpack(pair.decoder.genome.astype(np.float64), setup.architecture.decoder),
    )


def flat(tensors: list[Array]) -> Array:
    return np.concatenate([tensor.ravel() for tensor in tensors])


def order_of_updates(variant: Variant, trial: int, t: int) -> list[int]:
    """By index in the first generation, shuffled afterwards: algorithm section 4."""
    if t == 0:
        return list(range(variant.population_size))
    drawn = Address(variant.rng_seed, trial, 0, t).stream(Purpose.UPDATE_ORDER)
    return [int(i) for i in drawn.permutation(variant.population_size)]


@pytest.mark.parametrize(
    ("concept", "reduce"),
    [("best_case", np.min), ("worst_case", np.max), ("mean_expected_utility", np.mean)],
)
def test_a_generation_followed_by_hand_in_float64(
    concept: str, reduce: Callable[..., Array]
) -> None:
    """Steps 1 to 8 of algorithm section 4 for every cell of a sequential ring, in its order."""
    variant = tiny_variant(
        population_size=3,
        prune_method="random",
        prune_probability=1.0,
        prune_amount=0.25,
        solution_concept=concept,
    )
    setup = setup_of(variant)
    ring, _ = advanced(begun(setup), setup)
    after, records = advanced(ring, setup)
    data = setup.dataset.train.astype(np.float64)
    centres = [as_float64(cell.pair, setup) for cell in cells_of(ring)]
    for i in order_of_updates(variant, 0, 1):
        at = Address(variant.rng_seed, 0, i, 1)
        members = [i, (i + 1) % 3, (i - 1) % 3]
        x = data[at.stream(Purpose.SELECTION_BATCH).choice(12, 5, replace=False)]
        matrix = np.array(
            [[loss(centres[e][0], centres[d][1], x) for d in members] for e in members]
        )
        reduced = reduce(matrix, axis=1)
        first, second = at.stream(Purpose.TOURNAMENT).integers(3, size=2)
        winner = second if reduced[second] <= reduced[first] else first
        encoder, decoder = ([tensor.copy() for tensor in part] for part in centres[members[winner]])
        order = at.stream(Purpose.SHUFFLE).permutation(np.arange(12))
        batches = [data[order[k : k + 5]] for k in (0, 5, 10)]
        encoder, decoder = train_pass(encoder, decoder, batches, ring.learning_rates[i])
        x = data[at.stream(Purpose.REPLACEMENT_BATCH).choice(12, 5, replace=False)]
        replacement = loss(encoder, decoder, x)
        prune_by_hand(encoder, decoder, at)
        centres[i] = (encoder, decoder)
        record, pair = records[i], cells_of(after)[i].pair
        assert record.winner == winner
        assert record.winner_cell == members[winner]
        assert record.min_selection_loss == pytest.approx(reduced.min(), rel=1e-5)
        assert record.selection_losses == pytest.approx(matrix.ravel(), rel=1e-5)
        assert record.min_replacement_loss == pytest.approx(replacement, rel=1e-5)
        np.testing.assert_allclose(pair.encoder.genome, flat(encoder), atol=2e-6)
        np.testing.assert_allclose(pair.decoder.genome, flat(decoder), atol=2e-6)
        assert record.n_pruned_encoder == np.count_nonzero(flat(encoder) == 0)
        order = at.stream(Purpose.MEASURED_ORDER).permutation(12)
        losses = [loss(encoder, decoder, data[order[k : k + 5]]) for k in (0, 5, 10)]
        assert record.mean_L1 == pytest.approx(np.mean(losses), rel=1e-5)
        assert record.std_L1 == pytest.approx(np.std(losses), rel=1e-4)
        test = setup.dataset.test.astype(np.float64)[:5]  # the first batch, always
        assert record.test_loss == pytest.approx(loss(encoder, decoder, test), rel=1e-5)
        step = at.stream(Purpose.LEARNING_RATE).normal(0, 1e-5)
        assert after.learning_rates[i] == pytest.approx(ring.learning_rates[i] + step)


def test_a_generation_of_epoch_node_followed_by_hand_in_float64() -> None:
    """The winner meets a drawn decoder and a drawn encoder a batch, and goes on, always."""
    variant = tiny_variant(
        cell_evaluation="epoch-node",
        population_size=4,
        prune_method="random",
        prune_probability=1.0,
        prune_amount=0.25,
    )
    setup = setup_of(variant)
    ring, _ = advanced(begun(setup), setup)
    after, records = advanced(ring, setup)
    data = setup.dataset.train.astype(np.float64)
    centres = [as_float64(cell.pair, setup) for cell in cells_of(ring)]
    for i in order_of_updates(variant, 0, 1):
        at = Address(variant.rng_seed, 0, i, 1)
        members = [i, (i + 1) % 4, (i - 1) % 4]
        encoders, decoders = (
            [[tensor.copy() for tensor in centres[m][part]] for m in members] for part in (0, 1)
        )
        x = data[at.stream(Purpose.SELECTION_BATCH).choice(12, 5, replace=False)]
        reduced = [min(loss(e, d, x) for d in decoders) for e in encoders]
        first, second = at.stream(Purpose.TOURNAMENT).integers(3, size=2)
        winner = second if reduced[second] <= reduced[first] else first
        order = at.stream(Purpose.SHUFFLE).permutation(np.arange(12))
        partners = at.stream(Purpose.OPPONENTS).integers(3, size=(3, 2), dtype=np.int32)
        for k, (decoder, encoder) in enumerate(partners):
            batch = [data[order[5 * k : 5 * k + 5]]]
            train_pass(encoders[winner], decoders[decoder], batch, ring.learning_rates[i])
            train_pass(encoders[encoder], decoders[winner], batch, ring.learning_rates[i])
        x = data[at.stream(Purpose.REPLACEMENT_BATCH).choice(12, 5, replace=False)]
        replacement = loss(encoders[winner], decoders[winner], x)
        prune_by_hand(encoders[winner], decoders[winner], at)
        centres[i] = (encoders[winner], decoders[winner])
        record, pair = records[i], cells_of(after)[i].pair
        assert (record.winner, record.winner_cell) == (winner, members[winner])
        assert record.min_replacement_loss == pytest.approx(replacement, rel=1e-5)
        np.testing.assert_allclose(pair.encoder.genome, flat(encoders[winner]), atol=5e-5)
        np.testing.assert_allclose(pair.decoder.genome, flat(decoders[winner]), atol=5e-5)
        assert record.capacity_published == pytest.approx(
            1
            - (record.n_pruned_encoder + record.n_pruned_decoder) / setup.architecture.n_parameters
        )


@pytest.mark.parametrize("measurement", ["published", "sound"])
def test_where_rows_are_not_shuffled_published_evaluations_are_of_the_first(
    measurement: str,
) -> None:
    setup = setup_of(tiny_variant(no_shuffle_data=True, measurement=measurement))
    ring, _ = advanced(begun(setup), setup)
    _, records = advanced(ring, setup)
    data = setup.dataset.train.astype(np.float64)
    i = order_of_updates(setup.variant, 0, 1)[0]
    at = Address(setup.variant.rng_seed, 0, i, 1)
    drawn = at.stream(Purpose.SELECTION_BATCH).choice(12, 5, replace=False)
    x = data[:5] if measurement == "published" else data[drawn]
    centre = as_float64(cells_of(ring)[i].pair, setup)
    losses = records[i].selection_losses
    assert losses is not None
    assert losses[0] == pytest.approx(loss(*centre, x), rel=1e-5)
    test = setup.dataset.test.astype(np.float64)
    _, records = advanced(ring, setup)
    batches = [test[:5]] if measurement == "published" else [test[k : k + 5] for k in (0, 5, 10)]
    after = as_float64(cells_of(advanced(ring, setup)[0])[i].pair, setup)
    losses_of = [loss(*after, batch) for batch in batches]
    expected = np.average(losses_of, weights=[len(batch) for batch in batches])  # rows alike
    assert records[i].test_loss == pytest.approx(expected, rel=1e-5)


def prune_by_hand(encoder: list[Array], decoder: list[Array], at: Address) -> None:
    """`random` with an amount of 1/4."""
    for part, purpose in ((encoder, Purpose.PRUNE_ENCODER), (decoder, Purpose.PRUNE_DECODER)):
        rng = at.stream(purpose)
        for tensor in part:
            size = tensor.size
            tensor.ravel()[rng.choice(size, round(0.25 * size), replace=False, shuffle=False)] = 0


def test_a_generation_of_all_vs_all_followed_by_hand_in_float64() -> None:
    """Pair after pair, both networks trained in place by both updates of every batch."""
    variant = tiny_variant(
        cell_evaluation="all_vs_all",
        population_size=3,
        prune_method="random",
        prune_probability=0.5,
        prune_amount=0.25,
    )
    setup = setup_of(variant)
    before, first = advanced(begun(setup), setup)
    after, records = advanced(before, setup)
    pairs = [(i, j) for i in range(3) for j in range(3)]
    assert [(record.encoder, record.decoder) for record in first] == pairs  # by index at first
    order = Address(variant.rng_seed, 0, 0, 1).stream(Purpose.PAIR_ORDER).permutation(3)
    networks = {at: each.network for at, each in networks_of(before).items()}
    encoders: list[list[Array]] = []
    decoders: list[list[Array]] = []
    for i in range(3):
        pair = Pair(networks["encoder", i], networks["decoder", i])
        for kind, parts in zip((encoders, decoders), as_float64(pair, setup), strict=True):
            kind.append(parts)
    data, events = setup.dataset.train.astype(np.float64), 0
    for place, (i, j) in enumerate((i, j) for i in order for j in order):
        at, record = Address(variant.rng_seed, 0, place, 1), records[place]
        encoder, decoder = encoders[i], decoders[j]
        x = data[at.stream(Purpose.SELECTION_BATCH).choice(12, 5, replace=False)]
        assert record.min_selection_loss == pytest.approx(loss(encoder, decoder, x), rel=1e-5)
        shuffled = at.stream(Purpose.SHUFFLE).permutation(np.arange(12))
        batches = [data[shuffled[k : k + 5]] for k in (0, 0, 5, 5, 10, 10)]
        train_pass(encoder, decoder, batches, before.rates[0, 1])
        x = data[at.stream(Purpose.REPLACEMENT_BATCH).choice(12, 5, replace=False)]
        assert record.min_replacement_loss == pytest.approx(loss(encoder, decoder, x), rel=1e-5)
        assert record.prune_event == (at.stream(Purpose.PRUNE_EVENT).random() < 0.5)
        if record.prune_event:
            prune_by_hand(encoder, decoder, at)
            events += 1
        assert (record.encoder, record.decoder, record.cell) == (i, j, place)
        assert record.learning_rate == before.rates[0, 1]
    assert 0 < events < 9
    for (part, number), each in networks_of(after).items():
        expected = flat((encoders if part == "encoder" else decoders)[number])
        np.testing.assert_allclose(each.network.genome, expected, atol=5e-6)
    step = Address(variant.rng_seed, 0, 0, 1).stream(Purpose.LEARNING_RATE).normal(0, 1e-5)
    assert after.rates == {(0, 2): pytest.approx(before.rates[0, 1] + step)}


def networks_of(state: TrialState[Held]) -> dict[tuple[str, int], NetworkState]:
    latest = state.latest.items()
    found = {(part, k): held for (part, k), held in latest if isinstance(held, NetworkState)}
    assert found
    return {(str(part), k): held for (part, k), held in found.items()}


def changed_neighbour(setup: Setup, ring: TrialState[Held], cell: int) -> TrialState[Held]:
    """The same ring, but one cell's centre is another."""
    return with_cells(ring, {cell: cells_of(begun(setup, trial=77))[cell]})


def reached(update_order: str, trial: int) -> set[int]:
    """Cells of a ring of six that one generation changes when cell 0 starts from another centre."""
    variant = tiny_variant(population_size=6, tournament_size=20, update_order=update_order)
    setup = setup_of(variant)
    start = begun(setup, trial)
    plain, _ = advanced(start, setup)
    changed, _ = advanced(changed_neighbour(setup, start, 0), setup)
    return {cell for cell in range(6) if differs(plain, changed, cell)}


def test_sequential_cells_see_this_generations_neighbours() -> None:
    """In generation 0, in index order, a change at cell 0 spreads through cell 1 beyond it."""
    [steps] = generations_of(tiny_variant(population_size=6, epochs=1), 0)
    assert [[step.key.number for step in wave] for wave in waves_of(steps)] == [
        [i] for i in range(6)
    ]
    assert [version[1:] for version in steps[1].read] == [(1, -1), (2, -1), (0, 0)]
    assert [version[1:] for version in steps[5].read] == [(5, -1), (0, 0), (4, 0)]
    assert any(reached("sequential", trial) & {2, 3, 4} for trial in range(10))


def test_synchronous_cells_see_the_last_generation_only() -> None:
    spread = set().union(*(reached("synchronous", trial) for trial in range(10)))
    assert spread == {5, 0, 1}


def test_a_wave_has_the_bits_of_its_cells_one_by_one() -> None:
    setup = setup_of(tiny_variant(update_order="synchronous", prune_method="activation"))
    cells = cells_of(begun(setup))
    tasks = [
        Task(
            setup=setup,
            cell=cells[i],
            neighbourhood=tuple(cells[j].pair for j in members),
            members=members,
            reads=(-1,) * 3,
            plan=make_plan(setup.variant, Address(1, 0, i, 0), 0.01, 3),
        )
        for i, members in enumerate(ring_topology(4, 1))
    ]
    for task, stacked in zip(tasks, generation(tasks), strict=True):
        [alone] = generation([task])
        assert isinstance(alone, tuple)
        assert isinstance(stacked, tuple)
        assert timeless(alone[1]) == timeless(stacked[1])
        for ours, theirs in zip(alone[0].networks, stacked[0].networks, strict=True):
            np.testing.assert_array_equal(ours.genome, theirs.genome)


def differs(left: TrialState[Held], right: TrialState[Held], cell: int) -> bool:
    return distance(cells_of(left)[cell], cells_of(right)[cell]) > 0


def distance(left: Cell, right: Cell) -> float:
    return float(np.abs(left.pair.decoder.genome - right.pair.decoder.genome).sum())


def timeless(record: Record) -> Record:
    return dataclasses.replace(record, wall_time_s=0.0, cpu_time_s=0.0)


def test_waves_respect_the_order_and_never_hold_neighbours_together() -> None:
    variant = tiny_variant(population_size=10, radius=2, epochs=20)
    members = ring_topology(10, 2)
    for t, steps in enumerate(generations_of(variant, 3)):
        order = order_of_updates(variant, 3, t)
        assert [step.key.number for step in steps] == order
        done: set[int] = set()
        for wave in waves_of(steps):
            cells = {step.key.number for step in wave}
            for step in wave:
                cell = step.key.number
                assert step.members == members[cell]
                assert not set(step.members[1:]) & cells
                new = {j for _, j, g in step.read if g == t}
                assert new == {j for j in step.members if order.index(j) < order.index(cell)}
                assert new <= done
                assert min(step.reads) == t - 1
            done |= cells
        assert done == set(range(10))


def test_every_generation_after_the_first_has_an_order_of_its_own() -> None:
    """The drawn one, of every trial another."""
    variant = tiny_variant(population_size=10, epochs=20)
    orders = [
        [[step.key.number for step in steps] for steps in generations_of(variant, trial)]
        for trial in (0, 3)
    ]
    for trial, found in zip((0, 3), orders, strict=True):
        assert found == [order_of_updates(variant, trial, t) for t in range(20)]
        assert len({tuple(order) for order in found}) == 20
    one, other = orders
    assert all(ours != theirs for ours, theirs in zip(one[1:], other[1:], strict=True))


def generations_of(variant: Variant, trial: int) -> list[list[Step]]:
    """All steps of a trial, by generation."""
    schedule = Schedule(variant)
    start = schedule.start(trial, dict.fromkeys(schedule.first_versions))
    steps = schedule.ready(start, {}, variant.epochs)
    return [[step for step in steps if step.generation == t] for t in range(variant.epochs)]


def waves_of(steps: list[Step]) -> list[list[Step]]:
    return [[step for _, step in wave] for wave in waves([(0, step) for step in steps])]


def evolve(variant: Variant, trial: int = 0) -> tuple[list[Cell], list[Record], Setup]:
    setup = setup_of(variant)
    last = evolved(setup, trial)
    networks = last.latest.values()
    cells = [
        held if isinstance(held, Cell) else Cell(Pair(held.network, held.network), held.moments)
        for held in networks
    ]
    return cells, records_of(last), setup


@pytest.mark.parametrize("method", ["None", *OPERATORS])
@pytest.mark.parametrize("cell_evaluation", CELL_EVALUATIONS)
def test_every_cell_evaluation_runs_with_every_operator(cell_evaluation: str, method: str) -> None:
    settings: dict[str, Any] = {
        "cell_evaluation": cell_evaluation,
        "prune_method": method,
        "prune_probability": 1.0,
        "pruned_weights": "frozen",
        "population_size": 3,
    }
    cells, records, _ = evolve(tiny_variant(**settings))
    size = {"ann_canonical": 1, "all_vs_all": 9}.get(cell_evaluation, 3)
    assert len(records) == 3 * size
    assert [(r.generation, r.cell) for r in records] == [
        (t, c) for t in range(3) for c in range(size)
    ]
    assert all(np.isfinite(record.min_replacement_loss) for record in records)
    assert all(record.prune_event == (method != "None") for record in records)
    for cell in cells:
        for network in (cell.pair.encoder, cell.pair.decoder):
            if network.mask is not None:
                assert not network.genome[~network.mask].any()
    if method in ("random", "magnitude", "activation", "activation_low", "roulette"):
        assert all(record.n_pruned_decoder > 0 for record in records)


@pytest.mark.parametrize("cell_evaluation", CELL_EVALUATIONS)
@pytest.mark.parametrize("state", ["step", "generation", "cell"])
def test_every_optimiser_lifetime_with_every_cell_evaluation(
    cell_evaluation: str, state: str
) -> None:
    settings = {"cell_evaluation": cell_evaluation, "optimizer_state": state}
    cells, _, setup = evolve(tiny_variant(**settings, population_size=3))
    kept = [cell.encoder_moments for cell in cells]
    assert all((moments is not None) == (state == "cell") for moments in kept)
    # Of `all_vs_all` with each of three partners, twice a batch.
    updates = {"lipi_simple": 1, "ann_canonical": 1, "all_vs_all": 6}.get(cell_evaluation)
    if state == "cell" and updates:
        steps = 3 * updates * setup.variant.epochs  # of three batches
        assert all(m is not None and m.steps == steps for m in kept)


def test_pruning_first_is_evaluated_after() -> None:
    """With nearly all pruned, `lipi_simple_pte` evaluates a dead pair: output 1/2, loss 1/2."""
    settings: dict[str, Any] = {
        "prune_method": "random",
        "prune_probability": 1.0,
        "prune_amount": 0.999,
        "epochs": 1,
    }
    _, late, _ = evolve(tiny_variant(cell_evaluation="lipi_simple_pte", **settings))
    _, early, _ = evolve(tiny_variant(cell_evaluation="lipi_simple", **settings))
    assert all(record.min_replacement_loss == 0.5 for record in late)
    assert all(record.min_replacement_loss != 0.5 for record in early)
    assert all(record.mean_L1 == 0.5 and record.capacity == 0 for record in (*late, *early))


def test_the_baseline_keeps_statistics_from_one_prune_event_to_the_next() -> None:
    """Selection and replacement each observe one batch, training three: five a generation."""
    variant = tiny_variant(
        cell_evaluation="ann_canonical", prune_method="activation", prune_probability=0.0, epochs=3
    )
    cells, _, _ = evolve(variant)
    statistics = cells[0].encoder_statistics
    assert statistics is not None
    assert statistics.count[0] == 3 * 5
    pruned, _, _ = evolve(variant.model_copy(update={"prune_probability": 1.0}))
    assert pruned[0].encoder_statistics is None


@pytest.mark.parametrize("evaluation", ["lipi_simple", "lipi_simple_pte", "epoch-node"])
def test_the_ring_carries_no_statistics(evaluation: str) -> None:
    cells, _, _ = evolve(
        tiny_variant(cell_evaluation=evaluation, prune_method="activation", prune_probability=0.5)
    )
    assert all(cell.encoder_statistics is None for cell in cells)


def test_a_masked_winner_brings_its_mask_along() -> None:
    """Frozen entries travel: every zero a cell has not pruned itself came with a neighbour."""
    variant = tiny_variant(
        prune_method="random",
        prune_probability=0.3,
        prune_amount=0.3,
        pruned_weights="frozen",
        epochs=6,
    )
    _, records, _ = evolve(variant)
    inherited = [r for r in records if r.winner_cell != r.cell and not r.prune_event]
    assert any(record.n_zero_encoder > 0 for record in inherited)
    assert all(r.n_zero_encoder >= r.n_pruned_encoder * 0.99 for r in records)


def test_regrown_weights_come_back() -> None:
    variant = tiny_variant(
        cell_evaluation="ann_canonical",
        optimizer_state="step",
        prune_method="random",
        prune_schedule="decrease",
        prune_probability=1.0,
        prune_amount=0.5,
        schedule_horizon="sound",
        epochs=2,
    )
    _, records, _ = evolve(variant)
    assert [record.prune_event for record in records] == [True, False]
    assert records[1].n_zero_decoder < records[0].n_zero_decoder
    assert records[1].n_pruned_decoder == records[0].n_pruned_decoder


def test_identical_initial_networks_and_subsets_of_rows() -> None:
    setup = setup_of(tiny_variant(identical_initial_networks=True))
    start = begun(setup)
    first, *others = (cell.pair.encoder.genome for cell in cells_of(start))
    for genome in others:
        np.testing.assert_array_equal(genome, first)
    different = begun(setup_of(tiny_variant()))
    assert differs(different, start, 1)


def test_a_warm_start_deals_the_pairs_out_in_turn() -> None:
    setup = setup_of(tiny_variant())
    saved = [cell.pair for cell in cells_of(begun(setup, 9))[:2]]
    warm = begun(dataclasses.replace(setup, warm_start=saved))
    assert [cell.pair for cell in cells_of(warm)] == [saved[0], saved[1], saved[0], saved[1]]


def test_plans_are_addressed_and_do_not_depend_on_history() -> None:
    variant = tiny_variant(prune_method="random", prune_probability=0.5, epochs=200)
    plans = [make_plan(variant, Address(1, 0, 2, t), 0.01, 3) for t in range(200)]
    assert plans == [make_plan(variant, Address(1, 0, 2, t), 0.01, 3) for t in range(200)]
    events = sum(plan.prune for plan in plans)
    assert 70 < events < 130  # 200 draws at 1/2: 100 +- 4 standard deviations of 7.07
    assert {member for plan in plans for member in plan.contestants} == {0, 1, 2}
