"""The ring as a detector of outliers: where it draws the line, and what it finds."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.sparse import csr_array
from sklearn.base import is_outlier_detector
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

import aes_lipi
from aes_lipi import AutoencoderRing
from aes_lipi.data.dataset import DataPurpose, data_stream
from aes_lipi.estimator.autoencoder_ring import _typical_errors
from aes_lipi.models import percentiles, save_model

Matrix = npt.NDArray[np.float64]


def rows() -> Matrix:
    rng = np.random.default_rng(3)
    near: Matrix = rng.normal(size=(60, 2)) @ rng.normal(size=(2, 6))
    return 100 * (near + 0.01 * rng.standard_t(2, size=near.shape)) - 7


def a_ring(**parameters: Any) -> AutoencoderRing:
    return AutoencoderRing(epochs=3, random_state=0, **parameters)


def by_hand(ring: AutoencoderRing, x: Matrix) -> Matrix:
    """Minus the mean error of each row, every column by its mean error over the rows of `fit`."""
    order = data_stream(0, DataPurpose.FILE_SPLIT).permutation(len(x))
    train = x[order[: len(x) - round(0.1 * len(x))]]
    low, high = train.min(axis=0), train.max(axis=0)
    made = ring.inverse_transform(ring.transform(x))
    errors = np.abs((x - made) / (high - low))
    scores: Matrix = -(errors / errors.mean(axis=0)).mean(axis=1)
    assert scores.mean() == pytest.approx(-1)
    return scores


def test_the_offset_of_a_share_leaves_that_share_below() -> None:
    x = rows()
    ring = a_ring(contamination=0.15)
    found = ring.fit_predict(x)
    scores = by_hand(ring, x)
    np.testing.assert_allclose(ring.score_samples(x), scores, rtol=1e-4)
    assert ring.offset_ == pytest.approx(np.percentile(scores, 15), rel=1e-4)
    assert (found == -1).sum() == 9
    assert set(np.argsort(scores)[:9]) == set(np.flatnonzero(found == -1))
    np.testing.assert_allclose(ring.decision_function(x), scores - ring.offset_, atol=1e-6)
    assert is_outlier_detector(ring)


def test_the_offset_of_auto_is_the_fence_of_a_box_plot() -> None:
    x = rows()
    ring = a_ring().fit(x)
    first, third = np.percentile(-by_hand(ring, x), [25, 75])
    assert -ring.offset_ == pytest.approx(third + 1.5 * (third - first), rel=1e-4)
    assert list(ring.predict(x)) == [-1 if s < ring.offset_ else 1 for s in ring.score_samples(x)]


@pytest.mark.parametrize("contamination", [0, 0.6, -0.1, math.nan, "some", None, True, [0.1]])
def test_a_contamination_that_is_no_share_is_refused(contamination: Any) -> None:
    with pytest.raises(ValueError, match=r"contamination: .* neither 'auto' nor a share"):
        a_ring(contamination=contamination).fit(rows())


def test_the_model_keeps_the_quantiles_of_training_scores(tmp_path: Path) -> None:
    x = rows()
    order = data_stream(0, DataPurpose.FILE_SPLIT).permutation(len(x))
    for compact in (False, True):
        ring = a_ring(compact=compact, prune_method="magnitude", prune_unit="node").fit(x)
        save_model(tmp_path / "ring.safetensors", ring.model_)
        kept = aes_lipi.load_model(tmp_path / "ring.safetensors").score_quantiles
        assert kept == ring.model_.score_quantiles
        expected = np.quantile(ring.model_.score(x[order[:54]]), np.linspace(0, 1, 101))
        assert kept == pytest.approx(expected.tolist(), rel=1e-4)


def test_scores_that_are_not_finite_have_no_percentiles() -> None:
    assert percentiles(np.array([0.1, np.nan], np.float32)) is None
    assert percentiles(np.array([0.1, np.inf], np.float32)) is None
    told = percentiles(np.array([0.25, 0.75], np.float32))
    assert told is not None
    assert told[:2] == (0.25, 0.255)
    assert len(told) == 101


def test_malignant_samples_are_outliers_among_benign_ones() -> None:
    """Trained on 250 benign samples of 30 columns; 107 benign and 212 malignant are held out."""
    data = load_breast_cancer()
    benign, malignant = data.data[data.target == 1], data.data[data.target == 0]
    benign = benign[np.random.default_rng(0).permutation(len(benign))]
    ring = AutoencoderRing(random_state=0).fit(benign[:250])
    held_out = np.concatenate([benign[250:], malignant])
    is_malignant = np.repeat([0, 1], [len(benign) - 250, len(malignant)])
    assert roc_auc_score(is_malignant, -ring.decision_function(held_out)) > 0.85
    found = ring.predict(held_out) == -1
    assert found[is_malignant == 0].mean() < 0.2
    assert found[is_malignant == 1].mean() > 0.6
    errors = ring.model_.errors(held_out)
    assert errors.shape == held_out.shape
    by_typical = (errors / ring.typical_errors_).mean(axis=1)
    np.testing.assert_allclose(by_typical, -ring.score_samples(held_out), rtol=1e-6)


def test_an_error_is_typical_from_a_hundredth_of_the_mean_on() -> None:
    exact: Any = SimpleNamespace(errors=lambda rows: np.asarray(rows, np.float32))
    errors = np.array([[1.0, 0.0, 3.0], [3.0, 0.0, 5.0]])
    assert _typical_errors(exact, errors).tolist() == [2.0, 0.02, 4.0]
    assert _typical_errors(exact, csr_array(errors)).tolist() == [2.0, 0.02, 4.0]
    assert _typical_errors(exact, 0 * errors).tolist() == [1.0, 1.0, 1.0]
