"""Addressed streams: the same address gives the same bits, any other address gives others."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from aes_lipi.config import Study, Variant
from aes_lipi.randomness import Address, Purpose

BASE = Address(seed=1, trial=2, cell=3, generation=4)
ADDRESSES = st.builds(
    Address,
    st.integers(0, 2**63 - 1),
    st.integers(0, 9999),
    st.integers(0, 999),
    st.integers(0, 9999),
)


def words(address: Address, purpose: Purpose, size: int = 4) -> tuple[int, ...]:
    drawn = address.stream(purpose).integers(2**64, size=size, dtype=np.uint64)
    return tuple(int(word) for word in drawn)


def test_golden_values() -> None:
    # Every result of every study rests on these: a change here makes no run reproducible any more.
    stream = BASE.stream(Purpose.SHUFFLE)
    assert stream.integers(2**32, size=4).tolist() == [
        680988481,
        2264010722,
        471577229,
        1780868439,
    ]
    assert BASE.stream(Purpose.SHUFFLE).random(3).tolist() == [
        0.5271310736794385,
        0.4146407449407963,
        0.565835286575606,
    ]


def test_key_is_the_seed_and_the_address_side_by_side() -> None:
    # Purpose 6, trial 2, cell 3, generation 4 in 6, 14, 20 and 24 bits.
    key = np.array([1, ((6 * 2**14 + 2) * 2**20 + 3) * 2**24 + 4], dtype=np.uint64)
    expected = np.random.Generator(np.random.Philox(key=key)).random(3)
    assert np.array_equal(BASE.stream(Purpose.SHUFFLE).random(3), expected)


@pytest.mark.parametrize(
    "address",
    [
        *(Address(1, trial) for trial in (-1, 2**14)),
        *(Address(1, 0, cell) for cell in (-1, 2**20)),
        *(Address(1, 0, 0, generation) for generation in (-1, 2**24)),
    ],
)
def test_number_that_would_run_into_its_neighbour_is_refused(address: Address) -> None:
    with pytest.raises(ValueError, match=r"does not fit in \d+ bits"):
        address.stream(Purpose.SHUFFLE)


def test_largest_study_has_an_address_for_every_draw() -> None:
    variant = Variant.model_validate(
        {"population_size": 2**20 - 1, "epochs": 2**24 - 1, "rng_seed": 2**63 - 1}
    )
    study = Study(name="largest", trials=9999, variants=(variant,))
    last = Address(
        variant.rng_seed, study.trials - 1, variant.population_size - 1, variant.epochs - 1
    )
    near = [replace(last, **{field: 0}) for field in ("seed", "trial", "cell", "generation")]
    drawn = [words(address, purpose) for address in (last, *near) for purpose in Purpose]
    assert len(set(drawn)) == 5 * len(Purpose)


@pytest.mark.parametrize(
    ("field", "size"), [("population_size", 2**20), ("epochs", 2**24), ("rng_seed", 2**63)]
)
def test_study_too_large_for_its_addresses_is_refused(field: str, size: int) -> None:
    with pytest.raises(ValidationError, match=field):
        Variant.model_validate({field: size})


def test_numbers_of_the_purposes_are_fixed() -> None:
    fixed = {
        "INITIAL_WEIGHTS": 1,
        "DATA_SUBSET": 2,
        "UPDATE_ORDER": 3,
        "SELECTION_BATCH": 4,
        "TOURNAMENT": 5,
        "SHUFFLE": 6,
        "TRAINING_NOISE": 7,
        "REPLACEMENT_BATCH": 8,
        "PRUNE_EVENT": 9,
        "PRUNE_ENCODER": 10,
        "PRUNE_DECODER": 11,
        "LEXICASE_ROWS": 12,
        "LEARNING_RATE": 13,
        "TEST_BATCH": 14,
        "OPPONENTS": 15,
        "PAIR_ORDER": 16,
        "MEASURED_ORDER": 17,
        "SELECTION_CODE": 18,
        "REPLACEMENT_CODE": 19,
        "TEST_CODE": 20,
        "MEASURED_CODE": 21,
        "LEXICASE_CODE": 22,
        "RETRIEVAL_CODE": 23,
    }
    assert {purpose.name: purpose.value for purpose in Purpose} == fixed
    # IntEnum makes a second name for a number an alias; members are then fewer than names.
    assert len(Purpose.__members__) == len(list(Purpose))


@settings(deadline=None, max_examples=50)
@given(ADDRESSES, st.sampled_from(Purpose))
def test_same_address_gives_the_same_bits(address: Address, purpose: Purpose) -> None:
    again = Address(address.seed, address.trial, address.cell, address.generation)
    assert words(address, purpose) == words(again, purpose)


def test_drawing_from_one_stream_moves_no_other() -> None:
    BASE.stream(Purpose.TOURNAMENT).random(1000)
    first = words(BASE, Purpose.TOURNAMENT)
    np.random.default_rng(0).random(10)
    assert words(BASE, Purpose.TOURNAMENT) == first


@settings(deadline=None, max_examples=50)
@given(ADDRESSES, ADDRESSES, st.sampled_from(Purpose), st.sampled_from(Purpose))
def test_other_addresses_and_purposes_give_other_bits(
    one: Address, other: Address, purpose: Purpose, second: Purpose
) -> None:
    same = (one, purpose) == (other, second)
    assert (words(one, purpose) == words(other, second)) == same


def test_no_two_streams_of_adjacent_addresses_share_a_word() -> None:
    # 3^4 addresses x all purposes x 4 words of 64 bits: by chance two are equal with odds of 1e-12.
    grid = itertools.product(range(3), repeat=4)
    drawn = [words(Address(*place), purpose) for place in grid for purpose in Purpose]
    flat = [word for stream in drawn for word in stream]
    assert len(set(flat)) == len(flat)


def test_streams_of_adjacent_addresses_do_not_overlap() -> None:
    # A long stream does not run into its neighbours' beginnings.
    long = set(words(Address(1, 0), Purpose.SHUFFLE, size=20_000))
    near = [Address(1, 1), Address(2, 0), Address(1, 0, 1), Address(1, 0, 0, 1), Address(0, 0)]
    for address in near:
        assert long.isdisjoint(words(address, Purpose.SHUFFLE, size=1000))
    for purpose in Purpose:
        if purpose is not Purpose.SHUFFLE:
            assert long.isdisjoint(words(Address(1, 0), purpose, size=1000))


def test_places_of_an_address_are_not_interchangeable() -> None:
    places = set(itertools.permutations((1, 2, 3, 4)))
    assert len({words(Address(*place), Purpose.SHUFFLE) for place in places}) == len(places)


def test_streams_of_adjacent_addresses_are_uncorrelated() -> None:
    draws = np.array(
        [Address(1, 0, 0, t).stream(Purpose.PRUNE_EVENT).random() for t in range(2000)]
    )
    # First draws of 2,000 generations: uniform, without memory; 5 standard errors each.
    assert abs(draws.mean() - 0.5) < 5 / np.sqrt(12 * 2000)
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 5 / np.sqrt(2000)


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_bits_do_not_depend_on_the_process(hash_seed: str) -> None:
    code = (
        "from aes_lipi.randomness import *;"
        "print(Address(1, 2, 3, 4).stream(Purpose.SHUFFLE).integers(2**32))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout == "680988481\n"
