"""Both fronts on the embedded Lease API, end to end."""

from __future__ import annotations

import asyncio
import threading

import pytest

import kubernetes_leader_election as package
from kubernetes_leader_election import EVENTS, Elector, LeadershipLostError
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.sync import Elector as SyncElector
from kubernetes_leader_election.testing import LeaseServer

PATIENCE = 30.0


@pytest.fixture
def server():
    """Give a Lease API of its own."""
    with LeaseServer() as server:
        yield server


def options(server, identity):
    """Give the options of one elector on the server."""
    return {
        "lease_name": "front",
        "identity": identity,
        "credentials": explicit(server=server.url),
        "auto_close": False,
    }


def test_threads_hand_over_when_the_work_of_one_ended(server):
    """G5, G7: released after the body, taken at once by the other."""
    with SyncElector(**options(server, "a")) as first:
        term = first.wait_until_leading(timeout=PATIENCE)
        assert first.current_leader
        assert term.fencing_token == int(
            server.lease("front")["metadata"]["resourceVersion"]
        )
        second = SyncElector(**options(server, "b"))
        with second:
            assert second.wait_for_leader(timeout=PATIENCE) == "a"
            assert not second.current_leader
            first.stop(timeout=PATIENCE)
            later = second.wait_until_leading(timeout=PATIENCE)
            assert later.fencing_token > term.fencing_token
            assert not first.current_leader
    assert server.lease("front")["spec"].get("holderIdentity", "") == ""


def test_threads_get_the_events_in_order(server):
    """G4: one acquired, one lost, in order."""
    seen = []
    done = threading.Event()
    elector = SyncElector(**options(server, "a"))
    elector.on(EVENTS.LEADERSHIP_ACQUIRED, lambda event: seen.append(event.token))

    @elector.on(EVENTS.LEADERSHIP_LOST)
    def on_lost(event):
        seen.append(event.reason)
        done.set()

    elector.start()
    elector.wait_until_leading(timeout=PATIENCE)
    elector.stop(timeout=PATIENCE)
    assert done.wait(PATIENCE)
    assert seen[1:] == ["stopped"]
    assert isinstance(seen[0], int)


def test_asyncio_scope_is_cancelled_when_the_elector_stops(server):
    """G2: the body is cancelled and the block raises LeadershipLostError."""

    async def main():
        began = asyncio.Event()

        async def work(elector):
            async with elector.leadership():
                began.set()
                await asyncio.Event().wait()

        async with (
            asyncio.timeout(PATIENCE),
            Elector(**options(server, "a")) as elector,
        ):
            task = asyncio.create_task(work(elector))
            await began.wait()
            assert elector.current_leader
            await elector.stop()
            with pytest.raises(LeadershipLostError):
                await task

    asyncio.run(main())
    assert server.lease("front")["spec"].get("holderIdentity", "") == ""


def test_asyncio_run_passes_on_what_the_work_returns(server):
    """When the work returns, leadership ends and its value is passed on."""

    async def work(term):
        return term.fencing_token

    async def main():
        async with asyncio.timeout(PATIENCE):
            return await Elector(**options(server, "a")).run(work)

    assert isinstance(asyncio.run(main()), int)


def test_elector_leads_at_once_when_there_is_no_cluster(monkeypatch):
    """Not in a cluster: no API call, leadership assumed, no token."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with SyncElector(auto_close=False) as elector:
        term = elector.wait_until_leading(timeout=PATIENCE)
        assert elector.current_leader
        assert term.fencing_token is None


def test_package_gives_its_names_and_no_others():
    """Every public name is there; another one is an AttributeError."""
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError):
        package.NoSuchName  # noqa: B018 - the access is the test
