"""Signals as a queue that a polling loop reads: none is lost, none interrupts."""

from __future__ import annotations

import os
import signal
from typing import Final

ENDING: Final = frozenset({signal.SIGTERM, signal.SIGINT})
"""Signals that end ``run`` itself, after the command."""
PASSED_ON: Final = frozenset(
    {
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
        signal.SIGTSTP,
        signal.SIGCONT,
    }
)
"""Signals that are the command's business."""


def ignored_signals() -> frozenset[int]:
    """Return the signals that are ignored now: nohup's SIGHUP, for one."""
    numbers = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    return frozenset(n for n in numbers if signal.getsignal(n) == signal.SIG_IGN)


class SignalQueue:
    """
    Catch signals from now on; those that were ignored stay so.

    The numbers come through the descriptor that Python writes to itself, in the order
    of their arrival.
    """

    def __init__(self, ignored: frozenset[int]) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        """Where the numbers come out, and where Python writes them."""
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (*ENDING, *PASSED_ON, signal.SIGCHLD):
            # SIGCHLD is wanted even where it was ignored: it tells of orphans.
            if number not in ignored or number == signal.SIGCHLD:
                signal.signal(number, lambda *_: None)
        # Taking the terminal back, or writing to it, must not stop this process.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._read

    def take(self) -> list[int]:
        """Return the signals since the last call."""
        try:
            data = os.read(self._read, 4096)
        except BlockingIOError:
            return []
        return [n for n in data if n in ENDING or n in PASSED_ON]

    def close(self) -> None:
        """
        Catch no more, and let no late signal change the exit code.

        At its end Python gives handlers up for the default action, but not this one.
        """
        for number in ENDING | PASSED_ON:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        os.close(self._read)
        os.close(self._write)
