"""
A command to be run: it says that it works, every few milliseconds, in a log.

Uses nothing but the standard library, so that it starts quickly. The log has the form
that :mod:`kubernetes_leader_election.testing.belief_log` reads.
"""

from __future__ import annotations

# Before the other imports: a Ctrl-C that came in the middle of them would be shown with
# a traceback, as if it were one of `run`'s own.
import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not ignored
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import os
import sys
import threading
import time


def main() -> int:
    """Work until told to stop, or for as long as told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("log")
    parser.add_argument("--every", type=float, default=0.005)
    parser.add_argument("--ignore-term", action="store_true")
    parser.add_argument("--last", type=float, default=120.0)
    parser.add_argument("--exit-code", type=int, default=0)
    parser.add_argument("--crash", action="store_true", help="end by SIGSEGV")
    parser.add_argument("--grandchild", action="store_true", help="fork twice, setsid")
    options = parser.parse_args()
    log = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def note(what: str, detail: str) -> None:
        os.write(log, f"{time.monotonic():.6f} {what} {detail}\n".encode())

    caught = {
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
        signal.SIGCONT,
    }
    # Waited for, in the order in which they come: Python's handlers interrupt each
    # other before their first line, and would note the later signal first.
    signal.pthread_sigmask(signal.SIG_BLOCK, caught)
    note("began", str(os.getpid()))
    note("token", os.environ.get("LEADER_ELECTION_TOKEN", "") or "-")
    if options.grandchild and os.fork() == 0:
        os.setsid()
        if os.fork() > 0:
            os._exit(0)
        note("grandchild", str(os.getpid()))
    stopping = threading.Event()

    def wait_for_signals() -> None:
        # Without a timeout: after a stop that is longer than it, sigtimedwait() gives
        # a signal that never came.
        while True:
            came = signal.sigwait(caught)
            note("signal", signal.Signals(came).name)
            if came in (signal.SIGTERM, signal.SIGINT) and not options.ignore_term:
                stopping.set()

    threading.Thread(target=wait_for_signals, daemon=True).start()
    until = time.monotonic() + options.last
    while not stopping.is_set() and time.monotonic() < until:
        note("work", "yes")
        stopping.wait(options.every)
    note("work", "no")
    if options.crash and not stopping.is_set():
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGSEGV)
    return options.exit_code


if __name__ == "__main__":
    sys.exit(main())
