"""What a notebook finds in `aes_lipi.analysis`."""

from __future__ import annotations

import inspect

import pytest

from aes_lipi import analysis


@pytest.mark.parametrize("name", analysis.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """The thing itself, and not a module of its name."""
    found = getattr(analysis, name)
    assert found.__name__ == name
    assert inspect.isclass(found) or inspect.isfunction(found)


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        analysis.nothing  # noqa: B018
