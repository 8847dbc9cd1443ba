"""
The exceptions by which a signal ends the main thread, and what becomes of dropped ones.

Python drops an exception that comes up in a callback of a weak reference, as imports
have them, or in ``__del__``. One of ours that is dropped there is not the end of it: who
made this is told, and has the signal sent once more.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple, NoReturn

from kubernetes_leader_election.process.signal_handlers import (
    SignalAction,
    is_main_thread,
)

_MARK: Final = "_ends_main_thread"
"""Where an exception of ours says which one it is."""


class Ending(NamedTuple):
    """An exception by which a signal ends the main thread."""

    number: int
    """Of the signal."""
    earlier: SignalAction
    """What the signal did before our handler."""


class SignalExceptions:
    """
    Raise what ends the main thread, and see that it does. The main thread alone.

    Args:
        dropped: called with an ending of ours that Python has dropped.

    """

    def __init__(self, *, dropped: Callable[[Ending], object]) -> None:
        self._dropped = dropped
        """Who has to know. Never changes."""
        self.raised = 0
        """How many have ended the main thread, or were to."""
        self._newest: Ending | None = None
        """The last of them; None: there was none, or it was dropped."""
        self._earlier_hook: Callable[[sys.UnraisableHookArgs], Any] | None = None
        """What heard of dropped exceptions before us; None: we do not yet."""

    def end_main_thread(self, number: int, earlier: SignalAction) -> NoReturn:
        """
        Raise what Python raises at this signal where nobody handles it.

        Raises:
            KeyboardInterrupt: SIGINT.
            SystemExit: another signal, or a program that wants no KeyboardInterrupt.

        """
        self.raised += 1
        self._newest = Ending(number, earlier)
        if self._earlier_hook is None:
            # For good: whoever hooks in after us may count on ours.
            self._earlier_hook = sys.unraisablehook
            sys.unraisablehook = self._on_unraisable
        # Who gave Python's own handler up expects no KeyboardInterrupt: the master of
        # gunicorn, of which a worker with uvicorn is a copy, takes it for its own end.
        interrupts = number == signal.SIGINT and earlier != signal.SIG_DFL
        error = KeyboardInterrupt() if interrupts else SystemExit(128 + number)
        error.__dict__[_MARK] = self._newest
        raise error

    def _on_unraisable(self, dropped: sys.UnraisableHookArgs) -> None:
        """Take an exception of ours that was dropped; pass on all others."""
        ending = self._newest
        marks = getattr(dropped.exc_value, "__dict__", {})
        is_ours = is_main_thread() and _MARK in marks and marks[_MARK] is ending
        if ending is None or not is_ours:
            assert self._earlier_hook is not None  # noqa: S101 - set with this one
            self._earlier_hook(dropped)
            return
        self._newest = None
        self._dropped(ending)
