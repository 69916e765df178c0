"""Configuration: frozen, validated values. A study is variants, a variant is settings."""

from aes_lipi.config.defaults import SEPARATORS
from aes_lipi.config.labels import label_variants, told_apart, value_label
from aes_lipi.config.presets import (
    Configuration,
    describe,
    expanded,
    list_presets,
    load_configuration,
    load_preset,
    load_study_file,
    presets_directory,
    resolve_study,
)
from aes_lipi.config.study import (
    NEVER,
    WHOLE,
    CheckpointInterval,
    Study,
    StudyFile,
    StudyPart,
    parse_interval,
    parse_seconds,
)
from aes_lipi.config.variant import (
    BUILT_IN,
    DATA_FIELDS,
    ID_FORMAT,
    OF_SPACE,
    OPERATOR_FIELDS,
    Scale,
    Variant,
    scale_range,
)

__all__ = [
    "BUILT_IN",
    "DATA_FIELDS",
    "ID_FORMAT",
    "NEVER",
    "OF_SPACE",
    "OPERATOR_FIELDS",
    "SEPARATORS",
    "WHOLE",
    "CheckpointInterval",
    "Configuration",
    "Scale",
    "Study",
    "StudyFile",
    "StudyPart",
    "Variant",
    "describe",
    "expanded",
    "label_variants",
    "list_presets",
    "load_configuration",
    "load_preset",
    "load_study_file",
    "parse_interval",
    "parse_seconds",
    "presets_directory",
    "resolve_study",
    "scale_range",
    "told_apart",
    "value_label",
]
