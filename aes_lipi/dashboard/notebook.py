"""The page's figures as objects: of plotly where it is installed, of matplotlib where it is not."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aes_lipi.analysis.figures.boxes import plot_final_values
from aes_lipi.analysis.figures.curves import plot_curves
from aes_lipi.analysis.figures.ring import plot_ring
from aes_lipi.analysis.figures.tradeoff import plot_tradeoff
from aes_lipi.analysis.history import Courses, histories_of
from aes_lipi.analysis.pareto import measured_candidates, tradeoffs
from aes_lipi.analysis.read import Measurements
from aes_lipi.analysis.tables import trial_samples
from aes_lipi.dashboard.rings import NO_RING, ring_plots
from aes_lipi.dashboard.spec import Heading, Plot
from aes_lipi.dashboard.views import (
    BATCH_LOSS,
    LOSS_CHOICES,
    OF_TRIALS,
    SIZE_NAMES,
    LossChoice,
    is_seldom_recorded,
    of_several_losses,
    read_variants_of,
    variant_plots,
)
from aes_lipi.dashboard.watch import MOST_CHOSEN
from aes_lipi.errors import UserError
from aes_lipi.optional import is_installed
from aes_lipi.results.reading import open_folder
from aes_lipi.results.trial_files import TrialId

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aes_lipi.results.reading import Results


class Figures(Mapping[str, Any]):
    """Figures by name; a notebook shows them all.

    Args:
        figures: of plotly, or of matplotlib.
        notes: lines on what is not among them, and why.
    """

    def __init__(self, figures: Mapping[str, Any], notes: Sequence[str] = ()) -> None:
        self._figures = dict(figures)
        self._notes = tuple(notes)

    def __getitem__(self, name: str) -> Any:
        return self._figures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)

    def __repr__(self) -> str:
        """Their names, and what is said of others."""
        return "\n".join([f"Figures: {', '.join(self)}", *self._notes])

    def _repr_html_(self) -> str:
        """All of them, with what draws them: nothing is fetched."""
        parts, needs_script = [], True
        for figure in self._figures.values():
            if hasattr(figure, "to_html"):
                parts.append(figure.to_html(full_html=False, include_plotlyjs=needs_script))
                needs_script = False
            else:
                parts.append(figure._repr_svg_())
        parts += [f"<p>{html.escape(note)}</p>" for note in self._notes]
        return "\n".join(parts)


def figures_of(
    results: Results, variants: Sequence[str] | None = None, measure: str = "mean_L1"
) -> Figures:
    """The page's figures of a study's variants, and the ring of the first one's first trial.

    There is no ring of `all_vs_all`, nor a loss on training batches where variants differ in what
    they are trained on; a note says so.

    Args:
        results: of `aes_lipi.load_results` or `aes_lipi.run`.
        variants: ids; by default those of the lowest losses, as many as the page draws.
        measure: `mean_L1` or `test_L1`.

    Raises:
        UserError: the results are of no folder, or have no such variant or measure.
    """
    if results.location is None:
        raise UserError("these results are of no folder; take those of aes_lipi.load_results")
    chosen = _chosen(results, variants)
    if measure not in LOSS_CHOICES:
        raise UserError(f"measure={measure!r}: choose {' or '.join(LOSS_CHOICES)}")
    known: LossChoice = "mean_L1" if measure == "mean_L1" else "test_L1"
    folder = open_folder(results.location)
    data = read_variants_of([folder], chosen)
    rows = results.trials[results.trials["variant"] == chosen[0]]
    label, trial = data.labels[chosen[0]], int(rows["trial"].min())
    of = TrialId(chosen[0], trial)
    found = histories_of(folder.storage, folder.inventory, [of])
    courses = [(label, each) for each in found.values() if not each.is_of_pairs]
    notes = [NO_RING] if len(courses) < len(found) else []
    if is_seldom_recorded(data, known):
        notes += filter(None, [of_several_losses(data)])
    if is_installed("plotly"):
        named = Heading("ring", "Ring", "The loss of every cell's pair on a batch, by generation.")
        plots = [*variant_plots(data, chosen, known), *ring_plots(named, courses)]
        return Figures({plot.name: _interactive(plot) for plot in plots}, notes)
    return Figures(_static(data, known, courses), notes)


def _chosen(results: Results, variants: Sequence[str] | None) -> list[str]:
    """The variants to draw.

    Raises:
        UserError: there is none, or no such one.
    """
    medians = results.trials.groupby("variant")["mean_L1"].median().sort_values()
    wanted = list(medians.index[:MOST_CHOSEN] if variants is None else variants)
    missing = [variant for variant in wanted if variant not in medians.index]
    if missing or not wanted:
        raise UserError(
            f"variants: no committed trial of {', '.join(missing) or 'any'}; .trials has their ids"
        )
    return [str(variant) for variant in wanted]


def _interactive(plot: Plot) -> Any:
    from plotly.graph_objects import Figure  # noqa: PLC0415 - optional

    margin = {**plot.layout["margin"], "t": 60}
    layout = {"title": {"text": plot.title}, "paper_bgcolor": "white", "margin": margin}
    return Figure(list(plot.data), {**plot.layout, **layout})


def _static(data: Measurements, measure: LossChoice, courses: Courses) -> dict[str, Figure]:
    """The same figures as the report draws them."""
    lines = {name: plot_curves(data, [name]) for name in (measure, *SIZE_NAMES)}
    has_batches = is_seldom_recorded(data, measure) and not of_several_losses(data)
    samples = trial_samples(data, OF_TRIALS[measure])
    fronts = [each for each in tradeoffs(measured_candidates(data), data.trials) if each.is_pruned]
    found: dict[str, Figure | None] = {
        "loss": lines.pop(measure),
        "batch_loss": plot_curves(data, [BATCH_LOSS]) if has_batches else None,
        "final_loss": plot_final_values([(LOSS_CHOICES[measure], samples)]),
        **lines,
        **{f"tradeoff_{k}": plot_tradeoff([each]) for k, each in enumerate(fronts)},
        "ring_0": plot_ring(courses) if courses else None,
    }
    return {name: figure for name, figure in found.items() if figure is not None}
