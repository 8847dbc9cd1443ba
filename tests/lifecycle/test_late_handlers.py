"""Handlers of an acquisition whose turn comes late: behind a slow one, after the loss."""

from __future__ import annotations

import asyncio
import threading

import pytest

from kubernetes_leader_election import Elector
from kubernetes_leader_election.events import EVENTS
from tests.lifecycle.driven import Log, until
from tests.lifecycle.stages import (
    PATIENCE,
    STEADY,
    hold,
    holder,
    holder_after_two_writes,
    options,
)

ACQUIRED, LOST = EVENTS.LEADERSHIP_ACQUIRED, EVENTS.LEADERSHIP_LOST


@pytest.fixture
def slow(front, client):
    """Give an elector, a handler that takes as long as it is told to, and a record."""
    log, seen = Log(), []
    elector = front.elector(log=log, **STEADY)
    entered, go_on = threading.Event(), threading.Event()

    def block(_event):
        entered.set()
        assert go_on.wait(PATIENCE)

    def keep(name):
        return lambda event: seen.append((name, event.name, event.term))

    elector.block, elector.entered, elector.go_on = block, entered, go_on
    elector.keep, elector.seen, elector.told = keep, seen, log
    yield elector
    go_on.set()


def lose_a_term_meanwhile(client, elector):
    """Let a term begin and end while the slow handler runs, and end that one."""
    elector.start()
    assert elector.entered.wait(PATIENCE)
    hold(client, "")
    until(lambda: elector._lifecycle.current is not None)
    hold(client, "rival")
    until(lambda: elector._lifecycle.current.term.is_lost)
    elector.go_on.set()


@pytest.mark.row(
    "Handlers", "what if the turn of a handler of `leadership_acquired` comes late?"
)
@pytest.mark.parametrize("behind", ["another event", "the same event"])
def test_acquired_handler_is_not_called_after_the_lease_was_lost(slow, client, behind):
    """G2, fault 11: nothing begins for a term that is another's; its loss is told."""
    if behind == "another event":
        hold(client, "rival")
        slow.once(EVENTS.LEADER_CHANGED, slow.block)
    else:
        slow.once(ACQUIRED, slow.block)
    slow.on(ACQUIRED, slow.keep("both"))
    slow.on(LOST, slow.keep("both"))
    slow.on(LOST, slow.keep("lost alone"))
    lose_a_term_meanwhile(client, slow)
    until(lambda: len(slow.seen) >= 2)
    slow.told.wait_for("the Lease was lost before every handler of leadership_acquired")
    hold(client, "")
    until(lambda: len(slow.seen) > 2)
    slow.stop(PATIENCE)
    assert slow.seen == [
        ("both", LOST, 1),
        ("lost alone", LOST, 1),
        ("both", ACQUIRED, 2),
        ("both", LOST, 2),
        ("lost alone", LOST, 2),
    ]


@pytest.mark.row(
    "Handlers", "what if the turn of a handler of `leadership_acquired` comes late?"
)
def test_once_waits_for_an_acquisition_that_is_told(slow, client):
    """Fault 11: once() hears the next one that it can hear, not none at all."""
    slow.once(ACQUIRED, slow.block)
    slow.once(ACQUIRED, slow.keep("once"))
    lose_a_term_meanwhile(client, slow)
    hold(client, "")
    until(lambda: slow.seen)
    slow.step_down(stay_out=0)
    slow.wait_until_leading(PATIENCE)
    slow.stop(PATIENCE)
    assert slow.seen == [("once", ACQUIRED, 2)]


@pytest.mark.row(
    "Handlers", "what if the turn of a handler of `leadership_acquired` comes late?"
)
def test_acquired_handler_is_called_late_while_the_lease_is_held(slow, client):
    """G4, G5: given up and not released yet, a term is told from beginning to end."""
    slow.once(ACQUIRED, slow.block)
    slow.on(ACQUIRED, slow.keep("on"))
    slow.on(LOST, slow.keep("on"))
    slow.start()
    assert slow.entered.wait(PATIENCE)
    slow._lifecycle.ask_to_stop()  # a handler may block the loop of stop() itself
    until(lambda: slow._lifecycle.current.term.is_lost)
    assert holder_after_two_writes(client) == "me"
    slow.go_on.set()
    slow.stop(PATIENCE)
    assert slow.seen == [("on", ACQUIRED, 1), ("on", LOST, 1)]
    assert holder(client) == ""


@pytest.mark.row(
    "Handlers", "what if the turn of a handler of `leadership_acquired` comes late?"
)
@pytest.mark.parametrize("ends", ["is lost", "is given up"])
def test_asyncio_coroutine_is_not_started_for_a_term_that_is_over(client, ends):
    """G2, fault 11: it would be cancelled before its first step; its loss is told."""
    seen = []

    async def main():
        elector = Elector(**options(**STEADY))
        entered, go_on, told = asyncio.Event(), asyncio.Event(), asyncio.Event()
        hold(client, "rival")

        @elector.once(EVENTS.LEADER_CHANGED)
        async def block(_event):
            entered.set()
            await go_on.wait()

        @elector.on(ACQUIRED)
        async def work(event):
            seen.append(("work", event.term))

        @elector.on(LOST)
        async def wind_up(event):
            seen.append(("lost", event.term))
            told.set()

        async with asyncio.timeout(PATIENCE), elector:
            await entered.wait()
            hold(client, "")
            term = await elector.wait_until_leading()
            if ends == "is lost":
                hold(client, "rival")
                await term.lost.wait()
                go_on.set()
            else:
                stepping = asyncio.create_task(elector.step_down(stay_out=3600))
                await term.lost.wait()
                go_on.set()
                await stepping
            await told.wait()

    asyncio.run(main())
    assert seen == [("lost", 1)]
