from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest
from made_up import sample

from aes_lipi.analysis.comparisons import COLUMNS, MAX_VARIANTS, OUT_OF_REACH, compare
from aes_lipi.analysis.tables import Sample
from aes_lipi.errors import UserError


@pytest.fixture(autouse=True)
def _little_to_collect() -> Iterator[None]:
    """`multipletests` collects garbage: let it not look at everything that is imported."""
    gc.freeze()
    yield
    gc.unfreeze()


def finds_something(samples: list[Sample]) -> bool:
    return bool((compare(samples, resamples=1).table["verdict"] != "").any())


def test_a_planted_difference_and_a_planted_null() -> None:
    rng = np.random.default_rng(5)
    found = compare(
        [
            sample("worse", rng.normal(1.5, 1, 30)),
            sample("one", rng.normal(0, 1, 30)),
            sample("two", rng.normal(0, 1, 30)),
        ]
    )
    first, second, null = found.table.to_dict("records")
    true = 0.856  # of two normal distributions 1.5 standard deviations apart
    for pair in (first, second):
        assert (pair["test"], pair["verdict"], pair["magnitude"]) == (
            *("mann_whitney", "greater", "large"),
        )
        assert pair["a12_low"] < true < pair["a12_high"]
        assert pair["p_holm"] < 0.001
    assert null["verdict"] == ""
    assert null["a12_low"] < 0.5 < null["a12_high"]
    assert found.letters() == {"worse": "b", "one": "a", "two": "a"}


def test_the_family_is_wrong_as_seldom_as_it_says() -> None:
    rng = np.random.default_rng(6)
    wrong = 0
    for _ in range(100):
        samples = [sample(name, rng.normal(size=15)) for name in "abcd"]
        wrong += finds_something(samples)
    assert wrong / 100 <= 0.05 + 2 * (0.05 * 0.95 / 100) ** 0.5


def test_pairs_find_what_their_common_draws_hide() -> None:
    rng = np.random.default_rng(8)
    common = rng.normal(0, 1, 20)
    values = {"a": common + rng.normal(0.3, 0.2, 20), "b": common + rng.normal(0, 0.2, 20)}
    samples = [sample(name, each, seed=1) for name, each in values.items()]
    by_design, alone = compare(samples), compare(samples, paired=False)
    assert by_design.table["test"][0] == "wilcoxon"
    assert by_design.table["verdict"][0] == "greater"
    assert alone.table["test"][0] == "mann_whitney"
    assert alone.table["verdict"][0] == ""
    assert by_design.table["a12"][0] == alone.table["a12"][0]
    widths = [
        float(each.table["a12_high"][0] - each.table["a12_low"][0]) for each in (by_design, alone)
    ]
    assert widths[0] < widths[1] / 2


def test_only_trials_of_the_same_seed_are_paired_and_only_those_of_both() -> None:
    some = Sample("some", "some", np.array([1.0, 2.0, 3.0]), np.array([4, 2, 9]), seed=1)
    more = Sample("more", "more", np.arange(6.0), np.arange(6), seed=1)
    other = sample("other", np.arange(6.0), seed=2)
    table = compare([some, more, other]).table
    assert table["test"].tolist() == ["wilcoxon", "mann_whitney", "mann_whitney"]
    assert table[["n_a", "n_b"]].to_numpy().tolist() == [[2, 2], [3, 6], [6, 6]]
    assert table[["median_a", "median_b"]].to_numpy()[0].tolist() == [1.5, 3.0]


def test_trials_that_share_none_are_not_paired() -> None:
    late = Sample("late", "late", np.arange(3.0), np.arange(10, 13), seed=1)
    assert (
        compare([late, sample("early", np.arange(3.0), seed=1)]).table["test"][0] == "mann_whitney"
    )


def test_a_variant_of_failures_only_is_shown_and_not_counted() -> None:
    groups = [sample("a", np.arange(9.0)), sample("none", []), sample("b", np.arange(9.0) + 50)]
    found = compare(groups, paired=False)
    assert found.table["test"].tolist() == ["none", "mann_whitney", "none"]
    assert found.table["p_holm"][1] == found.table["p"][1]
    assert found.table["p_holm"].isna().tolist() == [True, False, True]
    assert found.letters() == {"a": "a", "none": "", "b": "b"}


def test_one_variant_has_a_letter_and_nothing_to_compare() -> None:
    found = compare([sample("a", np.arange(9.0))])
    assert len(found.table) == 0
    assert tuple(found.table.columns) == COLUMNS
    assert found.letters() == {"a": "a"}
    assert found.p_values().isna().all(axis=None)


@pytest.mark.parametrize("seed", [None, 1])
def test_one_trial_of_each_shows_nothing(seed: int | None) -> None:
    [pair] = compare([sample("a", [1.0], seed), sample("b", [2.0], seed)]).table.to_dict("records")
    assert (pair["p"], pair["a12"], pair["verdict"]) == (1, 0, OUT_OF_REACH)
    assert np.isnan(pair["a12_low"])


def test_what_so_few_trials_cannot_show_is_no_finding() -> None:
    """Five paired trials show nothing, however far they lie apart; of twelve, seven pairs do."""
    far = [sample(name, np.arange(5.0) + 100 * k, 1) for k, name in enumerate("abcdefgh")]
    found = compare(far, resamples=1)
    assert set(found.table["verdict"]) == {OUT_OF_REACH}
    assert (found.can_show, found.trials_needed) == (False, 11)
    assert set(found.letters().values()) == {"a"}
    enough = compare(
        [sample(each.label, np.arange(11.0) + 100 * k, 1) for k, each in enumerate(far)]
    )
    assert (enough.can_show, set(enough.table["verdict"])) == (True, {"lower"})
    assert enough.table["p_least"].tolist() == enough.table["p_holm"].tolist()


def test_a_pair_of_too_few_among_others_is_named() -> None:
    many = [sample(name, k + np.linspace(-0.2, 0.2, 20)) for k, name in enumerate("ab")]
    found = compare([*many, sample("c", [5.0, 6.0])], resamples=1)
    assert found.table["verdict"].tolist() == ["lower", "lower", "lower"]
    found = compare([*many, sample("c", [5.0])], resamples=1)
    assert found.table["verdict"].tolist() == ["lower", OUT_OF_REACH, OUT_OF_REACH]
    assert found.can_show


def test_ties_everywhere_are_no_difference() -> None:
    found = compare([sample(name, np.full(20, 0.5), seed=1) for name in "abc"])
    assert found.table["p_holm"].tolist() == [1, 1, 1]
    assert found.table["a12"].tolist() == [0.5, 0.5, 0.5]
    assert set(found.letters().values()) == {"a"}


def test_a_declared_family_is_all_that_is_corrected_for() -> None:
    rng = np.random.default_rng(9)
    samples = [sample(name, rng.normal(0.9 * (name == "a"), 1, 20)) for name in "abcd"]
    declared = compare(samples, pairs=[("a", "b")])
    assert declared.table["p_holm"][0] == declared.table["p"][0]
    assert declared.p_values().loc["b", "a"] == declared.table["p"][0]
    assert compare(samples).table["p_holm"][0] > declared.table["p_holm"][0]
    with pytest.raises(UserError, match="letters need all pairs"):
        declared.letters()


def test_the_same_values_give_the_same_table() -> None:
    rng = np.random.default_rng(1)
    samples = [sample(name, rng.normal(size=12)) for name in "abc"]
    first, second = compare(samples), compare(samples)
    assert first.table.equals(second.table)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0}, "alpha: must lie between"),
        ({"level": 95}, "level: must lie between"),
        ({"resamples": 0}, "resamples: must be 1 or more"),
        ({"seed": -1}, "seed: must be 0 or more"),
        ({"pairs": [("a", "z")]}, "z: no variant of that id"),
        ({"pairs": [("a", "b"), ("b", "a")]}, "none may be there twice"),
        ({"pairs": [("a", "a")]}, "each must be of two variants"),
    ],
)
def test_mistakes_are_one_line(arguments: dict[str, object], message: str) -> None:
    samples = [sample("a", [1.0, 2.0]), sample("b", [1.0, 2.0])]
    with pytest.raises(UserError, match=message):
        compare(samples, **arguments)  # type: ignore[arg-type]


def test_cells_are_not_paired_and_variants_are_not_without_number() -> None:
    cells = Sample("cells", "cells", np.ones(4), np.array([0, 0, 1, 1]), seed=1)
    with pytest.raises(UserError, match="several values of a trial"):
        compare([cells, sample("a", [1.0, 2.0])], paired=True)
    with pytest.raises(UserError, match="too many pairs"):
        compare([sample(str(i), [1.0]) for i in range(MAX_VARIANTS + 1)])
