"""The engine for a GPU: many models as one tensor, trained side by side."""

from aes_lipi.engine.batched.engine import BatchedEngine
from aes_lipi.engine.batched.memory import models_that_fit

__all__ = ["BatchedEngine", "models_that_fit"]
