"""
``stop()`` by a signal handler of the application, between any two calls of a thread.

A handler runs where a function begins and where a call into C has returned, in the
thread that it interrupts: also where that thread has a lock. The tests stop there, one
instant after the other, until there are no more.
"""

from __future__ import annotations

import sys
import threading
from contextlib import suppress

import pytest

from kubernetes_leader_election import (
    EVENTS,
    LeadershipLostError,
    NotLeaderError,
    ProtocolMisuseError,
    sync,
)
from tests.lifecycle.driven import until
from tests.lifecycle.instants import Instant
from tests.lifecycle.stages import PATIENCE, holder, options

pytestmark = [pytest.mark.slow, pytest.mark.thorough]
ENOUGH = 6000
"""Instants; there are far fewer."""


class Handler(Instant):
    """Stop the elector at that instant."""

    def __init__(self, elector, number):
        super().__init__(number)
        self.elector = elector

    def strike(self):
        """Stop it, once."""
        sys.setprofile(None)
        self.elector.stop(PATIENCE)


def scope(elector):
    """Enter a scope, work a little, leave it."""
    with elector.leadership(PATIENCE) as term:
        term.lost.wait(0.0)


def guard(elector):
    """Enter a guard, and leave it."""
    with elector.guard():
        pass


def hold(elector):
    """Hold the term, and let it go."""
    with elector.wait_until_leading(PATIENCE).hold("a write"):
        pass


def wait(elector):
    """Wait where no scope is entered."""
    elector.wait_until_leading(PATIENCE).lost.wait(0.001)


def listen(elector):
    """Change who hears of events; `on()` itself does far more before it does so."""
    handlers = elector._lifecycle.notifier.handlers
    handlers.add(EVENTS.LEASE_RENEWED, print, once=False)
    assert handlers.off(EVENTS.LEASE_RENEWED, print)


@pytest.mark.parametrize(
    "call",
    [scope, guard, hold, wait, listen],
    ids=["in a scope", "in a guard", "in a hold", "in a wait", "in on() and off()"],
)
def test_stop_by_a_handler_of_signals_ends_wherever_it_comes(client, call):
    """Fault 13: no lock that the interrupted thread has is waited for."""

    def interrupted():
        sys.setprofile(handler)
        with suppress(LeadershipLostError, NotLeaderError, ProtocolMisuseError):
            call(elector)
        sys.setprofile(None)

    for number in range(ENOUGH):
        elector = sync.Elector(**options())
        elector.on(EVENTS.LEADERSHIP_LOST, str)
        elector.start()
        elector.wait_until_leading(PATIENCE)
        handler = Handler(elector, number)
        thread = threading.Thread(target=interrupted, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive(), handler.met
        elector.stop(PATIENCE)
        until(lambda: holder(client) == "")
        if handler.met is None:
            break
    assert 20 < number < ENOUGH - 1


def start(_elector, another):
    """Start another elector."""
    another.start()


def hear(elector, _another):
    """Listen to an elector that runs."""
    elector.on(EVENTS.LEASE_RENEWED, str)


@pytest.mark.parametrize(
    "call", [start, hear], ids=["in start() of another one", "in on()"]
)
def test_stop_by_a_handler_of_signals_waits_for_no_lock_of_the_engine(client, call):
    """Fault 13: what the interrupted thread does concerns all electors of the process."""

    def interrupted():
        sys.setprofile(handler)
        call(elector, another)
        sys.setprofile(None)

    for number in range(ENOUGH):
        elector = sync.Elector(**options())
        another = sync.Elector(
            **options(
                lease_name="another", liveness=lambda: True, liveness_timeout_sec=5
            )
        )
        elector.on(EVENTS.LEADERSHIP_LOST, str)
        elector.start()
        elector.wait_until_leading(PATIENCE)
        handler = Handler(elector, number)
        thread = threading.Thread(target=interrupted, daemon=True)
        thread.start()
        thread.join(PATIENCE / 2)  # half of what the handler would wait
        assert not thread.is_alive(), handler.met
        elector.stop(PATIENCE)
        another.stop(PATIENCE)
        if handler.met is None:
            break
    assert 20 < number < ENOUGH - 1


@pytest.mark.parametrize("liveness", [False, True], ids=["alone", "with a probe"])
def test_stop_by_a_handler_of_signals_ends_run_without_an_error(client, liveness):
    """`run()` returns None after a stop, also one that comes between two looks."""
    asked = []
    more = {}
    if liveness:
        more = {
            "liveness": lambda: asked.append(0) or True,
            "liveness_timeout_sec": 0.2,
        }

    def interrupted():
        sys.setprofile(handler)
        try:
            returned.append(elector.run(lambda term: "done"))
        except Exception as error:  # noqa: BLE001 - judged below
            sys.setprofile(None)
            returned.append(error)
        sys.setprofile(None)

    for number in range(ENOUGH):
        elector, returned = sync.Elector(**options(**more)), []
        handler = Handler(elector, number)
        thread = threading.Thread(target=interrupted, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert returned[0] in {None, "done"}, handler.met
        if handler.met is None:
            break
    assert 20 < number < ENOUGH - 1
    if liveness:
        # Time goes by the questions of another elector, which come on the same thread.
        others = []
        with sync.Elector(
            **options(
                lease_name="another",
                liveness=lambda: others.append(0) or True,
                liveness_timeout_sec=0.2,
            )
        ):
            until(lambda: len(others) > 2)  # the last question may be under way
            before = len(asked)
            until(lambda: len(others) > 8)
        assert len(asked) == before, "a stopped elector asks its liveness probe"
