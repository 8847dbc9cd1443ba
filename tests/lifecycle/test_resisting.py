"""Work of asyncio that goes on though it was cancelled: it is cancelled until it ends."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time

import anyio
import pytest

from kubernetes_leader_election import Elector, LeadershipLostError, sync
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.events import EVENTS
from kubernetes_leader_election.lifecycle.task_cancellation import TURNS
from kubernetes_leader_election.testing import LeaseServer, TcpProxy
from tests.lifecycle.driven import Log, until
from tests.lifecycle.stages import FAST, PATIENCE, hold, holder, options

pytestmark = pytest.mark.slow
LONG = {"renew_interval_ms": 100, "lease_duration_sec": 10, "stop_budget_sec": 2.0}
"""A stop budget whose half is long even on a busy machine."""


# Bodies -------------------------------------------------------------------------


async def suppress_in_a_loop(act):
    """Let a timer of its own end by cancelling it, again and again."""
    while True:
        timer = asyncio.create_task(asyncio.sleep(PATIENCE))
        act()
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.05, timer.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await timer


async def retry_whatever_comes(act):
    """Take a cancellation for a failure, wait a little, and try again."""
    while True:
        try:
            act()
            await asyncio.sleep(0.05)
        except BaseException:  # noqa: BLE001 - that is what such loops do
            await asyncio.sleep(0.001)


async def retry_in_groups(act):
    """The same, where a task group is what waits."""
    while True:
        try:
            act()
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0.05))
        except BaseException:  # noqa: BLE001 - that is what such loops do
            await asyncio.sleep(0.001)


async def retry_in_anyio(act):
    """The same, where a cancel scope and a task group of anyio wait."""
    while True:
        try:
            act()
            with anyio.move_on_after(0.05):
                async with anyio.create_task_group() as group:
                    group.start_soon(anyio.sleep, PATIENCE)
        except BaseException:  # noqa: BLE001 - that is what such loops do
            await asyncio.sleep(0.001)


async def undo_and_go_on(act):
    """Swallow the cancellation as asyncio's documentation says: with uncancel()."""
    while True:
        try:
            act()
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            while asyncio.current_task().uncancel():
                pass
            await asyncio.sleep(0.001)


BODIES = [
    pytest.param(body, id=body.__name__.replace("_", " "))
    for body in (
        suppress_in_a_loop,
        retry_whatever_comes,
        retry_in_groups,
        retry_in_anyio,
        undo_and_go_on,
    )
]


async def swallow_at_every_await(over):
    """Catch every cancellation at every await, until it is let go."""
    while not over.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(PATIENCE)


async def lead_until_lost(elector, body):
    """Run a body in a scope that ends by the loss of its term; give the error."""
    try:
        async with elector.leadership() as term:
            await body(term)
    except LeadershipLostError as error:
        return error
    raise AssertionError("the scope ended without a loss")


def lose_to_a_rival(client, _elector):
    """Let a rival write the Lease."""
    hold(client, "rival")


def lose_with_a_dead_engine(_client, elector):
    """Let the engine do nothing any more: only the clock ends the term."""
    elector._lifecycle._driver.step = lambda _: None


def revive(elector):
    """Let the engine live again, if it was dead."""
    vars(elector._lifecycle._driver).pop("step", None)


LOSSES = pytest.mark.parametrize("lose", [lose_to_a_rival, lose_with_a_dead_engine])


# It ends ------------------------------------------------------------------------


@LOSSES
@pytest.mark.parametrize("body", BODIES)
def test_body_that_goes_on_is_cancelled_until_it_ends(client, body, lose):
    """G2, fault 09, fault 07: the scope ends with the loss, and the count is even."""
    acts = []

    async def work(elector):
        before = asyncio.current_task().cancelling()

        async def begin(_):
            asyncio.get_running_loop().call_later(0.01, lose, client, elector)
            await body(lambda: acts.append(None))

        await lead_until_lost(elector, begin)
        assert asyncio.current_task().cancelling() == before
        seen = len(acts)
        await asyncio.sleep(0.1)
        assert len(acts) == seen

    async def main():
        async with asyncio.timeout(PATIENCE), Elector(**options(**FAST)) as elector:
            await work(elector)
            revive(elector)
            hold(client, "")

    asyncio.run(main())
    assert acts


def test_body_that_outlasts_a_row_of_cancellations_meets_the_next(client):
    """G2, fault 09: however many it swallows, there are more, until it lets one pass."""
    swallowed = []

    async def body(_term):
        hold(client, "rival")
        while len(swallowed) < 3 * TURNS:
            try:
                await asyncio.sleep(5.0)
            except asyncio.CancelledError:
                swallowed.append(None)
            else:
                return  # nobody cancels it any more
        await asyncio.sleep(PATIENCE)

    async def main():
        async with asyncio.timeout(PATIENCE), Elector(**options(**FAST)) as elector:
            await lead_until_lost(elector, body)
            assert asyncio.current_task().cancelling() == 0
            hold(client, "")

    asyncio.run(main())
    assert len(swallowed) == 3 * TURNS


@LOSSES
@pytest.mark.parametrize("body", BODIES)
def test_acquired_coroutine_that_goes_on_is_cancelled_until_it_ends(client, body, lose):
    """G2, fault 09, fault 07: the same for work that an acquired handler is."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def main():
        elector = Elector(**options(**FAST))

        @elector.once(EVENTS.LEADERSHIP_ACQUIRED)
        async def work(_event):
            try:
                await body(begun.set)
            finally:
                ended.set()

        async with asyncio.timeout(PATIENCE), elector:
            await begun.wait()
            lose(client, elector)
            await ended.wait()
            revive(elector)
            hold(client, "")

    asyncio.run(main())
    assert holder(client) == ""


@pytest.mark.parametrize("body", BODIES)
def test_body_that_goes_on_ends_after_a_planned_stop(client, body):
    """Fault 09: when the grace is over, it is cancelled until it ends, too."""

    async def main():
        begun = asyncio.Event()
        elector = Elector(**options(grace_sec=0.5, **FAST))
        running = asyncio.create_task(elector.run(lambda _: body(begun.set)))
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
            await elector.stop()
            assert await running is None

    asyncio.run(main())
    assert holder(client) == ""


@pytest.mark.parametrize("body", BODIES)
def test_body_that_goes_on_does_nothing_once_another_one_leads(body):
    """G2, fault 09: cut off from the API server, it has ended before a rival begins."""
    rhythm = {
        "renew_interval_ms": 300,
        "lease_duration_sec": 3,
        "renew_deadline_sec": 2.0,
        "request_timeout_sec": 0.5,
        "stop_budget_sec": 0.5,
    }
    acts, led = [], []
    with LeaseServer() as server, TcpProxy(server.url) as proxy:

        async def main(rival):
            async def work(_):
                rival.start()
                proxy.black_hole()
                async with asyncio.timeout(PATIENCE):
                    await body(lambda: acts.append(time.monotonic()))

            credentials = explicit(server=proxy.url)
            async with Elector(**options(**rhythm, credentials=credentials)) as elector:
                assert (await lead_until_lost(elector, work)).reason == "renew_deadline"
                await asyncio.to_thread(until, lambda: led)
                proxy.heal()

        credentials = explicit(server=server.url)
        rival = sync.Elector(
            **options(**rhythm, credentials=credentials, identity="rival")
        )
        rival.on(EVENTS.LEADERSHIP_ACQUIRED, lambda _: led.append(time.monotonic()))
        try:
            asyncio.run(main(rival))
        finally:
            rival.stop(PATIENCE)
    assert [act for act in acts if act > led[0]] == []
    assert acts


# Its cleanup --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lose", "takes"),
    [
        (lose_to_a_rival, 0.2),
        (lambda _, elector: elector._lifecycle.ask_to_stop(), 2.5),
    ],
    ids=["half of the budget at a loss", "more than all of it at a stop"],
)
def test_cleanup_within_its_time_is_not_cut(client, lose, takes):
    """Fault 12, fault 09: ``finally: await close()`` meets one cancellation, no more."""
    seen = []

    async def body(elector):
        lose(client, elector)
        try:
            await asyncio.Event().wait()
        finally:
            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                closing = group.create_task(asyncio.sleep(takes))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await asyncio.Event().wait()
            seen.append(closing.cancelled())

    async def main():
        async with asyncio.timeout(PATIENCE), Elector(**options(**LONG)) as elector:
            await lead_until_lost(elector, lambda _: body(elector))
            hold(client, "")

    asyncio.run(main())
    assert seen == [False]


def test_planned_stop_that_takes_longer_than_its_grace_is_no_loss(client):
    """G5, fault 09: the Lease is held until the work has ended, and run() gives None."""
    held = []

    async def main():
        elector = Elector(**options(grace_sec=0.5, **FAST))
        begun = asyncio.Event()

        async def work(term):
            job = asyncio.create_task(asyncio.sleep(2.5))  # beyond the deadline, too
            begun.set()
            while not job.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.shield(job)
            held.append((holder(client), term.reason, term.remaining() > 0.0))

        running = asyncio.create_task(elector.run(work))
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
            await elector.stop()
            assert await running is None

    asyncio.run(main())
    assert held == [("me", "stopped", True)]
    assert holder(client) == ""


def test_lease_lost_under_a_planned_stop_cancels_again_before_its_grace(client):
    """G2, fault 09: a stop has its whole grace only for as long as the Lease is held."""
    loop_times, begun = [], asyncio.Event()

    async def work(_):
        now = asyncio.get_running_loop().time
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        loop_times.append(now())
        hold(client, "rival")
        try:
            await asyncio.Event().wait()
        finally:
            loop_times.append(now())

    async def main():
        async with asyncio.timeout(PATIENCE):
            elector = Elector(**options(stop_budget_sec=4.0))
            await elector.start()
            task = asyncio.create_task(lead_until_lost(elector, work))
            await begun.wait()
            await elector.stop()
            assert (await task).reason == "stopped"

    asyncio.run(main())
    first, second = loop_times
    assert 1.9 < second - first < 3.9


# Others cancel, too -------------------------------------------------------------


async def resist_until_cancelled_by(elector, client, others):
    """Lose a term with a body that goes on, and let others cancel it meanwhile."""
    loop = asyncio.get_running_loop()
    async with elector.leadership():
        hold(client, "rival")
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(PATIENCE)  # the loss is the first to cancel it
        called = asyncio.Event()
        loop.call_later(0.6, others)  # beyond the stop budget: it resists
        loop.call_later(0.6, called.set)
        while not called.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.1)
        for _ in range(20):  # turns of the loop: by then they have cancelled it
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        await asyncio.sleep(PATIENCE)


def resist(client, play):
    """Run ``play`` with an elector that leads."""

    async def main():
        async with asyncio.timeout(PATIENCE), Elector(**options(**FAST)) as elector:
            await play(elector)
            assert asyncio.current_task().cancelling() == 0
            await asyncio.sleep(0)
            hold(client, "")

    asyncio.run(main())


def test_cancellation_from_outside_is_known_among_many_of_ours(client):
    """Fault 12, fault 09: it is passed on, and counts once when the scope has ended."""
    counts = []

    async def work(elector):
        task = asyncio.current_task()
        try:
            await resist_until_cancelled_by(elector, client, task.cancel)
        except asyncio.CancelledError:
            counts.append(task.cancelling())
            raise

    async def play(elector):
        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(work(elector))

    resist(client, play)
    assert counts == [1]


def test_timeout_and_task_group_around_a_resisting_body_keep_working(client):
    """Fault 09: both count the cancellations of a task, and find their own among ours."""

    async def time_out(elector):
        async with asyncio.timeout(PATIENCE) as limit:
            now = asyncio.get_running_loop().time
            await resist_until_cancelled_by(
                elector, client, lambda: limit.reschedule(now())
            )

    async def fail_beside(elector):
        failing = asyncio.Event()

        async def fail():
            await failing.wait()
            raise ZeroDivisionError

        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await resist_until_cancelled_by(elector, client, failing.set)

    async def play(elector):
        with pytest.raises(TimeoutError):
            await time_out(elector)
        hold(client, "")
        with pytest.raises(ExceptionGroup) as caught:
            await fail_beside(elector)
        assert [type(e) for e in caught.value.exceptions] == [ZeroDivisionError]

    resist(client, play)


# It cannot be ended -------------------------------------------------------------


def report_of(client, body, *, lose=lose_to_a_rival, rhythm=LONG):
    """Give the first report on a body that cannot be ended, and how often it was hit."""
    log = Log()

    async def main():
        elector = Elector(**options(log=log, **rhythm))
        over, told = asyncio.Event(), asyncio.Event()
        reports = []

        @elector.on(EVENTS.ERROR)
        def tell(event):
            reports.append(str(event.error))
            told.set()

        async def work():
            async with elector.leadership():
                lose(client, elector)
                await body(over)

        async with asyncio.timeout(PATIENCE), elector:
            task = asyncio.create_task(work(), name="stubborn")
            try:
                async with asyncio.timeout(PATIENCE / 2):
                    await told.wait()
                assert not task.done()
            finally:
                over.set()
                task.cancel()
                await asyncio.wait({task})
                revive(elector)
                hold(client, "")
        return reports[0]

    return asyncio.run(main()), log


def test_body_that_swallows_at_every_await_is_named_at_half_of_the_budget(client):
    """Fault 09: nothing ends it, so it is said at once which work it is."""
    report, log = report_of(client, swallow_at_every_await)
    assert (
        "1 s after term 1 ended (another holder has the Lease), half of the stop"
        in report
    )
    assert "ignores its cancellation: leadership() in task 'stubborn'" in report
    assert log.wait_for("ignores its cancellation")[0] == "warning"


def test_body_that_swallows_at_every_await_is_named_with_a_dead_engine(client):
    """Fault 07, fault 09: by the clock that ends its term, as the engine says nothing."""
    report, _ = report_of(
        client, swallow_at_every_await, lose=lose_with_a_dead_engine, rhythm=FAST
    )
    assert "after term 1 ended (the renew deadline passed), half of the stop" in report
    assert "ignores its cancellation: leadership() in task 'stubborn'" in report


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="wait_for() was mended")
def test_body_in_wait_for_of_python_311_is_named_at_half_of_the_budget(client):
    """Fault 09: its wait_for() drops a cancellation that comes with a result."""

    async def drain(over):
        queue = asyncio.Queue()
        while not over.is_set():
            queue.put_nowait(None)
            await asyncio.wait_for(queue.get(), 1)

    report, _ = report_of(client, drain)
    assert "ignores its cancellation: leadership() in task 'stubborn'" in report


def test_body_that_never_lets_its_loop_turn_is_named_at_half_of_the_budget(client):
    """Fault 05, fault 09: the report needs no loop."""
    log = Log()

    async def main():
        async def work(_):
            hold(client, "rival")
            log.wait_for("ignores its cancellation")  # this blocks the loop
            hold(client, "")
            await asyncio.Event().wait()

        elector = Elector(**options(log=log, **LONG))
        async with asyncio.timeout(PATIENCE), elector:
            await lead_until_lost(elector, work)

    asyncio.run(main())


def test_cancelling_again_does_not_keep_a_processor_busy(client):
    """Fault 09: what cannot be cancelled is left in peace most of the time."""
    hits = []

    async def work(_):
        over = asyncio.get_running_loop().time() + 1.5
        hold(client, "rival")
        # Longer only where this process stood still meanwhile.
        while asyncio.get_running_loop().time() < over or len(hits) <= TURNS:
            try:
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                hits.append(None)

    async def main():
        async with asyncio.timeout(PATIENCE), Elector(**options(**FAST)) as elector:
            await lead_until_lost(elector, work)
            hold(client, "")

    asyncio.run(main())
    # 1.25 s, 16 turns in a row at most each 25 ms, and more of them at the beginning.
    assert TURNS < len(hits) < 1500
