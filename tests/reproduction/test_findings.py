"""Reproductions on disk, planted and real."""

from __future__ import annotations

from pathlib import Path

import pytest

from aes_lipi.reproduction.findings import find
from aes_lipi.reproduction.plan import ScaledDown, full_plan, quick_plan
from aes_lipi.results.store import ResultStore
from reproduction.planted import Losses, around, commit_losses

CANONICAL = "best_of_canonical"


def test_planted_trials_are_found_as_they_were_planted(tmp_path: Path) -> None:
    names = ["best_of_lipi", CANONICAL, "control_canonical_walk", "control_canonical_fixed_rate"]
    plan = quick_plan(tmp_path, names, ScaledDown(trials=8, epochs=2))
    ends: Losses = {
        (CANONICAL, "none"): around(0.27, 8, 1),
        (CANONICAL, "random"): around(0.5, 8, 2),
        (CANONICAL, "activation"): around(0.6, 8, 3),
        (CANONICAL, "lexicase"): [None] * 8,
        ("best_of_lipi", "none"): around(0.15, 8, 4),
        ("best_of_lipi", "random"): around(0.1, 8, 5),
        ("best_of_lipi", "activation"): around(0.15, 8, 6),
        ("best_of_lipi", "lexicase"): [*around(0.15, 7, 7), None],
        ("control_canonical_walk", "none"): around(0.21, 8, 8),
    }
    commit_losses(plan, ends)
    found = find(plan)
    outcomes = {each.name: each.outcome for each in found.claims}
    assert outcomes == {
        "canonical_informed_beats_random": "not run",
        "canonical_informed_is_comparable": "not run",
        "ring_random_beats_guided": "holds",
        "coevolution_beats_traditional": "holds",
        "full_beats_small": "not run",
    }
    by_name = {each.name: each for each in found.claims}
    ring, both = by_name["ring_random_beats_guided"], by_name["coevolution_beats_traditional"]
    absent = by_name["full_beats_small"].explanation
    assert absent == "best_of_lipi_small: not part of this reproduction"
    assert [pair.found.n_a for pair in ring.pairs] == [8, 7]
    assert [pair.relation for pair in both.pairs] == ["lower", "lower", "lower"]
    assert {pair.found.test for pair in ring.pairs} == {"wilcoxon"}
    assert [each.answers[0].answer for each in found.controls] == ["in part", "not run"]
    assert found.missing == (
        f"best_of_lipi, lexicase, final_n: 7 of 8 trials, 1 failed "
        f"({tmp_path / 'quick' / 'best_of_lipi'})",
        f"{CANONICAL}, lexicase, exponential: 0 of 8 trials, 8 failed "
        f"({tmp_path / 'quick' / CANONICAL})",
        "control_canonical_fixed_rate: not run (no trials of it in "
        f"{tmp_path / 'quick' / 'control_canonical_fixed_rate'})",
    )
    assert found.overviews == ()  # the small code was not asked for
    counts = [(each.name, each.n_trials, each.n_failed) for each in found.figures[1].series]
    assert counts == [("none", 8, 0), ("random", 8, 0), ("activation", 8, 0), ("lexicase", 0, 8)]


def test_an_overview_has_series_of_all_its_figures(tmp_path: Path) -> None:
    names = ["best_of_lipi", "best_of_lipi_small", CANONICAL]
    plan = quick_plan(tmp_path, names, ScaledDown(trials=2, epochs=2))
    commit_losses(plan, {("best_of_lipi_small", "random"): [0.24, 0.25]})
    [overview] = find(plan).overviews
    assert [(each.label, each.n_trials) for each in overview.series] == [
        ("ring, random exponential", 0),
        ("ring, no pruning", 0),
        ("ring, small code, random exponential", 2),
        ("ring, small code, no pruning", 0),
        ("baseline, lexicase exponential", 0),
        ("baseline, no pruning", 0),
    ]


def test_nothing_begun_is_no_error(tmp_path: Path) -> None:
    plan = quick_plan(tmp_path)
    found = find(plan)
    assert {claim.outcome for claim in found.claims} == {"not run"}
    assert [each.answers[0].answer for each in found.controls] == ["not run"] * 8
    assert [figure.name for figure in found.figures] == list(plan.variants)[:2]
    assert {point.agrees for each in found.figures[0].series for point in each.points} == {None}
    left_out = [line for line in found.missing if "left out when scaled down" in line]
    assert len(left_out) == 6


def test_a_study_that_was_only_begun_is_not_run(tmp_path: Path) -> None:
    plan = quick_plan(tmp_path, [CANONICAL])
    store = ResultStore(plan.studies[0].location)
    with store.locked():
        store.open(plan.studies[0].study)
    found = find(plan)
    assert found.claims[0].outcome == "not run"
    assert len(found.missing) == 1
    assert found.missing[0].startswith(f"{CANONICAL}: not run (no trials of it in")


def test_a_folder_of_other_settings_is_not_taken_for_the_study(tmp_path: Path) -> None:
    ends: Losses = {(CANONICAL, "none"): [0.27]}
    commit_losses(quick_plan(tmp_path, [CANONICAL], ScaledDown(1, 2)), ends)
    found = find(quick_plan(tmp_path, [CANONICAL], ScaledDown(1, 4)))
    assert {series.n_trials for series in found.figures[0].series} == {0}


def test_figures_stand_beside_the_published_epochs(tmp_path: Path) -> None:
    plan = full_plan(tmp_path, [CANONICAL])
    ends: Losses = {
        (CANONICAL, "none"): around(0.268, 3),
        (CANONICAL, "random"): [0.5] * 2,
        (CANONICAL, "lexicase"): around(0.29, 2),
    }
    commit_losses(plan, ends)
    found = find(plan)
    none, random, _, lexicase = (series.points for series in found.figures[0].series)
    assert [point.epoch for point in none] == [100, 200, 300, "last"]
    assert [point.generation for point in none] == [100, 200, 300, 399]
    assert [point.published for point in none] == [0.271, 0.268, 0.268, 0.268]
    falling = [0.5 - t / 399 * 0.232 for t in (100, 200, 300, 399)]
    assert [point.ours.mean for point in none] == pytest.approx(falling)
    assert [point.agrees for point in none] == [False, False, False, True]
    assert (random[-1].ours.low, random[-1].ours.high, random[-1].agrees) == (0.5, 0.5, True)
    assert lexicase[-1].agrees is False
    assert found.scale is None
    assert "Scaled down" not in found.scope


def test_a_scaled_figure_is_compared_at_its_end_only(tmp_path: Path) -> None:
    plan = quick_plan(tmp_path, [CANONICAL, "best_of_lipi"], ScaledDown(2, 120))
    commit_losses(
        plan,
        {
            (CANONICAL, "none"): around(0.268, 2),
            (CANONICAL, "random"): [0.5],
            ("best_of_lipi", "none"): around(0.145, 2),
        },
    )
    found = find(plan)
    rings, found_figure = found.figures
    last = rings.series[0].points[-1]
    assert (last.ours.n, last.published, last.agrees) == (2, 0.145, None)  # smaller rings
    points = found_figure.series[0].points
    assert [(point.epoch, point.generation) for point in points] == [(100, 100), ("last", 119)]
    assert [point.published for point in points] == [None, 0.268]
    assert [point.agrees for point in points] == [None, True]
    assert [point.ours.n for point in points] == [2, 2]
    alone = found_figure.series[1].points[-1]
    assert (alone.ours.n, alone.published, alone.agrees) == (1, 0.5, None)
    assert found.scale == ScaledDown(2, 120)
    assert found.scope.startswith("Scaled down: 2 trials of 120 generations in rings of 5 cells")


def test_trials_that_two_presets_share_count_once_and_are_not_skipped(tmp_path: Path) -> None:
    plan = full_plan(tmp_path, ["best_of_lipi", "schedules_random"])
    commit_losses(plan, {("schedules_random", "exponential"): [0.1]})
    found = find(plan)
    by_name = {each.name: each for figure in found.figures for each in figure.series}
    assert by_name["random"].n_trials == by_name["exponential"].n_trials == 1
    assert found.skipped == ()


def test_trials_that_are_missing_are_told_where_they_are_to_be(tmp_path: Path) -> None:
    """Once, though two figures draw them; and a failure where it was."""
    plan = full_plan(tmp_path, ["best_of_lipi", "box_best_of_lipi"])
    commit_losses(plan, {("best_of_lipi", "random"): [0.1, None]})
    told = [line for line in find(plan).missing if "random, exponential" in line]
    assert len(told) == 1
    assert "1 of 30 trials, 1 failed" in told[0]
    assert str(tmp_path / "best_of_lipi") in told[0]
    assert any(line.startswith("box_best_of_lipi: not run") for line in find(plan).missing)
