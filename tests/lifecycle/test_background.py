"""Work of the leader beside something else: in a thread, or in a task."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest

from kubernetes_leader_election import (
    ConfigurationError,
    Elector,
    ProtocolMisuseError,
    backoff,
    sync,
)
from tests.lifecycle.driven import Log, until
from tests.lifecycle.stages import PATIENCE, STEADY, hold, holder, in_child, options


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Let pauses be short."""
    monkeypatch.setattr(backoff, "FIRST_DELAY", 0.01)


class Work:
    """Work of both fronts: it notes its terms, and goes on until it is told to end."""

    def __init__(self, *, fails=0, returns=False):
        self.fails = fails
        self.returns = returns
        self.terms = []
        self.ended = []

    def _begin(self, term):
        self.terms.append(term)
        if len(self.terms) <= self.fails:
            raise ZeroDivisionError("planted")

    def in_thread(self, term):
        """Be work of a thread."""
        self._begin(term)
        if not self.returns:
            assert term.lost.wait(PATIENCE)
        self.ended.append(term)

    async def on_loop(self, term):
        """Be work of a loop."""
        self._begin(term)
        try:
            if not self.returns:
                await asyncio.Event().wait()
        finally:
            self.ended.append(term)


class OnThreads:
    """Play with the elector for threads."""

    name = "threads"

    def play(self, work, scenario, *, log=None, **named):
        """Run a scenario in the block of a handle."""
        elector = sync.Elector(**options(**STEADY, log=log))
        handle = elector.background(work.in_thread, **named)
        with handle as leading:
            scenario(elector, leading)
        return elector, handle


class OnTasks:
    """Play with the elector for asyncio; the scenario runs in a thread beside."""

    name = "asyncio"

    def play(self, work, scenario, *, log=None, **named):
        """Run a scenario in the block of a handle."""

        async def run():
            elector = Elector(**options(**STEADY, log=log))
            handle = elector.background(work.on_loop, **named)
            async with handle as leading:
                await asyncio.to_thread(scenario, elector, leading)
            return elector, handle

        return asyncio.run(run())


@pytest.fixture(params=[OnTasks, OnThreads], ids=lambda stage: stage.name)
def stage(request):
    """Give one front after the other."""
    return request.param()


def test_work_goes_on_beside_the_block_and_ends_with_it(stage, client):
    """Leaving stops, waits for the work, and releases."""
    work = Work()

    def beside(elector, leading):
        until(lambda: work.terms)
        assert leading.running
        assert elector.current_leader
        assert leading.last_error is None

    elector, leading = stage.play(work, beside)
    assert work.ended == work.terms
    assert len(work.terms) == 1
    assert not leading.running
    assert work.terms[0].reason == "stopped"
    assert elector.state.role == "stopped"
    assert holder(client) == ""


def test_work_that_fails_is_called_again_by_default(stage, client):
    """And the error can be asked for, which nothing raises any more."""
    work = Work(fails=2)

    def beside(elector, leading):
        until(lambda: len(work.terms) == 3)
        assert isinstance(leading.last_error, ZeroDivisionError)
        assert leading.running

    stage.play(work, beside)
    assert [term.reason for term in work.terms[:2]] == ["work_failed", "work_failed"]
    assert holder(client) == ""


def test_work_that_fails_for_good_stops_the_elector_and_is_raised_again(stage, client):
    """It does not lead on without its work; there is a line with the traceback."""
    work, log = Work(fails=1), Log()

    def beside(elector, leading):
        until(lambda: not leading.running)
        until(lambda: elector.state.role == "stopped")
        assert holder(client) == ""
        _, line = log.wait_for("takes part no more")
        assert "planted" in line
        assert "Traceback" in line

    with pytest.raises(ZeroDivisionError, match="planted"):
        stage.play(work, beside, log=log, restart="never")
    assert len(work.terms) == 1


def test_error_of_the_block_comes_first(stage, client):
    """That of the work is in the log."""
    work = Work(fails=1)

    def beside(elector, leading):
        until(lambda: not leading.running)
        raise LookupError("of the block")

    with pytest.raises(LookupError):
        stage.play(work, beside, restart="never")


def test_work_that_is_done_stops_the_elector(stage, client):
    """Another replica may lead, and there is a line."""
    work, log = Work(returns=True), Log()

    def beside(elector, leading):
        until(lambda: not leading.running)
        until(lambda: elector.state.role == "stopped")
        assert holder(client) == ""
        log.wait_for("is done: this elector takes part no more")

    stage.play(work, beside, log=log)
    assert len(work.terms) == 1


def test_work_is_called_again_after_a_loss(stage, client):
    """As that of run()."""
    work = Work()

    def beside(elector, leading):
        until(lambda: work.terms)
        hold(client, "rival")
        until(lambda: work.ended)
        hold(client, "")
        until(lambda: len(work.terms) == 2)

    stage.play(work, beside)
    assert [term.reason for term in work.terms] == ["another_holder", "stopped"]


def test_replica_that_never_leads_leaves_its_block(stage, client):
    """Nothing runs, and nothing is waited for."""
    work = Work()
    hold(client, "rival")

    def beside(elector, leading):
        until(lambda: elector.leader_identity == "rival")
        assert leading.running

    stage.play(work, beside)
    assert work.terms == []
    assert holder(client) == "rival"


def test_child_process_leaves_the_work_of_its_parent_alone(stage, client):
    """A fork inherits the handle, and nothing that it could stop."""
    work = Work()

    def beside(elector, leading):
        until(lambda: work.terms)

        def in_the_child():
            stopped = leading.stop()
            if asyncio.iscoroutine(stopped):
                asyncio.run(stopped)
            return leading.running

        assert in_child(in_the_child) is False
        assert leading.running
        assert elector.current_leader

    stage.play(work, beside)


@pytest.mark.parametrize("lives", [1, 3])
def test_handle_without_a_block_starts_and_stops(client, lives):
    """For hooks of servers; it may be started again."""
    work = Work()
    elector = sync.Elector(**options(**STEADY))
    leading = elector.background(work.in_thread)
    assert not leading.running
    leading.stop()
    for life in range(1, lives + 1):
        assert leading.start() is leading
        with pytest.raises(ProtocolMisuseError, match=r"background\(\) starts"):
            leading.start()
        until(lambda: len(work.terms) == life)
        leading.stop()
        leading.stop()
        assert len(work.ended) == life
        assert holder(client) == ""


def test_handle_without_a_block_starts_and_stops_on_a_loop(client):
    """The same with asyncio."""

    async def play():
        work = Work()
        leading = Elector(**options(**STEADY)).background(work.on_loop)
        assert await leading.start() is leading
        with pytest.raises(ProtocolMisuseError, match=r"background\(\) starts"):
            await leading.start()
        await asyncio.to_thread(until, lambda: work.terms)
        await leading.stop()
        await leading.stop()
        assert work.ended == work.terms

    asyncio.run(play())


def test_work_that_stops_its_own_elector_does_not_wait_for_itself(client):
    """In a thread and in a task: the handle's stop() knows who calls."""
    ended = []

    def in_thread(term):
        threads.stop()
        ended.append(term.is_lost)

    threads = sync.Elector(**options(**STEADY)).background(in_thread)
    threads.start()
    until(lambda: ended)
    threads.stop()
    assert ended == [True]

    async def play():
        async def on_loop(term):
            try:
                await leading.stop()
            finally:
                ended.append(term.is_lost)

        leading = Elector(**options(**STEADY)).background(on_loop)
        await leading.start()
        await asyncio.to_thread(until, lambda: len(ended) == 2)
        await leading.stop()

    asyncio.run(play())
    assert ended == [True, True]
    assert holder(client) == ""


def test_wrong_work_is_refused_before_the_block(client):
    """As by run(): of the other kind, or none."""
    with pytest.raises(ConfigurationError, match=r"background\(\): "):
        sync.Elector(**options()).background(Work().on_loop)
    with pytest.raises(ConfigurationError, match=r"background\(\): "):
        Elector(**options()).background(Work().in_thread)
    with pytest.raises(ConfigurationError, match="no policy"):
        sync.Elector(**options()).background(Work().in_thread, restart="always")


def test_elector_of_which_no_thread_can_be_had_is_stopped(client, monkeypatch):
    """It would lead with no work."""
    elector = sync.Elector(**options(**STEADY))
    leading = elector.background(Work().in_thread)
    original = threading.Thread.start

    def start(thread):
        if thread.name.startswith("background("):
            raise RuntimeError("can't start new thread")
        original(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError):
        leading.start()
    until(lambda: elector.state.role == "stopped")
    assert not leading.running


# Real processes -----------------------------------------------------------------------

SERVER = """
    def work(term):
        say("works")
        term.lost.wait()
        say("ended", term.reason)

    elector = sync.Elector(**options())
    with elector.background(work):
        {serve}
    say("left")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -2)]
)
def test_signal_ends_a_program_and_its_work(program, number, code):
    """Its work ends before the release, and the process as if nothing were beside it."""
    made = program(SERVER.format(serve="threading.Event().wait()"))
    made.wait_for("works")
    made.send(number)
    assert made.finish() == code
    assert made.said[-1] == "ended stopped"
    assert made.holder == ""


@pytest.mark.slow
def test_exit_of_a_program_without_a_block_ends_its_work(program):
    """The thread is no daemon: the interpreter waits for it, and the exit hook stops it."""
    made = program(
        """
        def work(term):
            say("works")
            term.lost.wait()
            say("ended", term.reason)

        elector = sync.Elector(**options())
        leading = elector.background(work).start()
        elector.wait_until_leading()
        say("main is over")
        """
    )
    assert made.finish() == 0
    assert "ended stopped" in made.said or "works" not in made.said
    assert made.holder == ""
