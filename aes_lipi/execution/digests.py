"""Files that a study starts from, known by their content."""

from __future__ import annotations

from pathlib import Path

from aes_lipi.config import Study, Variant
from aes_lipi.data.files import file_digest
from aes_lipi.data.plugged import Recipe, content_digest, made
from aes_lipi.errors import UserError
from aes_lipi.extension.digest import check_same_plugins, plugins_digest
from aes_lipi.models.files import model_files, models_digest


def with_digests(study: Study) -> Study:
    """The same study, its variants' data files, saved models and plug-ins told by their content.

    Where data files are is told from the root, so that they are found from any folder.

    Raises:
        UserError: such a file cannot be read, or a plug-in cannot be imported or breaks a rule.
    """
    data_digests: dict[str | Recipe | None, str | None] = {None: None}
    models_digests: dict[str | None, str] = {}
    for variant in study.variants:
        if _data_of(variant) not in data_digests:
            data_digests[_data_of(variant)] = _digest_of_data(_data_of(variant))
        if variant.ann_path is not None and variant.ann_path not in models_digests:
            models_digests[variant.ann_path] = _digest_of_models(variant.ann_path)
    variants = tuple(
        variant.model_copy(
            update={
                "data": variant.data and str(Path(variant.data).absolute()),
                "data_digest": variant.data_digest or data_digests[_data_of(variant)],
                "ann_digest": variant.ann_digest or models_digests.get(variant.ann_path),
                "plugins_digest": variant.plugins_digest or plugins_digest(variant),
            }
        )
        for variant in study.variants
    )
    return study.model_copy(update={"variants": variants})


def check_unchanged(variant: Variant) -> None:
    """Make sure that a variant still has the plug-ins and the saved models it was made for.

    Raises:
        UserError: it does not.
    """
    check_same_plugins(variant)
    if variant.ann_path is None or variant.ann_digest is None:
        return
    if _digest_of_models(variant.ann_path) != variant.ann_digest:
        raise UserError(
            f"--ann_path {variant.ann_path}: changed since the study began; copy the models to a "
            "folder of their own"
        )


def _data_of(variant: Variant) -> str | Recipe | None:
    """Where a variant's data come from: a file, a user's function, or neither."""
    return Recipe.of(variant) if "dataset_name" in variant.added else variant.data


def _digest_of_data(data: str | Recipe | None) -> str | None:
    if isinstance(data, Recipe):
        return content_digest(made(data))
    return None if data is None else file_digest(data)


def _digest_of_models(path: str) -> str:
    return models_digest(model_files(Path(path)))
