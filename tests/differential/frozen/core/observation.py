"""
What a candidate knows of the Lease, and since when on its own clocks.

Expiry is timed from the first receipt of the record as it stands (rule 1), by the
record's own duration and by the clock that shows the least (rule 14).
"""

from __future__ import annotations

from tests.differential.frozen.core.record import LeaseRecord, Snapshot
from tests.differential.frozen.core.states import EXPIRED, FREE, HELD, Fact
from tests.differential.frozen.core.timing import Now


class Observation:
    """Follow one Lease. Mutable, owned by one :class:`~.election.Election`."""

    __slots__ = (
        "_held_for",
        "_own_duration",
        "holder",
        "missing",
        "resource_version",
        "seen_before",
        "since",
        "snapshot",
        "version",
        "wait",
        "watch_from",
    )

    def __init__(self, own_duration: int) -> None:
        self._own_duration = own_duration
        """Seconds that what says nothing of it is good for."""
        self._held_for = 0.0
        """What the last record was good for; kept when all else is forgotten."""
        self.seen_before = False
        """Whether this process ever saw the Lease (rule 4)."""
        self.snapshot: Snapshot | None = None
        """The Lease as last seen; None where it is gone, or nothing is known."""
        self.holder = ""
        """Who holds the Lease by that snapshot; empty where nobody does."""
        self.since: Now | None = None
        """First receipt of what is known now."""
        self.missing = False
        """Whether the Lease was last seen not to be there."""
        self.wait = float(own_duration)
        """Seconds that what is known now is good for."""
        self.resource_version = ""
        """Newest resourceVersion of the Lease heard of."""
        self.version: int | None = None
        """The same as a number."""
        self.watch_from = ""
        """The resourceVersion from which a watch goes on: that, or a bookmark."""

    def forget(self) -> None:
        """Drop what is known, except that it was held and for how long (rule 4)."""
        self.snapshot, self.since, self.missing = None, None, False
        self.holder = ""
        self.resource_version = self.watch_from = ""
        self.version = None

    @property
    def is_free(self) -> bool:
        """Return whether the Lease was last seen there, and held by nobody."""
        return self.snapshot is not None and not self.holder

    @property
    def record(self) -> LeaseRecord | None:
        """Return the record as last seen; None when nothing is known or it is gone."""
        return self.snapshot.record if self.snapshot is not None else None

    def is_news(self, snapshot: Snapshot) -> bool | None:
        """Return whether ``snapshot`` is newer than all known; None: not comparable."""
        if self.version is None:
            return None if self.resource_version else True
        if snapshot.version is None:
            return None
        return snapshot.version > self.version

    def hear(self, resource_version: str, version: int | None) -> None:
        """Note the resourceVersion of news about the Lease."""
        self.resource_version = self.watch_from = resource_version
        self.version = version

    def bookmark(self, resource_version: str, version: int | None) -> None:
        """Note where a watch has come to. It says nothing about the Lease itself."""
        if version is not None and version > (self.version or 0):
            self.watch_from = resource_version

    def see(self, snapshot: Snapshot, now: Now) -> bool:
        """Take a snapshot as what stands now; tell whether the record changed."""
        before = self.snapshot
        _, record, uid, resource_version, version = snapshot
        changed = before is None or before.record != record or before.uid != uid
        self.snapshot = snapshot
        self.missing = False
        self.seen_before = True
        self.resource_version = self.watch_from = resource_version
        self.version = version
        if changed:
            self.since = now
            self.holder = record.holder_identity
            self.wait = float(record.duration(self._own_duration))
            self._held_for = self.wait if self.holder else 0.0
        return changed

    def see_missing(self, now: Now) -> bool:
        """Take it that the Lease is gone; tell whether that is new."""
        if self.missing:
            return False
        self.snapshot, self.missing, self.since = None, True, now
        self.holder = ""
        # Rule 4: whoever held it last, seen or not, may believe for a full duration.
        self.wait = max(float(self._own_duration), self._held_for)
        return True

    def left(self, now: Now) -> float:
        """Return the seconds until what is known is expired, on the slower clock."""
        since = self.since
        if since is None:
            return self.wait
        # As elapsed_for_candidate does, which is dear to call as often as this.
        by_boottime, by_monotonic = now[0] - since[0], now[1] - since[1]
        return self.wait - (by_monotonic if by_monotonic < by_boottime else by_boottime)

    def verdict(self, now: Now) -> Fact | None:
        """Judge what is known: HELD, FREE, EXPIRED, or None where nothing is."""
        if self.since is None:
            return None
        if not self.holder:
            if self.snapshot is not None or not self.seen_before:
                return FREE
        # G1: by the record's own duration, counted after its first receipt.
        return EXPIRED if self.left(now) <= 0.0 else HELD
