"""
A program under gevent, patched at one of three moments: what it sees goes to stdout.

Called with the moment (``first``, ``imported``, ``started``) and what to do.
"""

from __future__ import annotations

import sys
import time

MOMENT, PART = sys.argv[1:]


def patch_at(moment: str) -> None:
    """Patch, if this is the moment."""
    if moment == MOMENT:
        from gevent import monkey

        monkey.patch_all()


patch_at("first")

import gevent  # noqa: E402 - after the patch

from kubernetes_leader_election import EVENTS, LeadershipLostError, sync  # noqa: E402 - after the patch
from kubernetes_leader_election.credentials import kubeconfig  # noqa: E402 - after the patch

patch_at("imported")


def say(*words: object) -> None:
    """Write a line."""
    print(*words, flush=True)


class Ticker:
    """A greenlet that counts how often it had its turn."""

    def __init__(self) -> None:
        self.count = 0
        gevent.spawn(self._tick)

    def _tick(self) -> None:
        while True:
            gevent.sleep(0.01)  # its turn comes by the clock
            self.count += 1


elector = sync.Elector(
    lease_name="patched",
    credentials=kubeconfig(),
    renew_interval_ms=300,
    lease_duration_sec=3,
)
losses, renewals = [], []
elector.on(EVENTS.LEADERSHIP_LOST, lambda event: losses.append(event.reason))
elector.on(EVENTS.LEASE_RENEWED, renewals.append)


def works() -> None:
    """Lead, through a loop that is busy; wait without holding it up; release."""
    ticker = Ticker()
    term = elector.wait_until_leading(60)
    say("token", term.fencing_token)
    seen, end = len(renewals), time.monotonic() + 4
    while time.monotonic() < end:
        pass  # longer than a lease, and no greenlet has its turn
    say("busy", elector.current_leader, term.is_lost, len(renewals) - seen > 3)
    before = ticker.count
    say("lost", term.lost.wait(timeout=1.0), ticker.count - before > 5)
    with elector.leadership() as scope:
        before = ticker.count
        say("thread", scope.to_thread(lambda: 42))
        inside = gevent.spawn(scope.to_thread, lambda: 43)
        say("greenlet", inside.get(timeout=60))
    elector.stop(timeout=60)
    while not losses:
        gevent.sleep(0.01)  # between two looks: handlers run on a thread of the system
    say("stopped", *losses)


def loses() -> None:
    """Lose the lease to a server that hangs, and lead again when it answers."""
    while True:
        try:
            with elector.leadership() as term:
                say("leads", term.number)
                term.lost.wait(60)
        except LeadershipLostError as error:
            say("lost", error.reason)


def ends() -> None:
    """Lead until a signal ends this."""
    with elector.leadership():
        say("leads")
        gevent.sleep(600)  # until a signal ends it; else the test fails


elector.start()
patch_at("started")
{"works": works, "loses": loses, "ends": ends}[PART]()
