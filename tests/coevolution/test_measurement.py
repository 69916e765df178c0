"""What `measurement` says: the baseline's losses, and codes that are drawn, against float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from dense_reference import ReferenceNetwork, reference_loss, train_reference
from helpers import tiny_variant
from rings import advanced, begun, cells_of, evolved, records_of

from aes_lipi.autoencoders.network import Pair
from aes_lipi.coevolution.measure import DivergenceError
from aes_lipi.coevolution.result import judge
from aes_lipi.coevolution.state import Setup
from aes_lipi.data.load import load_dataset
from aes_lipi.engine.protocol import ActivationsTask, Measure, Moments, TrainTask, Updates
from aes_lipi.engine.torch import TorchEngine
from aes_lipi.execution.inputs import architecture_of, prepare
from aes_lipi.randomness import Address, Purpose

VARIATIONAL = {"environment": "VariationalAutoencoderBinaryClustering"}
every_engine = pytest.mark.parametrize("engine", ["dense", "torch"])
both_ways = pytest.mark.parametrize("measurement", ["published", "sound"])


def in_float64(pair: Pair, setup: Setup) -> tuple[ReferenceNetwork, ReferenceNetwork]:
    return (
        ReferenceNetwork.of(pair.encoder, setup.architecture.encoder, np.float64),
        ReferenceNetwork.of(pair.decoder, setup.architecture.decoder, np.float64),
    )


@every_engine
@both_ways
def test_the_baselines_losses_are_the_lowest_of_its_batches(engine: str, measurement: str) -> None:
    """In training, each before its update (algorithm section 4); sound, of a drawn batch each."""
    baseline: dict[str, Any] = {"cell_evaluation": "ann_canonical", "population_size": 1}
    settings = {"optimizer_state": "cell", "learning_rate": 0.01, "measurement": measurement}
    setup = prepare(tiny_variant(engine=engine, radius=0, **baseline, **settings))
    start = begun(setup)
    after, [record] = advanced(start, setup)
    at, [before], [made] = Address(setup.variant.rng_seed, 0), cells_of(start), cells_of(after)
    train = setup.dataset.train.astype(np.float64)
    order = at.stream(Purpose.SHUFFLE).permutation(len(train)).astype(np.int32)
    assert len(order) == 12
    rows = np.append(order, [-1, -1, -1]).astype(np.int32).reshape(3, 5)
    losses = []
    for s in range(3):
        zeros = np.zeros(s, np.int32)
        networks = ((before.pair.encoder,), (before.pair.decoder,))
        updates = Updates(rows[:s], zeros, zeros, np.full(s, record.learning_rate))
        encoder, decoder = (
            (Moments.zero(each.size),)
            for each in (setup.architecture.encoder, setup.architecture.decoder)
        )
        task = TrainTask(*networks, updates, encoder, decoder)
        encoders, decoders = train_reference(setup.architecture, train, task)
        batch = train[rows[s][rows[s] >= 0]]
        losses.append(reference_loss(setup.architecture, encoders[0], decoders[0], batch))

    def on_drawn(purpose: Purpose, pair: Pair) -> float:
        batch = train[at.stream(purpose).choice(12, 5, replace=False)]
        return reference_loss(setup.architecture, *in_float64(pair, setup), batch)

    expected = [min(losses)] * 2
    if measurement == "sound":
        expected = [
            on_drawn(Purpose.SELECTION_BATCH, before.pair),
            on_drawn(Purpose.REPLACEMENT_BATCH, made.pair),
        ]
    found = [record.min_selection_loss, record.min_replacement_loss]
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    assert len({min(losses), *expected}) == (1 if measurement == "published" else 3)


@every_engine
@both_ways
def test_evaluations_draw_a_variational_code(engine: str, measurement: str) -> None:
    """Published, each its own; sound, the code is its mean (algorithm section 7)."""
    setup = prepare(tiny_variant(engine=engine, measurement=measurement, **VARIATIONAL))
    architecture, dataset, i = setup.architecture, setup.dataset, 0
    start = begun(setup)
    after, records = advanced(start, setup)
    at, record = Address(setup.variant.rng_seed, 0, i), records[i]
    is_published = measurement == "published"
    centres = [cells_of(start)[k].pair for k in (i, (i + 1) % 4, (i - 1) % 4)]
    pair = cells_of(after)[i].pair

    def noise(stream: np.random.Generator, *shape: int) -> Any:
        values = stream.standard_normal((*shape, architecture.latent_size), dtype=np.float32)
        return values if is_published else np.zeros_like(values)

    def loss(encoder: Pair, decoder: Pair, rows: Any, code: Any, measure: Measure = "loss") -> Any:
        both = in_float64(Pair(encoder.encoder, decoder.decoder), setup)
        return reference_loss(architecture, *both, rows.astype(np.float64), measure, noise=code)

    def drawn(purpose: Purpose) -> Any:
        return dataset.train[at.stream(purpose).choice(12, 5, replace=False)]

    codes, rows = noise(at.stream(Purpose.SELECTION_CODE), 3, 3, 5), drawn(Purpose.SELECTION_BATCH)
    matrix = [
        loss(encoder, decoder, rows, codes[e, d])
        for e, encoder in enumerate(centres)
        for d, decoder in enumerate(centres)
    ]
    assert record.selection_losses is not None
    np.testing.assert_allclose(record.selection_losses, matrix, rtol=1e-5)
    codes = noise(at.stream(Purpose.REPLACEMENT_CODE), 5)
    expected = loss(pair, pair, drawn(Purpose.REPLACEMENT_BATCH), codes)
    assert record.min_replacement_loss == pytest.approx(expected, rel=1e-5)

    codes = noise(at.stream(Purpose.MEASURED_CODE), 12)
    order = np.arange(12)
    if is_published:
        order = at.stream(Purpose.MEASURED_ORDER).permutation(12)
    l1 = [
        loss(pair, pair, dataset.train[order[k : k + 5]], codes[k : k + 5], "l1")
        for k in (0, 5, 10)
    ]
    weights = None if is_published else [5, 5, 2]
    assert record.mean_L1 == pytest.approx(np.average(l1, weights=weights), rel=1e-5)
    if is_published:
        codes = noise(at.stream(Purpose.TEST_CODE), 5)
        expected = loss(pair, pair, dataset.test[:5], codes)
        assert record.test_loss == pytest.approx(expected, rel=1e-5)


@every_engine
@both_ways
def test_what_is_ours_is_measured_with_a_codes_mean(engine: str, measurement: str) -> None:
    """The answer, and all that is measured of it on test and validation rows: as a model has it."""
    asked = tiny_variant(engine=engine, epochs=4, measurement=measurement, **VARIATIONAL)
    setup = prepare(asked)
    state = evolved(setup)
    result, pairs = judge(state, records_of(state), setup)
    both = in_float64(pairs[result.best_cell], setup)
    sizes = [5, 5, 2] if measurement == "sound" else None
    test, validation = setup.dataset.test, setup.dataset.validation
    for split, measured in ((test, result.test_L1), (validation, result.validation_L1)):
        rows = split.astype(np.float64)
        parts = [rows[k : k + 5] for k in range(0, len(rows), 5)]
        losses = [reference_loss(setup.architecture, *both, part, "l1") for part in parts]
        assert measured == pytest.approx(np.average(losses, weights=sizes), rel=1e-5)
    for split, measured in ((test, result.test_loss), (validation, result.validation_loss)):
        rows = split.astype(np.float64)
        parts = [rows[k : k + 5] for k in range(0, len(rows), 5)]
        sums = [reference_loss(setup.architecture, *both, part) for part in parts]
        every = np.mean(sums) if sizes is None else 5 * np.sum(sums) / len(rows)
        assert measured == pytest.approx(every, rel=1e-5)


@pytest.mark.parametrize("method", ["activation", "lexicase"])
@every_engine
def test_operators_see_the_codes_that_are_drawn(
    engine: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the evaluations that VARIANCE's record holds are those that decided."""
    settings = {"prune_method": method, "prune_schedule": "fixed", "prune_probability": 1.0}
    setup = prepare(tiny_variant(engine=engine, **settings, **VARIATIONAL))
    seen: list[ActivationsTask] = []
    made = setup.engine.activations

    def asked(tasks: Sequence[ActivationsTask]) -> Any:
        seen.extend(tasks)
        return made(tasks)

    monkeypatch.setattr(setup.engine, "activations", asked)
    _, records = advanced(begun(setup), setup)
    assert len(seen) == len(records) * (2 if method == "activation" else 1)
    width = setup.architecture.latent_size
    for k, record in enumerate(records):
        at = Address(setup.variant.rng_seed, 0, record.cell)
        if method == "lexicase":
            stream = at.stream(Purpose.LEXICASE_CODE)
            drawn = stream.standard_normal((len(seen[k].rows), width), dtype=np.float32)
        else:
            stream = at.stream(Purpose.SELECTION_CODE)
            of_pairs = stream.standard_normal((3, 3, 5, width), dtype=np.float32)
            drawn = of_pairs[record.winner, record.winner]
        found = seen[k if method == "lexicase" else 2 * k].code_noise
        assert found is not None
        np.testing.assert_array_equal(found, drawn)


@pytest.mark.parametrize(("split", "n_rows"), [("test", 12), ("validation", 7)])
def test_lexicase_sees_a_hundred_drawn_rows_of_its_split(
    split: str, n_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With replacement, of all rows (algorithm sections 5 and 10)."""
    settings = {"prune_method": "lexicase", "prune_schedule": "fixed", "prune_probability": 1.0}
    variant = tiny_variant(lexicase_split=split, **settings)
    known = load_dataset(variant)
    dataset = dataclasses.replace(known, validation=known.validation[:7])
    architecture = architecture_of(variant, dataset.n_dim)
    engine = TorchEngine(architecture, dataset, variant.batch_size)
    seen: list[ActivationsTask] = []
    made = engine.activations

    def asked(tasks: Sequence[ActivationsTask]) -> Any:
        seen.extend(tasks)
        return made(tasks)

    monkeypatch.setattr(engine, "activations", asked)
    setup = Setup(variant, architecture, dataset, engine)
    _, records = advanced(begun(setup), setup)
    assert [task.split for task in seen] == [split] * 4
    for task, record in zip(seen, records, strict=True):
        stream = Address(variant.rng_seed, 0, record.cell).stream(Purpose.LEXICASE_ROWS)
        drawn = stream.integers(n_rows, size=100, dtype="int32")
        np.testing.assert_array_equal(task.rows, drawn)
    assert {int(row) for task in seen for row in task.rows} == set(range(n_rows))


def test_a_batch_whose_loss_is_not_finite_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though another batch of the epoch has the lowest."""
    baseline: dict[str, Any] = {"cell_evaluation": "ann_canonical", "population_size": 1}
    setup = prepare(tiny_variant(radius=0, optimizer_state="cell", **baseline))
    made = setup.engine.train

    def overflowing(tasks: Any) -> Any:
        return [
            dataclasses.replace(each, losses=np.array([0.5, np.inf, 0.4])) for each in made(tasks)
        ]

    monkeypatch.setattr(setup.engine, "train", overflowing)
    with pytest.raises(DivergenceError, match="min_selection_loss is not finite"):
        advanced(begun(setup), setup)
