"""Pages: one file each, of HTML with everything in it that needs no network, or of Markdown."""

from aes_lipi.templates.rendering import render

__all__ = ["render"]
