"""A model in one format: what it costs there, and whether it computes what the trained one does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import ValidationError
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from aes_lipi.analysis.baselines import model_errors
from aes_lipi.arrays import Float32, Floats
from aes_lipi.coevolution.baselines import ColumnErrors
from aes_lipi.config import Variant, describe
from aes_lipi.data.dataset import Dataset
from aes_lipi.data.load import labels_of_test_rows, rebuilt_dataset
from aes_lipi.errors import UserError
from aes_lipi.models import Model, describe_layers, percentiles
from aes_lipi.models.model import row_errors
from aes_lipi.results.description import located
from aes_lipi.results.storage import Storage


@dataclass(frozen=True)
class Package:
    """A model in one format.

    Rows are in the user's units: float32, or float64 where the model scales.

    Attributes:
        files: contents by name.
        whole: the file that holds encoder and decoder.
        runtime: what `encode` and `reconstruct` run on.
        encode: rows, (rows, n_dim), to codes (rows, latent size).
        reconstruct: rows to reconstructions, (rows, n_dim).
        score: rows to the error of each, as `Model.score`, (rows,).
        usage: lines of Python that use the files without this package.
    """

    files: Mapping[str, bytes]
    whole: str
    runtime: str
    encode: Callable[[Floats], Any]
    reconstruct: Callable[[Floats], Any]
    score: Callable[[Floats], Any]
    usage: str

    @property
    def n_bytes(self) -> int:
        """Size of the whole model's file."""
        return len(self.files[self.whole])


_BATCHES = (1, 256)
_ROUNDS, _ROUND_S = 30, 0.004


@dataclass(frozen=True)
class Cost:
    """The cost of a model in a format.

    Attributes:
        layers: widths from the data over the code and back.
        parameters: weights and biases.
        non_zero: those that are not zero.
        n_bytes: of the file that holds the whole model.
        multiply_adds: of encoding and decoding one row.
        latency_us: microseconds of one reconstruction on one thread, by batch size.
    """

    layers: str
    parameters: int
    non_zero: int
    n_bytes: int
    multiply_adds: int
    latency_us: dict[int, float]


def costs(models: Sequence[tuple[Model, Package]], rows: Floats) -> list[Cost]:
    """Measure models, their times in turn so that a busy machine is unfair to none.

    Args:
        models: each with its form in a format.
        rows: to reconstruct, (rows, n_dim); repeated where a batch is larger.
    """
    times = {
        batch: _latencies([package.reconstruct for _, package in models], _batch(rows, batch))
        for batch in _BATCHES
    }
    return [
        _cost(model, package, {batch: times[batch][k] for batch in _BATCHES})
        for k, (model, package) in enumerate(models)
    ]


def _cost(model: Model, package: Package, latency_us: dict[int, float]) -> Cost:
    architecture, pair = model.architecture, model.pair
    layers = (*architecture.encoder.layers, *architecture.decoder.layers)
    n_zero = pair.encoder.n_zero + pair.decoder.n_zero
    return Cost(
        layers=describe_layers(architecture),
        parameters=architecture.n_parameters,
        non_zero=architecture.n_parameters - n_zero,
        n_bytes=package.n_bytes,
        multiply_adds=sum(layer.n_weights for layer in layers),
        latency_us=latency_us,
    )


def _batch(rows: Floats, size: int) -> Floats:
    return np.resize(rows, (size, rows.shape[1]))


def _latencies(functions: Sequence[Callable[[Floats], Any]], rows: Floats) -> list[float]:
    """Microseconds of a call of each function: the best of some rounds, in turn.

    What else a machine does can only add to the time that a call takes.
    """
    taken: list[list[float]] = [[] for _ in functions]
    with threadpool_limits(limits=1):
        calls = [_calls_in_a_round(function, rows) for function in functions]
        for _ in range(_ROUNDS):
            for k, function in enumerate(functions):
                taken[k].append(_seconds(function, rows, calls[k]) / calls[k])
    return [1e6 * min(each) for each in taken]


def _calls_in_a_round(function: Callable[[Floats], Any], rows: Floats) -> int:
    function(rows)
    return max(1, round(_ROUND_S / max(_seconds(function, rows, 3) / 3, 1e-7)))


def _seconds(function: Callable[[Floats], Any], rows: Floats, calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        function(rows)
    return time.perf_counter() - started


_MOST_ROWS = 10_000
_MEASURED_TOLERANCE = 1e-3  # of an L1 of scaled values: above what engines and devices differ by
_TOLERANCE = 1e-4
"""Of reconstructions in [0, 1], and of codes as a share of the largest: some hundred times what
float32 rounds in a network of a few layers, and far below what a wrong weight does."""


@dataclass(frozen=True)
class LabelScores:
    """How a model scores the test rows of one label.

    Attributes:
        label: what the column `label` says of them.
        n_rows: how many there are.
        median: of their scores.
        area: under the ROC curve, by which scores tell them from the other rows: 0.5 where they do
            not, 1 where each is higher; NaN where there are no others.
    """

    label: str
    n_rows: int
    median: float
    area: float


@dataclass(frozen=True)
class CheckedRows:
    """Rows to check and measure with.

    Attributes:
        values: (rows, n_dim), in the user's units.
        source: what they are, in words.
        is_real: whether they are rows of the data that the model was trained on.
        n_rows: of training, validation and test, where they are.
        measured: `validation_L1` and `test_L1` of the model on them, where they are.
        in_units: the same by split, of at most 10,000 rows, in the table's own units instead of
            scaled, where it is scaled.
        columns: errors of the model on test rows, where they are, of scaled columns.
        validation_mse: its mean squared error on validation rows, likewise.
        score_quantiles: of training rows by the model, as a `Model` has them.
        by_label: its scores of test rows by what the column `label` says of them, if it says at
            most 20 different things.
    """

    values: Floats
    source: str
    is_real: bool
    n_rows: tuple[int, int, int] | None = None
    measured: Mapping[str, float] = field(default_factory=dict)
    in_units: Mapping[str, float] = field(default_factory=dict)
    columns: ColumnErrors | None = None
    validation_mse: float = float("nan")
    score_quantiles: tuple[float, ...] | None = None
    by_label: tuple[LabelScores, ...] = ()

    @property
    def told_in_units(self) -> str:
        """The losses in the table's own units, in words; none where they are not known."""
        return ", ".join(f"{split} {loss:.4g}" for split, loss in self.in_units.items())


def rows_to_check(model: Model, storage: Storage) -> CheckedRows:
    """Validation and test rows of the data that a model of a study's folder was trained on.

    Where these are gone, rows drawn uniformly.
    """
    n_dim = model.architecture.n_dim
    try:
        settings = dict(model.provenance.get("settings") or {})
        variant = located(storage, Variant.model_validate(settings))
        dataset = rebuilt_dataset(variant)
        values = np.concatenate([dataset.validation, dataset.test])[:_MOST_ROWS]
        problem = None if values.shape[1] == n_dim else "they have other columns now"
    except ValidationError as error:
        problem = describe(error)
    except UserError as error:
        problem = str(error)
    if problem is None:
        found = f"{len(values)} validation and test rows"
        sizes = (len(dataset.train), len(dataset.validation), len(dataset.test))
        measured = _measured(model, dataset, variant)
        units = model.units.from_network(values)
        own = {} if model.scaling is None else _in_units(model, dataset)
        errors = model_errors(model, dataset.test)
        mse = float(model_errors(model, dataset.validation).mse.mean())
        known = model.score_quantiles or _quantiles(model, dataset, variant.batch_size)
        labels = scores_by_label(model, dataset, variant)
        return CheckedRows(units, found, True, sizes, measured, own, errors, mse, known, labels)
    drawn = np.random.default_rng(0).random((1000, n_dim), dtype=np.float32)
    source = f"1000 rows drawn at random, since the data are not at hand ({problem})"
    units, known = model.units.from_network(drawn), model.score_quantiles
    return CheckedRows(units, source, is_real=False, score_quantiles=known)


def _measured(model: Model, dataset: Dataset, variant: Variant) -> dict[str, float]:
    """What the tables of a study say of a model, measured; see `coevolution.measure.mean_loss`."""

    def mean_of(rows: Float32) -> float:
        scores = _scores(model, rows, variant.batch_size)
        if variant.measurement == "sound":
            return float(np.concatenate(scores).mean(dtype=np.float64))
        return float(np.mean([each.mean() for each in scores]))

    return {"validation_L1": mean_of(dataset.validation), "test_L1": mean_of(dataset.test)}


def _scores(model: Model, rows: Float32, batch_size: int) -> list[Float32]:
    """The score of each row, by batch; rows are scaled."""
    architecture, pair = model.architecture, model.pair
    starts = range(0, len(rows), batch_size)
    batches = [rows[start : start + batch_size] for start in starts]
    codes = [architecture.encode(pair.encoder.genome, batch) for batch in batches]
    decoded = [architecture.decode(pair.decoder.genome, code) for code in codes]
    return [row_errors(batch, made) for batch, made in zip(batches, decoded, strict=True)]


def _quantiles(model: Model, dataset: Dataset, batch_size: int) -> tuple[float, ...] | None:
    """Of the scores of training rows, at most 10,000 that lie evenly among all."""
    train = dataset.train[:: -(-len(dataset.train) // _MOST_ROWS)]
    return percentiles(np.concatenate(_scores(model, train, batch_size)))


_MOST_LABELS = 20


def scores_by_label(model: Model, dataset: Dataset, variant: Variant) -> tuple[LabelScores, ...]:
    """A model's scores of test rows by what the column `label` says; labels in order, or none.

    None, too, where the column cannot be read as text: training has not looked at it.
    """
    try:
        labels = pd.Series(labels_of_test_rows(variant), dtype=object)
    except UserError:
        return ()
    if not 1 <= labels.nunique() <= _MOST_LABELS:
        return ()
    scores = np.concatenate(_scores(model, dataset.test, variant.batch_size))
    ranks = rankdata(scores)

    def of(label: str) -> LabelScores:
        rows = (labels == label).to_numpy()
        n, others = int(rows.sum()), int((~rows).sum())
        above = float(ranks[rows].sum()) - n * (n + 1) / 2
        return LabelScores(label, n, float(np.median(scores[rows])), above / (n * others or np.nan))

    return tuple(of(label) for label in sorted(labels.dropna().unique()))


def _in_units(model: Model, dataset: Dataset) -> dict[str, float]:
    """Mean absolute errors over rows and columns in the table's own units, by split."""
    errors = {}
    for name, split in {"validation": dataset.validation, "test": dataset.test}.items():
        rows = model.units.from_network(split[:_MOST_ROWS])
        errors[name] = float(np.abs(model.reconstruct(rows) - rows).mean())
    return errors


def check_measured(rows: CheckedRows, told: Mapping[str, float]) -> None:
    """Refuse a model that is not what the tables say of it, on the rows at hand.

    Args:
        rows: with what was measured on them; nothing where the data are gone.
        told: the same by the tables; NaN where they do not say.

    Raises:
        UserError: they differ by more than rounding does.
    """
    for name, value in rows.measured.items():
        if not np.isnan(told[name]) and not abs(value - told[name]) <= _MEASURED_TOLERANCE:
            raise UserError(
                f"{name} of the model is {value:.4f} on the data at hand, and {told[name]:.4f} in "
                "its study's tables; nothing was written: the data or the results have changed"
            )


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
    values = _with_holes(trained, rows.values)
    difference = _apart(trained, trained.reconstruct(values), package.reconstruct(values))
    _check("reconstructions", difference, rows)
    scores = trained.score(values)
    apart = np.abs(scores - package.score(values)).max(initial=0.0)
    _check("scores", float(apart) / max(1.0, float(scores.max(initial=0.0))), rows)
    code = trained.encode(values)
    if exported.compaction is not None:
        code = code[:, list(exported.compaction.code)]
    if code.size:  # else nothing is left of the code
        scale = max(1.0, float(np.abs(code).max()))
        _check("codes", float(np.abs(code - package.encode(values)).max()) / scale, rows)
    return difference


def _with_holes(model: Model, rows: Floats) -> Floats:
    """Rows of which every second lacks a value, each another one, where the model fills them in."""
    if model.encoding is None or not model.encoding.fills:
        return rows
    holed = rows.copy()
    lacking = np.arange(1, len(rows), 2)
    holed[lacking, lacking // 2 % rows.shape[1]] = np.nan
    return holed


def _apart(model: Model, one: Floats, other: Floats) -> float:
    """The largest difference of two reconstructions, as a share of the columns' spans.

    Powers and quantiles stretch some values more than others: there, the spans are those of the
    columns as they are or as they are scaled, whichever is kinder to a value.
    """
    shares = np.abs(one - other) / _spans(model)
    scaling = model.scaling
    if scaling is not None and scaling.kind in ("power", "quantile"):
        low, high = scaling.bounds
        span = np.where(high > low, high - low, 1.0)
        shares = np.minimum(shares, np.abs(scaling.beyond(one) - scaling.beyond(other)) / span)
    return float(shares.max(initial=0.0))


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
