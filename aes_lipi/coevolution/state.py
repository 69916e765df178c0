"""A trial between two answers: what a checkpoint holds, and all that is needed to go on.

Everything here is frozen. `H` is what the state of a cell or a network is where it is held: a
`Cell` or a `NetworkState` in this process, references in the driver of actors.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import ActivationStatistics, Network, Pair
from aes_lipi.coevolution.baselines import BaselineMeasures
from aes_lipi.coevolution.records import Record, RecordLog
from aes_lipi.coevolution.stopping import LossWatch
from aes_lipi.config import Variant
from aes_lipi.data.dataset import Dataset
from aes_lipi.engine.protocol import Engine, Moments
from aes_lipi.randomness import Address

if TYPE_CHECKING:
    from aes_lipi.engine.dense.principal import PrincipalAxes

H = TypeVar("H")
K = TypeVar("K")

Part = Literal["pair", "encoder", "decoder"]
Reads = npt.NDArray[np.int32]
"""Of an asynchronous trial, which generations its cells read: int32, (epochs, cells, members).

Of smaller neighbourhoods than the largest, the last ones are `BEFORE_FIRST` and mean nothing."""

BEFORE_FIRST = -1
"""The age of what there is before the first step."""


@dataclass(frozen=True)
class Setup:
    """What all cells of a trial share and none changes.

    Attributes:
        variant: settings.
        architecture: layouts of the networks.
        dataset: the rows.
        engine: that trains and evaluates.
        warm_start: trained pairs to start from, if any; cell i takes number i modulo their number.
        metrics: a user's measures of a pair, in the order of the variant.
        principal: of the training rows, where the cells start from their PCA.
        baselines: measures them when it is first called; None for data that are made here.
    """

    variant: Variant
    architecture: Architecture
    dataset: Dataset
    engine: Engine
    warm_start: Sequence[Pair] = ()
    metrics: tuple[Callable[[Pair], float], ...] = ()
    principal: PrincipalAxes | None = None
    baselines: Callable[[], BaselineMeasures] | None = None


@dataclass(frozen=True)
class Cell:
    """Everything that a cell carries from one generation to the next.

    Attributes:
        pair: its centre, which neighbours may read.
        encoder_moments: of an optimiser that is kept with the cell, else None.
        decoder_moments: the same for the decoder.
        encoder_statistics: activations since the last prune event, where they are carried over
            generations (the canonical baseline with an operator that needs them), else None.
        decoder_statistics: the same for the decoder.
    """

    pair: Pair
    encoder_moments: Moments | None = None
    decoder_moments: Moments | None = None
    encoder_statistics: ActivationStatistics | None = None
    decoder_statistics: ActivationStatistics | None = None

    @property
    def networks(self) -> tuple[Network, ...]:
        """Its encoder and its decoder."""
        return self.pair.encoder, self.pair.decoder

    @property
    def is_more_than_centre(self) -> bool:
        """Whether it carries anything that neighbours do not read."""
        return any(
            part is not None
            for part in (
                *(self.encoder_moments, self.decoder_moments),
                *(self.encoder_statistics, self.decoder_statistics),
            )
        )


class NetworkState(NamedTuple):
    """What a `Cell` is of a pair, of an encoder or a decoder that goes its own way."""

    network: Network
    moments: Moments | None = None
    statistics: ActivationStatistics | None = None

    @property
    def networks(self) -> tuple[Network, ...]:
        """The one that it is of."""
        return (self.network,)


Held = Cell | NetworkState
"""What the state of a version is in the process that computes."""


def parts_of(state: Held, part: Part) -> dict[Part, NetworkState]:
    """The networks that a state holds, each for itself."""
    if isinstance(state, NetworkState):
        return {part: state}
    return {
        "encoder": NetworkState(
            state.pair.encoder, state.encoder_moments, state.encoder_statistics
        ),
        "decoder": NetworkState(
            state.pair.decoder, state.decoder_moments, state.decoder_statistics
        ),
    }


def joined(encoder: NetworkState, decoder: NetworkState) -> Cell:
    """A cell of two networks."""
    return Cell(
        Pair(encoder.network, decoder.network),
        *(encoder.moments, decoder.moments),
        *(encoder.statistics, decoder.statistics),
    )


class Version(NamedTuple):
    """The state of a network, or of a cell's pair, after its step number `age`.

    Ages are counted per network, without gaps, from `BEFORE_FIRST`.
    """

    part: Part
    number: int
    age: int


@dataclass(frozen=True)
class Plan:
    """What is decided for one generation of one cell.

    Attributes:
        address: seed, trial, cell and generation; names the streams of the cell's own draws.
        learning_rate: of this generation's training.
        contestants: neighbourhood members drawn for the tournament, in order.
        prune_probability: of the schedule.
        prune: whether this generation has a prune event.
        prune_amount: the share that the event prunes, for operators that prune by amount.
        record_quality: whether mean_L1 and test_L1 are measured.
    """

    address: Address
    learning_rate: float
    contestants: tuple[int, ...]
    prune_probability: float
    prune: bool
    prune_amount: float
    record_quality: bool


@dataclass(frozen=True)
class Step:
    """One generation of a cell, or of a pair that meets in it, decided.

    It makes versions out of others, so that it may be computed anywhere and at any time once these
    exist, with the same bits.

    Attributes:
        own: versions that it starts from, all of their state.
        read: versions whose networks are its neighbourhood, own first.
        makes: versions that there are after it, one for each of `own`.
        members: the neighbourhood as indices of cells.
        reads: of every member the generation whose centre is read.
        plan: all else that is decided.
        rate: whose learning rate it trains at: the cell's, or number 0 for all.
        next_rate: that rate in the next generation.
    """

    own: tuple[Version, ...]
    read: tuple[Version, ...]
    makes: tuple[Version, ...]
    members: tuple[int, ...]
    reads: tuple[int, ...]
    plan: Plan
    rate: int
    next_rate: float

    @property
    def key(self) -> Version:
        """What tells it from all others of its trial: the first version that it makes."""
        return self.makes[0]

    @property
    def generation(self) -> int:
        """The generation that it is of."""
        return self.plan.address.generation

    @cached_property
    def needs(self) -> tuple[Version, ...]:
        """All versions that must exist before it can be computed."""
        return tuple(dict.fromkeys((*self.own, *self.read)))


@dataclass(frozen=True)
class Answer(Generic[H]):
    """What an executor says of a step; without `made` and `error` the step is lost.

    Attributes:
        trial: place of the trial among those that run together.
        step: which.
        made: the states of the versions that it makes.
        record: of the generation.
        error: what went wrong in computing it.
    """

    trial: int
    step: Step
    made: Mapping[Version, H] | None = None
    record: Record | None = None
    error: Exception | None = None


@dataclass(frozen=True)
class TrialState(Generic[H]):
    """A trial on its way: settled truth, without what is in flight.

    Randomness is addressed, so no generator's state belongs to it.

    Attributes:
        trial: its number.
        held: the newest version of every network, older ones that steps still read, and those of
            the best generation where it may be the trial's answer.
        rates: learning rates of the policy by whose and of which generation.
        records: of all steps that are done.
        watch: what is known of the validation loss; it follows from the records.
    """

    trial: int
    held: Mapping[Version, H]
    rates: Mapping[tuple[int, int], float]
    records: RecordLog = field(default_factory=RecordLog, repr=False)
    watch: LossWatch = field(default_factory=LossWatch)

    @cached_property
    def newest(self) -> dict[tuple[Part, int], int]:
        """The age of every network, or of every cell's pair."""
        ages: dict[tuple[Part, int], int] = {}
        for part, number, age in self.held:
            ages[part, number] = max(ages.get((part, number), age), age)
        return ages

    @cached_property
    def generations(self) -> int:
        """Generations that all networks have behind them."""
        return (min(self.newest.values()) + 1) // self.steps_per_generation

    @cached_property
    def steps_per_generation(self) -> int:
        """Steps of every network in a generation: more than one where all meet all."""
        return 1 if ("pair", 0) in self.newest else len(self.newest) // 2

    def holding(self, held: Mapping[Version, K]) -> TrialState[K]:
        """The same state, where it is held in another form."""
        return TrialState(self.trial, held, self.rates, self.records, self.watch)

    def versions_of(self, generation: int) -> list[Version]:
        """The versions of all networks after a generation; -1 for those before the first."""
        age = (generation + 1) * self.steps_per_generation - 1
        return [Version(part, number, age) for part, number in sorted(self.newest)]

    def has(self, version: Version) -> bool:
        """Whether a version was made, though it may have been dropped since."""
        return self.newest[version.part, version.number] >= version.age

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """Everybody's rate in the next generation."""
        last: dict[int, int] = {}
        for who, t in self.rates:
            last[who] = max(t, last.get(who, t))
        return tuple(self.rates[who, last[who]] for who in sorted(last))

    @property
    def latest(self) -> dict[tuple[Part, int], H]:
        """The newest state of everything."""
        return {
            (part, number): self.held[Version(part, number, age)]
            for (part, number), age in sorted(self.newest.items())
        }

    def after(
        self,
        answers: Sequence[Answer[H]],
        needed_later: Callable[[TrialState[H]], Collection[Version]],
    ) -> TrialState[H]:
        """The state after steps, for which this one has all that they need.

        Args:
            answers: to steps, each after those it needs; none lost.
            needed_later: of a state, the versions that are read or restored later; what is neither
                one of them nor the newest of its network is dropped.
        """
        held, rates = dict(self.held), dict(self.rates)
        for answer in answers:
            step = answer.step
            held.update(answer.made or {})
            rates[step.rate, step.generation + 1] = step.next_rate
        new = [answer.record for answer in answers if answer.record is not None]
        records = self.records.extended(new)
        whole = TrialState(self.trial, held, rates, records, self.watch)
        newest, read = whole.newest, needed_later(whole)
        kept = {v: h for v, h in held.items() if newest[v.part, v.number] == v.age or v in read}
        alone = whole.steps_per_generation == 1
        needed = {
            (who, t): rate
            for (who, t), rate in rates.items()
            if t > (newest.get(("pair", who), -1) if alone else whole.generations - 1)
        }
        return replace(whole, held=kept, rates=needed)
