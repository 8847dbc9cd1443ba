"""
What an elector tells: events to the handlers, lines to the log.

Nothing here waits: a handler or a log that blocks holds up neither the engine nor the
signals.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, assert_never

from kubernetes_leader_election.core import messages
from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.events import (
    ElectorEvent,
    ErrorOccurred,
    Handler,
    LeaderChanged,
    LeadershipAcquired,
    LeadershipLost,
    LeaseRenewed,
)
from kubernetes_leader_election.lifecycle.event_queue import (
    ROOM,
    EventQueue,
    QueuedEvent,
    drop,
)
from kubernetes_leader_election.lifecycle.handlers import Handlers, name_of
from kubernetes_leader_election.lifecycle.log_throttle import LogThrottle
from kubernetes_leader_election.lifecycle.term_work import EventLoop, TermWork, WorkItem
from kubernetes_leader_election.process.log_thread import shared_log_thread
from kubernetes_leader_election.settings.options import Settings
from kubernetes_leader_election.text import one_line


class Dispatcher(Protocol):
    """Who calls the handlers, in the order of the events."""

    @property
    def loop(self) -> EventLoop | None:
        """The event loop on which handlers run, where there is one."""
        ...

    def wake(self) -> None:
        """
        Say that there may be events, now or soon, or that the life is over.

        Any thread; never blocks, never raises.
        """
        ...


class Notifier:
    """
    Tell the handlers and the log of one elector.

    Args:
        settings: checked settings.
        log: the application's logger.
        namespace: gives the namespace, as far as it is known.

    """

    def __init__(
        self, *, settings: Settings, log: Any, namespace: Callable[[], str | None]
    ) -> None:
        self.handlers = Handlers()
        self.event_queue = EventQueue()
        self.log = log
        self.dispatcher: Dispatcher | None = None
        self._settings = settings
        self._namespace = namespace
        self._dropped = 0
        self._throttle = LogThrottle()
        # Reentrant: the collector of garbage may close a scope here, which is reported.
        self._lock = threading.RLock()
        # A signal handler of the application may stop the elector inside of it.
        self._attaching = threading.RLock()

    # Who calls the handlers ---------------------------------------------------

    def attach(self, attach: Callable[[Dispatcher | None], Dispatcher]) -> None:
        """Let ``attach`` choose who calls the handlers, given who did so before."""
        with self._attaching:
            self.dispatcher = attach(self.dispatcher)

    def detach(
        self, dispatcher: Dispatcher, under_way: QueuedEvent | None = None
    ) -> int:
        """
        Drop what this dispatcher can deliver no more; tell how many events were vital.

        Of one that another one has followed only what was under way: what waits is
        delivered by that other one (G4).
        """
        queued_events = [] if under_way is None else [under_way]
        with self._attaching:
            if self.dispatcher is dispatcher:
                queued_events += self.event_queue.empty()
        return drop(queued_events)

    @property
    def _where(self) -> str:
        return f"Lease {self._namespace() or '?'}/{self._settings.lease_name}"

    # Events -------------------------------------------------------------------

    def deliver(
        self,
        event: m.Event,
        *,
        token: int | None,
        assumed: bool,
        work: TermWork | None,
        hold: WorkItem | None = None,
    ) -> None:
        """
        Send an event to the handlers.

        Args:
            event: what happened.
            token: the fencing token of the term in progress, if any.
            assumed: whether there is no cluster, so that nobody else was asked.
            work: its work.
            hold: ended when the handlers have run, or when there are none.

        """
        dispatcher = self.dispatcher
        told = payload(
            event,
            lease=self._settings.lease_name,
            namespace=self._namespace() or "",
            identity=self._settings.identity,
            token=token,
            assumed=assumed,
        )
        if dispatcher is None or not self.handlers.count(told.name):
            if hold is not None:
                hold.end()
            return
        if not self.event_queue.put(QueuedEvent(told, work, hold)):
            self._count_dropped()
        elif self._dropped and not self.event_queue.is_full:
            dropped, self._dropped = self._dropped, 0
            self.trouble(f"{dropped} events were dropped: see above")
        dispatcher.wake()

    def _count_dropped(self) -> None:
        self._dropped += 1
        if self._dropped == 1:
            self.trouble(
                f"{ROOM} events wait for a handler that takes too long: further ones "
                "are dropped, but none of leadership_acquired and leadership_lost"
            )

    # Log ----------------------------------------------------------------------

    def trouble(self, text: str, trace: str = "") -> None:
        """Log what went wrong in code of the application; the election goes on."""
        self.say("error", "%s: %s%s", self._where, text, trace and f"\n{trace}")

    def raised(
        self, handler: Handler, event: ElectorEvent, error: BaseException
    ) -> None:
        """Log what a handler raised; the election and the other handlers go on."""
        name = name_of(handler)
        trace = "".join(traceback.format_exception(error))
        self.trouble(f"the handler {name} of {event.name} raised", trace)

    def too_late(self, event: ElectorEvent) -> None:
        """Log that an acquisition is told no more, as its term is over (G2)."""
        self.say(
            "warning",
            "%s: the Lease was lost before every handler of %s could be called: the "
            "others are not, and hear of the loss. A handler before took too long",
            self._where,
            event.name,
        )

    def log_event(self, event: m.Event) -> None:
        """Log an event that is worth a line."""
        match event:
            case m.ErrorOccurred(error=error):
                with self._lock:
                    line = self._throttle.line(str(error), now=time.monotonic())
                if line is not None:
                    self.say("warning", "%s", one_line(line))
            case m.LeaderChanged(holder_identity=holder):
                # fault 51: text of others is escaped and cut where it is shown.
                shown = "nobody" if holder is None else ascii(holder[:100])
                self.say("info", "%s: held by %s", self._where, shown)
            case m.LeaseRenewed():
                self.well_again()
            case _:
                pass

    def well_again(self) -> None:
        """Say that errors are over, if there were any; the next one is news again."""
        with self._lock:
            summary = self._throttle.over(now=time.monotonic())
        if summary is not None:
            self.say("info", "%s: well again after %s", self._where, summary)

    def error(self, msg: str, /, *args: object) -> None:
        """Log what nobody foresaw; for the engine, which must not wait for a log."""
        self.say("error", msg, *args)

    def say(self, level: str, text: str, *args: object) -> None:
        """Log on a thread that may wait: a log handler can block."""
        shared_log_thread().call(
            lambda: getattr(self.log, level)(text, *args), may_drop=True
        )


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def payload(
    event: messages.Event,
    *,
    lease: str,
    namespace: str,
    identity: str,
    token: int | None,
    assumed: bool = False,
) -> ElectorEvent:
    """
    Turn an event of the core into what handlers get.

    ``token`` is that of the term in progress; an acquisition brings its own. ``assumed``
    says that there is no cluster.
    """
    match event:
        case messages.LeadershipAcquired():
            return LeadershipAcquired(
                lease=lease,
                namespace=namespace,
                identity=identity,
                term=event.term,
                token_if_any=event.token,
                assumed=assumed,
            )
        case messages.LeadershipLost():
            return LeadershipLost(
                lease=lease,
                namespace=namespace,
                identity=identity,
                term=event.term,
                token=token,
                reason=event.reason,
                detail=event.detail,
            )
        case messages.LeaseRenewed():
            return LeaseRenewed(
                lease=lease,
                namespace=namespace,
                identity=identity,
                term=event.term,
                token=token,
                # Not fromtimestamp: a float cannot hold every microsecond.
                renew_time=_EPOCH + timedelta(microseconds=event.renew_time),
            )
        case messages.LeaderChanged():
            return LeaderChanged(
                lease=lease,
                namespace=namespace,
                identity=identity,
                holder_identity=event.holder_identity,
            )
        case messages.ErrorOccurred():
            return ErrorOccurred(
                lease=lease, namespace=namespace, identity=identity, error=event.error
            )
        case _:  # pragma: no cover
            assert_never(event)
