"""What users add to the built-in choices: found, imported, typed, and held to the rules."""

from aes_lipi.extension.loading import (
    Kind,
    Plugin,
    called,
    check_same_plugins,
    load,
    plugins_digest,
    settled,
)

__all__ = [
    "Kind",
    "Plugin",
    "called",
    "check_same_plugins",
    "load",
    "plugins_digest",
    "settled",
]
