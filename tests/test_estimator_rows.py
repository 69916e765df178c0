"""The estimator's rows: weighted, sparse, to validate on, in chunks; and rings that go on."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from own_tables import penguins
from scipy import sparse

from aes_lipi import AutoencoderRing
from aes_lipi.estimator import rows as estimator_rows

Matrix = npt.NDArray[np.float64]


def a_ring(**parameters: Any) -> AutoencoderRing:
    return AutoencoderRing(**{"epochs": 3, "random_state": 0, **parameters})


def rows(n: int = 40, n_features: int = 6, seed: int = 3) -> Matrix:
    rng = np.random.default_rng(seed)
    near: Matrix = rng.normal(size=(n, 2)) @ rng.normal(size=(2, n_features))
    return near + 0.01 * rng.normal(size=near.shape)


def genome(ring: AutoencoderRing) -> Any:
    return ring.model_.pair.encoder.genome


class TestWeights:
    def test_rows_that_weigh_more_are_reconstructed_better(self) -> None:
        """Two kinds of rows, on two planes that a code of one value cannot both hold."""
        x = np.concatenate([rows(60, seed=1), rows(60, seed=2)])
        first = np.arange(120) < 60
        errors = []
        for weights in (np.where(first, 20.0, 1.0), np.where(first, 1.0, 20.0)):
            ring = a_ring(epochs=60, latent_size=1, validation_fraction=0).fit(x, None, weights)
            scores = -ring.score_samples(x)
            errors.append((scores[first].mean(), scores[~first].mean()))
        assert errors[0][0] < 0.8 * errors[1][0]
        assert errors[1][1] < 0.8 * errors[0][1]

    @pytest.mark.parametrize("weight", [1.0, 0.25])
    def test_weights_that_are_all_the_same_change_no_bit(self, weight: float) -> None:
        plain, weighted = a_ring().fit(rows()), a_ring().fit(rows(), None, np.full(40, weight))
        np.testing.assert_array_equal(genome(weighted), genome(plain))

    def test_only_shares_count(self) -> None:
        weights = np.linspace(0.5, 2, 40)
        one, other = (a_ring().fit(rows(), sample_weight=w) for w in (weights, 1024 * weights))
        np.testing.assert_array_equal(genome(one), genome(other))
        assert not np.array_equal(genome(one), genome(a_ring().fit(rows())))

    def test_a_row_without_weight_is_as_if_it_were_not_there(self) -> None:
        x, weights = rows(), np.ones(40)
        weights[[3, 7]] = 0
        kept = weights > 0
        np.testing.assert_array_equal(
            genome(a_ring().fit(x, None, weights)), genome(a_ring().fit(x[kept]))
        )
        table = penguins()
        weights = np.ones(150)
        weights[::2] = 0
        ring = a_ring(impute="median", one_hot=True)
        one = genome(ring.fit(table, sample_weight=weights))
        offset, typical = ring.offset_, ring.typical_errors_
        np.testing.assert_array_equal(genome(ring.fit(table.iloc[1::2])), one)
        assert ring.offset_ == offset  # the line, too, is drawn among the rows that count
        np.testing.assert_array_equal(ring.typical_errors_, typical)

    @pytest.mark.parametrize(
        ("weights", "told"),
        [
            (np.eye(40)[0], "fewer than two rows count"),
            (-np.ones(40), "[Nn]egative"),
            (np.ones(39), r"sample_weight\.shape"),
            (np.full(40, np.nan), "NaN"),
        ],
    )
    def test_weights_that_cannot_be_are_refused(self, weights: Matrix, told: str) -> None:
        with pytest.raises(ValueError, match=told):
            a_ring().fit(rows(), sample_weight=weights)


class TestSparse:
    @pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array])
    def test_sparse_rows_have_the_bits_of_dense_ones(
        self, make: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(estimator_rows, "BLOCK_VALUES", 70)  # eleven rows at a time
        x = np.where(rows() > 0, rows(), 0)
        dense, ring = a_ring().fit(x), a_ring().fit(make(x), X_val=make(x[:5]))
        assert not np.array_equal(genome(dense), genome(ring))
        ring = a_ring().fit(make(x))
        np.testing.assert_array_equal(genome(dense), genome(ring))
        np.testing.assert_array_equal(ring.transform(make(x)), dense.transform(x))
        np.testing.assert_array_equal(ring.score_samples(make(x)), dense.score_samples(x))
        assert ring.offset_ == dense.offset_

    def test_it_is_dense_a_part_at_a_time(self) -> None:
        wide = sparse.random_array((300, 20_000), density=1e-3, rng=np.random.default_rng(0))
        heights = [part.stop - part.start for part in estimator_rows._parts(wide.tocsr())]
        assert max(heights) == 52
        assert sum(heights) == 300


def test_rows_to_validate_on_are_not_trained_on_and_no_others_are_spared() -> None:
    x, other = rows(), rows(seed=4)
    ring = a_ring(validation_fraction=0.5).fit(x, X_val=other)
    whole = a_ring(validation_fraction=0.0).fit(x)
    assert ring.model_.scaling is not None
    assert whole.model_.scaling is not None
    np.testing.assert_array_equal(ring.model_.scaling.high, x.max(axis=0))
    losses = ring.history_["validation_L1"].dropna()
    assert not losses.equals(whole.history_["validation_L1"].dropna())
    own = a_ring(validation_fraction=0.0).fit(x, X_val=x)
    pd.testing.assert_series_equal(
        own.history_["validation_L1"], whole.history_["validation_L1"], check_exact=False
    )
    with pytest.raises(ValueError, match="features"):
        a_ring().fit(x, X_val=other[:, :4])
    table = penguins()
    fitted = a_ring(impute="median", one_hot=True).fit(table.iloc[:100], X_val=table.iloc[100:])
    assert fitted.model_.encoding is not None


class TestLaterTables:
    """Which have other types than the first: by its encoding, as the model takes them."""

    def test_text_where_numbers_were_learned_is_refused(self) -> None:
        table, text = penguins(), penguins().astype({"mass": str})
        ring = a_ring(impute="median", one_hot=True)
        with pytest.raises(ValueError, match="X: column 'mass': not numbers"):
            ring.fit(table, X_val=text.replace({"mass": {text["mass"][0]: "?"}}))
        ring.fit(table)
        for later in (ring.partial_fit, ring.set_params(warm_start=True).fit):
            with pytest.raises(ValueError, match="X: column 'mass': not numbers"):
                later(text.assign(mass="?"))

    def test_texts_that_are_all_missing_and_numbers_are_no_known_text(self) -> None:
        ring = a_ring(impute="median", one_hot=True).fit(penguins())
        for other in (None, 3.0):
            table = penguins().assign(sex=other)
            encoding = ring.model_.encoding
            assert encoding is not None
            code = encoding.filled(encoding.of_table(table))
            places = [k for k, name in enumerate(encoding.names) if name.startswith("sex=")]
            assert not code[:, places].any()
            ring.partial_fit(table)

    def test_a_chunk_without_some_text_goes_on_with_the_same_networks(self) -> None:
        table = penguins()
        few = table[(table["species"] == "Adelie") & (table["island"] == "Dream")]
        ring = a_ring(impute="median", one_hot=True).partial_fit(table)
        size = genome(ring).size
        assert genome(ring.partial_fit(few)).size == size
        warm = a_ring(impute="median", one_hot=True, warm_start=True).fit(table)
        assert genome(warm.fit(few)).size == size

    def test_columns_that_name_their_rows_are_refused(self) -> None:
        table = pd.DataFrame({"a": np.arange(1001.0), "b": [f"row {k}" for k in range(1001)]})
        with pytest.raises(ValueError, match="X, column 'b': more than 1,000 different texts"):
            a_ring(one_hot=True).fit(table)

    def test_dates_are_refused(self) -> None:
        table = penguins().assign(year=pd.Timestamp("2020-01-01"))
        with pytest.raises(ValueError, match="column 'year': dates or times; give numbers"):
            a_ring(impute="median", one_hot=True).fit(table)


class TestGoingOn:
    def test_chunks_train_one_generation_each(self) -> None:
        ring = a_ring(epochs=2)
        scores = []
        for k in range(30):
            ring.partial_fit(rows(seed=k))
            scores.append(ring.score(rows()))
        assert ring.history_["generation"].max() == 29
        assert np.mean(scores[-5:]) > np.mean(scores[:5])
        first = a_ring(epochs=2).partial_fit(rows(seed=0))
        assert first.model_.scaling is not None
        assert ring.model_.scaling is not None
        np.testing.assert_array_equal(ring.model_.scaling.high, first.model_.scaling.high)

    def test_as_many_passes_over_the_same_rows_are_a_fit(self) -> None:
        x, apart = rows(), {"validation_fraction": 0.0}
        ring = a_ring(**apart)
        for _ in range(3):
            ring.partial_fit(x)
        np.testing.assert_array_equal(genome(ring), genome(a_ring(**apart).fit(x)))
        ring = a_ring(**apart, epochs=2).fit(x).partial_fit(x)
        np.testing.assert_array_equal(genome(ring), genome(a_ring(**apart).fit(x)))

    def test_a_chunk_may_be_small(self) -> None:
        ring = a_ring().partial_fit(rows()).partial_fit(rows(1)).partial_fit(rows(3))
        assert ring.model_.provenance["settings"]["batch_size"] == 3

    def test_the_line_between_rows_stays_that_of_all_that_were_fitted(self) -> None:
        ring = a_ring(contamination=0.1).fit(rows())
        offset, typical = ring.offset_, ring.typical_errors_
        ring.partial_fit(rows(1))
        assert (ring.offset_, ring.typical_errors_.tolist()) == (offset, typical.tolist())
        ring = a_ring(contamination=0.1).partial_fit(rows(30)).partial_fit(rows())
        assert (ring.predict(rows()) == -1).mean() == 0.1

    def test_pruned_weights_stay_pruned(self) -> None:
        pruned = {"prune_method": "magnitude", "prune_amount": 0.7}
        ring = a_ring(epochs=4, **pruned).fit(rows())
        zero = genome(ring) == 0
        assert zero.mean() > 0.5
        ring.partial_fit(rows(seed=5))
        assert (genome(ring) == 0).mean() >= zero.mean()

    def test_a_warm_start_begins_with_the_weights_and_the_scaling_of_before(self) -> None:
        x = rows()
        ring = a_ring(epochs=40, warm_start=True).fit(x)
        before, scaling = ring.score(x), ring.model_.scaling
        ring.set_params(epochs=1, learning_rate=1e-5).fit(2 * x)
        assert scaling is not None
        assert ring.model_.scaling is not None
        np.testing.assert_array_equal(ring.model_.scaling.high, scaling.high)
        assert len(ring.history_) == 4
        assert ring.score(x) == pytest.approx(before, rel=0.05)
        cold = a_ring(epochs=1, learning_rate=1e-5).fit(x)
        assert cold.score(x) < 1.5 * before

    def test_a_warm_start_of_the_engine_torch_lets_pruned_weights_grow_again(self) -> None:
        x = rows()
        ring = a_ring(warm_start=True, pruned_weights="regrow", settings={"engine": "torch"})
        first = genome(ring.fit(x))
        assert not np.array_equal(genome(ring.fit(x)), first)

    def test_another_ring_cannot_go_on(self) -> None:
        ring = a_ring().fit(rows())
        with pytest.raises(ValueError, match=r"partial_fit: .* leave the parameters as they were"):
            ring.set_params(hidden_sizes=5).partial_fit(rows())
        with pytest.raises(ValueError, match=r"warm_start: .* another number of them"):
            ring.set_params(hidden_sizes=None, population_size=6, warm_start=True).fit(rows())


def test_losses_and_activations_are_parameters() -> None:
    ring = a_ring(loss="huber", hidden_activation="gelu", output_activation="linear", scale="power")
    architecture = ring.fit(rows()).model_.architecture
    assert architecture.loss == "huber"
    layers = architecture.decoder.layers
    assert [layer.activation for layer in layers] == ["gelu", "linear"]
    with pytest.raises(ValueError, match="loss"):
        a_ring(loss="hinge").fit(rows())
    with pytest.raises(ValueError, match="loss is a parameter of its own; give it as one"):
        a_ring(settings={"loss": "mse"}).fit(rows())


class NotebookBar:
    """As `IPython.display.ProgressBar`, which notebooks have."""

    shown: ClassVar[list[tuple[int, int]]] = []

    def __init__(self, total: int) -> None:
        self.total = total

    def display(self) -> None:
        self.progress = 0

    def __setattr__(self, name: str, value: int) -> None:
        super().__setattr__(name, value)
        if name == "progress":
            self.shown.append((value, self.total))


def test_progress_is_shown_in_a_notebook(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = ModuleType("IPython.display")
    monkeypatch.setattr(notebook, "ProgressBar", NotebookBar, raising=False)
    monkeypatch.setitem(sys.modules, "IPython.display", notebook)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    a_ring(verbose=1).fit(rows())
    assert NotebookBar.shown[:4] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert capsys.readouterr() == ("", "")
