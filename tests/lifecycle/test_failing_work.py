"""Work that fails: raised, or tried again after a pause in which others get a try."""

from __future__ import annotations

import asyncio
import functools
import threading

import pytest

from kubernetes_leader_election import (
    ConfigurationError,
    Elector,
    ProtocolMisuseError,
    backoff,
    sync,
)
from tests.lifecycle.driven import Log, OnLoop, until
from tests.lifecycle.stage_threads import spawn
from tests.lifecycle.stages import PATIENCE, STEADY, holder, options


@pytest.fixture
def soon(monkeypatch):
    """Let pauses be short."""
    monkeypatch.setattr(backoff, "FIRST_DELAY", 0.01)


class Failing:
    """Work that fails so often, and then returns how often it was called."""

    def __init__(self, failures, error=None):
        self.failures = failures
        self.error = error or ZeroDivisionError("planted")
        self.terms = []

    def __call__(self, term):
        self.terms.append(term)
        if len(self.terms) <= self.failures:
            raise self.error
        return len(self.terms)

    def of(self, front):
        """Give it as work of a front."""

        async def work(term):
            return self(term)

        return work if isinstance(front, OnLoop) else self


def test_error_is_raised_and_told_as_a_reason_of_its_own(front, client):
    """By default it ends run(); whoever listens is told why the term ended."""
    elector, lost = front.elector(), []
    elector.on(elector.EVENTS.LEADERSHIP_LOST, lost.append)
    with pytest.raises(ZeroDivisionError):
        elector.run(Failing(1).of(front))
    until(lambda: lost)
    assert [event.reason for event in lost] == ["work_failed"]
    assert lost[0].detail.endswith(" raised ZeroDivisionError: planted")
    assert holder(client) == ""


def test_work_that_fails_is_logged_and_called_again_with_the_next_term(
    front, client, soon
):
    """With its traceback; each failure ends a term, and the last one returns."""
    log = Log()
    elector, work = front.elector(**STEADY, log=log), Failing(3)
    assert elector.run(work.of(front), restart="on-failure") == 4
    assert [term.number for term in work.terms] == [1, 2, 3, 4]
    assert {term.reason for term in work.terms[:3]} == {"work_failed"}
    assert work.terms[3].reason == "work_ended"
    written = log.written()
    lines = [text for level, text in written if level == "error"]
    assert len([text for text in lines if "Traceback" in text]) == 3
    assert all("raise self.error" in text for text in lines)
    assert any("gave up leadership: its work failed" in text for _, text in written)
    assert holder(client) == ""


def test_record_of_work_that_fails_has_its_exception(front, client, soon, caplog):
    """For logs that programs read: a traceback in the text would tell them nothing."""
    elector, work = front.elector(**STEADY), Failing(1)
    assert elector.run(work.of(front), restart="on-failure") == 2
    until(lambda: any(record.exc_info for record in caplog.records))
    (record,) = (record for record in caplog.records if record.exc_info)
    assert record.exc_info[1] is work.error
    assert "stepping down, and called again" in record.message
    assert "Traceback" not in record.message


def test_record_of_an_on_stop_that_raised_has_its_exception(front, client, caplog):
    """The same, where work was to be asked to end."""
    elector, error = (
        front.elector(grace_sec=0.5, **STEADY),
        ZeroDivisionError("planted"),
    )

    def ask():
        raise error

    async def work_on_a_loop(_term):
        elector._lifecycle.stop_called()
        await asyncio.Event().wait()

    def work_on_a_thread(term):
        elector._lifecycle.stop_called()
        assert term.lost.wait(PATIENCE)

    on_loop = isinstance(front, OnLoop)
    elector.run(work_on_a_loop if on_loop else work_on_a_thread, on_stop=ask)
    until(lambda: any(record.exc_info for record in caplog.records))
    (record,) = (record for record in caplog.records if record.exc_info)
    assert record.exc_info[1] is error
    assert "the work was not asked to end" in record.message


def test_another_replica_gets_a_try_while_the_failed_one_stays_out(client):
    """However long the pause: the Lease is released at once, and not sought meanwhile."""
    failing = sync.Elector(**options(**STEADY, identity="broken"))
    work = Failing(10**9)
    failed = spawn(lambda: failing.run(work, restart="on-failure"))
    until(lambda: work.terms)
    other = sync.Elector(**options(**STEADY, identity="sound"))
    other.start()
    other.wait_until_leading(PATIENCE)
    other.stop()  # the Lease is free: another one has led, and the pause is not over
    until(lambda: failing.state.role == "standing by")
    assert len(work.terms) < 4
    failing.stop()
    assert failed.result(PATIENCE) is None


def test_pauses_grow_up_to_the_longest(front, client, monkeypatch):
    """1 s, 2 s, 4 s, ... as those of `kle run`; nothing is waited for here."""
    pauses = []
    original = backoff.RestartBackoff.after

    def after(self, ran):
        pauses.append(original(self, ran))
        return 0.0

    monkeypatch.setattr(backoff.RestartBackoff, "after", after)
    elector = front.elector(**STEADY)
    elector.run(Failing(5).of(front), restart="on-failure", restart_max_delay_sec=5)
    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_error_in_a_stop_is_raised_whatever_was_asked(front, client):
    """There is no other term in which it could be tried again."""
    elector = front.elector()
    began, go = threading.Event(), threading.Event()

    def fail(term):
        began.set()
        assert go.wait(PATIENCE)
        raise ZeroDivisionError

    async def fail_on_a_loop(term):
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    if isinstance(front, OnLoop):
        ran = asyncio.run_coroutine_threadsafe(
            elector._elector.run(fail_on_a_loop, restart="on-failure"), front.loop
        )
    else:
        ran = spawn(lambda: elector.run(fail, restart="on-failure"))
    assert began.wait(PATIENCE)
    stopping = spawn(elector.stop)
    until(lambda: not elector.current_leader)
    go.set()
    with pytest.raises(ZeroDivisionError):
        ran.result(PATIENCE)
    stopping.result(PATIENCE)


def test_interrupt_is_no_failure_to_try_again(client):
    """What is no Exception ends run(), as it does without restart."""
    elector, work = sync.Elector(**options()), Failing(1, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        elector.run(work, restart="on-failure")
    assert len(work.terms) == 1


def test_cancellation_is_no_failure_to_try_again(client):
    """Who cancels the task of run() is heard."""

    async def play():
        elector = Elector(**options())
        began = asyncio.Event()

        async def work(term):
            began.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(elector.run(work, restart="on-failure"))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(play())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"restart": "allways"}, "never"),
        ({"restart": None}, "no policy"),
        ({"restart_max_delay_sec": "soon"}, "finite number"),
        ({"restart_max_delay_sec": None}, "must be a duration"),
        ({"restart_max_delay_sec": -1}, "out of range"),
    ],
)
def test_policy_that_is_none_is_refused_before_anything_starts(
    front, client, wrong, says
):
    """With what would work."""
    elector, work = front.elector(), Failing(0)
    with pytest.raises(ConfigurationError, match=says):
        elector.run(work.of(front), **wrong)
    assert elector.state.role == "stopped"
    assert work.terms == []


# Work that returns --------------------------------------------------------------------


def test_no_other_term_begins_when_the_work_is_done(front, monkeypatch):
    """Off-cluster the next term began at once, and handlers heard of it."""
    elector = front.elector(credentials=None)
    monkeypatch.setattr("kubernetes_leader_election.credentials.discover", lambda: None)
    told = []
    elector.on(elector.EVENTS.LEADERSHIP_ACQUIRED, lambda e: told.append(e.name))
    elector.on(elector.EVENTS.LEADERSHIP_LOST, lambda e: told.append(e.reason))
    assert elector.run(Failing(0).of(front)) == 1
    until(lambda: len(told) >= 2)
    assert told == ["leadership_acquired", "work_ended"]
    assert elector.state.role == "stopped"


# Misuse -------------------------------------------------------------------------------


def plain(term):
    """Be work of a thread."""


async def coroutine(term):
    """Be work of an event loop."""


class Awaited:
    """Be work of an event loop, as an object."""

    async def __call__(self, term):
        """Do it."""


def generator(term):
    """Be no work: a call of it runs nothing."""
    yield term


async def generator_of_a_loop(term):
    """Be no work either."""
    yield term


def named(work):
    """Name a case, the same in each process."""
    return f"{type(work).__name__} {getattr(work, '__name__', '')}"


WRONG_FOR_THREADS = [
    coroutine,
    functools.partial(coroutine),
    Awaited(),
    Awaited().__call__,
    generator,
    generator_of_a_loop,
    None,
]
WRONG_FOR_A_LOOP = [
    plain,
    functools.partial(plain),
    Log().debug,
    generator,
    generator_of_a_loop,
    None,
]


@pytest.mark.parametrize("work", WRONG_FOR_THREADS, ids=named)
def test_elector_for_threads_refuses_work_of_a_loop(client, work):
    """It led, ran nothing, and exited with 0."""
    elector = sync.Elector(**options())
    with pytest.raises(ConfigurationError, match=r"run\(\): "):
        elector.run(work)
    assert elector.state.role == "stopped"
    assert client.lease is None


@pytest.mark.parametrize("work", WRONG_FOR_A_LOOP, ids=named)
def test_elector_for_asyncio_refuses_work_of_a_thread(client, work):
    """It ran, held up the loop, and raised afterwards."""
    elector = Elector(**options())
    with pytest.raises(ConfigurationError, match=r"run\(\): "):
        asyncio.run(elector.run(work))
    assert elector.state.role == "stopped"
    assert client.lease is None


def test_coroutine_in_place_of_its_function_is_refused_and_closed(client):
    """`run(bill())` for `run(bill)`: no warning that it was never awaited."""
    made = coroutine(None)
    with pytest.raises(ConfigurationError, match="without parentheses"):
        sync.Elector(**options()).run(made)
    assert made.cr_frame is None


def test_work_whose_result_is_a_coroutine_ends_its_term(client):
    """A lambda around a coroutine function: closed, told, and never tried again."""
    made, elector = [], sync.Elector(**options())

    def work(term):
        made.append(coroutine(term))
        return made[-1]

    with pytest.raises(ConfigurationError, match="nothing awaits"):
        elector.run(work, restart="on-failure")
    assert len(made) == 1
    assert made[0].cr_frame is None
    assert holder(client) == ""


def test_work_whose_result_cannot_be_awaited_ends_its_term(client):
    """What only its result shows."""
    elector, calls = Elector(**options()), []
    with pytest.raises(ConfigurationError, match="gave None, nothing to await"):
        asyncio.run(elector.run(calls.append))
    assert len(calls) == 1
    assert holder(client) == ""


def wraps(function):
    """Decorate, as decorators of others do."""

    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)

    return wrapper


def says_so(term) -> object:
    """Give a coroutine, and say by the annotation that there is a result."""
    return coroutine(term)


@pytest.mark.parametrize(
    "work",
    [
        coroutine,
        functools.partial(coroutine),
        Awaited(),
        lambda term, more=None: coroutine(term or more),
        wraps(coroutine),
        says_so,
    ],
    ids=named,
)
def test_elector_for_asyncio_takes_whatever_gives_a_coroutine(client, work):
    """Not coroutine functions alone."""
    assert asyncio.run(Elector(**options()).run(work)) is None
    assert holder(client) == ""


def test_run_of_an_elector_that_runs_says_that_it_starts_it(front, client):
    """Who calls start() before, or writes `with elector` around it, learns why."""
    elector = front.elector()
    elector.start()
    with pytest.raises(ProtocolMisuseError, match=r"run\(\) starts the elector itself"):
        elector.run(Failing(0).of(front))
    elector.wait_until_leading(timeout=PATIENCE)


def to_thread(front, term):
    """Call a coroutine function in a thread."""
    if isinstance(front, OnLoop):
        return front.call(term.to_thread(coroutine, term))
    return term.to_thread(coroutine, term)


def test_thread_takes_no_coroutine_function(front, client):
    """to_thread() gave a coroutine that nothing ran."""
    elector = front.elector()
    elector.start()
    term = elector.wait_until_leading(timeout=PATIENCE)
    with pytest.raises(ConfigurationError, match=r"to_thread\(\)"):
        to_thread(front, term)
    assert elector._lifecycle.current.work.alive == ()


def test_handler_object_of_a_loop_is_refused_by_threads(client):
    """An object whose call is a coroutine function, as a plain one is."""
    elector = sync.Elector(**options())
    with pytest.raises(ConfigurationError, match="coroutine function"):
        elector.on(elector.EVENTS.ERROR, Awaited())
