"""A page from a template of this folder and what it shows."""

from __future__ import annotations

from typing import Any

from aes_lipi.templates.escaping import markdown


def render(template: str, **content: Any) -> str:
    """A page.

    Args:
        template: a file of this folder.
        content: what it shows; text is escaped, in HTML and in Markdown, but for drawings, which
            the template marks as safe, and what is `Marked`.

    Returns:
        HTML or Markdown, as the template's name says.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - rarely needed

    environment = Environment(
        loader=PackageLoader("aes_lipi", "templates"),
        autoescape=lambda name: name is None or ".html" in name,
        finalize=None if ".html" in template else markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**content)
