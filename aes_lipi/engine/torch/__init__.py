"""The engine for every environment, on a CPU or a GPU: many models as one tensor."""

from aes_lipi.engine.torch.engine import TorchEngine
from aes_lipi.engine.torch.memory import free_memory, tasks_that_fit

__all__ = ["TorchEngine", "free_memory", "tasks_that_fit"]
