"""Which variants share a panel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from aes_lipi.analysis.figures.curves import is_of_chosen, panels_by, panels_of
from aes_lipi.analysis.read import Measurements
from aes_lipi.analysis.settings import groups_beside, settings_of, swept_numbers, varying_settings
from aes_lipi.config import Study, StudyFile, resolve_study
from aes_lipi.results.schema import settings_row


def swept(**settings: Any) -> Study:
    return resolve_study("swept", StudyFile(trials=1, **settings), {})


def lines(study: Study, setting: str) -> dict[str, list[str]] | None:
    """By panel the names of its lines."""
    panels = panels_by(setting, trials(study), labels(study))
    return None if panels is None else {each.title: [*each.lines.values()] for each in panels}


def trials(study: Study) -> pd.DataFrame:
    return pd.DataFrame([{"variant": each.id, **settings_row(each)} for each in study.variants])


def labels(study: Study) -> Mapping[str, str]:
    return {each.id: study.label(each) for each in study.variants}


BOTH = swept(
    settings={"prune_probability": 0.5},
    variants=[
        {"prune_method": "None"},
        {"prune_method": ["random", "lexicase"], "prune_schedule": ["fixed", "final_n"]},
    ],
)


def test_a_panel_per_operator_has_a_line_per_schedule() -> None:
    assert lines(BOTH, "prune_method") == {
        "no pruning": ["no pruning"],
        "random": ["fixed", "final_n"],
        "lexicase": ["fixed", "final_n"],
    }


def test_what_is_not_pruned_is_in_every_panel_by_schedule() -> None:
    found = lines(BOTH, "prune_schedule")
    assert found == {
        "fixed": ["no pruning", "random", "lexicase"],
        "final_n": ["no pruning", "random", "lexicase"],
    }


def test_what_has_no_value_has_a_panel_of_its_own() -> None:
    study = swept(settings={"prune_method": ["random", "magnitude"], "patience": [None, 10]})
    assert lines(study, "patience") == {
        "patience=None": ["random", "magnitude"],
        "patience=10": ["random", "magnitude"],
    }


def test_values_that_are_called_alike_have_a_panel_each() -> None:
    """Labels cut long ones."""
    wide = [[100] * 40 + [last] for last in (1, 2, 3)]
    study = swept(settings={"prune_method": ["random", "magnitude"], "hidden_sizes": wide})
    found = lines(study, "hidden_sizes")
    assert found is not None
    assert list(found.values()) == [["random", "magnitude"]] * 3
    assert [title[-4:] for title in found] == [" (1)", " (2)", " (3)"]


def test_settings_that_do_not_vary_make_no_panels() -> None:
    assert lines(BOTH, "environment") is None
    alone = swept(settings={"prune_method": "random", "prune_schedule": ["fixed", "final_n"]})
    assert lines(alone, "prune_schedule") is None  # a line a panel: better together
    assert lines(alone, "prune_method") is None


def test_a_panel_per_environment() -> None:
    environments = ["AutoencoderBinaryClustering", "AutoencoderBinaryClustering_Small"]
    study = swept(
        settings={"environment": environments, "prune_method": ["None", "magnitude"]},
    )
    assert lines(study, "environment") == {
        each: ["no pruning", "magnitude"] for each in environments
    }
    assert varying_settings(trials(study)[["environment", "prune_method", "epochs"]]) == [
        "environment",
        "prune_method",
    ]


def measured(study: Study) -> Measurements:
    """As many as a study has, the later a variant the lower its loss."""
    rows = trials(study).assign(mean_L1=range(len(study.variants), 0, -1))
    none = pd.DataFrame()
    return Measurements(labels(study), {}, rows, none, {}, ("mean_L1",), "mean_L1", ())


def test_few_variants_share_a_panel() -> None:
    [panel] = panels_of(measured(BOTH))
    assert panel.title == ""
    assert list(panel.lines.values()) == list(labels(BOTH).values())


PROBABILITIES = [0.1, 0.2, 0.4, 0.8]


def test_more_variants_make_panels_by_a_setting() -> None:
    study = swept(
        settings={"prune_method": ["random", "magnitude"], "prune_probability": PROBABILITIES}
    )
    panels = panels_of(measured(study))
    assert [panel.title for panel in panels] == ["random", "magnitude"]
    assert [*panels[0].lines.values()] == [f"prune_probability={p}" for p in PROBABILITIES]
    assert not is_of_chosen(panels, labels(study))


def test_of_many_variants_those_of_the_lowest_losses_have_panels() -> None:
    study = swept(
        settings={
            "prune_method": ["random", "magnitude", "activation"],
            "prune_probability": PROBABILITIES,
            "prune_amount": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
        }
    )
    panels = panels_of(measured(study), 5)
    assert [panel.title for panel in panels] == list(labels(study).values())[-5:]
    assert is_of_chosen(panels, labels(study))


def test_groups_are_of_variants_that_differ_in_nothing_else() -> None:
    study = swept(
        settings={"prune_probability": PROBABILITIES},
        variants=[{"prune_method": "None"}, {"prune_method": ["random", "magnitude"]}],
    )
    settings = settings_of(trials(study), labels(study))
    assert swept_numbers(settings) == ["prune_probability"]
    found = groups_beside(settings, ["prune_probability"])
    assert {name: len(ids) for name, ids in found.items()} == {
        "no pruning": 1,
        "random": 4,
        "magnitude": 4,
    }
    alone = settings_of(trials(study).query("prune_method == 'random'"), labels(study))
    assert {
        name: len(ids) for name, ids in groups_beside(alone, ["prune_probability"]).items()
    } == {"": 4}
