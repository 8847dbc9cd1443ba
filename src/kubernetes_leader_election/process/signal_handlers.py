"""
Our Python handlers of SIGINT and SIGTERM: installed, kept, and given back.

A signal may come between any two bytecodes of the main thread, also in the middle of what
is here. So the earlier handler is noted before ours is installed, and forgotten after it
is back.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeGuard

from kubernetes_leader_election.process.asyncio_here import (
    can_cancel,
    is_of_asyncio,
    owner_of,
    remove_from_loop,
)
from kubernetes_leader_election.process.fork import this_process
from kubernetes_leader_election.process.missed_signals import MissedSignals

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
"""Node package: SIGINT and SIGTERM."""

SignalAction = Callable[[int, FrameType | None], Any] | int | None
"""What a signal does, as :func:`signal.getsignal` returns it."""


class SignalHandlers:
    """
    Know what each signal did before our handler, and where ours stands in its place.

    Args:
        handler: ours.
        wake: wakes the event loop of the main thread, if it has one. Any thread.

    """

    def __init__(
        self,
        handler: Callable[[int, FrameType | None], None],
        wake: Callable[[], None],
    ) -> None:
        self._handler = handler
        """Ours. Never changes."""
        self._earlier: dict[int, SignalAction] = {}
        """What each signal did before our handler. The main thread."""
        self._owners: dict[int, str] = {}
        """Who has the signals that others took, as was told. The engine's thread."""
        self._missed = MissedSignals(self._stands, wake)
        """What has the main thread meet a signal in a wait without an end. By it."""
        self._giving_back = False
        """Whether ours are being replaced by the earlier ones. The main thread."""
        self._process = this_process()
        """The process that this was made in. Never changes."""

    # Any thread ---------------------------------------------------------------

    @property
    def any_installed(self) -> bool:
        """Whether ours was installed for one signal at least, and not given back."""
        return bool(self._earlier)

    def earlier(self, number: int) -> SignalAction:
        """Return what the signal did before our handler; None: ours is not there."""
        return self._earlier.get(number)

    def _stands(self, number: int) -> bool:
        return number in self._earlier and signal.getsignal(number) == self._handler

    def new_owners(self) -> list[str]:
        """Say which of the signals others own that were ours, as far as that is news."""
        news = []
        for number in tuple(self._earlier):
            action = signal.getsignal(number)
            owner = "" if action == self._handler else owner_of(action)
            if owner and owner != self._owners.get(number):
                news.append(
                    f"{signal.Signals(number).name} is handled by {owner} now, and not "
                    "by the leader election any more: it does not stop the elector. "
                    "Call stop() there, or start the elector after that"
                )
            self._owners[number] = owner
        return [] if self._giving_back or not self._earlier else news

    # The main thread ----------------------------------------------------------

    def install(self, before: Callable[[], object]) -> None:
        """
        Install ours where it does not stand yet.

        Args:
            before: called before each one: what our handler counts on.

        """
        for number in SIGNALS:
            earlier = signal.getsignal(number)
            if earlier is end_process:
                earlier = signal.SIG_DFL  # which it stands for
            # Ignored on purpose by the parent (nohup, a shell's background job), or
            # set by C code that could not be called: not ours to change.
            if earlier in (self._handler, signal.SIG_IGN, None):
                continue
            before()
            # First, as the signal may come at once.
            self._earlier[number] = earlier
            try:
                signal.signal(number, self._handler)
            except ValueError:
                del self._earlier[number]
                return  # a subinterpreter has a main thread, too, but no signals
        if self._earlier:
            self._missed.begin()

    def install_again(self, number: int, earlier: SignalAction) -> None:
        """Install ours once more where it was given back before its work was done."""
        self._earlier[number] = earlier
        signal.signal(number, self._handler)
        self._missed.begin()

    def met(self) -> None:
        """Note that a handler of ours was called."""
        self._missed.met()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """
        Put ours back after work that replaced them, as programs of others do.

        Without effect outside the main thread, and where ours did not stand before.
        """
        numbers = tuple(self._earlier) if is_main_thread() else ()
        stood = [n for n in numbers if signal.getsignal(n) == self._handler]
        try:
            yield
        finally:
            for number in stood:
                self._put_back(number)

    def _put_back(self, number: int) -> None:
        if (
            number not in self._earlier  # nobody needs ours any more
            or self._process.is_copy
            or signal.getsignal(number) == self._handler
        ):
            return
        # Between two handlers a signal would end the process with the Lease held.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
        try:
            if not is_of_the_program(self._earlier[number]):
                remove_from_loop(number)  # else it holds what was there before
            signal.signal(number, self._handler)
            self._missed.begin()  # its place was taken, and may be free now
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def give_back(self) -> None:
        """Put the earlier handlers back where ours still stand."""
        self._giving_back = True
        self._missed.end()
        try:
            for number, earlier in tuple(self._earlier.items()):
                if signal.getsignal(number) == self._handler:
                    over = is_of_asyncio(earlier) and not can_cancel(earlier)
                    # What asyncio itself puts back when its main task has ended.
                    given = signal.default_int_handler if over else earlier
                    signal.signal(number, given)
                # A handler of signals may have come meanwhile, and done the same.
                self._earlier.pop(number, None)
        finally:
            self._giving_back = False


def is_of_the_program(action: Any) -> TypeGuard[Callable[..., Any]]:
    """Return whether this is a Python handler that the program itself installed."""
    return (
        callable(action)
        and action is not signal.default_int_handler
        and not is_of_asyncio(action)
    )


def end_process(number: int, _frame: FrameType | None) -> None:
    """End the process at once, as the default action of a signal does."""
    os._exit(128 + number)


def is_main_thread() -> bool:
    """Return whether the caller is in the thread that Python calls handlers in."""
    return threading.current_thread() is threading.main_thread()
