"""A model's scaling as nodes of ONNX, in float64: what `Units` does to rows, and undoes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from aes_lipi.config import scale_range
from aes_lipi.data.scaling import N_QUANTILES, Scaling


class Graph(Protocol):
    """A graph in the making."""

    def constant(self, name: str, value: Any) -> str:
        """Keep an array under a name."""

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append a node, named as what it computes."""


def scaled(graph: Graph, scaling: Scaling, rows: str) -> tuple[str, str]:
    """Append what `Units.scaled` and `Units.within` do to the rows; the names of both."""
    from onnx import TensorProto  # noqa: PLC0415 - an optional dependency

    nodes = _Nodes(graph, "scaling")
    value = _SCALED[scaling.kind](nodes, scaling, rows)
    constant, zero = nodes.constant("constant", scaling.constant), nodes.constant("zero", 0.0)
    with np.errstate(over="ignore"):
        near = scaling.low.astype(np.float32).astype(np.float64)
    known = {"low": scaling.low, "near": near}
    equal = (nodes.add("Equal", rows, nodes.constant(*each)) for each in known.items())
    same = nodes.add("Or", *equal)
    changed = nodes.add("Cast", nodes.add("Not", same), to=TensorProto.DOUBLE)
    targets = nodes.add("Where", constant, changed, value)
    ends = (0.0, 1.0) if scale_range(scaling.kind) == "unit" else scaling.bounds
    least, most = (nodes.constant(f"bound_{k}", end) for k, end in enumerate(ends))
    clipped = nodes.add("Max", nodes.add("Min", targets, most), least)
    within = nodes.add("Where", constant, zero, clipped)
    return (
        nodes.add("Cast", targets, to=TensorProto.FLOAT),
        nodes.add("Cast", within, to=TensorProto.FLOAT),
    )


def unscaled(graph: Graph, scaling: Scaling, source: str) -> str:
    """Append what `Scaling.invert` does."""
    from onnx import TensorProto  # noqa: PLC0415

    nodes = _Nodes(graph, "units")
    share = nodes.add("Cast", source, to=TensorProto.DOUBLE)
    value = _UNSCALED[scaling.kind](nodes, scaling, share)
    constant = nodes.constant("constant", scaling.constant)
    return nodes.add("Where", constant, nodes.constant("low", scaling.low), value)


class _Nodes:
    """Nodes of one purpose, which are numbered.

    Args:
        graph: that they are added to.
        purpose: what they are for, which their names begin with.
    """

    def __init__(self, graph: Graph, purpose: str) -> None:
        self._graph, self._purpose, self._number = graph, purpose, 0

    def constant(self, name: str, value: Any) -> str:
        """An array of float64, of indices or of flags; a number of float64 or an index."""
        return self._graph.constant(f"{self._purpose}.{self._next()}.{name}", np.asarray(value))

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node; what comes out of it is told by its number."""
        output = f"{self._purpose}.{self._next()}.{kind.lower()}"
        return self._graph.add(kind, inputs, output, **attributes)

    def _next(self) -> int:
        self._number += 1
        return self._number


def _shares(nodes: _Nodes, scaling: Scaling, rows: str) -> str:
    with np.errstate(over="ignore"):
        span = scaling.high - scaling.low
    above = nodes.add("Sub", rows, nodes.constant("low", scaling.low))
    return nodes.add("Div", above, nodes.constant("span", np.where(span > 0, span, 1.0)))


def _from_shares(nodes: _Nodes, scaling: Scaling, share: str) -> str:
    stretched = nodes.add("Mul", share, nodes.constant("span", scaling.high - scaling.low))
    return nodes.add("Add", stretched, nodes.constant("low", scaling.low))


def _moved(nodes: _Nodes, scaling: Scaling, rows: str) -> str:
    above = nodes.add("Sub", rows, nodes.constant("centre", scaling.parts["centre"]))
    return nodes.add("Div", above, nodes.constant("spread", scaling.parts["spread"]))


def _moved_back(nodes: _Nodes, scaling: Scaling, values: str) -> str:
    stretched = nodes.add("Mul", values, nodes.constant("spread", scaling.parts["spread"]))
    return nodes.add("Add", stretched, nodes.constant("centre", scaling.parts["centre"]))


def _raised(nodes: _Nodes, scaling: Scaling, rows: str) -> str:
    """By `yeo_johnson.transformed`, then moved."""
    exponent = _exponent(nodes, scaling, rows)
    log = _log1p(nodes, nodes.add("Abs", rows))
    grown = _expm1(nodes, nodes.add("Mul", exponent, log))
    power = nodes.add("Div", grown, _or_one(nodes, exponent))
    size = nodes.add("Where", _is_zero(nodes, exponent), log, power)
    return _moved(nodes, scaling, _signed(nodes, scaling, rows, size))


def _lowered(nodes: _Nodes, scaling: Scaling, values: str) -> str:
    """Moved back, then by `yeo_johnson.restored`, within what training saw."""
    least, most = scaling.bounds
    inside = nodes.add("Min", values, nodes.constant("most", most))
    inside = nodes.add("Max", inside, nodes.constant("least", least))
    powers = _moved_back(nodes, scaling, inside)
    exponent = _exponent(nodes, scaling, powers)
    size = nodes.add("Abs", powers)
    base = nodes.add("Max", nodes.add("Mul", exponent, size), nodes.constant("end", -1.0))
    log = nodes.add("Div", _log1p(nodes, base), _or_one(nodes, exponent))
    grown = _expm1(nodes, nodes.add("Where", _is_zero(nodes, exponent), size, log))
    rows = _signed(nodes, scaling, powers, grown)
    below = nodes.add("Min", rows, nodes.constant("high", scaling.high))
    return nodes.add("Max", below, nodes.constant("low", scaling.low))


def _exponent(nodes: _Nodes, scaling: Scaling, values: str) -> str:
    """The exponent for the side of 0 on which each value lies."""
    power = scaling.parts["power"]
    up, down = nodes.constant("power", power), nodes.constant("other", 2.0 - power)
    return nodes.add("Where", _is_positive(nodes, values), up, down)


def _signed(nodes: _Nodes, scaling: Scaling, values: str, size: str) -> str:
    """A size with the sign of the values; the values themselves where the power is 1."""
    signed = nodes.add("Where", _is_positive(nodes, values), size, nodes.add("Neg", size))
    is_same = nodes.constant("same", scaling.parts["power"] == 1)
    return nodes.add("Where", is_same, values, signed)


def _is_positive(nodes: _Nodes, values: str) -> str:
    return nodes.add("GreaterOrEqual", values, nodes.constant("zero", 0.0))


def _is_zero(nodes: _Nodes, values: str) -> str:
    return nodes.add("Equal", values, nodes.constant("zero", 0.0))


def _or_one(nodes: _Nodes, values: str) -> str:
    """The values, 1 where they are 0."""
    return nodes.add("Where", _is_zero(nodes, values), nodes.constant("one", 1.0), values)


def _log1p(nodes: _Nodes, values: str) -> str:
    one = nodes.constant("one", 1.0)
    above = nodes.add("Add", values, one)
    rest = nodes.add("Sub", above, one)
    part = nodes.add("Div", values, _or_one(nodes, rest))
    log = nodes.add("Mul", nodes.add("Log", above), part)
    return nodes.add("Where", _is_zero(nodes, rest), values, log)


def _expm1(nodes: _Nodes, values: str) -> str:
    one = nodes.constant("one", 1.0)
    grown = nodes.add("Exp", values)
    rest = nodes.add("Sub", grown, one)
    part = nodes.add("Div", values, _or_one(nodes, nodes.add("Log", grown)))
    is_far = nodes.add("Greater", nodes.add("Abs", values), one)
    near = nodes.add("Where", is_far, rest, nodes.add("Mul", rest, part))
    is_one = nodes.add("Equal", grown, one)
    return nodes.add("Where", is_one, values, near)


_LAST = N_QUANTILES - 1


def _ranked(nodes: _Nodes, scaling: Scaling, rows: str) -> str:
    """The mean of the shares by the quantiles that lie below, and by those not above."""
    quantiles = nodes.constant("quantiles", scaling.parts["quantiles"])
    by = [_share(nodes, quantiles, rows, is_below) for is_below in ("Less", "LessOrEqual")]
    middle = nodes.add("Div", nodes.add("Add", *by), nodes.constant("twice", 2.0 * _LAST))
    is_least = nodes.add("LessOrEqual", rows, nodes.constant("low", scaling.low))
    is_most = nodes.add("GreaterOrEqual", rows, nodes.constant("high", scaling.high))
    rising = nodes.add("Where", is_most, nodes.constant("one", 1.0), middle)
    return nodes.add("Where", is_least, nodes.constant("zero", 0.0), rising)


def _share(nodes: _Nodes, quantiles: str, rows: str, is_below: str) -> str:
    """How many steps of the quantiles lie below the rows: found by halving."""
    index = _filled(nodes, rows)
    last = nodes.constant("last", np.int64(_LAST))
    for step in (64, 32, 16, 8, 4, 2, 1):
        further = nodes.add("Add", index, nodes.constant("step", np.int64(step)))
        further = nodes.add("Min", further, last)
        known = nodes.add("GatherElements", quantiles, further, axis=0)
        index = nodes.add("Where", nodes.add(is_below, known, rows), further, index)
    index = nodes.add("Min", index, nodes.constant("last_but_one", np.int64(_LAST - 1)))
    left, right, place = _around(nodes, quantiles, index)
    above = nodes.add("Sub", rows, left)
    part = nodes.add("Div", above, _or_one(nodes, nodes.add("Sub", right, left)))
    return nodes.add("Add", place, part)


def _from_ranks(nodes: _Nodes, scaling: Scaling, share: str) -> str:
    from onnx import TensorProto  # noqa: PLC0415

    quantiles = nodes.constant("quantiles", scaling.parts["quantiles"])
    clipped = nodes.add("Clip", share, nodes.constant("least", 0.0), nodes.constant("most", 1.0))
    place = nodes.add("Mul", clipped, nodes.constant("last", float(_LAST)))
    index = nodes.add("Cast", place, to=TensorProto.INT64)
    index = nodes.add("Min", index, nodes.constant("last_but_one", np.int64(_LAST - 1)))
    index = nodes.add("Max", index, nodes.constant("first", np.int64(0)))  # of what is no number
    left, right, start = _around(nodes, quantiles, index)
    part = nodes.add("Sub", place, start)
    step = nodes.add("Mul", nodes.add("Sub", right, left), part)
    return nodes.add("Add", left, step)


def _filled(nodes: _Nodes, rows: str) -> str:
    """Zeros, int64, of the shape of the rows."""
    from onnx import numpy_helper  # noqa: PLC0415

    zero = numpy_helper.from_array(np.zeros(1, np.int64))
    return nodes.add("ConstantOfShape", nodes.add("Shape", rows), value=zero)


def _around(nodes: _Nodes, quantiles: str, index: str) -> tuple[str, str, str]:
    """The quantiles at an index and behind it, and the index in float64."""
    from onnx import TensorProto  # noqa: PLC0415

    following = nodes.add("Add", index, nodes.constant("step", np.int64(1)))
    left, right = (nodes.add("GatherElements", quantiles, at, axis=0) for at in (index, following))
    return left, right, nodes.add("Cast", index, to=TensorProto.DOUBLE)


_Append = Callable[[_Nodes, Scaling, str], str]

_SCALED: dict[str, _Append] = {
    "minmax": _shares,
    "standard": _moved,
    "robust": _moved,
    "quantile": _ranked,
    "power": _raised,
}
_UNSCALED: dict[str, _Append] = {
    "minmax": _from_shares,
    "standard": _moved_back,
    "robust": _moved_back,
    "quantile": _from_ranks,
    "power": _lowered,
}
