"""Whether an exported model computes what the trained one does, on real rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aes_lipi.config import Variant
from aes_lipi.datasets.choice import load_dataset
from aes_lipi.errors import UserError
from aes_lipi.export.formats import Float32, Package
from aes_lipi.models import Model

MOST_ROWS = 10_000
TOLERANCE = 1e-4
"""Of reconstructions in [0, 1], and of codes as a share of the largest: some hundred times what
float32 rounds in a network of a few layers, and far below what a wrong weight does."""


@dataclass(frozen=True)
class Rows:
    """Rows to check and measure with.

    Attributes:
        values: float32 (rows, n_dim), in the user's units.
        source: what they are, in words.
    """

    values: Float32
    source: str


def rows_of(model: Model) -> Rows:
    """Validation and test rows of the data that a model was trained on.

    Where these are gone, rows drawn uniformly.
    """
    n_dim = model.architecture.n_dim
    try:
        settings = dict(model.provenance.get("settings") or {})
        dataset = load_dataset(Variant.model_validate(settings))
        values = np.concatenate([dataset.validation, dataset.test])[:MOST_ROWS]
        source = f"{len(values)} validation and test rows"
    except (UserError, ValueError) as error:
        values = np.random.default_rng(0).random((1000, n_dim), dtype=np.float32)
        source = f"1000 rows drawn uniformly, since the data are not at hand ({error})"
    if values.shape[1] != n_dim:
        values = np.random.default_rng(0).random((1000, n_dim), dtype=np.float32)
        source = "1000 rows drawn uniformly, since the data have other columns now"
    return Rows(model.units.from_network(values).astype(np.float32), source)


def largest_difference(trained: Model, exported: Model, package: Package, rows: Rows) -> float:
    """By how much a package's reconstructions of rows differ from the trained model's at most.

    Args:
        trained: the model as it was trained.
        exported: the same, or its compact form.
        package: the exported model in its format.
        rows: to compare on.

    Returns:
        the difference in units of the columns' spans: 1 is as far apart as values can be.

    Raises:
        UserError: reconstructions or codes differ by more than rounding.
    """
    found = np.abs(trained.reconstruct(rows.values) - package.reconstruct(rows.values))
    difference = float((found / _spans(trained)).max(initial=0.0))
    _check("reconstructions", difference, rows)
    code = trained.encode(rows.values)
    if exported.compaction is not None:
        code = code[:, list(exported.compaction.code)]
    if code.size:  # else nothing is left of the code
        scale = max(1.0, float(np.abs(code).max()))
        _check("codes", float(np.abs(code - package.encode(rows.values)).max()) / scale, rows)
    return difference


def _check(what: str, difference: float, rows: Rows) -> None:
    if not difference <= TOLERANCE:
        raise UserError(
            f"the exported model's {what} differ from the trained one's by {difference:.2g} on "
            f"{rows.source}; nothing was written, and this should not be: please report it"
        )


def _spans(model: Model) -> npt.NDArray[np.float64] | float:
    if model.scaling is None:
        return 1.0
    span = model.scaling.high - model.scaling.low
    return np.where(span > 0, span, 1.0)
