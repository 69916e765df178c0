"""From a variant to what its cells share: data, layouts and engine."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from weakref import ref

from aes_lipi.autoencoders.environments import Architecture, build_architecture, environment_named
from aes_lipi.autoencoders.network import Pair
from aes_lipi.coevolution.plan import Setup
from aes_lipi.config import Variant
from aes_lipi.config.variant import DATA_FIELDS
from aes_lipi.data.dataset import Dataset
from aes_lipi.data.load import clustering_of, dataset_of
from aes_lipi.engine.choice import check_engine, choose_device, choose_engine, engine_name
from aes_lipi.engine.protocol import Engine
from aes_lipi.execution.digests import check_unchanged
from aes_lipi.execution.grouping import engine_key, trials_that_fit
from aes_lipi.execution.rehearsal import rehearse
from aes_lipi.execution.shared_data import SHARED_FROM, SharedDataset, shared
from aes_lipi.extension.digest import check_same_plugins
from aes_lipi.models import load_pairs


def prepare(variant: Variant) -> Setup:
    """Everything that a variant's trials share; that of the last few variants is kept.

    Raises:
        UserError: data or engine cannot be had.
    """
    return _prepared(variant)


@lru_cache(maxsize=8)
def _prepared(variant: Variant) -> Setup:
    return prepare_with(variant, Inputs(_dataset(_data_settings(variant))))


@dataclass(frozen=True)
class Inputs:
    """What a variant's trials start from, to be sent to where they run.

    Attributes:
        dataset: its data.
        warm_start: saved pairs that its cells start from; none for initial weights.
    """

    dataset: Dataset
    warm_start: tuple[Pair, ...] = ()


def inputs_of(variant: Variant) -> Inputs:
    """Read or generate what a variant's trials start from; the last two data sets are kept.

    Raises:
        UserError: a file cannot be read or is unfit.
    """
    check_unchanged(variant)
    dataset = _dataset(_data_settings(variant))
    if variant.ann_path is None:
        return Inputs(dataset)
    architecture = architecture_of(variant, dataset.n_dim)
    return Inputs(dataset, tuple(load_pairs(Path(variant.ann_path), architecture)))


def prepare_with(variant: Variant, inputs: Inputs) -> Setup:
    """Everything that a variant's trials share, with data that are at hand.

    Raises:
        UserError: the engine, the device or a plug-in cannot be had here.
    """
    check_same_plugins(variant)
    architecture = architecture_of(variant, inputs.dataset.n_dim)
    return Setup(
        variant, architecture, inputs.dataset, _engine(variant, architecture, inputs.dataset)
    )


def _engine(variant: Variant, architecture: Architecture, dataset: Dataset) -> Engine:
    """The engine of variants that can share one, made for the first of them."""
    shared = (engine_key(variant), architecture)
    for made in _last:
        engine = made.engine()
        if engine is not None and made.shared == shared and made.dataset() is dataset:
            return engine
    engine = choose_engine(variant, architecture, dataset)
    _last[:] = [_Made(shared, ref(dataset), ref(engine))]
    return engine


@dataclass(frozen=True)
class _Made:
    """An engine that lives as long as somebody uses it, and for what it was made."""

    shared: tuple[Hashable, Architecture]
    dataset: ref[Dataset]
    engine: ref[Engine]


_last: list[_Made] = []


def _data_settings(variant: Variant) -> Variant:
    """The settings that the data depend on; all others at their defaults."""
    settings = variant.model_dump(include=set(DATA_FIELDS))
    if variant.data is not None:
        del settings["dataset_name"]
    return Variant.model_validate(settings)


@lru_cache(maxsize=2)
def _dataset(data_settings: Variant) -> Dataset:
    if data_settings in _mappable:
        with suppress(OSError):
            return _mappable[data_settings].mapped()
    return dataset_of(data_settings)


_mappable: dict[Variant, SharedDataset] = {}


def map_shared(datasets: Mapping[Variant, SharedDataset]) -> None:
    """In this process, map these data sets instead of reading them; see `large_files_shared`."""
    _mappable.update(datasets)


@contextmanager
def large_files_shared(variants: Iterable[Variant]) -> Iterator[dict[Variant, SharedDataset]]:
    """Hold large data of a user's own ready for worker processes, while a block runs.

    Yields:
        the data sets by the settings that they depend on; those that there is no room for are
        left out.
    """
    wanted = dict.fromkeys(_data_settings(variant) for variant in variants if variant.n_dim is None)
    with ExitStack() as stack:
        found = {}
        for settings in wanted:
            if _dataset(settings).n_bytes >= SHARED_FROM:
                with suppress(OSError):
                    found[settings] = stack.enter_context(shared(_dataset(settings)))
        if found:
            _dataset.cache_clear()
        yield found


def check_feasible(variant: Variant, here: bool = True) -> None:
    """Find out, before anything is computed or written, whether a variant can be set up.

    Args:
        variant: settings.
        here: whether this machine is the one to compute it.

    Raises:
        UserError: its data, its saved models or its device cannot be had or are unfit, or a
            plug-in cannot be imported or breaks a rule.
    """
    architecture = architecture_on_hand(variant)
    rehearse(variant, architecture)
    if variant.ann_path is not None:
        load_pairs(Path(variant.ann_path), architecture)
    if here:
        check_engine(variant, architecture)


def architecture_on_hand(variant: Variant) -> Architecture:
    """The layouts of a variant's networks, for the data that it names.

    Raises:
        UserError: the data cannot be had or are unfit.
    """
    if variant.n_dim is None:
        return architecture_of(variant, _dataset(_data_settings(variant)).n_dim)
    return architecture_of(variant, clustering_of(variant).n_dim)


def trains_on_gpu(variant: Variant) -> bool:
    """Whether a GPU of this machine trains stacks of a variant's trials.

    Raises:
        UserError: its data, its engine or its device cannot be had here.
    """
    if variant.device == "cpu" or variant.engine in ("dense", "autograd"):
        return False
    name = engine_name(variant, architecture_on_hand(variant))
    return name == "batched" and choose_device(variant) == "cuda"


def trials_on_gpu(variant: Variant, free: int) -> int:
    """Trials of a variant that can be trained side by side in so many bytes of a GPU's memory.

    Raises:
        UserError: its data cannot be had here.
    """
    n_rows = len(_dataset(_data_settings(variant)).train)
    return trials_that_fit(variant, architecture_on_hand(variant), n_rows, free)


def architecture_of(variant: Variant, n_dim: int) -> Architecture:
    """The layouts of a variant's networks for data of a given width.

    Unless it is given, the code of a user's own table has at most half of its columns: with more,
    nothing would be compressed.
    """
    environment = environment_named(variant.environment)
    sizes = environment.hidden_sizes if variant.hidden_sizes is None else variant.hidden_sizes
    latent_size = environment.latent_size
    if variant.data is not None:
        latent_size = min(latent_size, max(1, n_dim // 2))
    return build_architecture(environment, n_dim, sizes, variant.latent_size or latent_size)
