"""Call the handlers of an elector on an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections import deque
from collections.abc import Awaitable, Coroutine
from typing import Any, Final

from kubernetes_leader_election.events import EVENTS, Handler
from kubernetes_leader_election.lifecycle.call_context import (
    CallContext,
    leave_all_contexts,
)
from kubernetes_leader_election.lifecycle.event_queue import QueuedEvent
from kubernetes_leader_election.lifecycle.handlers import Registration, name_of
from kubernetes_leader_election.lifecycle.leftover_threads import OURS
from kubernetes_leader_election.lifecycle.lifecycle import Lifecycle
from kubernetes_leader_election.lifecycle.task_cancellation import (
    TaskCancellation,
    call_on_loop,
)
from kubernetes_leader_election.process.timers import shared_timers

GOES_ON: Final = 0.1
"""
Seconds after which a loop that cancelled the delivery is going on.

``asyncio.run()`` cancels every task and closes its loop right after it; a task that was
begun in between would be destroyed under way.
"""


class AsyncioDispatcher:
    """
    Call handlers on the event loop that called ``start()``, one task at a time.

    Args:
        lifecycle: whose handlers.
        loop: the running loop.

    """

    def __init__(
        self, lifecycle: Lifecycle[Any], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.loop = loop
        self._lifecycle = lifecycle
        self._task: asyncio.Task[None] | None = None
        """Delivers; None: no task does now. On the loop."""
        self._timer: asyncio.TimerHandle | None = None
        """Goes on with a delivery that was cancelled, if the loop does. On the loop."""
        self._under_way: tuple[QueuedEvent, deque[Registration]] | None = None
        """The event that is being delivered, and the handlers that have yet to hear of it."""
        self.renew()

    def renew(self) -> None:
        """Call handlers in the context of the caller from now on."""
        self._context = contextvars.copy_context()
        """That of the caller of ``start()``, outside every scope: handlers run in it."""
        self._context.run(leave_all_contexts)

    def wake(self) -> None:
        """Say that there may be events. Any thread; never blocks, never raises."""
        if not call_on_loop(self.loop, self._begin, context=self._context):
            self._close()

    # On the loop --------------------------------------------------------------

    def _begin(self) -> None:
        if self._task is None and self._timer is None and self._has_events():
            self._task = self.loop.create_task(
                self._deliver_all(), name=f"{OURS} events"
            )
            self._task.add_done_callback(self._done)

    def _has_events(self) -> bool:
        return self._under_way is not None or bool(self._lifecycle.notifier.event_queue)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
            # Of a handler that was being cancelled, or of ours.
            text = "the delivery of an event raised"
            self._lifecycle.event_log.trouble(text, error=error)
        if error is None and not task.cancelled():
            self._begin()  # an event may have come while the task ended
        elif self._has_events():
            # Somebody cancelled every task of the loop, or a handler left by
            # SystemExit: the loop is about to be closed, or it goes on.
            self._timer = self.loop.call_later(
                GOES_ON, self._go_on, context=self._context
            )
            shared_timers().call_later(2 * GOES_ON, self._look)

    def _go_on(self) -> None:
        self._timer = None
        self._begin()

    async def _deliver_all(self) -> None:
        notifier = self._lifecycle.notifier
        while True:
            if self._under_way is None:
                queued = notifier.event_queue.take()
                if queued is None:
                    return
                entries = deque(notifier.handlers.snapshot(queued.event.name))
                self._under_way = queued, entries
            queued, entries = self._under_way
            call_context = CallContext(
                self._lifecycle, work=queued.work, is_scope=False
            )
            call_context.enter()
            try:
                # Where this is cancelled, the next task goes on from here.
                while entries:
                    if self._lifecycle.is_too_late(queued.event):
                        entries.clear()
                        self._lifecycle.event_log.too_late(queued.event)
                        break
                    entry = entries.popleft()
                    if notifier.handlers.claim(queued.event.name, entry):
                        await self._call(entry.handler, queued)
            finally:
                call_context.leave()
                if not entries:
                    self._under_way = None
                    if queued.hold is not None:
                        queued.hold.end()

    async def _call(self, handler: Handler, queued: QueuedEvent) -> None:
        try:
            result = handler(queued.event)
            if inspect.isawaitable(result):
                if queued.event.name is EVENTS.LEADERSHIP_ACQUIRED:
                    self._start_work(handler, result, queued)
                else:
                    await result
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise  # to end the loop, or this delivery
        except BaseException as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._lifecycle.event_log.handler_raised(handler, queued.event, error)

    def _start_work(
        self, handler: Handler, result: Awaitable[object], queued: QueuedEvent
    ) -> None:
        """Start an acquired handler that is a coroutine: it is work of the term."""
        assert queued.work is not None  # noqa: S101 - an acquisition begins a term
        end: TaskCancellation | None = None

        def cancel() -> None:
            call_on_loop(self.loop, lambda: end.begin() if end else None)

        name = name_of(handler)
        hold = queued.work.begin(f"handler {name}", cancel=cancel, loop=self.loop)
        if hold is None:
            _close(result)  # the term is over already: nothing is begun for it
            return
        call_context = CallContext(self._lifecycle, work=queued.work, is_scope=False)
        task = self.loop.create_task(_run_at(call_context, result), name=name)
        current = self._lifecycle.current
        assert current is not None  # noqa: S101 - a hold keeps its term in progress
        end = TaskCancellation(self._lifecycle, current.term, task, before=0)

        def done(task: asyncio.Task[object]) -> None:
            end.end()
            call_context.active = False
            _close(result)  # cancelled before its first step, it never began
            hold.end()
            error = None if task.cancelled() else task.exception()
            if error is not None:
                self._lifecycle.event_log.handler_raised(handler, queued.event, error)

        task.add_done_callback(done)

    # Any thread ---------------------------------------------------------------

    def _look(self) -> None:
        """See whether the loop was closed, as nobody is told of that."""
        if self.loop.is_closed():
            self._close()
        elif self._timer is not None:
            shared_timers().call_later(GOES_ON, self._look)

    def _close(self) -> None:
        """Drop what can be delivered no more: the loop is closed."""
        under_way, self._under_way = self._under_way, None
        queued = None if under_way is None else under_way[0]
        self._lifecycle.cannot_deliver(self, queued)


async def _run_at(call_context: CallContext, work: Awaitable[object]) -> object:
    call_context.enter()
    return await work


def _close(work: Awaitable[object]) -> None:
    if isinstance(work, Coroutine):
        work.close()
