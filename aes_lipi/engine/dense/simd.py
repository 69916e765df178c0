"""Vectors of float32 in registers, for kernels whose loops must not depend on auto-vectorisation.

`LANES` values are loaded, combined lane by lane and stored. `+ - * /` work between vectors; a
product that is added may be fused (one rounding), which is decided when the kernel is compiled and
is then the same in every call. No other liberty is taken with floating point, so infinities and NaN
behave as IEEE 754 says. Loads and stores need no alignment.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import llvmlite.binding  # type: ignore[import-untyped]
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils, imputils
from numba.core.typing import templates

# Numba's annotations do not describe what follows as it is used here.
_get_or_insert_function: Any = cgutils.get_or_insert_function
_lower_builtin: Callable[..., Callable[[Any], Any]] = imputils.lower_builtin
_infer_global: Any = templates.infer_global
_signature: Any = templates.signature
_register_model: Any = extending.register_model
_intrinsic: Callable[[Any], Any] = extending.intrinsic


def _lanes() -> int:
    """The widest float32 vector of this processor: 16 for AVX-512, 8 for AVX, else 4."""
    features = llvmlite.binding.get_host_cpu_features()
    return 16 if features.get("avx512f") else 8 if features.get("avx") else 4


LANES = _lanes()
ROUNDING = 1.5 * 2.0**23  # added to a small float32, it leaves no room for a fraction
_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_FLOATS, _INTS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)


class _VectorType(types.Type):
    """Numba's type of a vector."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


_vector = _VectorType()


@_register_model(_VectorType)
class _VectorModel(extending.models.PrimitiveModel):
    """A vector is one LLVM vector register value."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)  # type: ignore[no-untyped-call]


def _operator(function: Any, instruction: str) -> None:
    """Make a Python operator between two vectors compile to one LLVM instruction."""

    @_infer_global(function)
    class _Template(templates.AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            return _signature(_vector, *args) if args == (_vector, _vector) else None

    @_lower_builtin(function, _VectorType, _VectorType)
    def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args, flags=("contract",))


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(_function, _instruction)


def _splatted(builder: Any, scalar: Any) -> Any:
    """All lanes set to one scalar."""
    lane = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), scalar, _INT(0))
    return builder.shuffle_vector(lane, lane, ir.Constant(_INTS, [0] * LANES))


def _constant(value: float) -> Any:
    return ir.Constant(_FLOATS, [value] * LANES)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Address of `array[index]`, for a one-dimensional contiguous array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


def _as_vector_pointer(builder: Any, pointer: Any) -> Any:
    return builder.bitcast(pointer, _FLOATS.as_pointer())


@_intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """The vector `array[index : index + LANES]`."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, sig.args[0], *args)
        return builder.load(_as_vector_pointer(builder, pointer), align=4)

    return _vector(array, types.intp), generate


@_intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """`array[index : index + LANES] = value`."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, sig.args[0], *args[:2])
        builder.store(args[2], _as_vector_pointer(builder, pointer), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@_intrinsic
def read(typing: Any, array: Any, index: Any) -> Any:
    """The float `array[index]`, for an index that is not negative."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, sig.args[0], *args))

    return types.float32(array, types.intp), generate


@_intrinsic
def write(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """`array[index] = value` for one float and an index that is not negative."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[2], _pointer(context, builder, sig.args[0], *args[:2]))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.float32), generate


@_intrinsic
def broadcast(typing: Any, array: Any, index: Any) -> Any:
    """All lanes `array[index]`."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _splatted(builder, builder.load(_pointer(context, builder, sig.args[0], *args)))

    return _vector(array, types.intp), generate


@_intrinsic
def splat(typing: Any, scalar: Any) -> Any:
    """All lanes one float32 scalar."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _splatted(builder, args[0])

    return _vector(types.float32), generate


def _llvm_function(name: str, documentation: str) -> Any:
    """A vector function that LLVM has as an intrinsic of its own."""

    def function(typing: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            kind = ir.FunctionType(_FLOATS, [_FLOATS])
            callee = _get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f32")
            return builder.call(callee, args)

        return _vector(_vector), generate

    function.__doc__ = documentation
    return _intrinsic(function)


absolute = _llvm_function("fabs", "|x| in every lane.")
square_root = _llvm_function("sqrt", "Square root in every lane.")


def _selector(condition: str, documentation: str) -> Any:
    """`y if y <condition> x else x` in every lane: one instruction on x86."""

    def select(typing: Any, x: Any, y: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            x, y = args
            return builder.select(builder.fcmp_ordered(condition, y, x), y, x)

        return _vector(_vector, _vector), generate

    select.__doc__ = documentation
    return _intrinsic(select)


maximum = _selector(">", "The larger in every lane; NaN where x is NaN.")
minimum = _selector("<", "The smaller in every lane; NaN where x is NaN.")


def _gate(condition: str, documentation: str) -> Any:
    """`value if x <condition> y else 0` in every lane."""

    def gate(typing: Any, value: Any, x: Any, y: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            kept = builder.fcmp_ordered(condition, args[1], args[2])
            return builder.select(kept, args[0], _constant(0.0))

        return _vector(_vector, _vector, _vector), generate

    gate.__doc__ = documentation
    return _intrinsic(gate)


where_greater = _gate(">", "`value` where x > y, else 0.")


@_intrinsic
def times_sign(typing: Any, value: Any, x: Any) -> Any:
    """`value * sign(x)` in every lane, with sign(0) = 0, for a finite x."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value, x = args
        negative = builder.fcmp_ordered("<", x, _constant(0.0))
        signed = builder.select(negative, builder.fneg(value), value)
        moved = builder.fcmp_ordered("!=", x, _constant(0.0))
        return builder.select(moved, signed, _constant(0.0))

    return _vector(_vector, _vector), generate


@_intrinsic
def times_power_of_two(typing: Any, x: Any, shifted: Any) -> Any:
    """`x * 2**n` in every lane, n the whole number in `shifted = n + ROUNDING`.

    The lowest bits of `shifted` are n: added to the exponent bits of x. Exact while x and the
    result are normal numbers.
    """

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits, power = (builder.bitcast(value, _INTS) for value in args)
        exponent = builder.shl(power, ir.Constant(_INTS, [23] * LANES))
        return builder.bitcast(builder.add(bits, exponent), _FLOATS)

    return _vector(_vector, _vector), generate


@_intrinsic
def first_lanes(typing: Any, x: Any, n: Any) -> Any:
    """The first n lanes of x, 0 in the others."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        count = builder.insert_element(
            ir.Constant(_INTS, ir.Undefined), builder.trunc(args[1], _INT), _INT(0)
        )
        count = builder.shuffle_vector(count, count, ir.Constant(_INTS, [0] * LANES))
        kept = builder.icmp_signed("<", ir.Constant(_INTS, list(range(LANES))), count)
        return builder.select(kept, args[0], _constant(0.0))

    return _vector(_vector, types.int64), generate


def _pairwise(builder: Any, x: Any, y: Any) -> Any:
    """Sums of neighbouring lanes: those of x, then those of y."""
    even, odd = (
        builder.shuffle_vector(x, y, ir.Constant(_INTS, list(range(first, 2 * LANES, 2))))
        for first in (0, 1)
    )
    return builder.fadd(even, odd)


@_intrinsic
def lane_sums(typing: Any, array: Any, index: Any, stride: Any) -> Any:
    """Lane r is the sum of the lanes of the vector at `array[index + r * stride]`."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array, place, stride = args
        vectors = []
        for _ in range(LANES):
            pointer = _pointer(context, builder, sig.args[0], array, place)
            vectors.append(builder.load(_as_vector_pointer(builder, pointer), align=4))
            place = builder.add(place, stride)
        while len(vectors) > 1:
            vectors = [
                _pairwise(builder, x, y) for x, y in zip(vectors[::2], vectors[1::2], strict=True)
            ]
        return vectors[0]

    return _vector(array, types.intp, types.intp), generate


@_intrinsic
def total(typing: Any, x: Any) -> Any:
    """Sum of the lanes of x as a float32 scalar, neighbours first."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value = args[0]
        for _ in range(LANES.bit_length() - 1):
            value = _pairwise(builder, value, value)
        return builder.extract_element(value, _INT(0))

    return types.float32(_vector), generate
