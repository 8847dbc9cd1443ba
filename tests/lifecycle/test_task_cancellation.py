"""A body of asyncio that others cancel while leadership ends: it is cut once."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from kubernetes_leader_election import Elector, LeadershipLostError
from tests.lifecycle.driven import until
from tests.lifecycle.stages import PATIENCE, hold, holder, options

LONG = {"renew_interval_ms": 100, "lease_duration_sec": 20, "stop_budget_sec": 8.0}
"""A stop budget whose parts are long even on a busy machine."""


async def cancelled_in_a_term(elector, body):
    """Run a body in a scope, cancel its task, and give the task."""
    begun = asyncio.Event()

    async def scope():
        async with elector.leadership():
            begun.set()
            await body()

    task = asyncio.create_task(scope())
    await begun.wait()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    return task


def play(body, ending, **changes):
    """Lead with a body that is cancelled, let leadership end, give how the task ended."""

    async def main():
        async with asyncio.timeout(PATIENCE), Elector(**options(**changes)) as elector:
            task = await cancelled_in_a_term(elector, body)
            await ending(elector)
            return (await asyncio.gather(task, return_exceptions=True))[0]

    return asyncio.run(main())


@pytest.mark.parametrize("how", [Elector.stop, Elector.step_down])
def test_cleanup_of_a_cancelled_body_is_not_cut_by_giving_leadership_up(client, how):
    """G5, fault 12: as at a second Ctrl-C, when asyncio cancels what stops already."""
    done, held = [], []

    async def body():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.2)  # the cleanup that is not to be cut
            held.append(holder(client))
            done.append("cleanup")

    assert isinstance(play(body, how), asyncio.CancelledError)
    assert (done, held) == (["cleanup"], ["me"])
    assert holder(client) == ""


def test_body_that_works_on_is_cancelled_when_the_grace_is_over(client):
    """G2, fault 09: who swallows the cancellation of others is cancelled once more."""
    instants = []

    async def body():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            instants.append(time.monotonic())
        try:
            await asyncio.Event().wait()
        finally:
            instants.append(time.monotonic())

    play(body, Elector.stop, grace_sec=0.5)
    first, second = instants
    assert second - first >= 0.4
    assert holder(client) == ""


def test_scope_in_a_scope_is_cancelled_once(client):
    """Fault 12: both hear of the loss, one after the other; the cleanup is cut by none."""
    ended = []

    def late(cancel):
        def cancel_later():
            time.sleep(0.1)  # the engine's thread is slow: the body cleans up by now
            cancel()

        return cancel_later

    async def work(elector):
        async with elector.leadership(), elector.leadership():
            _, inner = elector._lifecycle.current.work.alive
            inner.cancel = late(inner.cancel)
            hold(client, "rival")
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.3)
                ended.append("cleanup")

    async def main():
        elector = Elector(**options(stop_budget_sec=3.0))
        async with asyncio.timeout(PATIENCE), elector:
            with pytest.raises(LeadershipLostError):
                await work(elector)
            assert asyncio.current_task().cancelling() == 0
            hold(client, "")

    asyncio.run(main())
    assert ended == ["cleanup"]


def test_loss_to_another_holder_cuts_the_cleanup_of_a_cancelled_body(client):
    """G2: nobody waits for a body where another one may lead already."""
    cut = []

    async def body():
        try:
            await asyncio.Event().wait()
        finally:
            try:
                await asyncio.sleep(PATIENCE)
            except asyncio.CancelledError:
                cut.append("cleanup")
                raise

    async def ending(_elector):
        hold(client, "rival")

    play(body, ending)
    assert cut == ["cleanup"]


@pytest.mark.parametrize("how", [Elector.stop, Elector.step_down])
def test_giving_up_in_a_scope_is_where_the_body_is_cancelled(client, monkeypatch, how):
    """Fault 12: also where the loss is seen before the call begins to wait for it."""
    ended = []

    async def main():
        async with asyncio.timeout(PATIENCE), Elector(**options()) as elector:
            lifecycle = elector._lifecycle
            give_up = lifecycle._give_up

            def give_up_and_see_it(word):
                work = lifecycle.current.work
                give_up(word)
                until(lambda: work.is_told)  # the loop stands still meanwhile

            async with elector.leadership():
                monkeypatch.setattr(lifecycle, "_give_up", give_up_and_see_it)
                try:
                    await how(elector)
                    ended.append("returned")
                finally:
                    monkeypatch.setattr(lifecycle, "_give_up", give_up)

    with pytest.raises(LeadershipLostError):
        asyncio.run(main())
    assert ended == []


def test_cancellation_of_others_is_passed_on_by_a_body_that_took_back_that_of_the_loss(
    client,
):
    """Fault 12: `uncancel()` is how asyncio says that a cancellation was dealt with."""
    seen = []

    async def body():
        task = asyncio.current_task()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            task.uncancel()
        asyncio.get_running_loop().call_later(0.2, task.cancel)
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(task.cancelling())

    async def main():
        elector = Elector(**options(**LONG))
        async with asyncio.timeout(PATIENCE), elector, elector.leadership():
            hold(client, "rival")
            await body()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert seen == [1]


def test_lease_lost_under_a_planned_stop_cancels_who_was_spared_at_once(client):
    """G2: a body that others had cancelled has the Lease no longer than it is held."""
    instants = []

    async def body():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.sleep(0.1)  # the stop is asked for meanwhile
        instants.append(time.monotonic())
        hold(client, "rival")
        try:
            await asyncio.Event().wait()
        finally:
            instants.append(time.monotonic())

    play(body, Elector.stop, **LONG)
    lost, cancelled = instants
    assert cancelled - lost < LONG["stop_budget_sec"] / 4
