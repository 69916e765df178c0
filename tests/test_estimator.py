"""The scikit-learn estimator: scikit-learn's own checks, and what it promises beyond them."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pytest
from own_tables import penguins
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import aes_lipi
from aes_lipi import AutoencoderRing
from aes_lipi.coevolution.measure import DivergenceError
from aes_lipi.config.variant import EnvironmentName
from aes_lipi.data.dataset import DataPurpose, data_stream
from aes_lipi.estimator import SOUND
from aes_lipi.models import Ensemble, save_model
from aes_lipi.results.schema import generations_schema

Matrix = npt.NDArray[np.float64]

PRUNED: dict[str, Any] = {"prune_method": "magnitude", "prune_amount": 0.7}

VARIATIONAL = "VariationalAutoencoderBinaryClustering"


def a_ring(**parameters: Any) -> AutoencoderRing:
    return AutoencoderRing(**{"epochs": 3, "random_state": 0, **parameters})


def rows(n: int = 40, n_features: int = 6) -> Matrix:
    """Rows near a plane, in units of their own."""
    rng = np.random.default_rng(3)
    near: Matrix = rng.normal(size=(n, 2)) @ rng.normal(size=(2, n_features))
    return 100 * (near + 0.01 * rng.normal(size=near.shape)) - 7


BATCHES = "batches are drawn of rows, so a row that is there twice falls into batches of its own"
UNEQUAL = {
    "check_sample_weight_equivalence_on_dense_data": BATCHES,
    "check_sample_weight_equivalence_on_sparse_data": BATCHES,
}
"""What no training in batches can pass: a weight of 2 has the bits of a row that is there twice."""


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [AutoencoderRing(epochs=2, prune_unit="node", compact=True, **PRUNED)],
    expected_failed_checks=lambda _: UNEQUAL,
)
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [AutoencoderRing(epochs=2), AutoencoderRing(epochs=2, **PRUNED)],
    expected_failed_checks=lambda _: UNEQUAL,
)
def test_scikit_learns_own_checks_of_other_parameters(estimator: Any, check: Any) -> None:
    check(estimator)


Split = tuple[Matrix, Matrix]


@pytest.fixture(scope="module")
def digits() -> Split:
    """1797 images of 8 x 8 pixels: 600 to train on, and a quarter held out."""
    pixels = load_digits().data
    shuffled = pixels[np.random.default_rng(0).permutation(len(pixels))]
    return shuffled[450:1050], shuffled[:450]


@pytest.fixture(scope="module")
def default_ring(digits: Split) -> AutoencoderRing:
    """With the default parameters, on the digits."""
    return AutoencoderRing(random_state=0).fit(digits[0])


def test_digits_are_reconstructed(default_ring: AutoencoderRing, digits: Split) -> None:
    """To about a third of the error that the median image has."""
    training, held_out = digits
    found = default_ring.inverse_transform(default_ring.transform(held_out))
    assert default_ring.transform(held_out).shape == (450, 16)
    plain = np.abs(held_out - np.median(training, axis=0)).mean()
    assert np.abs(held_out - found).mean() < 0.36 * plain
    assert -0.07 < default_ring.score(held_out) < 0


def test_outliers_score_lower(default_ring: AutoencoderRing, digits: Split) -> None:
    _, held_out = digits
    scrambled = np.random.default_rng(1).permuted(held_out, axis=1)
    scores = default_ring.score_samples(np.concatenate([held_out, scrambled]))
    assert roc_auc_score(np.repeat([1, 0], 450), scores) > 0.99


def test_pruning_costs_little(default_ring: AutoencoderRing, digits: Split) -> None:
    training, held_out = digits
    pruned = AutoencoderRing(prune_method="magnitude", random_state=0).fit(training)
    assert pruned.history_["capacity"].iloc[-1] == pytest.approx(0.5, abs=0.01)
    assert pruned.score(held_out) > 1.2 * default_ring.score(held_out)


@pytest.mark.parametrize("compact", [False, True])
def test_the_model_gives_the_same(compact: bool) -> None:
    x = rows()
    ring = a_ring(compact=compact, prune_unit="node", **PRUNED).fit(x)
    model = ring.model_
    codes = ring.transform(x)
    np.testing.assert_array_equal(codes, model.encode(x))
    np.testing.assert_array_equal(ring.inverse_transform(codes), model.reconstruct(x))
    np.testing.assert_array_equal(ring.score(x), -model.score(x).mean(dtype=np.float64))
    assert ring.score(x) == -model.score(x).mean(dtype=np.float64)
    assert (model.compaction is not None) == compact
    assert model.scaling is not None


def test_a_compact_ring_is_smaller_and_the_same() -> None:
    x = rows()
    node = {**PRUNED, "prune_unit": "node", "latent_size": 4}
    whole, compact = (a_ring(compact=compact, **node).fit(x) for compact in (False, True))
    assert whole.model_.compacted().architecture == compact.model_.architecture
    assert compact.transform(x).shape[1] < whole.transform(x).shape[1] == 4
    assert len(compact.get_feature_names_out()) == compact.transform(x).shape[1]
    ours, theirs = (ring.inverse_transform(ring.transform(x)) for ring in (compact, whole))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_a_study_of_the_same_settings_has_the_same_bits(tmp_path: Path) -> None:
    x = rows()
    ring = a_ring(random_state=5, **PRUNED).fit(x)
    order = data_stream(5, DataPurpose.FILE_SPLIT).permutation(len(x))
    train, validation = x[order[:36]], x[order[36:]]
    data = tmp_path / "x.npz"
    np.savez(data, train=train, test=validation, validation=validation)
    given = {n: v for n, v in ring.get_params().items() if n in aes_lipi.Variant.model_fields}
    del given["batch_size"]
    settings = {**SOUND, **given, "hidden_sizes": [8], "latent_size": 2, "rng_seed": 5}
    settings["batch_size"] = 16
    (tmp_path / "one.yaml").write_text("trials: 1\n")
    study = aes_lipi.load_study(
        tmp_path / "one.yaml", {**settings, "data": str(data), "scale": "minmax"}
    )
    results = aes_lipi.run(study, tmp_path / "out")
    [variant] = results.trials["variant"]
    model = aes_lipi.load_model(tmp_path / f"out/models/variant={variant}/trial=0000.safetensors")
    np.testing.assert_array_equal(model.pair.encoder.genome, ring.model_.pair.encoder.genome)
    np.testing.assert_array_equal(model.pair.decoder.genome, ring.model_.pair.decoder.genome)
    np.testing.assert_array_equal(model.encode(x), ring.transform(x))
    shared = [name for name in ring.history_.columns if name not in ("wall_time_s", "cpu_time_s")]
    pd.testing.assert_frame_equal(
        ring.history_[shared].drop(columns=["read_generations", "selection_losses"]),
        results.generations[shared].drop(columns=["read_generations", "selection_losses"]),
        check_dtype=False,
    )


def test_the_model_can_be_saved_and_knows_where_it_comes_from(tmp_path: Path) -> None:
    x = pd.DataFrame(rows(), columns=list("abcdef"))
    ring = a_ring().fit(x)
    save_model(tmp_path / "ring.safetensors", ring.model_)
    model = aes_lipi.load_model(tmp_path / "ring.safetensors")
    np.testing.assert_array_equal(model.encode(x), ring.transform(x))
    assert model.columns == tuple("abcdef")
    assert model.provenance["estimator"] == "AutoencoderRing"
    assert model.provenance["settings"]["epochs"] == 3


class TestRandomState:
    def test_the_same_gives_the_same_bits(self) -> None:
        x = rows()
        codes = [a_ring(random_state=seed).fit_transform(x) for seed in (7, np.int64(7), 8)]
        np.testing.assert_array_equal(codes[0], codes[1])
        assert not np.array_equal(codes[0], codes[2])

    def test_a_generator_goes_on_from_fit_to_fit(self) -> None:
        x = rows()
        ring = a_ring(random_state=np.random.RandomState(1))
        first, second = ring.fit_transform(x), ring.fit_transform(x)
        again = a_ring(random_state=np.random.RandomState(1)).fit_transform(x)
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, second)

    def test_none_is_numpys_own(self) -> None:
        np.random.seed(4)  # noqa: NPY002 - what scikit-learn reads
        first = a_ring(random_state=None).fit_transform(rows())
        np.random.seed(4)  # noqa: NPY002
        np.testing.assert_array_equal(first, a_ring(random_state=None).fit_transform(rows()))


class TestAmongOthers:
    """What scikit-learn does with estimators."""

    def test_in_a_pipeline(self) -> None:
        x = rows()
        pipeline = make_pipeline(StandardScaler(), a_ring(epochs=80)).fit(x)
        found = pipeline.inverse_transform(pipeline.transform(x))
        assert np.abs(found - x).mean() < 0.7 * np.abs(np.median(x, axis=0) - x).mean()
        assert pipeline.score(x) > 2 * pipeline.score_samples(x).mean()
        assert list(pipeline.get_feature_names_out()) == ["autoencoderring0", "autoencoderring1"]

    @pytest.mark.slow
    def test_in_a_search_in_two_processes(self) -> None:
        x = rows()
        grid = {"latent_size": np.arange(1, 3), "hidden_sizes": [np.int64(5), (6, 4)]}
        searches = [
            GridSearchCV(a_ring(), grid, cv=2, n_jobs=n_jobs, error_score="raise").fit(x)
            for n_jobs in (1, 2)
        ]
        scores = [search.cv_results_["mean_test_score"] for search in searches]
        np.testing.assert_array_equal(*scores)
        assert len(set(scores[0])) == 4
        assert searches[0].best_params_ == searches[1].best_params_

    def test_cloned(self) -> None:
        ring = a_ring(settings={"solution_concept": "worst_case"}).fit(rows())
        copy = clone(ring)
        assert not hasattr(copy, "model_")
        np.testing.assert_array_equal(copy.fit_transform(rows()), ring.transform(rows()))

    def test_pickled(self) -> None:
        ring = a_ring(compact=True, **PRUNED).fit(rows())
        copy = pickle.loads(pickle.dumps(ring))
        np.testing.assert_array_equal(copy.transform(rows()), ring.transform(rows()))
        pd.testing.assert_frame_equal(copy.history_, ring.history_)

    def test_with_tables_in_and_out(self) -> None:
        x = pd.DataFrame(rows(), columns=list("abcdef"), index=range(100, 140))
        ring = a_ring().set_output(transform="pandas").fit(x)
        assert list(ring.feature_names_in_) == list("abcdef")
        assert ring.n_features_in_ == 6
        codes = ring.transform(x)
        assert list(codes.columns) == ["autoencoderring0", "autoencoderring1"]
        assert list(codes.index) == list(x.index)
        assert ring.inverse_transform(codes).shape == x.shape
        with pytest.raises(ValueError, match="should match those"):
            ring.transform(x[list("fedcba")])


class TestRows:
    @pytest.mark.parametrize(
        ("n_features", "hidden", "latent"),
        [(1, 8, 1), (2, 8, 1), (3, 8, 2), (4, 8, 2), (12, 12, 3), (200, 64, 16)],
    )
    def test_widths_follow_the_columns(self, n_features: int, hidden: int, latent: int) -> None:
        x = rows(20, n_features)
        architecture = a_ring(epochs=1).fit(x).model_.architecture
        assert architecture.encoder.hidden_sizes == (hidden,)
        assert architecture.latent_size == latent

    def test_a_batch_has_as_many_rows_as_there_are(self) -> None:
        """The same bits, whoever says how many."""
        few, said = a_ring().fit(rows(10)), a_ring(batch_size=9).fit(rows(10))
        assert few.model_.provenance["settings"]["batch_size"] == 9
        np.testing.assert_array_equal(few.transform(rows(10)), said.transform(rows(10)))
        assert a_ring().fit(rows()).model_.provenance["settings"]["batch_size"] == 16

    def test_a_ring_of_one(self) -> None:
        ring = a_ring(population_size=1).fit(rows())
        assert len(ring.history_) == 3
        canonical = a_ring(settings={"cell_evaluation": "ann_canonical"}).fit(rows())
        assert len(canonical.history_) == 3

    def test_some_rows_validate(self) -> None:
        """They are not trained on: their columns' range is not learned."""
        x = rows()
        order = data_stream(0, DataPurpose.FILE_SPLIT).permutation(40)
        x[order[30]] = 1e9
        scaling = a_ring(validation_fraction=0.25).fit(x).model_.scaling
        assert scaling is not None
        np.testing.assert_array_equal(scaling.high, np.delete(x, order[30:], axis=0).max(axis=0))

    @pytest.mark.parametrize(("n", "fraction"), [(2, 0.1), (4, 0.1), (40, 0.0)])
    def test_training_rows_validate_where_none_is_spared(self, n: int, fraction: float) -> None:
        ring = a_ring(validation_fraction=fraction).fit(rows(n))
        last = ring.history_.iloc[-1]
        assert last["validation_L1"] == last["mean_L1"]

    def test_one_row_stays_to_train_on(self) -> None:
        assert a_ring(validation_fraction=0.9).fit(rows(2)).score(rows(2)) < 0

    def test_one_row_is_too_few(self) -> None:
        with pytest.raises(ValueError, match="minimum of 2 is required by AutoencoderRing"):
            a_ring().fit(rows(1))

    def test_any_finite_values_will_do(self) -> None:
        x = rows()
        x[0, 0], x[1, 0], x[:, 2], x[:, 3] = 1.7e308, -1.7e308, 5.0, 1e-300
        ring = a_ring().fit(x)
        found = ring.inverse_transform(ring.transform(x))
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found[2:, 2], 5.0)


def test_the_history_has_the_columns_of_a_study() -> None:
    history = a_ring(epochs=12).fit(rows()).history_
    test = {"test_loss", "test_L1", "std_test_L1"}
    assert list(history.columns) == [
        name for name in generations_schema().names if name not in test | {"variant_name", "trial"}
    ]
    assert len(history) == 12 * 4
    recorded = history.dropna(subset="validation_L1")
    assert set(recorded["generation"]) == {0, 10, 11}


@pytest.mark.parametrize("environment", EnvironmentName.__args__)  # type: ignore[attr-defined]
def test_every_environment(environment: str) -> None:
    ring = a_ring(epochs=1, environment=environment).fit(rows())
    assert ring.transform(rows()).shape == (40, 2)


class TestSettings:
    def test_further_fields_of_a_variant(self) -> None:
        ring = a_ring(settings={"record_interval": 1, "update_order": "synchronous"}).fit(rows())
        assert ring.history_["mean_L1"].notna().all()
        assert ring.model_.provenance["settings"]["update_order"] == "synchronous"

    def test_all_centres_make_an_ensemble(self) -> None:
        ring = a_ring(settings={"store_all_nodes": True}).fit(rows())
        assert Ensemble.of(ring.model_).encode(rows()).shape == (40, 8)

    def test_a_saved_model_to_start_from(self, tmp_path: Path) -> None:
        path = tmp_path / "ring.safetensors"
        first = a_ring(epochs=60).fit(rows())
        save_model(path, first.model_)
        begun, fresh = (
            a_ring(epochs=1, settings=settings).fit(rows()).score(rows())
            for settings in ({"ann_path": str(path)}, None)
        )
        assert begun > 0.5 * (first.score(rows()) + fresh)

    @pytest.mark.parametrize(
        ("parameters", "line"),
        [
            ({"epochs": 0}, r"epochs: input should be greater than or equal to 1 \(got 0\)"),
            ({"latent_size": 2.5}, "latent_size: input should be a valid integer"),
            ({"population_size": True}, "population_size: true is not a value of this field"),
            ({"prune_method": "rnadom"}, "prune_method: .*'random'"),
            ({"validation_fraction": 1.0}, "validation_fraction leave no rows to train on"),
            (
                {"prune_method": "lexicase"},
                "gradual raises prune_amount, which lexicase does not use",
            ),
            ({"settings": {"topolgy": "grid"}}, "topolgy: no such field; did you mean topology"),
            ({"settings": {"epochs": 3}}, "settings: epochs is a parameter of its own"),
            ({"settings": {"data": "x.csv"}}, "settings: data means nothing to an estimator"),
            ({"settings": {"rng_seed": 3}}, "settings: rng_seed means nothing to an estimator"),
            ({"settings": {"tournament_size": 0}}, "tournament_size: input should be"),
            (
                {"settings": {"engine": "dense", "device": "cuda"}},
                "engine: dense computes on the CPU",
            ),
            ({"settings": {"ann_path": "/nowhere"}}, "/nowhere: "),
            ({"batch_size": 37}, "batch_size: 37 is more than the 36 rows to train on; give at"),
        ],
    )
    def test_a_mistake_is_told_in_one_line(self, parameters: dict[str, Any], line: str) -> None:
        with pytest.raises(ValueError, match=line) as error:
            a_ring(**parameters).fit(rows())
        assert "\n" not in str(error.value)


def test_divergence_is_told() -> None:
    torch = {"engine": "torch"}
    wild = a_ring(environment=VARIATIONAL, epochs=30, learning_rate=10.0, settings=torch)
    with pytest.raises(DivergenceError, match=r"training diverged: .* lower learning_rate"):
        wild.fit(rows())
    survivor = clone(wild).set_params(settings=torch | {"on_divergence": "skip"}).fit(rows())
    assert np.isfinite(survivor.transform(rows())).all()
    assert survivor.history_["diverged"].any()


def test_codes_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="expected rows of 2 values"):
        a_ring().fit(rows()).inverse_transform(np.zeros((3, 5)))


def test_without_scikit_learn_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("aes_lipi.estimator", "aes_lipi.estimator.autoencoder_ring"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    with pytest.raises(ImportError, match=r"^AutoencoderRing .* pip install 'aes_lipi\[sklearn\]'"):
        _ = aes_lipi.AutoencoderRing
    assert "AutoencoderRing" not in aes_lipi.__all__


def test_columns_are_scaled_as_asked_for() -> None:
    x = np.random.default_rng(0).lognormal(size=(60, 4))
    ring = a_ring(scale="quantile").fit(x)
    assert ring.model_.scaling is not None
    assert ring.model_.scaling.kind == "quantile"
    assert ring.inverse_transform(ring.transform(x)).max() <= x.max()
    with pytest.raises(ValueError, match="scale: power leaves values beyond"):
        a_ring(scale="power", output_activation="sigmoid").fit(x)
    assert (
        a_ring(scale="power").fit(x).model_.architecture.decoder.layers[-1].activation == "linear"
    )
    with pytest.raises(ValueError, match=r"outside \[0, 1\]; scale the columns"):
        a_ring(scale="none").fit(x)


def test_patience_goes_back_to_the_best_generation() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 6))
    settings = {"record_interval": 2}
    ring = AutoencoderRing(
        epochs=200, patience=2, learning_rate=0.1, random_state=0, settings=settings
    ).fit(rows)
    losses = ring.history_.groupby("generation")["validation_loss"].min().dropna()
    assert len(losses) < 100
    best = int(losses.to_numpy().argmin())
    assert best == len(losses) - 1 - 2
    until = AutoencoderRing(
        epochs=2 * best + 1, learning_rate=0.1, random_state=0, settings=settings
    ).fit(rows)
    np.testing.assert_array_equal(ring.model_.pair.encoder.genome, until.model_.pair.encoder.genome)


def test_a_bar_is_shown_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 6))
    AutoencoderRing(epochs=2, random_state=0).fit(rows)
    assert capsys.readouterr() == ("", "")
    AutoencoderRing(epochs=2, random_state=0, verbose=1).fit(rows)
    assert "AutoencoderRing" in capsys.readouterr().err


@pytest.mark.parametrize("make", [lambda table: table, pl.from_pandas], ids=["pandas", "polars"])
def test_tables_with_text_and_missing_values_are_encoded(make: Callable[[Any], Any]) -> None:
    table = penguins()
    ring = a_ring(impute="median", one_hot=True).fit(make(table))
    assert ring.n_features_in_ == 6
    assert ring.model_.columns is not None
    assert ring.model_.columns[:2] == ("species=Adelie", "species=Chinstrap")
    assert np.isfinite(ring.score_samples(make(table))).all()
    assert ring.inverse_transform(ring.transform(make(table))).shape == (150, 10)
    assert np.array_equal(ring.transform(make(table)), ring.model_.encode(table))
    with pytest.raises(ValueError, match=r"columns hold text; in all text in 'species' \(150\), "):
        a_ring(impute="median").fit(make(table))
    with pytest.raises(ValueError, match=r"missing values in 'bill' \(2\), 'sex' \(3\)"):
        a_ring(one_hot=True).fit(make(table))


def test_missing_values_of_an_array_are_filled_in() -> None:
    x = np.random.default_rng(0).normal(size=(40, 5))
    x[::7, 2] = np.nan
    ring = a_ring(impute="constant").fit(x)
    filled = np.where(np.isnan(x), 0, x)
    assert np.array_equal(ring.transform(x), ring.transform(filled))
    assert np.array_equal(ring.transform(x), a_ring().fit(filled).transform(filled))
    with pytest.raises(ValueError, match="NaN"):
        a_ring().fit(x)


def test_a_graph_of_ones_own_is_taken(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("0,1\n1,2\n2,3\n")
    chain = [[1], [0, 2], [1, 3], [2]]
    edges, graph = (
        AutoencoderRing(epochs=2, random_state=0, settings={"topology": "graph", **given})
        for given in ({"edges": str(tmp_path / "edges.csv")}, {"graph": chain})
    )
    codes = [ring.fit_transform(rows()) for ring in (edges, graph)]
    np.testing.assert_array_equal(*codes)
