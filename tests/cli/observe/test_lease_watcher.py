"""Leases are followed without missing a change; where that cannot be, it is said."""

from __future__ import annotations

import itertools
import queue
from pathlib import Path

import pytest

from kubernetes_leader_election.cli.connection import Connection
from kubernetes_leader_election.cli.observe import cluster, lease_watcher
from kubernetes_leader_election.cli.observe.changes import changes
from kubernetes_leader_election.cli.observe.lease_watcher import LeaseWatcher
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.kube_api import results as r
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


class Scripted:
    """A client whose looks fail or not as it is told, and which may not watch."""

    def __init__(self, *fails: bool) -> None:
        self._fails = itertools.chain(fails, itertools.repeat(False))

    def _result(self, good: object) -> object:
        return r.Refused(error=LeaseApiError("busy")) if next(self._fails) else good

    def get(self, *_: object, **__: object) -> object:
        """Find that there is no such Lease, or fail."""
        return self._result(r.NotFound(error=LeaseApiError("none", status=404)))

    def list(self, *_: object, **__: object) -> object:
        """Find that there is none at all, or fail."""
        return self._result(r.Listed(items=(), continue_token="", resource_version="1"))

    def watch(self, *_: object, **__: object) -> LeaseApiError:
        """Refuse."""
        return LeaseApiError("may not watch", status=403)


@pytest.mark.parametrize("names", [None, ["quiet"]], ids=["a namespace", "one Lease"])
def test_pauses_after_errors_begin_anew_after_a_look_that_succeeded(monkeypatch, names):
    """Where there is no watch, too: an error now and then does not add up to seconds."""
    failures = queue.SimpleQueue()
    monkeypatch.setattr(lease_watcher, "POLL_EVERY", 0.01)
    monkeypatch.setattr(
        lease_watcher, "pause_after", lambda count, **_: failures.put(count) or 0.0
    )
    target = cluster.Target(
        client=Scripted(False, True, True, False, True),
        namespace="default",
        why="as given",
        needs=(),
    )
    with LeaseWatcher(target, names):
        told = [failures.get(timeout=PATIENCE) for _ in range(3)]
    assert told == [0, 1, 0]


@pytest.mark.parametrize("error", [None, LeaseApiError("too old", status=410)])
@pytest.mark.parametrize("names", [None, ["quiet"]], ids=["a namespace", "one Lease"])
def test_watches_that_are_all_cut_off_are_not_begun_without_end(
    monkeypatch, names, error
):
    """The first one anew at once; a proxy that cuts each off is asked less and less."""
    pauses = queue.SimpleQueue()
    monkeypatch.setattr(
        lease_watcher, "pause_after", lambda count, **_: pauses.put(count) or 0.0
    )
    # However slow this machine is, no watch of this test was a long one.
    monkeypatch.setattr(lease_watcher, "LONGEST_PAUSE", 1e9)
    client = Scripted()
    client.watch = lambda *_, **__: error
    target = cluster.Target(
        client=client, namespace="default", why="as given", needs=()
    )
    with LeaseWatcher(target, names):
        told = [pauses.get(timeout=PATIENCE) for _ in range(3)]
    assert told == [0, 1, 2]
