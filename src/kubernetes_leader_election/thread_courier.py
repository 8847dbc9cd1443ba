"""Call the handlers of an elector on a thread."""

from __future__ import annotations

import contextlib
import contextvars
import queue
import sys
import threading
from typing import Any, Final

from kubernetes_leader_election.chores import LONGEST_WAIT, shared_chores
from kubernetes_leader_election.events import Handler
from kubernetes_leader_election.life import Life
from kubernetes_leader_election.mailbox import Letter
from kubernetes_leader_election.work import Place, leave_all_places

FIRST_RETRY: Final = 0.1
"""Seconds until a thread is asked for again that could not be had."""
LONGEST_RETRY: Final = 5.0
"""The same at most: a lost handler may hold up a release meanwhile."""


class ThreadCourier:
    """
    Call handlers on one thread of the elector, which ends with each life.

    Args:
        life: whose handlers.

    """

    home = None

    def __init__(self, life: Life[Any]) -> None:
        self._life = life
        # No lock, as for chores: the engine's thread comes here.
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._running = False
        """Whether there is a thread, or is to be one; set on the thread of the chores."""
        self._failures = 0
        self.renew()

    def renew(self) -> None:
        """Call handlers in the context of the caller from now on."""
        context = contextvars.copy_context()
        context.run(leave_all_places)
        self._context = context
        self._ring()

    def wake(self) -> None:
        """Say that there may be letters, soon. Any thread; never blocks or raises."""
        if self._running:
            self._ring()
        elif self._is_needed():
            # To start a thread is to wait for it, which the engine's thread must not.
            shared_chores().call(self._begin)

    def _ring(self) -> None:
        if self._bell.empty():
            self._bell.put(None)

    def _is_needed(self) -> bool:
        teller = self._life.teller
        # With handlers a thread waits for letters from the start on: at the exit of
        # the interpreter there are no new threads (all since Python 3.12).
        expects = self._life.running and teller.handlers.any()
        return bool(teller.mailbox) or expects

    def _begin(self) -> None:
        if not self._running and self._is_needed():
            self._running = True
            self._start()

    def _start(self) -> None:
        context = self._context
        thread = threading.Thread(
            # A copy: the last thread may not have left the context yet.
            target=context.copy().run,
            args=(self._deliver_all, context),
            name="leader-election-handlers",
            daemon=True,
        )
        try:
            thread.start()
        except (RuntimeError, MemoryError) as error:
            self._start_later(error)
        else:
            self._failures = 0

    def _start_later(self, error: Exception) -> None:
        if self._life.exiting or sys.is_finalizing():
            self._running = False
            self._life.close_home(self)  # there will be no more threads
            return
        if self._failures == 0:
            self._life.teller.trouble(
                f"no thread for its handlers can be started ({error}): it is tried "
                "again until there is one. Events wait until then, and with a handler "
                "of leadership_lost the release, too"
            )
        pause = min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(self._failures, 10))
        self._failures += 1
        shared_chores().call_later(pause, self._start)

    # The thread ---------------------------------------------------------------

    def _deliver_all(self, context: contextvars.Context) -> None:
        mailbox = self._life.teller.mailbox
        try:
            while self._await_letter(context):
                letter = mailbox.take()
                if letter is not None:
                    self._deliver(letter)
        finally:
            self._running = False
            self.wake()  # for a letter that came since, or that is for another context

    def _await_letter(self, context: contextvars.Context) -> bool:
        """Wait for a letter; False when this thread is to end."""
        mailbox = self._life.teller.mailbox
        while self._context is context:
            if mailbox:
                return True
            if not self._life.running:
                return False
            with contextlib.suppress(queue.Empty):
                self._bell.get(timeout=LONGEST_WAIT)
        return False

    def _deliver(self, letter: Letter) -> None:
        teller = self._life.teller
        place = Place(self._life, work=letter.work, is_scope=False)
        place.enter()
        try:
            for entry in teller.handlers.snapshot(letter.event.name):
                if self._life.is_too_late(letter.event):
                    teller.too_late(letter.event)
                    break
                if teller.handlers.claim(letter.event.name, entry):
                    self._call(entry.handler, letter)
        finally:
            place.leave()
            if letter.hold is not None:
                letter.hold.end()

    def _call(self, handler: Handler, letter: Letter) -> None:
        try:
            handler(letter.event)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a handler must not end this thread
            self._life.teller.raised(handler, letter.event, error)
