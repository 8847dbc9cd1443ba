"""The thread for callbacks: nothing that a callback raises ends it."""

from __future__ import annotations

import logging
import threading

import pytest

from kubernetes_leader_election.process.timers import TimerThread

PATIENCE = 30.0


class Deaf(logging.Handler):
    """A log handler that raises whatever comes."""

    def emit(self, record):
        """Raise."""
        raise SystemExit("no log")


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_chores_go_on_when_a_chore_and_the_log_raise(error):
    """Fault 11: a broken log handler neither ends the thread nor holds others up."""
    log = logging.getLogger("kubernetes_leader_election")
    deaf = Deaf()
    log.addHandler(deaf)
    timers, done = TimerThread(), threading.Event()

    def fail():
        raise error("a callback")

    try:
        timers.call(fail)
        timers.call(done.set)
        assert done.wait(PATIENCE)
    finally:
        log.removeHandler(deaf)
