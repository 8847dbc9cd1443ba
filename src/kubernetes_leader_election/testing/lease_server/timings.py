"""How long the server waits before it does what; all in seconds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Timings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """
    The real server's patience. Tests shorten it where they would have to wait.

    ``write`` and ``read`` bound requests while the storage is frozen, ``future`` the
    wait for a resourceVersion not seen yet, ``bookmark`` is the rhythm of bookmarks and
    ``bookmark_before_end`` how long before its end a watch gets one more. Without
    ``timeoutSeconds`` a watch lives for ``watch`` to twice ``watch``. ``health`` is
    when health checks give up on the storage, and ``idle`` when unused connections
    close.
    """

    write: float = 34.0
    read: float = 60.0
    future: float = 3.0
    bookmark: float = 60.0
    bookmark_before_end: float = 2.0
    watch: float = 1800.0
    health: float = 2.0
    idle: float = 90.0
