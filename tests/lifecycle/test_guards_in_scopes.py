"""A guard and a scope of one task: whose cancellation goes through which."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from kubernetes_leader_election import Elector, LeadershipLostError
from tests.lifecycle.stages import PATIENCE, STEADY, holder, options

FOREVER = 600.0


def soon(stop):
    """Call this as if from outside: by the work itself, a stop does not wait."""
    asyncio.get_running_loop().call_soon(stop, context=contextvars.Context())


@pytest.fixture
def elector():
    """Give an elector that is not started yet."""
    return Elector(**options(**STEADY))


def in_a_guard(elector, _term, job):
    """Wait under a guard."""

    async def wait():
        async with elector.guard():
            await job()

    return wait()


def called(elector, _term, job):
    """Wait in a job."""
    return elector.call_if_leading(job)


def in_a_hold(_elector, term, job):
    """Wait under a hold."""

    async def wait():
        with term.hold("job"):
            await job()

    return wait()


@pytest.mark.parametrize("inside", [in_a_guard, called, in_a_hold])
def test_scope_cancels_through_a_guard_in_its_task(client, elector, inside):
    """As the pages say: at once in a planned stop, and what is inside may clean up."""
    said = []

    async def job():
        try:
            await asyncio.sleep(FOREVER)
        finally:
            await asyncio.sleep(0)
            said.append(elector.remaining() > 0.0)

    async def work():
        async with elector.leadership() as term:
            soon(stop)
            await inside(elector, term, job)
            pytest.fail("not cancelled")

    def stop():
        said.append(asyncio.ensure_future(elector.stop()))

    async def play():
        await elector.start()
        with pytest.raises(LeadershipLostError):
            await work()
        stopping, held = said
        assert held
        await stopping
        assert asyncio.current_task().cancelling() == 0

    asyncio.run(play())
    assert holder(client) == ""


def test_job_in_a_task_of_its_own_outlives_the_scope_that_started_it(client, elector):
    """The way that the page names: the Lease is held until the job has ended."""
    go = asyncio.Event()
    said = []

    async def job():
        await go.wait()
        said.append(elector.remaining() > 0.0)

    async def work():
        async with elector.leadership():
            task = asyncio.create_task(elector.call_if_leading(job))
            said.append(task)
            soon(stop)
            await asyncio.shield(task)

    def stop():
        said.append(asyncio.ensure_future(elector.stop()))

    async def play():
        await elector.start()
        with pytest.raises(LeadershipLostError):
            await work()
        task, stopping = said
        assert not stopping.done()
        assert await asyncio.to_thread(holder, client)
        go.set()
        await asyncio.wait_for(task, PATIENCE)
        await stopping
        assert said[2]

    asyncio.run(play())
    assert holder(client) == ""


def test_scope_in_a_guard_ends_alone_in_a_planned_stop(client, elector):
    """The scope is cancelled, and what is left of the guard's body comes to its end."""
    said = []

    async def work():
        async with elector.leadership():
            soon(stop)
            await asyncio.sleep(FOREVER)

    def stop():
        said.append(asyncio.ensure_future(elector.stop()))

    async def play():
        await elector.start()
        await elector.wait_until_leading(PATIENCE)
        async with elector.guard():
            with pytest.raises(LeadershipLostError):
                await work()
            await asyncio.sleep(0)
            assert elector.remaining() > 0.0
            assert not said[0].done()
        await said[0]
        assert asyncio.current_task().cancelling() == 0

    asyncio.run(play())
    assert holder(client) == ""
