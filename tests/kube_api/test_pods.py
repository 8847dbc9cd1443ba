"""One pod, read and watched over the connections of the client for Leases."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.kube_api.call import Call, boottime
from kubernetes_leader_election.kube_api.pods import PodClient
from kubernetes_leader_election.kube_api.results import (
    Answered,
    NotFound,
    NotSent,
    Refused,
    Unknown,
)

PATH = "/api/v1/namespaces/apps/pods"


def pod(version="7", **changed):
    """Make the pod that the tests are about."""
    metadata = {
        "name": "demo-0",
        "namespace": "apps",
        "uid": "u-1",
        "resourceVersion": version,
    }
    made = {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {}}
    return made | changed


def soon(seconds=10.0):
    """Make a call with a deadline."""
    return Call(deadline=boottime() + seconds)


def replying(status, value):
    """Make a handler that answers all requests the same."""

    def handle(peer):
        while peer.read() is not None:
            peer.reply(status, value)

    return handle


def get(serve, connect, status, value):
    """Read the pod from a server that answers so; give the result and the server."""
    server = serve(replying(status, value))
    return PodClient(connect(server)).get("apps", "demo-0", call=soon()), server


def test_pod_is_read_with_quorum(serve, connect):
    """One GET of the one name, without a version that a cache could satisfy."""
    found, server = get(serve, connect, 200, pod())
    assert found == Answered(body=pod())
    (request,) = server.requests
    assert request.target.startswith(f"{PATH}/demo-0?timeout=")
    assert "resourceVersion" not in request.target


def test_missing_pod_is_not_found(serve, connect, status):
    """Only a 404 that speaks of pods says that there is no such pod."""
    said = status(404, "NotFound", 'pods "demo-0" not found', kind="pods")
    assert type(get(serve, connect, 404, said)[0]) is NotFound
    said = status(404, "NotFound", 'leases "demo-0" not found', kind="leases")
    found = get(serve, connect, 404, said)[0]
    assert type(found) is Refused
    assert "There is no Pod API at" in str(found.error)


def test_missing_right_is_told_with_the_rule_to_add(serve, connect, status):
    """Get and watch on the pods of the namespace; their names change."""
    said = (
        'pods "demo-0" is forbidden: User "bob" cannot get resource "pods" in API group '
        '"" in the namespace "apps"'
    )
    found = get(serve, connect, 403, status(403, "Forbidden", said, kind="pods"))[0]
    assert type(found) is Refused
    assert found.error.status == 403
    assert str(found.error).endswith(
        "Add this rule to a Role in namespace apps that is bound to bob: "
        '- {apiGroups: [""], resources: [pods], verbs: [get, watch]}'
    )
    assert str(found.error).startswith("Could not get Pod apps/demo-0 at")


@pytest.mark.parametrize(
    "answer",
    [
        pod(kind="Lease"),
        pod(metadata={}),
        pod(metadata={"name": "other", "namespace": "apps", "resourceVersion": "1"}),
        pod(metadata={"name": "demo-0", "namespace": "b", "resourceVersion": "1"}),
        pod(metadata={"name": "demo-0", "namespace": "apps"}),
        [],
        b"",
    ],
    ids=["kind", "no metadata", "name", "namespace", "no version", "list", "empty"],
)
def test_what_is_not_the_pod_is_no_answer(serve, connect, answer):
    """Fault 49: an answer about another object is none."""
    found = get(serve, connect, 200, answer)[0]
    assert type(found) is Unknown
    assert "Whether it was applied" not in str(found.error)


def test_request_that_hangs_ends_at_its_deadline(serve, connect):
    """The deadline is that of the call, as for a Lease."""

    def hang(peer):
        peer.read()
        peer.wait_until_gone()

    found = PodClient(connect(serve(hang))).get("apps", "demo-0", call=soon(0.1))
    assert type(found) is Unknown


def test_deadline_that_has_passed_sends_nothing(serve, connect):
    """Nothing is sent after the deadline."""
    server = serve(replying(200, pod()))
    found = PodClient(connect(server)).get("apps", "demo-0", call=soon(-1.0))
    assert type(found) is NotSent
    assert not server.requests


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_odd_names_never_make_a_path(serve, connect, name):
    """A name that is a step in a path would be another object."""
    client = PodClient(connect(serve(replying(200, pod()))))
    with pytest.raises(ValueError, match="is not the name of a namespace or Pod"):
        client.get("apps", name, call=soon())
    with pytest.raises(ValueError, match="is not the name of a namespace or Pod"):
        client.get(name, "demo-0", call=soon())


def test_all_pods_are_never_watched(serve, connect):
    """A watch of all pods would bring everybody's, and needs no less a right."""
    client = PodClient(connect(serve(replying(200, pod()))))
    with pytest.raises(ValueError, match="one pod is watched"):
        client.watch("apps", "", "7", call=soon(), on_event=print)


def streaming(*events):
    """Make a handler that answers a watch with these events, and ends cleanly."""

    def handle(peer):
        peer.read()
        peer.begin_stream()
        for kind, thing in events:
            peer.event(kind, thing)
        peer.chunk(b"")

    return handle


def watch(serve, connect, handler):
    """Watch the pod to the end; give the events, the error and the server."""
    server, events = serve(handler), []
    error = PodClient(connect(server)).watch(
        "apps",
        "demo-0",
        "7",
        call=soon(),
        on_event=lambda *event: events.append(event),
    )
    return events, error, server


def test_pod_is_watched_alone(serve, connect):
    """One watch, of the one name, from the version that was read."""
    sent = [("MODIFIED", pod("8")), ("DELETED", pod("9"))]
    events, error, server = watch(serve, connect, streaming(*sent))
    assert (events, error) == (sent, None)
    path, _, query = server.requests[0].target.partition("?")
    assert path == PATH
    assert set(query.split("&")) == {
        "watch=true",
        "allowWatchBookmarks=true",
        "fieldSelector=metadata.name%3Ddemo-0",
        "resourceVersion=7",
    }


@pytest.mark.parametrize(
    "thing",
    [
        pod("8", kind="Lease"),
        pod("8", metadata={"name": "other", "resourceVersion": "8"}),
    ],
    ids=["kind", "name"],
)
def test_event_of_another_object_ends_the_watch(serve, connect, thing):
    """Rule 16: any oddity in a stream ends it."""
    events, error, _ = watch(serve, connect, streaming(("MODIFIED", thing)))
    assert events == []
    assert "is not of the Pod" in str(error)


def test_watch_that_is_refused_says_why(serve, connect, status):
    """Without the right to watch, the election goes on without a proof."""
    said = status(403, "Forbidden", "pods is forbidden: no")
    events, error, _ = watch(serve, connect, replying(403, said))
    assert events == []
    assert error.status == 403
    assert str(error).startswith("Could not watch Pod apps/demo-0")
