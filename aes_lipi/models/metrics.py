"""Metrics of a user's: functions of a model and the data, evaluated where quality is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.config import Variant
from aes_lipi.data.dataset import Dataset
from aes_lipi.extension import Kind, Plugin, called, load, settled
from aes_lipi.models.model import Model

A = TypeVar("A", bound=np.ndarray)

Metric = Callable[[Model, Dataset], float]
"""A function of a model and the data that it is trained on, both as the networks see them."""


def _plugged(plugin: Plugin) -> Metric:
    """A metric, which raises a UserError when the user's function breaks a rule.

    Raises:
        UserError: the plug-in is no function of a model and data; the line says what to change.
    """
    function = plugin.function("model", "data")

    def metric(model: Model, data: Dataset) -> float:
        def once() -> float:
            return _number(plugin, called(plugin, {}, lambda _: function(model, data)))

        return settled(plugin, once, lambda one, other: np.array_equal(one, other, equal_nan=True))

    return metric


def _number(plugin: Plugin, result: Any) -> float:
    """A metric's result.

    Raises:
        UserError: the result is no number; return one.
    """
    real = isinstance(result, int | float | np.integer | np.floating)
    if not real or isinstance(result, bool):
        raise plugin.error(f"returns a value of type {type(result).__name__}; return a number")
    return float(result)


METRIC: Kind[Metric] = Kind("metrics", _plugged, {})
"""What `load` finds metrics by."""


def metrics_of(
    variant: Variant, architecture: Architecture, dataset: Dataset
) -> tuple[Callable[[Pair], float], ...]:
    """The metrics of a variant, in its order, as functions of a pair.

    Args:
        variant: names them.
        architecture: of the pairs.
        dataset: the rows. A metric is given read-only ones, and a model that takes and gives rows
            like them, scaled where a table was.

    Raises:
        UserError: a plug-in cannot be had here, or is no such function.
    """
    data = replace(
        dataset,
        **{name: _read_only(getattr(dataset, name)) for name in ("train", "test", "validation")},
    )

    def bound(metric: Metric) -> Callable[[Pair], float]:
        return lambda pair: metric(_model(architecture, pair), data)

    return tuple(bound(load(METRIC, name)) for name in variant.metrics or ())


def _model(architecture: Architecture, pair: Pair) -> Model:
    encoder, decoder = (
        Network(
            _read_only(each.genome),
            None if each.mask is None else _read_only(each.mask),
            each.n_pruned,
        )
        for each in (pair.encoder, pair.decoder)
    )
    return Model(architecture, Pair(encoder, decoder))


def _read_only(array: A) -> A:
    view = array.view()
    view.flags.writeable = False
    return view
