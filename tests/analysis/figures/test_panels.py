"""Which variants share a panel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from aes_lipi.analysis.figures.curves import one_panel, panels_by, varying_settings
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


def test_one_panel_has_all() -> None:
    [panel] = one_panel(labels(BOTH))
    assert panel.title == ""
    assert list(panel.lines.values()) == list(labels(BOTH).values())
