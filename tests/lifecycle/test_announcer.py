"""What an elector tells others: the leader's address, and Events on its Lease."""

from __future__ import annotations

import asyncio
import threading

import pytest

from kubernetes_leader_election import Elector as AsyncElector
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing import LeaseServer
from tests.node_page import eventually

PATIENCE = 30.0
SERVICE = "billing-leader"


@pytest.fixture
def server():
    """Give a Lease API of its own."""
    with LeaseServer() as server:
        yield server


@pytest.fixture
def pod(monkeypatch):
    """Let this process find itself in a pod."""
    monkeypatch.setenv("POD_IP", "10.1.2.3")
    monkeypatch.setenv("POD_NAME", "billing-0")


def options(server, identity="a", **more):
    """Give the options of one elector on the server."""
    return {
        "lease_name": "billing",
        "identity": identity,
        "credentials": explicit(server=server.url),
        "auto_close": False,
        "leader_endpoints": f"{SERVICE}:8080",
        **more,
    }


def addresses(server):
    """Return the addresses in the slice; None where there is no slice."""
    found = server.endpoint_slice(SERVICE)
    if found is None:
        return None
    return [a for one in found["endpoints"] or () for a in one["addresses"]]


def written(server):
    """Count the writes of slices."""
    return sum(
        "endpointslices" in one.path and one.verb in {"patch", "create", "update"}
        for one in server.requests
    )


def test_slice_has_the_address_of_the_leader(server, pod):
    """Made by the first leader, with all that a Service needs to find it."""
    with Elector(**options(server)) as elector:
        term = elector.wait_until_leading(timeout=PATIENCE)
        eventually(lambda: addresses(server) == ["10.1.2.3"])
        made = server.endpoint_slice(SERVICE)
        uid = server.lease("billing")["metadata"]["uid"]
    assert made["metadata"]["labels"] == {
        "kubernetes.io/service-name": SERVICE,
        "endpointslice.kubernetes.io/managed-by": "kubernetes-leader-election",
    }
    assert made["metadata"]["annotations"] == {
        "kubernetes-leader-election/lease": "billing",
        "kubernetes-leader-election/holder": "a",
        "kubernetes-leader-election/term": f"{uid} {term.fencing_token}",
    }
    assert made["addressType"] == "IPv4"
    assert made["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]
    (endpoint,) = made["endpoints"]
    assert endpoint["conditions"] == {"ready": True}
    assert endpoint["targetRef"]["name"] == "billing-0"


def test_successor_replaces_the_address_in_one_write(server, pod, monkeypatch):
    """The old leader leaves it there, so that nobody is turned away meanwhile."""
    first, second = Elector(**options(server)), Elector(**options(server, "b"))
    with first:
        first.wait_until_leading(timeout=PATIENCE)
        eventually(lambda: addresses(server) == ["10.1.2.3"])
        monkeypatch.setenv("POD_IP", "10.1.2.4")
        with second:
            second.wait_for_leader(timeout=PATIENCE)
            before = written(server)
            first.step_down()
            eventually(lambda: addresses(server) == ["10.1.2.4"])
            assert written(server) == before + 1


def test_leader_that_stops_without_a_successor_takes_its_address_out(server, pod):
    """Nobody leads: who asks is refused at once, and not led to an old address."""
    with Elector(**options(server)) as elector:
        elector.wait_until_leading(timeout=PATIENCE)
        eventually(lambda: addresses(server) == ["10.1.2.3"])
    eventually(lambda: addresses(server) == [])


def test_asyncio_elector_does_the_same(server, pod):
    """Both fronts have it."""

    async def main():
        async with AsyncElector(**options(server)) as elector:
            await elector.wait_until_leading(timeout=PATIENCE)
            await asyncio.to_thread(
                eventually, lambda: addresses(server) == ["10.1.2.3"]
            )

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
    eventually(lambda: addresses(server) == [])


def test_no_thread_is_left(server, pod):
    """What told others has ended with the elector."""
    with Elector(**options(server, kubernetes_events=True)) as elector:
        elector.wait_until_leading(timeout=PATIENCE)
        names = {thread.name for thread in threading.enumerate()}
        assert {"leader-election-slice", "leader-election-events"} <= names
    eventually(
        lambda: (
            not any(
                thread.name in {"leader-election-slice", "leader-election-events"}
                for thread in threading.enumerate()
            )
        )
    )


def test_without_a_usable_address_it_does_not_start(server, monkeypatch):
    """And says what to add."""
    monkeypatch.delenv("POD_IP", raising=False)
    elector = Elector(**options(server))
    with pytest.raises(ConfigurationError, match=r"POD_IP.*fieldPath: status\.podIP"):
        elector.start()
    monkeypatch.setenv("POD_IP", "10.1.2")
    with pytest.raises(ConfigurationError, match="no IP address"):
        elector.start()
    assert not elector.state.role.startswith("lead")
