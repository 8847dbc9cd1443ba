"""Where work of asyncio runs: loops that are closed or stand still, tasks that ended."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from kubernetes_leader_election import (
    Elector,
    LeadershipLostError,
    ProtocolMisuseError,
    sync,
)
from kubernetes_leader_election.events import EVENTS
from tests.lifecycle.driven import Log, OnLoop, until
from tests.lifecycle.stages import PATIENCE, STEADY, hold, holder, options

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def leading(**changes):
    """Give an elector that was started on a loop which goes on; it keeps its log."""
    front = OnLoop()
    made = front.elector(log=(log := Log()), **changes)
    made.told, made.front = log, front
    made.real = made._elector
    made.start()
    made.wait_until_leading(PATIENCE)
    yield made
    made.stop(PATIENCE)
    front.close()


@pytest.fixture
def elector(client):
    """Give one that renews fast."""
    with leading(**STEADY) as made:
        yield made


@contextlib.contextmanager
def another_loop():
    """Give a loop of one's own, with no task left behind that would complain."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    yield loop
    loop.close()


def work_in(scope):
    """Give a coroutine that works in a scope until it is cancelled."""

    async def work():
        async with scope:
            await asyncio.Event().wait()

    return work()


async def enter(scope):
    """Enter a scope in a task that ends right after it."""
    return await scope.__aenter__()


async def suspend(scope):
    """Enter a scope in a generator."""
    async with scope:
        yield
        await asyncio.Event().wait()


def leave_a_task_behind(loop, elector):
    """Let a task be in a scope, and close its loop."""
    task = loop.create_task(work_in(elector.real.leadership()))
    until_entered(loop, elector)
    loop.close()
    task._log_destroy_pending = False
    return task


def enter_by_hand(loop, elector):
    """Enter a scope by hand in a task that ends, and close the loop."""
    scope = elector.real.leadership()
    loop.run_until_complete(enter(scope))
    loop.close()
    return scope


def leave_a_generator_behind(loop, elector):
    """Let a generator be in a scope, and close its loop."""
    generator = suspend(elector.real.leadership())
    loop.run_until_complete(anext(generator))
    loop.close()
    return generator


def close_from_another_thread(loop, elector):
    """Let a task be in a scope, stop its loop, and close it from another thread."""
    task = loop.create_task(work_in(elector.real.leadership()))
    until_entered(loop, elector)
    thread = threading.Thread(target=loop.close)
    thread.start()
    thread.join()
    task._log_destroy_pending = False
    return task


def until_entered(loop, elector):
    """Run a loop until a scope is entered on it."""
    work = elector._lifecycle.current.work
    while loop not in {hold.loop for hold in work.alive}:
        loop.run_until_complete(asyncio.sleep(0.01))


CLOSED = pytest.mark.parametrize(
    "leave",
    [
        leave_a_task_behind,
        enter_by_hand,
        leave_a_generator_behind,
        close_from_another_thread,
    ],
)


@CLOSED
def test_scope_of_a_closed_loop_ends_its_term(elector, client, leave):
    """G5, fault 08: seen at the next renewal: work_ended, released, and led anew."""
    reasons, others = [], []
    elector.on(EVENTS.LEADERSHIP_LOST, lambda e: reasons.append(e.reason))
    other = sync.Elector(**options(**STEADY) | {"identity": "other"})
    other.on(EVENTS.LEADERSHIP_ACQUIRED, others.append)
    with another_loop() as loop, other:
        kept = leave(loop, elector)
        until(lambda: others, "nobody else leads")
        assert reasons == ["work_ended"]
        elector.told.wait_for("was closed: it counts as ended")
        del kept
    # Released by the other one at its end.
    assert elector.wait_until_leading(PATIENCE).number == 2


@CLOSED
def test_scope_of_a_closed_loop_does_not_hold_up_a_stop(client, leave):
    """G5, fault 08: at a loss it is seen at once, not after the stop budget."""
    slow = {"renew_interval_ms": 10_000, "lease_duration_sec": 90}
    with leading(**slow, stop_budget_sec=30) as elector, another_loop() as loop:
        kept = leave(loop, elector)
        elector.stop(timeout=20)
        assert holder(client) == ""
        del kept


def test_scope_beside_one_of_a_closed_loop_goes_on(elector, client):
    """G5: the term ends with the last scope, not with the one whose loop was closed."""
    beside = elector.real.leadership()
    elector.front.call(beside.__aenter__())
    with another_loop() as loop:
        kept = leave_a_task_behind(loop, elector)
        elector.told.wait_for("was closed: it counts as ended")
        written = len(client.writes)
        until(lambda: len(client.writes) > written + 2)
        assert elector.current_leader
        del kept
    elector.front.call(beside.__aexit__(None, None, None))
    assert not elector.current_leader


def test_work_of_an_acquired_coroutine_on_a_closed_loop_is_over(client):
    """G5, fault 08: the term goes on, for a handler ends none, and stop() waits for none."""
    log, begun = Log(), threading.Event()
    elector = Elector(**options(log=log, **STEADY))

    @elector.on(EVENTS.LEADERSHIP_ACQUIRED)
    async def work(_event):
        begun.set()
        await asyncio.Event().wait()

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    loop.run_until_complete(elector.start())
    while not begun.is_set():
        loop.run_until_complete(asyncio.sleep(0.01))
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False
    loop.close()
    log.wait_for("was closed: it counts as ended")
    assert elector.current_leader
    asyncio.run(elector.stop(PATIENCE))
    assert holder(client) == ""


def test_scope_of_a_loop_that_stands_still_is_kept_and_reported(elector, client):
    """G5, fault 08: the loop may be run again, so nothing is released under its feet."""
    reports = []
    elector.on(EVENTS.ERROR, lambda e: reports.append(str(e.error)))
    loop = asyncio.new_event_loop()
    task = loop.create_task(work_in(elector.real.leadership()))
    until_entered(loop, elector)
    until(lambda: [text for text in reports if "stands still" in text])
    written = len(client.writes)
    until(lambda: len(client.writes) > written + 5)
    assert holder(client) == "me"
    hold(client, "rival")
    with pytest.raises(LeadershipLostError):
        loop.run_until_complete(task)  # the loss comes when it runs again
    loop.close()
    assert len([text for text in reports if "stands still" in text]) == 1


# Tasks --------------------------------------------------------------------------


def play(client, work):
    """Lead on a loop, and collect reports while ``work`` does something with a scope."""
    reports = []

    async def main():
        elector = Elector(**options(**STEADY))
        elector.on(EVENTS.ERROR, lambda e: reports.append(str(e.error)))
        async with asyncio.timeout(PATIENCE), elector:
            await work(elector, reports)
            hold(client, "")

    asyncio.run(main())
    return reports


async def turn_until(condition):
    """Let the loop turn until something is true."""
    while not condition():  # noqa: ASYNC110 - of anything
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("then", ["the term holds", "the term is lost"])
def test_scope_whose_task_ended_is_reported_at_once_and_can_be_left(client, then):
    """Fault 08: as a fixture of a test framework does it: set up, and torn down, apart."""

    async def work(elector, reports):
        scope = elector.leadership()
        setup = asyncio.create_task(enter(scope), name="setup")
        term = await setup
        await turn_until(lambda: reports)
        assert elector.current_leader
        if then == "the term holds":
            await scope.__aexit__(None, None, None)
            assert term.reason == "work_ended"
        else:
            hold(client, "rival")
            await term.lost.wait()
            with pytest.raises(LeadershipLostError):
                await scope.__aexit__(None, None, None)
        assert asyncio.current_task().cancelling() == 0

    (report,) = play(client, work)
    assert "leadership() in task 'setup': the task has ended" in report
    assert "a loss cancels nothing of its work" in report


@pytest.mark.parametrize("then", ["the term holds", "the term is lost"])
def test_scope_left_by_another_task_has_ended(client, then):
    """Fault 08: reported; each task keeps the cancellations that are its own."""

    async def work(elector, reports):
        scope, entered, ended = elector.leadership(), asyncio.Event(), []

        async def open_it():
            term = await scope.__aenter__()
            entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append(term.reason)
            await left.wait()
            return asyncio.current_task().cancelling()

        left = asyncio.Event()
        opening = asyncio.create_task(open_it(), name="opening")
        await entered.wait()
        if then == "the term is lost":
            hold(client, "rival")
            await turn_until(lambda: ended)
            with pytest.raises(LeadershipLostError):
                await scope.__aexit__(None, None, None)
            assert ended == ["another_holder"]
        else:
            await scope.__aexit__(None, None, None)
            assert not elector.current_leader
            opening.cancel()
        left.set()
        counted = await opening
        assert counted == (then == "the term holds")
        assert asyncio.current_task().cancelling() == 0
        await turn_until(lambda: reports)

    (report,) = play(client, work)
    assert "leadership() in task 'opening' was left by another task" in report


def test_scope_left_by_another_task_passes_on_what_cancelled_that_one(client):
    """Fault 12, fault 08: a cancellation of the task that leaves is none of the loss's."""

    async def work(elector, _reports):
        scope = elector.leadership()
        term = await asyncio.create_task(enter(scope))
        hold(client, "rival")
        await term.lost.wait()
        error = asyncio.CancelledError()
        assert await scope.__aexit__(type(error), error, None) is None

    play(client, work)


def test_scope_that_is_left_where_it_was_entered_reports_nothing(client):
    """Fault 08: not even where the task ends right after it."""

    async def work(elector, reports):
        async def lead():
            async with elector.leadership():
                await asyncio.sleep(0)

        await asyncio.create_task(lead())
        await asyncio.sleep(0.05)
        assert reports == []

    play(client, work)


def by_hand(coroutine):
    """Run a coroutine as other libraries than asyncio do: with no loop of asyncio."""
    try:
        coroutine.send(None)
    finally:
        coroutine.close()


async def in_no_task(coroutine):
    """Run a coroutine on a loop of asyncio, in no task of it."""
    loop, ended = asyncio.get_running_loop(), asyncio.Future()

    def step():
        try:
            by_hand(coroutine)
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            ended.set_exception(error)

    loop.call_soon(step)
    await ended


@pytest.mark.parametrize(
    "call",
    [
        lambda elector: elector.start(),
        lambda elector: elector.__aenter__(),
        lambda elector: elector.run(print),
    ],
    ids=["start()", "async with", "run()"],
)
def test_elector_for_asyncio_says_under_trio_what_to_use_there(call):
    """Nothing is begun, and the error names the elector for threads."""
    elector = Elector(**options())
    with pytest.raises(ProtocolMisuseError, match=r"sync\.Elector in threads"):
        by_hand(call(elector))
    assert elector.state.role == "stopped"


def test_scope_for_asyncio_says_under_trio_what_to_use_there(elector):
    """Also where an elector runs on a loop elsewhere: a scope is a task's own."""
    scope = elector.leadership()
    with pytest.raises(ProtocolMisuseError, match=r"sync\.Elector in threads"):
        by_hand(scope.__aenter__())
    with pytest.raises(ProtocolMisuseError, match="no task of asyncio"):
        elector.front.call(in_no_task(elector.leadership().__aenter__()))
    assert elector.current_leader
