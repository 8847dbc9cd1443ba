"""Leases for tests of commands: as others wrote them, and of electors that live."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.kube_api.call import Call, boottime
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.results import Answered, Ok
from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing import LeaseServer

OURS = "kubernetes-leader-election"


def write_lease(
    server: LeaseServer,
    name: str,
    *,
    holder: str = "ada",
    duration: int | None = 1,
    written: str = "2026-01-01T00:00:00.000000Z",
    program: str = OURS,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """Create or replace a Lease as some program would; nobody renews it afterwards."""
    lease: dict[str, Any] = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "holderIdentity": holder,
            "acquireTime": written,
            "renewTime": written,
            "leaseTransitions": 1,
            **spec,
        },
    }
    if duration is not None:
        lease["spec"]["leaseDurationSeconds"] = duration
    before = server.lease(name)
    if before is not None:
        lease["metadata"] = before["metadata"]
    if annotations is not None:
        lease["metadata"]["annotations"] = annotations
    client = LeaseClient(explicit(server=server.url), user_agent=program)
    call = Call(deadline=boottime() + 30)
    result = client.replace("default", name, lease, call=call)
    client.close()
    assert isinstance(result, Ok), result
    return dict(result.lease)


def delete_lease(server: LeaseServer, name: str) -> None:
    """Delete a Lease as somebody does by hand."""
    client = LeaseClient(explicit(server=server.url), user_agent="kubectl")
    path = f"/apis/coordination.k8s.io/v1/namespaces/default/leases/{name}"
    result = client.request("DELETE", path, call=Call(deadline=boottime() + 30))
    client.close()
    assert isinstance(result, Answered), result


def edit_lease(server: LeaseServer, name: str, **spec: Any) -> None:
    """Change fields of the spec as somebody does by hand, however often it is renewed."""
    client = LeaseClient(explicit(server=server.url), user_agent="kubectl-edit")
    for _ in range(100):
        lease = server.lease(name)
        assert lease is not None
        lease = {**lease, "spec": {**lease["spec"], **spec}}
        call = Call(deadline=boottime() + 30)
        if isinstance(client.replace("default", name, lease, call=call), Ok):
            break
    else:
        raise AssertionError(f"{name} changes all the time")
    client.close()


def electors(
    server: LeaseServer, lease: str, *names: str, lease_duration_sec: float = 20
) -> contextlib.AbstractContextManager[list[Elector]]:
    """
    Run electors; the first one leads when the block begins.

    By themselves they keep a Lease, and release it, also on a machine where nobody gets a
    turn for seconds; a test that waits for the end of a term gives a shorter one.
    """
    return run_electors(
        *names,
        lease_name=lease,
        server=server.url,
        renew_interval_ms=300,
        lease_duration_sec=lease_duration_sec,
        request_timeout_sec=lease_duration_sec / 6,
    )


@contextlib.contextmanager
def run_electors(*names: str, **options: Any) -> Iterator[list[Elector]]:
    """Run electors with these options; the first one leads when the block begins."""
    with contextlib.ExitStack() as stack:
        started = []
        for name in names:
            elector = Elector(identity=name, auto_close=False, **options)
            stack.callback(elector.stop)
            elector.start()
            if not started:
                elector.wait_until_leading(timeout=30)
            started.append(elector)
        for elector in started:
            elector.wait_for_leader(timeout=30)
        yield started
