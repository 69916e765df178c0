"""What is said of Ray and its token, which are looked for as Ray looks."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray

from aes_lipi.errors import UserError
from aes_lipi.execution.ray.connection import _init
from aes_lipi.execution.ray.installation import RayFacts, inspect_ray, ray_findings


def test_without_ray_all_is_well() -> None:
    [found] = ray_findings(RayFacts(None, "", "token", None))
    assert (found.subject, found.state) == ("ray", "well")


def test_another_version_than_was_tested_is_noted() -> None:
    other, _ = ray_findings(RayFacts("2.99.0", "", "disabled", None))
    assert (other.state, "2.60.0" in other.remedy) == ("note", True)
    tested, _ = ray_findings(RayFacts("2.60.0", "head:6379", "disabled", None))
    assert (tested.state, tested.said) == ("well", "2.60.0; head:6379")


@pytest.mark.parametrize(
    ("facts", "state", "remedy"),
    [
        (RayFacts("2.60.0", "", "", "/token"), "well", ""),
        (RayFacts("2.60.0", "", "disabled", None), "well", ""),
        (RayFacts("2.60.0", "", "token", "RAY_AUTH_TOKEN"), "well", ""),
        (RayFacts("2.60.0", "", "", None), "note", "ray get-auth-token --generate"),
        (RayFacts("2.60.0", "", "token", None), "problem", "ray get-auth-token --generate"),
        (
            RayFacts("2.60.0", "", "", "/token", "others may read /token"),
            "problem",
            "chmod 600 /token",
        ),
    ],
)
def test_a_token_is_needed_and_nobody_elses(facts: RayFacts, state: str, remedy: str) -> None:
    _, found = ray_findings(facts)
    assert (found.subject, found.state) == ("ray token", state)
    assert remedy in found.remedy


def test_a_ray_that_takes_too_long_to_start_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Ray 2.60 raises after 30 s, which no machine can be made to need."""

    def init(*_: object, **__: object) -> None:
        raise Exception("The current node timed out during startup. This could happen because")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(UserError, match=r"cannot connect: .* \(try again when less is running"):
        _init("here", "local")


def test_the_token_is_found_where_ray_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert inspect_ray({}).token is None
    path = tmp_path / ".ray/auth_token"
    path.parent.mkdir()
    path.touch(0o600)
    assert (inspect_ray({}).token, inspect_ray({}).fault) == (str(path), None)
    path.chmod(0o644)
    assert inspect_ray({}).fault == f"others may read {path}"
    path.chmod(0o600)
    path.parent.chmod(0o777)
    assert inspect_ray({}).fault == f"others may write in {path.parent}"
    assert inspect_ray({"RAY_AUTH_TOKEN": "x", "RAY_AUTH_MODE": "TOKEN"}).mode == "token"
    assert inspect_ray({"RAY_AUTH_TOKEN": "x"}).token == "RAY_AUTH_TOKEN"
    assert inspect_ray({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")}).token is None
