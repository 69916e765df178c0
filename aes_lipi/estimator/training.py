"""A ring trained on rows at hand: from its beginning or another's weights, or on from a state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module

from threadpoolctl import threadpool_limits

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Pair
from aes_lipi.coevolution.evolution import InProcess, TrialFailed, first_states, run_steps
from aes_lipi.coevolution.records import Record, in_order
from aes_lipi.coevolution.result import final_cell, judge, pairs_by_number, pairs_of
from aes_lipi.coevolution.schedule import Schedule
from aes_lipi.coevolution.state import Held, Setup, TrialState
from aes_lipi.config import DATA_FIELDS, Variant
from aes_lipi.data.dataset import Dataset
from aes_lipi.errors import UserError
from aes_lipi.execution.endings import model_of, scored
from aes_lipi.execution.inputs import Inputs, prepare_with
from aes_lipi.models import Model, load_pairs
from aes_lipi.models.model import Units
from aes_lipi.results.model_files import warm_start_files

_NAME = "AutoencoderRing"


@dataclass(frozen=True)
class TrainedRing:
    """A ring after some generations: its answer, and what it takes to go on.

    Attributes:
        model: the best pair.
        records: of all generations, by generation and cell.
        state: after the last generation.
        pairs: of all cells, where the answer is from.
        architecture: of them.
        units: what rows become for them.
        variant: settings.
    """

    model: Model
    records: tuple[Record, ...]
    state: TrialState[Held]
    pairs: tuple[Pair, ...]
    architecture: Architecture
    units: Units
    variant: Variant


def trained(
    variant: Variant, dataset: Dataset, *, verbose: int, start: TrainedRing | None = None
) -> TrainedRing:
    """All generations of a ring.

    Args:
        variant: settings.
        dataset: rows.
        verbose: whether a bar is shown.
        start: whose weights the cells start from; by default they are drawn.

    Raises:
        UserError: the engine, the device or saved models to start from cannot be had, or networks
            to start from are of another size.
        DivergenceError: a weight or a loss is not finite, and the policy is to fail.
    """
    setup = prepare_with(variant, Inputs(dataset))  # loads what the limit is for
    if start is not None:
        _check_size(start, setup, "warm_start")
        setup = replace(setup, warm_start=start.pairs)
    elif variant.ann_path is not None:
        pairs = load_pairs(warm_start_files(variant.ann_path), setup.architecture)
        setup = replace(setup, warm_start=pairs)
    with threadpool_limits(limits=1), _bar(variant.epochs, verbose) as done:
        for state in _states(setup, _begun(setup)):
            done(state.generations)
        records = sorted(state.records, key=in_order)
        result, answer = judge(state, records, setup)
        last = [each for each in records if each.generation == result.best_generation]
        return _trained(setup, state, last, answer, result.best_cell)


def trained_further(variant: Variant, dataset: Dataset, known: TrainedRing | None) -> TrainedRing:
    """One more generation of a ring, on rows that may be others.

    Args:
        variant: settings, with more epochs than it has generations behind it.
        dataset: rows.
        known: the ring; by default it begins.

    Raises:
        UserError: as `trained`.
        DivergenceError: as `trained`.
    """
    setup = prepare_with(variant, Inputs(dataset))
    with threadpool_limits(limits=1):
        if known is not None:
            _check_size(known, setup, "partial_fit")
        state = _begun(setup) if known is None else known.state
        state = next(_states(setup, state))
        records = sorted(state.records, key=in_order)
        last = [each for each in records if each.generation == state.generations - 1]
        pairs = pairs_of(state, last, state.generations - 1)
        setup.engine.fetch([each for pair in pairs for each in (pair.encoder, pair.decoder)])
        return _trained(setup, state, last, pairs, final_cell(pairs, setup))


def _check_size(known: TrainedRing, setup: Setup, what: str) -> None:
    """Refuse to go on with networks of another size, or with another number of them.

    Raises:
        UserError: they are; fit a ring anew.
    """
    cells = known.variant.population_size
    if known.architecture != setup.architecture or cells != setup.variant.population_size:
        raise UserError(
            f"{what}: the ring that was fitted has other networks, or another number of them; "
            "leave the parameters as they were, or fit a new one"
        )


def _begun(setup: Setup) -> TrialState[Held]:
    schedule = Schedule(setup.variant)
    return schedule.start(0, first_states(setup, 0, schedule.first_versions))


def _states(setup: Setup, state: TrialState[Held]) -> Iterator[TrialState[Held]]:
    """The ring after every further generation, and at last as it ends.

    Raises:
        DivergenceError: a weight or a loss is not finite, and the policy is to fail.
    """
    reached, last = state.generations, state
    for _, news in run_steps([state], [Schedule(setup.variant)], InProcess([setup])):
        if isinstance(news, TrialFailed):
            raise news.error
        assert isinstance(news, TrialState)
        last = news
        if news.generations > reached:
            reached = news.generations
            yield news
    yield last


def _trained(
    setup: Setup,
    state: TrialState[Held],
    last: Sequence[Record],
    pairs: Sequence[Pair],
    best: int,
) -> TrainedRing:
    """What a ring has become.

    Args:
        setup: what the cells shared.
        state: after the last generation that it ran.
        last: records of the generation that the pairs are of.
        pairs: of that generation, in the order of the records.
        best: which of them is the answer.
    """
    settings = setup.variant.model_dump(mode="json", exclude=set(DATA_FIELDS))
    origin = {"estimator": _NAME, "cell": best, "settings": settings}
    others = pairs_by_number(pairs, last)
    model = scored(model_of(setup, pairs[best], others, origin), setup)
    return TrainedRing(
        model=model,
        records=tuple(sorted(state.records, key=in_order)),
        state=state,
        pairs=tuple(others),
        architecture=setup.architecture,
        units=model.units,
        variant=setup.variant,
    )


@contextmanager
def _bar(epochs: int, verbose: int) -> Iterator[Callable[[int], None]]:
    """A bar while a block runs, on standard error; told how many generations are done.

    In a notebook it is IPython's, as rich's would need ipywidgets.
    """
    if not verbose:
        yield lambda done: None
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import

    console = Console(stderr=True)
    if console.is_jupyter:
        bar = import_module("IPython.display").ProgressBar(epochs)
        bar.display()
        yield lambda done: setattr(bar, "progress", done)
        return
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=console) as progress:
        task = progress.add_task(_NAME, total=epochs)
        yield lambda done: progress.update(task, completed=done)
