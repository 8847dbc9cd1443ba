"""
Tell others of a term through the API: the leader's address, and Events on the Lease.

Best effort, and off the election's path: what happens goes into queues that hold up
nobody, to threads and connections that the election does not use. Nothing of it is
needed for the truth about leadership.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.credentials.base import Credentials
from kubernetes_leader_election.engine.view import View
from kubernetes_leader_election.errors import LeaderElectionError
from kubernetes_leader_election.events import PLANNED
from kubernetes_leader_election.lifecycle.event_log import EventLog
from kubernetes_leader_election.lifecycle.log_throttle import LogThrottle
from kubernetes_leader_election.lifecycle.status import Status
from kubernetes_leader_election.lifecycle.words import nobody_led, why_lost
from kubernetes_leader_election.pods.names import NoNote, pod_name
from kubernetes_leader_election.publish.event_writer import EventWriter, event_allowance
from kubernetes_leader_election.publish.leader_slice import Leader, Place
from kubernetes_leader_election.publish.lease_event import Happening, Reason
from kubernetes_leader_election.publish.own_address import own_address
from kubernetes_leader_election.publish.own_clients import own_client
from kubernetes_leader_election.publish.slice_keeper import Lead, Leave, SliceKeeper
from kubernetes_leader_election.publish.worker import Worker
from kubernetes_leader_election.settings.endpoints import LeaderEndpoints
from kubernetes_leader_election.text import LONGEST_LINE, printable

_SLICE_THREAD: Final = "leader-election-slice"
_EVENTS_THREAD: Final = "leader-election-events"


class Announcer:
    """
    Announce the terms of an elector. Any thread; never blocks, but for ``wait``.

    Args:
        status: of the elector.
        event_log: hears how it goes.

    """

    def __init__(self, status: Status[Any], event_log: EventLog) -> None:
        self._status = status
        self._event_log = event_log
        self._allowance = event_allowance()
        """How many Events it may write, in all its lives."""
        self._slice: Worker[Lead | Leave] | None = None
        """Keeps the leader's address; None: nobody does. By ``begin``."""
        self._events: Worker[Happening] | None = None
        """Writes Events; None: nobody does. By ``begin``."""
        self._address = ""
        """That of this pod; empty where it is not published. By ``begin``."""
        self._uid = ""
        """That of the Lease as last seen, while leading. The engine's thread."""

    def begin(self, credentials: Credentials) -> None:
        """
        Start the threads of one life.

        Raises:
            ConfigurationError: the address of this pod is not known.

        """
        settings = self._status.settings
        endpoints = settings.leader_endpoints
        self._slice = self._events = None  # those of the last life may be ending still
        if endpoints is not None:
            self._address = own_address()
            says = self._told("leader_endpoints")
            keeper = SliceKeeper(
                own_client(credentials),
                self._place(endpoints),
                request_timeout=settings.request_timeout_sec,
                says=says,
            )
            self._slice = self._started(Worker(keeper, says, name=_SLICE_THREAD))
        if settings.kubernetes_events:
            says = self._told("kubernetes_events")
            writer = EventWriter(
                own_client(credentials),
                self._status.namespace or "",
                request_timeout=settings.request_timeout_sec,
                says=says,
                allowance=self._allowance,
            )
            self._events = self._started(Worker(writer, says, name=_EVENTS_THREAD))

    # The engine's thread ------------------------------------------------------

    def acquired(self, event: m.LeadershipAcquired, view: View) -> None:
        """Announce that a term began."""
        snapshot = view.snapshot
        self._uid = (snapshot.uid or "") if snapshot is not None else ""
        if self._slice is not None:
            pod = pod_name()
            leader = Leader(
                identity=event.identity,
                address=self._address,
                pod=None if isinstance(pod, NoNote) else pod,
                lease_uid=self._uid,
                token=event.token_if_any,
            )
            self._slice.put(Lead(leader=leader, still=self._still_leads(event.term)))
        token = "" if event.token_if_any is None else f", token {event.token_if_any}"
        proof = f"; took over: {event.crash_proof}" if event.crash_proof else ""
        if event.no_proof:
            proof = f"; the end of who led before was not proven: {event.no_proof}"
        self._tell(
            "TookOver" if event.crash_proof else "BecameLeader",
            f"{event.identity} became leader (term {event.term}{token})"
            f"{nobody_led(event)}{proof}",
        )

    def lost(self, event: m.LeadershipLost) -> None:
        """Announce that a term ended; its address stays for a successor to replace."""
        if self._slice is not None and not self._status.stopping:
            self._slice.put(Leave(clear=False))
        self._tell(
            "GaveUpLeadership" if event.reason in PLANNED else "LostLeadership",
            f"{event.identity} {why_lost(event.reason, event.detail)} "
            f"(term {event.term})",
        )

    # Any thread ---------------------------------------------------------------

    def work_ended(self) -> None:
        """Take the address out if this elector stops: nobody may be left to lead."""
        if self._slice is not None and self._status.stopping:
            self._slice.put(Leave(clear=True))

    def overdue(self, text: str) -> None:
        """Announce that work does not stop."""
        self._tell("WorkDoesNotStop", f"{self._status.identity}: {text}")

    def end(self) -> None:
        """End the threads, when what is in their queues was tried once more."""
        if self._slice is not None:
            self._slice.put(Leave(clear=True))
            self._slice.end()
        if self._events is not None:
            self._events.end()

    def wait(self, timeout: float) -> None:
        """Wait until the threads have ended, ``timeout`` seconds at most."""
        until = time.monotonic() + timeout
        for worker in (self._slice, self._events):
            if worker is not None:
                worker.wait(max(0.0, until - time.monotonic()))

    # Inside -------------------------------------------------------------------

    def _place(self, endpoints: LeaderEndpoints) -> Place:
        return Place(
            namespace=self._status.namespace or "",
            service=endpoints.service,
            ports=endpoints.slice_ports,
            lease=self._status.settings.lease_name,
        )

    def _still_leads(self, number: int) -> Callable[[], bool]:
        """Return what tells, by the clocks, whether the numbered term still leads."""
        status = self._status

        def still() -> bool:
            current = status.current
            return (
                current is not None
                and current.term.number == number
                and status.current_leader()
                and not current.term.is_lost
            )

        return still

    def _tell(self, reason: Reason, message: str) -> None:
        if self._events is None:
            return
        status = self._status
        self._events.put(
            Happening(
                reason=reason,
                message=message,
                lease=status.settings.lease_name,
                namespace=status.namespace or "",
                lease_uid=self._uid,
                identity=status.identity,
                at=datetime.now(UTC),
            )
        )

    def _told(self, what: str) -> _Told:
        return _Told(self._event_log, self._status, what)

    def _started(self, worker: Worker[Any]) -> Worker[Any] | None:
        try:
            worker.start()
        except (RuntimeError, MemoryError) as error:
            self._event_log.trouble(
                f"no thread for {worker.name}: the election goes on without it",
                error=error,
            )
            return None
        return worker


class _Told:
    """Log how it goes: a failure that recurs once, then at growing intervals."""

    def __init__(self, event_log: EventLog, status: Status[Any], what: str) -> None:
        self._event_log = event_log
        self._status = status
        self._what = what
        self._throttle = LogThrottle()
        """Which failures were said already. One worker's thread, as the next."""
        self._notes = LogThrottle()
        """What else was said already."""

    def failed(self, error: LeaderElectionError) -> None:
        line = self._throttle.line(str(error), now=time.monotonic())
        if line is not None:
            self._say("warning", f"the election goes on; it is tried again: {line}")

    def went_well(self) -> None:
        summary = self._throttle.over(now=time.monotonic())
        if summary is not None:
            self._say("info", f"recovered after {summary}")

    def noted(self, text: str) -> None:
        line = self._notes.line(text, now=time.monotonic())
        if line is not None:
            self._say("info", line)

    def _say(self, level: str, text: str) -> None:
        line = printable(f"{self._what}: {text}", longest=LONGEST_LINE)
        self._event_log.say(level, "%s: %s", self._status.where, line)
