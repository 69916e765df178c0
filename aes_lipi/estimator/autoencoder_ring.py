"""The ring as a scikit-learn estimator."""
# ruff: noqa: N803 - scikit-learn's name for a matrix is X

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    OutlierMixin,
    TransformerMixin,
)
from sklearn.utils import Tags, _safe_indexing, check_array
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from aes_lipi.arrays import Float32, Float64
from aes_lipi.config import Variant
from aes_lipi.data.dataset import Dataset
from aes_lipi.data.encoding import Encoding, texts_of
from aes_lipi.data.source import Source
from aes_lipi.errors import UserError
from aes_lipi.estimator.parameters import BATCH_SIZE, variant_of
from aes_lipi.estimator.rows import encoded_source, in_parts, is_table, split_rows
from aes_lipi.estimator.training import TrainedRing, trained, trained_further
from aes_lipi.execution.requirements import check_batch
from aes_lipi.models import Model
from aes_lipi.stepping import records_frame

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
    same bits on every processor that has x86-64-v3 (AVX2). Sparse matrices are taken, and made
    dense as float32 where they are trained on, and a part at a time elsewhere.

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
            values in [0, 1]. `standard`, `robust` and `power` take a linear output.
        impute: what a missing number becomes: the `median` of its column in the rows that are
            trained on, or 0 with `constant`; `none` refuses missing values.
        one_hot: whether columns of text, in a table, become a column of 0 and 1 for each text.
        environment: which autoencoder is trained: by default a plain one with a linear code; plain,
            denoising or variational ones. Names that differ in default widths alone are the same
            here.
        loss: that is trained on and chosen by, such as `mse`, `huber` or `l1`; by default the
            environment's.
        hidden_activation: of hidden layers: `relu`, `leaky_relu`, `tanh`, `gelu`; by default the
            environment's.
        output_activation: of the reconstruction: `sigmoid` or `linear`; by default the
            environment's.
        prune_method: the pruning operator; None does not prune.
        prune_schedule: when it prunes. `gradual` takes an operator that prunes an amount: `random`,
            `magnitude`, `roulette`.
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
        warm_start: `fit` starts from the weights of the ring that was fitted last, with its scaling
            and encoding, for `epochs` further generations.
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
        typical_errors_: mean absolute error of each scaled column over the rows of `fit`, at least
            a hundredth of the mean of all: float64, (columns,). See `partial_fit`.
        offset_: score below which a row is an outlier; likewise.
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
        loss: str | None = None,
        hidden_activation: str | None = None,
        output_activation: str | None = None,
        prune_method: str | None = None,
        prune_schedule: str = "gradual",
        prune_probability: float = 1.0,
        prune_amount: float = 0.5,
        prune_unit: str = "weight",
        pruned_weights: str = "frozen",
        validation_fraction: float = 0.1,
        patience: int | None = None,
        contamination: float | str = "auto",
        warm_start: bool = False,
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
        self.loss = loss
        self.hidden_activation = hidden_activation
        self.output_activation = output_activation
        self.prune_method = prune_method
        self.prune_schedule = prune_schedule
        self.prune_probability = prune_probability
        self.prune_amount = prune_amount
        self.prune_unit = prune_unit
        self.pruned_weights = pruned_weights
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.contamination = contamination
        self.warm_start = warm_start
        self.compact = compact
        self.verbose = verbose
        self.random_state = random_state
        self.settings = settings

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, X_val: Any = None) -> Self:
        """Train the ring.

        Args:
            X: rows, shape (n_samples, n_features); at least two, all finite, unless `impute` and
                `one_hot` say otherwise.
            y: ignored.
            sample_weight: by what each row counts in the loss that is trained on and selected by:
                its terms are multiplied by the row's weight, as a share of the mean weight. At
                least 0, (n_samples,); a row of 0 is left out. Scaling, validation and `offset_`
                take all other rows alike.
            X_val: rows to validate on, (n, n_features); all of X is trained on then.

        Raises:
            ValueError: the rows are unfit, or a parameter is, as a batch of more rows than are
                trained on; one line that names it.
            DivergenceError: a weight or a loss is not finite.
        """
        start = self._trained if self.warm_start and hasattr(self, "model_") else None
        _check_contamination(self.contamination)
        try:
            variant, dataset, rows = self._prepared(X, sample_weight, X_val, start)
            ring = trained(variant, dataset, verbose=self.verbose, start=start)
        except UserError as error:
            raise ValueError(str(error)) from None
        self._with(ring)
        self._draw_line(rows)
        self._is_fitted_whole = True
        return self

    def partial_fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, X_val: Any = None
    ) -> Self:
        """Train the ring for one more generation: one pass of every cell over these rows.

        The first call, or `fit`, begins the ring and learns scaling and encoding, which stay as
        they are. Schedules of pruning and learning rates count `epochs` generations, and go on as
        at their end; `patience` is not heeded, and after a `fit` with it the last generation goes
        on. `typical_errors_` and `offset_` stay those of `fit`; without one, they are of the rows
        of the last call.

        Args:
            X: rows as for `fit`, all of which are trained on.
            y: ignored.
            sample_weight: as for `fit`, as a share of the mean weight of these rows.
            X_val: rows on which the best cell is chosen; by default those of X.

        Raises:
            ValueError: as `fit`.
            DivergenceError: as `fit`.
        """
        known = self._trained if hasattr(self, "model_") else None
        _check_contamination(self.contamination)
        try:
            variant, dataset, rows = self._prepared(X, sample_weight, X_val, known, spares=False)
            done = 0 if known is None else known.state.generations
            more = {"epochs": max(variant.epochs, done + 1), "patience": None, "target_loss": None}
            ring = trained_further(variant.model_copy(update=more), dataset, known)
        except UserError as error:
            raise ValueError(str(error)) from None
        self._with(ring)
        if known is None or not self._is_fitted_whole:
            self._draw_line(rows)
            self._is_fitted_whole = False
        return self

    def transform(self, X: Any) -> Float32:
        """Codes of rows X (n_samples, n_features): float32, (n_samples, width of the code)."""
        return in_parts(self._fitted().encode, self._rows(X))

    def inverse_transform(self, X: Any) -> npt.NDArray[np.floating]:
        """Reconstructions from codes X: float64, (n_samples, n_features), in the rows' units."""
        return self._fitted().decode(check_array(X, dtype=np.float32))

    def score_samples(self, X: Any) -> Float64:
        """How well each row (n_samples, n_features) is reconstructed: float64, (n_samples,).

        Minus the mean over the columns of the errors, each by what is typical of its column
        (`typical_errors_`), so that columns that are hard to reconstruct do not decide alone: -1 is
        what rows of `fit` have on average. As with scikit-learn's detectors, the lower, the more
        abnormal; 0 is perfect. `model_.score` is the mean of the errors as they are.
        """
        return self._scores(self._fitted(), self._rows(X))

    def _scores(self, model: Model, rows: Any) -> Float64:
        typical = self.typical_errors_
        return -in_parts(lambda part: (model.errors(part) / typical).mean(axis=1), rows)

    def decision_function(self, X: Any) -> Float64:
        """By how much the score of each row is above `offset_`: float64, (n_samples,).

        Below 0 are outliers.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """Whether each row (n_samples, n_features) is an outlier, -1, or not, 1: (n_samples,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the mean absolute error over rows and scaled columns: the higher, the better."""
        return -float(in_parts(self._fitted().score, self._rows(X)).mean(dtype=np.float64))

    def __sklearn_tags__(self) -> Tags:
        """Codes are float32, whatever the rows are."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.sparse = True
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

    def _prepared(
        self,
        X: Any,
        sample_weight: Any,
        X_val: Any,
        known: TrainedRing | None,
        *,
        spares: bool = True,
    ) -> tuple[Variant, Dataset, Any]:
        """The settings, the rows to train on, and those of X that count; see `fit`.

        Args:
            X: rows.
            sample_weight: of them.
            X_val: to validate on.
            known: a ring whose scaling and encoding are taken, and whose seed.
            spares: whether a share of X validates where no other rows do.

        Raises:
            UserError: a parameter is out of bounds, or the rows are unfit.
        """
        rows = self._rows(X, reset=known is None)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(
                sample_weight, rows, dtype=np.float64, ensure_non_negative=True
            )
            counting = np.flatnonzero(weights)
            if len(counting) < 2:
                raise UserError("sample_weight: fewer than two rows count; give more than 0 to two")
            rows, weights = _safe_indexing(rows, counting), weights[counting]
        units = None if known is None else known.units
        source = self._source(rows, None if units is None else units.encoding)
        n_dim = sum(len(each or "1") for each in texts_of(source))
        variant = variant_of(self.get_params(deep=False), n_dim)
        if known is not None:
            seeds = {name: getattr(known.variant, name) for name in ("rng_seed", "dataset_seed")}
            variant = variant.model_copy(update=seeds)
        dataset = split_rows(
            source,
            variant,
            weights=weights,
            validation=None if X_val is None else partial(self._source, self._rows(X_val)),
            units=units,
            spares=spares,
        )
        if self.batch_size is None:
            most = min(BATCH_SIZE, len(dataset.train))
            variant = variant.model_copy(update={"batch_size": most})
        check_batch(variant.batch_size, len(dataset.train))
        return variant, dataset, rows

    def _with(self, ring: TrainedRing) -> None:
        """Keep what was trained."""
        self._trained = ring
        self.model_ = ring.model.compacted() if self.compact else ring.model
        history = records_frame(ring.records, ring.variant)
        self.history_ = history.drop(columns=list(_NOT_IN_HISTORY))

    def _draw_line(self, rows: Any) -> None:
        """Find what is usual of rows that were checked, and which of them are not."""
        self.typical_errors_ = _typical_errors(self.model_, rows)
        self.offset_ = _offset(self._scores(self.model_, rows), self.contamination)

    def _source(self, rows: Any, encoding: Encoding | None) -> Source:
        names = getattr(self, "feature_names_in_", None)
        columns = None if names is None else tuple(map(str, names))
        return encoded_source(rows, columns, encoding, one_hot=self.one_hot)

    def _rows(self, X: Any, *, reset: bool = False) -> Any:
        """Rows as they are trained on or asked for: checked, a table only where it is encoded."""
        if self._encodes and is_table(X):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X
        return validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype=np.float64,
            ensure_min_samples=2 if reset else 1,
            ensure_all_finite="allow-nan" if self._encodes else True,
        )


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


def _typical_errors(model: Model, rows: Any) -> Float64:
    """The mean error of each column; at least a hundredth of the mean of all, 1 if there is none.

    Args:
        model: that reconstructs.
        rows: that were fitted.
    """
    sums = in_parts(lambda part: model.errors(part).sum(axis=0, dtype=np.float64)[None], rows)
    means: Float64 = sums.sum(axis=0) / rows.shape[0]
    least = float(means.mean()) / 100
    typical: Float64 = np.maximum(means, least or 1.0)
    return typical


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
