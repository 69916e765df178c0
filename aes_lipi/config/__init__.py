"""Configuration: frozen, validated values. A study is variants, a variant is settings."""

from aes_lipi.config.defaults import SEPARATORS
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
    LABELLED_BY_VALUE,
    NEVER,
    WHOLE,
    CheckpointInterval,
    Study,
    StudyFile,
    StudyPart,
    parse_interval,
    value_label,
)
from aes_lipi.config.variant import (
    BUILT_IN,
    DATA_FIELDS,
    ID_FORMAT,
    OPERATOR_FIELDS,
    Scale,
    Variant,
    scale_range,
)

__all__ = [
    "BUILT_IN",
    "DATA_FIELDS",
    "ID_FORMAT",
    "LABELLED_BY_VALUE",
    "NEVER",
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
    "list_presets",
    "load_configuration",
    "load_preset",
    "load_study_file",
    "parse_interval",
    "presets_directory",
    "resolve_study",
    "scale_range",
    "value_label",
]
