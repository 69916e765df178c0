"""The log of records, and which recorded centres are kept, whenever others are dropped."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers import setup_of, tiny_variant
from hypothesis import given
from hypothesis import strategies as st
from rings import evolved

from aes_lipi.coevolution.records import Record, RecordLog, with_front_alone

SIZES = st.integers(0, 3)


def a_record() -> Record:
    setup = setup_of(
        tiny_variant(population_size=1, radius=0, epochs=1, store_generations="recorded")
    )
    return evolved(setup).records[0]


ONE = a_record()


def records_of(sizes: list[tuple[int, int, int]]) -> list[Record]:
    """By zeros, what compaction leaves, and loss; two cells."""
    return [
        replace(
            ONE,
            generation=k // 2,
            cell=k % 2,
            n_zero_encoder=zeros,
            n_zero_decoder=0,
            n_compact=compact,
            validation_loss=float(loss),
            validation_L1=float(loss),
            centre=bytes([k]),
        )
        for k, (zeros, compact, loss) in enumerate(sizes)
    ]


def kept(records: list[Record]) -> list[tuple[int, int]]:
    held = [record for record in records if record.centre is not None]
    return sorted((record.generation, record.cell) for record in held)


def test_what_is_beaten_in_both_sizes_is_dropped() -> None:
    records = records_of([(0, 9, 5), (2, 9, 5), (2, 8, 6), (1, 9, 4), (2, 9, 5), (0, 9, 9)])
    # Zeros: 2 zeros at loss 5 (the first of two), 1 zero at 4. Compact: 8 at 6, 9 at 4.
    assert kept(with_front_alone(records)) == [(0, 1), (1, 0), (1, 1)]


def test_what_is_best_in_l1_is_kept_beside_what_is_best_in_its_own_loss() -> None:
    """Trials of different losses are compared by L1."""
    records = records_of([(1, 9, 5), (1, 9, 6), (1, 9, 7)])
    records[1] = replace(records[1], validation_L1=1.0)
    assert kept(with_front_alone(records)) == [(0, 0), (0, 1)]


@given(sizes=st.lists(st.tuples(SIZES, SIZES, SIZES), max_size=12), data=st.data())
def test_it_does_not_matter_when_and_in_which_order_they_are_dropped(
    sizes: list[tuple[int, int, int]], data: Any
) -> None:
    records = records_of(sizes)
    expected = kept(with_front_alone(records))
    found = RecordLog()
    order = data.draw(st.permutations(range(len(records))))
    while order:
        n = data.draw(st.integers(1, len(order)))
        found, order = found.extended([records[k] for k in order[:n]]), order[n:]
    assert kept(with_front_alone(found)) == expected
    assert len(found) == len(records)


@given(sizes=st.lists(st.tuples(SIZES, SIZES, SIZES), min_size=1, max_size=12))
def test_every_choice_falls_on_what_is_kept(sizes: list[tuple[int, int, int]]) -> None:
    records = records_of(sizes)
    held = [record.centre is not None for record in with_front_alone(records)]
    losses = np.array([loss for _, _, loss in sizes])
    for measure in ([-zeros for zeros, _, _ in sizes], [compact for _, compact, _ in sizes]):
        size = np.array(measure)
        for limit in range(-3, 4):
            small = np.flatnonzero(size <= limit)
            if small.size:
                assert held[min(small, key=lambda k: (losses[k], size[k], k))]
            good = np.flatnonzero(losses <= limit)
            if good.size:
                assert held[min(good, key=lambda k: (size[k], losses[k], k))]


def test_a_log_that_keeps_all_drops_no_centre_and_is_shared() -> None:
    records = records_of([(0, 9, 5), (0, 9, 9), (0, 9, 9)])
    first = RecordLog(keeps_all=True).extended(records[:2])
    again = pickle.loads(pickle.dumps(first)).extended(records[2:])
    assert len(kept(list(again))) == 3
    assert len(kept(list(RecordLog().extended(records)))) == 1


def test_states_share_a_log_and_see_their_own_beginning_of_it() -> None:
    plain = [replace(ONE, generation=t, centre=None) for t in range(6)]
    first = RecordLog(plain[:2])
    second = first.extended(plain[2:4])
    other = first.extended(plain[5:])
    third = second.extended(plain[4:])
    assert (list(first), list(second)) == (plain[:2], plain[:4])
    assert (list(other), list(third)) == ([*plain[:2], plain[5]], plain)
    assert third[1:-1] == plain[1:-1]
    assert third[-1] == plain[-1]
    with pytest.raises(IndexError):
        first[2]
    assert list(pickle.loads(pickle.dumps(second))) == plain[:4]
