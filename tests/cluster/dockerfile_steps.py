"""Runs the steps of the Dockerfile where there is no Docker engine.

    sudo .venv/bin/python tests/cluster/dockerfile_steps.py

Each stage is a copy-on-write view of this machine's system (overlayfs), which stands for the base
image, in mount and process namespaces of its own: what a step changes is seen by the later steps of
its stage and by nothing else. The checkout is hidden in there, so that only what COPY brings is
used. pip takes the configuration of this machine. The last step is the quickstart study, cut to one
trial and one epoch, as the user that the image runs as. Exit code 77: something needed is missing.

Not covered, since it needs an engine: that the base image is what its digest says, and the image's
layers and size.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse import DockerfileParser

TOP = Path(__file__).resolve().parents[2]
QUICKSTART = "python run.py --rq quickstart --trials 1 --epochs 1 --output_dir /results/quickstart"
INSIDE = "--inside"
SKIPPED = 77
IMAGE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Stage:
    """One FROM and what follows it."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    directory: str = "/"
    user: str = "0"


def steps(dockerfile: Path) -> list[tuple[str, str]]:
    """Instructions and their values, continued lines joined, comments left out."""
    parser = DockerfileParser(fileobj=io.BytesIO(dockerfile.read_bytes()))
    structure: list[dict[str, str]] = parser.structure
    return [
        (step["instruction"], step["value"])
        for step in structure
        if step["instruction"] != "COMMENT"
    ]


def build_context(ignore: Path, target: Path) -> None:
    """What `docker build` would see: `.dockerignore` leaves out all but what it names."""
    lines = [line.strip() for line in ignore.read_text("utf-8").splitlines() if line.strip()]
    assert lines[0] == "*", "the first line is expected to leave out everything"
    named = [line[1:] for line in lines if line.startswith("!")]
    nested = [line.removeprefix("**/") for line in lines if line.startswith("**/")]
    assert len(named) + len(nested) + 1 == len(lines), "a form of pattern not known here"
    target.mkdir()
    for name in named:
        source = TOP / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns(*nested))
        else:
            shutil.copy(source, target / name)


def fresh_stage(room: Path, name: str) -> Stage:
    """A copy-on-write view of this machine, with Python where the base image has it."""
    root = room / name / "root"
    for part in ("upper", "work", "root"):
        (room / name / part).mkdir(parents=True)
    layers = f"lowerdir=/,upperdir={room / name / 'upper'},workdir={room / name / 'work'}"
    _mount("-t", "overlay", "overlay", "-o", layers, str(root))
    for system in ("proc", "dev", "sys"):
        _mount("--rbind", f"/{system}", str(root / system))
    for hidden in (str(TOP).lstrip("/"), "tmp"):  # in this order: the checkout may lie in /tmp
        _mount("-t", "tmpfs", "tmpfs", str(root / hidden))
    (root / "tmp").chmod(0o1777)
    interpreter = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    for folder in reversed(interpreter.parents):  # readable for all, as in the base image
        inside = root / str(folder).lstrip("/")
        inside.chmod(inside.stat().st_mode | 0o055)
    for alias in ("python", "python3"):  # no link: venv would look for the library beside it
        command = root / "usr/local/bin" / alias
        command.unlink(missing_ok=True)
        command.write_text(f'#!/bin/sh\nexec {interpreter} "$@"\n', "utf-8")
        command.chmod(0o755)
    for accounts in ("passwd", "group"):  # the base image has none of people
        file = root / "etc" / accounts
        kept = [line for line in file.read_text("utf-8").splitlines() if not _of_a_person(line)]
        file.write_text("\n".join(kept) + "\n", "utf-8")
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    return Stage(root, {"PATH": IMAGE_PATH, "HOME": "/root", **pip})


def run(stage: Stage, command: str) -> None:
    """A RUN step: the shell form, in the stage's folder, as its user."""
    print(f"RUN {command}", flush=True)
    environment = dict(stage.environment)
    argv = ["chroot", f"--userspec={stage.user}:{stage.user}", str(stage.root), "/bin/sh", "-c"]
    script = f"cd {shlex.quote(stage.directory)} && {command}"
    if stage.user != "0":
        environment["HOME"] = _home_of(stage, stage.user)
    subprocess.run([*argv, script], env=environment, check=True)


def copy(stage: Stage, words: list[str], sources: Path, owner: str = "0") -> None:
    """A COPY step: files into a folder, or a folder's content into a folder."""
    *names, target = words
    destination = stage.root / str(Path(stage.directory) / target).lstrip("/")
    for name in names:
        source = sources / name.lstrip("/")
        assert source.exists(), f"COPY {name}: there is no such file in the build context"
        if source.is_dir():
            shutil.copytree(source, destination, symlinks=True, dirs_exist_ok=True)
        else:
            into = destination / source.name if target.endswith("/") else destination
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, into)


def apply(
    stage: Stage, stages: dict[str, Stage], context: Path, instruction: str, value: str
) -> None:
    """Do one step of a stage."""
    words = shlex.split(value)
    match instruction:
        case "RUN":
            run(stage, value)
        case "COPY":
            print(f"COPY {value}", flush=True)
            options = [word for word in words if word.startswith("--")]
            sources = context
            for option in options:
                assert option.startswith("--from="), f"COPY {option}: not known here"
                sources = stages[option.removeprefix("--from=")].root
            copy(stage, [word for word in words if word not in options], sources)
        case "ENV":
            for word in words:
                name, _, given = word.partition("=")
                stage.environment[name] = given.replace("$PATH", stage.environment["PATH"])
        case "ARG":
            name, _, default = value.partition("=")
            stage.environment[name] = os.environ.get(name, default.strip('"'))
        case "WORKDIR":
            stage.directory = value
            (stage.root / value.lstrip("/")).mkdir(parents=True, exist_ok=True)
        case "USER":
            stage.user = value
        case "CMD":
            pass
        case _:
            raise AssertionError(f"{instruction}: not known here")


def build(room: Path) -> Stage:
    """Do all steps; the last stage is the image."""
    context = room / "context"
    build_context(TOP / ".dockerignore", context)
    stages: dict[str, Stage] = {}
    stage = None
    for instruction, value in steps(TOP / "Dockerfile"):
        if instruction == "FROM":
            image, _, name = value.partition(" AS ")
            print(f"FROM {image}: this machine stands for it", flush=True)
            name = name or f"stage-{len(stages)}"
            stage = stages[name] = fresh_stage(room, name)
        else:
            assert stage is not None, "FROM comes first"
            apply(stage, stages, context, instruction, value)
    assert stage is not None
    return stage


def main() -> int:
    if INSIDE in sys.argv:
        _mount("--make-rprivate", "/")
        image = build(Path(os.environ["ROOM"]))
        assert image.user not in ("0", "root"), "the image runs as root"
        run(image, f"id --user && {QUICKSTART} && ls /results/quickstart/trials/*/*.parquet")
        return 0
    if sys.platform != "linux" or os.geteuid() != 0:
        print("skipped: needs Linux and root, for namespaces of its own", file=sys.stderr)
        return SKIPPED
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*namespaces, "true"], check=False, capture_output=True).returncode != 0:
        print("skipped: needs the right to make namespaces", file=sys.stderr)
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="aes-lipi-image.", dir="/var/tmp") as room:
        command = [*namespaces, sys.executable, __file__, INSIDE]
        return subprocess.run(command, env={**os.environ, "ROOM": room}, check=False).returncode


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _of_a_person(account: str) -> bool:
    number = account.split(":")[2]
    return number.isdigit() and 1000 <= int(number) < 65534


def _home_of(stage: Stage, user: str) -> str:
    lines = (stage.root / "etc/passwd").read_text("utf-8").splitlines()
    homes = {line.split(":")[2]: line.split(":")[5] for line in lines}
    return homes[user]


if __name__ == "__main__":
    sys.exit(main())
