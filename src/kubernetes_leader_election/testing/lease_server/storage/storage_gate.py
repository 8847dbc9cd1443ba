"""
The way to the storage, which can be shut: etcd that hangs.

Requests that need the storage wait here; those that are answered from memory do not.
A write that gave up waiting may still be applied when the storage comes back, as it
happens with the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["StorageGate"]


class StorageGate:
    """Let requests pass, or hold them until the storage is back."""

    def __init__(self) -> None:
        self._shut: asyncio.Event | None = None
        self._late: list[Callable[[], object]] = []
        self._apply_late = False

    @property
    def shut(self) -> bool:
        """Return whether the storage hangs."""
        return self._shut is not None

    def close(self, *, apply_late: bool) -> None:
        """Let the storage hang; ``apply_late`` applies given-up writes afterwards."""
        self._apply_late = apply_late
        if self._shut is None:
            self._shut = asyncio.Event()

    def open(self) -> None:
        """Bring the storage back: given-up writes first, then who still waits."""
        if self._shut is None:
            return
        shut, self._shut = self._shut, None
        late, self._late = self._late, []
        for write in late:
            write()
        shut.set()

    async def passed(self, seconds: float) -> bool:
        """Wait for the storage so many seconds at most, and tell whether it is there."""
        if self._shut is None:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._shut.wait()
        except TimeoutError:
            return False
        return True

    def give_up(self, write: Callable[[], object]) -> None:
        """Leave a write behind that nobody waits for any more."""
        if self._apply_late:
            self._late.append(write)
