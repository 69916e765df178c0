"""The Ray that is installed here, and the token that lets this user into clusters; ray unasked."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from aes_lipi.results.health import Finding

_TESTED = "2.60.0"
_GENERATE = "ray get-auth-token --generate"


@dataclass(frozen=True)
class RayFacts:
    """What is known of Ray without importing it.

    Attributes:
        version: that is installed; None if none is.
        address: RAY_ADDRESS, of the cluster that studies run on; empty where it is not set.
        mode: RAY_AUTH_MODE: `token`, `disabled`, or empty where it is not set.
        token: where the token is: a path, or the environment; None if there is none.
        readable: permissions of its file that others than its owner have; 0 of none.
    """

    version: str | None
    address: str
    mode: str
    token: str | None
    readable: int


def inspect_ray(environment: Mapping[str, str] = os.environ) -> RayFacts:
    """Look for Ray and its token, as Ray does; no network is asked."""
    try:
        found: str | None = version("ray")
    except PackageNotFoundError:
        found = None
    mode = environment.get("RAY_AUTH_MODE", "").lower()
    known = (found, environment.get("RAY_ADDRESS", ""), mode)
    if environment.get("RAY_AUTH_TOKEN"):
        return RayFacts(*known, "RAY_AUTH_TOKEN", 0)
    path = Path(environment.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray/auth_token")
    if not path.is_file():
        return RayFacts(*known, None, 0)
    return RayFacts(*known, str(path), stat.S_IMODE(path.stat().st_mode) & 0o077)


def ray_findings(facts: RayFacts) -> list[Finding]:
    """Whether Ray can be used, each problem with its remedy; without Ray all is well."""
    if facts.version is None:
        return [Finding("ray", "not installed; studies run on this machine alone")]
    said = f"{facts.version}; {facts.address or 'no RAY_ADDRESS'}"
    found = Finding("ray", said)
    if facts.version != _TESTED:
        found = Finding("ray", said, "note", f"tested with {_TESTED}, which all nodes should have")
    return [found, _of_token(facts)]


def _of_token(facts: RayFacts) -> Finding:
    if facts.mode == "disabled":
        return Finding("ray token", "RAY_AUTH_MODE=disabled: clusters let in whoever reaches them")
    if facts.token is None and facts.mode == "token":
        return Finding("ray token", "RAY_AUTH_MODE=token, and none is there", "problem", _GENERATE)
    if facts.token is None:
        return Finding("ray token", "none", "note", f"before the first cluster: {_GENERATE}")
    if facts.readable:
        said = f"others may read or change {facts.token}"
        return Finding("ray token", said, "problem", f"chmod 600 {facts.token}")
    return Finding("ray token", facts.token)
