"""Call the handlers of an elector on an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import traceback
from collections import deque
from collections.abc import Awaitable, Coroutine
from typing import Any, Final

from kubernetes_leader_election.cancelling import Cancellation, call_on_loop
from kubernetes_leader_election.chores import shared_chores
from kubernetes_leader_election.events import EVENTS, Handler, Registration, name_of
from kubernetes_leader_election.life import Life
from kubernetes_leader_election.mailbox import Letter
from kubernetes_leader_election.work import Place, leave_all_places

GOES_ON: Final = 0.1
"""
Seconds after which a loop that cancelled the delivery is going on.

``asyncio.run()`` cancels every task and closes its loop right after it; a task that was
begun in between would be destroyed under way.
"""


class LoopCourier:
    """
    Call handlers on the event loop that called ``start()``, one task at a time.

    Args:
        life: whose handlers.
        loop: the running loop.

    """

    def __init__(self, life: Life[Any], loop: asyncio.AbstractEventLoop) -> None:
        self.home = loop
        self._life = life
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._under_way: tuple[Letter, deque[Registration]] | None = None
        self.renew()

    def renew(self) -> None:
        """Call handlers in the context of the caller from now on."""
        self._context = contextvars.copy_context()
        self._context.run(leave_all_places)

    def wake(self) -> None:
        """Say that there may be letters. Any thread; never blocks, never raises."""
        if not call_on_loop(self.home, self._begin, context=self._context):
            self._close()

    # On the loop --------------------------------------------------------------

    def _begin(self) -> None:
        if self._task is None and self._timer is None and self._has_letters():
            self._task = self.home.create_task(self._deliver_all())
            self._task.add_done_callback(self._done)

    def _has_letters(self) -> bool:
        return self._under_way is not None or bool(self._life.teller.mailbox)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
            # Of a handler that was being cancelled, or of ours.
            trace = "".join(traceback.format_exception(error))
            self._life.teller.trouble("the delivery of an event raised", trace)
        if error is None and not task.cancelled():
            self._begin()  # a letter may have come while the task ended
        elif self._has_letters():
            # Somebody cancelled every task of the loop, or a handler left by
            # SystemExit: the loop is about to be closed, or it goes on.
            self._timer = self.home.call_later(
                GOES_ON, self._go_on, context=self._context
            )
            shared_chores().call_later(2 * GOES_ON, self._look)

    def _go_on(self) -> None:
        self._timer = None
        self._begin()

    async def _deliver_all(self) -> None:
        teller = self._life.teller
        while True:
            if self._under_way is None:
                letter = teller.mailbox.take()
                if letter is None:
                    return
                entries = deque(teller.handlers.snapshot(letter.event.name))
                self._under_way = letter, entries
            letter, entries = self._under_way
            place = Place(self._life, work=letter.work, is_scope=False)
            place.enter()
            try:
                # Where this is cancelled, the next task goes on from here.
                while entries:
                    if self._life.is_too_late(letter.event):
                        entries.clear()
                        teller.too_late(letter.event)
                        break
                    entry = entries.popleft()
                    if teller.handlers.claim(letter.event.name, entry):
                        await self._call(entry.handler, letter)
            finally:
                place.leave()
                if not entries:
                    self._under_way = None
                    if letter.hold is not None:
                        letter.hold.end()

    async def _call(self, handler: Handler, letter: Letter) -> None:
        try:
            result = handler(letter.event)
            if inspect.isawaitable(result):
                if letter.event.name is EVENTS.LEADERSHIP_ACQUIRED:
                    self._start_work(handler, result, letter)
                else:
                    await result
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise  # to end the loop, or this delivery
        except BaseException as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._life.teller.raised(handler, letter.event, error)

    def _start_work(
        self, handler: Handler, result: Awaitable[object], letter: Letter
    ) -> None:
        """Start an acquired handler that is a coroutine: it is work of the term."""
        assert letter.work is not None  # noqa: S101 - an acquisition begins a term
        end: Cancellation | None = None

        def cancel() -> None:
            call_on_loop(self.home, lambda: end.begin() if end else None)

        name = name_of(handler)
        hold = letter.work.begin(f"handler {name}", cancel=cancel, home=self.home)
        if hold is None:
            _close(result)  # the term is over already: nothing is begun for it
            return
        place = Place(self._life, work=letter.work, is_scope=False)
        task = self.home.create_task(_run_at(place, result), name=name)
        present = self._life.present
        assert present is not None  # noqa: S101 - a hold keeps its term in progress
        end = Cancellation(self._life, present.term, task, before=0)

        def done(task: asyncio.Task[object]) -> None:
            end.end()
            place.active = False
            _close(result)  # cancelled before its first step, it never began
            hold.end()
            error = None if task.cancelled() else task.exception()
            if error is not None:
                self._life.teller.raised(handler, letter.event, error)

        task.add_done_callback(done)

    # Any thread ---------------------------------------------------------------

    def _look(self) -> None:
        """See whether the loop was closed, as nobody is told of that."""
        if self.home.is_closed():
            self._close()
        elif self._timer is not None:
            shared_chores().call_later(GOES_ON, self._look)

    def _close(self) -> None:
        """Drop what can be delivered no more: the loop is closed."""
        under_way, self._under_way = self._under_way, None
        letter = None if under_way is None else under_way[0]
        self._life.close_home(self, letter)


async def _run_at(place: Place, work: Awaitable[object]) -> object:
    place.enter()
    return await work


def _close(work: Awaitable[object]) -> None:
    if isinstance(work, Coroutine):
        work.close()
