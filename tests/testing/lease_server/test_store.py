"""The storage and the rules above it, without any server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kubernetes_leader_election.testing.lease_server.api.decoding import typed
from kubernetes_leader_election.testing.lease_server.api.deletion import DeleteOptions
from kubernetes_leader_election.testing.lease_server.api.registry import (
    Registry,
    WriteOptions,
    parse_version,
)
from kubernetes_leader_election.testing.lease_server.api.resources import LEASES
from kubernetes_leader_election.testing.lease_server.api.selectors import Selector
from kubernetes_leader_election.testing.lease_server.http.statuses import ApiError
from kubernetes_leader_election.testing.lease_server.storage.store import Store
from kubernetes_leader_election.testing.lease_server.watch.watch_hub import (
    Watch,
    WatchHub,
)

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
KEY = (LEASES, "default", "p")


def document(**spec):
    """Give a Lease to store."""
    return {
        "kind": "Lease",
        "apiVersion": "coordination.k8s.io/v1",
        "metadata": {"name": "p", "uid": "u"},
        "spec": spec,
    }


@pytest.fixture
def registry():
    """Give a registry with the namespace default, and uids that count."""
    uids = iter(range(1000))
    one = Registry(Store(), lambda: f"uid-{next(uids)}", lambda: "abcde")
    one.add_namespace("default", NOW)
    return one


def test_every_change_takes_the_next_number():
    """One counter numbers everything."""
    store = Store(revision=10)
    assert store.put(KEY, document()).revision == 11
    assert store.put((LEASES, "other", "q"), document()).revision == 12
    assert store.remove(KEY).revision == 13
    assert [change.kind for change in store.since(10)] == ["ADDED", "ADDED", "DELETED"]


def test_history_is_bounded():
    """The oldest changes are forgotten, and the store knows."""
    store = Store(history_limit=3)
    for _ in range(10):
        store.put(KEY, document())
    assert len(list(store.since(0))) == 3
    assert store.oldest == store.revision - 3


def test_history_keeps_what_was():
    """What became history can still be read."""
    store = Store()
    for number in range(5):
        store.put(KEY, document(leaseTransitions=number))
    found = [one.stored.document["spec"] for one in store.since(0)]
    assert found == [{"leaseTransitions": number} for number in range(5)]
    assert store.earlier(KEY, 2).document["spec"] == {"leaseTransitions": 2}


def test_past_lists_are_rebuilt():
    """The objects as of a version are those of that version."""
    store = Store()
    first = store.put(KEY, document(holderIdentity="a")).revision
    store.put((LEASES, "default", "q"), document())
    store.put(KEY, document(holderIdentity="b"))
    store.remove(KEY)
    (then,) = store.objects_as_of(LEASES, "default", first)
    assert then.document["spec"] == {"holderIdentity": "a"}
    assert [one.revision for one in store.objects(LEASES)] == [first + 1]


def test_backup_is_not_touched_by_later_changes():
    """A backup stands still, and can be restored twice."""
    store = Store()
    store.put(KEY, document(holderIdentity="a"))
    backup = store.backup()
    for _ in range(2):
        store.put(KEY, document(holderIdentity="b"))
        store.restore(backup)
        assert store.get(KEY).document["spec"] == {"holderIdentity": "a"}
        assert store.revision == backup.revision


def test_documents_are_not_shared_with_the_writer(registry):
    """Changing what was sent does not change what is stored."""
    sent = typed(LEASES, {"metadata": {"name": "p"}, "spec": {"holderIdentity": "a"}})
    stored = registry.create(
        LEASES, "default", sent.document, WriteOptions(now=NOW, manager="m")
    )
    sent.document["metadata"]["name"] = "changed"
    assert stored.document["metadata"]["name"] == "p"


@pytest.mark.parametrize(
    ("text", "version"), [("", 0), ("0", 0), ("17", 17), ("0017", 17)]
)
def test_versions_are_read(text, version):
    """Empty is zero, leading zeros do no harm."""
    assert parse_version(text) == version


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("abc", "invalid syntax"),
        ("-1", "invalid syntax"),
        ("1_000", "invalid syntax"),
        ("٣", "invalid syntax"),
        ("18446744073709551616", "value out of range"),
        ("9" * 5000, "value out of range"),
    ],
)
def test_unreadable_versions_are_refused(text, why):
    """As Go refuses them."""
    with pytest.raises(ValueError, match=why):
        parse_version(text)


def test_deletion_by_uid_is_exact(registry):
    """A precondition on another uid does not delete."""
    sent = typed(LEASES, {"metadata": {"name": "p"}}).document
    registry.create(LEASES, "default", sent, WriteOptions(now=NOW))
    with pytest.raises(ApiError) as refused:
        registry.delete(LEASES, "default", "p", DeleteOptions(now=NOW, uid="other"))
    assert refused.value.code == 409
    assert registry.store.get(KEY) is not None


def test_hub_files_watches_by_name():
    """A change is offered to those it concerns and to nobody else."""
    store, hub = Store(), WatchHub()
    store.listeners.append(hub.publish)

    def by_name(name):
        fits = [lambda one: one["metadata"]["name"] == name]
        return Selector(fits, name)

    watches = {
        "p": Watch(LEASES, "default", by_name("p")),
        "q": Watch(LEASES, "default", by_name("q")),
        "all": Watch(LEASES, "", Selector([])),
        "other": Watch(LEASES, "other", Selector([])),
    }
    for watch in watches.values():
        hub.add(watch)
    store.put(KEY, document())
    heard = {name: len(watch.take()) for name, watch in watches.items()}
    assert heard == {"p": 1, "q": 0, "all": 1, "other": 0}
    for watch in watches.values():
        hub.remove(watch)
        hub.remove(watch)
    assert len(hub) == 0


def test_full_queue_ends_a_watch():
    """Beyond its bound a queue takes nothing more, and says so by ending."""
    watch = Watch(LEASES, "", Selector([]), limit=100)
    for _ in range(20):
        watch.push(b"x" * 30)
    assert watch.ended
    assert len(watch.take()) == 4
