"""Configuration: frozen, validated values. A study is variants, a variant is settings."""

from aes_lipi.config.presets import list_presets, load_preset, load_study_file
from aes_lipi.config.study import Study, StudyFile, resolve_study
from aes_lipi.config.variant import Variant

__all__ = [
    "Study",
    "StudyFile",
    "Variant",
    "list_presets",
    "load_preset",
    "load_study_file",
    "resolve_study",
]
