"""What engines have in common that compute on this process's own memory."""

from __future__ import annotations

from collections.abc import Sequence

from aes_lipi.autoencoders.network import Network


class OnHost:
    """An engine that keeps networks nowhere but in this process."""

    def hold(self, networks: Sequence[Network]) -> list[Network]:
        """The networks as they are; see `Engine.hold`."""
        return list(networks)

    def fetch(self, networks: Sequence[Network]) -> None:
        """Nothing to do; see `Engine.fetch`."""

    def release(self) -> None:
        """Nothing to do; see `Engine.release`."""

    def is_lost(self) -> bool:
        """Never; see `Engine.is_lost`."""
        return False
