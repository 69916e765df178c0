"""Which of a study's trained pairs is exported."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from aes_lipi.analysis.baselines import is_control
from aes_lipi.analysis.pareto import (
    Size,
    Tradeoff,
    best_first,
    by_data,
    knee,
    loss_column,
    read_candidates,
    shared_loss,
    tradeoffs,
)
from aes_lipi.coevolution.records import pareto_front
from aes_lipi.errors import UserError
from aes_lipi.export.targets import Target
from aes_lipi.models import Model, Place, load_recorded, read_model
from aes_lipi.models.files import load_content
from aes_lipi.results.answers import was_chosen_on_test
from aes_lipi.results.object_storage import open_storage
from aes_lipi.results.reading import load_results
from aes_lipi.results.storage import place_of
from aes_lipi.results.trial_files import MODELS, TrialId, handed_on


@dataclass(frozen=True)
class Choice:
    """A trained pair, and what is known of it.

    Attributes:
        model: the pair.
        trial: that it comes from.
        label: the variant's name in the study.
        place: generation and cell, of a centre that was picked among those recorded.
        loss: what was chosen by: the loss that all were trained on, or else L1.
        validation_loss: by that.
        validation_L1: mean absolute error on the validation rows.
        test_L1: on the test rows; an answer may have been chosen on them.
        test_L1_by_validation: that of the trial's cell that is best on the validation rows; NaN if
            that is not known, or no answer of a trial was chosen.
        lowest: validation loss of all centres that the study recorded on the same data; NaN if that
            was not asked for.
        why: why this one, where nobody said which.
    """

    model: Model
    trial: TrialId
    label: str
    place: Place | None
    loss: str
    validation_loss: float
    validation_L1: float  # noqa: N815 - the field's name for it
    test_L1: float  # noqa: N815
    test_L1_by_validation: float  # noqa: N815
    lowest: float
    why: str = ""

    @property
    def was_chosen_on_test(self) -> bool:
        """Whether test rows chose this cell among its trial's: see `final_cell`."""
        settings: Mapping[str, Any] = self.model.provenance.get("settings") or {}
        return self.place is None and was_chosen_on_test(settings)


def choose(
    location: str | Path,
    variant: str | None,
    trial: int | None,
    target: Target,
    *,
    compact: bool,
) -> Choice:
    """Take the pair that a target asks for, or without one the answer of the best trial.

    For a compact model without a target it is the knee of the front of size against loss, where
    the centres of recorded generations were stored.

    Args:
        location: the study's output folder, or its address.
        variant: id or name of the variant to choose from; by default all but a control.
        trial: number of the trials to choose from; by default all.
        target: see there. Without one, it is the final pair of the trial whose final pair has the
            lowest loss on the validation rows.
        compact: whether size is what is left after compaction, rather than what is not zero.

    Raises:
        UserError: no trial or model is what was asked for (name another, ask for less), or it was
            not stored (run with `store_generations`).
    """
    if target:
        return _recorded(location, variant, trial, target, compact=compact)
    rows = load_results(location, ["trials"]).trials
    if variant is None:
        rows = rows[~is_control(rows)]
    chosen = _matching(rows, "variant_name", location, variant, trial)
    _check_one_data(list(by_data(chosen)), location)
    stores = chosen.get("store_generations", pd.Series("none", chosen.index)).isin(_STORING)
    if compact and stores.all():
        return _recorded(location, variant, trial, target, compact=True)
    loss = shared_loss(chosen)
    best = _first(best_first(chosen))
    which = TrialId(str(best["variant"]), int(best["trial"]))
    return Choice(
        model=_loaded(location, which, read_model),
        trial=which,
        label=str(best["variant_name"]),
        place=None,
        loss=loss,
        validation_loss=float(best[loss_column(loss)]),
        validation_L1=float(best["validation_L1"]),
        test_L1=float(best["test_L1"]),
        test_L1_by_validation=float(best["test_L1_by_validation"]),
        lowest=float("nan"),
        why=_NOT_STORED if compact else "",
    )


_STORING = ("recorded", "all")
_NOT_STORED = "the answer of the best trial, as not every trial stored recorded models to pick from"


def _recorded(
    location: str | Path, variant: str | None, trial: int | None, target: Target, *, compact: bool
) -> Choice:
    """The centre among those recorded that a target asks for, or without one the knee.

    Raises:
        UserError: no model satisfies the target, or the one that does was not stored.
    """
    of_data = _comparable(location, variant, trial)
    size: Size = "compact" if compact else "capacity"
    rows = of_data.candidates.assign(
        size=of_data.counts(size), share=of_data.shares(size), loss=of_data.losses
    )
    chosen = _matching(rows, "label", location, variant, trial)
    lowest = float(of_data.losses.min())
    best, why = (_satisfying(chosen, target, lowest), "") if target else _knee_of(chosen)
    which = TrialId(str(best["variant"]), int(best["trial"]))
    place = Place(int(best["generation"]), int(best["cell"]))
    return Choice(
        model=_loaded(location, which, lambda path: load_recorded(path, place)),
        trial=which,
        label=str(best["label"]),
        place=place,
        loss=of_data.loss,
        validation_loss=float(best["loss"]),
        validation_L1=float(best["validation_L1"]),
        test_L1=float(best["test_L1"]),
        test_L1_by_validation=float("nan"),
        lowest=lowest,
        why=why,
    )


def _comparable(location: str | Path, variant: str | None, trial: int | None) -> Tradeoff:
    """All candidates on the data of those that are asked for.

    Raises:
        UserError: no generation was recorded, or losses are of different data: name a variant.
    """
    everything = read_candidates(location)
    if everything.empty:
        raise UserError(
            f"{place_of(location)}: no committed trial has recorded generations to pick from"
        )
    trials = load_results(location, ["trials"]).trials
    if variant is None:
        controls = set(trials.loc[is_control(trials), "variant"])
        everything = everything[~everything["variant"].astype(str).isin(controls)]
    asked = set(_matching(everything, "label", location, variant, trial)["variant"].astype(str))
    found = [
        each
        for each in tradeoffs(everything, trials)
        if asked & set(each.candidates["variant"].astype(str))
    ]
    _check_one_data([each.data for each in found], location)
    return found[0]


def _check_one_data(names: Sequence[str], location: str | Path) -> None:
    """Refuse to compare losses of different data.

    Raises:
        UserError: they are of several, by these names; name a variant.
    """
    if len(names) > 1:
        raise UserError(
            f"{place_of(location)}: its losses are of different data ({', '.join(names)}) and "
            "cannot be compared; name a --variant"
        )


def _satisfying(rows: pd.DataFrame, target: Target, lowest: float) -> Mapping[Hashable, Any]:
    """The best of the candidates that satisfy a target.

    Raises:
        UserError: no candidate does; the message says what the nearest one has.
    """
    if target.capacity is not None:
        fitting, order = rows[rows["share"] <= target.capacity], ["loss", "size"]
        nearest = f"the smallest has {rows['share'].min():.3f}"
        asked = f"--target_capacity {target.capacity}"
    else:
        limit = lowest * (1 + (target.loss_increase or 0.0))
        fitting, order = rows[rows["loss"] <= limit], ["size", "loss"]
        nearest = f"the lowest is {rows['loss'].min():.4f}, where {limit:.4f} was allowed"
        asked = f"--max_loss_increase {target.loss_increase}"
    if fitting.empty:
        raise UserError(
            f"{asked}: no recorded model satisfies it, {nearest}; ask for less, or prune more"
        )
    return _first(fitting.sort_values([*order, "generation", "cell"], kind="stable"))


def _knee_of(rows: pd.DataFrame) -> tuple[Mapping[Hashable, Any], str]:
    """The candidate at the knee of the front, and what there is to say of the choice."""
    ordered = rows.sort_values(["generation", "cell"], kind="stable")
    front = ordered.iloc[pareto_front(ordered["size"], ordered["loss"])]
    place, last = knee(front["size"], front["loss"]), len(front) - 1
    best = _first(front.iloc[[place]])
    if not last:
        return best, "the recorded model that no other beats in size or in validation loss"
    what = "the knee" if place < last else "the lowest loss, as there is no knee,"
    ends = f"{front['size'].iloc[0]:,.0f} to {front['size'].iloc[-1]:,.0f}"
    of = f"of {len(front)} models that no other beats in both, with {ends} parameters"
    return best, f"{what} of size against validation loss, {of}"


def _first(rows: pd.DataFrame) -> Mapping[Hashable, Any]:
    return rows.iloc[:1].to_dict("records")[0]


def _loaded(location: str | Path, trial: TrialId, load: Callable[[Path], Model]) -> Model:
    """A trial's model, as it was committed.

    Raises:
        UserError: the file is gone or damaged; run the study again with --restore_models.
    """
    return load_content(handed_on(open_storage(location), trial, MODELS), load)


def _matching(
    rows: pd.DataFrame, label: str, location: str | Path, variant: str | None, trial: int | None
) -> pd.DataFrame:
    """The rows of a variant, by id or name, and of a trial.

    Raises:
        UserError: no variant has that id or name (known ones are told), or no trial that number.
    """
    found = rows
    if variant is not None:
        named = found["variant"].astype(str), found[label].astype(str)
        found = found[(named[0] == variant) | (named[1] == variant)]
        if found.empty:
            known = dict(zip(rows["variant"].astype(str), rows[label].astype(str), strict=True))
            listed = ", ".join(f"{key} ({name})" for key, name in list(known.items())[:6])
            raise UserError(f"--variant {variant}: not in {place_of(location)}, which has {listed}")
    if trial is not None:
        found = found[found["trial"] == trial]
    if found.empty:
        which = "" if trial is None else f"--trial {trial}: "
        raise UserError(f"{which}{place_of(location)} holds no such committed trial")
    return found
