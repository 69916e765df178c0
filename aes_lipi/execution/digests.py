"""Files that a study starts from, known by their content."""

from __future__ import annotations

from pathlib import Path

from aes_lipi.config import Study, Variant
from aes_lipi.datasets.files import file_digest
from aes_lipi.errors import UserError
from aes_lipi.models.files import model_files, models_digest


def with_digests(study: Study) -> Study:
    """The same study, its variants' data files and saved models told by their content.

    Raises:
        UserError: such a file cannot be read.
    """
    data_digests: dict[str | None, str] = {}
    models_digests: dict[str | None, str] = {}
    for variant in study.variants:
        if variant.data is not None and variant.data not in data_digests:
            data_digests[variant.data] = file_digest(variant.data)
        if variant.ann_path is not None and variant.ann_path not in models_digests:
            models_digests[variant.ann_path] = _digest_of_models(variant.ann_path)
    variants = tuple(
        variant.model_copy(
            update={
                "data_digest": variant.data_digest or data_digests.get(variant.data),
                "ann_digest": variant.ann_digest or models_digests.get(variant.ann_path),
            }
        )
        for variant in study.variants
    )
    return study.model_copy(update={"variants": variants})


def check_unchanged(variant: Variant) -> None:
    """Make sure that a variant still starts from the saved models it was made for.

    Raises:
        UserError: it does not.
    """
    if variant.ann_path is None or variant.ann_digest is None:
        return
    if _digest_of_models(variant.ann_path) != variant.ann_digest:
        raise UserError(
            f"--ann_path {variant.ann_path}: changed since the study began; copy the models to a "
            "folder of their own"
        )


def _digest_of_models(path: str) -> str:
    return models_digest(model_files(Path(path)))
