"""A page from a template of this folder and what it shows."""

from __future__ import annotations

from typing import Any


def render(template: str, **content: Any) -> str:
    """A page.

    Args:
        template: a file of this folder.
        content: what it shows; in HTML text is escaped, and drawings are marked as safe by the
            template.

    Returns:
        HTML or Markdown, as the template's name says.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - rarely needed

    environment = Environment(
        loader=PackageLoader("aes_lipi", "templates"),
        autoescape=lambda name: name is None or ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**content)
