"""Work that is asked to end in its own way: on_stop= of run(), on both fronts."""

from __future__ import annotations

import asyncio
import threading

import pytest

from kubernetes_leader_election import ConfigurationError, Elector, sync
from tests.lifecycle.driven import Log, until
from tests.lifecycle.stages import (
    PATIENCE,
    STEADY,
    hold,
    holder,
    holder_after_two_writes,
    options,
)


class Play:
    """Work that goes on until it is asked to end; what happened, in order."""

    def __init__(self, client):
        self.client = client
        self.seen = []
        self.began = threading.Event()
        self.asked = threading.Event()

    def ask(self):
        """Be what on_stop calls."""
        self.seen.append(f"asked, held by {holder(self.client)}")
        self.asked.set()

    async def ask_on_a_loop(self):
        """Be the same, as a coroutine function."""
        await asyncio.sleep(0)  # not over in the turn in which it began
        self.ask()

    def give_a_coroutine(self):
        """Be a plain function that gives that, which nothing tells before it is called."""
        return self.ask_on_a_loop()

    async def work_on_a_loop(self, term):
        """Ignore every cancellation, as start_polling() of aiogram does."""
        self.began.set()
        while not self.asked.is_set():
            try:
                await asyncio.sleep(0.01)  # its poll, which a cancellation cuts short
            except asyncio.CancelledError:
                self.seen.append("cancelled")
        self.seen.append(f"ended, {term.reason}")

    def work_on_a_thread(self, term):
        """Do not look at the term."""
        self.began.set()
        assert self.asked.wait(PATIENCE)
        self.seen.append(f"ended, {term.reason}")

    def run(self, front, on_stop, **changes):
        """Lead in the background; give the elector, and a call that waits for the end."""
        if front == "asyncio":
            elector = Elector(**options(**changes))
            run = elector.run(self.work_on_a_loop, on_stop=on_stop)
            thread = threading.Thread(target=asyncio.run, args=(run,))
        else:
            elector = sync.Elector(**options(**changes))
            thread = threading.Thread(
                target=elector.run,
                args=(self.work_on_a_thread,),
                kwargs={"on_stop": on_stop},
            )
        thread.start()
        assert self.began.wait(PATIENCE)

        def wait():
            thread.join(PATIENCE)
            assert not thread.is_alive()

        return elector, wait


@pytest.fixture
def play(client):
    """Give a play on the Lease in memory."""
    return Play(client)


FRONTS = pytest.mark.parametrize("front", ["asyncio", "threads"])


@FRONTS
def test_work_is_asked_and_not_cancelled_in_a_planned_stop(play, front):
    """G5: asked while the Lease is held, and released when the work has ended."""
    elector, wait = play.run(front, play.ask)
    elector._lifecycle.stop_called()
    wait()
    assert play.seen == ["asked, held by me", "ended, stopped"]
    assert holder(play.client) == ""


def test_coroutine_function_may_ask(play):
    """As of dispatcher.stop_polling() of aiogram."""
    elector, wait = play.run("asyncio", play.ask_on_a_loop)
    elector._lifecycle.stop_called()
    wait()
    assert play.seen == ["asked, held by me", "ended, stopped"]


def test_call_that_gives_a_coroutine_may_ask(play):
    """What the call gives is awaited, whatever it is called through."""
    elector, wait = play.run("asyncio", play.give_a_coroutine)
    elector._lifecycle.stop_called()
    wait()
    assert play.seen == ["asked, held by me", "ended, stopped"]


@FRONTS
def test_work_is_asked_once_a_term(play, front):
    """The second stop waits as the first one does."""
    elector, wait = play.run(front, lambda: play.seen.append("asked"))
    elector._lifecycle.ask_to_step_down(0.0)
    elector._lifecycle.stop_called()
    until(lambda: play.seen)
    elector._lifecycle.stop_called()
    play.asked.set()
    wait()
    assert play.seen == ["asked", "ended, stepped_down"]


@FRONTS
def test_nobody_is_asked_at_a_loss(play, front):
    """G2: there is no time for that: a task is cancelled, a thread sees `term.lost`."""
    elector, wait = play.run(front, lambda: play.seen.append("asked"))
    hold(play.client, "rival")
    until(lambda: elector.leader_identity == "rival" and not elector.current_leader)
    if front == "asyncio":
        until(lambda: "cancelled" in play.seen)
    elector._lifecycle.stop_called()
    play.asked.set()
    wait()
    assert "asked" not in play.seen


@FRONTS
def test_error_of_what_asks_is_logged_and_ends_the_work_at_once(play, front):
    """Nobody else would hear of it; a task is cancelled, as it was not asked."""
    log = Log()

    def fail():
        raise ZeroDivisionError("no such dispatcher")

    elector, wait = play.run(front, fail, log=log, grace_sec=None)
    elector._lifecycle.stop_called()
    assert "no such dispatcher" in log.wait_for("raised, so the work was not asked")[1]
    if front == "asyncio":
        until(lambda: "cancelled" in play.seen)
    play.asked.set()
    wait()
    assert holder(play.client) == ""


@FRONTS
def test_release_waits_for_what_asks_and_a_stop_in_there_does_not(play, front):
    """G5: it may write, too; and it is code of the term, which waits for itself never."""
    go_on = threading.Event()

    def ask():
        play.asked.set()
        go_on.wait(PATIENCE)

    def ask_on_a_thread():
        elector.stop()
        ask()

    async def ask_on_a_loop():
        await elector.stop()
        await asyncio.to_thread(ask)

    on_stop = ask_on_a_loop if front == "asyncio" else ask_on_a_thread
    elector, wait = play.run(front, on_stop, **STEADY)
    elector._lifecycle.stop_called()
    until(lambda: play.seen == ["ended, stopped"])
    assert holder_after_two_writes(play.client) == "me"
    go_on.set()
    wait()
    assert holder(play.client) == ""


def test_scope_in_the_task_of_the_work_is_not_cancelled_either(client):
    """A library that the work calls may enter one; it is the same work."""
    seen = []

    async def work(_):
        async with elector.leadership():
            began.set()
            await asked.wait()
            seen.append("ended")

    async def main():
        async with asyncio.timeout(PATIENCE):
            running = asyncio.create_task(elector.run(work, on_stop=asked.set))
            await began.wait()
            await elector.stop()
            await running

    began, asked = asyncio.Event(), asyncio.Event()
    elector = Elector(**options())
    asyncio.run(main())
    assert seen == ["ended"]


def test_work_that_was_asked_in_vain_is_cancelled_when_the_grace_is_over(play):
    """G2, fault 09: also what asks it is."""
    hung = []

    async def hang():
        try:
            await asyncio.Event().wait()
        finally:
            hung.append("what asks was cancelled")

    elector, wait = play.run("asyncio", hang, grace_sec=0.5)
    elector._lifecycle.stop_called()
    until(lambda: "cancelled" in play.seen)
    play.asked.set()
    wait()
    assert hung == ["what asks was cancelled"]
    assert holder(play.client) == ""


@pytest.mark.parametrize("elector", [Elector, sync.Elector])
def test_what_cannot_be_called_is_refused_before_anything_starts(elector):
    """`on_stop=dispatcher.stop()` is what people write."""
    made = elector(**options())

    async def run():
        await made.run(print, on_stop=True)  # threads: it does not come to awaiting

    with pytest.raises(ConfigurationError, match="cannot be called"):
        asyncio.run(run())


def test_coroutine_function_is_refused_where_there_is_no_loop():
    """It would never run, and the work never be asked."""

    async def ask():
        """Never run."""

    with pytest.raises(ConfigurationError, match="no event loop to run it on"):
        sync.Elector(**options()).run(print, on_stop=ask)


def test_coroutine_that_comes_out_where_there_is_no_loop_is_logged(play):
    """It is closed, and said: the work was not asked."""
    log = Log()
    elector, wait = play.run("threads", play.give_a_coroutine, log=log)
    elector._lifecycle.stop_called()
    assert "no event loop" in log.wait_for("so the work was not asked")[1]
    play.asked.set()
    wait()


# What is said of it -------------------------------------------------------------


@FRONTS
def test_planned_stop_within_its_grace_is_no_trouble(play, front):
    """Fault 09: a stop that takes longer than the stop budget warned each time."""
    log, errors = Log(), []
    rhythm = {**STEADY, "stop_budget_sec": 0.5}
    elector, wait = play.run(front, lambda: None, log=log, **rhythm)
    elector.on(elector.EVENTS.ERROR, errors.append)
    elector._lifecycle.stop_called()
    # The stop budget is half a second: twice that and more pass by renewals.
    seen = []
    elector.on(elector.EVENTS.LEASE_RENEWED, seen.append)
    until(lambda: len(seen) > 12)
    play.asked.set()
    wait()
    assert errors == []
    assert not [line for line in log.written() if line[0] in ("warning", "error")]


@FRONTS
def test_planned_stop_that_takes_longer_than_its_grace_is_told(play, front):
    """Fault 09: which work it is, and which option gives it more time."""
    log = Log()
    elector, wait = play.run(front, lambda: None, log=log, grace_sec=0.7, **STEADY)
    elector._lifecycle.stop_called()
    level, line = log.wait_for("this is still running: leadership() in")
    assert level == "warning"
    assert "or raise grace_sec (now 0.7 s)" in line
    play.asked.set()
    wait()
