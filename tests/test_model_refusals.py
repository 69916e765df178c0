"""Model files that do not hold together are refused."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import random_pair
from safetensors import safe_open
from safetensors.numpy import save_file

from aes_lipi.autoencoders.environments import ENVIRONMENTS, build_architecture
from aes_lipi.errors import UserError
from aes_lipi.models import Model, load_pairs, read_model, save_model
from aes_lipi.models.files import METADATA_KEY, sealed


def rewritten(tmp_path: Path, change: Any) -> Path:
    a = build_architecture(ENVIRONMENTS["AutoencoderBinaryClustering"], 4, (3,), 2)
    p = tmp_path / "m.safetensors"
    save_model(p, Model(a, random_pair(a, 0)))
    with safe_open(p, "np") as f:
        t = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 - not a mapping
        d = json.loads(f.metadata()[METADATA_KEY])
    change(t, d)
    save_file(t, p, metadata={METADATA_KEY: json.dumps(d)})
    p.write_bytes(sealed(p.read_bytes()))
    return p


def layer(description: Any, k: int) -> Any:
    return description["architecture"]["encoder"]["layers"][k]


CHANGES: dict[str, Any] = {
    "n_pruned scalar": lambda t, d: t.update({"encoder.n_pruned": np.array(3)}),
    "n_pruned empty": lambda t, d: t.update({"encoder.n_pruned": np.zeros(0, np.int64)}),
    "n_pruned inf": lambda t, d: t.update({"encoder.n_pruned": np.array([np.inf])}),
    "n_others inf": lambda t, d: d.update(n_others=math.inf),
    "n_others negative": lambda t, d: d.update(n_others=-5),
    "mask of NaN": lambda t, d: t.update({"encoder.mask": np.full(23, np.nan)}),
    "provenance a list": lambda t, d: d.update(provenance=[1]),
    "reads beyond": lambda t, d: layer(d, 1).update(reads=7),
    "reads itself": lambda t, d: layer(d, 0).update(reads=0),
    "activation unknown": lambda t, d: layer(d, 0).update(activation="boo"),
    "loss unknown": lambda t, d: d["architecture"].update(loss="zzz"),
    "variational untrue": lambda t, d: d["architecture"].update(variational=True),
    "too few quantiles": lambda t, d: d.update(score_quantiles=[0.5] * 100),
    "too many quantiles": lambda t, d: d.update(score_quantiles=[0.5] * 102),
    "quantiles that fall": lambda t, d: d.update(score_quantiles=[0.5] * 100 + [0.4]),
    "quantile below 0": lambda t, d: d.update(score_quantiles=[-0.1] + [0.4] * 100),
    "quantile NaN": lambda t, d: d.update(score_quantiles=[math.nan] * 101),
    "quantile of text": lambda t, d: d.update(score_quantiles=["0.1"] * 101),
    "float width": lambda t, d: layer(d, 1).update(n_out=2.0),
}


def test_quantiles_of_scores_are_read_or_missing(tmp_path: Path) -> None:
    """Files of earlier versions have none."""
    assert read_model(rewritten(tmp_path, lambda t, d: None)).score_quantiles is None
    rising = [k / 100 for k in range(101)]
    path = rewritten(tmp_path, lambda t, d: d.update(score_quantiles=rising))
    assert read_model(path).score_quantiles == tuple(rising)


@pytest.mark.parametrize("name", CHANGES)
def test_model_that_does_not_hold_together_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        read_model(rewritten(tmp_path, CHANGES[name]))


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F4"])
def test_tensor_of_a_type_that_numpy_lacks_is_refused(dtype: str, tmp_path: Path) -> None:
    p = rewritten(tmp_path, lambda t, d: None)
    b = p.read_bytes()
    n = struct.unpack("<Q", b[:8])[0]
    h = json.loads(b[8 : 8 + n])
    h["encoder.latent.weight"].update(dtype=dtype, shape=[48 if dtype == "F4" else 24])
    hb = json.dumps(h).encode()
    p.write_bytes(struct.pack("<Q", len(hb)) + hb + b[8 + n :])
    with pytest.raises(UserError):
        read_model(p)


def test_refusal_of_a_variational_warm_start_tells_the_difference(tmp_path: Path) -> None:
    names = ("AutoencoderBinaryClustering", "VariationalAutoencoderBinaryClustering")
    a, v = (build_architecture(ENVIRONMENTS[name], 4, (3,), 2) for name in names)
    p = tmp_path / "m.safetensors"
    save_model(p, Model(v, random_pair(v, 0)))
    with pytest.raises(UserError) as caught:
        load_pairs([p], a)
    theirs, ours = str(caught.value).split("layers are ")[1].split(", the study's ")
    assert theirs != ours.split(";")[0]
