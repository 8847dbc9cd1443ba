"""Pods as far as a kubelet and the proof of a container's end need them."""

from __future__ import annotations

from datetime import datetime

import pytest
from conformance_client import MERGE, STRATEGIC, Api, assert_refused

NODE = "a-node"


def pods(api: Api, name: str = "", part: str = "") -> str:
    """Return the path of the namespace's pods, of one, or of a part of one."""
    path = f"/api/v1/namespaces/{api.namespace}/pods"
    return "/".join(one for one in (path, name, part) if one)


def pod(name: str = "p", node: str | None = NODE, **spec) -> dict:
    """Make a pod; on a node unless told otherwise."""
    scheduled = {"nodeName": node} if node else {}
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i"}], **scheduled, **spec},
    }


def created(api: Api, **given) -> dict:
    """Create a pod, and give what was answered."""
    answer = api.request("POST", pods(api), pod(**given))
    assert answer.status == 201, answer
    return answer.json


def terminated(message: str, code: int = 137) -> dict:
    """Return the status that a kubelet reports of a container that was restarted."""
    ended = {
        "exitCode": code,
        "reason": "Error",
        "message": message,
        "startedAt": "2026-11-29T10:00:00Z",
        "finishedAt": "2026-11-29T11:00:00Z",
        "containerID": "containerd://a",
    }
    container = {
        "name": "c",
        "image": "i",
        "imageID": "",
        "ready": True,
        "restartCount": 1,
        "state": {"running": {"startedAt": "2026-11-29T11:00:01Z"}},
        "lastState": {"terminated": ended},
    }
    return {"status": {"phase": "Running", "containerStatuses": [container]}}


def patch_status(api: Api, patch: dict, name: str = "p", kind: str = MERGE):
    """Write the status as a kubelet does."""
    path = pods(api, name, "status")
    return api.request("PATCH", path, patch, headers={"Content-Type": kind})


def gone(api: Api, name: str = "p") -> None:
    """Delete a pod at once, so that nothing is left behind."""
    api.request("DELETE", f"{pods(api, name)}?gracePeriodSeconds=0")
    assert api.request("GET", pods(api, name)).status == 404


def test_new_pod_is_pending_whatever_status_was_sent(api: Api):
    """Pods: a status is never created with its pod."""
    sent = pod() | {"status": {"phase": "Failed", "message": "no"}}
    answer = api.request("POST", pods(api), sent)
    assert answer.status == 201
    assert answer.json["status"]["phase"] == "Pending"
    assert "message" not in answer.json["status"]
    assert answer.json["metadata"]["generation"] == 1
    found = api.request("GET", pods(api, "p")).json
    assert found["spec"]["nodeName"] == NODE
    assert found["spec"]["containers"][0]["name"] == "c"
    gone(api)


@pytest.mark.parametrize("spec", [{"containers": []}, {"containers": [{"name": "c"}]}])
def test_pod_needs_containers_with_an_image(api: Api, spec):
    """Pods: what cannot run is refused."""
    answer = api.request("POST", pods(api), pod() | {"spec": spec})
    assert_refused(answer, 422, "Invalid", "spec.containers", "Required value")


def test_pod_of_odd_form_is_refused(api: Api):
    """Pods: a spec that is none is 400."""
    answer = api.request("POST", pods(api), pod() | {"spec": 5})
    assert_refused(answer, 400, "BadRequest", "json: cannot unmarshal number")


def test_pod_is_never_created_by_a_put(api: Api):
    """Pods: unlike a Lease."""
    assert_refused(api.request("PUT", pods(api, "p"), pod()), 404, "NotFound")
    patch = terminated("x")
    assert_refused(patch_status(api, patch), 404, "NotFound", 'pods "p" not found')


@pytest.mark.parametrize("kind", [MERGE, STRATEGIC])
def test_status_is_written_apart(api: Api, kind):
    """Pods: the status has a path of its own, and the spec stays."""
    made = created(api)
    patch = terminated("bye") | {"spec": {"nodeName": "other"}}
    answer = patch_status(api, patch, kind=kind)
    assert answer.status == 200
    found = api.request("GET", pods(api, "p", "status")).json
    assert found == answer.json
    (container,) = found["status"]["containerStatuses"]
    assert container["lastState"]["terminated"]["message"] == "bye"
    assert found["status"]["qosClass"] == made["status"]["qosClass"]
    assert found["spec"] == made["spec"]
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    gone(api)


def test_status_stays_where_the_pod_is_written(api: Api):
    """Pods: a write of the pod itself cannot change its status."""
    created(api)
    patch_status(api, terminated("bye"))
    changed = {"metadata": {"labels": {"a": "b"}}, "status": {"phase": "Failed"}}
    patch = {"Content-Type": MERGE}
    answer = api.request("PATCH", pods(api, "p"), changed, headers=patch)
    assert answer.status == 200
    assert answer.json["metadata"]["labels"] == {"a": "b"}
    assert answer.json["status"]["phase"] == "Running"
    gone(api)


def test_status_may_be_written_whole(api: Api):
    """Pods: by a PUT as well, with or without the version that was read."""
    made = created(api)
    status = terminated("bye")["status"]
    answer = api.request("PUT", pods(api, "p", "status"), made | {"status": status})
    assert answer.status == 200
    stale = api.request("PUT", pods(api, "p", "status"), made | {"status": status})
    assert_refused(stale, 409, "Conflict")
    del made["metadata"]["resourceVersion"]
    forced = api.request("PUT", pods(api, "p", "status"), made | {"status": status})
    assert forced.status == 200
    gone(api)


@pytest.mark.parametrize("method", ["DELETE", "POST"])
def test_status_is_neither_created_nor_deleted(api: Api, method):
    """Pods: their status comes and goes with them."""
    created(api)
    answer = api.request(method, pods(api, "p", "status"), {})
    assert answer.status in {404, 405}
    gone(api)


def test_one_pod_is_watched(api: Api):
    """Pods: a watch of one name brings its changes and its end, with the last status."""
    made, other = created(api), created(api, name="other")
    version = other["metadata"]["resourceVersion"]
    watch = api.watch(
        pods(api), watch="1", fieldSelector="metadata.name=p", resourceVersion=version
    )
    patch_status(api, terminated("x"), name="other")
    patch_status(api, terminated("bye"))
    gone(api, "other")
    gone(api)
    events = watch.take(3)
    # What is removed at once is marked first, as what waits for its kubelet is.
    assert [one["type"] for one in events] == ["MODIFIED", "MODIFIED", "DELETED"]
    marks = [one["object"]["metadata"].get("deletionTimestamp") for one in events]
    assert (marks[0], marks[1] is None) == (None, False)
    assert marks[1] == marks[2]
    for event in events:
        assert event["object"]["metadata"]["uid"] == made["metadata"]["uid"]
        (container,) = event["object"]["status"]["containerStatuses"]
        assert container["lastState"]["terminated"]["message"] == "bye"
    watch.close()


def test_pods_are_selected_by_node_and_phase(api: Api):
    """Pods: as a kubelet lists its own."""
    created(api)
    created(api, name="q", node=None)
    for selector, names in (
        (f"spec.nodeName={NODE}", ["p"]),
        ("spec.nodeName=", ["q"]),
        ("status.phase=Pending", ["p", "q"]),
        ("status.phase!=Pending", []),
    ):
        found = api.request("GET", f"{pods(api)}?fieldSelector={selector}").json
        assert found["kind"] == "PodList"
        assert [one["metadata"]["name"] for one in found["items"]] == names
    answer = api.request("GET", f"{pods(api)}?fieldSelector=spec.no=x")
    assert_refused(answer, 400, "BadRequest", "field label not supported: spec.no")
    gone(api)
    gone(api, "q")


def test_deletion_waits_for_the_kubelet(api: Api):
    """Pods: on a node they are marked, and are there until their kubelet ends them."""
    made = created(api, terminationGracePeriodSeconds=7)
    answer = api.request("DELETE", pods(api, "p"))
    assert (answer.status, answer.json["kind"]) == (200, "Pod")
    metadata = api.request("GET", pods(api, "p")).json["metadata"]
    assert metadata["deletionGracePeriodSeconds"] == 7
    assert metadata["generation"] == 2
    created_at = datetime.fromisoformat(made["metadata"]["creationTimestamp"])
    ends = datetime.fromisoformat(metadata["deletionTimestamp"])
    assert 7 <= (ends - created_at).total_seconds() <= 12
    again = api.request("DELETE", pods(api, "p"))
    assert again.json["metadata"]["resourceVersion"] == metadata["resourceVersion"]
    patch_status(api, terminated("bye"))
    found = api.request("GET", pods(api, "p")).json["metadata"]
    assert found["deletionTimestamp"] == metadata["deletionTimestamp"]
    gone(api)


def test_grace_is_shortened_and_never_made_longer(api: Api):
    """Pods: a second deletion counts only if it is sooner."""
    created(api)
    for asked, left in ((30, 30), (60, 30), (10, 10)):
        answer = api.request("DELETE", f"{pods(api, 'p')}?gracePeriodSeconds={asked}")
        assert answer.status == 200
        metadata = api.request("GET", pods(api, "p")).json["metadata"]
        assert metadata["deletionGracePeriodSeconds"] == left
    gone(api)


@pytest.mark.parametrize("why", ["forced", "not scheduled", "over"])
def test_pod_that_nobody_ends_goes_at_once(api: Api, why):
    """Pods: no grace, no node or no running container: nothing is waited for."""
    created(api, node=None if why == "not scheduled" else NODE)
    if why == "over":
        patch_status(api, {"status": {"phase": "Failed"}})
    body = {"gracePeriodSeconds": 0} if why == "forced" else {}
    answer = api.request("DELETE", pods(api, "p"), body)
    assert (answer.status, answer.json["kind"]) == (200, "Pod")
    assert api.request("GET", pods(api, "p")).status == 404


def test_deletion_names_the_pod_by_its_uid(api: Api):
    """Pods: a kubelet never deletes a namesake."""
    made = created(api)
    body = {"gracePeriodSeconds": 0, "preconditions": {"uid": "other"}}
    assert_refused(api.request("DELETE", pods(api, "p"), body), 409, "Conflict")
    body["preconditions"]["uid"] = made["metadata"]["uid"]
    assert api.request("DELETE", pods(api, "p"), body).status == 200
    assert api.request("GET", pods(api, "p")).status == 404


def test_finalizer_holds_a_pod_after_its_grace(api: Api):
    """Pods: the last of the two lets it go."""
    sent = pod()
    sent["metadata"]["finalizers"] = ["example.com/hold"]
    assert api.request("POST", pods(api), sent).status == 201
    api.request("DELETE", f"{pods(api, 'p')}?gracePeriodSeconds=0")
    found = api.request("GET", pods(api, "p")).json["metadata"]
    assert found["deletionGracePeriodSeconds"] == 0
    patch = {"metadata": {"finalizers": None}}
    headers = {"Content-Type": MERGE}
    assert api.request("PATCH", pods(api, "p"), patch, headers=headers).status == 200
    assert api.request("GET", pods(api, "p")).status == 404


def test_rights_on_pods_are_their_own(api: Api, as_user, target):
    """Pods: get and watch by a Role; their status needs a right of its own."""
    created(api)
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "watch"]}
    with target.granted("alice", [rule], api.namespace):
        alice = as_user("alice")
        assert alice.request("GET", pods(api, "p")).status == 200
        watch = alice.watch(pods(api), watch="1", fieldSelector="metadata.name=p")
        assert watch.next()["type"] == "ADDED"
        watch.close()
        denied = alice.request("GET", pods(api))
        assert_refused(denied, 403, "Forbidden", 'cannot list resource "pods"')
        denied = patch_status(alice, terminated("x"))
        assert_refused(denied, 403, "Forbidden", 'cannot patch resource "pods/status"')
    gone(api)


def test_pods_are_discovered_with_their_status(api: Api):
    """Pods: kubectl finds them, and their subresource."""
    served = {
        one["name"]: one for one in api.request("GET", "/api/v1").json["resources"]
    }
    assert served["pods"]["shortNames"] == ["po"]
    assert set(served["pods/status"]["verbs"]) == {"get", "patch", "update"}
