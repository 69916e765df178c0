"""Every test computes with one thread, as every trial does."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
