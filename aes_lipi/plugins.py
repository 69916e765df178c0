"""What plug-ins are made of: pruning operators, schedules, environments, losses and data sets."""

from __future__ import annotations

from aes_lipi.autoencoders.environments import Environment
from aes_lipi.autoencoders.network import ActivationStatistics, Layer, NetworkLayout
from aes_lipi.data.dataset import Dataset
from aes_lipi.pruning.contract import Evidence, Operator, Settings, keep_nodes
from aes_lipi.pruning.schedules import Moment

__all__ = [
    "ActivationStatistics",
    "Dataset",
    "Environment",
    "Evidence",
    "Layer",
    "Moment",
    "NetworkLayout",
    "Operator",
    "Settings",
    "keep_nodes",
]
