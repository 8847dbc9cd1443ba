"""
Who hears of which change: the open watches, and a bounded queue for each.

A change is turned into bytes once, whoever watches, and put into the queues of those
it concerns; nothing here waits. A watch whose queue is full is cut off: what it has is
sent, then its stream ends cleanly, as the real server does with readers that are too
slow. So one stuck reader costs one queue and holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from kubernetes_leader_election.testing.lease_server.api.resources import Resource
from kubernetes_leader_election.testing.lease_server.api.selectors import Selector
from kubernetes_leader_election.testing.lease_server.http.statuses import encode
from kubernetes_leader_election.testing.lease_server.storage.store import (
    Change,
    Stored,
    watch_line,
)

__all__ = ["Watch", "WatchHub"]

QUEUE_LIMIT = 1024 * 1024
"""Bytes queued for one watch beyond the buffers of the connection: 1 MiB."""

Render = Callable[[str, dict[str, Any]], bytes]
"""Turn kind and object of an event into a line."""


class Watch:
    """One open watch: what it wants to hear, and what it has not been sent yet."""

    def __init__(
        self,
        resource: Resource,
        namespace: str,
        selector: Selector,
        *,
        after: int = 0,
        lag: float = 0.0,
        render: Render | None = None,
        limit: int = QUEUE_LIMIT,
    ) -> None:
        self.resource = resource
        self.namespace = namespace
        self.selector = selector
        self.ended = False
        self.bookmark_due = False
        self._after = after
        self._lag = lag
        self._render = render
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._limit = limit
        self._waiter: asyncio.Future[None] | None = None

    @property
    def index(self) -> tuple[Resource, str, str]:
        """Say where the hub files this watch."""
        return self.resource, self.namespace, self.selector.name

    def offer(self, change: Change) -> None:
        """Hear of a change; it may not concern this watch, or come too early for it."""
        line = self.line_for(change) if change.revision > self._after else None
        if line is not None:
            self.push(line)

    def line_for(self, change: Change) -> bytes | None:
        """Return the line this watch gets for a change, or None."""
        selector = self.selector
        now = change.kind != "DELETED"
        before = change.previous is not None
        if not selector.only_name:
            now = now and selector.matches(change.stored.document)
            before = before and selector.matches(_document(change.previous))
        elif selector.name and selector.name != change.key[2]:
            return None
        if now and before:
            return self._line(change, "MODIFIED")
        if now:
            return self._line(change, "ADDED")
        if not before:
            return None
        if change.kind == "DELETED":
            return self._line(change, "DELETED")
        # It left the selector: the state it had before, under the new version.
        assert change.previous is not None
        metadata = {
            **change.previous.document["metadata"],
            "resourceVersion": str(change.revision),
        }
        document = {**change.previous.document, "metadata": metadata}
        return self.event("DELETED", document)

    def _line(self, change: Change, kind: str) -> bytes:
        if self._render is None and kind == change.kind:
            return change.line
        if self._render is None:
            return watch_line(kind, change.stored.encoded)
        return self._render(kind, change.stored.document)

    def event(self, kind: str, document: dict[str, Any]) -> bytes:
        """Render an event that is nobody else's."""
        if self._render is None:
            return watch_line(kind, encode(document))
        return self._render(kind, document)

    def push(self, line: bytes) -> None:
        """Queue a line, at once or as late as a fault wants it."""
        if self._lag:
            asyncio.get_running_loop().call_later(self._lag, self._push, line)
        else:
            self._push(line)

    def _push(self, line: bytes) -> None:
        """Queue a line, or end the watch if the reader is too slow."""
        if self.ended:
            return
        if self._size > self._limit:
            self.ended = True
        else:
            self._lines.append(line)
            self._size += len(line)
        self._wake()

    def end(self) -> None:
        """End the stream cleanly, after what is queued."""
        self.ended = True
        self._wake()

    def want_bookmark(self) -> None:
        """Ask the stream for a bookmark."""
        self.bookmark_due = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def take(self) -> list[bytes]:
        """Return the queued lines and forget them."""
        lines = list(self._lines)
        self._lines.clear()
        self._size = 0
        return lines

    async def wait(self) -> None:
        """Wait until there is a line, a bookmark is due, or the end."""
        if self._lines or self.ended or self.bookmark_due:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


def _document(stored: Stored | None) -> dict[str, Any]:
    assert stored is not None
    return stored.document


class WatchHub:
    """All open watches, filed so that a change finds the few it concerns."""

    def __init__(self) -> None:
        self._filed: dict[tuple[Resource, str, str], dict[Watch, None]] = {}

    def __len__(self) -> int:
        return sum(len(watches) for watches in self._filed.values())

    def add(self, watch: Watch) -> None:
        """Start to deliver to a watch."""
        self._filed.setdefault(watch.index, {})[watch] = None

    def remove(self, watch: Watch) -> None:
        """Stop to deliver; it is no error if it was never added."""
        filed = self._filed.get(watch.index)
        if filed is not None:
            filed.pop(watch, None)
            if not filed:
                del self._filed[watch.index]

    def publish(self, change: Change) -> None:
        """Tell every watch that may care."""
        resource, namespace, name = change.key
        for index in (
            (resource, namespace, name),
            (resource, namespace, ""),
            (resource, "", name),
            (resource, "", ""),
        ):
            for watch in self._filed.get(index, ()):
                watch.offer(change)
            if not namespace and index[2] == "":
                # Without a namespace the last two places are the first two.
                break

    def watches(self) -> list[Watch]:
        """Return all open watches."""
        return [watch for filed in self._filed.values() for watch in filed]

    def end_all(self) -> None:
        """End every watch cleanly."""
        for watch in self.watches():
            watch.end()
