"""The engine for a GPU: many models as one tensor, trained side by side."""

from aes_lipi.engine.torch.engine import BatchedEngine
from aes_lipi.engine.torch.memory import free_memory, tasks_that_fit

__all__ = ["BatchedEngine", "free_memory", "tasks_that_fit"]
