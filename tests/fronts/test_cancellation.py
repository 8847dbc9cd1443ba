"""A body of asyncio that others cancel while leadership ends: it is cut once."""

from __future__ import annotations

import asyncio
import time

import pytest

from kubernetes_leader_election import Elector, LeadershipLostError
from tests.fronts.stages import PATIENCE, hold, holder, options


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


def test_body_that_works_on_is_cancelled_within_the_stop_budget(client):
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

    play(body, Elector.stop, stop_budget_sec=0.5)
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
            _, inner = elector._life.present.work.alive
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
