"""The command line: the only part that prints."""

from aes_lipi.cli.entry import main

__all__ = ["main"]
