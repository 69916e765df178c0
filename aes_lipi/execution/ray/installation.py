"""The Ray that is installed here, and the token that lets this user into clusters; ray unasked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aes_lipi.io.ownership import fault, seen, this_account
from aes_lipi.optional import installed_version
from aes_lipi.results.health import Finding

_TESTED = "2.60.0"
_GENERATE = "(umask 077 && ray get-auth-token --generate > /dev/null)"
_ANEW = "a new one"
_OWN = "a Ray that --address local starts has one of its own"


@dataclass(frozen=True)
class RayFacts:
    """What is known of Ray without importing it.

    Attributes:
        version: that is installed; None if none is.
        address: RAY_ADDRESS, of the cluster that studies run on; empty where it is not set.
        mode: RAY_AUTH_MODE: `token`, `disabled`, or empty where it is not set.
        token: where the token is: a path, or the environment; None if there is none.
        fault: what speaks against its file, as that others may read it; None if nothing does.
    """

    version: str | None
    address: str
    mode: str
    token: str | None
    fault: str | None = None


def inspect_ray(environment: Mapping[str, str] = os.environ) -> RayFacts:
    """Look for Ray and its token, as Ray does; no network is asked."""
    found = installed_version("ray")
    mode = environment.get("RAY_AUTH_MODE", "").lower()
    known = (found, environment.get("RAY_ADDRESS", ""), mode)
    if environment.get("RAY_AUTH_TOKEN"):
        return RayFacts(*known, "RAY_AUTH_TOKEN")
    path = Path(environment.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray/auth_token")
    if not path.is_file():
        return RayFacts(*known, None)
    return RayFacts(*known, str(path), _fault_of_token(path.resolve()))


def _fault_of_token(path: Path) -> str | None:
    try:
        return fault(seen(path), this_account(), secret=True)
    except OSError as error:
        return f"{path} cannot be looked at ({error.strerror})"


def ray_findings(facts: RayFacts) -> list[Finding]:
    """Whether Ray can be used, each problem with its remedy; without Ray all is well."""
    if facts.version is None:
        return [Finding("ray", "not installed; studies run on this machine alone")]
    said = f"{facts.version}; {facts.address or 'no RAY_ADDRESS'}"
    found = Finding("ray", said)
    if facts.version != _TESTED:
        found = Finding("ray", said, "note", f"tested with {_TESTED}, which all nodes should have")
    return [found, _of_token(facts)]


def token_complaint(facts: RayFacts) -> Finding | None:
    """What is wrong with the token that a cluster would be joined with; None if nothing is."""
    if facts.mode != "token":
        return None
    if facts.token is None:
        return Finding("ray token", "RAY_AUTH_MODE=token, and none is there", "problem", _GENERATE)
    return None if facts.fault is None else _faulty(facts)


def _faulty(facts: RayFacts) -> Finding:
    remedy = f"chmod 600 {facts.token}, and {_ANEW} if others were there"
    return Finding("ray token", f"{facts.fault}", "problem", remedy)


def _of_token(facts: RayFacts) -> Finding:
    if facts.mode == "disabled":
        said = f"RAY_AUTH_MODE=disabled: clusters let in whoever reaches them; {_OWN}"
        return Finding("ray token", said)
    if facts.fault is not None:
        return _faulty(facts)
    if facts.token is None:
        return token_complaint(facts) or Finding(
            "ray token", f"none; {_OWN}", "note", f"before the first cluster: {_GENERATE}"
        )
    return Finding("ray token", f"{facts.token}; {_OWN}")
