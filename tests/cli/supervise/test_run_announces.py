"""``run --leader-endpoints --kubernetes-events``: who leads is told, the end as well."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from kubernetes_leader_election.testing import LeaseServer
from tests.cli.supervise.run_replica import Replica, eventually

pytestmark = pytest.mark.slow

SERVICE = "beat-leader"


def addresses(server: LeaseServer) -> list[str]:
    """Return the addresses in the slice."""
    found = server.endpoint_slice(SERVICE) or {}
    return [a for one in found.get("endpoints") or () for a in one["addresses"]]


def reasons(server: LeaseServer) -> list[str]:
    """Return what was told in Events, in its order."""
    return [event["reason"] for event in server.events()]


def replica(folder: Path, kubeconfig: Path, name: str, address: str) -> Replica:
    """Start a replica that tells where it is."""
    return Replica(
        folder,
        name,
        f"--leader-endpoints={SERVICE}:9000",
        "--kubernetes-events",
        kubeconfig=kubeconfig,
        lease="announced",
        prefix=("env", f"POD_IP={address}"),
    )


def test_run_keeps_the_address_and_takes_it_out_at_its_end(
    tmp_path: Path, kubeconfig: Path, server: LeaseServer
) -> None:
    """Moved after `kill -9`, and gone when the last one has stopped: before it exits."""
    first = replica(tmp_path, kubeconfig, "a", "10.1.0.1")
    second = None
    try:
        eventually(lambda: addresses(server) == ["10.1.0.1"], "the first leads")
        # Each is told by a thread of its own: the one, or the other, comes first.
        eventually(lambda: reasons(server) == ["BecameLeader"], "that is told")
        second = replica(tmp_path, kubeconfig, "b", "10.1.0.2")
        first.signal(signal.SIGKILL)
        eventually(lambda: addresses(server) == ["10.1.0.2"], "the second leads")
        eventually(lambda: reasons(server) == ["BecameLeader"] * 2, "that is told")
        second.signal(signal.SIGTERM)
        second.wait()
        assert addresses(server) == []
    finally:
        first.close()
        if second is not None:
            second.close()
    assert reasons(server) == ["BecameLeader", "BecameLeader", "GaveUpLeadership"]
