"""Claims about known losses: the verdicts follow from them."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import sample

from aes_lipi.reproduction.pairs import within_margin
from aes_lipi.reproduction.verdicts import ClaimVerdict, judge_claim
from reproduction.planted import Losses, around, results_of

SCHEDULES = ("fixed", "increase", "population", "decrease", "exponential", "final_n")
RING = ("ring_random_beats_guided", "best_of_lipi")
DURING = ("during_beats_after_ring", "box_best_of_lipi")
SWEEP = ("best_schedule_random", "schedules_random")


def verdict(name: str, losses: Losses) -> ClaimVerdict:
    results = results_of(losses)
    [claim] = [each for each in results.plan.published.claims if each.name == name]
    return judge_claim(claim, results)


def judged(claim: tuple[str, str], means: dict[str, float], trials: int = 10) -> ClaimVerdict:
    """The verdict where the series of the figure end around these losses."""
    name, figure = claim
    each = enumerate(means.items())
    return verdict(name, {(figure, series): around(m, trials, i) for i, (series, m) in each})


def relations(found: ClaimVerdict) -> dict[tuple[str, str], str]:
    return {(pair.found.label_a, pair.found.label_b): pair.relation for pair in found.pairs}


def test_a_claim_holds_if_all_of_it_is_shown() -> None:
    found = judged(RING, {"random": 0.27, "activation": 0.4, "lexicase": 0.5, "none": 0.1})
    assert found.outcome == "holds"
    assert relations(found) == {
        ("random exponential", "activation (VARIANCE) population"): "lower",
        ("random exponential", "lexicase (CONJUNCTIVE) final_n"): "lower",
    }
    assert [pair.difference for pair in found.pairs] == pytest.approx([-0.13, -0.23], abs=0.005)
    assert [pair.found.p_holm for pair in found.pairs] == pytest.approx([2 * 2 / 2**10] * 2)
    assert "with probability 1.00 [1.00, 1.00] (large effect" in found.explanation
    assert "p = 0.0039): shown;" in found.explanation


ONE_IN_THREE = (("a", 0.2), ("b", 0.2), ("c", 0.3))
COMPARABLE = ("canonical_informed_is_comparable", "best_of_canonical")


@pytest.mark.parametrize(
    ("difference", "outcome", "said"),
    [
        (0.003, "holds", "ends +0.0028 from no pruning (median difference; medians"),
        (-0.003, "holds", "that it is less than 0.01 either way: shown"),
        (0.0, "holds", "either way: shown"),
        (0.010, "not shown", "either way: not shown"),
        (-0.010, "not shown", "either way: not shown"),
        (0.02, "contradicted", "either way: it is shown to be greater by more"),
        (-0.02, "contradicted", "either way: it is shown to be lower by more"),
    ],
)
def test_comparable_is_what_differs_by_less_than_a_margin(
    difference: float, outcome: str, said: str
) -> None:
    found = judged(COMPARABLE, {"none": 0.27, "lexicase": 0.27 + difference})
    assert (found.outcome, len(found.pairs)) == (outcome, 1)
    assert found.pairs[0].difference == pytest.approx(difference, abs=0.004)
    assert said in found.explanation


def test_that_two_are_comparable_has_the_p_of_the_weaker_test() -> None:
    values = around(0.27, 10)
    a, b = (
        sample(name, values + np.linspace(0, by, 10), 1) for name, by in (("a", 0), ("b", 0.004))
    )
    [pair] = within_margin([(a, b)], 0.01)
    assert pair.found.p_holm == pytest.approx(2 / 2**10)  # all ten are within the margin
    [least] = within_margin([(a, b)], 0.0035)
    assert (least.relation, least.found.p_holm > 2 / 2**10) == ("comparable", True)
    [beyond] = within_margin([(a, b)], 0.0019)
    assert (beyond.relation, beyond.found.p_holm > 0.05) == ("not told apart", True)


def test_a_series_may_be_first_in_one_pair_and_second_in_another() -> None:
    samples = [sample(name, around(m, 12, i), 1) for i, (name, m) in enumerate(ONE_IN_THREE)]
    pairs = within_margin([(samples[0], samples[1]), (samples[1], samples[2])], 0.01)
    assert [pair.relation for pair in pairs] == ["comparable", "lower"]
    assert [pair.found.label_a for pair in pairs] == ["a", "b"]


def test_comparable_is_not_what_too_few_trials_do_not_tell_apart() -> None:
    assert judged(COMPARABLE, {"none": 0.27, "lexicase": 0.27}, 4).outcome == "too few trials"
    assert judged(COMPARABLE, {"none": 0.27}).outcome == "not run"


def after(random: float = 0.2) -> dict[str, float]:
    """Losses of pruning during training and after it."""
    during = {"random": 0.1, "activation": 0.1, "lexicase": 0.1}
    return during | {"random_after": random, "activation_after": 0.2, "lexicase_after": 0.2}


def test_a_claim_of_three_pairs_holds_if_all_are_shown() -> None:
    found = judged(DURING, after())
    assert (found.outcome, len(found.pairs)) == ("holds", 3)
    assert "0.150 and 0.151" in found.note


def test_a_claim_about_two_figures_compares_series_of_both() -> None:
    losses = {
        (figure, series): around(mean, 10, k)
        for figure, mean in (("best_of_lipi", 0.15), ("best_of_canonical", 0.4))
        for k, series in enumerate(("none", "random", "activation", "lexicase"))
    }
    found = verdict("coevolution_beats_traditional", losses)
    assert found.outcome == "holds"
    assert {b for _, b in relations(found)} == {"no pruning (best_of_canonical)"}
    assert {a.split()[0] for a, _ in relations(found)} == {"random", "activation", "lexicase"}


def test_a_claim_is_contradicted_by_one_pair_the_other_way_round() -> None:
    found = judged(RING, {"random": 0.27, "activation": 0.4, "lexicase": 0.2})
    assert found.outcome == "contradicted"
    assert list(relations(found).values()) == ["lower", "greater"]
    assert found.explanation.endswith("the opposite is shown")


def test_a_claim_is_not_shown_where_nothing_is_told_apart() -> None:
    found = judged(DURING, after(random=0.1))
    assert found.outcome == "not shown"
    assert list(relations(found).values()) == ["not told apart", "lower", "lower"]
    assert found.explanation.count(": shown") == 2
    assert found.explanation.count(": not shown") == 1


def test_a_difference_below_what_was_read_does_not_count() -> None:
    """Both end at 0.5; that one is always a bit further is no contradiction."""
    ends = around(0.5, 10)
    losses = {"activation": around(0.6, 10), "lexicase": ends, "random": ends + ends / 1e4}
    found = verdict(RING[0], {(RING[1], name): each for name, each in losses.items()})
    assert found.outcome == "not shown"
    assert [pair.found.verdict for pair in found.pairs] == ["lower", "greater"]
    assert list(relations(found).values()) == ["lower", "alike"]
    assert "medians 0.49962 and 0.49957" in found.explanation
    assert found.explanation.endswith("too small a difference to count")


def test_too_few_trials_are_said_and_how_many_would_do() -> None:
    means = {"random": 0.27, "activation": 0.4, "lexicase": 0.5}
    found = judged(RING, means, trials=6)
    assert found.outcome == "too few trials"
    assert found.explanation == (
        "6 trials of a variant cannot show it: even without any overlap the adjusted p would be "
        "0.062; 7 would do"
    )
    assert judged(RING, means, trials=7).outcome == "holds"


def test_the_more_pairs_the_more_trials_are_needed() -> None:
    means = {**dict.fromkeys(SCHEDULES, 0.2), "exponential": 0.1}
    assert judged(SWEEP, means, trials=7).outcome == "too few trials"
    assert judged(SWEEP, means, trials=8).outcome == "holds"


def test_what_is_not_run_is_said() -> None:
    found = judged(RING, {"activation": 0.5, "random": 0.27})
    assert found.outcome == "not run"
    assert found.explanation == "no committed trials of lexicase (CONJUNCTIVE) final_n"
    assert list(relations(found).values()) == ["lower", "not run"]


def test_a_figure_that_is_left_out_is_not_run() -> None:
    found = verdict("best_schedule_lexicase", {})
    assert found.outcome == "not run"
    assert found.explanation == "schedules_lexicase: not part of this reproduction"
    assert found.pairs == ()


def test_a_schedule_is_best_if_it_is_lower_than_all_others() -> None:
    found = judged(SWEEP, {**dict.fromkeys(SCHEDULES, 0.2), "exponential": 0.1})
    assert found.outcome == "holds"
    assert {a for a, _ in relations(found)} == {"exponential"}
    assert {b for _, b in relations(found)} == {*SCHEDULES} - {"exponential"}
    assert found.explanation.startswith("exponential ends below fixed (1.00 [1.00, 1.00]), inc")


def test_a_schedule_not_told_apart_from_others_is_not_shown_to_be_best() -> None:
    means = {**dict.fromkeys(SCHEDULES, 0.2), "final_n": 0.1, "increase": 0.1, "exponential": 0.1}
    found = judged(SWEEP, means)
    assert found.outcome == "not shown"
    alike = {b for (_, b), relation in relations(found).items() if relation == "not told apart"}
    assert alike == {"final_n", "increase"}
    assert "; is not told apart from increase (" in found.explanation


def test_a_schedule_is_contradicted_by_a_lower_one() -> None:
    means = {**dict.fromkeys(SCHEDULES, 0.2), "final_n": 0.05, "exponential": 0.1}
    found = judged(SWEEP, means)
    assert found.outcome == "contradicted"
    assert "; ends above final_n (0.00 [0.00, 0.00])" in found.explanation


def test_null_claims_are_rarely_found_to_hold_or_contradicted() -> None:
    rng = np.random.default_rng(4)
    wrong = 0
    for _ in range(20):
        losses = {(SWEEP[1], name): rng.normal(0.15, 0.02, 12) for name in SCHEDULES}
        wrong += verdict(SWEEP[0], losses).outcome != "not shown"
    assert wrong <= 3
