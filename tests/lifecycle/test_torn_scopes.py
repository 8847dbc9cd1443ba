"""
Ctrl-C between any two calls of entering and leaving work in the main thread.

A signal handler runs where a function begins and where a call into C has returned. The
tests raise there, one instant after the other, until there are no more.
"""

from __future__ import annotations

import sys
import threading
from contextlib import suppress

import pytest

from kubernetes_leader_election import LeadershipLostError, sync
from kubernetes_leader_election.engine.desired import Start
from kubernetes_leader_election.engine.engine import Engine
from kubernetes_leader_election.lifecycle.call_context import CallContext
from kubernetes_leader_election.process.exit import shared_exit
from tests.lifecycle.driven import until
from tests.lifecycle.instants import Instant
from tests.lifecycle.stages import (
    PATIENCE,
    STEADY,
    holder,
    holder_after_two_writes,
    options,
)

ENOUGH = 1000
"""Instants; there are far fewer."""


STRUCK = (KeyboardInterrupt, RuntimeError)
"""Event.wait() makes RuntimeError of what comes while it takes its own lock."""


class Interrupt(Instant):
    """Raise KeyboardInterrupt at that instant."""

    def strike(self):
        """Be the handler of SIGINT."""
        raise KeyboardInterrupt

    @property
    def came_before_leaving(self):
        """Tell whether it came while the body still ran, for all that we can know."""
        return self.met == ("call", type(self.block).__exit__.__code__)


BLOCKS = {
    "a scope": lambda elector: elector.leadership(PATIENCE),
    "a guard": sync.Elector.guard,
    "a hold": lambda elector: elector._lifecycle.current.term.hold("a write"),
}
"""Work that is entered and left, by what it is."""


def torn(elector, number, kind):
    """Enter and leave some work, with Ctrl-C at one instant of it."""
    interrupt = Interrupt(number)
    interrupt.block = block = BLOCKS[kind](elector)
    sys.setprofile(interrupt)
    try:
        with block:
            pass
    except STRUCK:
        pass
    finally:
        sys.setprofile(None)
    return interrupt


def torn_when_lost(elector, number, kind):
    """Leave work whose term is lost, with Ctrl-C at one instant of it."""
    interrupt = Interrupt(number)
    interrupt.block = BLOCKS[kind](elector)
    try:
        with interrupt.block:
            elector.stop()
            assert elector._lifecycle.current.term.is_lost
            sys.setprofile(interrupt)
    except (*STRUCK, LeadershipLostError):
        pass
    finally:
        sys.setprofile(None)
    return interrupt


def leading(**changes):
    """Give an elector that leads."""
    elector = sync.Elector(**options(**changes))
    elector.start()
    elector.wait_until_leading(PATIENCE)
    return elector


def go_on(elector):
    """Work again, then stop: nothing is left of what was interrupted."""
    with elector.leadership(PATIENCE) as term:
        term.check()
    elector.stop(PATIENCE)


def stop(elector):
    """Wait for the end of a stop."""
    elector.stop(PATIENCE)


def end(elector):
    """Let the interpreter exit."""
    elector._lifecycle.shutdown.on_exit()
    until(lambda: elector.state.role == "stopped")


@pytest.mark.slow
@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize(
    ("tear", "after"),
    [(torn, go_on), (torn, end), (torn_when_lost, stop), (torn_when_lost, end)],
    ids=["goes on", "exits", "goes on, lost", "exits, lost"],
)
def test_interrupt_in_work_of_the_main_thread_leaves_no_hold(client, tear, after, kind):
    """Fault 16: at whichever instant it comes, the Lease is released in the end."""
    for number in range(ENOUGH):
        elector = leading()
        interrupt = tear(elector, number, kind)
        if interrupt.met is None:
            elector.stop(PATIENCE)
            break
        if interrupt.came_before_leaving:
            # Work that is never left keeps the Lease beside other threads: see below.
            assert holder(client) == "me"
            with suppress(LeadershipLostError):
                interrupt.block.__exit__(None, None, None)
            elector.stop(PATIENCE)
            continue
        after(elector)
        assert holder(client) == "", interrupt.met
    assert 20 < number < ENOUGH - 1


@pytest.mark.parametrize("leaving", [False, True], ids=["entering", "leaving"])
def test_scope_that_interrupts_have_torn_twice_is_over_at_the_exit(
    client, monkeypatch, leaving
):
    """Fault 16: also what puts things right can be interrupted."""

    def interrupted(*_):
        raise KeyboardInterrupt

    elector = leading()
    scope = elector.leadership(PATIENCE)
    if leaving:
        scope.__enter__()
    else:
        monkeypatch.setattr(CallContext, "enter", interrupted)
    monkeypatch.setattr(CallContext, "leave", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scope.__exit__(None, None, None) if leaving else scope.__enter__()
    monkeypatch.undo()
    assert elector._lifecycle.current.work.alive
    end(elector)
    until(lambda: elector._lifecycle.current is None)


def test_scope_that_the_main_thread_never_left_keeps_the_lease_at_the_exit(client):
    """G5: other threads may work under it, for all that the exit can know."""
    elector = leading(**STEADY)
    scope = elector.leadership(PATIENCE)
    term = scope.__enter__()
    assert not elector._lifecycle.shutdown.on_exit()
    assert term.lost.wait(PATIENCE)
    assert holder_after_two_writes(client) == "me"
    with pytest.raises(LeadershipLostError):
        scope.__exit__(None, None, None)
    elector.stop(PATIENCE)
    assert holder(client) == ""


def test_scope_that_another_thread_enters_keeps_the_lease_at_the_exit(client):
    """G5: a daemon thread that was about to get its scope gets it, and works."""
    elector = leading(**STEADY)
    entered, asked, go = (threading.Event() for _ in range(3))

    def work():
        real = CallContext.enter

        def slow(call_context):
            asked.set()
            assert go.wait(PATIENCE)
            real(call_context)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CallContext, "enter", slow)
            scope = elector.leadership(PATIENCE)
            term = scope.__enter__()
        entered.set()
        assert term.lost.wait(PATIENCE)
        with pytest.raises(LeadershipLostError):
            scope.__exit__(None, None, None)

    thread = threading.Thread(target=work)
    thread.start()
    assert asked.wait(PATIENCE)
    assert not elector._lifecycle.shutdown.on_exit()
    assert holder_after_two_writes(client) == "me"
    go.set()
    assert entered.wait(PATIENCE)
    thread.join(PATIENCE)
    elector.stop(PATIENCE)
    assert holder(client) == ""


def torn_in(call, number):
    """Make a call with Ctrl-C at one instant of it."""
    interrupt = Interrupt(number)
    sys.setprofile(interrupt)
    try:
        call()
    except STRUCK:
        pass
    finally:
        sys.setprofile(None)
    return interrupt


@pytest.mark.slow
@pytest.mark.parametrize("call", ["start", "stop"])
def test_interrupt_in_start_or_stop_leaves_nothing_held_or_locked(client, call):
    """Fault 16: all is released at the exit, and the next elector leads at once."""
    for number in range(ENOUGH):
        elector = sync.Elector(**options()) if call == "start" else leading()
        interrupt = torn_in(getattr(elector, call), number)
        end(elector)
        assert holder(client) == "", interrupt.met
        leading().stop(PATIENCE)
        if interrupt.met is None:
            break
    assert 20 < number < ENOUGH - 1


def test_exit_waits_for_an_elector_whose_start_was_interrupted_as_it_began(
    client, monkeypatch
):
    """Fault 16: it may be about to take the Lease, and whoever exits would leave it held."""
    elector = sync.Elector(**options())
    post = Engine.post

    def interrupted(engine, driver, message):
        post(engine, driver, message)
        if isinstance(message, Start):
            raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "post", interrupted)
    with client.changed:  # no request is answered yet
        with pytest.raises(KeyboardInterrupt):
            elector.start()
        assert elector._lifecycle.shutdown in shared_exit()._running
    end(elector)
    assert elector._lifecycle.shutdown not in shared_exit()._running
    assert holder(client) == ""
