r"""
The terminal, if there is one: the command's as if it had been started without ``run``.

The command is in a process group of its own. That group gets the foreground, as a shell
would give it, so that Ctrl-C, Ctrl-\ and Ctrl-Z are between terminal and command.
"""

from __future__ import annotations

import contextlib
import os
import signal


class Terminal:
    """Lend the terminal to the command, and take it back."""

    def __init__(self) -> None:
        self._fd = _controlling_terminal()
        """The terminal; None: this process has none."""
        self.lent = False
        """Whether the command has it."""

    @property
    def exists(self) -> bool:
        """Whether this process has a terminal."""
        return self._fd is not None

    def lend_on_start(self) -> int | None:
        """Return the descriptor for a command that is about to start; None: it has none."""
        self.lent = self._fd is not None and self._is_ours()
        return self._fd if self.lent else None

    def take_back(self) -> None:
        """Be in the foreground again, if the command was."""
        if self.lent and self._fd is not None:
            self.lent = False
            # Gone with its window, or taken by a shell in the meantime.
            with contextlib.suppress(OSError):
                os.tcsetpgrp(self._fd, os.getpgrp())

    def lend_again(self, group: int) -> None:
        """Give the foreground to the command, if it is ours to give."""
        if self._fd is not None and self._is_ours():
            with contextlib.suppress(OSError):
                os.tcsetpgrp(self._fd, group)
                self.lent = True

    def stop_with_command(self) -> bool:
        """
        Stop, so that the shell gets its prompt; return when it says to go on.

        Returns False at once when there is no shell that could.
        """
        if os.getpid() in (1, os.getsid(0)):
            return False
        self.take_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        return True

    def _is_ours(self) -> bool:
        if self._fd is None:
            return False
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            return False


def _controlling_terminal() -> int | None:
    for fd in (0, 1, 2):
        try:
            os.tcgetpgrp(fd)
        except OSError:
            continue
        return fd
    return None
