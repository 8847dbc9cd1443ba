"""Leases are followed without missing a change; where that cannot be, it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubernetes_leader_election.cli.connection import Connection
from kubernetes_leader_election.cli.observe import cluster
from kubernetes_leader_election.cli.observe.changes import changes
from kubernetes_leader_election.cli.observe.lease_watcher import LeaseWatcher
from kubernetes_leader_election.testing import LeaseServer
from kubernetes_leader_election.testing.lease_server import User
from tests.cli.observe.leases import write_lease

PATIENCE = 30.0


def role(*verbs: str) -> dict:
    """Give a Role with these verbs on Leases."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "reader", "namespace": "default"},
        "rules": [
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "verbs": list(verbs),
            }
        ],
    }


def until(
    watcher: LeaseWatcher, names: list[str] | None, kind: str, holder: str | None = None
) -> list:
    """Give the changes up to the first of this kind, and of this holder if one is given."""
    found = []
    for change, _ in changes(watcher, names, PATIENCE):
        if change is not None:
            found.append(change)
            if change.kind == kind and holder in {None, change.holder}:
                return found
    pytest.fail(f"no {kind!r} in {found}")


def test_a_namespace_is_watched_so_that_no_change_is_missed(server, kubeconfig):
    """A hand-over of milliseconds is told as it was, not as a look each second has it."""
    write_lease(server, "before", duration=3600)
    with (
        cluster.at(Connection(kubeconfig=kubeconfig), None) as target,
        LeaseWatcher(target, None) as watcher,
    ):
        until(watcher, None, "held")
        server.requests.wait_for(lambda one: one.verb == "watch", timeout=PATIENCE)
        for holder in ("ada", "", "bob", "", "eve"):
            write_lease(server, "quick", holder=holder, duration=3600)
        told = until(watcher, None, "acquired", "eve")
    assert [(one.kind, one.holder) for one in told if one.lease == "quick"] == [
        ("acquired", "ada"),
        ("released", None),
        ("acquired", "bob"),
        ("released", None),
        ("acquired", "eve"),
    ]


@pytest.mark.parametrize(
    ("verbs", "names"),
    [(("get", "list"), None), (("get",), ["quiet"])],
    ids=["a namespace", "one Lease"],
)
def test_a_reader_who_may_not_watch_is_told_how_coarse_it_is(tmp_path, verbs, names):
    """Times that are wrong by a second are not shown as if they were right."""
    with LeaseServer(users=[User("eve", token="t", roles=(role(*verbs),))]) as server:
        path = Path(tmp_path / "kubeconfig")
        server.kubeconfig("eve", path=path)
        with (
            cluster.at(Connection(kubeconfig=path), "default") as target,
            LeaseWatcher(target, names) as watcher,
        ):
            (*_, trouble) = until(watcher, names, "trouble")
    assert "watching is not permitted: read every 1 s" in trouble.text
