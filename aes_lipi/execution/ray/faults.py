"""What may be lost on a cluster."""

from __future__ import annotations

from ray.exceptions import (
    GetTimeoutError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    TaskCancelledError,
    WorkerCrashedError,
)

_LOST = (
    RayActorError,
    ObjectLostError,
    WorkerCrashedError,
    NodeDiedError,
    OutOfMemoryError,
    GetTimeoutError,
    TaskCancelledError,
)


def is_lost(error: Exception) -> bool:
    """Whether an error means that a process, a node or an object is gone.

    An error that a step itself raised is not: it would come again.
    """
    if isinstance(error, _LOST):
        return True
    if isinstance(error, RayTaskError):
        cause = cause_of(error)
        return cause is not error and is_lost(cause)
    return isinstance(error, RayError)


_NOT_LOADED = "failed to import on the worker"


def unimportable(error: Exception) -> str | None:
    """What a node cannot import, and what to do about it; None of any other error.

    Ray has a `RuntimeError` of its own for a function or an actor that it cannot load.
    """
    cause = cause_of(error)
    if not isinstance(cause, ImportError) and _NOT_LOADED not in str(cause):
        return None
    what = " ".join(str(cause).split())[:300]
    return (
        f"a node of the cluster cannot import what it needs ({what}); install the project with its "
        "pins on every node"
    )


def cause_of(error: Exception) -> Exception:
    """What a remote call raised, out of its wrapping."""
    cause = getattr(error, "cause", None) if isinstance(error, RayTaskError) else None
    return cause_of(cause) if isinstance(cause, Exception) else error
