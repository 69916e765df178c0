"""Tables on terminals of any width: no word is broken, and no number cut."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pytest
from rich.console import Console

from aes_lipi.cli.tables import _Column, _columns, _fitting, _layouts, _swept, _table_of
from aes_lipi.cli.terminal import console
from aes_lipi.config import load_preset, resolve_study

PRESETS = ("quickstart", "lexi_prob", "environment", "practice", "own_data")
MEASURES = ("mean_L1", "test_L1", "test_L1_by_validation", "capacity")
ROW: dict[Hashable, Any] = {
    f"{measure}_{part}": 0.123 for measure in MEASURES for part in ("median", "q1", "q3")
}
ROW |= {"trials": 30, "failed": 2, "wall_time_s_median": 3600.0}


def text_of(preset: str, width: int) -> tuple[str, list[str]]:
    """The closing table of a preset on a terminal of a width, and its labels."""
    study = resolve_study(preset, load_preset(preset), {})
    labels = [study.label(variant) for variant in study.variants]
    rows = [ROW] * len(labels)
    ids = _Column("id", [variant.id for variant in study.variants])
    quartiles, medians = (_columns(rows, wide, chosen_on_test=True) for wide in (True, False))
    columns = _fitting(width, ["variant", *labels], _layouts(ids, quartiles, medians))
    output = Console(width=width, markup=False)
    with output.capture() as said:
        output.print(_table_of(preset, "variant", labels, columns))
    return said.get(), labels


@pytest.mark.parametrize("width", [80, 120, 160])
@pytest.mark.parametrize("preset", PRESETS)
def test_words_of_labels_and_numbers_are_whole(preset: str, width: int) -> None:
    text, labels = text_of(preset, width)
    _, *lines = [line.rstrip() for line in text.splitlines()]
    assert {len(line) for line in lines} == {len(lines[0])}
    assert {line[-1] for line in lines} == set("┓┃│┩┘")
    assert len(lines[0]) <= width
    words = set(text.replace("│", " ").split())
    assert {word for label in labels for word in label.split()} <= words
    assert {"30", "(2", "failed)", "0.123"} <= words
    assert "…" not in text


@pytest.mark.parametrize("preset", PRESETS)
def test_what_test_rows_chose_is_shown_beside_the_other_or_not_at_all(preset: str) -> None:
    heads = [text_of(preset, width)[0].partition("┡")[0] for width in range(10, 170, 4)]
    assert any("test L1*" in head for head in heads)
    assert all(("test L1*" in head) == ("valid." in head) for head in heads)


def test_with_little_room_quartiles_go_before_names() -> None:
    wide, narrow = [_Column("a", ["0.1 [0.1, 0.2]"])], [_Column("a", ["0.1"])]
    label = ["exponential schedule"]
    assert _fitting(40, label, [wide, narrow]) is wide
    assert _fitting(24, label, [wide, narrow]) is narrow
    assert _fitting(5, label, [wide, narrow]) is narrow


def test_what_is_swept_is_told_with_its_values() -> None:
    study = resolve_study("s", load_preset("capacity"), {"epochs": list(range(1, 10))})
    assert list(_swept(study.variants)) == [
        "epochs 1, 2, 3, 4, 5, 6 and 3 more",
        "prune_method random, lexicase",
    ]


@pytest.mark.parametrize(("columns", "width"), [("80", 80), ("", 130), ("many", 130), ("0", 130)])
def test_columns_say_how_wide_it_is_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert console().width == width
