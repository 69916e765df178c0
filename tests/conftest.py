"""Every test computes with one thread, as every trial does, and finds no cluster of others."""

from __future__ import annotations

import os
import tempfile

import torch
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # machines that run the tests are shared
settings.load_profile("untimed")

torch.set_num_threads(1)

os.environ.pop("RAY_ADDRESS", None)
os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="no-ray-")  # where a running Ray is looked for
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
