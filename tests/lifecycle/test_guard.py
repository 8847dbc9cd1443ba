"""A guard for jobs: it joins the term, holds up the release, and never ends the term."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kubernetes_leader_election import (
    NOT_LEADER,
    ConfigurationError,
    Elector,
    LeadershipLostError,
    NotLeaderError,
    ProtocolMisuseError,
    sync,
)
from tests.lifecycle.driven import OnLoop, until
from tests.lifecycle.life_cycle import code, table
from tests.lifecycle.stages import PATIENCE, STEADY, hold, holder, options
from tests.lifecycle.test_held_work import Job, is_held_and_renewed, leading

ENDS = {
    (body, lease): {"asyncio": code(on_loop), "threads": code(on_thread)}
    for body, lease, on_loop, on_thread in table("How a guard ends")
}


@pytest.fixture
def job():
    """Give a job; it is let go after the test."""
    made = Job()
    yield made
    made.go.set()


def in_guard(front, elector, job):
    """Run a plain job under a guard, in a task or in a thread; give what ran with it."""
    if isinstance(front, OnLoop):

        async def run():
            async with elector.guard():
                await asyncio.to_thread(job)

        return asyncio.run_coroutine_threadsafe(run(), front.loop)

    def run_here():
        with elector.guard():
            job()

    pool = ThreadPoolExecutor()
    future = pool.submit(run_here)
    pool.shutdown(wait=False)
    return future


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["stop", "step_down"])
def test_planned_stop_waits_for_a_guard_and_does_not_cut_it(front, client, job, asked):
    """G5: renewed until the body has ended, for longer than the stop budget as well."""
    elector, term = leading(front, **STEADY, stop_budget_sec=0.1)
    guarded = in_guard(front, elector, job)
    assert job.began.wait(PATIENCE)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(getattr(elector, asked))
        until(lambda: term.is_lost)
        is_held_and_renewed(client, elector, job)
        # Longer than the stop budget: several renewals, one each 0.1 s.
        for _ in range(5):
            is_held_and_renewed(client, elector, job)
        job.go.set()
        asking.result(PATIENCE)
    guarded.result(PATIENCE)
    assert job.ended.is_set()
    assert holder(client) == ""


def test_guard_does_not_end_the_term(front, client):
    """A hundred jobs are one term, not a hundred hand-overs."""
    elector, term = leading(front)
    for _ in range(100):
        job = Job()
        job.go.set()
        in_guard(front, elector, job).result(PATIENCE)
        assert job.ended.is_set()
    assert elector.current_leader
    assert elector.wait_until_leading(timeout=PATIENCE) is term
    assert not elector._lifecycle.current.work.alive


def test_guard_outlives_the_last_scope(front, client, job):
    """G5: the term ends with its scope; the Lease is released after the guard."""
    elector, term = leading(front, **STEADY)
    guarded = in_guard(front, elector, job)
    assert job.began.wait(PATIENCE)
    elector._lifecycle.end_term(term.number)  # as the last scope does
    until(lambda: term.is_lost)
    assert term.reason == "work_ended"
    is_held_and_renewed(client, elector, job)
    job.go.set()
    guarded.result(PATIENCE)
    until(lambda: elector._lifecycle.is_over(term.number))


def test_guard_of_a_term_that_was_given_up_is_no_error_of_the_work(client):
    """run() contends again: a job that came too late is no defect of the work."""
    terms = []

    def work(term):
        terms.append(term)
        if len(terms) == 1:
            elector.step_down(stay_out=0)
            with elector.guard():
                pytest.fail("no new work begins")
        return len(terms)

    elector = sync.Elector(**options(**STEADY))
    assert elector.run(work) == 2


# How it ends -------------------------------------------------------------------------


def lose(client, term):
    """Let a rival take the Lease, and block until it is lost."""
    hold(client, "rival")
    until(lambda: term.remaining() == 0.0)


async def returns(elector, client, term):
    """Return."""


async def raises(elector, client, term):
    """Raise."""
    raise ZeroDivisionError


async def returns_after_a_stop(elector, client, term):
    """Be stopped in a planned way, go on for a while, and return."""
    await elector.step_down(stay_out=0)
    assert await term.lost.wait(PATIENCE)
    await asyncio.sleep(0.05)  # past any cancellation that was under way


async def is_cancelled(elector, client, term):
    """Be cancelled by the loss."""
    hold(client, "rival")
    await asyncio.Event().wait()


async def is_cancelled_while_stopping(elector, client, term):
    """Be cancelled by a loss in the middle of a planned stop."""
    await elector.step_down(stay_out=0)
    assert await term.lost.wait(PATIENCE)
    hold(client, "rival")
    await asyncio.Event().wait()


async def returns_after_the_loss(elector, client, term):
    """Return before the loop could cancel anything."""
    lose(client, term)


async def raises_after_the_loss(elector, client, term):
    """Raise an error instead of the cancellation."""
    hold(client, "rival")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise ZeroDivisionError from None


LOOP_BODIES = {
    ("returns", "is held"): [returns],
    ("raises an error", "is held"): [raises],
    ("returns after a planned stop", "is held"): [returns_after_a_stop],
    ("is cancelled by the loss", "is lost"): [
        is_cancelled,
        is_cancelled_while_stopping,
    ],
    ("returns", "is lost"): [returns_after_the_loss],
    ("raises an error", "is lost"): [raises_after_the_loss],
}


def thread_returns(elector, client, term):
    """Return."""


def thread_raises(elector, client, term):
    """Raise."""
    raise ZeroDivisionError


def thread_returns_after_a_stop(elector, client, term):
    """Be stopped in a planned way, and return."""
    elector.step_down(stay_out=0)
    assert term.lost.wait(PATIENCE)


def thread_returns_after_the_loss(elector, client, term):
    """Return too late."""
    lose(client, term)


def thread_returns_after_a_loss_while_stopping(elector, client, term):
    """Lose the Lease in the middle of a planned stop."""
    elector.step_down(stay_out=0)
    lose(client, term)


def thread_raises_after_the_loss(elector, client, term):
    """Raise too late."""
    lose(client, term)
    raise ZeroDivisionError


THREAD_BODIES = {
    ("returns", "is held"): [thread_returns],
    ("raises an error", "is held"): [thread_raises],
    ("returns after a planned stop", "is held"): [thread_returns_after_a_stop],
    ("is cancelled by the loss", "is lost"): [],
    ("returns", "is lost"): [
        thread_returns_after_the_loss,
        thread_returns_after_a_loss_while_stopping,
    ],
    ("raises an error", "is lost"): [thread_raises_after_the_loss],
}
ERRORS = {
    "returns": None,
    "raises the error": ZeroDivisionError,
    "raises LeadershipLostError": LeadershipLostError,
}


def cases(bodies):
    """Give each row with each body that plays it."""
    return [
        pytest.param(row, body, id=body.__name__)
        for row in bodies
        for body in bodies[row]
    ]


def test_every_row_of_the_page_has_its_bodies():
    """On both fronts; a row that one of them has not has none."""
    assert ENDS.keys() == LOOP_BODIES.keys() == THREAD_BODIES.keys()
    for row, bodies in THREAD_BODIES.items():
        assert bool(bodies) == bool(ENDS[row]["threads"])


@pytest.mark.parametrize(("row", "body"), cases(LOOP_BODIES))
def test_guard_of_a_task_ends_as_the_page_says(client, row, body):
    """And takes back its cancellation: the task goes on afterwards."""

    async def play():
        error = None
        # The clock would end it, too, but only after PATIENCE.
        long = {"renew_interval_ms": 100, "lease_duration_sec": 300}
        async with asyncio.timeout(PATIENCE), Elector(**options(**long)) as elector:
            await elector.wait_until_leading(PATIENCE)
            try:
                async with elector.guard() as term:
                    await body(elector, client, term)
            except (ZeroDivisionError, LeadershipLostError) as raised:
                error = type(raised)
            assert asyncio.current_task().cancelling() == 0
            await asyncio.sleep(0)  # a cancellation that was left over would come here
            return error

    assert asyncio.run(play()) is ERRORS[ENDS[row]["asyncio"]]


@pytest.mark.parametrize(("row", "body"), cases(THREAD_BODIES))
def test_guard_of_a_thread_ends_as_the_page_says(client, row, body):
    """The elector for threads; the loss cannot cancel anything."""
    error = None
    with sync.Elector(**options(**STEADY)) as elector:
        elector.wait_until_leading(PATIENCE)
        try:
            with elector.guard() as term:
                body(elector, client, term)
        except (ZeroDivisionError, LeadershipLostError) as raised:
            error = type(raised)
    assert error is ERRORS[ENDS[row]["threads"]]


def test_cancellation_of_others_is_passed_on(client):
    """A guard is no shield: who cancels the task for another reason is heard."""

    async def play():
        async with Elector(**options()) as elector:
            await elector.wait_until_leading(PATIENCE)
            task = asyncio.current_task()
            try:
                async with elector.guard():
                    asyncio.get_running_loop().call_soon(task.cancel)
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                assert task.uncancel() == 0
            else:
                pytest.fail("swallowed")
            assert elector.current_leader

    asyncio.run(play())


def test_scope_around_a_guard_still_cancels_its_task(client):
    """The scope raises its loss; the guard in it passes the cancellation on."""

    async def stepping_down(elector):
        async with elector.leadership(), elector.guard():
            await elector.step_down(stay_out=0)
            await asyncio.Event().wait()

    async def play():
        async with Elector(**options()) as elector:
            with pytest.raises(LeadershipLostError):
                await stepping_down(elector)
            assert asyncio.current_task().cancelling() == 0

    asyncio.run(play())


def test_guard_of_a_task_that_never_leaves_it_is_reported(client):
    """As a scope: nothing can be cancelled any more, and the Lease is kept."""

    async def play():
        reported = asyncio.get_running_loop().create_future()
        async with Elector(**options()) as elector:
            elector.once(elector.EVENTS.ERROR, reported.set_result)
            await elector.wait_until_leading(PATIENCE)
            guard = elector.guard()
            await asyncio.create_task(guard.__aenter__())
            event = await asyncio.wait_for(reported, PATIENCE)
            assert "did not leave the scope" in str(event.error)
            assert len(elector._lifecycle.current.work.alive) == 1
            await guard.__aexit__(None, None, None)
            assert elector._lifecycle.current.work.alive == ()

    asyncio.run(play())


# Misuse -------------------------------------------------------------------------------


def test_guard_is_entered_once_at_a_time(client):
    """A second block needs a guard of its own; afterwards the object may be used again."""

    async def twice(elector):
        guard = elector.guard()
        async with guard:
            with pytest.raises(ProtocolMisuseError, match="Call guard"):
                await guard.__aenter__()
        async with guard:
            pass

    front = OnLoop()
    elector, _ = leading(front)
    front.call(twice(elector))
    guard = elector.guard()
    with guard, pytest.raises(ProtocolMisuseError, match="Call guard"):
        guard.__enter__()
    with guard:
        pass
    elector.stop(timeout=PATIENCE)
    front.close()


def test_plain_block_is_for_threads(client):
    """In a task a loss could not cancel it; in a thread it is as that of the other front."""

    async def plain(elector):
        with pytest.raises(ProtocolMisuseError, match="async with"), elector.guard():
            pytest.fail("entered")

    front = OnLoop()
    elector, term = leading(front)
    front.call(plain(elector))
    with elector.guard() as guarded:
        assert guarded is term
        assert len(elector._lifecycle.current.work.alive) == 1
    assert elector._lifecycle.current.work.alive == ()
    elector.stop(timeout=PATIENCE)
    front.close()


def test_observer_has_no_jobs(front, client):
    """It never leads: a guard would be refused for ever, a job skipped for ever."""
    elector = front.elector(observe=True)
    elector.start()
    with pytest.raises(ProtocolMisuseError, match="observe=True"):
        in_guard(front, elector, Job()).result(PATIENCE)


# Jobs that are skipped ---------------------------------------------------------------


def add(a, b):
    """Be a plain job."""
    return a + b


async def add_slowly(a, b):
    """Be a job of an event loop."""
    await asyncio.sleep(0)  # not over in the turn in which it began
    return a + b


def jobs_of(front):
    """Give the jobs that a front takes."""
    return (add, add_slowly) if isinstance(front, OnLoop) else (add,)


def test_job_runs_on_the_leader_alone(front, client):
    """With its arguments and its result; elsewhere NOT_LEADER, which is false."""
    elector = front.elector(**STEADY)
    hold(client, "rival")
    elector.start()
    elector.wait_for_leader(timeout=PATIENCE)
    for job in jobs_of(front):
        skipped = elector.call_if_leading(job, 1, b=2)
        assert skipped is NOT_LEADER
        assert not skipped
    hold(client, "")
    elector.wait_until_leading(timeout=PATIENCE)
    for job in jobs_of(front):
        assert elector.call_if_leading(job, 1, b=2) == 3


def test_decorated_job_stays_of_its_kind(client):
    """A scheduler sees a coroutine function, and a plain one, with their names."""
    front = OnLoop()
    elector, _ = leading(front)
    slow = elector.only_while_leading(add_slowly)
    assert asyncio.iscoroutinefunction(slow)
    assert slow.__name__ == "add_slowly"
    assert front.call(slow(1, b=2)) == 3
    quick = elector.only_while_leading(add)
    assert quick.__doc__ == add.__doc__
    assert quick(1, b=2) == 3
    elector.stop(timeout=PATIENCE)
    assert quick(1, b=2) is NOT_LEADER
    assert front.call(slow(1, b=2)) is NOT_LEADER
    front.close()


def test_plain_job_of_asyncio_does_not_hold_up_the_loop(client):
    """call_if_leading calls it in a thread, and counts it until it has ended there."""
    front = OnLoop()
    elector, _ = leading(front)
    job = Job()
    called = asyncio.run_coroutine_threadsafe(
        elector._elector.call_if_leading(job, 1), front.loop
    )
    assert job.began.wait(PATIENCE)
    assert front.call(asyncio.sleep(0, "the loop turns")) == "the loop turns"
    called.cancel()
    assert len(elector._lifecycle.current.work.alive) == 1
    job.go.set()
    until(lambda: not elector._lifecycle.current.work.alive)
    elector.stop(timeout=PATIENCE)
    front.close()


def test_error_of_a_job_that_is_no_leader_elsewhere_is_its_own(front, client):
    """A job may ask another elector; only the guard's own refusal skips it."""
    elector, _ = leading(front)

    def asks():
        raise NotLeaderError("of another election")

    async def awaits():
        asks()

    for job in (asks, awaits)[: len(jobs_of(front))]:
        with pytest.raises(NotLeaderError, match="of another election"):
            elector.call_if_leading(job)
    assert elector._lifecycle.current.work.alive == ()


def test_job_holds_the_lease_against_the_hand_over(client, job):
    """What `if elector.current_leader: job()` does not: two never run it at once."""
    elector = sync.Elector(**options(**STEADY))
    elector.start()
    elector.wait_until_leading(PATIENCE)
    with ThreadPoolExecutor() as pool:
        called = pool.submit(elector.call_if_leading, job)
        assert job.began.wait(PATIENCE)
        stopping = pool.submit(elector.stop)
        until(lambda: not elector.current_leader)
        is_held_and_renewed(client, elector, job)
        job.go.set()
        called.result(PATIENCE)
        stopping.result(PATIENCE)
    assert holder(client) == ""


async def generates():
    """Be no job: a call runs nothing."""
    yield 1


@pytest.mark.parametrize("wrong", [None, generates, (n for n in ())])
def test_what_is_no_job_is_refused(front, client, wrong):
    """Before anything is called, also where this elector does not lead."""
    elector = front.elector()
    with pytest.raises(ConfigurationError):
        elector.call_if_leading(wrong)
    with pytest.raises(ConfigurationError):
        elector.only_while_leading(wrong)


def test_elector_for_threads_refuses_jobs_of_a_loop(client):
    """Else it would lead, run nothing, and say nothing."""
    elector = sync.Elector(**options())
    for call in (elector.call_if_leading, elector.only_while_leading):
        with pytest.raises(ConfigurationError, match="coroutine function"):
            call(add_slowly)
    with elector:
        elector.wait_until_leading(PATIENCE)
        with pytest.raises(ConfigurationError, match="nothing awaits"):
            elector.call_if_leading(lambda: add_slowly(1, 2))
        assert elector._lifecycle.current.work.alive == ()


def test_job_of_a_loop_that_gives_no_awaitable_is_refused(client):
    """A class with an ``async def __call__`` is a job of the loop, too."""

    class Adds:
        async def __call__(self, a, b):
            return a + b

    front = OnLoop()
    elector, _ = leading(front)
    assert elector.call_if_leading(Adds(), 1, 2) == 3
    with pytest.raises(ConfigurationError, match="nothing awaits"):
        elector.only_while_leading(lambda: asyncio.Future(loop=front.loop))()
    elector.stop(timeout=PATIENCE)
    front.close()


def test_guards_of_many_threads_are_counted_one_by_one(client):
    """The release waits for the last of them."""
    elector = sync.Elector(**options(**STEADY))
    elector.start()
    elector.wait_until_leading(PATIENCE)
    barrier, go = threading.Barrier(9), threading.Event()

    @elector.only_while_leading
    def work():
        barrier.wait(PATIENCE)
        assert go.wait(PATIENCE)
        return elector.remaining() > 0.0

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(work) for _ in range(8)]
        barrier.wait(PATIENCE)
        stopping = threading.Thread(target=elector.stop)
        stopping.start()
        until(lambda: not elector.current_leader)
        go.set()
        assert all(each.result(PATIENCE) is True for each in running)
        stopping.join(PATIENCE)
    assert holder(client) == ""


def test_guard_of_asyncio_says_under_trio_what_to_use_there(client):
    """Its task is the one that a loss cancels, and trio has none."""
    elector = Elector(**options())
    entering = elector.guard().__aenter__()
    with pytest.raises(ProtocolMisuseError, match=r"sync\.Elector in threads"):
        entering.send(None)
    entering.close()
