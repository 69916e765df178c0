"""What values say of themselves: a few lines, of which none is HTML of somebody else's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers import random_pair, setup_of, tiny_study, tiny_variant
from made_up import commit_made_up, made_up_study

import aes_lipi
from aes_lipi import analysis
from aes_lipi.config import Study
from aes_lipi.models import Model

METHODS = ["None", "random", "activation", "magnitude"]


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("summaries")
    study = made_up_study(METHODS, trials=6)
    losses = {name: [[[k + t / 9]] for t in range(6)] for k, name in enumerate(METHODS)}
    commit_made_up(folder, study, losses)
    setup = setup_of(tiny_variant())
    data = analysis.read_measurements(folder)
    return {
        "study": study,
        "results": aes_lipi.load_results(folder),
        "model": Model(setup.architecture, random_pair(setup.architecture, 0)),
        "comparisons": analysis.compare(analysis.generation_samples(data, "mean_L1")),
    }


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("study", "Study made up: 4 variants of 6 trials"),
        (
            "results",
            "Results: 24 trials, 0 failed, 0 passed over; .trials, .generations, .failures",
        ),
        ("model", "Model 7-4-3-4-7: 98 parameters, 0 of them zero"),
        ("comparisons", "Comparisons: 6 pairs of 4 variants at alpha 0.05, "),
    ],
)
def test_a_value_says_what_it_is(name: str, first: str, values: dict[str, Any]) -> None:
    shown = repr(values[name])
    assert shown.startswith(first)
    assert len(shown) < 1000
    assert len(shown.splitlines()) <= 8
    assert shown.splitlines()[0] in values[name]._repr_html_().replace("&#x27;", "'")


def test_of_many_lines_the_first_are_shown() -> None:
    many = tiny_study(epochs=list(range(1, 31)))
    assert repr(many).splitlines()[1] == "  epochs=1"
    assert repr(many).splitlines()[-1] == "  ... and 24 more"
    assert repr(many) == str(many)


def test_names_are_text_in_a_notebook() -> None:
    named = tiny_study().model_dump() | {"name": "<b>bold\x1b[2J</b>"}
    study = Study.model_validate(named)
    assert "<b>" not in study._repr_html_()
    assert "\x1b" not in repr(study)


def test_only_what_is_public_is_offered(tmp_path: Path) -> None:
    assert set(dir(aes_lipi)) == {*aes_lipi.__all__, "AutoencoderRing"}
    assert dir(aes_lipi.analysis) == sorted(aes_lipi.analysis.__all__)
    for name in dir(aes_lipi):
        assert getattr(aes_lipi, name) is not None
