"""The dense engine's bits: in any stack, process and environment; what it fits, and compilation."""

from __future__ import annotations

import ast
import ctypes
import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import dense_tasks
import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from dense_reference import (
    make_architecture,
    make_dataset,
)
from dense_tasks import (
    SHAPES,
    TRAINED_OTHERWISE,
    answers_digest,
    arrays_of,
    assert_same_bits,
    make_task,
    mixed_tasks,
)
from llvmlite import ir

from aes_lipi.api import load_study, run
from aes_lipi.autoencoders.environments import (
    ENVIRONMENTS,
    Architecture,
    Environment,
    build_architecture,
)
from aes_lipi.autoencoders.network import Layer, Network, NetworkLayout, Pair
from aes_lipi.data.dataset import Dataset
from aes_lipi.engine import processor
from aes_lipi.engine.dense import (
    DenseEngine,
    compile_kernels,
    fits,
    kernels,
)
from aes_lipi.engine.dense import engine as dense_engine
from aes_lipi.engine.dense.activations import sigmoid
from aes_lipi.engine.dense.mode import MODES, read_mode, write_mode
from aes_lipi.engine.dense.principal import principal_axes
from aes_lipi.engine.dense.target import entry_point
from aes_lipi.engine.protocol import (
    ActivationsTask,
    EvaluateTask,
    Moments,
    TrainTask,
    Updates,
)
from aes_lipi.engine.torch import TorchEngine
from aes_lipi.errors import UserError

# Bits


@pytest.mark.parametrize(
    "name",
    [
        *("standard", "odd widths", "wide in the middle", "variational", "variational, wide code"),
        *TRAINED_OTHERWISE,
    ],
)
def test_a_task_has_the_same_bits_alone_and_in_any_stack(name: str) -> None:
    architecture = (SHAPES | TRAINED_OTHERWISE)[name]
    dataset = make_dataset(50, architecture.n_dim)
    tasks = mixed_tasks(architecture, dataset)
    dense = DenseEngine(architecture, dataset, 5)
    stack = dense.train(deepcopy(tasks))
    again = dense.train(deepcopy(tasks)[::-1])[::-1]
    alone = [DenseEngine(architecture, dataset, 5).train([task])[0] for task in tasks]
    for one, two, three in zip(stack, again, alone, strict=True):
        assert_same_bits(one, two)
        assert_same_bits(one, three)
    assert_same_bits(stack[0], stack[4])


@pytest.mark.parametrize("name", ["standard", "variational"])
@pytest.mark.parametrize("offset", [0, 1, 3])
def test_read_only_and_misaligned_inputs_give_the_same_bits_and_stay_unchanged(
    name: str, offset: int
) -> None:
    architecture = SHAPES[name]
    dataset = make_dataset(50, architecture.n_dim)
    task = make_task(architecture, dataset, n_updates=5, dead=0.3, kept=True, observe=True)
    expected = DenseEngine(architecture, dataset, 5).train([deepcopy(task)])[0]
    moved = Dataset(
        "moved", *(displaced(rows, offset) for rows in (dataset.train, dataset.test, dataset.test))
    )

    def moved_networks(networks: tuple[Network, ...]) -> tuple[Network, ...]:
        return tuple(
            Network(displaced(n.genome, offset), None if n.mask is None else displaced(n.mask, 1))
            for n in networks
        )

    def moved_moments(moments: tuple[Moments, ...] | None) -> tuple[Moments, ...]:
        return tuple(
            Moments(displaced(m.first, offset), displaced(m.second, offset), m.steps)
            for m in moments or ()
        )

    other = TrainTask(
        moved_networks(task.encoders),
        moved_networks(task.decoders),
        Updates(*(displaced(values, offset) for values in vars(task.updates).values())),
        moved_moments(task.encoder_moments),
        moved_moments(task.decoder_moments),
        task.noise,
        observe=True,
    )
    before = digest(other)
    assert_same_bits(expected, DenseEngine(architecture, moved, 5).train([other])[0])
    assert digest(other) == before
    assert moved.train.tobytes() == dataset.train.tobytes()


def displaced(array: npt.NDArray[Any], offset: int) -> npt.NDArray[Any]:
    """A read-only copy that starts `offset` bytes after an aligned address."""
    raw = np.zeros(array.nbytes + 16, np.uint8)
    copy = raw[offset : offset + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    copy.flags.writeable = False
    return copy


def digest(task: TrainTask) -> str:
    """Of every array of a task."""
    state = hashlib.sha256()
    for network in (*task.encoders, *task.decoders):
        state.update(network.genome.tobytes())
        state.update(b"" if network.mask is None else network.mask.tobytes())
    for moments in (*(task.encoder_moments or ()), *(task.decoder_moments or ())):
        state.update(moments.first.tobytes() + moments.second.tobytes())
    for values in vars(task.updates).values():
        state.update(values.tobytes())
    return state.hexdigest()


_MASKS = {
    "numba for another processor": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
    "numba with fewer features": {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "-avx2,-fma",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 AVX2 FMA3",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA",
    },
    "another BLAS": {
        "OPENBLAS_CORETYPE": "Nehalem",
        "OPENBLAS_NUM_THREADS": "2",
        "MKL_CBWR": "COMPATIBLE",
        "MKL_NUM_THREADS": "2",
    },
}


@pytest.fixture(scope="module")
def digest_here() -> str:
    """Of the answers in this process."""
    return answers_digest()


@pytest.mark.parametrize("mask", _MASKS)
def test_another_process_has_the_same_bits_whatever_libraries_are_told(
    mask: str, digest_here: str
) -> None:
    assert _digest_elsewhere(_MASKS[mask]) == digest_here


def test_a_process_that_has_compiled_something_before_has_the_same_bits(digest_here: str) -> None:
    """Numba has a target then, of the processor at hand, as where a plug-in has used it."""
    code = (
        "import numba, runpy\n"
        "double = numba.njit(lambda x: 2 * x)\n"
        "assert double(3) == 6\n"
        f"runpy.run_path({dense_tasks.__file__!r}, run_name='__main__')\n"
        "assert double(3.5) == 7\n"
    )
    assert _digest_elsewhere({}, "-c", code) == digest_here


@pytest.mark.slow
def test_a_process_that_compiles_has_the_bits_of_one_that_loads_the_cache(tmp_path: Path) -> None:
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    compiled = _digest_elsewhere(cache)
    assert any(tmp_path.rglob("*.nbc"))
    assert compiled == _digest_elsewhere(cache)


def _digest_elsewhere(environment: dict[str, str], *code: str) -> str:
    """Of the answers in a new process, which may be given other code that prints it."""
    path = {"PYTHONPATH": os.pathsep.join([str(Path(dense_tasks.__file__).parent), *sys.path])}
    answer = subprocess.run(
        [sys.executable, *(code or [dense_tasks.__file__])],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **path, **environment},
    )
    return answer.stdout.strip()


SMALLEST = float(np.finfo(np.float32).tiny)
"""The smallest normal number."""


@contextmanager
def computing(mode: str) -> Iterator[None]:
    """This thread takes subnormal numbers for zero, or rounds upwards."""
    library = ctypes.CDLL(None)
    before = library.fegetround()
    if mode == "flushing":
        assert torch.set_flush_denormal(True)
    elif mode == "upwards":
        assert library.fesetround(0x800) == 0
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        library.fesetround(before)


def fading_task(architecture: Architecture, dataset: Dataset) -> TrainTask:
    """With means of squared gradients that have all but faded away."""
    task = make_task(architecture, dataset, n_updates=8, dead=0.5, kept=True)
    faded = [
        tuple(Moments(m.first, np.full_like(m.second, SMALLEST * 1.004), 10**6) for m in moments)
        for moments in (task.encoder_moments or (), task.decoder_moments or ())
    ]
    return replace(task, encoder_moments=faded[0], decoder_moments=faded[1])


def test_the_engine_torch_flushes_and_leaves_the_mode_as_it_was() -> None:
    """On the CPU: what libraries have switched changes no bit of it either."""
    architecture = SHAPES["odd widths"]
    dataset = make_dataset(50, architecture.n_dim)
    made = TorchEngine(architecture, dataset, 5)
    tiny, half = np.full(8, SMALLEST, np.float32), np.float32(0.5)
    found = []
    for mode in ("as ever", "flushing"):
        with computing(mode):
            found.append(made.train([fading_task(architecture, dataset)])[0])
            assert np.all(tiny * half == 0) == (mode == "flushing")
    assert_same_bits(*found)
    for moments in found[0].encoder_moments or ():
        assert np.any(moments.second == 0)
        assert not np.any((moments.second > 0) & (moments.second < SMALLEST))


def test_the_mode_is_left_as_it_was_though_another_loaded_the_engine() -> None:
    """A library that was compiled for speed has switched it before, in this thread."""
    code = (
        "import torch\n"
        "torch.set_flush_denormal(True)\n"
        "from aes_lipi.engine.torch.engine import _flushing\n"
        "torch.set_flush_denormal(False)\n"
        "with _flushing(): pass\n"
        "print((torch.full((8,), 2.0**-126) * 0.5).view(torch.int32).tolist())\n"
    )
    words = [sys.executable, "-c", code]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert told.strip() == str([1 << 22] * 8)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="modes of x86-64, set by its names")
@pytest.mark.parametrize("mode", ["flushing", "upwards"])
def test_bits_do_not_depend_on_the_mode_of_the_calling_thread(mode: str) -> None:
    """Which it finds as it was: tiny numbers, and ties, are as they are between calls."""
    architecture = SHAPES["odd widths"]
    dataset = make_dataset(50, architecture.n_dim)
    dense = DenseEngine(architecture, dataset, 5)
    tasks = [fading_task(architecture, dataset), *mixed_tasks(architecture, dataset)]
    tiny, other = np.full(8, SMALLEST, np.float32), np.linspace(0.1, 0.9, 8, dtype=np.float32)
    rows = np.random.default_rng(3).random((40, 6), dtype=np.float32)

    def others() -> tuple[bytes, ...]:
        """What other entry points compute."""
        axes = principal_axes(rows, 3)
        values = (axes.mean, axes.axes, axes.variances, axes.reconstruct(rows), sigmoid(rows))
        return tuple(each.tobytes() for each in values)

    usual, usual_others = dense.train(deepcopy(tasks)), others()
    between = (tiny * other).tobytes(), (other * other).tobytes()
    with computing(mode):
        in_mode = (tiny * other).tobytes(), (other * other).tobytes()
        again, again_others = dense.train(deepcopy(tasks)), others()
        assert in_mode == ((tiny * other).tobytes(), (other * other).tobytes())
    assert in_mode != between
    assert again_others == usual_others or mode == "upwards"  # numpy takes part in the axes
    for one, two in zip(usual, again, strict=True):
        assert_same_bits(one, two)


def test_every_entry_point_enters_the_mode_first_and_leaves_it_last() -> None:
    trees = [ast.parse(path.read_text()) for path in Path(kernels.__file__).parent.glob("*.py")]
    functions = [each for tree in trees for each in tree.body if isinstance(each, ast.FunctionDef)]
    found = {
        each.name: each
        for each in functions
        if "entry_point" in map(ast.unparse, each.decorator_list)
    }
    assert {"run_batches", "turn", "put_through_sigmoid"} < set(found)
    for name, function in found.items():
        _, first, *_, last = map(ast.unparse, function.body)  # before them, its docstring
        assert (first, last) == ("mode = enter_mode()", "leave_mode(mode)"), name
        assert not any(isinstance(each, ast.Return | ast.Raise) for each in ast.walk(function)), (
            f"{name} may end before it leaves the mode"
        )


def test_what_fades_below_the_smallest_normal_number_is_zero() -> None:
    architecture = SHAPES["odd widths"]
    dataset = make_dataset(50, architecture.n_dim)
    task = fading_task(architecture, dataset)
    trained = DenseEngine(architecture, dataset, 5).train([task])[0]
    for moments in (*(trained.encoder_moments or ()), *(trained.decoder_moments or ())):
        for values in (moments.first, moments.second):
            assert not np.any((np.abs(values) < SMALLEST) & (values != 0))
        assert np.any(moments.second == 0), "none has faded"


@pytest.mark.parametrize(
    ("machine", "system", "register"),
    [
        ("x86_64", "x86_64-unknown-linux-gnu", "mxcsr"),
        ("aarch64", "aarch64-unknown-linux-gnu", "fpcr"),
        ("arm64", "arm64-apple-darwin", "fpcr"),
    ],
)
def test_the_mode_is_read_and_set_on_every_kind_of_processor(
    machine: str, system: str, register: str
) -> None:
    """As far as a compiler for the others tells; they are not at hand."""
    module = ir.Module()
    module.triple = system
    word = ir.IntType(64)
    builder = ir.IRBuilder(ir.Function(module, ir.FunctionType(word, []), "f").append_basic_block())
    mode = MODES[machine]
    before = read_mode(builder, mode)
    write_mode(builder, mode, word(mode.wanted))
    builder.ret(before)
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    compiler = llvm.Target.from_triple(system).create_target_machine()
    made = compiler.emit_assembly(llvm.parse_assembly(str(module)))
    assert made.lower().count(register) == 2


_ABLE = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave", "sse4_2"}


@pytest.mark.parametrize(
    ("asked", "flags", "expected"),
    [
        ("", _ABLE, "x86-64-v3"),
        ("", _ABLE | {"avx512f"}, "x86-64-v3"),
        ("", _ABLE - {"fma"}, "native"),
        ("", set(), "native"),
        ("native", _ABLE, "native"),
        ("x86-64-v3", _ABLE, "x86-64-v3"),
    ],
)
def test_kernels_are_for_one_named_processor(asked: str, flags: set[str], expected: str) -> None:
    assert processor.choose_target(asked, flags) == expected


@pytest.mark.parametrize(
    ("asked", "flags", "said"),
    [
        ("x86-64-v4", _ABLE, "'x86-64-v4' is no target; use x86-64-v3 or native"),
        ("x86-64-v3", set(), "this processor lacks x86-64-v3; use native"),
    ],
)
def test_a_target_that_cannot_be_is_refused(asked: str, flags: set[str], said: str) -> None:
    with pytest.raises(UserError, match=f"AES_LIPI_TARGET: {said}"):
        processor.choose_target(asked, flags)


@pytest.mark.parametrize("name", ["x86-64-v3", "native"])
def test_trials_say_whose_bits_they_have(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "target_name", lambda: name)
    small = {"epochs": 1, "population_size": 1, "n_dim": 10, "trials": 1}
    run(load_study("quickstart", small), tmp_path)
    processors = pd.read_parquet(tmp_path / "trials")["processor"]
    assert len(processors)
    assert processors.str.contains(f", kernels for {name}, [0-9]+ bits$").all()


# Choice and compilation


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_fits_the_environments_of_the_paper(name: str) -> None:
    e = ENVIRONMENTS[name]
    assert fits(build_architecture(e, 100, e.hidden_sizes, e.latent_size))


def unfit_architectures() -> dict[str, Architecture]:
    plain, variational = SHAPES["odd widths"], SHAPES["variational, odd widths"]
    hidden, mean, log_variance = variational.encoder.layers

    def with_encoder(base: Architecture, *layers: Layer) -> Architecture:
        return replace(base, encoder=NetworkLayout(layers))

    return {
        "linear hidden layer": with_encoder(
            plain, Layer("hidden_1", 37, 7, "linear", -1), Layer("latent", 7, 3, "relu", 0)
        ),
        "sigmoid code": with_encoder(plain, Layer("latent", 37, 3, "sigmoid", -1)),
        "one head": with_encoder(variational, log_variance),
        "head that reads the other": with_encoder(
            variational, hidden, mean, replace(log_variance, reads=1)
        ),
        "ReLU head": with_encoder(
            variational, hidden, replace(mean, activation="relu"), log_variance
        ),
        "heads of different widths": with_encoder(
            variational, hidden, replace(mean, n_out=4), log_variance
        ),
        "skipping decoder": replace(
            plain,
            decoder=NetworkLayout(
                tuple(replace(layer, reads=-1) for layer in plain.decoder.layers)
            ),
        ),
        "wrong output width": replace(plain, decoder=make_architecture(36, (7,), 3).decoder),
        "variational with L1": replace(variational, loss="l1"),
        "negative ELBO without heads": replace(plain, loss="negative_elbo"),
    }


@pytest.mark.parametrize("name", unfit_architectures())
def test_refuses_an_architecture_that_it_does_not_fit(name: str) -> None:
    unfit = unfit_architectures()[name]
    assert not fits(unfit)
    with pytest.raises(ValueError, match="use the engine torch for this"):
        DenseEngine(unfit, make_dataset(10, 37), 5)


def test_the_entry_point_is_compiled_once() -> None:
    compile_kernels()
    for name in ("standard", "odd widths", "variational", *TRAINED_OTHERWISE):
        architecture = (SHAPES | TRAINED_OTHERWISE)[name]
        dataset = make_dataset(50, architecture.n_dim)
        dense = DenseEngine(architecture, dataset, 5)
        tasks = mixed_tasks(architecture, dataset)
        dense.train(tasks)
        dense.loss_matrices(
            [EvaluateTask(t.encoders, t.decoders, t.updates.rows[1, :2]) for t in tasks]
        )
        pairs = [Pair(t.encoders[0], t.decoders[0]) for t in tasks]
        dense.batch_losses(pairs, "test", "l1")
        dense.batch_losses(pairs, "test", "loss")
        dense.activations(
            [ActivationsTask(pair, np.arange(3, dtype=np.int32), "test") for pair in pairs]
        )
    compiled: Any = kernels.run_batches
    assert len(compiled.compiled.signatures) == 1


def test_without_a_place_for_the_cache_it_compiles_all_the_same() -> None:
    namespace: dict[str, object] = {}
    exec(compile("def double(x): return 2 * x", "<no file>", "exec"), namespace)
    function = namespace["double"]
    assert callable(function)
    assert entry_point(function)(21) == 42


@pytest.mark.parametrize("name", ["standard", "odd widths", "variational"])
def test_kernels_that_come_back_after_every_batch_have_the_same_bits(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In training, with noise and statistics, in loss matrices and in losses of batches."""
    architecture = SHAPES[name]
    dataset, answers = make_dataset(50, architecture.n_dim), []
    for work in (dense_engine.WORK, 1, 3 * 5 * (architecture.n_parameters + 2**13)):
        monkeypatch.setattr(dense_engine, "WORK", work)
        calls: list[int] = []

        def counted(*arguments: Any, calls: list[int] = calls) -> None:
            calls.append(arguments[-1] - arguments[-2])
            kernels.run_batches(*arguments)

        monkeypatch.setattr(dense_engine, "run_batches", counted)
        engine = DenseEngine(architecture, dataset, batch_size=5)
        trained = engine.train(mixed_tasks(architecture, dataset))
        nets = tuple(network for each in trained for network in each.encoders)
        others = tuple(network for each in trained for network in each.decoders)
        [matrix] = engine.loss_matrices([EvaluateTask(nets, others, np.arange(5, dtype=np.int32))])
        losses = engine.batch_losses([Pair(nets[0], others[0])], "train", "loss")
        arrays = [array for each in trained for array in arrays_of(each)]
        answers.append([*arrays, matrix, *losses])
        assert work != 1 or set(calls) == {1}
    for other in answers[1:]:
        for one, same in zip(answers[0], other, strict=True):
            np.testing.assert_array_equal(one, same)


def test_no_call_of_a_kernel_is_longer_than_the_bound() -> None:
    """Of many rows, wide ones, and a large neighbourhood; but for a single batch."""
    for n_dim, hidden, batch in ((8, 4, 4), (1000, 60, 16), (2000, 1500, 64)):
        architecture = build_architecture(Environment(), n_dim, (hidden,), 4)
        rows = np.zeros((batch, n_dim), np.float32)
        engine = DenseEngine(architecture, Dataset("d", rows, rows, rows), batch)
        n = engine._piece(np.zeros((10**6, batch), np.int32))
        work = n * batch * architecture.n_parameters
        assert n == 1 or work <= dense_engine.WORK
        assert n < 20_000
