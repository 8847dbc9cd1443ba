"""Watches: where they begin, what they say, how they end."""

from __future__ import annotations

import json
import threading
import time

import pytest
from conformance_client import (
    GROUP,
    LATE,
    WAIT,
    Api,
    Target,
    changed,
    lease,
    with_metadata,
)

END = "k8s.io/initial-events-end"


def kinds(events) -> list[tuple[str, str | None]]:
    """Give type and name of events."""
    return [
        (event["type"], event["object"]["metadata"].get("name")) for event in events
    ]


def holders(events) -> list[str]:
    """Give the holders in events."""
    return [event["object"]["spec"]["holderIdentity"] for event in events]


def lifetime(target: Target) -> int:
    """Give the seconds of a watch long enough for a bookmark before its end."""
    return int(target.patience.bookmark * 1.5) + 1


def is_end(event) -> bool:
    """Tell whether an event is the end mark of the initial ones."""
    annotations = event["object"]["metadata"].get("annotations", {})
    return event["type"] == "BOOKMARK" and annotations.get(END) == "true"


def test_watch_from_a_version_sends_what_came_after(api: Api):
    """Watch: events after the version, first from history, then as they happen."""
    version = api.list().version
    made = api.created(holderIdentity="a")
    api.put(changed(made, holderIdentity="b"))
    watch = api.watch(resourceVersion=version)
    assert holders(watch.take(2)) == ["a", "b"]
    api.delete()
    assert watch.next()["type"] == "DELETED"


def test_watch_is_chunked_json(api: Api):
    """Watch: one JSON object a line, chunked."""
    watch = api.watch(timeoutSeconds=1)
    assert watch.status == 200
    assert watch.headers["Transfer-Encoding"] == "chunked"
    assert watch.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("version", [None, "0"], ids=["no version", "zero"])
def test_watch_without_a_version_begins_with_what_exists(api: Api, version):
    """Watch: first an ADDED for everything that exists."""
    api.created("a")
    api.created("b")
    query = {} if version is None else {"resourceVersion": version}
    watch = api.watch(**query)
    assert sorted(kinds(watch.take(2))) == [("ADDED", "a"), ("ADDED", "b")]


@pytest.mark.parametrize("version", [None, "0"], ids=["no version", "zero"])
def test_initial_events_end_with_a_bookmark(api: Api, version):
    """Watch: with bookmarks allowed, the initial events have an end mark."""
    made = api.created("a")
    query = {} if version is None else {"resourceVersion": version}
    events = api.watch(allowWatchBookmarks="true", **query).take(2)
    assert events[0]["type"] == "ADDED"
    assert is_end(events[1])
    mark = events[1]["object"]
    assert int(mark["metadata"]["resourceVersion"]) >= int(
        made["metadata"]["resourceVersion"]
    )
    assert (mark["kind"], mark["spec"]) == ("Lease", {})


def test_end_mark_comes_even_for_nothing(api: Api):
    """Watch: the mark comes even if nothing exists."""
    watch = api.watch(allowWatchBookmarks="true", fieldSelector="metadata.name=none")
    assert is_end(watch.next())


def test_watch_from_a_version_has_no_end_mark(api: Api):
    """Watch: from a version there is nothing initial to end."""
    made = api.created(holderIdentity="a")
    watch = api.watch(
        allowWatchBookmarks="true",
        resourceVersion=made["metadata"]["resourceVersion"],
    )
    api.put(changed(made, holderIdentity="b"))
    assert watch.next()["type"] == "MODIFIED"


def test_send_initial_events_needs_a_match(api: Api):
    """Watch: sendInitialEvents without resourceVersionMatch is 422."""
    watch = api.watch(sendInitialEvents="true")
    assert watch.status == 422
    status = json.loads(watch.response.read())
    assert (
        "sendInitialEvents requires setting resourceVersionMatch" in status["message"]
    )


def test_send_initial_events_with_bookmarks(api: Api):
    """Watch: sendInitialEvents sends all, then the mark, whatever the version."""
    made = api.created("a")
    watch = api.watch(
        sendInitialEvents="true",
        resourceVersionMatch="NotOlderThan",
        resourceVersion=made["metadata"]["resourceVersion"],
        allowWatchBookmarks="true",
    )
    events = watch.take(2)
    assert kinds(events)[0] == ("ADDED", "a")
    assert is_end(events[1])


@pytest.mark.slow
def test_send_initial_events_without_bookmarks(api: Api):
    """Watch: without bookmarks there is no mark."""
    api.created("a")
    watch = api.watch(
        sendInitialEvents="true",
        resourceVersionMatch="NotOlderThan",
        timeoutSeconds=1,
    )
    assert kinds(watch.rest()) == [("ADDED", "a")]


@pytest.mark.parametrize(
    ("value", "watches"),
    [
        ("true", True),
        ("1", True),
        ("yes", True),
        ("", True),
        ("0", False),
        ("false", False),
        ("False", False),
    ],
)
def test_spelling_of_watch(api: Api, value, watches):
    """Watch: any spelling but 0 and false."""
    answer = api.watch(api.collection, watch=value, timeoutSeconds=1)
    assert (answer.headers.get("Transfer-Encoding") == "chunked") is watches


@pytest.mark.slow
def test_old_watch_path(api: Api):
    """Watch: the old /watch/ path works, for a collection and for one Lease."""
    api.created("a")
    api.created("b")
    base = f"{GROUP}/watch/namespaces/{api.namespace}/leases"
    assert len(api.watch(base, timeoutSeconds=1).rest()) == 2
    assert kinds(api.watch(f"{base}/a", timeoutSeconds=1).rest()) == [("ADDED", "a")]


def test_watch_of_one_lease_is_a_get(api: Api):
    """Watch: on one Lease's path the parameter means nothing."""
    made = api.created()
    assert api.get(watch="1").json == made


def test_watch_by_name(api: Api):
    """Watch: a field selector narrows it to one Lease."""
    version = api.list().version
    watch = api.watch(resourceVersion=version, fieldSelector="metadata.name=a")
    api.created("b")
    api.created("a")
    assert kinds([watch.next()]) == [("ADDED", "a")]


def test_watch_of_all_namespaces(api: Api):
    """Watch: without a namespace it hears of all."""
    version = api.list().version
    selector = f"metadata.namespace={api.namespace}"
    watch = api.watch(
        f"{GROUP}/leases", watch="1", resourceVersion=version, fieldSelector=selector
    )
    api.created("a")
    assert kinds([watch.next()]) == [("ADDED", "a")]


def test_leaving_a_selector_is_a_deletion(api: Api):
    """Watch: DELETED with the previous object, under the new version."""
    made = api.created("p", {"labels": {"a": "1"}}, holderIdentity="before")
    watch = api.watch(
        resourceVersion=made["metadata"]["resourceVersion"], labelSelector="a=1"
    )
    patch = {"metadata": {"labels": {"a": "2"}}, "spec": {"holderIdentity": "after"}}
    patched = api.patch(patch)
    event = watch.next()
    assert event["type"] == "DELETED"
    assert event["object"]["spec"]["holderIdentity"] == "before"
    assert event["object"]["metadata"]["labels"] == {"a": "1"}
    assert event["object"]["metadata"]["resourceVersion"] == patched.version


def test_entering_a_selector_is_an_addition(api: Api):
    """Watch: ADDED when a change makes it fit."""
    made = api.created("p", {"labels": {"a": "2"}})
    watch = api.watch(
        resourceVersion=made["metadata"]["resourceVersion"], labelSelector="a=1"
    )
    api.patch({"metadata": {"labels": {"a": "1"}}})
    assert kinds([watch.next()]) == [("ADDED", "p")]


def test_deletion_has_the_last_state_and_a_new_version(api: Api):
    """Watch: the version of a deletion is its own."""
    made = api.created(holderIdentity="a")
    version = made["metadata"]["resourceVersion"]
    watch = api.watch(resourceVersion=version)
    api.delete()
    event = watch.next()
    assert (event["type"], holders([event])) == ("DELETED", ["a"])
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(version)


def test_finalizers_in_a_watch(api: Api):
    """Watch: MODIFIED while it is held, then DELETED with the last stored state."""
    made = api.created("p", {"finalizers": ["a/b"]}, holderIdentity="1")
    watch = api.watch(resourceVersion=made["metadata"]["resourceVersion"])
    api.delete()
    renewed = api.put(changed(api.get().json, holderIdentity="2")).json
    api.put(with_metadata(changed(renewed, holderIdentity="3"), finalizers=None))
    events = watch.take(3)
    assert [one["type"] for one in events] == ["MODIFIED", "MODIFIED", "DELETED"]
    assert holders(events) == ["1", "2", "2"]


@pytest.mark.slow
def test_old_version_is_an_error_in_the_stream(api: Api):
    """Watch: a version too old is 200 and one ERROR event with 410, then the end."""
    watch = api.watch(resourceVersion="1")
    event = watch.next()
    assert watch.status == 200
    assert event["type"] == "ERROR"
    status = event["object"]
    assert (status["kind"], status["code"], status["reason"]) == (
        "Status",
        410,
        "Expired",
    )
    assert status["message"].startswith("too old resource version: 1 (")
    assert watch.next() is None


def test_forgotten_history_is_an_error_in_the_stream(api: Api):
    """Watch: even the version of an untouched Lease is too old after forgetting."""
    made = api.created("p")
    api.created("q")
    api.forget_history()
    watch = api.watch(resourceVersion=made["metadata"]["resourceVersion"])
    assert watch.next()["object"]["code"] == 410


@pytest.mark.slow
def test_future_version_is_silent(api: Api):
    """Watch: from the future there is silence first."""
    watch = api.watch(resourceVersion="99999999999")
    assert watch.status == 200
    api.created()
    assert watch.is_silent(0.4)


@pytest.mark.slow
def test_future_initial_events_are_an_error(api: Api):
    """Watch: initial events from the future are an ERROR 504 in the stream."""
    watch = api.watch(
        sendInitialEvents="true",
        resourceVersionMatch="NotOlderThan",
        resourceVersion="99999999999",
    )
    status = watch.next()["object"]
    assert (status["code"], status["reason"]) == (504, "Timeout")


@pytest.mark.slow
def test_timeout_ends_a_watch_cleanly(api: Api):
    """Watch: timeoutSeconds is a clean end."""
    began = time.monotonic()
    watch = api.watch(timeoutSeconds=1)
    assert watch.next() is None
    assert 0.8 < time.monotonic() - began < LATE


def test_negative_timeout_ends_at_once(api: Api):
    """Watch: a negative time is over before it begins."""
    made = api.created()
    version = made["metadata"]["resourceVersion"]
    watch = api.watch(timeoutSeconds=-1, resourceVersion=version)
    assert watch.status == 200
    assert watch.next() is None


def test_fraction_of_seconds_is_400(api: Api):
    """Watch: timeoutSeconds is a whole number."""
    assert api.watch(timeoutSeconds="1.5").status == 400


@pytest.mark.slow
def test_bookmark_comes_before_the_end(api: Api, target: Target):
    """Watch: two seconds before its end a watch gets a bookmark, if anything moved."""
    version = api.created(holderIdentity="a")["metadata"]["resourceVersion"]
    watch = api.watch(
        resourceVersion=version,
        allowWatchBookmarks="true",
        timeoutSeconds=lifetime(target),
    )
    moved = api.patch({"spec": {"holderIdentity": "b"}})
    events = watch.rest()
    assert events[0]["type"] == "MODIFIED"
    assert {one["type"] for one in events[1:]} == {"BOOKMARK"}
    assert int(events[1]["object"]["metadata"]["resourceVersion"]) >= int(moved.version)
    assert events[1]["object"]["spec"] == {}
    assert not is_end(events[1])


@pytest.mark.slow
def test_bookmarks_come_only_if_allowed(api: Api, target: Target):
    """Watch: without allowWatchBookmarks there is none."""
    version = api.created(holderIdentity="a")["metadata"]["resourceVersion"]
    watch = api.watch(resourceVersion=version, timeoutSeconds=lifetime(target))
    api.patch({"spec": {"holderIdentity": "b"}})
    assert [one["type"] for one in watch.rest()] == ["MODIFIED"]


@pytest.mark.slow
def test_no_bookmark_if_nothing_moved(api: Api, target: Target):
    """Watch: no bookmark unless the version moved since the watch began."""
    version = api.list().version
    watch = api.watch(
        resourceVersion=version,
        allowWatchBookmarks="true",
        timeoutSeconds=lifetime(target),
    )
    assert watch.rest() == []


@pytest.mark.slow
def test_slow_reader_is_cut_off_cleanly(api: Api, target: Target):
    """Watch: who does not read gets a clean end in mid-history, and no gap before."""
    made = api.created(holderIdentity="0")
    version = made["metadata"]["resourceVersion"]
    slow = api.watch(resourceVersion=version)
    quick = api.watch(resourceVersion=version)
    filler = "x" * 60_000
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.extend(holders(quick.take(300))))
    reader.start()
    writer = Api(target, api.namespace)
    for number in range(1, 301):
        writer.patch({"spec": {"holderIdentity": f"{number}-{filler}"}})
    reader.join(WAIT)
    writer.close()
    seen = [int(one.partition("-")[0]) for one in holders(slow.rest())]
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) < 300
    assert len(heard) == 300


def test_revoked_rights_do_not_end_a_watch(api: Api, target: Target, as_user):
    """Watch: an open one goes on when its right is taken away."""
    rules = [
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "verbs": ["watch"],
        }
    ]
    version = api.list().version
    with target.granted("alice", rules, api.namespace):
        watch = as_user("alice").watch(resourceVersion=version)
        assert watch.status == 200
    api.created("a")
    assert kinds([watch.next()]) == [("ADDED", "a")]


def test_many_watchers_hear_the_same(api: Api):
    """Watch: everybody hears everything, in one order."""
    version = api.list().version
    watches = [api.watch(resourceVersion=version) for _ in range(20)]
    made = api.created(holderIdentity="0")
    for number in range(1, 10):
        made = api.put(changed(made, holderIdentity=str(number))).json
    for watch in watches:
        assert holders(watch.take(10)) == [str(one) for one in range(10)]


def test_events_are_ordered_by_version(api: Api):
    """Watch: versions only grow."""
    version = api.list().version
    watch = api.watch(resourceVersion=version)
    for number in range(10):
        api.post(lease(f"l{number}"))
    versions = [
        int(one["object"]["metadata"]["resourceVersion"]) for one in watch.take(10)
    ]
    assert versions == sorted(set(versions))
