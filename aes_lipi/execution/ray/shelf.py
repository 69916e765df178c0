"""What trials start from, in the cluster's object store."""

from __future__ import annotations

from typing import Any

import ray

from aes_lipi.config import Variant
from aes_lipi.config.variant import DATA_FIELDS
from aes_lipi.execution.inputs import inputs_of


class Shelf:
    """References to the variants' inputs: each is put there once, for all trials."""

    def __init__(self) -> None:
        self._references: dict[Variant, Any] = {}

    def reference(self, variant: Variant) -> Any:
        """Reference to a variant's inputs; variants with the same data share them."""
        if variant not in self._references:
            inputs = inputs_of(variant)
            for known, reference in self._references.items():
                if _same_inputs(known, variant):
                    self._references[variant] = reference
                    return reference
            self._references[variant] = ray.put(inputs)
        return self._references[variant]


def _same_inputs(left: Variant, right: Variant) -> bool:
    fields = set(DATA_FIELDS) | {"ann_path", "ann_digest"}
    same_data = left.model_dump(include=fields) == right.model_dump(include=fields)
    return same_data and (left.ann_path is None)
