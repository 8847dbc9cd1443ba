"""
Which writes of its own a process cannot have forgotten, whatever its core is like.

Rule 5 says when a write is forgotten: when another record, or a deletion, is seen that
is newer than what it was based on, or a read shows that the Lease went back. What is
newer to a process depends on the order in which it was told. So checkers expect it to
know a write again only where there is nothing to judge: since it ordered that write it
was told of nothing but that write, or of what the write was based on.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kubernetes_leader_election.testing.simulation.store import Stored

WRITES_KEPT: Final = 32
"""Acquires that an elector remembers (rule 5): of older ones nothing is expected."""

Times = tuple[object, object]
"""Acquire and renew time of a write, by which it is known again."""


class _Written(NamedTuple):
    uid: str
    """Of its Lease; empty for one that it creates, before it is shown that."""
    base: tuple[int, int] | None
    """Restores and version of what it is based on, until it is shown itself."""


class OwnMemory:
    """Remember what was written since the last news. One process's own."""

    __slots__ = ("_identity", "_written")

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self._written: dict[Times, _Written] = {}
        """Writes after which nothing else was told of, oldest first."""

    def ordered(self, times: Times, base: Stored | None) -> None:
        """Take it that a write is ordered, on what was shown; None: it creates one."""
        written = self._written
        if base is None:
            written[times] = _Written("", None)
        else:
            written[times] = _Written(base.uid, base.mark)
        if len(written) > WRITES_KEPT:
            del written[next(iter(written))]

    def shown(self, stored: Stored) -> None:
        """Take it that the process was shown the Lease, by whatever answer or event."""
        written = self._written
        if not written:
            return
        times, mark, uid = stored.key[3:5], stored.mark, stored.uid
        own = written.get(times)
        if own is not None and stored.holder == self._identity:
            own = _Written(uid, None) if own.uid in ("", uid) else None
        else:
            own = None
        if own is not None and len(written) == 1:
            written[times] = own
            return
        kept = {t: w for t, w in written.items() if w.base == mark}
        if own is not None:
            kept[times] = own
        self._written = kept

    def shown_none(self) -> None:
        """Take it that a read found no Lease: what creates one may land yet."""
        if self._written:
            self._written = {t: w for t, w in self._written.items() if not w.uid}

    def forget(self) -> None:
        """Take it that the process was shown a deletion."""
        self._written = {}

    def knows(self, stored: Stored) -> bool:
        """Return whether the process knows for certain that it wrote a record."""
        own = self._written.get(stored.key[3:5])
        if own is None or stored.holder != self._identity:
            return False
        return own.uid in ("", stored.uid)
