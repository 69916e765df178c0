"""The ring as a scikit-learn estimator."""
# ruff: noqa: N803 - scikit-learn's name for a matrix is X

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from aes_lipi.arrays import Float32, Float64
from aes_lipi.autoencoders.network import Pair
from aes_lipi.coevolution.evolution import InProcess, TrialFailed, first_states, run_steps
from aes_lipi.coevolution.records import Record, in_order
from aes_lipi.coevolution.result import judge
from aes_lipi.coevolution.schedule import Schedule
from aes_lipi.coevolution.state import Setup, TrialState
from aes_lipi.config import DATA_FIELDS, Variant, describe
from aes_lipi.config.defaults import in_present_words
from aes_lipi.data.dataset import DataPurpose, Dataset, data_stream
from aes_lipi.data.encoding import learn_encoding, table_source, texts_of
from aes_lipi.data.fitting import learn_scaling, read_scaled
from aes_lipi.data.source import Source, array_source
from aes_lipi.errors import UserError, nearest, printable
from aes_lipi.execution.endings import model_of, scored
from aes_lipi.execution.inputs import Inputs, prepare_with
from aes_lipi.execution.requirements import check_batch
from aes_lipi.models import Model, load_pairs
from aes_lipi.results.model_files import warm_start_files
from aes_lipi.stepping import records_frame

try:
    from sklearn.base import (
        BaseEstimator,
        ClassNamePrefixFeaturesOutMixin,
        OutlierMixin,
        TransformerMixin,
    )
    from sklearn.utils import Tags, check_array, check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "sklearn":
        raise
    raise ImportError(
        "AutoencoderRing needs scikit-learn; install it with pip install 'aes_lipi[sklearn]'"
    ) from None

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

_BATCH_SIZE = 16

_MEANINGLESS = (
    *(*DATA_FIELDS, "rng_seed"),  # come from X and random_state
    *("ann_digest", "plugins_digest"),  # guard what is stopped and resumed
    "is_control",  # is beside a study
    *("record_test_loss", "retrieval_measures", "store_generations"),  # are for tables and files
)
"""Fields of `Variant` that an estimator has no use for."""

_NOT_IN_HISTORY = ("trial", "test_loss", "test_L1", "std_test_L1")


class AutoencoderRing(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    OutlierMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Codes and anomaly scores from a ring of autoencoders that is coevolved and pruned.

    A transformer: `transform` gives the codes, and `inverse_transform` reconstructs rows from them.
    An outlier detector: `score_samples` says how well each row is reconstructed, and `predict`
    which are outliers. The columns of `X` are scaled as the
    rows that are trained on say. Values beyond these count as the nearest of them. So any finite
    `X` will do, and reconstructions are in its units.

    Parameters have the names and the meaning of the fields of a study's `Variant`. Training runs in
    this process, and computes in one thread: the same rows, parameters and `random_state` give the
    same bits on every processor that has x86-64-v3 (AVX2).

    Args:
        population_size: autoencoders in the ring.
        radius: neighbours on each side that a cell selects from; 0 trains them apart.
        epochs: generations; passes over the training rows.
        batch_size: rows of a batch. By default 16, or all that are trained on where they are fewer.
        learning_rate: of Adam.
        hidden_sizes: widths of the encoder's hidden layers, mirrored by the decoder. By default one
            layer as wide as `X`, but at least 8 and at most 64.
        latent_size: width of the code. By default a quarter of the columns, but at least 2, at most
            16 and fewer than there are columns.
        scale: of the columns: `minmax`, `standard`, `robust`, `quantile`, `power`, or `none` for
            values in [0, 1]. `standard`, `robust` and `power` need a linear output.
        impute: what a missing number becomes: the `median` of its column in the rows that are
            trained on, or 0 with `constant`; `none` refuses missing values.
        one_hot: whether columns of text, in a table, become a column of 0 and 1 for each text.
        environment: which autoencoder is trained: by default a plain one with a linear code; plain,
            denoising or variational ones. Names that differ in default widths alone are the same
            here.
        prune_method: the pruning operator; None does not prune.
        prune_schedule: when it prunes. `gradual` takes an operator that prunes an amount, `random`
            or `magnitude`.
        prune_probability: the schedule's p.
        prune_amount: share of the weights or nodes that is pruned: in all with `gradual`, by each
            prune event with other schedules.
        prune_unit: `weight`, `node`, or `hidden_node`, which spares the nodes of the code.
        pruned_weights: they stay zero, `frozen`, or may `regrow`.
        validation_fraction: share of the rows that is not trained on. They choose the best cell,
            and guide operators that look at data. Where it comes to no row, as in a small `X`, the
            training rows do that.
        patience: stop when the lowest validation loss has not fallen for so many recorded
            generations (every tenth is), and go back to the best; None runs all epochs.
        contamination: which rows are outliers: a share of the rows of `fit`, at most 0.5, the worst
            reconstructed; or those whose error is beyond the fence of a box plot (Tukey, 1977), 1.5
            times the distance of the quartiles above the third, with `auto`.
        compact: take out of the best model what pruning made dead: `model_` is smaller, and codes
            may be narrower.
        verbose: 1 shows a bar while `fit` runs, in a terminal or a notebook; 0 shows nothing.
        random_state: an int is the seed, and counts as a study's `rng_seed`; a `RandomState` or
            None draws one, a new one in every `fit`.
        settings: further fields of `Variant`, as in `{"solution_concept": "worst_case"}`. Those
            that differ from the published defaults are in `aes_lipi.estimator.SOUND`.

    Attributes:
        model_: the best autoencoder, an `aes_lipi` `Model` to save, score and export.
        history_: a table with a row per generation and cell, as a study's `generations`, without
            what is measured on test rows: an estimator keeps none. Losses and `*_L1` are those of
            the scaled columns.
        offset_: score below which a row is an outlier.
        n_features_in_: columns of `X`.
        feature_names_in_: their names, where all are strings.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(40, 6))
    >>> AutoencoderRing(epochs=2, random_state=0).fit_transform(X).shape
    (40, 2)
    """

    def __init__(
        self,
        *,
        population_size: int = 4,
        radius: int = 1,
        epochs: int = 100,
        batch_size: int | None = None,
        learning_rate: float = 3e-3,
        hidden_sizes: Sequence[int] | int | None = None,
        latent_size: int | None = None,
        scale: str = "minmax",
        impute: str = "none",
        one_hot: bool = False,
        environment: str = "LinearCodeAutoencoder",
        prune_method: str | None = None,
        prune_schedule: str = "gradual",
        prune_probability: float = 1.0,
        prune_amount: float = 0.5,
        prune_unit: str = "weight",
        pruned_weights: str = "frozen",
        validation_fraction: float = 0.1,
        patience: int | None = None,
        contamination: float | str = "auto",
        compact: bool = False,
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.population_size = population_size
        self.radius = radius
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.hidden_sizes = hidden_sizes
        self.latent_size = latent_size
        self.scale = scale
        self.impute = impute
        self.one_hot = one_hot
        self.environment = environment
        self.prune_method = prune_method
        self.prune_schedule = prune_schedule
        self.prune_probability = prune_probability
        self.prune_amount = prune_amount
        self.prune_unit = prune_unit
        self.pruned_weights = pruned_weights
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.contamination = contamination
        self.compact = compact
        self.verbose = verbose
        self.random_state = random_state
        self.settings = settings

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train the ring.

        Args:
            X: rows, shape (n_samples, n_features); at least two, all finite, unless `impute` and
                `one_hot` say otherwise.
            y: ignored.

        Raises:
            ValueError: the rows are unfit, or a parameter is, as a batch of more rows than are
                trained on; one line that names it.
            DivergenceError: a weight or a loss is not finite.
        """
        _check_contamination(self.contamination)
        try:
            source = self._source(X)
            variant = self._variant(sum(len(each or "1") for each in texts_of(source)))
            dataset = _dataset(source, variant)
            if self.batch_size is None:
                most = min(_BATCH_SIZE, len(dataset.train))
                variant = variant.model_copy(update={"batch_size": most})
            check_batch(variant.batch_size, len(dataset.train))
            setup, pairs, records, best = _evolved(variant, dataset, self.verbose)
        except UserError as error:
            raise ValueError(str(error)) from None
        model = _model(setup, pairs, best)
        self.model_ = model.compacted() if self.compact else model
        self.history_ = records_frame(records, variant).drop(columns=list(_NOT_IN_HISTORY))
        self.offset_ = _offset(self.score_samples(X), self.contamination)
        return self

    def transform(self, X: Any) -> Float32:
        """Codes of rows X (n_samples, n_features): float32, (n_samples, width of the code)."""
        return self._fitted().encode(self._rows(X))

    def inverse_transform(self, X: Any) -> npt.NDArray[np.floating]:
        """Reconstructions from codes X: float64, (n_samples, n_features), in the rows' units."""
        return self._fitted().decode(check_array(X, dtype=np.float32))

    def score_samples(self, X: Any) -> Float64:
        """How well each row (n_samples, n_features) is reconstructed: float64, (n_samples,).

        Minus `model_.score`, the mean absolute error over the scaled columns. As
        with scikit-learn's detectors, the lower, the more abnormal; 0 is perfect.
        """
        return -self._fitted().score(self._rows(X)).astype(np.float64)

    def decision_function(self, X: Any) -> Float64:
        """By how much the score of each row is above `offset_`: float64, (n_samples,).

        Below 0 are outliers.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """Whether each row (n_samples, n_features) is an outlier, -1, or not, 1: (n_samples,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`: the higher, the better."""
        return float(self.score_samples(X).mean())

    def __sklearn_tags__(self) -> Tags:
        """Codes are float32, whatever the rows are."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.allow_nan = self.impute != "none"
        tags.input_tags.string = tags.input_tags.categorical = self.one_hot
        return tags

    @property
    def _n_features_out(self) -> int:
        """Width of the code, for `get_feature_names_out`."""
        return self.model_.architecture.latent_size

    def _fitted(self) -> Model:
        check_is_fitted(self)
        return self.model_

    @property
    def _encodes(self) -> bool:
        return self.one_hot or self.impute != "none"

    def _source(self, X: Any) -> Source:
        """The rows to train on, with texts by number."""
        if self._encodes and hasattr(X, "columns"):
            validate_data(self, X, skip_check_array=True)
            table = X if hasattr(X, "iloc") else X.to_pandas()
            return table_source("X", table, one_hot=self.one_hot)
        finite = "allow-nan" if self._encodes else True
        rows = validate_data(
            self, X, dtype=np.float64, ensure_min_samples=2, ensure_all_finite=finite
        )
        names = getattr(self, "feature_names_in_", None)
        columns = None if names is None else tuple(map(str, names))
        return dataclasses.replace(array_source("X", rows), column_names=columns)

    def _rows(self, X: Any) -> Any:
        if self._encodes and hasattr(X, "columns"):
            validate_data(self, X, reset=False, skip_check_array=True)
            return X
        finite = "allow-nan" if self._encodes else True
        return validate_data(self, X, dtype=np.float64, reset=False, ensure_all_finite=finite)

    def _variant(self, n_features: int) -> Variant:
        """The parameters as those of a study's variant.

        Raises:
            UserError: a setting has no such name, or a value is out of bounds; the line names it.
        """
        given = self.get_params(deep=False)
        named = {name: given[name] for name in given if name in Variant.model_fields}
        settings = in_present_words(self.settings or {})
        _check_names(settings, named)
        hidden, latent = _default_widths(n_features)
        named["hidden_sizes"] = hidden if self.hidden_sizes is None else self.hidden_sizes
        named["latent_size"] = latent if self.latent_size is None else self.latent_size
        named["batch_size"] = _BATCH_SIZE if self.batch_size is None else self.batch_size
        seed = _seed(self.random_state)
        wanted = {**SOUND, **named, **settings, "rng_seed": seed, "dataset_seed": seed}
        try:
            return Variant.model_validate({name: _plain(wanted[name]) for name in wanted})
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


def _check_contamination(contamination: Any) -> None:
    """Refuse what is no share of outliers.

    Raises:
        ValueError: it is neither `auto` nor in (0, 0.5].
    """
    is_share = isinstance(contamination, float | np.floating) and 0 < contamination <= 0.5
    if not is_share and contamination != "auto":
        raise ValueError(
            f"contamination: {contamination!r} is neither 'auto' nor a share of the rows, above 0 "
            "and at most 0.5"
        )


def _offset(scores: Float64, contamination: Any) -> float:
    """The score below which rows are outliers.

    Args:
        scores: of the rows that were fitted, shape (rows,).
        contamination: share of outliers among them, or `auto`.
    """
    if contamination != "auto":
        return float(np.quantile(scores, contamination))
    first, third = np.quantile(scores, (0.25, 0.75))
    return float(first - 1.5 * (third - first))


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


def _dataset(source: Source, variant: Variant) -> Dataset:
    """Rows encoded, scaled, and split by seed; test rows are the validation rows."""
    n_rows = source.n_rows
    order = data_stream(variant.dataset_seed, DataPurpose.FILE_SPLIT).permutation(n_rows)
    n_validation = min(round(variant.validation_fraction * n_rows), n_rows - 1)
    n_train = n_rows - n_validation
    encoding = None
    if variant.one_hot or variant.impute != "none":
        encoding = learn_encoding(source, order[:n_train], variant.impute)
        source = encoding.source(source)
    scaling = (
        None if variant.scale == "none" else learn_scaling(source, order[:n_train], variant.scale)
    )
    scaled = read_scaled(source, scaling, order)
    spared = scaled[n_train:] if n_validation else scaled
    return Dataset(
        "X",
        *(scaled[:n_train], spared, spared),
        columns=source.column_names,
        scaling=scaling,
        encoding=encoding,
    )


@contextmanager
def _bar(epochs: int, verbose: int) -> Iterator[Callable[[int], None]]:
    """A bar while a block runs; told how many generations are done."""
    if not verbose:
        yield lambda done: None
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task(AutoencoderRing.__name__, total=epochs)
        yield lambda done: progress.update(task, completed=done)


def _evolved(
    variant: Variant, dataset: Dataset, verbose: int
) -> tuple[Setup, Sequence[Pair], Sequence[Record], int]:
    """All generations of a ring: its last pairs, the records and the best cell.

    Raises:
        UserError: the engine, the device or saved models to start from cannot be had.
        DivergenceError: a weight or a loss is not finite, and the policy is to fail.
    """
    setup = prepare_with(variant, Inputs(dataset))  # loads what the limit is for
    path = variant.ann_path
    if path is not None:
        warm_start = load_pairs(warm_start_files(path), setup.architecture)
        setup = dataclasses.replace(setup, warm_start=warm_start)
    schedule = Schedule(variant)
    start = schedule.start(0, first_states(setup, 0, schedule.first_versions))
    last = start
    with threadpool_limits(limits=1), _bar(variant.epochs, verbose) as done:
        for _, news in run_steps([start], [schedule], InProcess([setup])):
            if isinstance(news, TrialFailed):
                raise news.error
            assert isinstance(news, TrialState)
            last = news
            done(last.generations)
        records = sorted(last.records, key=in_order)
        result, pairs = judge(last, records, setup)
        return setup, pairs, records, result.best_cell


def _model(setup: Setup, pairs: Sequence[Pair], best_cell: int) -> Model:
    settings = setup.variant.model_dump(mode="json", exclude=set(DATA_FIELDS))
    origin = {"estimator": AutoencoderRing.__name__, "cell": best_cell, "settings": settings}
    return scored(model_of(setup, pairs, best_cell, origin), setup)
