"""
Kill what a test run left behind when the run itself is killed.

Run as a program of its own. It reads process ids from its standard input, one a
line, and holds each process by a descriptor, so that a reused id can never be
hit; a line that begins with a slash is a control group. When its input ends, because
the test run closed it or died in whatever way, it kills every process it holds and
removes the groups, and the folder named in its argument.

PR_SET_PDEATHSIG would not do: that signal comes when the *thread* that started
the process ends, and a test may restart a server from a thread.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path

EMPTY_WITHIN = 20.0
"""Seconds for the processes of a control group to be gone, once they are killed."""


def remove_group(group: Path) -> None:
    """
    Remove a control group with all below it; harmless where there is none.

    Raises:
        OSError: it still has a process after a while.

    """
    deadline = time.monotonic() + EMPTY_WITHIN
    while group.exists():
        try:
            for folder, _, _ in os.walk(group, topdown=False):
                Path(folder).rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            # What was killed leaves its group when the kernel comes to it.
            time.sleep(0.05)  # version 1 of them tells nobody that one is empty


def main() -> None:
    """Hold processes until the input ends, then kill them."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    held: list[int] = []
    groups: list[Path] = []
    for line in sys.stdin:
        if line.startswith("/"):
            groups.append(Path(line.rstrip("\n")))
            continue
        try:
            held.append(os.pidfd_open(int(line)))
        except ProcessLookupError:
            continue  # it ended already
    for process in held:
        try:
            signal.pidfd_send_signal(process, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it ended in good order
    for process in held:
        # What still writes would make the folder anew. (Readable: it has ended.)
        select.select([process], [], [], EMPTY_WITHIN)
    for group in groups:
        remove_group(group)
    for folder in sys.argv[1:]:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
