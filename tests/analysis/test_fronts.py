"""Which candidates are compared, and who is on their fronts."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
import pytest
from analysis.candidates import candidates

from aes_lipi.analysis.pareto import CANDIDATE_COLUMNS, Tradeoff, front_table, knee, tradeoffs
from aes_lipi.config import Variant
from aes_lipi.results.schema import settings_row

POINTS: dict[str, Any] = {"capacity": [1.0, 0.5, 0.75, 0.25], "validation_L1": [0.1, 0.2, 0.3, 0.4]}


def trials(**settings: dict[str, Any]) -> pd.DataFrame:
    """A row for each variant, by its id."""
    rows = [
        {"variant": name, **settings_row(Variant.model_validate(given))}
        for name, given in settings.items()
    ]
    return pd.DataFrame(rows)


def test_fronts_by_what_is_not_zero_and_by_what_compaction_leaves() -> None:
    found = Tradeoff("bits", candidates(**POINTS, n_compact=[100, 30, 20, 40]))
    assert found.front("capacity").tolist() == [3, 1, 0]
    assert found.front("compact").tolist() == [2, 1, 0]
    assert found.counts("capacity").tolist() == [100, 50, 75, 25]
    assert found.shares("compact").tolist() == [1, 0.3, 0.2, 0.4]
    assert found.is_pruned
    assert found.is_compacted


def test_what_there_is_to_see() -> None:
    assert not Tradeoff("", candidates(capacity=[1, 1], validation_L1=[1, 2])).is_pruned
    assert not Tradeoff("", candidates(**POINTS)).is_compacted  # nothing can be taken out
    zeros = Tradeoff("", candidates(**POINTS, n_compact=[100, 50, 75, 25]))  # just the zeros
    assert not zeros.is_compacted


def test_networks_of_several_sizes_are_compared_by_numbers() -> None:
    sizes = [10, 100, 10, 100]
    found = Tradeoff("", candidates(**POINTS, n_parameters=sizes, n_compact=[10, 90, 8, 70]))
    assert not found.is_of_one_size
    assert found.counts("capacity").tolist() == [10, 50, 8, 25]  # rounded: 7.5 is no number
    assert found.front("capacity").tolist() == [2, 0]


def test_labels_are_those_that_are_there() -> None:
    found = Tradeoff("", candidates(**POINTS, variant=["c", "a", "c", "a"], among="abc"))
    assert found.labels == ("a", "c")


def test_variants_of_other_data_are_not_compared() -> None:
    rows = candidates(**POINTS, variant=list("abab"))
    settings = trials(a={"prune_method": "random"}, b={"dataset_name": "10_100_50"})
    first, second = tradeoffs(rows, settings)
    assert first.data == "binary_clustering_10_100_1000"
    assert second.data == "binary_clustering_10_100_50"
    assert first.candidates["capacity"].tolist() == [1, 0.75]
    assert second.candidates["capacity"].tolist() == [0.5, 0.25]
    [one] = tradeoffs(rows[rows["variant"] == "a"], settings)
    assert one.candidates["validation_L1"].tolist() == [0.1, 0.3]


def test_what_data_are_called_tells_them_apart() -> None:
    rows = candidates(**POINTS, variant=list("abcd"))
    digest = "0" * 64
    settings = trials(
        a={"data": "one/x.csv", "data_digest": digest},
        b={"data": "other/y.csv", "data_digest": digest, "prune_method": "random"},
        c={"data": "one/x.csv", "data_digest": "1" * 64},
        d={"data": "one/x.csv", "data_digest": digest, "test_fraction": 0.5},
    )
    found = tradeoffs(rows, settings)
    assert [each.candidates["variant"].tolist() for each in found] == [["a", "b"], ["c"], ["d"]]
    names = [each.data for each in found]
    assert len(set(names)) == 3
    assert all(name.startswith("x, test_fraction=") for name in names)


def test_the_table_of_who_is_on_the_fronts() -> None:
    first = Tradeoff("bits", candidates(**POINTS, n_compact=[100, 30, 20, 40]))
    second = Tradeoff("bytes", candidates(capacity=[0.5], validation_L1=[1]))
    table = front_table([first, second])
    assert table.columns.tolist() == ["data", "front", *CANDIDATE_COLUMNS]
    assert table["data"].tolist() == ["bits"] * 6 + ["bytes"] * 2
    assert table["front"].tolist() == [*["capacity"] * 3, *["compact"] * 3, "capacity", "compact"]
    assert table["cell"].tolist() == [3, 1, 0, 2, 1, 0, 0, 0]
    read = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    for name in ("trial", "generation", "cell", "n_compact", "n_parameters"):
        assert read[name].tolist() == table[name].tolist()
    for name in ("capacity", "validation_L1", "test_L1"):
        assert read[name].tolist() == pytest.approx(table[name].tolist(), abs=0)
    assert front_table([]).columns.tolist() == table.columns.tolist()


@pytest.mark.parametrize(
    ("sizes", "losses", "place"),
    [
        ([500], [0.2], 0),
        ([100, 500], [0.3, 0.1], 1),  # no knee: the lowest loss
        ([10, 100, 1000], [1.0, 0.1, 0.01], 2),  # straight, by equal shares
        ([10, 100, 1000], [1.0, 0.011, 0.01], 1),
        ([10, 100, 1000], [1.0, 0.5, 0.01], 2),  # bent the other way
        ([1000, 5000, 8342, 20816], [0.05, 0.015, 0.0113, 0.011], 2),  # 3 % more for 60 % less
        ([100, 200, 400, 800], [80.0, 40.0, 20.0, 19.9], 2),
        ([10, 20, 40, 80, 160], [9.0, 3.0, 2.9, 2.8, 2.7], 1),
        ([10, 20, 40], [5.0, -7.9, -8.0], 1),  # a negative ELBO may be below zero
        ([10, 20, 40], [5.0, 0.01, 0.0], 1),
    ],
)
def test_the_knee_of_a_front(sizes: list[float], losses: list[float], place: int) -> None:
    assert knee(sizes, losses) == place


def test_the_knee_is_the_same_in_other_units() -> None:
    sizes, losses = [10, 30, 100, 1000], [3.0, 0.9, 0.6, 0.5]
    assert knee([7 * n for n in sizes], [1e-9 * loss for loss in losses]) == knee(sizes, losses)
