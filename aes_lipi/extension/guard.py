"""The rules that every call of a plug-in is held to.

A plug-in is a pure function: it leaves what it is given as it is, and the same input, with a
generator in the same state, gives the same result. So every call is made twice, each time on
read-only copies. What breaks a rule is told in one line that names the plug-in.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import FrozenInstanceError
from typing import TypeVar

import numpy as np

from aes_lipi.arrays import Array
from aes_lipi.extension.loading import Plugin, told

T = TypeVar("T")

_READ_ONLY = ("read-only", "cannot set WRITEABLE")
"""What numpy says to those who would change a read-only array."""


@contextmanager
def _watched(plugin: Plugin) -> Iterator[None]:
    """Tell what a plug-in raises inside.

    Raises:
        UserError: the plug-in raised an exception, to be mended, or writes to what it is given, of
            which it must take a copy.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        writes = isinstance(error, ValueError) and any(said in str(error) for said in _READ_ONLY)
        if writes or isinstance(error, FrozenInstanceError):
            raise plugin.error(
                f"changes what it is given ({told(error, plugin.file)}); work on a copy"
            ) from error
        raise plugin.error(f"raised {told(error, plugin.file)}; mend it") from error


def called(
    plugin: Plugin,
    arrays: Mapping[str, Array],
    call: Callable[[Mapping[str, Array]], T],
) -> T:
    """The result of a plug-in's call, which must leave the arrays that it is given as they are.

    Args:
        plugin: is called.
        arrays: what it is given, by the names that the user knows them by.
        call: calls it with copies of them.

    Raises:
        UserError: the plug-in raises an exception, or changes an array that it must copy first.
    """
    given = {name: _read_only(array) for name, array in arrays.items()}
    with _watched(plugin):
        result = call(given)
    for name, array in arrays.items():
        if not np.array_equal(given[name], array, equal_nan=True):
            raise plugin.error(f"changes {name}, which it is given; work on a copy, {name}.copy()")
    return result


def _read_only(array: Array) -> Array:
    own = array.copy()
    own.flags.writeable = False
    return own


def settled(plugin: Plugin, call: Callable[[], T], same: Callable[[T, T], bool]) -> T:
    """The result of a call, which must be the same when the call is repeated.

    Args:
        plugin: is called.
        call: calls it; every time with a generator in the same state, if it is given any.
        same: whether two results are the same.

    Raises:
        UserError: the results differ; the plug-in must follow from its input and the generator that
            it is given.
    """
    first = call()
    if same(first, call()):
        return first
    before = _global_generators()
    call()
    moved = [name for name, state in _global_generators().items() if state != before[name]]
    raise plugin.error(
        "gives another result when it is called again with the same input; "
        + (
            f"it draws from {' and '.join(moved)}, and must from the one it is given, if any"
            if moved
            else "it must not depend on a clock, a counter or a generator of its own"
        )
    )


def _global_generators() -> dict[str, object]:
    """The states of the generators that a plug-in must not draw from."""
    kind, key, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 - to see who draws from it
    return {
        "numpy's global generator": (kind, np.asarray(key).tobytes(), rest),
        "Python's global generator": random.getstate(),
    }


def same_state(rng: np.random.Generator) -> np.random.Generator:
    """A generator in the same state, which draws on its own."""
    return copy.deepcopy(rng)
