"""The parameters of an estimator as the settings of a study's variant."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from pydantic import ValidationError
from sklearn.utils import check_random_state

from aes_lipi.config import DATA_FIELDS, Variant, describe
from aes_lipi.config.defaults import in_present_words
from aes_lipi.errors import UserError, nearest, printable
from aes_lipi.execution.graphs import with_graph

SOUND: dict[str, Any] = {
    "learning_rate_policy": "constant",
    "optimizer_state": "cell",
    "final_cell": "best_on_validation",
    "measurement": "sound",
    "lexicase_split": "validation",
    "schedule_horizon": "sound",
    "decrease_from": "probability",
    "record_interval": 10,
    "record_test_loss": False,
    "test_fraction": 0.0,
}
"""Fields of `Variant` whose value for rows of one's own is not the published one."""

BATCH_SIZE = 16
"""Rows of a batch where nobody says how many, and there are as many."""

_MEANINGLESS = (
    *(*DATA_FIELDS, "rng_seed"),  # come from X and random_state
    *("ann_digest", "plugins_digest"),  # guard what is stopped and resumed
    "is_control",  # is beside a study
    *("record_test_loss", "retrieval_measures", "store_generations"),  # are for tables and files
)
"""Fields of `Variant` that an estimator has no use for."""


def variant_of(parameters: Mapping[str, Any], n_features: int) -> Variant:
    """An estimator's parameters as those of a study's variant.

    Args:
        parameters: by name; of those that are no fields, `settings` and `random_state` count.
        n_features: columns of the rows, once they are encoded.

    Raises:
        UserError: a setting has no such name, or a value is out of bounds; the line names it.
    """
    named = {name: parameters[name] for name in parameters if name in Variant.model_fields}
    settings = in_present_words(parameters["settings"] or {})
    _check_names(settings, named)
    hidden, latent = _default_widths(n_features)
    for name, default in (
        ("hidden_sizes", hidden),
        ("latent_size", latent),
        ("batch_size", BATCH_SIZE),
    ):
        named[name] = default if named[name] is None else named[name]
    seed = _seed(parameters["random_state"])
    wanted = {**SOUND, **named, **settings, "rng_seed": seed, "dataset_seed": seed}
    try:
        return with_graph(Variant.model_validate({name: _plain(wanted[name]) for name in wanted}))
    except ValidationError as error:
        raise UserError(describe(error)) from None


def _check_names(settings: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Refuse settings that there are not, or not in that place.

    Raises:
        UserError: a name is unknown, or that of a parameter; the line says what to do.
    """
    for name in settings:
        if name not in Variant.model_fields:
            known = nearest(str(name), Variant.model_fields)
            raise UserError(f"settings: {printable(name)}: no such field{known}")
        if name in parameters:
            raise UserError(f"settings: {name} is a parameter of its own; give it as one")
        if name in _MEANINGLESS:
            raise UserError(f"settings: {name} means nothing to an estimator; leave it out")


def _default_widths(n_features: int) -> tuple[tuple[int, ...], int]:
    """Widths of hidden layers and code that suit rows of so many columns."""
    narrower = max(1, n_features - 1)
    return (min(max(8, n_features), 64),), min(max(2, n_features // 4), 16, narrower)


def _seed(random_state: Any) -> int:
    drawn = check_random_state(random_state)
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(drawn.randint(2**31 - 1))


def _plain(value: Any) -> Any:
    """A value without the types of numpy, as a search over parameters gives them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
