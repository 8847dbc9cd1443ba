"""Who calls the handlers: no thread to be had, cancelled tasks, life after life."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from contextvars import ContextVar

import pytest

from kubernetes_leader_election import Elector, sync
from kubernetes_leader_election.events import EVENTS
from kubernetes_leader_election.lifecycle.asyncio_dispatcher import AsyncioDispatcher
from kubernetes_leader_election.lifecycle.handlers import name_of
from tests.lifecycle.driven import Log, until
from tests.lifecycle.stages import PATIENCE, hold, holder, options

CLOSED = "the event loop that called start() is closed"


def handler_threads():
    """Give the threads that call handlers now."""
    return {t for t in threading.enumerate() if t.name == "leader-election-handlers"}


# Threads ------------------------------------------------------------------------


@pytest.fixture
def threadless(monkeypatch):
    """Give a function that lets so many starts of a thread for handlers fail."""
    left = [0]
    start = threading.Thread.start

    def try_to_start(thread):
        if thread.name == "leader-election-handlers" and left[0] > 0:
            left[0] -= 1
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", try_to_start)

    def fail(times):
        left[0] = times

    yield fail
    assert left == [0], "nobody tried so often"


@pytest.mark.row("Handlers", "what if the system gives no thread for them?")
def test_thread_for_handlers_that_cannot_be_had_is_asked_for_again(client, threadless):
    """G4, fault 11: events wait for it, none is lost, and the elector can be stopped."""
    log, seen = Log(), []
    elector = sync.Elector(**options(log=log))
    for event in (EVENTS.LEADERSHIP_ACQUIRED, EVENTS.LEADERSHIP_LOST):
        elector.on(event, lambda e: seen.append(e.name))
    threadless(2)
    elector.start()
    elector.wait_until_leading(PATIENCE)
    until(lambda: seen)
    threadless(0)
    elector.stop(PATIENCE)
    assert seen == ["leadership_acquired", "leadership_lost"]
    said = [text for _, text in log.written() if "no thread for its handlers" in text]
    assert len(said) == 1, "once, however often it is tried"
    assert "can't start new thread" in said[0]
    assert holder(client) == ""


def test_thread_that_dies_of_an_error_of_ours_is_followed_by_another(
    client, monkeypatch
):
    """Fault 07: what nobody foresaw in a delivery costs that event, not the others."""
    elector, seen = sync.Elector(**options()), []
    for event in (EVENTS.LEADERSHIP_ACQUIRED, EVENTS.LEADERSHIP_LOST):
        elector.on(event, lambda e: seen.append(e.name))
    look, looked = elector._lifecycle.notifier.handlers.snapshot, []

    def break_once(name):
        looked.append(name)
        if len(looked) == 1:
            raise MemoryError
        return look(name)

    monkeypatch.setattr(elector._lifecycle.notifier.handlers, "snapshot", break_once)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    elector.start()
    elector.wait_until_leading(PATIENCE)
    elector.stop(PATIENCE)
    assert seen == ["leadership_lost"]
    assert holder(client) == ""


def test_stop_waits_for_a_lost_handler_that_has_no_thread_yet(client, threadless):
    """G5: the Lease is held until the handler of the loss has run."""
    held = []
    elector = sync.Elector(**options())
    elector.on(EVENTS.LEADERSHIP_LOST, lambda _: held.append(holder(client)))
    threadless(2)
    elector.start()
    elector.wait_until_leading(PATIENCE)
    elector.stop(PATIENCE)
    assert held == ["me"]
    assert holder(client) == ""


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_thread_for_handlers_waits_for_the_first_event(client, late):
    """Fault 16: since Python 3.12 none can be started for the loss at the exit."""
    before = handler_threads()
    elector = sync.Elector(**options())
    if not late:
        elector.on(EVENTS.LEADERSHIP_LOST, str)
    elector.start()
    elector.wait_until_leading(PATIENCE)
    if late:
        assert not handler_threads() - before, "nobody is to be called"
        elector.on(EVENTS.LEADERSHIP_LOST, str)
    until(lambda: handler_threads() - before)
    elector.stop(PATIENCE)
    until(lambda: not handler_threads() - before)


def test_threads_for_handlers_end_with_each_life(client):
    """Fault 18: none is left behind by a start and a stop."""
    before = handler_threads()
    elector, seen = sync.Elector(**options()), []
    elector.on(EVENTS.LEADERSHIP_LOST, seen.append)
    for _ in range(5):
        elector.start()
        elector.wait_until_leading(PATIENCE)
        elector.stop(PATIENCE)
    until(lambda: not handler_threads() - before, "a thread waits on and on")
    assert [event.term for event in seen] == [1, 2, 3, 4, 5]


def test_handlers_run_one_at_a_time_through_every_life(front, client):
    """A handler that is still busy from the last life holds up those of the next one."""
    elector = front.elector()
    entered, go_on, seen = threading.Event(), threading.Event(), []

    def follow(event):
        seen.append(("begins", event.holder_identity))
        entered.set()
        if event.holder_identity == "rival":
            if front.name == "asyncio":
                return asyncio.to_thread(block)
            block()
        return None

    def block():
        assert go_on.wait(PATIENCE)
        seen.append(("ends", "rival"))

    hold(client, "rival")
    elector.on(EVENTS.LEADER_CHANGED, follow)
    elector.start()
    assert entered.wait(PATIENCE)
    elector.stop(PATIENCE)
    hold(client, "another")
    elector.start()
    until(lambda: elector.leader_identity == "another")
    go_on.set()
    until(lambda: ("begins", "another") in seen)
    assert seen == [("begins", "rival"), ("ends", "rival"), ("begins", "another")]


def test_handlers_of_a_new_life_run_in_its_context(front, client):
    """Context variables are those of the last start(), whatever thread calls."""
    number = ContextVar("number")
    elector, seen = front.elector(), []
    elector.on(EVENTS.LEADERSHIP_ACQUIRED, lambda _: seen.append(number.get()))
    for lifecycle in (1, 2, 3):
        number.set(lifecycle)
        elector.start()
        elector.wait_until_leading(PATIENCE)
        elector.stop(PATIENCE)
    assert seen == [1, 2, 3]


# Tasks --------------------------------------------------------------------------


def linger_at(elector, event):
    """Add a handler that ends only when it is cancelled; give it, and what it sets."""
    entered = asyncio.Event()

    async def linger(_event):
        entered.set()
        await asyncio.Event().wait()

    return elector.on(event, linger), entered


async def cancel_all_others():
    """Cancel every other task of the loop, as some frameworks do to shut down."""
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


@pytest.mark.row(
    "Handlers", "what if every task of the loop is cancelled, and the loop goes on?"
)
def test_asyncio_delivery_that_is_cancelled_goes_on_where_it_stood(client):
    """G4: "cancel all tasks" costs the handler under way, and no event."""
    log, seen = Log(), []

    async def main():
        elector = Elector(**options(log=log))
        wind_up, entered = linger_at(elector, EVENTS.LEADERSHIP_LOST)
        elector.on(EVENTS.LEADERSHIP_LOST, lambda e: seen.append((e.name, e.term)))
        elector.on(EVENTS.LEADERSHIP_ACQUIRED, lambda e: seen.append((e.name, e.term)))
        async with asyncio.timeout(PATIENCE):
            await elector.start()
            await elector.wait_until_leading()
            for _ in range(2):
                stepping = asyncio.create_task(elector.step_down(stay_out=0))
                await entered.wait()
                entered.clear()
                assert holder(client) == "me"
                await cancel_all_others()
                await asyncio.wait({stepping})
                await elector.wait_until_leading()
            elector.off(EVENTS.LEADERSHIP_LOST, wind_up)
            await elector.stop()

    asyncio.run(main())
    assert seen == [
        (name, term)
        for term in (1, 2, 3)
        for name in ("leadership_acquired", "leadership_lost")
    ]
    assert not [text for _, text in log.written() if CLOSED in text]
    assert holder(client) == ""


def test_asyncio_delivery_that_its_loop_cuts_off_holds_up_nothing(client, caplog):
    """G5: asyncio.run() ends under a lost handler: told, and the Lease is released."""
    caplog.set_level(logging.DEBUG)
    log, seen = Log(), []
    elector = Elector(**options(log=log))

    async def main():
        wind_up, entered = linger_at(elector, EVENTS.LEADERSHIP_LOST)
        elector.on(EVENTS.LEADERSHIP_LOST, wind_up)
        elector.on(EVENTS.LEADERSHIP_LOST, seen.append)
        await elector.start()
        await elector.wait_until_leading(PATIENCE)
        task = asyncio.create_task(elector.stop())
        await entered.wait()
        return task

    asyncio.run(main())
    log.wait_for(CLOSED)
    until(lambda: elector.state.role == "stopped")
    assert holder(client) == ""
    assert seen == []
    assert "destroyed" not in caplog.text


def test_asyncio_dispatcher_of_a_closed_loop_leaves_the_next_life_alone(
    client, monkeypatch
):
    """G4: a second asyncio.run() starts the elector before the first loop is missed."""
    log, seen, looks, look = Log(), [], [], AsyncioDispatcher._look
    monkeypatch.setattr(AsyncioDispatcher, "_look", lambda *given: looks.extend(given))
    elector = Elector(**options(log=log))
    elector.on(EVENTS.LEADERSHIP_ACQUIRED, lambda e: seen.append(e.term))
    hold(client, "rival")

    async def first():
        linger, entered = linger_at(elector, EVENTS.LEADER_CHANGED)
        elector.on(EVENTS.LEADER_CHANGED, str)  # which will never be called
        async with elector:
            await asyncio.wait_for(entered.wait(), PATIENCE)
        elector.off(EVENTS.LEADER_CHANGED, linger)

    async def second():
        async with asyncio.timeout(PATIENCE), elector:
            waiting = elector._lifecycle.notifier.event_queue._queued
            # This blocks the loop, so that nothing is delivered yet.
            until(lambda: EVENTS.LEADERSHIP_ACQUIRED in {x.event.name for x in waiting})
            until(lambda: looks)
            look(looks[0])
            await elector.wait_until_leading()

    asyncio.run(first())
    hold(client, "")
    asyncio.run(second())
    assert looks[0].loop.is_closed()
    assert seen == [1]
    assert not [text for _, text in log.written() if CLOSED in text]
    assert holder(client) == ""


def test_asyncio_handler_that_raises_when_it_is_cancelled_is_logged(client):
    """Fault 11: with its traceback, as any other; the next one runs."""
    log, seen = Log(), []

    async def main():
        elector = Elector(**options(log=log))
        entered = asyncio.Event()

        @elector.on(EVENTS.LEADERSHIP_LOST)
        async def break_down(event):
            entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                raise ZeroDivisionError("planted")

        elector.on(EVENTS.LEADERSHIP_LOST, lambda e: seen.append(e.term))
        async with asyncio.timeout(PATIENCE):
            await elector.start()
            await elector.wait_until_leading()
            stopping = asyncio.create_task(elector.stop())
            await entered.wait()
            await cancel_all_others()
            await asyncio.wait({stopping})
            await elector.stop()

    asyncio.run(main())
    level, text = log.wait_for("ZeroDivisionError: planted")
    assert level == "error"
    assert "in break_down" in text
    assert seen == [1]
    assert holder(client) == ""


# Names --------------------------------------------------------------------------


class Unspeakable:
    """A handler whose repr() raises, and which raises itself."""

    def __call__(self, event):
        raise ZeroDivisionError("planted")

    def __repr__(self):
        raise OSError("planted, too")


def test_handler_whose_repr_raises_harms_nothing(front, client):
    """Fault 11: what goes wrong in a name is no reason to call no handler any more."""
    log, seen = Log(), []
    elector = front.elector(log=log)
    elector.on(EVENTS.LEADERSHIP_ACQUIRED, Unspeakable())
    elector.on(EVENTS.LEADERSHIP_ACQUIRED, seen.append)
    elector.on(EVENTS.LEADERSHIP_LOST, seen.append)
    elector.start()
    elector.wait_until_leading(PATIENCE)
    elector.stop(PATIENCE)
    assert len(seen) == 2
    text = log.wait_for("ZeroDivisionError: planted")[1]
    assert "the handler of type Unspeakable, whose repr() fails, of" in text


def test_asyncio_work_whose_repr_raises_is_work_all_the_same(client):
    """Fault 11: a coroutine handler is started whatever its object is called."""
    seen = []

    class Work(Unspeakable):
        async def __call__(self, event):
            seen.append("begins")
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                seen.append("ends")

    begun = asyncio.Event()

    async def main():
        elector = Elector(**options())
        elector.on(EVENTS.LEADERSHIP_ACQUIRED, Work())
        async with asyncio.timeout(PATIENCE), elector:
            await begun.wait()

    asyncio.run(main())
    assert seen == ["begins", "ends"]


def test_name_of_a_partial_shows_no_arguments():
    """Fault 50: what is bound to a handler may be secret."""

    def bill(secret, event): ...

    bound = functools.partial(functools.partial(bill), "canary")
    assert name_of(bound).endswith("bill")
    assert "canary" not in name_of(bound)


def test_log_that_stands_still_holds_up_no_handler_and_no_release(client):
    """Fault 11: a full pipe behind the log is the log's trouble alone."""
    goes_on, seen = threading.Event(), []

    class FullPipe(Log):
        def info(self, msg, *args):
            goes_on.wait(PATIENCE)

    elector = sync.Elector(**options(log=FullPipe()))
    try:
        elector.start()
        elector.wait_until_leading(PATIENCE)
        elector.on(EVENTS.LEADERSHIP_LOST, lambda e: seen.append(e.reason))
        elector.stop(PATIENCE / 2)
        assert seen == ["stopped"]
        assert holder(client) == ""
    finally:
        goes_on.set()
