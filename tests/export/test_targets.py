"""What a target asks of a study before it runs, and the line that gives a small model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from own_tables import own_data

from aes_lipi.config import Study
from aes_lipi.errors import UserError
from aes_lipi.execution.inputs import with_digests
from aes_lipi.export.targets import Target, aimed, line_for_a_small_model


def study_of(table: Path, **settings: Any) -> Study:
    """One unpruned variant and one that loses half of its 40 hidden nodes."""
    wide = {"hidden_sizes": [40], "latent_size": 2, **settings}
    return with_digests(own_data(table, prune_unit="hidden_node", **wide))


def amounts(study: Study, capacity: float, *, may_prune_more: bool = True) -> list[float]:
    ready = aimed(study, Target(capacity=capacity), may_prune_more=may_prune_more)
    return [variant.prune_amount for variant in ready.variants]


@pytest.mark.parametrize(("capacity", "amount"), [(1.0, 0.5), (0.52, 0.5), (0.3, 0.7)])
def test_a_study_prunes_as_much_as_a_size_takes(
    table: Path, capacity: float, amount: float
) -> None:
    unpruned, pruned = amounts(study_of(table), capacity)
    assert unpruned == study_of(table).variants[0].prune_amount
    assert pruned == pytest.approx(amount, abs=0.03)
    assert (pruned == 0.5) == (amount == 0.5)


def test_amounts_that_were_swept_stay(table: Path) -> None:
    """They would all become the one that the size takes, and several variants one."""
    study = study_of(table)
    swept = [study.variants[1].model_copy(update={"prune_amount": k / 10}) for k in (1, 2, 7)]
    assert amounts(study.with_variants([study.variants[0], *swept]), 0.6)[1:] == [0.1, 0.2, 0.7]


def test_an_amount_that_no_operator_reads_is_none_that_was_swept(table: Path) -> None:
    study = study_of(table)
    lexicase = study.variants[1].model_copy(
        update={"prune_method": "lexicase", "prune_schedule": "final_n", "prune_amount": 0.1}
    )
    assert amounts(study.with_variants([study.variants[1], lexicase]), 0.3)[0] > 0.5


def test_an_amount_that_was_given_stays(table: Path) -> None:
    study = study_of(table)
    assert amounts(study, 0.6, may_prune_more=False) == [v.prune_amount for v in study.variants]
    with pytest.raises(UserError, match=r"at the least 0\.5\d\d of .* a larger --prune_amount"):
        amounts(study, 0.3, may_prune_more=False)


@pytest.mark.parametrize(
    ("settings", "capacity", "told"),
    [
        ({}, 0.001, "ask for less"),
        ({"prune_method": "None"}, 0.5, "nothing is pruned; give --prune_method magnitude"),
        ({"store_generations": "none"}, 0.5, "give --store_generations recorded"),
        ({"dataset_seed": [1, 2]}, 0.5, "different data"),
    ],
)
def test_a_target_that_cannot_be_met_is_refused_before_anything_runs(
    table: Path, settings: dict[str, Any], capacity: float, told: str
) -> None:
    study = study_of(table)
    if "dataset_seed" in settings:
        others = [v.model_copy(update={"dataset_seed": 9}) for v in study.variants]
        study = study.model_copy(update={"variants": (*study.variants, *others)})
    else:
        changed = [v.model_copy(update=settings) for v in study.variants]
        study = study.model_copy(update={"variants": tuple(changed)})
    with pytest.raises(UserError, match=told):
        amounts(study, capacity)


def test_who_prunes_weights_is_not_judged_before(table: Path) -> None:
    study = study_of(table)
    pruned = study.variants[1].model_copy(update={"prune_unit": "weight"})
    study = study.model_copy(update={"variants": (pruned,)})
    assert amounts(study, 0.01) == [pruned.prune_amount]


@pytest.mark.parametrize(
    ("study", "data", "told"),
    [
        ("own_data", "/t/my table.csv", "aes-lipi run --data '/t/my table.csv' "),
        ("quickstart", None, "aes-lipi run --rq quickstart --prune_method magnitude "),
        ("mine", None, "aes-lipi run --config mine.yaml --prune_method magnitude "),
    ],
)
def test_the_line_for_a_small_model(study: str, data: str | None, told: str) -> None:
    line = line_for_a_small_model(study, data, "s3://bucket/a b")
    assert line.startswith(told)
    assert shlex.split(line)[-2:] == ["--output_dir", "s3://bucket/a b-small"]
