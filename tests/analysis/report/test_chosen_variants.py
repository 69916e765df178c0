"""Reports of some of a study's variants, and the refusal of too many."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up import commit_made_up, failure_of, made_up_study

from aes_lipi.analysis import read
from aes_lipi.analysis.read import open_folders, read_measurements
from aes_lipi.errors import UserError
from aes_lipi.results import trial_tables
from aes_lipi.results.store import ResultStore
from aes_lipi.results.trial_files import TrialId

METHODS = ["random", "activation", "lexicase"]
VALUES = [[0.5, 0.4], [0.1, 0.3]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    study = made_up_study(METHODS, 2)
    commit_made_up(tmp_path, study, {method: [VALUES] for method in METHODS})
    variant = study.variants[0]
    ResultStore(tmp_path).record_failure(TrialId(variant.id, 1), failure_of(study, variant, 1))
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "methods"),
    [("*", METHODS), ("random*", ["random"]), ("[al]*", ["activation", "lexicase"])],
)
def test_only_variants_that_fit_are_read(folder: Path, pattern: str, methods: list[str]) -> None:
    data = read_measurements(folder, pattern=pattern)
    assert set(data.trials["prune_method"]) == set(methods)
    assert len(data.failures) == ("random" in methods)
    [opened] = open_folders(folder, pattern)
    described = opened.described
    assert described is not None
    assert set(described.variants) == set(data.trials["variant"])


def test_a_variant_is_chosen_by_its_id(folder: Path) -> None:
    [name] = read_measurements(folder, pattern="lexi*").trials["variant"]
    assert read_measurements(folder, pattern=name).trials["variant"].tolist() == [name]


def test_a_pattern_that_fits_nothing_is_told_with_names(folder: Path) -> None:
    with pytest.raises(UserError, match=r"--variants x\*: fits none of the 3 variants.+random"):
        read_measurements(folder, pattern="x*")


def test_too_many_are_refused_before_any_table_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a table was read")

    with monkeypatch.context() as patch:
        patch.setattr(read, "read_rows", refuse)
        patch.setattr(trial_tables, "_decode", refuse)
        with pytest.raises(UserError, match=r"3 variants are too many.+choose 2 at most by --vari"):
            read_measurements(folder, most_variants=2)
    assert len(read_measurements(folder, pattern="[ra]*", most_variants=2).labels) == 2
