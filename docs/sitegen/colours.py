"""The colours of pictures: one set for light pages, one for dark ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Colours:
    """Of one kind of page.

    Attributes:
        ink: text and lines.
        soft: what stands back.
        tint: a fill that text is readable on.
        paper: the ground.
        series: four colours that colour-blind readers can tell apart.
    """

    ink: str
    soft: str
    tint: str
    paper: str
    series: tuple[str, str, str, str]

    def settings(self) -> dict[str, str]:
        """Settings of matplotlib for axes in these colours."""
        names = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
        return {**dict.fromkeys(names, self.ink), "svg.fonttype": "path"}


SCHEMES: Mapping[str, Colours] = {
    "light": Colours(
        "#1b1f24", "#9aa4af", "#cfe3f5", "#ffffff", ("#0072b2", "#00794f", "#b3267a", "#b35900")
    ),
    "dark": Colours(
        "#e6e8eb", "#6f7986", "#1f4460", "#14181e", ("#5cb8f0", "#3fc99a", "#f08cc4", "#f5a353")
    ),
}
"""Of the kinds of pages that there are."""
