"""
Events on their way from the election to the handlers of an elector.

Nothing here waits: a handler that blocks holds up neither the engine nor the signals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from kubernetes_leader_election.events import ElectorEvent
from kubernetes_leader_election.lifecycle.event_log import EventLog
from kubernetes_leader_election.lifecycle.event_queue import (
    ROOM,
    EventQueue,
    QueuedEvent,
    drop,
)
from kubernetes_leader_election.lifecycle.handlers import Handlers
from kubernetes_leader_election.lifecycle.term_work import EventLoop, TermWork, WorkItem
from kubernetes_leader_election.process import native


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
    Send events to the handlers of one elector.

    Args:
        event_log: hears of events that were dropped.

    """

    def __init__(self, event_log: EventLog) -> None:
        self.handlers = Handlers()
        """Who wants to hear of which event."""
        self.event_queue = EventQueue()
        """What waits for them."""
        self.dispatcher: Dispatcher | None = None
        """Who calls them; None: nobody does, before the first start. By ``attach``."""
        self.event_log = event_log
        """Hears of events that were dropped."""
        self._dropped = 0
        """How many were, since that was said last. The engine's thread."""
        # A signal handler of the application may stop the elector inside of it.
        self._attaching = native.RLock()

    @property
    def loop(self) -> EventLoop | None:
        """The event loop on which handlers run, where there is one."""
        return None if self.dispatcher is None else self.dispatcher.loop

    # Who calls the handlers ---------------------------------------------------

    def attach(self, attach: Callable[[Dispatcher | None], Dispatcher]) -> None:
        """Let ``attach`` choose who calls the handlers, given who did so before."""
        with self._attaching:
            self.dispatcher = attach(self.dispatcher)

    def detach(
        self, dispatcher: Dispatcher, under_way: QueuedEvent | None = None
    ) -> None:
        """
        Drop what this dispatcher can deliver no more; log it if any of that was vital.

        Of one that another one has followed only what was under way: what waits is
        delivered by that other one (G4).
        """
        queued_events = [] if under_way is None else [under_way]
        with self._attaching:
            if self.dispatcher is dispatcher:
                queued_events += self.event_queue.empty()
        if not drop(queued_events):
            return
        loop = dispatcher.loop
        if loop is None:
            self.event_log.trouble(
                "events can no longer be delivered: no thread can be started while "
                "the interpreter exits. Call stop() before the program ends."
            )
            return
        end = "is closed" if loop.is_closed() else "has stopped"
        self.event_log.trouble(
            f"the event loop that called start() {end}, so handlers can no longer be "
            "called. Call stop() before the loop ends."
        )

    # Events -------------------------------------------------------------------

    def deliver(
        self,
        event: ElectorEvent,
        *,
        work: TermWork | None,
        hold: WorkItem | None = None,
    ) -> None:
        """
        Send an event to the handlers.

        Args:
            event: what happened.
            work: that of the term in progress, if any.
            hold: ended when the handlers have run, or when there are none.

        """
        queued = QueuedEvent(event, work, hold)
        dispatcher = self.dispatcher
        if dispatcher is None or not self.handlers.count(queued.event.name):
            if queued.hold is not None:
                queued.hold.end()
            return
        if not self.event_queue.put(queued):
            self._count_dropped()
        elif self._dropped and not self.event_queue.is_full:
            dropped, self._dropped = self._dropped, 0
            self.event_log.trouble(f"{dropped} events were dropped: see above")
        dispatcher.wake()

    def _count_dropped(self) -> None:
        self._dropped += 1
        if self._dropped == 1:
            self.event_log.trouble(
                f"{ROOM} events wait for a handler that takes too long: further ones "
                "are dropped, but none of leadership_acquired and leadership_lost"
            )
