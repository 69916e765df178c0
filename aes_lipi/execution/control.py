"""The control of a study of one's own data: a plain network for the compute of all other trials."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from aes_lipi.config import OPERATOR_FIELDS, Study, Variant
from aes_lipi.config.variant import METHODS_WITHOUT_AMOUNT
from aes_lipi.data.load import data_key
from aes_lipi.errors import UserError
from aes_lipi.execution.estimate import nominal_seconds
from aes_lipi.execution.inputs import architecture_on_hand

_MOST_TIMES = 20
"""How many times the generations of the study's longest trial a control has at most."""

_PLAIN = {
    **{name: Variant.model_fields[name].default for name in OPERATOR_FIELDS},
    **{"prune_method": "None", "cell_evaluation": "lipi_simple", "final_cell": "first"},
    **{"population_size": 1, "radius": 0, "topology": "ring", "grid_rows": None},
    **{"edges": None, "graph": None},
    **{"update_order": "sequential", "is_control": True, "ann_path": None, "ann_digest": None},
    "name": None,
}
"""What makes a ring a plain network, whatever else is set."""


def with_control(study: Study) -> Study:
    """The study, and one variant more for each data set and width of code: a plain network.

    It has the size that an export has, one cell, no pruning, and as many generations as take
    together about what all other trials of the same data take.

    Raises:
        UserError: the study is of generated data, which have no baselines; leave out --control.
    """
    groups: dict[Hashable, list[Variant]] = {}
    for variant in study.variants:
        if variant.n_dim is not None:
            raise UserError("--control: is for data of your own; give --data, or leave it out")
        if not variant.is_control:
            code = architecture_on_hand(variant).latent_size
            groups.setdefault((data_key(variant), code), []).append(variant)
    controls = {each.id: each for each in map(_control_of, groups.values())}
    known = {variant.id: variant for variant in study.variants} | controls
    return study.with_variants(known.values())


def _control_of(variants: Sequence[Variant]) -> Variant:
    """The control of variants of the same data and width of code: like the smallest of them."""
    smallest = min(variants, key=lambda each: sum(exported_widths(each)))
    widths, code = exported_widths(smallest), architecture_on_hand(smallest).latent_size
    settings = smallest.model_dump() | _PLAIN | {"hidden_sizes": widths}
    if min(widths, default=2 * code) < 2 * code:  # too narrow to start from PCA
        settings["initial_weights"] = "random"
    plain = Variant.model_validate(settings)
    longest = max(each.epochs for each in variants)
    each_s = nominal_seconds(plain) / plain.epochs
    epochs = round(sum(map(nominal_seconds, variants)) / each_s)
    settings["epochs"] = max(1, min(epochs, _MOST_TIMES * longest))
    return Variant.model_validate(settings)


def exported_widths(variant: Variant) -> tuple[int, ...]:
    """Widths of the hidden layers of a variant's compact export, as far as settings tell.

    Raises:
        UserError: the data cannot be had or are unfit.
    """
    widths = architecture_on_hand(variant).encoder.hidden_sizes
    nodes_go = (
        variant.prune_schedule == "gradual"
        and variant.prune_unit != "weight"
        and variant.prune_method not in ("None", *METHODS_WITHOUT_AMOUNT)
    )
    if not nodes_go:
        return tuple(widths)
    return tuple(max(1, width - round(variant.prune_amount * width)) for width in widths)
