"""Faults of the application: blocked loops, hogs, cancellations, signals at random."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import threading
import time
import types
from functools import partial

import pytest

from kubernetes_leader_election import Elector, LeadershipLostError, sync
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.events import EVENTS
from kubernetes_leader_election.kube_api import results as r
from tests.lifecycle import nursery
from tests.lifecycle.driven import Log, until
from tests.lifecycle.stage_threads import spawn
from tests.lifecycle.stages import (
    FAST,
    PATIENCE,
    STEADY,
    break_engine,
    holder,
    options,
)

pytestmark = pytest.mark.slow
DEADLINE = 1.19
"""Seconds: the renew deadline that follows from FAST (G2), rounded up."""


# Blocked and hung applications ----------------------------------------------------


def test_asyncio_loop_that_is_blocked_keeps_the_lease(client):
    """Fault 05: renewals do not need the loop."""

    async def main():
        elector = Elector(**options(**STEADY))
        async with elector, elector.leadership() as term:
            written = len(client.writes)
            until(lambda: len(client.writes) > written + 12)  # this blocks the loop
            assert elector.current_leader
            assert not term.is_lost
            await asyncio.sleep(0)

    asyncio.run(main())
    assert holder(client) == ""


def test_asyncio_loop_that_is_blocked_is_given_up_when_asked_for(client):
    """Fault 05: liveness="loop" stops renewing; the clock ends the term; reported."""
    log = Log()

    async def work(elector):
        async with elector.leadership() as term:
            time.sleep(2.5)  # noqa: ASYNC251 - to block the loop is the test
            assert term.is_lost
            assert term.reason == "renew_deadline"
            await asyncio.sleep(10)

    async def main():
        elector = Elector(
            **options(log=log, liveness="loop", liveness_timeout_sec=0.5, **FAST)
        )
        async with elector:
            with pytest.raises(LeadershipLostError):
                await work(elector)
            # Alive again, it contends again.
            assert (await elector.wait_until_leading(PATIENCE)).number == 2

    asyncio.run(main())
    assert "no sign of life for 0.5 s" in log.wait_for("sign of life")[1]


def test_thread_liveness_that_fails_gives_the_lease_up(client):
    """Fault 08: a callable says whether the application is well; one that hangs says no."""
    well, hangs = threading.Event(), threading.Event()
    well.set()

    def probe():
        if not well.is_set():
            hangs.wait(PATIENCE)
        return True

    elector = sync.Elector(**options(liveness=probe, liveness_timeout_sec=0.3, **FAST))
    with elector:
        term = elector.wait_until_leading(PATIENCE)
        well.clear()
        assert term.lost.wait(PATIENCE)
        assert term.reason == "renew_deadline"
        well.set()
        hangs.set()
        assert elector.wait_until_leading(PATIENCE).number == 2


def test_elector_contends_in_a_new_life_though_the_application_was_stuck(client):
    """Fault 08, 17: a new probe begins with all well, and so does the election."""
    well = threading.Event()
    well.set()
    elector = sync.Elector(
        **options(liveness=well.is_set, liveness_timeout_sec=0.3, **FAST)
    )
    elector.start()
    assert elector.wait_until_leading(PATIENCE).number == 1
    well.clear()
    until(lambda: elector.state.role == "standing by")
    elector.stop(PATIENCE)
    well.set()
    elector.start()
    assert elector.wait_until_leading(PATIENCE).number == 2
    elector.stop(PATIENCE)


# Hogs ---------------------------------------------------------------------------


def watch_belief(client, elector, until_then):
    """Check G2 at every look: belief only within the deadline of an applied write."""
    writes = client.writes
    while not until_then():
        before = time.monotonic()
        applied = writes[-1]["at"]
        if elector.current_leader and writes[-1]["at"] == applied:
            assert before - applied < DEADLINE


@pytest.fixture
def dated(client):
    """Let the Lease in memory note when each write came in."""
    replace = client.replace

    def replace_dated(namespace, name, lease, *, call, needs=None):
        at = time.monotonic()
        with client.changed:
            count = len(client.writes)
            result = replace(namespace, name, lease, call=call, needs=needs)
            if len(client.writes) > count:
                client.writes[-1] = {**client.writes[-1], "at": at}
        return result

    client.replace = replace_dated
    return client


def test_thread_elector_keeps_its_promise_beside_cpu_hogs(dated):
    """Fault 06: with 16 busy threads, renewed in time or given up by the clock (G2)."""
    over = threading.Event()

    def burn():
        while not over.is_set():
            sum(range(100))

    with sync.Elector(**options(**FAST)) as elector:
        elector.wait_until_leading(PATIENCE)
        hogs = [threading.Thread(target=burn) for _ in range(16)]
        for hog in hogs:
            hog.start()
        try:
            end = time.monotonic() + 2.0
            watch_belief(dated, elector, lambda: time.monotonic() > end)
        finally:
            over.set()
            for hog in hogs:
                hog.join()
        elector.wait_until_leading(PATIENCE)


def test_thread_elector_does_not_believe_after_the_gil_was_held(client, monkeypatch):
    """Fault 06: C code that holds the GIL for longer than the deadline ends belief."""
    lost = []

    def refuse(*_, **__):
        return r.Unknown(error=LeaseApiError("planted"))

    with sync.Elector(**options(**FAST)) as elector:
        elector.on(EVENTS.LEADERSHIP_LOST, lambda e: lost.append(e.reason))
        term = elector.wait_until_leading(PATIENCE)
        with monkeypatch.context() as no_writes:
            no_writes.setattr(client, "replace", refuse)  # it leads no second time yet
            # As a regular expression does that never ends; PyDLL keeps the GIL.
            ctypes.PyDLL(None).sleep(2)
            assert not elector.current_leader
            assert term.is_lost
        until(lambda: lost)
        assert lost == ["renew_deadline"]
        assert elector.wait_until_leading(PATIENCE).number == 2


# An engine that fails ---------------------------------------------------------------


def test_asyncio_work_is_cancelled_when_the_engine_fails(client):
    """Fault 53: what fails is not the work, which ends all the same; one lost event."""
    losses, ended = [], []

    async def work(elector):
        async with elector.leadership() as term:
            break_engine(elector)
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(term.number)

    async def main():
        elector = Elector(**options(**STEADY))
        elector.on(EVENTS.LEADERSHIP_LOST, losses.append)
        async with asyncio.timeout(PATIENCE), elector:
            with pytest.raises(LeadershipLostError, match="failed"):
                await work(elector)
            assert ended == [1]
            assert (await elector.wait_until_leading()).number == 2
            assert [(e.term, e.reason) for e in losses] == [(1, "failed")]

    asyncio.run(main())


def work_until_lost(elector, harm):
    """Work in a scope that is harmed, until the term is lost."""
    with elector.leadership(PATIENCE) as term:
        harm()
        assert term.lost.wait(PATIENCE)
        assert not elector.current_leader


def test_thread_work_is_told_when_the_engine_fails(client):
    """Fault 53: the same where work can only be asked; one lost event (G4)."""
    losses = []
    with sync.Elector(**options(**STEADY)) as elector:
        elector.on(EVENTS.LEADERSHIP_LOST, losses.append)
        with pytest.raises(LeadershipLostError, match="failed"):
            work_until_lost(elector, lambda: break_engine(elector))
        assert elector.wait_until_leading(PATIENCE).number == 2
        assert [(e.term, e.reason) for e in losses] == [(1, "failed")]


def test_thread_work_is_told_by_the_clock_with_a_dead_engine(client, monkeypatch):
    """Fault 07, rule 15: ``term.lost`` needs a clock, and no engine."""
    with sync.Elector(**options(**FAST)) as elector:
        with monkeypatch.context() as dead:

            def harm():
                dead.setattr(elector._lifecycle._driver, "step", lambda _: None)

            with pytest.raises(LeadershipLostError, match="the renew deadline"):
                work_until_lost(elector, harm)
        assert elector.wait_until_leading(PATIENCE).number == 2


def leave(scope):
    """End a scope, whose term may be lost."""
    with contextlib.suppress(LeadershipLostError):
        scope.__exit__(None, None, None)


@pytest.mark.parametrize("ends", ["stop", "step_down", "the scope"])
def test_thread_elector_leads_no_more_before_the_engine_heard_of_it(
    client, monkeypatch, ends
):
    """Rule 15: whoever gave leadership up has none from that word on."""
    elector = sync.Elector(**options())
    go_on = threading.Event()
    with elector:
        scope = elector.leadership(PATIENCE)
        scope.__enter__()
        step = elector._lifecycle._driver.step

        def late(message):
            go_on.wait(PATIENCE)
            step(message)

        with monkeypatch.context() as busy:
            busy.setattr(elector._lifecycle._driver, "step", late)
            asked = partial(leave, scope) if ends == "the scope" else None
            ending = spawn(asked or getattr(elector, ends))
            until(lambda: not elector.current_leader)
            # Not by the clock, for there is time left; nor by the engine, which waits.
            assert elector.remaining() > 0.0
            go_on.set()
        if ends != "the scope":
            leave(scope)
        ending.result(PATIENCE)


# Cancellation at every await ------------------------------------------------------


@types.coroutine
def cancelled_at(work, steps):
    """Run a coroutine and cancel the task at each of these suspensions of it."""
    step, resume, value = 0, work.send, None
    while True:
        try:
            future = resume(value)
        except StopIteration as end:
            return step, end.value
        step += 1
        if step in steps:
            asyncio.current_task().cancel()
        try:
            value = yield future
            resume = work.send
        except BaseException as error:  # noqa: BLE001 - passed on into the coroutine
            value, resume = error, work.throw


async def use_everything(elector):
    """Go through every await that the elector has."""
    async with elector:
        await elector.wait_for_leader()
        async with elector.leadership():
            await asyncio.sleep(0.001)
        await elector.wait_until_leading()
        await elector.step_down(stay_out=0)
        async with elector.leadership() as term:
            await term.lost.wait(timeout=0.001)
    await elector.run(lambda term: asyncio.sleep(0.001))


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice in a row"])
def test_asyncio_cancelled_at_every_await_leaves_nothing_behind(client, twice):
    """Fault 12: the cancellation is passed on, and all ends: stop, join, one release."""
    at, ended = 0, False
    while not ended:
        at += 1
        assert at < 200
        steps = {at, at + 1} if twice else {at}
        elector = Elector(**options(wait_for_leadership=True))

        async def main(elector=elector, steps=steps):
            async with asyncio.timeout(PATIENCE):
                return await cancelled_at(use_everything(elector), steps)

        try:
            count, _ = asyncio.run(main())
            ended = count < at
            assert ended, f"the cancellation at step {at} was lost"
        except asyncio.CancelledError:
            pass
        until(lambda e=elector: e.state.role == "stopped", f"cancelled at step {at}")
        until(lambda: holder(client) == "", f"cancelled at step {at}")
        assert not len(elector._lifecycle.waiters)
        assert elector._lifecycle.current is None
    assert at > 8


# Signals at random ----------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_signal_at_a_random_instant_ends_in_good_order(program, seed):
    """Fault 13: while acquiring, renewing, releasing; twenty times, with its seed."""
    nursery.play(program, rounds=10, seed=seed)
