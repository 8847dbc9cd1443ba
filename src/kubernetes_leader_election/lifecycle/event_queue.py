"""Events on their way to the handlers: in order, bounded, the vital ones never lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from kubernetes_leader_election.events import (
    ElectorEvent,
    LeadershipAcquired,
    LeadershipLost,
)
from kubernetes_leader_election.lifecycle.term_work import TermWork, WorkItem
from kubernetes_leader_election.process import native

ROOM: Final = 256
"""Events that may wait; an elector sees a few in a minute, so this is a stuck handler."""


class QueuedEvent(NamedTuple):
    """One event, and what its delivery belongs to."""

    event: ElectorEvent
    work: TermWork | None
    """The work of the term in progress, if any."""
    hold: WorkItem | None
    """Ended when the handlers have run: that of a lost event holds up the release."""


class EventQueue:
    """Keep events in their order. Any thread; never blocks."""

    def __init__(self) -> None:
        self._lock = native.RLock()  # reentrant, as that of the work
        self._queued: deque[QueuedEvent] = deque()

    def __bool__(self) -> bool:
        """Return whether events wait."""
        return bool(self._queued)

    @property
    def is_full(self) -> bool:
        """Return whether only vital events are taken."""
        return len(self._queued) >= ROOM

    def put(self, queued: QueuedEvent) -> bool:
        """Add an event; False if there was no room and it could be missed (G4)."""
        vital = isinstance(queued.event, LeadershipAcquired | LeadershipLost)
        with self._lock:
            if not vital and self.is_full:
                return False
            self._queued.append(queued)
        return True

    def take(self) -> QueuedEvent | None:
        """Return the oldest event; None when there is none."""
        with self._lock:
            return self._queued.popleft() if self._queued else None

    def empty(self) -> list[QueuedEvent]:
        """Take all events."""
        with self._lock:
            queued_events = list(self._queued)
            self._queued.clear()
        return queued_events


def drop(queued_events: Iterable[QueuedEvent]) -> int:
    """End the holds of events that nobody delivers; tell how many were vital."""
    vital = 0
    for queued in queued_events:
        vital += isinstance(queued.event, LeadershipAcquired | LeadershipLost)
        if queued.hold is not None:
            queued.hold.end()
    return vital
