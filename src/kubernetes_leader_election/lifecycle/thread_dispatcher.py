"""Call the handlers of an elector on a thread."""

from __future__ import annotations

import contextlib
import contextvars
import queue
import sys
from typing import Any, Final

from kubernetes_leader_election.backoff import pause_after
from kubernetes_leader_election.events import Handler
from kubernetes_leader_election.lifecycle.call_context import (
    CallContext,
    leave_all_contexts,
)
from kubernetes_leader_election.lifecycle.event_queue import QueuedEvent
from kubernetes_leader_election.lifecycle.lifecycle import Lifecycle
from kubernetes_leader_election.process import native
from kubernetes_leader_election.process.timers import LONGEST_WAIT, shared_timers

FIRST_RETRY: Final = 0.1
"""Seconds until a thread is asked for again that could not be had."""
LONGEST_RETRY: Final = 5.0
"""The same at most: a lost handler may hold up a release meanwhile."""


class ThreadDispatcher:
    """
    Call handlers on one thread of the elector, which ends with each life.

    Args:
        lifecycle: whose handlers.

    """

    loop = None

    def __init__(self, lifecycle: Lifecycle[Any]) -> None:
        self._lifecycle = lifecycle
        # No lock, as for timers: the engine's thread comes here.
        self._wake_ups: queue.SimpleQueue[None] = native.SimpleQueue()
        """What the thread waits in; one that waits there already is enough."""
        self._running = False
        """Whether there is a thread, or is to be one; set on the thread of the callbacks."""
        self._failures = 0
        """How many threads in a row could not be started. The thread of the callbacks."""
        self.renew()

    def renew(self) -> None:
        """Call handlers in the context of the caller from now on."""
        context = contextvars.copy_context()
        context.run(leave_all_contexts)
        self._context = context
        """That of the caller of ``start()``, outside every scope: handlers run in it."""
        self._wake_thread()

    def wake(self) -> None:
        """Say that there may be events, soon. Any thread; never blocks or raises."""
        if self._running:
            self._wake_thread()
        elif self._is_needed():
            # To start a thread is to wait for it, which the engine's thread must not.
            shared_timers().call(self._begin)

    def _wake_thread(self) -> None:
        if self._wake_ups.empty():
            self._wake_ups.put(None)

    def _is_needed(self) -> bool:
        notifier = self._lifecycle.notifier
        # With handlers a thread waits for events from the start on: at the exit of
        # the interpreter there are no new threads (all since Python 3.12).
        expects = self._lifecycle.running and notifier.handlers.any()
        return bool(notifier.event_queue) or expects

    def _begin(self) -> None:
        if not self._running and self._is_needed():
            self._running = True
            self._start()

    def _start(self) -> None:
        context = self._context
        try:
            native.start_thread(
                # A copy: the last thread may not have left the context yet.
                context.copy().run,
                self._deliver_all,
                context,
                name="leader-election-handlers",
            )
        except (RuntimeError, MemoryError) as error:
            self._start_later(error)
        else:
            self._failures = 0

    def _start_later(self, error: Exception) -> None:
        if self._lifecycle.shutdown.exiting or sys.is_finalizing():
            self._running = False
            self._lifecycle.cannot_deliver(self)  # there will be no more threads
            return
        if self._failures == 0:
            self._lifecycle.event_log.trouble(
                f"no thread for its handlers can be started ({error}): it is tried "
                "again until there is one. Events wait until then, and with a handler "
                "of leadership_lost the release, too"
            )
        pause = pause_after(self._failures, first=FIRST_RETRY, longest=LONGEST_RETRY)
        self._failures += 1
        shared_timers().call_later(pause, self._start)

    # The thread ---------------------------------------------------------------

    def _deliver_all(self, context: contextvars.Context) -> None:
        event_queue = self._lifecycle.notifier.event_queue
        try:
            while self._await_event(context):
                queued = event_queue.take()
                if queued is not None:
                    self._deliver(queued)
        finally:
            self._running = False
            self.wake()  # for an event that came since, or that is for another context

    def _await_event(self, context: contextvars.Context) -> bool:
        """Wait for an event; False when this thread is to end."""
        event_queue = self._lifecycle.notifier.event_queue
        while self._context is context:
            if event_queue:
                return True
            if not self._lifecycle.running:
                return False
            with contextlib.suppress(queue.Empty):
                self._wake_ups.get(timeout=LONGEST_WAIT)
        return False

    def _deliver(self, queued: QueuedEvent) -> None:
        notifier = self._lifecycle.notifier
        call_context = CallContext(self._lifecycle, work=queued.work, is_scope=False)
        call_context.enter()
        try:
            for entry in notifier.handlers.snapshot(queued.event.name):
                if self._lifecycle.is_too_late(queued.event):
                    self._lifecycle.event_log.too_late(queued.event)
                    break
                if notifier.handlers.claim(queued.event.name, entry):
                    self._call(entry.handler, queued)
        finally:
            call_context.leave()
            if queued.hold is not None:
                queued.hold.end()

    def _call(self, handler: Handler, queued: QueuedEvent) -> None:
        try:
            handler(queued.event)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a handler must not end this thread
            self._lifecycle.event_log.handler_raised(handler, queued.event, error)
