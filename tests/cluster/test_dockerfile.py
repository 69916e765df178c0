from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cluster.dockerfile_steps import SKIPPED, build_context, steps
from cluster.manifests import TOP

HADOLINT = Path(sys.executable).parent / "hadolint"
DOCKERFILE = TOP / "Dockerfile"


def values(instruction: str) -> list[str]:
    return [value for each, value in steps(DOCKERFILE) if each == instruction]


def test_hadolint_has_nothing_to_say() -> None:
    subprocess.run([HADOLINT, DOCKERFILE], check=True)


def test_hadolint_would_say_it(tmp_path: Path) -> None:
    careless = tmp_path / "Dockerfile"
    careless.write_text(DOCKERFILE.read_text("utf-8").replace("USER 1000", "USER root"), "utf-8")
    said = subprocess.run([HADOLINT, careless], check=False, capture_output=True, text=True)
    assert said.returncode != 0
    assert "DL3002" in said.stdout


def test_all_stages_start_from_one_pinned_image() -> None:
    images = {value.partition(" AS ")[0] for value in values("FROM")}
    assert len(values("FROM")) == 2
    [image] = images
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", image)


def test_the_image_runs_as_nobody_special() -> None:
    assert values("USER") == ["1000"]


def test_everything_is_installed_from_the_pins() -> None:
    installs = [value for value in values("RUN") if "pip install" in value]
    assert installs
    for install in installs:
        assert "--constraint constraints.txt" in install
        assert "--no-cache-dir" in install


def test_no_package_host_has_a_default() -> None:
    assert values("ARG") == ['TORCH_INDEX=""']
    assert "://" not in DOCKERFILE.read_text("utf-8")


def test_ray_starts_with_a_token_and_the_environment() -> None:
    [*_, environment] = values("ENV")
    for setting in (
        "RAY_AUTH_MODE=token",
        "RAY_max_direct_call_object_size=1000000",
        "RAY_USAGE_STATS_ENABLED=0",
        "OMP_NUM_THREADS=1",
        "PATH=/opt/aes_lipi/bin:$PATH",
    ):
        assert setting in environment.split()


def test_the_build_context_holds_what_is_copied_and_no_more(tmp_path: Path) -> None:
    context = tmp_path / "context"
    build_context(TOP / ".dockerignore", context)
    copied = {
        name.rstrip("/")
        for value in values("COPY")
        if "--from" not in value
        for name in value.split()[:-1]
    }
    assert copied == {path.name for path in context.iterdir()}
    assert not list(context.rglob("__pycache__"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_steps_lead_to_a_study() -> None:
    script = TOP / "tests" / "cluster" / "dockerfile_steps.py"
    done = subprocess.run([sys.executable, script], check=False, capture_output=True, text=True)
    if done.returncode == SKIPPED:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    assert "trial=0000.parquet" in done.stdout
