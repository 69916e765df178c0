"""Settings at the edge of what is allowed: refused in one line, or meant as they are written."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from aes_lipi.coevolution.cell import tournament
from aes_lipi.config import StudyFile, Variant, load_study_file, resolve_study
from aes_lipi.errors import UserError
from aes_lipi.pruning.schedules import prune_probability


def test_path_of_saved_models_may_hold_commas() -> None:
    study = resolve_study("q", StudyFile(), {"ann_path": "/a,b/m.safetensors"})
    assert [v.ann_path for v in study.variants] == ["/a,b/m.safetensors"]


def test_nan_loses_to_infinity() -> None:
    assert tournament(np.array([math.inf, math.nan]), (0, 1)) == 0


def test_final_n_begins_at_its_share_exactly() -> None:
    v = Variant(prune_method="random", prune_schedule="final_n", final_n_start=0.07, epochs=101)
    assert prune_probability(v, 7, 3) == 0.5  # 7 >= 0.07 * 100


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("settings: {epochs: 3, epochs: 4}")
    with pytest.raises(UserError, match="'epochs' stands twice"):
        load_study_file(path)


def test_a_study_of_endless_variants_is_refused() -> None:
    sweeps = {"rng_seed": list(range(200)), "dataset_seed": list(range(200))}
    with pytest.raises(UserError, match="more than 10000 variants"):
        resolve_study("x", StudyFile(settings=sweeps), {})
