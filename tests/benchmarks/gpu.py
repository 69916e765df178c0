"""The engine torch checked and measured, on a GPU if there is one, in a single call.

    PYTHONPATH=tests python -m benchmarks.gpu

compares gradients and a generation with float64, times stacks of models against one CPU core's
`dense`, runs `best_of_lipi` and compares it with what the CPU came to, and prints a short table
last. Without a GPU everything is done on CPU tensors, smaller. Allow ten minutes on a GPU.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aes_lipi.autoencoders.environments import ENVIRONMENTS
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.config import Study, load_preset, resolve_study
from aes_lipi.engine.dense import DenseEngine
from aes_lipi.engine.protocol import ADAM_EPSILON
from aes_lipi.engine.torch import TorchEngine
from aes_lipi.engine.torch.gradients import Batch, gradients_of
from aes_lipi.engine.torch.losses import losses_of
from aes_lipi.engine.torch.passes import forward_passes
from aes_lipi.execution.local import LocalRunner
from aes_lipi.execution.run import run_study
from aes_lipi.results.reading import load_results
from benchmarks.settings import Setting

PASSES = 5
"""Times that a step moves all weights through memory at least, if layers are not fused: read going
forward, read going backward, the gradient written, and weights read and written by the optimiser;
the gradient that the optimiser reads is taken to be in the cache."""

STEP_BOUND, GENERATION_BOUND = 1e-4, 2e-3
"""Largest relative differences from float64: of a gradient, and of the loss after 200 steps."""

CPU_STUDY = {
    "no pruning": ((0.17027, 0.02799), (0.15132, 0.02238), (0.14951, 0.02177), (0.14928, 0.02177)),
    "activation, population": (
        *((0.17333, 0.02760), (0.16017, 0.03017), (0.16325, 0.02519), (0.15869, 0.02680)),
    ),
    "lexicase, final_n": (
        *((0.17027, 0.02799), (0.15132, 0.02238), (0.15694, 0.02444), (0.14604, 0.02087)),
    ),
    "random, exponential": (
        *((0.17532, 0.02072), (0.12684, 0.01678), (0.11522, 0.01907), (0.10514, 0.02104)),
    ),
}
"""`best_of_lipi` in full by the engine dense: mean and standard deviation over 30 trials of a
trial's `mean_L1` over its cells, in generations 100, 200, 300 and 399. Measured, with seed 1."""

CPU_TRIALS = 30
LARGEST_Z = 4.0
ASSUMED = {"H100 (SXM)": 3.35e12, "H200": 4.8e12}
"""Memory bandwidth, bytes a second, as the maker states it."""


@dataclass(frozen=True)
class Timed:
    """A stack of models in training."""

    models: int
    us_per_step: float
    share_of_bound: float
    peak_gib: float | None


def main() -> None:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--models", help="sizes of stacks to time, with commas")
    parser.add_argument("--study", choices=["full", "small", "none"])
    parser.add_argument("--jobs", type=int, help="processes that share the GPU in the study")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    device = arguments.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    on_gpu = device == "cuda"
    torch.set_num_threads(1)
    sizes = arguments.models or ("10,100,1000,10000" if on_gpu else "1,10,100")
    study = arguments.study or ("full" if on_gpu else "small")
    models = [int(size) for size in sizes.split(",")]
    sections: list[Callable[[], list[str]]] = [
        lambda: [_described(device)],
        lambda: _agreement(device),
        lambda: _speed(device, models, arguments.rounds),
        _roofline,
    ]
    if study != "none":
        sections.append(lambda: _study(device, study == "full", arguments.jobs))
    lines = []
    for section in sections:
        found = _made(section)
        print("\n".join(found), flush=True)  # at once too, should a later one never end
        lines += found
        if on_gpu:
            torch.cuda.empty_cache()
    print("\n\n" + "\n".join(lines), flush=True)


def _made(section: Callable[[], list[str]]) -> list[str]:
    """A section of the table; if it fails, a line that says so in its place."""
    try:
        return section()
    except Exception as error:
        traceback.print_exc()
        return ["", f"FAILED: {type(error).__name__}: {error}"]


def _described(device: str) -> str:
    setting = Setting.of()
    engine = TorchEngine(setting.architecture, setting.dataset, 5, device, stacked=True)
    fused = "fused" if engine.is_fused else "not fused"
    if device == "cpu":
        return f"device: CPU tensors, one thread; torch {torch.__version__}; optimiser {fused}"
    name = torch.cuda.get_device_name()
    return (
        f"device: {name}; torch {torch.__version__}, CUDA {torch.version.cuda}; optimiser {fused}; "
        f"tf32 {'ON' if torch.backends.cuda.matmul.allow_tf32 else 'off'}"
    )


# Agreement with float64


def _agreement(device: str) -> list[str]:
    """Of every environment: its gradient, and its loss after a generation, against float64."""
    lines = ["", f"{'against float64':42}{'gradient':>12}{'generation':>12}"]
    for name in ENVIRONMENTS:
        _say(f"agreement of {name}")
        setting = Setting.of(environment=name)
        of_gradient, of_generation = _gradient_error(setting, device), _loss_error(setting, device)
        good = of_gradient < STEP_BOUND and of_generation < GENERATION_BOUND
        verdict = "agrees" if good else "DIFFERS"
        lines.append(f"{name:42}{of_gradient:12.1e}{of_generation:12.1e}  {verdict}")
    return lines


def _gradient_error(setting: Setting, device: str) -> float:
    """Largest difference of a gradient on a first batch, over the largest entry."""
    rows = torch.from_numpy(setting.dataset.train[setting.batches[0]])
    noise = np.random.default_rng(3).standard_normal((len(rows), _width(setting)), np.float32)
    exact = _exact_gradient(setting, rows, noise)
    genomes = [torch.from_numpy(g).to(device)[None] for g in _genomes(setting.pair)]
    found = [torch.empty_like(genome) for genome in genomes]
    present = torch.ones((1, len(rows), 1), device=device)
    weight = present if setting.architecture.loss == "negative_elbo" else present / rows.numel()
    given = _noise(setting, torch.from_numpy(noise).to(device))
    batch = Batch(rows.to(device)[None], present, weight, *given)
    with torch.no_grad():
        gradients_of(setting.architecture)(
            setting.architecture, (genomes[0], genomes[1]), batch, (found[0], found[1])
        )
    return max(
        float((ours.cpu().double()[0] - theirs).abs().max() / theirs.abs().max())
        for ours, theirs in zip(found, exact, strict=True)
    )


def _exact_gradient(setting: Setting, rows: torch.Tensor, noise: np.ndarray) -> list[torch.Tensor]:
    """The gradient of a pair by autograd, in float64."""
    genomes = [torch.from_numpy(g).double()[None].requires_grad_() for g in _genomes(setting.pair)]
    loss = _loss(setting, genomes, rows.double()[None], torch.from_numpy(noise).double())
    return [each[0] for each in torch.autograd.grad(loss, genomes)]


def _loss_error(setting: Setting, device: str) -> float:
    """Relative difference of the training loss after a generation from float64's.

    Of the mean of ten models, each started elsewhere: single ones part ways where a gradient is
    nothing but rounding.
    """
    pairs = _pairs(setting, 10)
    engine = TorchEngine(
        setting.architecture, setting.dataset, setting.variant.batch_size, device, stacked=True
    )
    tasks = [
        replace(setting.task(pair, 1e-4), noise=_generator(setting, k))
        for k, pair in enumerate(pairs)
    ]
    trained = [Pair(each.encoders[0], each.decoders[0]) for each in engine.train(tasks)]
    ours = [float(losses.mean()) for losses in engine.batch_losses(trained, "train", "loss")]
    theirs = [_exact_generation(setting, pair, k) for k, pair in enumerate(pairs)]
    return abs(float(np.mean(ours)) / float(np.mean(theirs)) - 1.0)


def _exact_generation(setting: Setting, pair: Pair, k: int) -> float:
    """The mean training loss after one pass in float64, with a new Adam at every step."""
    data = torch.from_numpy(setting.dataset.train).double()
    genomes = [torch.from_numpy(g).double()[None] for g in _genomes(pair)]
    source = _generator(setting, k)
    for batch in setting.batches:
        noise = np.zeros((len(batch), 0), np.float32)
        if source is not None:
            noise = source.standard_normal((len(batch), _width(setting)), dtype=np.float32)
        leaves = [genome.requires_grad_() for genome in genomes]
        loss = _loss(setting, leaves, data[batch][None], torch.from_numpy(noise).double())
        found = torch.autograd.grad(loss, leaves)
        genomes = [
            (genome - 1e-4 * gradient / (gradient.abs() + ADAM_EPSILON)).detach()
            for genome, gradient in zip(genomes, found, strict=True)
        ]
    with torch.no_grad():
        batches = data.view(-1, setting.variant.batch_size, data.shape[1])
        spread = [genome.expand(len(batches), -1) for genome in genomes]
        return float(_loss(setting, spread, batches, None).mean())


def _loss(
    setting: Setting,
    genomes: Sequence[torch.Tensor],
    x: torch.Tensor,
    noise: torch.Tensor | None,
) -> torch.Tensor:
    """The environment's loss, (C,); without noise as in evaluation."""
    architecture = setting.architecture
    input_noise, code_noise = (None, None) if noise is None else _noise(setting, noise)
    seen = x if input_noise is None else x + architecture.input_noise * input_noise
    pair = (genomes[0], genomes[1])
    encoded, _, decoded = forward_passes(architecture, pair, seen, code_noise)
    return losses_of(architecture, (encoded, decoded), x)


def _noise(
    setting: Setting, noise: torch.Tensor
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Noise (B, width) as that of the input and that of the code."""
    architecture = setting.architecture
    inputs = architecture.n_dim if architecture.input_noise else 0
    return (noise[None, :, :inputs] if inputs else None), (
        noise[None, :, inputs:] if architecture.variational else None
    )


def _width(setting: Setting) -> int:
    return setting.architecture.noise_width


def _generator(setting: Setting, k: int) -> np.random.Generator | None:
    return np.random.default_rng(k) if _width(setting) else None


def _genomes(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    return pair.encoder.genome, pair.decoder.genome


def _pairs(setting: Setting, number: int) -> list[Pair]:
    """The setting's pair with its entries shuffled a little, differently for each."""
    rng = np.random.default_rng(5)
    return [
        Pair(
            *(
                Network(genome * rng.uniform(0.9, 1.1, genome.size).astype(np.float32))
                for genome in _genomes(setting.pair)
            )
        )
        for _ in range(number)
    ]


# Speed


def _bandwidth(device: str) -> float:
    """Bytes a second that a large copy reads and writes on the device."""
    size = 2**28 if device == "cuda" else 2**25
    source = torch.ones(size, device=device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(5):
        _wait(device)
        started = time.perf_counter()
        for _ in range(4):
            target.copy_(source)
        _wait(device)
        best = min(best, (time.perf_counter() - started) / 4)
    return 8 * size / best


def _speed(device: str, sizes: Sequence[int], rounds: int) -> list[str]:
    """Microseconds per step and model, with one core's `dense` in the same table."""
    bandwidth = _bandwidth(device)
    setting = Setting.of()
    dense = DenseEngine(setting.architecture, setting.dataset, 5)
    dense.train([setting.task()])
    started = time.perf_counter()
    for _ in range(10):
        dense.train([setting.task()])
    core = (time.perf_counter() - started) / 10 / len(setting.batches) * 1e6
    lines = [
        "",
        f"copying on the device: {bandwidth / 1e9:,.0f} GB/s read and written",
        f"{'training, one pass':26}{'us/step/model':>14}{'x faster':>10}{'% of bound':>12}"
        f"{'peak GiB':>10}",
        f"{'dense, one CPU core':26}{core:14.2f}{1:10.1f}",
    ]
    for size in sizes:
        _say(f"{size} models")
        try:
            timed = _timed(setting, device, size, bandwidth, rounds)
        except (RuntimeError, MemoryError) as error:
            lines.append(f"{f'torch, {size:,} models':26}  FAILED: {error}"[:120])
            continue
        peak = "-" if timed.peak_gib is None else f"{timed.peak_gib:.1f}"
        lines.append(
            f"{f'torch, {size:,} models':26}{timed.us_per_step:14.3f}"
            f"{core / timed.us_per_step:10.1f}{timed.share_of_bound:12.0%}{peak:>10}"
        )
    return lines


def _timed(setting: Setting, device: str, models: int, bandwidth: float, rounds: int) -> Timed:
    """The best of some passes of a stack, whose weights are on the device."""
    engine = TorchEngine(setting.architecture, setting.dataset, 5, device, stacked=True)
    pairs = _pairs(setting, min(models, 10))
    held = [
        Pair(*engine.hold([pair.encoder, pair.decoder]))
        for pair in (pairs[k % len(pairs)] for k in range(models))
    ]
    tasks = [setting.task(pair) for pair in held]
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    engine.train(tasks)
    best = float("inf")
    for _ in range(rounds):
        _wait(device)
        started = time.perf_counter()
        engine.train(tasks)
        _wait(device)
        best = min(best, time.perf_counter() - started)
    per_step = best / len(setting.batches) / models
    bound = 4 * PASSES * setting.architecture.n_parameters / bandwidth
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None
    return Timed(models, per_step * 1e6, bound / per_step, peak)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _roofline() -> list[str]:
    """What memory bandwidth allows, for the published study of one figure."""
    size = Setting.of().architecture.n_parameters
    models, steps = 4 * 30 * 10, 400 * 200
    moved = 4 * PASSES * size * models
    lines = [
        "",
        f"roofline: {models:,} models of {size:,} weights, {PASSES} passes over them a step, "
        f"{moved / 1e9:.2f} GB a step, {steps:,} steps",
    ]
    for name, bandwidth in ASSUMED.items():
        per_step = moved / bandwidth
        lines.append(
            f"  {name:12} {bandwidth / 1e12:.2f} TB/s: {per_step * 1e3:.2f} ms a step, "
            f"{per_step * steps:.0f} s for all"
        )
    return lines


# A whole study


def _study(device: str, full: bool, jobs: int | None) -> list[str]:
    """`best_of_lipi`, and whether it comes to what the CPU comes to."""
    small = {} if full else {"trials": 4, "population_size": 4, "epochs": 16, "record_interval": 8}
    asked: dict[str, Any] = {"engine": "torch", "device": device, **small}
    study = resolve_study("best_of_lipi", load_preset("best_of_lipi"), asked)
    trials = study.trials * len(study.variants)
    _say(f"best_of_lipi: {trials} trials")
    with tempfile.TemporaryDirectory() as folder:
        together = None if device == "cuda" else trials
        with _memory_watched(device) as peak:
            elapsed = _run(study, Path(folder) / "ours", jobs or (None if full else 1), together)
        ours = _means(Path(folder) / "ours")
        if full:
            theirs = {
                name: dict(zip((100, 200, 300, 399), values, strict=True))
                for name, values in CPU_STUDY.items()
            }
            n_theirs, beside = CPU_TRIALS, "the CPU's 30 trials"
        else:
            again = {**asked, "engine": "dense", "device": "cpu"}
            reference = resolve_study("best_of_lipi", load_preset("best_of_lipi"), again)
            seconds = _run(reference, Path(folder) / "theirs", jobs or 1, None)
            theirs = _means(Path(folder) / "theirs")
            n_theirs, beside = study.trials, f"dense here, {seconds:.0f} s"
    lines = [
        "",
        f"best_of_lipi, {trials} trials, {trials * study.variants[0].population_size:,} models: "
        f"{elapsed:.0f} s{peak_words(peak)}; beside {beside}",
        f"{'mean_L1 at':26}" + "".join(f"{generation:>18}" for generation in _recorded(ours)),
    ]
    largest = 0.0
    for name, of_variant in ours.items():
        cells = []
        for generation in _recorded(ours):
            mean, sd = of_variant[generation]
            other, other_sd = theirs[name][generation]
            error = np.sqrt(sd**2 / study.trials + other_sd**2 / n_theirs)
            z = abs(mean - other) / max(error, 1e-9)
            largest = max(largest, z)
            cells.append(f"{mean:.4f} {other:.4f}")
        lines.append(f"{name:26}" + "".join(f"{cell:>18}" for cell in cells))
    verdict = "agrees" if largest < LARGEST_Z else "DIFFERS"
    return [*lines, f"largest difference: {largest:.1f} standard errors: {verdict}"]


def _run(study: Study, folder: Path, jobs: int | None, together: int | None) -> float:
    started = time.perf_counter()
    summary = run_study(study, folder, LocalRunner(jobs, together))
    assert summary.failed == 0
    return time.perf_counter() - started


def _means(folder: Path) -> dict[str, dict[int, tuple[float, float]]]:
    """Per variant and recorded generation the mean and deviation over trials of `mean_L1`."""
    table = load_results(folder).generations
    table = table[table["mean_L1"].notna() & (table["generation"] > 0)]
    per_trial = table.groupby(["variant_name", "generation", "trial"])["mean_L1"].mean()
    summary = per_trial.groupby(level=[0, 1]).agg(["mean", "std"]).reset_index()
    found: dict[str, dict[int, tuple[float, float]]] = {}
    for row in summary.to_dict("records"):
        of_variant = found.setdefault(str(row["variant_name"]), {})
        of_variant[int(row["generation"])] = (float(row["mean"]), float(row["std"]))
    return found


def _recorded(found: dict[str, dict[int, tuple[float, float]]]) -> list[int]:
    return sorted(next(iter(found.values())))


@contextmanager
def _memory_watched(device: str) -> Iterator[list[float]]:
    """The most memory, in GiB, that anybody used of the GPU while a block ran."""
    peak: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            free, total = torch.cuda.mem_get_info()
            peak[:] = [max([*peak, (total - free) / 2**30])]

    watcher = threading.Thread(target=watch, daemon=True)
    if device == "cuda":
        watcher.start()
    try:
        yield peak
    finally:
        done.set()
        if device == "cuda":
            watcher.join()


def peak_words(peak: Sequence[float]) -> str:
    """The peak for the table, if it was watched."""
    return f", at most {peak[0]:.1f} GiB of the GPU's memory in use" if peak else ""


def _say(what: str) -> None:
    print(f"... {what}", flush=True)


if __name__ == "__main__":
    main()
