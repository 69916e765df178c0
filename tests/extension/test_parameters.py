"""Parameters of one's own: as settings, typed from the signature, swept, and as columns."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from helpers import TINY
from hypothesis import given
from hypothesis import strategies as st
from plugin_modules import write_module
from studies import run_study

from aes_lipi.config import Study, StudyFile, Variant, resolve_study
from aes_lipi.config.parameters import (
    joined_name,
    parameter_columns,
    parameter_row,
    split_list,
    split_name,
    spread,
)
from aes_lipi.errors import UserError
from aes_lipi.execution.inputs import with_digests
from aes_lipi.extension.signature import check_arguments, own_values
from aes_lipi.results.reading import load_results

CODE = """
def keep(genome, layout, evidence, settings, rng, share: float = 0.7):
    return rng.random(genome.size) < share

class Keep:
    def __init__(self, share: float):
        self.share = share
    def __call__(self, genome, layout, evidence, settings, rng):
        return rng.random(genome.size) < self.share

def waves(moment, *, n: int = 3, how="sine"):
    return abs(np.sin(n * np.pi * moment.progress)) if how == "sine" else 0.0

def small(width: int = 5):
    return Environment(hidden_sizes=(width,), latent_size=2)

def bits(rng, rows=40):
    return rng.random((rows, 6)) < 0.5

def near(population_size, k: int = 1):
    return [[(i + d) % population_size for d in range(1, k + 1)] for i in range(population_size)]
"""
PLAIN = {name: value for name, value in TINY.items() if not name.startswith("n_")}


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("m:f", ["m:f"]),
        ("m:f()", ["m:f"]),
        ("m:f(a=1)", ["m:f(a=1)"]),
        (" m:f ( b = x , a = 1.0 ) ".strip(), ["m:f(a=1,b=x)"]),
        ("m:f(a=[0.10,2e-1],b=[x,y])", [f"m:f(a={a},b={b})" for a in (0.1, 0.2) for b in "xy"]),
        (
            {"plugin": "m:f", "a": [True, 1, "x/y.csv"]},
            ["m:f(a=true)", "m:f(a=1)", "m:f(a=x/y.csv)"],
        ),
        ({"plugin": "short", "a": -0.5}, ["short(a=-0.5)"]),
        ({"plugin": "m:f", "a": [None, 1]}, ["m:f(a=none)", "m:f(a=1)"]),
        (None, [None]),
        ("random", ["random"]),
    ],
)
def test_a_value_comes_to_names(value: Any, names: list[Any]) -> None:
    assert spread(value) == names


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"quota": 1}, "a mapping names its plug-in"),
        ({"plugin": "m:f(a=1)", "b": 1}, "a mapping names its plug-in"),
        ({"plugin": "m:f", "a b": 1}, "'a b' is no name of a parameter; give NAME=VALUE"),
        ({"plugin": "m:f", "a": {"b": 1}}, "a: {'b': 1} is no value of a parameter"),
        ("m:f(a=1,a=2)", "a parameter stands twice"),
        ("m:f(1)", "'1' is no name of a parameter"),
        ("m:f(a=x y)", "a: 'x y' is no value of a parameter"),
    ],
)
def test_what_is_no_parameter_is_refused(value: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*$") as caught:
        spread(value)
    assert problem in str(caught.value)
    with pytest.raises(UserError, match=r"^prune_method: "):
        resolve_study("mine", StudyFile(settings={"prune_method": value}), {})


WORDS = st.from_regex(r"[a-z]{1,5}", fullmatch=True)


@given(WORDS, st.dictionaries(WORDS, WORDS | st.integers() | st.floats(-9, 9) | st.booleans()))
def test_a_name_is_read_as_it_was_put_together(name: str, given: dict[str, Any]) -> None:
    [text] = spread({"plugin": f"m:{name}", **given} if "plugin" not in given else f"m:{name}")
    bare, parameters = split_name(text)
    assert bare == f"m:{name}"
    assert joined_name(bare, dict(parameters)) == text
    assert spread(text) == [text]
    assert split_list(f"random, {text},x") == ["random", text, "x"]


def takes(
    given: Any,
    number: float = 1,
    whole: int = 2,
    *,
    truth: bool = False,
    either: Literal["low", "high", 3] = "low",
    version: Literal["1.0", "2.0"] = "1.0",
    yes: Literal[True, "perhaps"] = True,
    words: Literal["a b", "c", None] = "c",
    perhaps: float | None = None,
    guessed: Any = None,
    like_default: float = 0.5,
    rows: list[int] | None = None,
) -> None:
    """Of every type."""


takes.__annotations__.pop("like_default")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("number", "2", 2.0),
        ("number", "1e-3", 0.001),
        ("whole", "7", 7),
        ("truth", "yes", True),
        ("either", "high", "high"),
        ("either", "3", 3),
        ("version", "1", "1.0"),
        ("yes", "true", True),
        ("words", "c", "c"),
        ("words", "none", None),
        ("words", "None", None),
        ("perhaps", "none", None),
        ("perhaps", "0.5", 0.5),
        ("guessed", "7", 7),
        ("guessed", "x", "x"),
        ("like_default", "1", 1.0),
        ("number", "much", "number: much is not a number"),
        ("number", "nan", "number: nan is not a number"),
        ("whole", "0.5", "whole: 0.5 is not a whole number"),
        ("truth", "2", "truth: 2 is neither true nor false"),
        ("either", "mid", "either: mid is none of low, high, 3"),
        ("perhaps", "x", "perhaps: x is not a number"),
        ("rows", "1", "rows: is annotated as list, which no setting can be"),
        ("nmber", "1", "has no parameter nmber; did you mean number?"),
        ("given", "1", "has no parameter given"),
    ],
)
def test_values_have_the_types_of_the_signature(name: str, text: str, expected: Any) -> None:
    if (isinstance(expected, str) and ": " in expected) or name in ("nmber", "given"):
        with pytest.raises(ValueError, match=r"^[^\n]*$") as caught:
            own_values(takes, 1, {name: text})
        assert str(caught.value).startswith(expected)
        return
    [(key, value)] = own_values(takes, 1, {name: text}).items()
    assert (key, value, type(value)) == (name, expected, type(expected))


@pytest.mark.parametrize(
    ("function", "own", "problem"),
    [
        (lambda a, b: 0, {}, None),
        (lambda a, b, c=1: 0, {"c": 2}, None),
        (lambda *all_of_them, **options: 0, {"c": 2}, None),
        (partial(lambda c, a, b: 0, 1), {}, None),
        (lambda a: 0, {}, "takes (a) where (a, b) is given; change its parameters"),
        (
            lambda a, b, c: 0,
            {},
            "takes (a, b, c) where (a, b) is given; change its parameters, or set c: {plugin: ...",
        ),
    ],
)
def test_what_is_given_must_be_taken(
    function: Callable[..., Any], own: dict[str, Any], problem: str | None
) -> None:
    if problem is None:
        check_arguments(function, ("a", "b"), own)
        return
    with pytest.raises(ValueError, match=r"^takes ") as caught:
        check_arguments(function, ("a", "b"), own)
    assert str(caught.value).startswith(problem)


def test_columns_are_truths_numbers_or_texts() -> None:
    rows = [
        {"prune_method": "m:f(a=1,b=true)"},
        {"prune_method": "m:g(a=x)", "prune_schedule": "m:s(a=2)"},
        {"prune_method": "random", "data": "a.csv", "dataset_name": "a(a=1)"},
    ]
    columns = parameter_columns(rows)
    assert columns == (
        *(("prune_method_a", str), ("prune_method_b", bool), ("prune_schedule_a", float)),
    )
    assert parameter_row(rows[0], columns) == {
        **{"prune_method_a": "1.0", "prune_method_b": True, "prune_schedule_a": None}
    }


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    return write_module(tmp_path, CODE)


def swept(module: str) -> Study:
    return resolve_study(
        "swept",
        StudyFile(
            trials=1,
            settings={
                **PLAIN,
                "pruned_weights": "frozen",
                "hidden_sizes": None,
                "latent_size": None,
                "prune_method": ["random", {"plugin": f"{module}:keep", "share": [0.5, "0.9"]}],
                "prune_schedule": {"plugin": f"{module}:waves", "n": 1},
                "environment": f"{module}:small(width=4)",
                "dataset_name": {"plugin": f"{module}:bits", "rows": 60},
                "topology": {"plugin": f"{module}:near", "k": 2},
            },
        ),
        {},
    )


def test_parameters_are_settings_of_the_variant_and_columns_of_the_tables(
    module: str, tmp_path: Path
) -> None:
    study = swept(module)
    assert [study.label(each) for each in study.variants] == [
        *("random", "keep(share=0.5)", "keep(share=0.9)")
    ]
    assert len({each.id for each in study.variants}) == 3
    run_study(study, tmp_path / "out")
    expected = {
        **{"prune_method_share": [0.5, 0.9, np.nan], "prune_schedule_n": [1.0] * 3},
        **{
            "environment_width": [4.0] * 3,
            "dataset_name_rows": [60.0] * 3,
            "topology_k": [2.0] * 3,
        },
    }
    written = pd.read_parquet(tmp_path / "out" / "trials").sort_values("prune_method_share")
    for trials in (load_results(tmp_path / "out").trials, written):
        ordered = trials.sort_values("prune_method_share")[list(expected)]
        pd.testing.assert_frame_equal(
            ordered.reset_index(drop=True), pd.DataFrame(expected), check_dtype=True
        )
    half, most, _ = written["capacity"]
    assert half < most < 1
    assert set(written["graph"]) == {"1 2;2 3;3 0;0 1"}
    assert written["architecture"].str.startswith("6-4-2").all()


def test_a_class_is_made_of_its_parameters(module: str) -> None:
    fields = {**PLAIN, "prune_method": f"{module}:Keep(share=0.5)", "dataset_name": "2_4_6"}
    study = resolve_study("one", StudyFile(settings=fields), {})
    assert with_digests(study).variants[0].prune_method == f"{module}:Keep(share=0.5)"


def test_a_variant_takes_a_mapping_and_has_one_value_of_each() -> None:
    one = Variant.model_validate({"prune_method": {"plugin": "m:f", "a": 0.5}})
    assert one.prune_method == "m:f(a=0.5)"
    assert one == Variant(prune_method="m:f( a = 0.50 )")
    with pytest.raises(ValueError, match="one value of each parameter; sweep them in a study"):
        Variant.model_validate({"prune_method": {"plugin": "m:f", "a": [1, 2]}})
    with pytest.raises(UserError, match=r"prune_schedule: fixed is built in: what it takes"):
        resolve_study("x", StudyFile(settings={"prune_schedule": "fixed(p=1)"}), {})


def test_flags_have_them_between_brackets() -> None:
    given = "random,m:f(a=0.1,b=x),m:f(a=[1,2])"
    study = resolve_study("x", StudyFile(), {"prune_method": given})
    assert [each.prune_method for each in study.variants] == [
        *("random", "m:f(a=0.1,b=x)", "m:f(a=1)", "m:f(a=2)")
    ]
