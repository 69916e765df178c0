"""Files that a study starts from, known by their content."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from aes_lipi.config import Study, Variant
from aes_lipi.data.load import data_key
from aes_lipi.data.plugged import data_digest
from aes_lipi.errors import UserError
from aes_lipi.extension import check_same_plugins, plugins_digest
from aes_lipi.models.files import model_files, models_digest


def with_digests(study: Study) -> Study:
    """The same study, its variants' data files, saved models and plug-ins told by their content.

    Where data files are is told from the root, so that they are found from any folder.

    Raises:
        UserError: such a file cannot be read, or a plug-in cannot be imported or breaks a rule.
    """
    data: dict[Hashable, str | None] = {}
    models: dict[str, str] = {}
    variants = []
    for variant in study.variants:
        key, path = data_key(variant), variant.ann_path
        if key not in data:
            data[key] = variant.data_digest or data_digest(variant)
        if path is not None and path not in models:
            models[path] = variant.ann_digest or _digest_of_models(path)
        digests = {
            "data": variant.data and str(Path(variant.data).absolute()),
            "data_digest": data[key],
            "ann_digest": None if path is None else models[path],
            "plugins_digest": variant.plugins_digest or plugins_digest(variant),
        }
        variants.append(variant.model_copy(update=digests))
    return study.model_copy(update={"variants": tuple(variants)})


def check_unchanged(variant: Variant) -> None:
    """Make sure that a variant still has the plug-ins and the saved models it was made for.

    Raises:
        UserError: a file or a plug-in has changed since the study began; undo that, or give
            another --output_dir.
    """
    check_same_plugins(variant)
    if variant.ann_path is None or variant.ann_digest is None:
        return
    if _digest_of_models(variant.ann_path) != variant.ann_digest:
        raise UserError(
            f"--ann_path {variant.ann_path}: changed since the study began; copy the models to a "
            "folder of their own"
        )


def _digest_of_models(path: str) -> str:
    return models_digest(model_files(Path(path)))
