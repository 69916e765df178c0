"""Models: trained pairs in files, and used without torch."""

from aes_lipi.models.files import (
    Place,
    load_pairs,
    load_recorded,
    model_bytes,
    models_digest,
    read_model,
    save_model,
)
from aes_lipi.models.model import Compaction, Ensemble, Model, describe_layers, percentiles

__all__ = [
    "Compaction",
    "Ensemble",
    "Model",
    "Place",
    "describe_layers",
    "load_pairs",
    "load_recorded",
    "model_bytes",
    "models_digest",
    "percentiles",
    "read_model",
    "save_model",
]
