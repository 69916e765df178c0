"""Without torch: what needs it says so in one line, and nothing else is computed instead."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers import random_pair, tiny_study, tiny_variant
from studies import contents, run_study, without_timing

from aes_lipi.config import Variant
from aes_lipi.engine.auto import check_engine, choose_engine, engine_name
from aes_lipi.errors import UserError
from aes_lipi.execution import endings
from aes_lipi.execution.inputs import architecture_on_hand
from aes_lipi.export.formats import FORMATS
from aes_lipi.models import Model
from aes_lipi.optional import installed_version, is_installed
from aes_lipi.results import checkpoint
from aes_lipi.results.reading import load_results

LARGE = {"batch_size": 300, "hidden_sizes": [512, 30]}
VARIATIONAL = {"environment": "VariationalAutoencoderBinaryClustering", "loss": "l1"}


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [each for each in sys.modules if each.startswith("aes_lipi.engine.torch")]:
        monkeypatch.delitem(sys.modules, name)
    for module in (endings, checkpoint):
        monkeypatch.setattr(module, "installed_version", _version_but_of_torch)


def _version_but_of_torch(package: str) -> str | None:
    return None if package == "torch" else installed_version(package)


@pytest.mark.usefixtures("without_torch")
@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({"engine": "torch"}, r"^--engine torch needs torch, which is not installed; pip"),
        ({"device": "cuda"}, r"^--device cuda needs torch, .*\[torch\]'$"),
        (
            VARIATIONAL,
            r"^--engine auto, for Variational\w+ with loss l1, .*\[torch\]'$",
        ),
        (
            LARGE,
            r"^--engine auto, for layers .*\[torch\]', or give --engine dense, which",
        ),
    ],
)
def test_what_torch_would_compute_is_refused(settings: dict[str, Any], asked: str) -> None:
    variant = Variant.model_validate({"dataset_name": "2_300_8"} | settings)
    architecture = architecture_on_hand(variant)
    assert engine_name(variant, architecture) == "torch"
    with pytest.raises(UserError, match=asked):
        check_engine(variant, architecture)


@pytest.mark.usefixtures("without_torch")
def test_no_engine_is_made_of_what_is_missing() -> None:
    variant = tiny_variant(engine="torch")
    with pytest.raises(UserError, match="--engine torch needs torch"):
        choose_engine(variant, architecture_on_hand(variant), None)  # type: ignore[arg-type]


@pytest.mark.usefixtures("without_torch")
def test_no_export_to_torch() -> None:
    architecture = architecture_on_hand(tiny_variant())
    with pytest.raises(UserError, match=r"^--format torch needs torch, .* 'aes_lipi\[torch\]'$"):
        FORMATS["torch"](Model(architecture, random_pair(architecture, 1)))


def test_a_study_without_torch_has_the_same_bits(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    study = tiny_study(trials=1, engine="auto")
    run_study(study, tmp_path / "with")
    request.getfixturevalue("without_torch")
    run_study(study, tmp_path / "without")
    ours, theirs = (load_results(tmp_path / each).trials for each in ("with", "without"))
    assert ours["torch_version"].notna().all()
    assert theirs["torch_version"].isna().all()
    one, other = (without_timing(each).drop(columns="torch_version") for each in (ours, theirs))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    models = contents(tmp_path / "with", "models")
    assert len(models) == 1
    assert models == contents(tmp_path / "without", "models")


def test_whether_it_is_there_is_known_without_importing_it() -> None:
    assert is_installed("json")
    assert not is_installed("no_such_module")
    assert installed_version("numpy")
    assert installed_version("no-such-package") is None
