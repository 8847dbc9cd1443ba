"""
See that the main thread meets a signal that came while it waits, or just before that.

Python notes a signal when it comes, in whichever thread the kernel gave it to, and calls
the handler in the main thread, between two bytecodes. Where that waits without an end, as
in ``lock.acquire()`` or ``select()``, and the signal did not end the wait itself, since
another thread took it or since it came an instant before, the handler is never called.

So Python writes a byte into a pipe for each signal that it notes (the wake-up descriptor of
:func:`signal.set_wakeup_fd`), and a thread reads there. It wakes the event loop at once,
as asyncio has it for ``loop.add_signal_handler()``. If a moment later the main thread has
still met nothing, it is interrupted by another signal, SIGURG, again and again after ever
longer pauses. It is not the same signal once more, which would count as a second one if it
came late. Whoever does not handle SIGURG does not see it: the kernel drops it.

A handler that is called writes a byte into the pipe, too. So what stands behind the last
such byte has not been met, whenever the thread comes to read it.

**What is in use by others is left to them.** A process has one such descriptor, and one
handler of SIGURG. Where a program, or a library, has either, what is here does without.
The descriptor is given back when nobody needs it. The handler of SIGURG, which does
nothing, stays: Python complains of a signal whose handler was taken back just then.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Final

from kubernetes_leader_election.process import native
from kubernetes_leader_election.process.asyncio_here import running_loop

MISSED: Final = 0.1
"""Seconds after which a signal counts as one that the main thread has not met."""
MOST_INTERRUPTS: Final = 12
"""Then it is given up, some minutes later: the main thread blocks SIGURG, for one."""
_MET: Final = 0
"""What a handler writes; signals have other numbers."""
_INTERRUPT: Final = signal.SIGURG
"""What interrupts a wait. Its default action is none, so one that comes late does no harm."""


class MissedSignals:
    """
    Watch over the signals that Python notes, until the main thread meets them.

    Args:
        is_ours: says whether a signal has our handler now. Any thread.
        wake: wakes the event loop of the main thread, if it has one. Any thread.

    """

    def __init__(
        self, is_ours: Callable[[int], bool], wake: Callable[[], None]
    ) -> None:
        self._is_ours = is_ours
        """Which signals this is about. Never changes."""
        self._wake = wake
        """What a loop is woken by. Never changes."""
        self._pipe: tuple[int, int] | None = None
        """Where the thread reads, and Python writes; None: not made yet. Never closed."""
        self._others: int | None = None
        """The descriptor that is in use instead; None: none is. The main thread."""
        self._asking = native.Lock()
        """Held while it is found out whose the place is. The main thread tries only."""
        self._main: int | None = None
        """The main thread, as the C library knows it; None: not at work. By that thread."""

    # The main thread ----------------------------------------------------------

    def begin(self) -> None:
        """Begin, where nobody else has the descriptor; harmless when said twice."""
        if "trio" in sys.modules and running_loop() is None:
            return  # it may start here, and warns then where the place is taken
        if self._pipe is None and not self._start():
            return
        assert self._pipe is not None  # noqa: S101 - made just now
        self._main = native.get_ident()
        asks = self._asking.acquire(blocking=False)
        try:
            with suppress(ValueError):  # a subinterpreter, which gets no signals
                self._take_place(self._pipe[1])
        finally:
            if asks:
                self._asking.release()

    def _take_place(self, writes: int) -> None:
        used = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
        if used not in (-1, writes):
            self._others = used
            signal.set_wakeup_fd(used)
            return
        self._others = None
        handler = signal.getsignal(_INTERRUPT)
        if _is_of_former(handler) or (handler == signal.SIG_DFL and not _is_caught()):
            signal.signal(_INTERRUPT, self._on_interrupt)

    def met(self) -> None:
        """Note that a handler was called: all that came before is called as well."""
        if self._pipe is not None and self._main is not None and self._others is None:
            with suppress(BlockingIOError):  # full: it is interrupted once for nothing
                os.write(self._pipe[1], bytes([_MET]))

    def end(self) -> None:
        """Take it back where nobody has taken its place; safe in a signal handler."""
        self._main = None
        if self._pipe is None:
            return
        with suppress(ValueError):
            used = signal.set_wakeup_fd(-1)
            if used not in (-1, self._pipe[1]):
                signal.set_wakeup_fd(used)

    def _start(self) -> bool:
        """Make the pipe and start the thread; False: there is none to be had."""
        try:
            pipe = os.pipe()
        except OSError:
            return False  # no descriptor is left: seen when the wait ends by itself
        os.set_blocking(pipe[1], False)
        try:
            native.start_thread(
                self._serve, pipe[0], name="leader-election-missed-signals"
            )
        except (RuntimeError, MemoryError):
            for end in pipe:
                os.close(end)
            return False
        self._pipe = pipe
        return True

    def _on_interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.met()

    # The thread ---------------------------------------------------------------

    def _serve(self, reads: int) -> None:
        while True:
            noted = os.read(reads, 4096)
            with self._asking:
                others = self._others
            if others is not None:
                came = bytes(number for number in noted if number != _MET)
                with suppress(OSError):  # what came in between was for them
                    os.write(others, came)
            elif self._is_unmet(noted):
                self._wake()
                self._interrupt_until_met(reads)

    def _is_unmet(self, noted: bytes) -> bool:
        """Return whether a signal of ours came since a handler was called last."""
        since = noted[noted.rfind(_MET) + 1 :]
        return any(self._is_ours(number) for number in since)

    def _interrupt_until_met(self, reads: int) -> None:
        """Interrupt the main thread until it has called a handler."""
        pause = MISSED
        for _ in range(MOST_INTERRUPTS):
            native.sleep(pause)
            pause *= 2
            main, noted = self._main, _read_at_once(reads)
            if main is None or (_MET in noted and not self._is_unmet(noted)):
                return
            if signal.getsignal(_INTERRUPT) != self._on_interrupt:
                return
            signal.pthread_kill(main, _INTERRUPT)


def _read_at_once(reads: int) -> bytes:
    """Return what is there to be read. It does not wait."""
    os.set_blocking(reads, False)
    try:
        return os.read(reads, 4096)
    except BlockingIOError:
        return b""
    finally:
        os.set_blocking(reads, True)


def _is_of_former(handler: object) -> bool:
    """Whether this is what a parent process has set for itself."""
    of = MissedSignals._on_interrupt  # noqa: SLF001 - one room
    return getattr(handler, "__func__", None) is of


def _is_caught() -> bool:
    """Whether code that was not written in Python handles SIGURG, as far as is known."""
    with suppress(OSError, StopIteration, ValueError):  # not Linux
        with open("/proc/self/status", encoding="ascii") as lines:  # noqa: PTH123 - pathlib takes 3 ms to import
            caught = next(line for line in lines if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (_INTERRUPT - 1) & 1)
    return False
