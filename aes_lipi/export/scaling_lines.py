"""Lines of Python that scale as a model does, with numpy or torch alone, for the card of an export.

Both name most of what they do alike, so that one text serves both.
"""

from __future__ import annotations

from typing import Literal

from aes_lipi.config import Scale, scale_range
from aes_lipi.data.scaling import Scaling

_MINMAX = """\
def scale(x):
    return (x - low) / {np}.where(high > low, high - low, {np}.inf)


def unscale(y):
    return low + (high - low) * y
"""
_MOVED = """\
def scale(x):
    return (x - centre) / spread


def unscale(y):
    return centre + spread * y
"""
_POWER = """\
def scale(x):
    p = {np}.where(x >= 0, power, 2 - power)
    t = {np}.log1p({np}.abs(x))
    t = {np}.where(p == 0, t, {np}.expm1(p * t) / {np}.where(p == 0, 1, p))
    return ({np}.where(power == 1, x, {np}.where(x >= 0, t, -t)) - centre) / spread


def unscale(y):
    t = centre + spread * {np}.clip(y, scale(low), scale(high))
    p = {np}.where(t >= 0, power, 2 - power)
    x = {np}.log1p({np}.clip(p * {np}.abs(t), -1, None)) / {np}.where(p == 0, 1, p)
    x = {np}.expm1({np}.where(p == 0, {np}.abs(t), x))
    return {np}.clip({np}.where(power == 1, t, {np}.where(t >= 0, x, -x)), low, high)
"""
_QUANTILE = """\
columns = list(range(len(low)))
last = len(quantiles) - 1


def share(x, n_below):
    i = {np}.clip(n_below - 1, 0, last - 1)
    left, right = quantiles[i, columns], quantiles[i + 1, columns]
    return (i + (x - left) / {np}.where(right > left, right - left, 1)) / last


def scale(x):
    n_below, n_up_to = ((quantiles < x[:, None]).sum(1), (quantiles <= x[:, None]).sum(1))
    y = (share(x, n_below) + share(x, n_up_to)) / 2
    return {np}.where(x <= low, 0, {np}.where(x >= high, 1, y))


def unscale(y):
    place = {np}.clip(y, 0, 1) * last
    i = {np}.clip(place, 0, last - 1){int}
    return quantiles[i, columns] * (1 - (place - i)) + quantiles[i + 1, columns] * (place - i)
"""
_FUNCTIONS: dict[Scale, str] = {
    "minmax": _MINMAX,
    "standard": _MOVED,
    "robust": _MOVED,
    "power": _POWER,
    "quantile": _QUANTILE,
}
_USE = """

constant = high == low
changed = (rows != low) & (rows != low{float}{double})
scaled = {np}.where(constant, 1.0 * changed, scale(rows))  # rows: in their own units
inside = {np}.where(constant, 0, {np}.clip(scaled, {bounds}))
code = {encoder}inside{float})
decoded = {decoder}code)
reconstruction = {np}.where(constant, low, unscale(decoded{double}))
score = {np}.abs(scaled - decoded).mean(1)  # of each row: high if it is strange
"""
_WORDS = {
    "numpy": {
        "np": "np",
        "int": ".astype(int)",
        "float": ".astype(np.float32)",
        "double": ".astype(float)",
        "encoder": 'run("encoder", ',
        "decoder": 'run("decoder", ',
    },
    "torch": {
        "np": "torch",
        "int": ".long()",
        "float": ".float()",
        "double": ".double()",
        "encoder": "model.encoder(",
        "decoder": "model.decoder(",
    },
}


def lines_of(scaling: Scaling, library: Literal["numpy", "torch"]) -> str:
    """Lines that scale `rows`, run `encoder` and `decoder`, and turn back what comes out."""
    bounds = "0, 1" if scale_range(scaling.kind) == "unit" else "scale(low), scale(high)"
    return (_FUNCTIONS[scaling.kind] + _USE).format(**_WORDS[library], bounds=bounds)
