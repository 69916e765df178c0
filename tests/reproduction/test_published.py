"""`published.yaml` says what the specification says, and describes the presets."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from aes_lipi.api import load_study
from aes_lipi.config import list_presets
from aes_lipi.reproduction.plan import _select
from aes_lipi.reproduction.published import Published, load_published

PUBLISHED = load_published()
CONTENT = yaml.safe_load(files("aes_lipi.reproduction").joinpath("published.yaml").read_text())

OPERATORS = {"no": "none", "VARIANCE": "activation", "CONJUNCTIVE": "lexicase", "RANDOM": "random"}
BEST = {"random": "exponential", "activation": "population", "lexicase": "final_n"}
FIGURES = {"Lipi": "best_of_lipi", "canonical": "best_of_canonical"}

PLACES = [
    (figure.preset, series.name, series.variant)
    for figure in PUBLISHED.figures
    for series in figure.series
] + [
    (control.preset, name, selector)
    for control in PUBLISHED.controls
    for name, selector in control.series.items()
]


def specified() -> dict[tuple[str, str], list[float]]:
    """The tables of section 9."""
    text = files("aes_lipi").joinpath("ALGORITHM.md").read_text("utf-8")
    rows = re.findall(r"^\| (Lipi|canonical), (\w+) [\w ]*\|(.*)\|$", text, re.MULTILINE)
    found = {
        (FIGURES[setting], OPERATORS[operator]): [float(cell) for cell in cells.split("|")]
        for setting, operator, cells in rows
    }
    table = text[text.index("| figure | series |") : text.index("Pruning during training against")]
    figure = ""
    for row in table.splitlines()[2:]:
        if not row:
            continue
        title, series, *values = (cell.strip() for cell in row.strip("|").split("|"))
        figure = title or figure
        known = [float(value) for value in values if value != "-"]
        if figure == "Lipi Small":
            found["best_of_lipi_small", OPERATORS.get(series.split()[0], series)] = known
        else:
            found[f"schedules_{OPERATORS[figure.split()[1]]}", series] = known
    for operator, best in BEST.items():
        found[f"schedules_{operator}", best] = found["best_of_lipi", operator]
    return found


def test_the_values_are_those_of_the_specification() -> None:
    ours = {
        (figure.name, series.name): list(series.published.values())
        for figure in PUBLISHED.figures
        for series in figure.series
        if figure.statistic == "mean"
    }
    assert len(ours) == 8 + 3 * 6 + 4
    assert ours == specified()
    assert PUBLISHED.epochs == (100, 200, 300, "last")
    for figure in PUBLISHED.figures:
        for series in figure.series:
            assert (
                tuple(series.published)
                in (
                    (),
                    PUBLISHED.epochs,
                    PUBLISHED.epochs[1:],  # at first none was read
                    PUBLISHED.epochs[-1:],  # of boxes
                )
            )


def test_medians_of_boxes_are_those_of_the_specification() -> None:
    text = files("aes_lipi").joinpath("ALGORITHM.md").read_text("utf-8")
    start = text.index("medians of pooled cells, ring:")
    sentence = text[start : text.index("Median capacities", start)]
    specified = [float(value) for value in re.findall(r"\.\d{3}", sentence)]
    boxes = [PUBLISHED.figure(f"box_best_of_{name}") for name in ("lipi", "canonical")]
    of = [
        {series.name: series.published.get("last") for series in figure.series} for figure in boxes
    ]
    order = ("random", "activation", "lexicase")
    pairs = [(of[0][name], of[0][f"{name}_after"]) for name in order]
    assert [value for pair in pairs for value in pair] == specified[:6]
    assert [of[0]["none"], *(of[1][f"{name}_after"] for name in order)] == [
        *specified[6:8],
        *specified[7:8] * 2,
    ]
    assert of[1]["none"] == specified[8]


@pytest.mark.parametrize(("preset", "series", "selector"), PLACES)
def test_every_selector_is_one_variant_of_its_preset(
    preset: str, series: str, selector: dict[str, Any]
) -> None:
    assert preset in list_presets()
    variant = _select(load_study(preset), selector)
    after = "_after" if variant.prune_schedule == "prune_after" else ""
    named = ("none", f"{variant.prune_method}{after}", variant.prune_schedule)
    assert series in named
    assert (series == "none") == (variant.prune_method == "None")


@pytest.mark.parametrize("figure", PUBLISHED.figures, ids=lambda figure: figure.name)
def test_a_figure_shows_all_of_its_preset(figure: Any) -> None:
    study = load_study(figure.preset)
    shown = {_select(study, series.variant).id for series in figure.series}
    assert shown == {variant.id for variant in study.variants}
    assert study.trials == PUBLISHED.source.trials
    assert {variant.epochs for variant in study.variants} == {PUBLISHED.source.epochs}


def test_a_best_schedule_is_the_one_in_best_of_lipi() -> None:
    """The sweep's claimed variant is, bit for bit, the one whose values were published."""
    best = {series.variant["prune_method"]: series for series in PUBLISHED.figures[0].series}
    for operator in ("random", "lexicase", "activation"):
        figure = PUBLISHED.figure(f"schedules_{operator}")
        [claim] = [each for each in PUBLISHED.claims if each.figure == figure.name]
        pairs = claim.family(figure)
        assert len(pairs) == 5
        [claimed] = {first for first, _ in pairs}
        ours = _select(load_study(figure.preset), figure.named(claimed).variant)
        assert ours.id == _select(load_study("best_of_lipi"), best[operator].variant).id


def test_boxes_prune_once_and_surely_or_as_the_best_does() -> None:
    for kind in ("lipi", "canonical"):
        best, boxes = load_study(f"best_of_{kind}"), load_study(f"box_best_of_{kind}")
        after = [each for each in boxes.variants if each.prune_schedule == "prune_after"]
        assert {each.prune_method for each in after} == {"random", "activation", "lexicase"}
        assert {(each.prune_probability, each.prune_amount) for each in after} == {(1.0, 0.1)}
        others = {each.id for each in boxes.variants} - {each.id for each in after}
        assert others == {each.id for each in best.variants}
        shared = ("cell_evaluation", "population_size", "epochs", "environment", "dataset_name")
        for field in shared:
            assert len({getattr(v, field) for v in (*best.variants, *boxes.variants)}) == 1, field


def test_controls_differ_from_what_they_are_a_change_of() -> None:
    for control in PUBLISHED.controls:
        origin = PUBLISHED.reference(control.origin)
        for name, selector in control.series.items():
            ours = _select(load_study(control.preset), selector)
            theirs = _select(load_study(origin.preset), origin.named(name).variant)
            changed = {k for k, v in ours.model_dump().items() if v != getattr(theirs, k)}
            if control.name == "control_best_of_ten_baselines":
                changed -= {"cell_evaluation", "exponential_rate"}  # other words for the same
                assert changed == {"population_size"}
            assert changed
            assert changed <= {
                *("learning_rate_policy", "optimizer_state", "radius", "epochs"),
                "population_size",
            }


def test_published_capacities_are_those_of_the_specification() -> None:
    text = " ".join(files("aes_lipi").joinpath("ALGORITHM.md").read_text("utf-8").split())
    capacities = {
        figure.name: [
            {s.name: s.capacity for s in figure.series}[name]
            for name in ("random", "lexicase", "activation")
        ]
        for figure in PUBLISHED.figures
        if figure.name.endswith(("best_of_lipi", "best_of_canonical"))
    }
    shown = "RANDOM {:.3f}, CONJUNCTIVE {:.3f}, VARIANCE {:.1f}; baseline {:.2f}, {:.2f}, {:.2f}"
    known = [*capacities["best_of_lipi"], *capacities["best_of_canonical"]]
    line = shown.format(*known).replace(" 0.", " .")
    assert f"Median capacities (by `n_pruned`): ring {line}." in text
    assert capacities["box_best_of_lipi"] == capacities["best_of_lipi"]
    assert capacities["box_best_of_canonical"] == capacities["best_of_canonical"]


def at(*path: str | int) -> Callable[[Any], Any]:
    def go(content: Any) -> Any:
        for step in path:
            content = content[step]
        return content

    return go


@pytest.mark.parametrize(
    ("place", "key", "value", "message"),
    [
        (at(), "more", 1, "Extra inputs"),
        (at("source"), "page", 1, "Extra inputs"),
        (at("figures", 0, "series", 0), "color", "red", "Extra inputs"),
        (at("figures", 0, "series", 0, "published"), 150, 0.1, "150 is none of 100, 200"),
        (at("figures", 0, "series", 0, "published"), 100, 1.1, "less than or equal to 1"),
        (at("figures", 1), "name", "best_of_lipi", "best_of_lipi is there 2 times"),
        (at("figures", 1), "preset", "best_of_lipi", "presets: best_of_lipi is there 2 times"),
        (at("figures", 0, "series", 1), "name", "none", "none is there 2 times"),
        (at("claims", 0), "figure", "best", "best is none of"),
        (at("claims", 0), "kind", "worst", "does not match any of the expected tags"),
        (at("claims", 0, "pairs"), 0, ["magnitude", "random"], "magnitude is none of"),
        (at("claims", 1), "margin", 0, "greater than 0"),
        (at("claims", 7), "best", "prune_after", "prune_after is none of"),
        (at("overviews", 0), "name", "best_of_lipi", "best_of_lipi is there 2 times"),
        (at("overviews", 0, "series", 0), "figure", "lipi", "best_of_best: lipi is none of"),
        (at("overviews", 0, "series", 0), "series", "fixed", "best_of_lipi: fixed is none of"),
        (at("on_instances"), 0, "lipi", "on_instances: lipi is none of"),
        (at("references"), "ring", "lipi", "lipi is none of"),
        (at("controls", 0), "towards", "cell", "'baseline' or 'ring'"),
        (at("controls", 0, "series"), "magnitude", {}, "magnitude is none of"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    place: Callable[[Any], Any], key: Any, value: Any, message: str
) -> None:
    content = copy.deepcopy(CONTENT)
    place(content)[key] = value
    with pytest.raises(ValidationError, match=message):
        Published.model_validate(content)


def test_it_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PUBLISHED.figures[0].title = "other"  # type: ignore[misc]
