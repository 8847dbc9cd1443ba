"""
Kill what a test run left behind when the run itself is killed.

Run as a program of its own. It reads process ids from its standard input, one a
line, and holds each process by a descriptor, so that a reused id can never be
hit. When its input ends, because the test run closed it or died in whatever way,
it kills every process it holds and removes the folder named in its argument.

PR_SET_PDEATHSIG would not do: that signal comes when the *thread* that started
the process ends, and a test may restart a server from a thread.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys


def main() -> None:
    """Hold processes until the input ends, then kill them."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    held: list[int] = []
    for line in sys.stdin:
        try:
            held.append(os.pidfd_open(int(line)))
        except ProcessLookupError:
            continue  # it ended already
    for process in held:
        try:
            signal.pidfd_send_signal(process, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it ended in good order
    for folder in sys.argv[1:]:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
