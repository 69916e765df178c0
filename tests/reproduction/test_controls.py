"""Controls with known losses: the answers follow from them."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pytest
from helpers import tiny_variant
from rings import cells_of, evolved

from aes_lipi.analysis.tables import Sample
from aes_lipi.api import load_study
from aes_lipi.arrays import Float64
from aes_lipi.execution.inputs import prepare
from aes_lipi.reproduction.evidence import estimate_share
from aes_lipi.reproduction.plan import full_plan
from aes_lipi.reproduction.verdicts import ControlAnswer, ControlVerdict, judge_control
from reproduction.planted import Losses, around, results_of

LOWER = "control_canonical_walk"
HIGHER = "control_ring_canonical_policy"


def verdict(name: str, losses: Losses) -> ControlVerdict:
    results = results_of(losses)
    [control] = [each for each in results.plan.published.controls if each.name == name]
    return judge_control(control, results)


def answered(name: str, own: float, trials: int = 10) -> ControlAnswer:
    """The answer of a control that ends around a loss; the ring's is 0.15, the baseline's 0.27."""
    means = {"best_of_lipi": 0.15, "best_of_canonical": 0.27, name: own}
    each = enumerate(means.items())
    found = verdict(name, {(figure, "none"): around(m, trials, i) for i, (figure, m) in each})
    [answer] = found.answers
    return answer


@pytest.mark.parametrize(
    ("name", "own", "answer", "conclusion"),
    [
        (
            LOWER,
            0.15,
            "not told apart",
            r"not told apart from the ring, 100% \[9\d%, 10\d%\] of the way",
        ),
        (LOWER, 0.12, "reached", "it reaches the loss of the ring"),
        (
            LOWER,
            0.21,
            "in part",
            r"goes 50% \[4\d%, 5\d%\] of the way from the baseline to the ring",
        ),
        (
            LOWER,
            0.27,
            "not reached",
            r"not shown to leave the baseline towards the ring \(.* of the way\), and is shown",
        ),
        (
            LOWER,
            0.40,
            "not reached",
            r"not shown to leave the baseline towards the ring \(.* of the way\), and is shown",
        ),
        (
            HIGHER,
            0.15,
            "not reached",
            r"not shown to leave the ring towards the baseline \(.* of the way\), and is shown",
        ),
        (
            HIGHER,
            0.21,
            "in part",
            r"goes 50% \[4\d%, 5\d%\] of the way from the ring to the baseline",
        ),
        (
            HIGHER,
            0.27,
            "not told apart",
            r"not told apart from the baseline, 100% \[9\d%, 10\d%\] of the way",
        ),
        (HIGHER, 0.30, "reached", "it reaches the loss of the baseline"),
    ],
)
def test_a_control_says_how_far_it_gets(
    name: str, own: float, answer: str, conclusion: str
) -> None:
    found = answered(name, own)
    assert found.answer == answer
    assert re.search(conclusion, found.statement)
    ends = [found.own.mean, found.baseline.mean, found.ring.mean]
    assert ends == pytest.approx([own, 0.27, 0.15])
    towards_ring = (0.27 - own) / (0.27 - 0.15)
    share = towards_ring if name == LOWER else 1 - towards_ring
    assert found.share.mean == pytest.approx(share)
    assert share - 0.1 < found.share.low < share < found.share.high < share + 0.1


def test_a_share_is_of_trials_drawn_together() -> None:
    """Where all three vary as one, it has no width; trials that one lacks do not count."""
    numbers, base = np.arange(10), np.random.default_rng(2).random(10)

    def sample(values: Float64, trials: npt.NDArray[np.int64]) -> Sample:
        return Sample("", "", values, trials, seed=1)

    start, goal = sample(base + 2, numbers), sample(base, numbers)
    found = estimate_share(sample(base + 0.5, numbers), start, goal)
    assert [found.n, found.mean] == [10, pytest.approx(0.75)]
    assert [found.low, found.high] == pytest.approx([0.75, 0.75])
    some = estimate_share(sample(base[::2] + 0.5, numbers[::2]), start, goal)
    assert [some.n, some.mean] == [5, pytest.approx(0.75)]
    alone = estimate_share(sample(base[:1] + 0.5, numbers[:1]), start, goal)
    assert [alone.n, alone.mean] == [1, pytest.approx(0.75)]
    assert np.isnan([alone.low, alone.high]).all()
    assert np.isnan(estimate_share(sample(base, numbers), goal, goal).mean)


@pytest.mark.parametrize(
    ("name", "own", "share", "unpruned", "words"),
    [
        (LOWER, 0.22, 0.7, 5 / 17, "from the unpruned baseline, at 0.270, it is 29%"),
        (HIGHER, 0.22, 0.3, 12 / 17, "to the unpruned baseline, at 0.270, it is 71%"),
        (LOWER, 0.275, 0.5625, -0.5 / 17, "from the unpruned baseline, at 0.270, it is -3%"),
    ],
)
def test_a_share_is_told_of_the_unpruned_baseline_too(
    name: str, own: float, share: float, unpruned: float, words: str
) -> None:
    """Pruning ruins the baseline: much of the way is to get back to where it was without."""
    plan = full_plan("nowhere", [name])
    losses = {
        ("best_of_lipi", "random"): around(0.10, 10, 1),
        ("best_of_canonical", "random"): around(0.50, 10, 2),
        ("best_of_canonical", "none"): around(0.27, 10, 3),
        (name, "random"): around(own, 10, 4),
    }
    results = results_of(losses, plan)
    [control] = [each for each in plan.published.controls if each.name == name]
    [answer] = [each for each in judge_control(control, results).answers if each.own.n]
    assert answer.share_unpruned is not None
    assert [answer.share.mean, answer.share_unpruned.mean] == pytest.approx([share, unpruned])
    assert words in answer.statement
    assert answered(LOWER, 0.2).share_unpruned is None


def test_the_statement_has_effects_and_means() -> None:
    assert answered(LOWER, 0.21).statement == (
        "no pruning: ends at 0.210, the baseline at 0.270, the ring at 0.150; it is below the "
        "baseline (A12 0.00, large, p = 0.0039) and above the ring (A12 1.00, large, p = 0.0039): "
        "it goes 50% [48%, 52%] of the way from the baseline to the ring"
    )


def test_as_low_but_for_a_difference_that_does_not_count_is_reached() -> None:
    ring = around(0.15, 10)
    losses = {"best_of_lipi": ring, "best_of_canonical": around(0.27, 10, 2), LOWER: ring + 0.001}
    losses[LOWER] += np.arange(10) / 1e6
    found = verdict(LOWER, {(figure, "none"): each for figure, each in losses.items()})
    assert [pair.relation for pair in found.pairs] == ["lower", "alike"]
    assert found.answers[0].answer == "reached"
    assert "as the ring, but for less than counts as a difference" in found.answers[0].statement


def test_too_few_trials_or_none_are_no_answer() -> None:
    few = answered(LOWER, 0.15, trials=5)
    assert few.answer == "too few trials"
    assert few.statement.endswith("the adjusted p would be 0.12; 7 would do")
    none = answered(LOWER, 0.15, trials=0)
    assert none.answer == "not run"
    assert np.isnan([none.own.mean, none.share.mean]).all()


def test_the_best_of_ten_is_an_answer_and_marked_as_one() -> None:
    found = answered("control_best_of_ten_baselines", 0.26)
    assert found.answer == "in part"
    assert "(of each trial the answer, the cell chosen on test rows; chosen on" in found.statement


def test_cells_without_exchange_and_with_the_canonical_policy_are_baselines_bit_for_bit() -> None:
    """So that the best of ten baselines is the answer of such a ring."""
    epochs = 8
    rates = {"None": 2.0, "random": 2 * (epochs - 1) / epochs}  # T is one more in the baseline
    for method, rate in rates.items():
        settings = {"epochs": epochs, "prune_method": method, "prune_schedule": "exponential"}
        alone = prepare(tiny_variant(cell_evaluation="ann_canonical", **settings))
        [control] = [
            each
            for each in load_study("control_best_of_ten_baselines").variants
            if each.prune_method == method
        ]
        policy = {
            name: getattr(control, name)
            for name in ("cell_evaluation", "learning_rate_policy", "optimizer_state", "radius")
        }
        ring = prepare(tiny_variant(**settings, **policy, exponential_rate=rate))
        for trial in (0, 1):
            baseline, *rest = cells_of(evolved(alone, trial))
            assert rest == []
            cells = cells_of(evolved(ring, trial))
            for part in ("encoder", "decoder"):
                own, theirs = (getattr(each.pair, part).genome for each in (baseline, cells[0]))
                assert own.tobytes() == theirs.tobytes()
                others = {getattr(each.pair, part).genome.tobytes() for each in cells}
                assert len(others) == len(cells)


def test_between_two_that_are_alike_there_is_no_answer() -> None:
    rng = np.random.default_rng(1)
    figures = ("best_of_lipi", "best_of_canonical", LOWER)
    found = verdict(LOWER, {(figure, "none"): rng.normal(0.2, 0.02, 10) for figure in figures})
    assert found.answers[0].answer == "not shown"
    assert [pair.found.label_b for pair in found.pairs] == [
        "the baseline, no pruning",
        "the ring, no pruning",
    ]
