"""Optional dependencies: packages that are installed by an extra, or not at all."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from aes_lipi.errors import UserError


def installed_version(package: str) -> str | None:
    """The version of a package that is installed here; None if none is."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def is_installed(module: str) -> bool:
    """Whether a module could be imported, which is not tried: it may take seconds."""
    return find_spec(module) is not None


def not_installed(what: str, package: str, extra: str) -> UserError:
    """The mistake of asking for something that needs a package which is not there.

    Args:
        what: is asked for.
        package: that it needs.
        extra: of this package, which brings it.
    """
    return UserError(
        f"{what} needs {package}, which is not installed; pip install 'aes_lipi[{extra}]'"
    )
