"""Handlers, as docs/life-cycle.md has them: where, in what order, and what if."""

from __future__ import annotations

import asyncio
import threading

import pytest

from kubernetes_leader_election import Elector, sync
from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.events import EVENTS
from tests.lifecycle.driven import Log, until
from tests.lifecycle.stage_threads import spawn
from tests.lifecycle.stages import PATIENCE, STEADY, hold, holder, options


@pytest.mark.row("Handlers", "where do they run?")
def test_handlers_run_on_the_loop_or_on_one_thread(front):
    """Plain functions of every event run on one thread: the loop's, or the elector's."""
    elector = front.elector()
    seen = []
    for event in EVENTS:
        elector.on(event, lambda _: seen.append(threading.current_thread()))
    elector.start()
    elector.wait_until_leading(PATIENCE)
    elector.stop(PATIENCE)
    assert len(seen) >= 2
    (thread,) = set(seen)
    if front.name == "asyncio":
        assert thread is front.thread
    else:
        assert thread.name == "leader-election-handlers"


@pytest.mark.row("Handlers", "in what order?")
def test_handlers_are_called_in_the_order_of_events_and_of_on(front):
    """G4: acquired before lost, term after term; for one event, first come first."""
    elector = front.elector()
    seen = []
    for number in (1, 2):
        for event in (EVENTS.LEADERSHIP_ACQUIRED, EVENTS.LEADERSHIP_LOST):
            elector.on(event, lambda e, n=number: seen.append((e.term, e.name, n)))
    elector.start()
    for _ in range(3):
        elector.wait_until_leading(PATIENCE)
        elector.step_down(stay_out=0)
    elector.stop(PATIENCE)
    terms = seen[-1][0]
    assert terms >= 3
    assert seen == [
        (term, event, number)
        for term in range(1, terms + 1)
        for event in ("leadership_acquired", "leadership_lost")
        for number in (1, 2)
    ]


@pytest.mark.row("Handlers", "what if one raises?")
def test_handler_that_raises_harms_nothing(front):
    """Fault 11: logged with its traceback; the next one runs, the election goes on."""
    log = Log()
    elector = front.elector(log=log, **STEADY)
    seen = []
    renewed = threading.Event()

    def break_down(event):
        raise ZeroDivisionError("planted")

    def fail(event):
        pytest.fail("planted as well")  # no Exception, but a BaseException

    def leave(event):
        raise SystemExit("planted, too")

    elector.on(EVENTS.LEADERSHIP_ACQUIRED, break_down)
    elector.on(EVENTS.LEADERSHIP_ACQUIRED, fail)
    if front.name == "threads":
        # On a loop it ends the loop, as from any of its callbacks.
        elector.on(EVENTS.LEADERSHIP_ACQUIRED, leave)
    elector.on(EVENTS.LEADERSHIP_ACQUIRED, seen.append)
    elector.on(EVENTS.LEASE_RENEWED, lambda _: renewed.set())
    elector.start()
    elector.wait_until_leading(PATIENCE)
    assert renewed.wait(PATIENCE)
    assert len(seen) == 1
    level, text = log.wait_for("ZeroDivisionError: planted")
    assert level == "error"
    assert "break_down of leadership_acquired raised" in text
    assert "Traceback" in text
    level, text = log.wait_for("planted as well")
    assert level == "error"
    assert "fail of leadership_acquired raised" in text
    assert elector.current_leader


@pytest.mark.slow
@pytest.mark.row("Handlers", "what if one is slow?")
def test_handler_that_is_slow_holds_up_events_alone(front, client):
    """Fault 11: renewals go on; 256 events wait; the loss is told, however late."""
    log = Log()
    elector = front.elector(log=log, **STEADY)
    go_on = threading.Event()
    seen = []

    def block(event):
        go_on.wait(PATIENCE)
        seen.append(event)

    for event in EVENTS:
        elector.on(event, block)
    hold(client, "rival-0")
    elector.start()
    until(lambda: elector.leader_identity == "rival-0")
    for number in range(1, 300):
        hold(client, f"rival-{number}")
    log.wait_for("256 events wait for a handler that takes too long")
    hold(client, "")
    until(lambda: elector.current_leader)
    written = len(client.writes)
    until(lambda: len(client.writes) > written + 2)
    assert elector.current_leader
    hold(client, "rival-300")
    until(lambda: not elector.current_leader)
    assert not seen
    go_on.set()
    until(lambda: seen and seen[-1].name == EVENTS.LEADERSHIP_LOST)
    vital = {EVENTS.LEADERSHIP_ACQUIRED, EVENTS.LEADERSHIP_LOST}
    # Another one leads by now: nobody is told any more that this one does (G2).
    assert [e.name for e in seen if e.name in vital] == [EVENTS.LEADERSHIP_LOST]
    assert 256 <= len(seen) <= 256 + 2  # one in the handler's hands, one vital one
    hold(client, "rival-301")
    log.wait_for("events were dropped: see above")


@pytest.mark.row("Handlers", "what if one is a coroutine function?")
def test_asyncio_handler_that_is_a_coroutine_is_awaited_or_is_work(client):
    """Others are awaited in order; an acquired one is work, cancelled and awaited."""
    seen = []

    async def main():
        elector = Elector(**options(**STEADY))
        renewed = asyncio.Event()

        @elector.on(EVENTS.LEADERSHIP_ACQUIRED)
        async def work(event):
            seen.append("work begins")
            try:
                await asyncio.Event().wait()
            finally:
                seen.append("work is cancelled")
                await asyncio.sleep(0.05)
                seen.append(f"work ends, held by {holder(client)}")

        @elector.on(EVENTS.LEASE_RENEWED)
        async def first(event):
            seen.append("first")
            await asyncio.sleep(0.02)
            seen.append("first ends")

        @elector.on(EVENTS.LEASE_RENEWED)
        async def second(event):
            seen.append("second")
            renewed.set()

        async with asyncio.timeout(PATIENCE), elector:
            await renewed.wait()
            elector.off(EVENTS.LEASE_RENEWED, first)
            elector.off(EVENTS.LEASE_RENEWED, second)

    asyncio.run(main())
    assert seen[:4] == ["work begins", "first", "first ends", "second"]
    # One more renewal may be told meanwhile.
    assert [said for said in seen if said.startswith("work")] == [
        "work begins",
        "work is cancelled",
        "work ends, held by me",
    ]
    assert holder(client) == ""


@pytest.mark.row("Handlers", "what if one is a coroutine function?")
def test_threads_refuse_a_handler_that_is_a_coroutine():
    """There is no loop to run it on: said when it is registered, with the way out."""
    elector = sync.Elector(**options())

    async def work(event): ...

    for register in (elector.on, elector.once):
        with pytest.raises(ConfigurationError, match=r"use the elector for\s+asyncio"):
            register(EVENTS.LEADERSHIP_ACQUIRED, work)


def test_asyncio_work_that_raises_is_reported_and_the_term_goes_on(client):
    """A coroutine that was started by the acquisition is not lost silently."""
    log = Log()

    async def main():
        elector = Elector(**options(log=log))

        @elector.on(EVENTS.LEADERSHIP_ACQUIRED)
        async def work(event):
            raise ZeroDivisionError("planted")

        async with asyncio.timeout(PATIENCE), elector:
            await elector.wait_until_leading()
            await asyncio.to_thread(log.wait_for, "planted")
            assert elector.current_leader

    asyncio.run(main())


@pytest.mark.row("Handlers", "what does a handler of `leadership_lost` hold up?")
def test_lost_handler_holds_up_the_release(front, client):
    """G5: the Lease is renewed while the handler runs, and released after it."""
    elector = front.elector(**STEADY)
    entered, go_on = threading.Event(), threading.Event()

    def wind_up(event):
        entered.set()
        go_on.wait(PATIENCE)

    elector.on(EVENTS.LEADERSHIP_LOST, wind_up)
    elector.start()
    elector.wait_until_leading(PATIENCE)
    stopping = spawn(lambda: elector.stop(PATIENCE))
    assert entered.wait(PATIENCE)
    written = len(client.writes)
    until(lambda: len(client.writes) > written + 2)
    assert holder(client) == "me"
    assert not elector.current_leader
    assert elector.remaining() > 0.0
    go_on.set()
    stopping.result(PATIENCE)
    assert holder(client) == ""


@pytest.mark.row("Handlers", "what if the loop that called `start()` is closed?")
def test_asyncio_elector_outlives_its_loop(client):
    """What ran on a closed loop has ended; the election goes on until stop()."""
    log = Log()
    elector = Elector(**options(log=log, **STEADY))
    elector.on(EVENTS.LEADERSHIP_LOST, print)

    async def main():
        await elector.start()
        await elector.wait_until_leading(PATIENCE)

    asyncio.run(main())
    written = len(client.writes)
    until(lambda: len(client.writes) > written + 2)
    assert elector.current_leader
    asyncio.run(elector.stop(PATIENCE))
    assert holder(client) == ""
    log.wait_for("the event loop that called start() is closed")


def test_asyncio_scope_on_a_closed_loop_has_ended(client):
    """A loop that was closed under a scope does not keep the Lease for ever."""
    elector = Elector(**options(**STEADY))

    async def main():
        await elector.start()
        await elector.leadership().__aenter__()

    asyncio.run(main())
    assert elector.current_leader
    asyncio.run(elector.stop(PATIENCE))
    assert holder(client) == ""


def test_once_hears_one_event_and_off_none(front):
    """once() and off() mean what they say, on the elector as in the registry."""
    elector = front.elector()
    seen = []
    elector.once(EVENTS.LEADERSHIP_ACQUIRED, lambda e: seen.append(("once", e.term)))

    @elector.on(EVENTS.LEADERSHIP_ACQUIRED)
    def off(event):
        seen.append(("off", event.term))

    @elector.on("leadership_acquired")
    def always(event):
        seen.append(("always", event.term))

    assert elector.off(EVENTS.LEADERSHIP_ACQUIRED, off)
    assert not elector.off(EVENTS.LEADERSHIP_ACQUIRED, off)
    elector.start()
    elector.wait_until_leading(PATIENCE)
    elector.step_down(stay_out=0)
    elector.wait_until_leading(PATIENCE)
    elector.stop(PATIENCE)
    assert seen[:3] == [("once", 1), ("always", 1), ("always", 2)]


def test_events_and_log_are_properties(front):
    """EVENTS on the class and on the instance; log is the logger given, or ours."""
    log = Log()
    elector = front.elector(log=log)
    kind = Elector if front.name == "asyncio" else sync.Elector
    assert kind.EVENTS is elector.EVENTS is EVENTS
    assert elector.log is log
    assert front.elector().log.name == "kubernetes_leader_election"
    assert (elector.lease_name, elector.namespace, elector.identity) == (
        "front",
        "default",
        "me",
    )
