"""Losses that come in a group: a task group raises one, and so may any other code."""

from __future__ import annotations

import asyncio
import time

import anyio
import pytest

from kubernetes_leader_election import (
    Elector,
    LeadershipLostError,
    NotLeaderError,
    sync,
)
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.kube_api import results as r
from tests.lifecycle.stage_threads import spawn
from tests.lifecycle.stages import FAST, PATIENCE, STEADY, hold, holder, options


def lose(client, term):
    """Lose the term, and let the Lease be free again; this blocks."""
    hold(client, "rival")
    while not term.is_lost:
        time.sleep(0.001)
    hold(client, "")


async def in_groups_of_asyncio(*works):
    """Run all in a task group in a task group."""
    async with asyncio.TaskGroup() as outer:
        for work in works:
            outer.create_task(in_one_group(work))


async def in_one_group(work):
    """Run it in a task group, beside something that it takes down."""
    async with asyncio.TaskGroup() as inner:
        inner.create_task(work())
        inner.create_task(asyncio.sleep(PATIENCE))


async def in_groups_of_anyio(*works):
    """Run all in a task group of anyio in another one."""
    async with anyio.create_task_group() as outer, anyio.create_task_group() as inner:
        for work in works:
            inner.start_soon(work)
        outer.start_soon(anyio.sleep, PATIENCE)


async def in_a_group_by_hand(*works):
    """Raise what all of them raise as a group, and the end of a task beside them."""
    found = [asyncio.CancelledError()]
    for work in works:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - all are raised
            found.append(error)
    raise BaseExceptionGroup("all", found)


GROUPS = pytest.mark.parametrize(
    "group",
    [in_groups_of_asyncio, in_groups_of_anyio, in_a_group_by_hand],
    ids=["asyncio", "anyio", "by hand"],
)


def run(main, rhythm=STEADY):
    """Let an elector run main with each term, and give what that returned."""

    async def play():
        async with asyncio.timeout(PATIENCE):
            return await Elector(**options(**rhythm)).run(main)

    return asyncio.run(play())


def asks(ask):
    """Give a coroutine function that asks when it runs."""

    async def asking():
        ask()

    return asking


# run(main) ----------------------------------------------------------------------


@GROUPS
def test_asyncio_run_contends_again_after_a_group_of_losses(client, group):
    """Fault 08, fault 17: check() and ensure() may be asked in tasks of a group."""
    terms = []

    async def main(term):
        terms.append(term.number)
        if term.number == 2:
            return "done"
        lose(client, term)
        return await group(asks(term.check), asks(lambda: term.ensure(1.0)))

    assert run(main) == "done"
    assert terms == [1, 2]
    assert holder(client) == ""


@pytest.mark.slow
@pytest.mark.parametrize("group", [in_groups_of_asyncio, in_groups_of_anyio])
def test_asyncio_run_contends_again_after_an_outage_in_a_group(client, group):
    """G8: a renewal that is overdue is the API's doing, in a task of a group, too."""
    terms = []

    def refuse(namespace, name, lease, *, call, needs):
        return r.Unknown(error=LeaseApiError("planted"))

    async def main(term):
        terms.append(term.number)
        if term.number == 2:
            return "done"
        real, client.replace = client.replace, refuse
        while term.remaining() > 0.4:
            time.sleep(0.01)  # noqa: ASYNC251 - nothing else is to happen meanwhile
        client.replace = real
        return await group(asks(lambda: term.ensure(0.5)))

    assert run(main, FAST) == "done"
    assert terms == [1, 2]


@GROUPS
@pytest.mark.parametrize(
    "error", [ZeroDivisionError, LeadershipLostError], ids=["its own", "another's loss"]
)
def test_asyncio_run_passes_on_a_group_with_an_error_of_its_own(client, group, error):
    """Fault 08: beside a loss an error of main's own is not lost."""

    async def main(term):
        def fail():
            raise error("planted")

        lose(client, term)
        await group(asks(term.check), asks(fail))

    with pytest.raises(BaseExceptionGroup) as caught:
        run(main)
    own = caught.value.subgroup(
        lambda e: isinstance(e, error) and e.args[0] == "planted"
    )
    assert own is not None
    assert holder(client) == ""


@GROUPS
def test_asyncio_run_passes_on_a_group_that_asked_for_too_much(client, group):
    """An ensure() that fails in good health would fail again."""

    async def main(term):
        await group(asks(lambda: term.ensure(1e6)))

    with pytest.raises(BaseExceptionGroup):
        run(main)
    assert holder(client) == ""


@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "in a group"])
def test_asyncio_run_that_others_cancelled_does_not_contend_again(client, grouped):
    """Fault 12: a loss that comes in the cleanup does not undo their cancellation."""
    calls = []

    async def main(term):
        calls.append(term.number)
        asyncio.current_task().cancel()
        try:
            await asyncio.Event().wait()
        finally:
            lose(client, term)
            if grouped:
                await in_groups_of_asyncio(asks(term.check))
            term.check()

    async def play():
        async with asyncio.timeout(PATIENCE):
            task = asyncio.create_task(Elector(**options(**STEADY)).run(main))
            return (await asyncio.gather(task, return_exceptions=True))[0]

    ended = asyncio.run(play())
    assert isinstance(
        ended, LeadershipLostError | BaseExceptionGroup | asyncio.CancelledError
    )
    assert calls == [1]
    assert holder(client) == ""


def test_thread_run_contends_again_after_a_group_of_losses(client):
    """Fault 08, fault 17: a pool's errors may be raised as a group on a thread, too."""
    elector, terms = sync_elector(), []

    def main(term):
        terms.append(term.number)
        if term.number == 2:
            return "done"
        lose(client, term)
        errors = []
        for ask in (term.check, lambda: term.ensure(1.0)):
            try:
                ask()
            except (LeadershipLostError, NotLeaderError) as error:
                errors.append(error)
        raise ExceptionGroup("all", [errors[0], ExceptionGroup("more", errors[1:])])

    assert spawn(lambda: elector.run(main)).result(PATIENCE) == "done"
    assert terms == [1, 2]
    assert holder(client) == ""


def test_thread_run_passes_on_a_group_with_an_error_of_its_own(client):
    """Fault 08: beside a loss an error of main's own is not lost."""
    elector = sync_elector()

    def main(term):
        lose(client, term)
        raise ExceptionGroup("all", [term.loss(), ZeroDivisionError("planted")])

    with pytest.raises(ExceptionGroup) as caught:
        spawn(lambda: elector.run(main)).result(PATIENCE)
    assert caught.value.subgroup(ZeroDivisionError) is not None
    assert holder(client) == ""


def sync_elector():
    """Make an elector for threads."""
    return sync.Elector(**options(**STEADY))


# A scope ------------------------------------------------------------------------


@GROUPS
def test_asyncio_scope_raises_its_loss_for_a_group_of_losses(client, group):
    """One `except LeadershipLostError` around the scope is enough; the group is its cause."""

    async def work(elector):
        async with elector.leadership() as term:
            lose(client, term)
            await group(asks(term.check), asks(term.check))

    async def main():
        async with asyncio.timeout(PATIENCE), Elector(**options(**STEADY)) as elector:
            with pytest.raises(LeadershipLostError) as caught:
                await work(elector)
            assert isinstance(caught.value.__cause__, BaseExceptionGroup)
            assert asyncio.current_task().cancelling() == 0

    asyncio.run(main())


def test_asyncio_scope_passes_on_a_group_from_before_its_loss(client):
    """What was raised while the term held is no loss."""

    async def work(elector):
        async with elector.leadership() as term:
            await in_groups_of_asyncio(asks(lambda: term.ensure(1e6)))

    async def main():
        async with asyncio.timeout(PATIENCE), Elector(**options(**STEADY)) as elector:
            with pytest.raises(ExceptionGroup):
                await work(elector)

    asyncio.run(main())
    assert holder(client) == ""


@pytest.mark.parametrize("ending", ["cancelled", "asked"])
def test_asyncio_scope_knows_its_loss_after_a_task_group_failed(client, ending):
    """Before Python 3.13 such a group counts a cancellation that nobody takes back."""

    async def fail():
        raise ZeroDivisionError

    async def work(elector):
        async with elector.leadership() as term:
            with pytest.raises(ExceptionGroup):
                await in_one_group(fail)
            hold(client, "rival")
            if ending == "cancelled":
                await asyncio.Event().wait()
            while not term.is_lost:
                time.sleep(0.001)  # noqa: ASYNC251 - the loop is not to cancel it
            term.check()

    async def main():
        async with asyncio.timeout(PATIENCE), Elector(**options(**STEADY)) as elector:
            with pytest.raises(LeadershipLostError):
                await work(elector)
            hold(client, "")

    asyncio.run(main())
