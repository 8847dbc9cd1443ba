"""How a scope ends and how run(main) ends, row by row of docs/life-cycle.md."""

from __future__ import annotations

import asyncio
import time

import pytest

from kubernetes_leader_election import Elector, LeadershipLostError, sync
from kubernetes_leader_election.errors import LeaseApiError, ProtocolMisuseError
from kubernetes_leader_election.kube_api import results as r
from tests.lifecycle.life_cycle import code, table
from tests.lifecycle.stage_threads import spawn
from tests.lifecycle.stages import (
    FAST,
    PATIENCE,
    hold,
    holder,
    options,
    raised,
    returned,
)

ENDS = {
    (body, term): {"asyncio": code(on_loop), "threads": code(on_thread)}
    for body, term, on_loop, on_thread in table("How a scope ends")
}


def lose(client, term):
    """Let a rival take the Lease, and block until the term is lost."""
    hold(client, "rival")
    while not term.is_lost:
        time.sleep(0.001)


# asyncio: bodies ----------------------------------------------------------------


async def returns_while_it_holds(client, term):
    """Return."""


async def raises_while_it_holds(client, term):
    """Raise."""
    raise ZeroDivisionError


async def is_cancelled_from_outside(client, term):
    """Be cancelled by another task."""
    asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
    await asyncio.Event().wait()


async def is_cancelled_by_the_loss(client, term):
    """Be cancelled by the loss."""
    hold(client, "rival")
    await asyncio.Event().wait()


async def swallows_its_cancellation(client, term):
    """Be cancelled by the loss, and return as if nothing were."""
    hold(client, "rival")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return


async def returns_after_the_loss(client, term):
    """Return before the loop could cancel anything."""
    lose(client, term)


async def raises_after_the_loss(client, term):
    """Raise an error instead of the cancellation."""
    hold(client, "rival")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise ZeroDivisionError from None


async def is_cancelled_twice(client, term):
    """Be cancelled from outside while cleaning up after the loss."""
    hold(client, "rival")
    try:
        await asyncio.Event().wait()
    finally:
        asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
        await asyncio.Event().wait()


async def is_cancelled_twice_at_once(client, term):
    """Be cancelled from outside in the same turn of the loop as by the loss."""
    asyncio.current_task().cancel()
    lose(client, term)
    await asyncio.Event().wait()


async def raises_a_group_of_losses(client, term):
    """Raise the loss from a task of a group."""
    lose(client, term)
    async with asyncio.TaskGroup() as group:
        group.create_task(asks(term))


async def raises_a_mixed_group(client, term):
    """Raise an error of its own beside the loss."""
    lose(client, term)
    raise ExceptionGroup("both", [term.loss(), ZeroDivisionError()])


async def asks(term):
    """Ask the term."""
    term.check()


LOOP_BODIES = {
    ("returns", "holds"): [returns_while_it_holds],
    ("raises an error", "holds"): [raises_while_it_holds],
    ("is cancelled from outside", "holds"): [is_cancelled_from_outside],
    ("is cancelled by the loss", "is lost"): [is_cancelled_by_the_loss],
    ("swallows its cancellation and returns", "is lost"): [swallows_its_cancellation],
    ("returns", "is lost"): [returns_after_the_loss],
    ("raises an error", "is lost"): [raises_after_the_loss],
    ("is cancelled by the loss and from outside", "is lost"): [
        is_cancelled_twice,
        is_cancelled_twice_at_once,
    ],
    ("raises a group of nothing but this loss", "is lost"): [raises_a_group_of_losses],
    ("raises a group with another error in it", "is lost"): [raises_a_mixed_group],
}


def thread_returns(client, term):
    """Return."""


def thread_raises(client, term):
    """Raise."""
    raise ZeroDivisionError


def thread_returns_after_the_loss(client, term):
    """Return once the term is lost."""
    hold(client, "rival")
    assert term.lost.wait(PATIENCE)


def thread_raises_after_the_loss(client, term):
    """Raise once the term is lost."""
    lose(client, term)
    raise ZeroDivisionError


def thread_raises_a_group_of_losses(client, term):
    """Raise the loss in a group in a group."""
    lose(client, term)
    raise ExceptionGroup("all", [term.loss(), ExceptionGroup("more", [term.loss()])])


def thread_raises_a_mixed_group(client, term):
    """Raise an error of its own beside the loss."""
    lose(client, term)
    raise ExceptionGroup("both", [term.loss(), ZeroDivisionError()])


THREAD_BODIES = {
    ("returns", "holds"): [thread_returns],
    ("raises an error", "holds"): [thread_raises],
    ("returns", "is lost"): [thread_returns_after_the_loss],
    ("raises an error", "is lost"): [thread_raises_after_the_loss],
    ("raises a group of nothing but this loss", "is lost"): [
        thread_raises_a_group_of_losses
    ],
    ("raises a group with another error in it", "is lost"): [
        thread_raises_a_mixed_group
    ],
}


def cases(front, bodies):
    """Give every row of the page that the front has, with each body that plays it."""
    rows = {row: ends[front] for row, ends in ENDS.items() if ends[front]}
    assert set(rows) == set(bodies)
    return [
        pytest.param(body, row[1], expected, id=body.__name__.replace("_", " "))
        for row, expected in rows.items()
        for body in bodies[row]
    ]


def check(ending, expected, error):
    """Compare how the block ended with the page."""
    if expected == "raises the error":
        expected = "raises ZeroDivisionError"
    assert ending.matches(expected)
    if isinstance(error, LeadershipLostError):
        assert error.reason == "another_holder"
        assert error.term.is_lost


@pytest.mark.parametrize(("body", "then", "expected"), cases("asyncio", LOOP_BODIES))
def test_asyncio_scope_ends_as_the_page_says(client, body, then, expected):
    """Fault 53, fault 12: the ending of the body and of the term decide together."""

    async def main():
        async with asyncio.timeout(PATIENCE), Elector(**options()) as elector:
            task = asyncio.create_task(scope(elector))
            await asyncio.wait({task})
            return await task

    async def scope(elector):
        try:
            async with elector.leadership() as term:
                await body(client, term)
        except BaseException as error:  # noqa: BLE001 - the ending is the result
            return raised(error), error, asyncio.current_task().cancelling()
        return returned(None), None, asyncio.current_task().cancelling()

    ending, error, cancelling = asyncio.run(main())
    check(ending, expected, error)
    # What the loss asked for is taken back; what others asked for stays.
    assert cancelling == (expected == "raises CancelledError")
    assert holder(client) == ("rival" if then == "is lost" else "")


def test_asyncio_scope_passes_on_a_cancellation_from_before_it(client):
    """Fault 12: asked for just before the scope, it is not taken for the loss's."""

    async def work(elector):
        asyncio.current_task().cancel()
        async with elector.leadership() as term:
            lose(client, term)
            await asyncio.Event().wait()

    async def main():
        async with asyncio.timeout(PATIENCE), Elector(**options()) as elector:
            await elector.wait_until_leading()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.create_task(work(elector))

    asyncio.run(main())


@pytest.mark.parametrize(("body", "then", "expected"), cases("threads", THREAD_BODIES))
def test_thread_scope_ends_as_the_page_says(client, body, then, expected):
    """Fault 53: the ending of the body and of the term decide together."""
    with sync.Elector(**options()) as elector:
        ending, error = returned(None), None
        try:
            with elector.leadership(PATIENCE) as term:
                body(client, term)
        except Exception as problem:  # noqa: BLE001 - the ending is the result
            ending, error = raised(problem), problem
        check(ending, expected, error)
    assert holder(client) == ("rival" if then == "is lost" else "")


# run(main) ----------------------------------------------------------------------


def loop_returns(client, term):
    """Return a value."""
    return 7


def loop_raises(client, term):
    """Raise an error of its own."""
    raise ZeroDivisionError


def loop_returns_after_the_loss(client, term):
    """Let the term be lost, return; the second time, return a value."""
    if term.number == 1:
        lose(client, term)
        hold(client, "")
    return 7


def loop_checks(client, term):
    """Let the term be lost, and ask it; the second time, return a value."""
    if term.number == 1:
        lose(client, term)
        hold(client, "")
        term.check()
    return 7


def loop_ensures(client, term):
    """Let the term be lost, and need time of it; the second time, return a value."""
    if term.number == 1:
        lose(client, term)
        hold(client, "")
        term.ensure(2.0)
    return 7


def loop_ensures_too_much(client, term):
    """Need more time than a healthy term has: it would never do."""
    term.ensure(1e6)


def loop_raises_the_loss_of_another(client, term):
    """Raise the loss of a term that is not this one's: an error of main's own."""
    raise LeadershipLostError("of another elector")


MAINS = {
    "returns, and the term holds": [(loop_returns, "returns 7")],
    "raises an error of its own": [
        (loop_raises, "raises ZeroDivisionError"),
        (loop_raises_the_loss_of_another, "raises LeadershipLostError"),
        (loop_ensures_too_much, "raises NotLeaderError"),
    ],
    "ends because its term was lost, however it ends short of an error of its own": [
        (loop_returns_after_the_loss, "returns 7"),
        (loop_checks, "returns 7"),
        (loop_ensures, "returns 7"),
    ],
    'raises an `Exception` of its own, `restart="on-failure"`': [],
    "is stopped by `stop()` or a signal": [],
}
"""The last rows have tests of their own: test_failing_work.py; below, test_signals.py."""
RUNS = [
    pytest.param(main, expected, id=main.__name__.replace("_", " "))
    for row, _ in table("How `run(main)` ends")
    for main, expected in MAINS[row]
]


def how(function):
    """Say how a call ended."""
    try:
        return f"returns {function()}"
    except Exception as error:  # noqa: BLE001 - the ending is the result
        return f"raises {type(error).__name__}"


@pytest.mark.parametrize(("main", "expected"), RUNS)
def test_asyncio_run_ends_as_the_page_says(client, main, expected):
    """Fault 08: a value and an error of main's own end the term and are passed on."""
    elector = Elector(**options())
    terms = []

    async def work(term):
        terms.append(term)
        return main(client, term)

    async def run():
        async with asyncio.timeout(PATIENCE):
            return await elector.run(work)

    assert how(lambda: asyncio.run(run())) == expected
    check_run(client, elector, terms, main)


@pytest.mark.parametrize(("main", "expected"), RUNS)
def test_thread_run_ends_as_the_page_says(client, main, expected):
    """Fault 08: a value and an error of main's own end the term and are passed on."""
    elector = sync.Elector(**options())
    terms = []

    def work(term):
        terms.append(term)
        return main(client, term)

    assert how(lambda: spawn(lambda: elector.run(work)).result(PATIENCE)) == expected
    check_run(client, elector, terms, main)


def check_run(client, elector, terms, main):
    """The elector is stopped, the Lease free, and each call had a term of its own."""
    assert elector.state.role == "stopped"
    assert holder(client) == ""
    again = {loop_returns_after_the_loss, loop_checks, loop_ensures}
    assert [t.number for t in terms] == ([1, 2] if main in again else [1])
    assert all(t.is_lost for t in terms)


@pytest.mark.parametrize("asked", ["the term", "the elector"])
def test_run_survives_an_outage_in_which_too_little_time_is_left(front, client, asked):
    """G8: a renewal that is overdue is the API's doing, and main is called again."""
    elector = front.elector(**FAST)
    terms = []

    def need(term):
        terms.append(term)
        if term.number > 1:
            return 7
        client.replace_for_real, client.replace = client.replace, refuse
        while term.remaining() > 0.4:
            time.sleep(0.01)
        try:
            (term if asked == "the term" else elector).ensure(0.5)
        finally:
            client.replace = client.replace_for_real
        return None

    def refuse(namespace, name, lease, *, call, needs):
        return r.Unknown(error=LeaseApiError("planted"))

    async def need_on_a_loop(term):
        return need(term)

    main = need_on_a_loop if front.name == "asyncio" else need
    assert elector.run(main) == 7
    assert [term.number for term in terms] == [1, 2]
    assert holder(client) == ""


def test_asyncio_run_cancels_main_and_calls_it_again_after_a_loss(client):
    """Fault 08, fault 17: main is cancelled by the loss and gets the next term."""
    terms = []

    async def work(term):
        terms.append(term)
        if len(terms) == 2:
            return "done"
        hold(client, "rival")
        try:
            await asyncio.Event().wait()
        finally:
            hold(client, "")

    async def run():
        async with asyncio.timeout(PATIENCE):
            return await Elector(**options()).run(work)

    assert asyncio.run(run()) == "done"
    assert terms[1].fencing_token > terms[0].fencing_token


def test_asyncio_run_returns_none_after_stop(client):
    """stop() ends run(main) without a value, once main has ended."""

    async def run():
        elector = Elector(**options())
        began = asyncio.Event()

        async def work(term):
            began.set()
            await asyncio.Event().wait()

        async with asyncio.timeout(PATIENCE):
            task = asyncio.create_task(elector.run(work))
            await began.wait()
            await elector.stop()
            return await task

    assert asyncio.run(run()) is None
    assert holder(client) == ""


def test_thread_run_returns_none_after_stop(client):
    """stop() ends run(main) without a value, once main has ended."""
    elector = sync.Elector(**options())
    result = spawn(lambda: elector.run(lambda term: term.lost.wait(PATIENCE)))
    while not elector.current_leader:
        time.sleep(0.001)
    elector.stop(PATIENCE)
    assert result.result(PATIENCE) is None
    assert holder(client) == ""


# One scope object, entered more than once ---------------------------------------


def test_asyncio_scope_is_entered_once_at_a_time(client):
    """G5: entered by two tasks it would lose track of one, and hold the Lease on."""

    async def main():
        elector = Elector(**options())

        async def work(done):
            async with scope:
                await done.wait()

        async with asyncio.timeout(PATIENCE):
            await elector.start()
            scope, done = elector.leadership(), asyncio.Event()
            working = asyncio.create_task(work(done))
            await asyncio.sleep(0)  # it is entering now
            with pytest.raises(ProtocolMisuseError, match="already been entered"):
                await work(done)
            await elector.wait_until_leading()
            done.set()
            await working
            async with scope:  # one after the other is harmless
                with pytest.raises(ProtocolMisuseError, match="already been entered"):
                    await work(done)
            await elector.stop()

    asyncio.run(main())
    assert holder(client) == ""


def test_thread_scope_is_entered_once_at_a_time(client):
    """G5: entered by two threads it would lose track of one, and hold the Lease on."""
    elector = sync.Elector(**options())
    elector.start()
    scope = elector.leadership()
    with scope, pytest.raises(ProtocolMisuseError, match="already been entered"):
        scope.__enter__()
    with scope:  # one after the other is harmless
        pass
    elector.stop(PATIENCE)
    assert holder(client) == ""


def test_scope_that_could_not_be_entered_can_be_tried_again(front, client):
    """A timeout on the way in leaves nothing behind."""
    elector = front.elector()
    hold(client, "rival")
    elector.start()
    scope = elector.leadership(timeout=0.0)
    enter, leave = (
        (scope.__enter__, lambda: scope.__exit__(None, None, None))
        if front.name == "threads"
        else (
            lambda: front.call(scope.__aenter__()),
            lambda: front.call(scope.__aexit__(None, None, None)),
        )
    )
    for _ in range(2):
        with pytest.raises(TimeoutError):
            enter()
    scope._timeout = None
    hold(client, "")
    enter()
    leave()
    elector.stop(PATIENCE)
    assert holder(client) == ""
