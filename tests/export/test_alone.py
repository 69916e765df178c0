"""Exported files where this package is not: the lines of the card compute what the model does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from helpers import random_pair
from patience import PATIENCE_S

from aes_lipi.autoencoders.environments import ENVIRONMENTS, Environment, build_architecture
from aes_lipi.config import Scale
from aes_lipi.config.variant import HiddenActivation
from aes_lipi.data.fitting import learn_scaling
from aes_lipi.data.scaling import Scaling
from aes_lipi.data.source import array_source
from aes_lipi.export import FORMATS, Exported
from aes_lipi.export.onnx import onnx_package
from aes_lipi.export.package import Package
from aes_lipi.models import Model, read_model, save_model

Rows = npt.NDArray[np.floating]

ALONE = """\
import sys
from pathlib import Path
sys.modules["aes_lipi"] = None  # cannot be imported
import os
import numpy as np
for folder in sorted(path.resolve() for path in Path(".").iterdir() if path.is_dir()):
    os.chdir(folder)
    rows = np.load("rows.npy")
    usage = Path("usage.py").read_text()
    if "import torch" in usage:
        import torch
        rows = torch.from_numpy(rows)
    names = {"rows": rows}
    exec(usage, names)
    found = names["reconstruction"]
    np.save("found.npy", np.asarray(found.detach() if "import torch" in usage else found))
    if "score" in names:
        score = names["score"]
        np.save("score.npy", np.asarray(score.detach() if "import torch" in usage else score))
"""

HARD = Scaling(
    "minmax", np.array([12345.678, 1.7e9, 0.0]), np.array([12345.678, 1.7e9 + 86_400, 1e-30])
)


PACKS: Mapping[str, Callable[[Model], Package]] = {
    **FORMATS,
    "onnx": partial(onnx_package, input_dtype="float64"),
}
"""All formats, in which rows keep the digits that they have here."""


def untrained(environment: str | Environment, scaling: Scaling | None = None) -> Model:
    n_dim = 7 if scaling is None else len(scaling.low)
    kind = ENVIRONMENTS[environment] if isinstance(environment, str) else environment
    architecture = build_architecture(kind, n_dim, (4,), 3)
    model = Model(architecture, random_pair(architecture, 0), scaling=scaling)
    genome = model.pair.encoder.genome
    architecture.encoder.weight(genome, 0)[1] = 0  # a node that compaction takes out
    return model


def pruned_to_nothing() -> Model:
    model = untrained("AutoencoderBinaryClustering_Large")
    for network in (model.pair.encoder, model.pair.decoder):
        network.genome[:] = 0
    return model


def scaled(kind: Scale) -> tuple[Model, Rows]:
    """A model that scales columns of several kinds, and rows of which some lie beyond."""
    rng = np.random.default_rng(7)
    columns: list[Rows] = [
        rng.normal(size=200),
        1e3 * rng.lognormal(size=200),
        -rng.exponential(size=200),
    ]
    columns += [
        rng.integers(0, 2, 200) * 1.0,
        np.full(200, 0.1),
        1.7e9 + rng.integers(0, 86_400, 200),
    ]
    columns.append(np.maximum(columns[0], 0))
    rows = np.column_stack(columns)
    scaling = learn_scaling(array_source("'x'", rows[:150]), kind=kind)
    return untrained("AutoencoderBinaryClustering_Large", scaling), rows


def cases(study: Path, table: Path) -> Iterator[tuple[str, Model, Rows]]:
    """What is exported, and rows to reconstruct."""
    trained = read_model(next((study / "models").rglob("*.safetensors")))
    rows = pd.read_parquet(table).to_numpy(np.float64)
    yield "trained", trained.for_use(), rows
    yield "trained, compact", trained.compacted(), rows
    bits = np.random.default_rng(0).random((9, 7), dtype=np.float32)
    for environment in (
        *("AutoencoderBinaryClustering_Large", "VariationalAutoencoderBinaryClustering"),
        "LinearCodeAutoencoder",
    ):
        yield environment, untrained(environment).compacted(), bits
    for hidden in get_args(HiddenActivation):
        kind = Environment(hidden_activation=hidden, output_activation="linear", loss="mse")
        yield hidden, untrained(kind).compacted(), bits
        yield f"{hidden}, linear code", untrained(replace(kind, linear_code=True)).for_use(), bits
    yield "nothing", pruned_to_nothing().compacted(), bits
    shares = np.random.default_rng(1).random((9, 3))
    hard = untrained("AutoencoderBinaryClustering_Large", HARD)
    for scale in get_args(Scale):
        model, rows = scaled(scale)
        yield scale, model.for_use(), rows
    yield "hard", hard.for_use(), HARD.low + (HARD.high - HARD.low) * shares


@pytest.mark.parametrize("name", PACKS)
def test_files_work_without_this_package(
    name: str, study: Path, table: Path, tmp_path: Path
) -> None:
    expected: dict[str, tuple[Model, Rows]] = {}
    for case, model, rows in cases(study, table):
        (tmp_path / case).mkdir()
        package = PACKS[name](model)
        for file, content in package.files.items():
            (tmp_path / case / file).write_bytes(content)
        (tmp_path / case / "usage.py").write_text(package.usage)
        wide = name == "onnx"
        np.save(tmp_path / case / "rows.npy", rows.astype(np.float64) if wide else rows)
        expected[case] = (model, rows)
    subprocess.run([sys.executable, "-c", ALONE], cwd=tmp_path, check=True, timeout=PATIENCE_S)
    assert len(expected) == 20
    for case, (model, rows) in expected.items():
        span = np.where(np.ptp(rows, axis=0) > 0, np.ptp(rows, axis=0), np.abs(rows).max() + 1)
        apart = np.abs(np.load(tmp_path / case / "found.npy") - model.reconstruct(rows)) / span
        assert apart.max() < 1e-5, case
        if (score := tmp_path / case / "score.npy").exists():
            np.testing.assert_allclose(np.load(score), model.score(rows), rtol=1e-4, err_msg=case)
    assert all((tmp_path / case / "score.npy").exists() for case in ("minmax", "hard"))
    assert (np.load(tmp_path / "nothing" / "found.npy") == 0.5).all()


@pytest.mark.parametrize("kind", get_args(Scale))
@pytest.mark.parametrize("name", PACKS)
def test_a_scaling_is_part_of_every_export(name: str, kind: Scale, tmp_path: Path) -> None:
    model, rows = scaled(kind)
    package = PACKS[name](model)
    assert model.scaling is not None
    reconstruction = model.reconstruct(rows)
    assert ((reconstruction >= model.scaling.low) | (kind in {"standard", "robust"})).all()
    span = np.where(np.ptp(rows, axis=0) > 0, np.ptp(rows, axis=0), 1.0)
    assert np.abs((package.reconstruct(rows) - reconstruction) / span).max() < 1e-6
    score, code = model.score(rows), model.encode(rows)
    np.testing.assert_allclose(package.score(rows), score, rtol=1e-5)
    np.testing.assert_allclose(package.encode(rows), code, rtol=1e-5, atol=1e-6)
    save_model(tmp_path / "m.safetensors", model)
    again = read_model(tmp_path / "m.safetensors")
    assert np.array_equal(again.reconstruct(rows), reconstruction)
    narrow = rows.copy()
    narrow[:, 4] = rows[:, 4].astype(np.float32)  # a constant, which that is no change of
    np.testing.assert_array_equal(model.score(narrow), score)
    np.testing.assert_allclose(package.score(narrow), score, rtol=1e-5)
    assert again.scaling is not None
    assert again.scaling.kind == kind


def test_the_card_has_these_lines(exports: Mapping[str, Exported]) -> None:
    for done in exports.values():
        card = (Path(done.folder) / "MODEL_CARD.md").read_text(encoding="utf-8")
        usage = card.split("```python\n")[1].split("```")[0]
        assert usage.strip() == done.package.usage.strip()
