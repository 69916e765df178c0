"""Whether an exported model computes what the trained one does, on real rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from aes_lipi.arrays import Floats
from aes_lipi.config import Variant, describe
from aes_lipi.data.load import load_dataset
from aes_lipi.errors import UserError
from aes_lipi.export.package import Package
from aes_lipi.models import Model

_MOST_ROWS = 10_000
_TOLERANCE = 1e-4
"""Of reconstructions in [0, 1], and of codes as a share of the largest: some hundred times what
float32 rounds in a network of a few layers, and far below what a wrong weight does."""


@dataclass(frozen=True)
class CheckedRows:
    """Rows to check and measure with.

    Attributes:
        values: (rows, n_dim), in the user's units.
        source: what they are, in words.
        is_real: whether they are rows of the data that the model was trained on.
        n_rows: of training, validation and test, where they are.
    """

    values: Floats
    source: str
    is_real: bool
    n_rows: tuple[int, int, int] | None = None


def rows_to_check(model: Model) -> CheckedRows:
    """Validation and test rows of the data that a model was trained on.

    Where these are gone, rows drawn uniformly.
    """
    n_dim = model.architecture.n_dim
    try:
        settings = dict(model.provenance.get("settings") or {})
        dataset = load_dataset(Variant.model_validate(settings))
        values = np.concatenate([dataset.validation, dataset.test])[:_MOST_ROWS]
        problem = None if values.shape[1] == n_dim else "they have other columns now"
    except ValidationError as error:
        problem = describe(error)
    except UserError as error:
        problem = str(error)
    if problem is None:
        found = f"{len(values)} validation and test rows"
        sizes = (len(dataset.train), len(dataset.validation), len(dataset.test))
        return CheckedRows(model.units.from_network(values), found, is_real=True, n_rows=sizes)
    drawn = np.random.default_rng(0).random((1000, n_dim), dtype=np.float32)
    source = f"1000 rows drawn at random, since the data are not at hand ({problem})"
    return CheckedRows(model.units.from_network(drawn), source, is_real=False)


def largest_difference(
    trained: Model, exported: Model, package: Package, rows: CheckedRows
) -> float:
    """By how much a package's reconstructions of rows differ from the trained model's at most.

    Args:
        trained: the model as it was trained.
        exported: the same, or its compact form.
        package: the exported model in its format.
        rows: to compare on.

    Returns:
        the difference in units of the columns' spans: 1 is as far apart as values can be.

    Raises:
        UserError: reconstructions, scores or codes differ by more than rounding, which is a fault
            of this package: report it.
    """
    found = np.abs(trained.reconstruct(rows.values) - package.reconstruct(rows.values))
    difference = float((found / _spans(trained)).max(initial=0.0))
    _check("reconstructions", difference, rows)
    scores = trained.score(rows.values)
    apart = np.abs(scores - package.score(rows.values)).max(initial=0.0)
    _check("scores", float(apart) / max(1.0, float(scores.max(initial=0.0))), rows)
    code = trained.encode(rows.values)
    if exported.compaction is not None:
        code = code[:, list(exported.compaction.code)]
    if code.size:  # else nothing is left of the code
        scale = max(1.0, float(np.abs(code).max()))
        _check("codes", float(np.abs(code - package.encode(rows.values)).max()) / scale, rows)
    return difference


def _check(what: str, difference: float, rows: CheckedRows) -> None:
    if not difference <= _TOLERANCE:
        raise UserError(
            f"the exported model's {what} differ from the trained one's by {difference:.2g} on "
            f"{rows.source}; nothing was written, and this should not be: please report it"
        )


def _spans(model: Model) -> npt.NDArray[np.float64] | float:
    """What a difference is a share of: 1, or the span of each column, as far as float64 tells.

    A column whose offset is a thousand million times its span is compared more roughly, and one
    that was constant by its size.
    """
    if model.scaling is None:
        return 1.0
    low, high = model.scaling.low, model.scaling.high
    size = np.maximum(np.abs(low), np.abs(high))
    span = np.maximum(high / 2 - low / 2, 1e-9 * size) * 2
    return np.where(high > low, span, np.maximum(size, 1.0))


def varying_values(model: Model, rows: CheckedRows) -> int:
    """How many values of the code are not the same for all of the rows."""
    return int((np.ptp(model.encode(rows.values), axis=0) > 0).sum())
