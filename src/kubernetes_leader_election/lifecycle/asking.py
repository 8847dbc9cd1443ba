"""
Ask work to end in its own way, in a planned stop: what ``on_stop=`` is for.

The call is itself work of the term, which is not released before it has ended.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.events import PLANNED
from kubernetes_leader_election.lifecycle.call_context import CallContext
from kubernetes_leader_election.lifecycle.handlers import name_of
from kubernetes_leader_election.lifecycle.lifecycle import Lifecycle
from kubernetes_leader_election.lifecycle.term_work import TermWork, WorkItem
from kubernetes_leader_election.process import native

OnStop = Callable[[], object]
"""Called without arguments; with asyncio a coroutine function, too."""


def refuse_what_cannot_ask(on_stop: object, *, on_loop: bool) -> None:
    """
    Refuse an ``on_stop`` that could not be called when it is needed.

    Raises:
        ConfigurationError: it is no callable, or needs a loop where there is none.

    """
    if on_stop is None:
        return
    if not callable(on_stop):
        raise ConfigurationError(
            f"on_stop={on_stop!r} cannot be called. Give what asks the work to end, as "
            "in on_stop=dispatcher.stop_polling, without parentheses.",
            option="on_stop",
        )
    if not on_loop and inspect.iscoroutinefunction(on_stop):
        raise ConfigurationError(
            f"on_stop={name_of(on_stop)} is a coroutine function, and this elector has "
            "no event loop to run it on. Give a plain function, or use the elector for "
            "asyncio: kubernetes_leader_election.Elector.",
            option="on_stop",
        )


class Asking:
    """
    One call of ``on_stop``, from before it to its end.

    Args:
        lifecycle: of the elector.
        work: of the term that is given up.
        on_stop: what is called.
        loop: the event loop that it is called on; None: a thread.

    """

    def __init__(
        self,
        lifecycle: Lifecycle[Any],
        work: TermWork,
        on_stop: OnStop,
        *,
        loop: Any = None,
    ) -> None:
        self.name = f"on_stop={name_of(on_stop)}"
        """What it is called in messages."""
        self._lifecycle = lifecycle
        self._on_stop = on_stop
        self._hold: WorkItem = work.hold_late(self.name, loop=loop, is_work=True)
        """Keeps the term until the call is over."""
        self._call_context = CallContext(lifecycle, work=work, is_scope=True)
        """Marks what the call runs as work of the term."""

    def call(self) -> object:
        """Call it, as code of the term: ``stop()`` in there does not wait for itself."""
        self._call_context.enter()
        return self._on_stop()

    def end(self, error: BaseException | None = None) -> None:
        """Say that the call is over, and log what it raised."""
        self._call_context.active = False
        if error is not None:
            text = f"{self.name} raised, so the work was not asked to end"
            self._lifecycle.event_log.trouble(text, error=error)
        self._hold.end()

    # On a thread --------------------------------------------------------------

    def start(self) -> None:
        """Call it on a thread of its own, which the exit waits for. Never blocks."""
        thread = native.work_thread(self._run, name=self.name)
        try:
            thread.start()
        except RuntimeError as error:  # the system gives none, or the interpreter exits
            self.end(error)

    def _run(self) -> None:
        self._hold.thread = threading.get_ident()
        try:
            result = self.call()
            if isinstance(result, Coroutine):
                result.close()
                raise TypeError(
                    "it gave a coroutine, and this elector has no event loop"
                )
        except BaseException as error:  # noqa: BLE001 - logged; nobody else hears of it
            self.end(error)
        else:
            self.end()


def ask_on_a_thread(lifecycle: Lifecycle[Any], on_stop: OnStop) -> None:
    """Call ``on_stop`` if the present term was given up, and not lost. Never blocks."""
    current = lifecycle.current
    if current is not None and current.term.reason in PLANNED:
        Asking(lifecycle, current.work, on_stop).start()
