"""What trials start from, data and saved models: known by its content, and the one cache of it.

A process keeps the last few data sets, each with what its cells share. Where data come from is a
function: made here, mapped from a file of the driver's, or read where Ray's object store has them.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import IO

import numpy as np

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.environments import (
    ENVIRONMENT,
    Architecture,
    Environment,
    build_architecture,
    check_agreement,
)
from aes_lipi.autoencoders.linear_start import axes_carried, check_linear_start
from aes_lipi.autoencoders.network import Pair
from aes_lipi.coevolution.baselines import BaselineMeasures, baseline_measures
from aes_lipi.coevolution.state import Setup
from aes_lipi.config import Study, Variant, scale_range
from aes_lipi.data.dataset import Dataset
from aes_lipi.data.load import clustering_of, data_key, settled_dialect
from aes_lipi.data.plugged import data_digest, dataset_of
from aes_lipi.engine.auto import choose_engine
from aes_lipi.engine.protocol import Engine
from aes_lipi.errors import UserError
from aes_lipi.execution.graphs import with_graph
from aes_lipi.execution.stacks import engine_key, trials_that_fit
from aes_lipi.extension import check_same_plugins, load, plugins_digest
from aes_lipi.models import load_pairs, models_digest
from aes_lipi.models.metrics import metrics_of
from aes_lipi.results.model_files import warm_start_files


def with_digests(study: Study) -> Study:
    """The same study, its variants' data files, saved models and plug-ins told by their content.

    Where data files are is told from the root, so that they are found from any folder.

    Raises:
        UserError: such a file cannot be read, or a plug-in cannot be imported or breaks a rule.
    """
    data: dict[Hashable, str | None] = {}
    models: dict[str, str] = {}
    variants = []
    for given in study.variants:
        variant = with_graph(_settled(given))
        key, path = data_key(variant), variant.ann_path
        if key not in data:
            data[key] = variant.data_digest or data_digest(variant)
        if path is not None and path not in models:
            models[path] = variant.ann_digest or models_digest(warm_start_files(path))
        digests = {
            "data": variant.data and str(Path(variant.data).absolute()),
            "data_digest": data[key],
            "ann_digest": None if path is None else models[path],
            "plugins_digest": variant.plugins_digest or plugins_digest(variant),
        }
        variants.append(variant.model_copy(update=digests))
    _refuse_twins(study.variants, variants)
    return study.with_variants(variants)


_CONTENT_FIELDS = ("data", "ann_path", "edges", "topology", "header", "separator")
"""What may differ where the content is the same."""


def _refuse_twins(given: Sequence[Variant], variants: Sequence[Variant]) -> None:
    """Refuse two variants that are one: every trial would be computed twice, and one kept.

    Raises:
        UserError: they name the same content differently; give one of the names.
    """
    first: dict[str, Variant] = {}
    for variant, known in zip(variants, given, strict=True):
        other = first.setdefault(variant.id, known)
        for name in _CONTENT_FIELDS:
            one, two = getattr(other, name), getattr(known, name)
            if other is not known and one != two:
                raise UserError(
                    f"{name}: {one} and {two} come to the same content, and to the same trials; "
                    "give one of them"
                )


def _settled(variant: Variant) -> Variant:
    """The same, its header and separator said only where that changes what is read."""
    if variant.data is None or (variant.header, variant.separator) == ("auto", "auto"):
        return variant
    header, separator = settled_dialect(Path(variant.data), variant.header, variant.separator)
    return variant.model_copy(update={"header": header, "separator": separator})


def check_unchanged(variant: Variant) -> None:
    """Make sure that a variant still has the plug-ins and the saved models it was made for.

    Raises:
        UserError: a file or a plug-in has changed since the study began; undo that, or give
            another --output_dir.
    """
    check_same_plugins(variant)
    if variant.ann_path is None or variant.ann_digest is None:
        return
    if models_digest(warm_start_files(variant.ann_path)) != variant.ann_digest:
        raise UserError(
            f"--ann_path {variant.ann_path}: changed since the study began; copy the models to a "
            "folder of their own"
        )


DATASETS_KEPT = 2
_SETUPS_KEPT = 8

SHARED_FROM = 2**25
"""Bytes; smaller data sets are read by every worker process."""

_SHARE_FOR_DATA = 0.5
"""Of a process's share of its node's memory, what copies of data may take."""


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
        UserError: a file cannot be read or is unfit, or is not what it was when the study began.
    """
    check_unchanged(variant)
    dataset = _at_hand(variant)
    if variant.ann_path is None:
        return Inputs(dataset)
    architecture = architecture_of(variant, dataset.n_dim)
    return Inputs(dataset, tuple(load_pairs(warm_start_files(variant.ann_path), architecture)))


def prepare(variant: Variant) -> Setup:
    """Everything that a variant's trials share; that of the last few variants is kept.

    Raises:
        UserError: data or engine cannot be had.
    """
    return _cache.setup(variant, _provide)


def prepare_with(variant: Variant, inputs: Inputs) -> Setup:
    """Everything that a variant's trials share, with data that are at hand; nothing is kept.

    Raises:
        UserError: the engine, the device or a plug-in cannot be had here.
    """
    return replace(_setup(variant, inputs.dataset, ()), warm_start=inputs.warm_start)


class SetupCache:
    """The data sets, and the setups with them, that a process used last.

    Args:
        memory: bytes that are the process's share. Data that fit into half of it are copied from
            where they are provided, as the small pages of Ray's object store make computing slower
            by some percent; others are read where they lie, once per node. None to copy nothing.
    """

    def __init__(self, memory: int | None = None) -> None:
        self._room = None if memory is None else int(_SHARE_FOR_DATA * memory)
        self._datasets: dict[Hashable, Dataset] = {}
        self._setups: dict[Variant, Setup] = {}

    def dataset(self, variant: Variant, provide: Callable[[Variant], Dataset]) -> Dataset:
        """The data of a variant; variants with the same settings of data share them.

        Args:
            variant: settings.
            provide: where the data come from, if they are not kept.
        """
        key = data_key(variant)
        known = self._datasets.pop(key, None)
        if known is None:
            self._give_up_all_but(DATASETS_KEPT - 1)
            known = self._own(provide(variant))
        self._datasets[key] = known  # the one used last stands last
        return known

    def setup(self, variant: Variant, provide: Callable[[Variant], Dataset]) -> Setup:
        """Data, layouts and engine of a variant; see `dataset`.

        Raises:
            UserError: the engine or the device cannot be had here.
        """
        dataset = self.dataset(variant, provide)
        known = self._setups.pop(variant, None) or _setup(variant, dataset, self._setups.values())
        while len(self._setups) >= _SETUPS_KEPT:
            del self._setups[next(iter(self._setups))]
        self._setups[variant] = known
        return known

    def clear(self) -> None:
        """Give up everything."""
        self._give_up_all_but(0)

    def _give_up_all_but(self, most: int) -> None:
        """Give up the data that were not used for longest."""
        while len(self._datasets) > most:
            gone = self._datasets.pop(next(iter(self._datasets)))
            self._setups = {v: each for v, each in self._setups.items() if each.dataset is not gone}

    def _own(self, dataset: Dataset) -> Dataset:
        """The same in this process's own memory, if it is to be there and fits."""
        if self._room is None or dataset.n_bytes > self._room:
            return dataset
        while sum(each.n_bytes for each in self._datasets.values()) + dataset.n_bytes > self._room:
            self._give_up_all_but(len(self._datasets) - 1)
        train, test, validation = (np.array(split, order="C") for split in dataset.splits)
        return replace(dataset, train=train, test=test, validation=validation)


_cache = SetupCache()
"""Of this process."""


def _setup(variant: Variant, dataset: Dataset, others: Collection[Setup]) -> Setup:
    """What a variant's trials share, with the engine of another setup if it can serve."""
    check_same_plugins(variant)
    architecture = architecture_of(variant, dataset.n_dim)
    engine = _engine(variant, architecture, dataset, others)
    metrics = metrics_of(variant, architecture, dataset)
    principal = None
    if variant.initial_weights == "pca":
        from aes_lipi.engine.dense.principal import principal_axes  # noqa: PLC0415 - loads numba

        principal = principal_axes(dataset.train, axes_carried(architecture))
    return Setup(
        *(variant, architecture, dataset, engine),
        metrics=metrics,
        principal=principal,
        baselines=_baselines(variant, architecture.latent_size, dataset, others),
    )


def _baselines(
    variant: Variant, code: int, dataset: Dataset, others: Iterable[Setup]
) -> Callable[[], BaselineMeasures] | None:
    """What measures the baselines of data of a user's, once for all who ask for it."""
    if variant.n_dim is not None:
        return None
    for other in others:
        same = other.dataset is dataset and other.architecture.latent_size == code
        if same and other.baselines is not None:
            return other.baselines
    return cache(partial(_timed_baselines, dataset, code))


def _timed_baselines(dataset: Dataset, code: int) -> BaselineMeasures:
    started = time.process_time()
    measures = baseline_measures(dataset, code)
    return replace(measures, pca_cpu_time_s=time.process_time() - started)


def _engine(
    variant: Variant, architecture: Architecture, dataset: Dataset, others: Iterable[Setup]
) -> Engine:
    for other in others:
        if (
            other.dataset is dataset
            and other.architecture == architecture
            and engine_key(other.variant) == engine_key(variant)
        ):
            return other.engine
    return choose_engine(variant, architecture, dataset)


def _at_hand(variant: Variant) -> Dataset:
    return _cache.dataset(variant, _provide)


def _provide(variant: Variant) -> Dataset:
    """A variant's data, mapped if the driver holds them ready, and else made here."""
    if data_key(variant) in _mappable:
        with suppress(OSError):
            return _mappable[data_key(variant)].mapped()
    dataset = dataset_of(variant)
    _known[data_key(variant)] = DataFacts(len(dataset.train), dataset.n_dim, dataset.read)
    return dataset


@dataclass(frozen=True)
class DataFacts:
    """What is kept of data when their rows are given up.

    Attributes:
        n_train: training rows.
        n_dim: width of a row.
        read: what was read of a user's file, in one line.
    """

    n_train: int
    n_dim: int
    read: str


_known: dict[Hashable, DataFacts] = {}


def data_facts(variant: Variant) -> DataFacts:
    """What is known of a variant's data, which are read unless they were before.

    Raises:
        UserError: a file cannot be read or is unfit, or a plug-in cannot be had.
    """
    if data_key(variant) not in _known:
        _at_hand(variant)
    return _known[data_key(variant)]


def data_read(variants: Iterable[Variant]) -> list[str]:
    """What was read of users' files, a line each.

    Raises:
        UserError: a file cannot be read or is unfit.
    """
    lines = (data_facts(variant).read for variant in variants if variant.data is not None)
    return list(dict.fromkeys(lines))


_mappable: dict[Hashable, SharedDataset] = {}


def map_shared(datasets: Mapping[Hashable, SharedDataset]) -> None:
    """In this process, map these data sets instead of reading them; see `large_files_shared`."""
    _mappable.update(datasets)


@dataclass(frozen=True)
class SharedDataset:
    """A data set whose rows another process of this machine can map.

    Attributes:
        path: of a file that holds the rows of training, test and validation, one after another.
        n_rows: of the three splits.
        n_dim: width of a row.
        without_rows: all else of the data set.
    """

    path: str
    n_rows: tuple[int, ...]
    n_dim: int
    without_rows: Dataset

    def mapped(self) -> Dataset:
        """The data set, read-only, its rows in memory that all who map them share.

        Raises:
            OSError: the file is gone, with the process that made it.
        """
        shape = (sum(self.n_rows), self.n_dim)
        rows = np.asarray(np.memmap(self.path, np.float32, "r", shape=shape))
        return _with_splits(self.without_rows, np.split(rows, np.cumsum(self.n_rows)[:-1]))


@contextmanager
def large_files_shared(variants: Iterable[Variant]) -> Iterator[dict[Hashable, SharedDataset]]:
    """Hold large data of a user's own ready for worker processes, while a block runs.

    Yields:
        the data sets by `data_key`; those that there is no room for are left out.
    """
    wanted = {data_key(variant): variant for variant in variants if variant.n_dim is None}
    with ExitStack() as stack:
        found = {}
        for key, variant in wanted.items():
            if _at_hand(variant).n_bytes >= SHARED_FROM:
                with suppress(OSError):
                    found[key] = stack.enter_context(_shared(_at_hand(variant)))
        if found:
            _cache.clear()
        yield found


@contextmanager
def _shared(dataset: Dataset) -> Iterator[SharedDataset]:
    """Lay a data set out for other processes of this machine, while a block runs.

    The file has no name, so that nothing is left of it however this process ends.

    Raises:
        OSError: the disk has no room for the data; they are read by every worker then.
    """
    with ExitStack() as files:
        stream: IO[bytes] = files.enter_context(tempfile.TemporaryFile())
        path = f"/proc/{os.getpid()}/fd/{stream.fileno()}"
        if not Path(path).exists():  # not on Linux: a file with a name
            stream = files.enter_context(tempfile.NamedTemporaryFile())
            path = stream.name
        for rows in dataset.splits:
            stream.write(np.ascontiguousarray(rows).data)
        stream.flush()
        none = np.empty((0, dataset.n_dim), np.float32)
        held = SharedDataset(
            path=path,
            n_rows=tuple(map(len, dataset.splits)),
            n_dim=dataset.n_dim,
            without_rows=_with_splits(dataset, [none] * 3),
        )
        del dataset, rows  # nothing keeps them here while others map the file
        yield held


def _with_splits(dataset: Dataset, splits: Iterable[Float32]) -> Dataset:
    train, test, validation = splits
    return replace(dataset, train=train, test=test, validation=validation)


def rows_on_hand(variant: Variant) -> int:
    """The training rows of the data that a variant names; generated ones are not made for it.

    Raises:
        UserError: the data cannot be had or are unfit.
    """
    generated = variant.n_dim is not None
    return clustering_of(variant).n_rows if generated else data_facts(variant).n_train


def architecture_on_hand(variant: Variant) -> Architecture:
    """The layouts of a variant's networks, for the data that it names.

    Raises:
        UserError: the data cannot be had or are unfit.
    """
    generated = variant.n_dim is not None
    n_dim = clustering_of(variant).n_dim if generated else _at_hand(variant).n_dim
    return architecture_of(variant, n_dim)


def architecture_of(variant: Variant, n_dim: int) -> Architecture:
    """The layouts of a variant's networks for data of a given width.

    Unless it is given, the code of a user's own table has at most half of its columns: with more,
    nothing would be compressed.

    Raises:
        UserError: a plug-in breaks a rule, the loss does not fit the environment or its output, or
            the scaled values lie beyond what the output can be, or the networks cannot start from
            PCA; choose another.
    """
    environment = _environment_of(variant)
    sizes = environment.hidden_sizes if variant.hidden_sizes is None else variant.hidden_sizes
    latent_size = environment.latent_size
    if variant.data is not None:
        latent_size = min(latent_size, max(1, n_dim // 2))
    width = variant.latent_size or latent_size
    made = build_architecture(environment, n_dim, sizes, width, variant.added.get("loss"))
    if scale_range(variant.scale) == "unbounded" and environment.output_activation != "linear":
        raise UserError(
            f"scale: {variant.scale} leaves values beyond [0, 1], which this output cannot be; "
            "choose minmax or quantile, or a linear output (output_activation linear)"
        )
    if variant.initial_weights == "pca":
        check_linear_start(made)
    return made


_OF_ENVIRONMENT = ("input_noise", "loss", "hidden_activation", "output_activation")
"""Fields of a variant that replace the environment's own."""


def _environment_of(variant: Variant) -> Environment:
    """A variant's environment with what the variant replaces of it, but for a loss of a user's.

    Raises:
        UserError: a plug-in breaks a rule, or the loss does not fit the environment or its output.
    """
    given = {name: getattr(variant, name) for name in _OF_ENVIRONMENT if name not in variant.added}
    told = {name: value for name, value in given.items() if value is not None}
    if scale_range(variant.scale) == "unbounded":
        told.setdefault("output_activation", "linear")
    environment = replace(load(ENVIRONMENT, variant.environment), **told)
    if "loss" not in variant.added:
        check_agreement(environment)
    return environment


def trials_on_gpu(variant: Variant, free: int) -> int:
    """Trials of a variant that can be trained side by side in so many bytes of a GPU's memory.

    Raises:
        UserError: its data cannot be had here.
    """
    n_rows = len(_at_hand(variant).train)
    return trials_that_fit(variant, architecture_on_hand(variant), n_rows, free)
