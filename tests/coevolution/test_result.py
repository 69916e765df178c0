"""What a trial's answer is measured by, retrieval measures by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from helpers import random_pair, setup_of, tiny_variant
from rings import evolved, records_of, with_cells

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.network import Network
from aes_lipi.coevolution.records import in_order
from aes_lipi.coevolution.result import judge, ndcg, recall, retrieval_measures
from aes_lipi.coevolution.state import Cell, Setup
from aes_lipi.data import Dataset
from aes_lipi.engine.torch import TorchEngine
from aes_lipi.execution.inputs import architecture_of
from aes_lipi.randomness import Address

# Rankings: row 0 is 0, 2, 3, 4, 1; row 1 is 4, 3, 2, 1, 0. Row 0 has ones at 0, 1, 4, row 1 at 0.
SCORES = np.array([[0.9, 0.1, 0.8, 0.3, 0.2], [0.1, 0.2, 0.3, 0.4, 0.5]], dtype=np.float32)
LOSSES = (3.0, 1.0, 2.0, 1.0)
RELEVANT = np.array([[1, 1, 0, 0, 1], [1, 0, 0, 0, 0]], dtype=np.bool_)


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (1, (1 / 1 + 0 / 1) / 2),
        (2, (1 / 2 + 0 / 1) / 2),
        (3, (1 / 3 + 0 / 1) / 2),
        (4, (2 / 3 + 0 / 1) / 2),
        (5, (3 / 3 + 1 / 1) / 2),
        (100, 1.0),
    ],
)
def test_recall(k: int, expected: float) -> None:
    assert recall(SCORES, RELEVANT, k) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        # Discounts 1/log2(2..6): 1, .63092975, .5, .43067656, .38685281
        # k = 1: 1/1 and 0
        (1, 0.5),
        # k = 2: 1/1.63092975 = .61314719 and 0
        (2, 0.30657360),
        # k = 4: (1 + .43067656)/2.13092975 = .67138606 and 0
        (4, 0.33569303),
        # k = 5: (1 + .43067656 + .38685281)/2.13092975 = .85292786 and .38685281/1
        (5, 0.61989034),
        (100, 0.61989034),
    ],
)
def test_ndcg(k: int, expected: float) -> None:
    assert ndcg(SCORES, RELEVANT, k) == pytest.approx(expected, abs=1e-7)


def test_the_cell_of_the_lowest_validation_loss_stands_beside_the_answer() -> None:
    setup = setup_of(tiny_variant(epochs=2))
    state = evolved(setup)
    records = sorted(state.records, key=in_order)
    cells = [replace(each, validation_loss=k) for k, each in zip(LOSSES, records[-4:], strict=True)]
    result, _ = judge(state, [*records[:-4], *cells], setup)
    assert result.test_L1_by_validation == records[-3].test_L1
    chosen = np.argmin([each.test_L1 or 0 for each in records[-4:]])
    assert result.best_cell == chosen
    assert result.test_L1 == records[-4:][chosen].test_L1


@pytest.mark.parametrize(
    ("final_cell", "chosen"), [("first", 0), ("best_on_validation", 2), ("best_on_test", 3)]
)
def test_the_answer_is_the_cell_that_is_asked_for(final_cell: str, chosen: int) -> None:
    """Rows to test on are zeros and rows to validate on ones; cells 3 and 2 put out no others."""
    variant = tiny_variant(epochs=1, final_cell=final_cell)
    rows = np.zeros((12, 7), dtype=np.float32)
    dataset = Dataset("planted", rows, test=rows, validation=rows + 1)
    architecture = architecture_of(variant, dataset.n_dim)
    engine = TorchEngine(architecture, dataset, variant.batch_size)
    setup = Setup(variant, architecture, dataset, engine)
    state = evolved(setup)
    planted = {}
    for cell, bias in enumerate((0.0, -1.0, 9.0, -9.0)):
        pair = random_pair(architecture, seed=cell)
        genome = np.zeros_like(pair.decoder.genome)
        architecture.decoder.bias(genome, 1)[:] = bias
        planted[cell] = Cell(replace(pair, decoder=Network(genome)))
    result, _ = judge(with_cells(state, planted), records_of(state), setup)
    assert result.best_cell == chosen
    assert result.test_loss == pytest.approx([0.5, 0, 1, 0][chosen], abs=1e-3)


@pytest.mark.parametrize("measure", [recall, ndcg])
def test_perfect_ranking_is_one(measure: object) -> None:
    assert callable(measure)
    assert measure(RELEVANT.astype(np.float32), RELEVANT, 2) == pytest.approx(1)


@pytest.mark.parametrize("measure", [recall, ndcg])
def test_rows_without_a_one_do_not_count(measure: object) -> None:
    assert callable(measure)
    scores = np.vstack([SCORES, SCORES[:1]])
    relevant = np.vstack([RELEVANT, np.zeros((1, 5), dtype=np.bool_)])
    assert measure(scores, relevant, 3) == measure(SCORES, RELEVANT, 3)
    assert math.isnan(measure(SCORES, np.zeros_like(RELEVANT), 3))


def test_ties_are_ranked_by_position() -> None:
    level = np.zeros((1, 5), dtype=np.float32)
    last = np.array([[False, False, False, False, True]])
    assert recall(level, last, 4) == 0
    assert recall(level, last, 5) == 1
    assert ndcg(level, last, 5) == pytest.approx(0.38685281)


def test_many_ties_are_ranked_by_position_too() -> None:
    # 300 dimensions on two levels, odd ones above: the 100 highest are 1, 3, ..., 199.
    scores = np.tile(np.array([0, 1], dtype=np.float32), 150)[None, :]
    relevant = np.zeros((1, 300), dtype=np.bool_)
    relevant[0, 1:200:2] = True
    assert recall(scores, relevant, 100) == 1
    assert recall(scores, ~relevant, 100) == 0


def test_measures_of_a_model_rank_its_reconstructions_of_the_test_rows() -> None:
    setup = setup_of(tiny_variant(n_dim=120, retrieval_measures=True, measurement="sound"))
    pair, test = random_pair(setup.architecture, seed=4), setup.dataset.test
    code = setup.architecture.encode(pair.encoder.genome, test)
    scores, ones = setup.architecture.decode(pair.decoder.genome, code), test > 0.5
    measured = retrieval_measures(pair, setup, Address(1, 0))
    assert measured.recall_at_100 == pytest.approx(recall(scores, ones, 100))
    assert measured.recall_at_20 == pytest.approx(recall(scores, ones, 20))
    assert measured.ndcg_at_50 == pytest.approx(ndcg(scores, ones, 50))
    # 120 dimensions of which three quarters are ones: 100 of them hold most, 20 are too few.
    assert 0.7 < measured.recall_at_100 < 1


@pytest.mark.parametrize("measurement", ["published", "sound"])
def test_published_retrieval_of_a_variational_pair_draws_its_code(measurement: str) -> None:
    environment = "VariationalAutoencoderBinaryClustering"
    asked = tiny_variant(n_dim=120, environment=environment, measurement=measurement)
    setup = setup_of(asked)
    pair = random_pair(setup.architecture, seed=4)
    found = [retrieval_measures(pair, setup, Address(1, 0, 0, t)) for t in (0, 0, 1)]
    assert found[0] == found[1]
    assert (found[0] == found[2]) == (measurement == "sound")


def test_published_retrieval_is_of_a_flattened_batch() -> None:
    """Of two batches of five of the twelve rows; recall over all ones of the batch."""
    setup = setup_of(tiny_variant(n_dim=120, retrieval_measures=True))
    pair, test = random_pair(setup.architecture, seed=4), setup.dataset.test
    code = setup.architecture.encode(pair.encoder.genome, test)
    scores, ones = setup.architecture.decode(pair.decoder.genome, code), test > 0.5
    discounts = 1 / np.log2(np.arange(2, 52))
    expected = []
    for k in (0, 5):
        of_batch = ones[k : k + 5].ravel()
        ranked = of_batch[np.argsort(-scores[k : k + 5].ravel(), kind="stable")]
        assert of_batch.sum() > 100  # the fifty highest could all be ones
        recalls = [ranked[:n].sum() / of_batch.sum() for n in (100, 20)]
        expected.append([*recalls, (ranked[:50] * discounts).sum() / discounts.sum()])
    measured = retrieval_measures(pair, setup, Address(1, 0))
    found = [measured.recall_at_100, measured.recall_at_20, measured.ndcg_at_50]
    np.testing.assert_allclose(found, np.mean(expected, axis=0), rtol=1e-6)
    assert measured.recall_at_20 < measured.recall_at_100 < 0.3


@pytest.mark.parametrize(
    ("loss", "measurement"),
    [*((loss, "sound") for loss in ("l1", "mse", "huber", "bce")), ("mse", "published")],
)
def test_losses_are_of_what_is_trained_on_and_l1_is_l1(loss: str, measurement: str) -> None:
    setup = setup_of(tiny_variant(loss=loss, epochs=2, measurement=measurement, population_size=2))
    state = evolved(setup)
    result, pairs = judge(state, records_of(state), setup)
    pair, batch = pairs[result.best_cell], setup.variant.batch_size

    def mean(measure: Callable[[Float32, Float32], Float32], rows: Float32) -> float:
        """Of rows; published, of batches, the last of which is smaller."""
        code = setup.architecture.encode(pair.encoder.genome, rows)
        terms = measure(setup.architecture.decode(pair.decoder.genome, code), rows)
        assert len(rows) % batch
        batches = [terms[k : k + batch].mean() for k in range(0, len(rows), batch)]
        return float(terms.mean() if measurement == "sound" else np.mean(batches))

    measures: dict[str, Callable[[Float32, Float32], Float32]] = {
        "l1": lambda y, x: np.abs(y - x),
        "mse": lambda y, x: (y - x) ** 2,
        "huber": lambda y, x: np.where(
            np.abs(y - x) < 0.1, (y - x) ** 2 / 2, 0.1 * np.abs(y - x) - np.float32(0.005)
        ),
        "bce": lambda y, x: -x * np.log(y) - (1 - x) * np.log1p(-y),
    }
    data = setup.dataset
    assert result.test_loss == pytest.approx(mean(measures[loss], data.test), rel=1e-5)
    assert result.test_L1 == pytest.approx(mean(measures["l1"], data.test), rel=1e-5)
    assert result.test_mse == pytest.approx(mean(measures["mse"], data.test), rel=1e-5)
    last = records_of(state)[-2 + result.best_cell]
    if measurement == "sound":
        assert result.best_mean_L1 == pytest.approx(mean(measures["l1"], data.train), rel=1e-5)
        assert last.test_loss == pytest.approx(result.test_loss, rel=1e-6)
