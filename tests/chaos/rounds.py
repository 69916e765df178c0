"""Rounds of a study: each is killed at random moments, run again until it is done, and compared."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from event_logs import replay
from studies import assert_same_study

from aes_lipi.results.cleaning import clean
from chaos.places import Place

STUDY = """
trials: 6
checkpoint_interval: 4
settings:
  {n_clusters: 10, n_examples_per_cluster: 400, n_dim: 400, population_size: 4, epochs: 60,
   prune_method: random, prune_schedule: exponential, record_interval: 5}
"""
MOST_KILLS = 12
"""Of a round; after that it may end."""

PATIENCE_S = 600.0
TESTS = Path(__file__).parents[1]


@dataclass
class Figures:
    """What was done to a study.

    Attributes:
        kills: by kind of process.
        rounds: studies run to their end.
        starts: of the command.
        retried: rounds in which a trial was given up as lost too often, and asked for again.
        resumptions: trials that went on from a checkpoint.
        replayed: events that led to the same actions when the fold was told of them again.
    """

    kills: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    starts: int = 0
    retried: int = 0
    resumptions: int = 0
    replayed: int = 0

    def line(self) -> str:
        """All in one line."""
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.kills.items()))
        return (
            f"{self.kills.total()} kills ({kinds}) in {self.rounds} studies, {self.starts} starts, "
            f"{self.resumptions} resumptions, {self.retried} given up and retried, "
            f"{self.replayed} events replayed"
        )


@dataclass
class Chaos:
    """Runs and kills a study.

    Args:
        folder: made by `prepare`; for everything that is written.
        name: of what is written.
        place: where it runs.
        rng: decides who is killed, and when.
        figures: counts it.
    """

    folder: Path
    name: str
    place: Place
    rng: random.Random
    figures: Figures = field(default_factory=Figures)

    def round(self, most_kills: int) -> None:
        """Run the study to its end, killing on the way, and compare it.

        Raises:
            AssertionError: it ended otherwise than the undisturbed one.
        """
        output = self.folder / f"{self.name}-{self.figures.rounds}"
        kills_left, flags = most_kills, list[str]()
        until = time.monotonic() + PATIENCE_S
        while True:
            assert time.monotonic() < until, f"{output}: not done after {PATIENCE_S} s"
            self.place.mend()
            self.figures.starts += 1
            log = self.folder / f"{self.name}.log"
            with log.open("wb") as stream:
                events = self.folder / f"{self.name}-{self.figures.starts}.jsonl"
                command = [*command_of(self.folder, output, events), *self.place.flags, *flags]
                driver = subprocess.Popen(command, stdout=stream, stderr=stream)
                kills_left -= self._harass(driver, kills_left)
            said = log.read_text(errors="replace")
            if events.exists():
                self.figures.replayed += len(replay(events))
            self.figures.resumptions += said.count("goes on from its checkpoint")
            if driver.returncode == 0:
                break
            assert "Traceback" not in said, said
            given_up = re.search("^failed: ", said, re.MULTILINE) is not None
            flags = ["--retry_failed"] if given_up else []
            self.figures.retried += given_up
        clean(output)
        assert_same_study(self.folder / "whole", output)
        self.figures.rounds += 1

    def _harass(self, driver: subprocess.Popen[bytes], most_kills: int) -> int:
        """Kill now and then until the driver is gone; how many were killed."""
        killed = 0
        kinds = self.place.kinds
        while driver.poll() is None:
            wait = self.rng.uniform(*self.place.pause_s) if killed < most_kills else PATIENCE_S
            try:
                driver.wait(wait)
            except subprocess.TimeoutExpired:
                assert killed < most_kills, f"not done {PATIENCE_S} s after the last kill"
            else:
                break
            [kind] = self.rng.choices(list(kinds), weights=list(kinds.values()))
            if kind == "driver":
                driver.kill()
                driver.wait()
                victim: int | None = driver.pid
            else:
                victim = self.place.kill(kind, driver.pid, self.rng.choice)
            if victim is not None:
                killed += 1
                self.figures.kills[kind] += 1
        return killed


def command_of(folder: Path, output: Path, events: Path) -> list[str]:
    """The command that runs the study, and writes a log of its events."""
    return [
        *(sys.executable, "-m", "chaos.recorded", str(events), "run"),
        *("--config", str(folder / "chaos.yaml"), "--output_dir", str(output)),
    ]


def prepare(folder: Path) -> None:
    """Write the study's file, and run it undisturbed."""
    (folder / "chaos.yaml").write_text(STUDY)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    whole = [
        *command_of(folder, folder / "whole", folder / "whole.jsonl"),
        "--local",
        "--jobs",
        "1",
    ]
    subprocess.run(whole, check=True, capture_output=True)
