"""What is computed, against arrays that come from the definitions alone (`golden.py`)."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from golden import golden
from helpers import random_pair, setup_of, tiny_variant

from aes_lipi.autoencoders.network import ActivationStatistics, chain
from aes_lipi.coevolution.cell import Offspring, Task
from aes_lipi.coevolution.schedule import Schedule, make_plan
from aes_lipi.coevolution.state import BEFORE_FIRST, Cell
from aes_lipi.config import Variant
from aes_lipi.pruning.contract import Evidence, Settings
from aes_lipi.pruning.operators import OPERATORS
from aes_lipi.pruning.schedules import prune_probability
from aes_lipi.randomness import Address, Purpose

HERE = Path(__file__).parent
GOLDEN: dict[str, Any] = json.loads((HERE / "fixtures/golden.json").read_text())
LAYOUT = chain(("hidden_1", "latent"), (GOLDEN["sizes"][0][0], 5, 3), "relu")


def test_the_arrays_are_the_scripts_and_the_script_imports_nothing_of_the_package() -> None:
    tree = ast.parse((HERE / "golden.py").read_text())
    names = [
        ast.unparse(each)
        for each in ast.walk(tree)
        if isinstance(each, ast.Import | ast.ImportFrom)
    ]
    assert names
    assert not any("aes_lipi" in name for name in names)
    assert json.loads(json.dumps(golden())) == GOLDEN


class Given:
    """A stream whose draws are given: uniform ones, and what is chosen without replacement."""

    def __init__(self, uniforms: list[float], choices: Sequence[list[int]] = ()) -> None:
        self._left, self._choices = np.array(uniforms), iter(choices)

    def random(self, shape: Any) -> Any:
        n = int(np.prod(shape))
        drawn, self._left = self._left[:n], self._left[n:]
        return drawn.reshape(shape)

    def choice(self, n: int, size: int, *, replace: bool, **_: Any) -> Any:
        positions = next(self._choices)
        assert not replace
        assert size == len(positions)
        assert all(position < n for position in positions)
        return np.array(positions, np.int64)


def kept(
    method: str,
    evidence: Evidence,
    *,
    amount: float = 0.1,
    threshold: float = 0.1,
    choices: Sequence[list[int]] = (),
) -> list[bool]:
    """The mask of an operator whose draws are given."""
    weights = np.array(GOLDEN["weights"], dtype=np.float32)
    rng = cast("np.random.Generator", Given(GOLDEN["uniforms"], choices))
    mask = OPERATORS[method].function(
        weights, LAYOUT, evidence, Settings(method, amount, threshold), rng
    )
    return [bool(each) for each in mask]


def observed() -> Evidence:
    seen = np.array(GOLDEN["seen"])
    known = ActivationStatistics.of_batch(seen[0], seen.shape[1])
    for batch in seen[1:]:
        known = known.merged(ActivationStatistics.of_batch(batch, seen.shape[1]))
    return Evidence(statistics=known)


@pytest.mark.parametrize("method", ["activation", "activation_low"])
def test_masks_of_activation(method: str) -> None:
    """Section 5."""
    assert kept(method, observed()) == GOLDEN[method]
    assert 5 < sum(GOLDEN[method]) < LAYOUT.size - 5


@pytest.mark.parametrize("amount", GOLDEN["roulette"])
def test_masks_of_roulette(amount: str) -> None:
    """Section 5."""
    assert kept("roulette", observed(), amount=float(amount)) == GOLDEN["roulette"][amount]


@pytest.mark.parametrize("amount", GOLDEN["random"])
def test_masks_of_random(amount: str) -> None:
    """Section 5."""
    choices = GOLDEN["choices"][amount]
    found = kept("random", Evidence(), amount=float(amount), choices=choices)
    assert found == GOLDEN["random"][amount]


@pytest.mark.parametrize("threshold", GOLDEN["lexicase"])
def test_masks_of_lexicase(threshold: str) -> None:
    """Section 5."""
    evidence = Evidence(activations=np.array(GOLDEN["rows"], dtype=np.float32))
    found = kept("lexicase", evidence, threshold=float(threshold))
    assert found == GOLDEN["lexicase"][threshold]


def test_lexicase_prunes_more_than_one_node_of_a_layer_somewhere() -> None:
    pruned = {LAYOUT.size - sum(mask) for mask in GOLDEN["lexicase"].values()}
    assert max(pruned) > 10


@pytest.mark.parametrize("amount", GOLDEN["magnitude"])
def test_masks_of_magnitude(amount: str) -> None:
    """Section 5."""
    assert kept("magnitude", Evidence(), amount=float(amount)) == GOLDEN["magnitude"][amount]


def test_schedules_at_their_edges() -> None:
    """Section 6."""
    for schedule, p, t, epochs, baseline, expected in GOLDEN["schedules"]:
        variant = Variant(
            prune_method="random",
            prune_schedule=schedule,
            prune_probability=p,
            epochs=epochs,
            cell_evaluation="ann_canonical" if baseline else "lipi_simple",
        )
        found = prune_probability(variant, t, 1 if baseline else 3)
        assert found == pytest.approx(expected, abs=1e-12), (schedule, p, t, epochs, baseline)


def test_order_of_pairs_of_all_vs_all() -> None:
    """Section 4."""
    variant = tiny_variant(cell_evaluation="all_vs_all", population_size=3, epochs=30)
    setup = setup_of(variant)
    orders = set()
    for t in range(30):
        order = np.arange(3)
        if t:
            shuffle = Address(variant.rng_seed, 0, generation=t).stream(Purpose.PAIR_ORDER)
            order = shuffle.permutation(3)
        key = ",".join(map(str, order))
        orders.add(key)
        outlines = Schedule(setup.variant)._outlines(0, t)
        found = [
            [encoder.number, decoder.number, encoder.age - t * 3, decoder.age - t * 3]
            for encoder, decoder in (outline.makes for outline in outlines)
        ]
        assert found == GOLDEN["pairs"][key]
    assert len(orders) == 6


class Drawn(Address):
    """An address whose draws of partners are given."""

    def stream(self, purpose: Purpose) -> np.random.Generator:
        return (
            cast("np.random.Generator", self)
            if purpose is Purpose.OPPONENTS
            else super().stream(purpose)
        )

    def integers(self, high: int, size: tuple[int, int], dtype: type) -> Any:
        assert (high, size) == (3, (4, 2))
        return np.array(GOLDEN["drawn"], dtype)


@pytest.mark.parametrize("winner", range(3))
def test_who_is_updated_with_whom_in_epoch_node(winner: int) -> None:
    """Section 4."""
    setup = setup_of(tiny_variant(cell_evaluation="epoch-node", n_examples_per_cluster=10))
    plan = make_plan(setup.variant, Drawn(1, 0), 0.01, 3)
    members = tuple(random_pair(setup.architecture, seed) for seed in range(3))
    task = Task(setup, Cell(members[0]), members, (0, 1, 3), (BEFORE_FIRST,) * 3, plan)
    offspring = Offspring(task, Cell(members[winner]), winner, 0.0, np.zeros((3, 3)))
    updates = offspring.pass_with_partners().updates
    found = np.stack([updates.encoder, updates.decoder], axis=1)
    assert found.tolist() == GOLDEN["meetings"][winner]
