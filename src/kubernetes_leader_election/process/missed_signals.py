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
        self._between: tuple[int, int] | None = None
        """What has the place while it is found out whose it is. As the pipe."""
        self._main: int | None = None
        """The main thread, as the C library knows it; None: not at work. By that thread."""

    # The main thread ----------------------------------------------------------

    def begin(self) -> None:
        """Begin, where nobody else has the descriptor; harmless when said twice."""
        if running_loop() is None and _may_run_trio():
            return  # it may start here, and warns then where the place is taken
        if self._pipe is None and not self._start():
            return
        assert self._pipe is not None  # noqa: S101 - made just now
        self._main = native.get_ident()
        with suppress(ValueError):  # a subinterpreter, which gets no signals
            if self._put(self._pipe[1]):
                self._handle_interrupts()

    def _put(self, descriptor: int) -> bool:
        """
        Give the place to this descriptor, or to none (-1), unless others have it.

        Python says whose it is only where it is given another one. That is a pipe for
        this alone: what came just then is passed on. It need not be if the place is
        ours: the main thread, which is in here, does not wait.

        Returns:
            Whether others have left it to us.

        """
        assert self._pipe is not None  # noqa: S101 - there is no place without
        assert self._between is not None  # noqa: S101 - likewise
        reads, writes = self._between
        used = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
        if used not in (-1, self._pipe[1], writes):
            with suppress(OSError, ValueError):  # it is closed, or can be none any more
                signal.set_wakeup_fd(used)
                came = _read_at_once(reads)
                with suppress(OSError):  # full, as it may be without us
                    os.write(used, came)
                return False
        signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
        _read_at_once(reads)
        return True

    def _handle_interrupts(self) -> None:
        """Handle SIGURG, where nobody else does."""
        handler = signal.getsignal(_INTERRUPT)
        if _is_of_former(handler) or (handler == signal.SIG_DFL and not _is_caught()):
            signal.signal(_INTERRUPT, self._on_interrupt)

    def met(self) -> None:
        """Note that a handler was called: all that came before is called as well."""
        if self._pipe is not None and self._main is not None:
            with suppress(BlockingIOError):  # full: it is interrupted once for nothing
                os.write(self._pipe[1], bytes([_MET]))

    def end(self) -> None:
        """Take it back where nobody has taken its place; safe in a signal handler."""
        self._main = None
        if self._pipe is not None:
            with suppress(ValueError):  # as above
                self._put(-1)

    def _start(self) -> bool:
        """Make the pipe and start the thread; False: there is none to be had."""
        pipes: list[tuple[int, int]] = []
        try:
            pipes += (os.pipe() for _ in range(2))
        except OSError:  # no descriptor is left: seen when the wait ends by itself
            _close(pipes)
            return False
        pipe, between = pipes
        for end in (pipe[1], *between):
            os.set_blocking(end, False)
        try:
            native.start_thread(
                self._serve, pipe[0], name="leader-election-missed-signals"
            )
        except (RuntimeError, MemoryError):
            _close(pipes)
            return False
        self._between = between
        self._pipe = pipe  # last: who has this has both
        return True

    def _on_interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.met()

    # The thread ---------------------------------------------------------------

    def _serve(self, reads: int) -> None:
        while True:
            if self._is_unmet(os.read(reads, 4096)):
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
            main, noted = self._main, self._read_more(reads)
            if main is None or (_MET in noted and not self._is_unmet(noted)):
                return
            if signal.getsignal(_INTERRUPT) != self._on_interrupt:
                return
            signal.pthread_kill(main, _INTERRUPT)

    @staticmethod
    def _read_more(reads: int) -> bytes:
        """Return what came since, if anything did."""
        os.set_blocking(reads, False)
        try:
            return _read_at_once(reads)
        finally:
            os.set_blocking(reads, True)


def _read_at_once(reads: int) -> bytes:
    """Return what is there to be read, where that does not wait."""
    try:
        return os.read(reads, 4096)
    except BlockingIOError:
        return b""


def _close(pipes: list[tuple[int, int]]) -> None:
    for pipe in pipes:
        for end in pipe:
            os.close(end)


def _may_run_trio() -> bool:
    """Whether the program uses trio, as far as can be seen: anyio imports it late."""
    if "trio" in sys.modules:
        return True
    if "anyio" not in sys.modules:
        return False
    from importlib.util import find_spec  # noqa: PLC0415 - most programs need it not

    return find_spec("trio") is not None


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
