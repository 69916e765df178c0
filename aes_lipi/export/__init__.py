"""From a study to a model that works elsewhere: chosen, compacted, checked, written, described."""

from aes_lipi.export.card import Exported
from aes_lipi.export.exporting import export, write_model
from aes_lipi.export.formats import FORMATS

__all__ = ["FORMATS", "Exported", "export", "write_model"]
