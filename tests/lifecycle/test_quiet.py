"""A renewal is no news: whom it wakes, counted by the kernel."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from kubernetes_leader_election import Elector
from kubernetes_leader_election.events import EVENTS
from kubernetes_leader_election.sync import Elector as ThreadedElector
from tests.lifecycle.driven import until
from tests.lifecycle.kernel_waits import settled, waits
from tests.lifecycle.stages import PATIENCE, options

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="counted by the kernel of Linux"
)

RENEWALS = 5
RHYTHM = {"lease_duration_sec": 60, "renew_interval_ms": 50}


def woken_by_renewals(client, thread):
    """Return how often some renewals wake a thread that waits."""
    until(lambda: len(client.writes) > 3)  # the first are about the take-over
    for _ in range(3):  # a busy machine may let a thread stand still before it waits
        before = settled(thread)
        written = len(client.writes)
        until(lambda written=written: len(client.writes) >= written + RENEWALS)
        woken = waits(thread) - before
        if not woken:
            break  # else each of them would have woken it
    return woken


def test_thread_that_waits_for_a_loss_sleeps_through_renewals(client):
    """G9: whoever has not asked to hear of renewals is not woken by them."""
    with ThreadedElector(**options(**RHYTHM)) as elector:
        with elector.leadership() as term:
            thread = threading.Thread(target=term.lost.wait)
            thread.start()
            until(lambda: len(elector._lifecycle.waiters))
            assert woken_by_renewals(client, thread.native_id) == 0
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the loss wakes it"


@pytest.mark.parametrize("listens", [False, True], ids=["nobody listens", "listens"])
def test_event_loop_sleeps_through_renewals_unless_somebody_listens(client, listens):
    """G9: in the main thread, where signals are looked after, too."""

    async def lead():
        async with Elector(**options(auto_close=True, **RHYTHM)) as elector:
            if listens:
                elector.on(EVENTS.LEASE_RENEWED, lambda _: None)
            async with elector.leadership() as term:
                waiting = asyncio.create_task(term.lost.wait())
                thread = threading.get_native_id()
                counted = asyncio.to_thread(
                    woken_by_renewals if not listens else woken_by_events,
                    client,
                    thread,
                )
                woken = await counted
            assert await asyncio.wait_for(waiting, PATIENCE), "the loss wakes it"
        return woken

    assert asyncio.run(lead()) == (RENEWALS if listens else 0)


def woken_by_events(_client, thread):
    """Wait until events have woken a thread so often; two may come at one waking."""
    before = waits(thread)
    until(lambda: waits(thread) >= before + RENEWALS)
    return RENEWALS
