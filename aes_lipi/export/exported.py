"""What an export came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aes_lipi.export.checks import Sample
from aes_lipi.export.choice import Choice
from aes_lipi.export.formats import Package
from aes_lipi.export.measures import Cost
from aes_lipi.models import Model

CARD = "MODEL_CARD.md"


@dataclass(frozen=True)
class Exported:
    """What was exported.

    Attributes:
        choice: which trained pair.
        model: as it was exported.
        package: in its format.
        before: cost of the trained model.
        after: cost of the exported one.
        difference: of their reconstructions, at most; see `checks.largest_difference`.
        rows: that they were compared on.
        folder: where the files are.
    """

    choice: Choice
    model: Model
    package: Package
    before: Cost
    after: Cost
    difference: float
    rows: Sample
    folder: Path

    @property
    def files(self) -> list[Path]:
        """All files that were written, the model card last."""
        return [self.folder / name for name in (*self.package.files, CARD)]
