"""Two electors in one task: what each of them does to it at the same time."""

from __future__ import annotations

import asyncio
import contextvars
import zlib

import pytest

from kubernetes_leader_election import Elector, LeadershipLostError
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.testing import DropBefore, Fault
from tests.lifecycle.stages import FAST, STEADY

FOREVER = 600.0


@pytest.fixture
def electors(lease_api, request):
    """Give two that contend for Leases of their own; the first is the outer one."""
    name = f"two-{zlib.crc32(request.node.nodeid.encode())}"
    made = [
        Elector(
            lease_name=f"{name}-{number}",
            identity="me",
            namespace="default",
            credentials=explicit(server=lease_api.url),
            **(FAST if request.node.get_closest_marker("slow") else STEADY),
        )
        for number in (1, 2)
    ]
    yield made
    lease_api.faults.clear()


async def lead_both(electors, said, cause):
    """Lead with both in one task; say what its body saw, and count its cancellations."""
    outer, inner = electors
    await outer.start()
    await inner.start()
    task = asyncio.current_task()
    try:
        async with outer.leadership(), inner.leadership():
            cause()
            try:
                await asyncio.sleep(FOREVER)
            finally:
                await asyncio.sleep(0.05)  # cleanup, which another one would cut
                said.append("cleaned up")
    finally:
        said.append(task.cancelling())
        await outer.stop()
        await inner.stop()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["outer first", "inner first"])
def test_task_of_two_electors_that_are_stopped_at_once_is_cancelled_once(
    electors, order
):
    """Its cleanup is not cut, and no cancellation is left over for what comes after."""
    said, stopping = [], []

    def stop():
        loop = asyncio.get_running_loop()
        for index in order:
            loop.call_soon(
                lambda elector=electors[index]: stopping.append(
                    asyncio.ensure_future(elector.stop())
                ),
                context=contextvars.Context(),  # as if from outside
            )

    async def play():
        with pytest.raises(LeadershipLostError):
            await lead_both(electors, said, stop)
        await asyncio.gather(*stopping)

    asyncio.run(play())
    assert said == ["cleaned up", 0]


@pytest.mark.slow
def test_task_of_two_electors_that_lose_their_leases_is_ended_by_each(
    electors, lease_api
):
    """G2: each cancels for itself, and takes back its own; the outer loss is raised."""
    said = []

    def cut_off():
        for elector in electors:
            name = elector.lease_name
            lease_api.faults.add(Fault(DropBefore(), name=name, times=None))
        lease_api.end_watches()

    async def play():
        with pytest.raises(LeadershipLostError):
            await lead_both(electors, said, cut_off)

    asyncio.run(play())
    assert said[-1] == 0
