"""Work that is handed on: a hold by name, and calls in a thread."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kubernetes_leader_election import (
    ConfigurationError,
    Elector,
    LeadershipLostError,
    ProtocolMisuseError,
    sync,
)
from tests.lifecycle.driven import until
from tests.lifecycle.stages import (
    PATIENCE,
    STEADY,
    hold,
    holder,
    holder_after_two_writes,
    in_child,
    options,
)


def leading(front, **changes):
    """Give an elector that leads, and its term."""
    elector = front.elector(**changes)
    elector.start()
    return elector, elector.wait_until_leading(timeout=PATIENCE)


def stamp(client):
    """Give the renew time that stands in the Lease."""
    with client.changed:
        return client.lease["spec"]["renewTime"]


class Job:
    """Something that runs until it is let go."""

    def __init__(self):
        self.began, self.go, self.ended = (threading.Event() for _ in range(3))

    def __call__(self, *args, **kwargs):
        self.began.set()
        assert self.go.wait(PATIENCE)
        self.ended.set()
        return args, kwargs

    def under(self, term):
        """Run under a hold by name."""
        with term.hold("upload"):
            self()


@pytest.fixture
def job():
    """Give a job; it is let go after the test."""
    made = Job()
    yield made
    made.go.set()


def is_held_and_renewed(client, elector, job):
    """See that the Lease is renewed, not released, for as long as the job runs."""
    assert not elector.current_leader
    assert holder(client) == "me"
    before = stamp(client)
    until(lambda: stamp(client) != before)
    assert holder(client) == "me"
    assert not job.ended.is_set()


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["stop", "step_down"])
def test_hold_by_name_delays_the_release_and_is_named(front, client, job, asked):
    """G5: the Lease is renewed until what was handed on has ended, then released."""
    elector, term = leading(front, **STEADY)
    with ThreadPoolExecutor() as pool:
        pool.submit(job.under, term)
        assert job.began.wait(PATIENCE)
        asking = pool.submit(getattr(elector, asked))
        until(lambda: term.is_lost)
        is_held_and_renewed(client, elector, job)
        with pytest.raises(TimeoutError, match=r"hold\('upload'\) in thread 'Thread"):
            elector.stop(timeout=0.1)
        job.go.set()
        asking.result(PATIENCE)
    assert holder(client) == ""


def test_hold_by_name_does_not_end_the_term(front, client):
    """Without a scope, the term goes on when the hold is over."""
    elector, term = leading(front)
    for _ in range(2):
        with term.hold("upload"):
            term.check()
    elector.ensure(1)
    assert elector.current_leader
    assert not elector._lifecycle.current.work.alive


def test_hold_outlives_the_scope_that_began_it(client, job):
    """G5: the term ends with its scope, the Lease is released after the hold."""
    elector = sync.Elector(**options(**STEADY))
    with ThreadPoolExecutor() as pool, elector:
        with elector.leadership(PATIENCE) as term:
            pool.submit(job.under, term)
            assert job.began.wait(PATIENCE)
        assert term.reason == "work_ended"
        is_held_and_renewed(client, elector, job)
        job.go.set()


@pytest.mark.parametrize("over", ["stopped", "taken", "ending"])
def test_no_hold_is_taken_on_a_term_that_is_over(front, client, job, over):
    """G5: the body does not run, nor what would be called in a thread."""
    elector, term = leading(front)
    pool = ThreadPoolExecutor()
    if over == "stopped":
        elector.stop(timeout=PATIENCE)
    elif over == "taken":
        hold(client, "rival")
        until(lambda: term.is_lost)
    else:
        pool.submit(job.under, term)
        assert job.began.wait(PATIENCE)
        pool.submit(elector.stop)
        until(lambda: term.is_lost)
    ran = []
    no_new_work = pytest.raises(LeadershipLostError, match="no new work begins")
    with no_new_work, term.hold("upload"):
        ran.append(1)
    with pytest.raises(LeadershipLostError, match=r"to_thread\(list.append\)"):
        call(front, term, ran.append, 1)
    assert ran == []
    job.go.set()
    pool.shutdown()


def refuses_work(front, term):
    """Tell whether a term takes neither a hold by name nor a call in a thread."""
    ran = []
    no_new_work = pytest.raises(LeadershipLostError, match="no new work begins")
    with no_new_work, term.hold("upload"):
        ran.append(1)
    with pytest.raises(LeadershipLostError, match="no new work begins"):
        call(front, term, ran.append, 1)
    return ran == []


def test_no_hold_is_taken_on_a_term_that_the_clock_has_ended(front, monkeypatch):
    """Rule 15: the engine has not said so yet, and the hold asks the clock itself."""
    elector, term = leading(front)
    lifecycle = elector._lifecycle
    with monkeypatch.context() as over:
        over.setattr(lifecycle._driver, "current_leader", lambda: False)
        assert lifecycle.current.term is term
        assert refuses_work(front, term)
    with term.hold("upload"):
        assert lifecycle.current.work.alive


def test_no_hold_on_a_former_term_is_one_on_the_present(front, client):
    """G4, G5: work of a term that was lost does not begin under the next one."""
    elector, former = leading(front)
    hold(client, "rival")
    until(lambda: former.is_lost and elector.leader_identity == "rival")
    hold(client, "")
    current = elector.wait_until_leading(timeout=PATIENCE)
    assert current.number > former.number
    assert refuses_work(front, former)
    assert elector._lifecycle.current.work.alive == ()


def call(front, term, function, *args, **kwargs):
    """Call in a thread, on either front."""
    result = term.to_thread(function, *args, **kwargs)
    return front.call(result) if front.name == "asyncio" else result


VARIABLE = contextvars.ContextVar("variable", default="none")


def test_call_in_a_thread_returns_what_the_function_does(front):
    """Arguments go in, the result comes out, in another thread than the caller's."""
    elector, term = leading(front)
    assert call(front, term, lambda *a, **k: (a, k), 1, two=2) == ((1,), {"two": 2})
    assert call(front, term, threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        call(front, term, lambda: 1 // 0)
    assert not elector._lifecycle.current.work.alive
    elector.ensure(1)


def test_call_in_a_thread_carries_context_variables(client):
    """A context variable of the caller is seen in the thread, on both fronts."""

    async def on_a_loop():
        async with Elector(**options()) as elector, elector.leadership() as term:
            VARIABLE.set("loop")
            return await term.to_thread(VARIABLE.get)

    assert asyncio.run(on_a_loop()) == "loop"
    with sync.Elector(**options()) as elector, elector.leadership(PATIENCE) as term:
        VARIABLE.set("thread")
        assert term.to_thread(VARIABLE.get) == "thread"
    VARIABLE.set("none")


@pytest.mark.slow
def test_call_in_a_thread_is_work_until_the_thread_is_done(client, job):
    """G5: the body is cancelled and ends, the Lease is held until its thread has ended."""

    async def hand_on(elector):
        async with elector.leadership() as term:
            threading.Thread(target=stop, args=(elector,)).start()
            await term.to_thread(job)

    def stop(elector):
        assert job.began.wait(PATIENCE)
        elector._lifecycle.ask_to_stop()

    async def main():
        async with asyncio.timeout(PATIENCE):
            elector = Elector(**options(**STEADY))
            await elector.start()
            with pytest.raises(LeadershipLostError):
                await hand_on(elector)
            await asyncio.to_thread(is_held_and_renewed, client, elector, job)
            with pytest.raises(TimeoutError, match="to_thread"):
                await elector.stop(timeout=0.1)
            job.go.set()
            await elector.stop()

    asyncio.run(main())
    assert job.ended.is_set()
    assert holder(client) == ""


async def behind(job, elector, term, ran):
    """Let a call of a term wait for the one thread, which a job keeps busy."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    busy = loop.run_in_executor(None, job)
    waiting = asyncio.create_task(term.to_thread(ran.append, 1))
    await asyncio.sleep(0)  # it begins, and waits
    assert elector._lifecycle.current.work.alive
    return busy, waiting


def test_call_that_was_cancelled_before_a_thread_was_free_never_runs(client, job):
    """G5: it holds nothing up, and runs at nobody else's time."""
    ran = []

    async def main():
        async with asyncio.timeout(PATIENCE), Elector(**options()) as elector:
            term = await elector.wait_until_leading()
            busy, waiting = await behind(job, elector, term, ran)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert not elector._lifecycle.current.work.alive
            job.go.set()
            await busy

    asyncio.run(main())
    assert ran == []


def test_call_that_was_cancelled_as_its_thread_began_never_runs(client, job):
    """G5: its hold has ended, so what the thread would do now nothing holds the Lease for."""
    ran = []

    class Slow(ThreadPoolExecutor):
        def submit(self, call, /, *args):
            return super().submit(lambda: (job(), call(*args)))

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(Slow())
        async with asyncio.timeout(PATIENCE), Elector(**options()) as elector:
            term = await elector.wait_until_leading()
            waiting = asyncio.create_task(term.to_thread(ran.append, 1))
            with (
                ThreadPoolExecutor() as other
            ):  # the thread runs, and makes no call yet
                assert await loop.run_in_executor(other, job.began.wait, PATIENCE)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert not elector._lifecycle.current.work.alive
            job.go.set()

    asyncio.run(main())  # which waits for the thread
    assert job.ended.is_set()
    assert ran == []


def test_call_that_waited_for_a_thread_until_its_term_was_lost_is_not_made(client, job):
    """G2: no new work begins after the loss, also not work that was asked for before."""
    ran = []

    async def main():
        async with asyncio.timeout(PATIENCE), Elector(**options()) as elector:
            term = await elector.wait_until_leading()
            busy, waiting = await behind(job, elector, term, ran)
            stopping = asyncio.create_task(elector.stop())
            await term.lost.wait()
            job.go.set()
            await busy
            with pytest.raises(LeadershipLostError):
                await waiting
            await stopping

    asyncio.run(main())
    assert ran == []


def test_thread_that_cannot_be_started_holds_nothing(client, monkeypatch):
    """The system gives no thread: the call fails, and the Lease is not held for it."""

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with sync.Elector(**options()) as elector:
        term = elector.wait_until_leading(PATIENCE)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="new thread"):
                term.to_thread(print)
        assert not elector._lifecycle.current.work.alive


def test_stop_inside_held_work_does_not_wait_for_itself(client):
    """As in a scope: it returns when the term is lost, and goes on when the work ends."""
    elector = sync.Elector(**options(**STEADY))
    elector.start()
    term = elector.wait_until_leading(PATIENCE)
    with term.hold("upload"):
        elector.stop(PATIENCE)
        assert term.is_lost
        assert holder_after_two_writes(client) == "me"
    until(lambda: holder(client) == "")
    elector.stop(PATIENCE)
    elector.start()
    term = elector.wait_until_leading(PATIENCE)
    term.to_thread(elector.stop, PATIENCE)
    assert term.is_lost
    elector.stop(PATIENCE)
    assert holder(client) == ""

    async def main():
        async with asyncio.timeout(PATIENCE), Elector(**options()) as on_loop:
            term = await on_loop.wait_until_leading()
            with term.hold("upload"):
                await on_loop.stop()
                assert holder(client) == "me"

    asyncio.run(main())
    assert holder(client) == ""


def test_hold_is_left_in_another_thread_than_it_was_entered_in(front, client):
    """What a callback ends, wherever it is called, is over."""
    elector, term = leading(front)
    held = term.hold("upload")
    held.__enter__()
    assert len(elector._lifecycle.current.work.alive) == 1
    thread = threading.Thread(target=held.__exit__, args=(None, None, None))
    thread.start()
    thread.join(PATIENCE)
    assert not elector._lifecycle.current.work.alive


def test_hold_is_entered_once_at_a_time_and_says_what_it_is(front):
    """A mistake of the program is told."""
    elector, term = leading(front)
    held = term.hold("upload")
    with held:
        with pytest.raises(ProtocolMisuseError, match="already been entered"):
            held.__enter__()
        assert elector._lifecycle.current.work.alive
    with held:
        assert elector._lifecycle.current.work.alive
    for what in ("", " ", None, 7):
        with pytest.raises(ConfigurationError, match="say in a word"):
            term.hold(what)


def test_child_process_holds_nothing_of_its_parent(front, client):
    """Fault 15: no hold is taken in a child, and none of the parent's ends there."""
    elector, term = leading(front)

    def child():
        held.__exit__(None, None, None)
        try:
            with term.hold("of the child"):
                return "ran"
        except ProtocolMisuseError:
            return "refused"

    held = term.hold("upload")
    with held:
        assert in_child(child) == "refused"
        assert elector._lifecycle.current.work.alive


def test_hold_of_a_daemon_thread_keeps_the_lease_at_the_exit(client, job):
    """Fault 10: it may act until the very end, so nothing is released (G5)."""
    elector = sync.Elector(**options(**STEADY))
    elector.start()
    term = elector.wait_until_leading(PATIENCE)
    threading.Thread(target=job.under, args=(term,), daemon=True).start()
    assert job.began.wait(PATIENCE)
    assert not elector._lifecycle.shutdown.on_exit()
    assert elector._lifecycle.shutdown.threads_at_work() == ()
    until(lambda: term.is_lost)
    assert holder_after_two_writes(client) == "me"
    job.go.set()
    elector.stop(PATIENCE)
    assert holder(client) == ""


def test_hold_works_where_leadership_is_assumed(front, monkeypatch):
    """Off-cluster the same program runs."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    elector, term = leading(front, credentials=None)
    with term.hold("upload"):
        assert call(front, term, lambda: 7) == 7
    elector.stop(timeout=PATIENCE)
    with pytest.raises(LeadershipLostError), term.hold("upload"):
        raise AssertionError
