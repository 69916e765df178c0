"""Models: trained pairs in files, and used without torch."""

from aes_lipi.models.files import load_model, load_pairs, model_bytes, save_model
from aes_lipi.models.model import Model, describe_layers

__all__ = ["Model", "describe_layers", "load_model", "load_pairs", "model_bytes", "save_model"]
