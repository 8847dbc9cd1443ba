"""
Forks that Python is not told of, made in C, by processes that have further threads.

The child has the thread that forked, and the interpreter's lock as it was. If another
thread just waited for that lock, the child would hand it over to a thread that it does
not have, and hang in C sooner or later, whatever it does: nothing that is tested here.
So nothing forks before all others have slept for a while, and a child that hangs all the
same is ended.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

PATIENCE = 30
"""Seconds until threads that never sleep, or a child that hangs, are given up."""


def _turns_of_others() -> dict[str, list[str]]:
    """Count how often each other thread of this process was given a processor."""
    # By its name in /proc: in a PID namespace a thread knows itself by another number.
    this = Path("/proc/thread-self").readlink().name
    turns = {}
    for task in Path("/proc/self/task").iterdir():
        if task.name != this:
            try:
                status = (task / "status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended since
            turns[task.name] = [x for x in status.splitlines() if "ctxt_switches" in x]
    return turns


def c_fork(calm: float = 0.3) -> int:
    """Fork without a word to Python, once no other thread has run for ``calm`` s."""
    until = time.monotonic() + PATIENCE
    before = None
    while (turns := _turns_of_others()) != before:
        assert time.monotonic() < until, f"other threads never sleep: {turns}"
        before = turns
        time.sleep(calm)  # how long they have to sleep: nobody tells of that
    return ctypes.PyDLL(None).fork()


def in_child(fork, check) -> int:
    """Fork, call ``check`` in the child, and give its exit code, of 0 for no exception."""
    pid = fork()
    if pid == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(PATIENCE)
            check()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
