"""Write Events on the Lease: the job of one thread, best effort and limited."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from kubernetes_leader_election.kube_api.call import Call, boottime
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.lease_events import EventClient
from kubernetes_leader_election.kube_api.results import Answered, Conflict
from kubernetes_leader_election.publish.allowance import Allowance
from kubernetes_leader_election.publish.lease_event import Happening, event_of
from kubernetes_leader_election.publish.worker import Says, now
from kubernetes_leader_election.values import replace

__all__ = ["AT_ONCE", "EVERY", "KEPT", "EventWriter", "event_allowance"]

AT_ONCE: Final = 20
"""Events of one elector in a row: a hand-over is two."""
EVERY: Final = 60.0
"""Seconds until one more, after that: a server keeps each for an hour."""
KEPT: Final = 20
"""Events that wait for a server to take them; the oldest is dropped for a new one."""

_HOPELESS: Final = frozenset({400, 404, 413, 422})
"""Statuses of an Event that no server will ever take: it is not tried again."""


def event_allowance() -> Allowance:
    """Return what one elector may tell, in all its lives."""
    return Allowance(at_once=AT_ONCE, every=EVERY)


class EventWriter:
    """
    Send what happened, once each. A :class:`~.worker.Job`: one thread's.

    Args:
        client: its own: nothing that hangs here keeps the election's connections.
        namespace: of the Lease, and of the Events.
        request_timeout: seconds that one request may take.
        says: hears how it goes.
        allowance: how much may be told; that of the elector, whatever life it is in.
        clock: seconds; never goes back.

    """

    def __init__(
        self,
        client: LeaseClient,
        namespace: str,
        *,
        request_timeout: float,
        says: Says,
        allowance: Allowance,
        clock: Callable[[], float] = now,
    ) -> None:
        self._client = client
        self._events = EventClient(client, namespace)
        self._timeout = request_timeout
        self._says = says
        self._clock = clock
        self._allowance = allowance
        self._waiting: deque[tuple[Mapping[str, Any], int]] = deque()
        """What was not sent yet, the oldest first, and how many that speaks for."""

    def take(self, word: Happening) -> None:
        """Take what happened, if there is not too much of it; see :class:`~.worker.Job`."""
        left_out = self._allowance.take(self._clock())
        if left_out is None:
            return
        if left_out:
            before = (
                "one before it was" if left_out == 1 else f"{left_out} before it were"
            )
            word = replace(word, message=f"{word.message} ({before} left out)")
        if len(self._waiting) >= KEPT:
            self._drop()
        event = event_of(word, suffix=secrets.token_hex(8))
        self._waiting.append((event, left_out + 1))

    def work(self) -> float | None:
        """Send what waits, in its order; see :class:`~.worker.Job`."""
        while self._waiting:
            event, _ = self._waiting[0]
            call = Call(
                deadline=boottime() + self._timeout, option="request_timeout_sec"
            )
            written = self._events.create(event, call=call)
            # A conflict: an earlier try was applied though nobody said so.
            if not isinstance(written, Answered | Conflict):
                if written.error.status in _HOPELESS:
                    self._drop()
                raise written.error
            self._waiting.popleft()
            self._says.went_well()
        return None

    def _drop(self) -> None:
        """Drop the oldest, and with it what it says was left out before."""
        _, count = self._waiting.popleft()
        self._allowance.leave_out(count)

    def close(self) -> None:
        """Close the connections; see :class:`~.worker.Job`."""
        self._client.close()
