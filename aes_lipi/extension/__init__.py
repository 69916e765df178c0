"""What users add to the built-in choices: found, imported, and held to the rules."""

from aes_lipi.extension.guard import called, same_state, settled
from aes_lipi.extension.loading import Kind, Plugin, check_same_plugins, load, plugins_digest

__all__ = [
    "Kind",
    "Plugin",
    "called",
    "check_same_plugins",
    "load",
    "plugins_digest",
    "same_state",
    "settled",
]
