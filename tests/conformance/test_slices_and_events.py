"""EndpointSlices and Events, as far as an elector writes them."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from conformance_client import APPLY, MERGE, Api, assert_refused

RULE = {
    "apiGroups": ["discovery.k8s.io"],
    "resources": ["endpointslices"],
    "resourceNames": ["s"],
    "verbs": ["get", "create", "patch"],
}
"""What `manifests` gives an elector."""


def slices(api: Api, name: str = "") -> str:
    """Return the path of the namespace's slices, or of one."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{api.namespace}/endpointslices"
    return f"{path}/{name}" if name else path


def events(api: Api, name: str = "") -> str:
    """Return the path of the namespace's Events, or of one."""
    path = f"/api/v1/namespaces/{api.namespace}/events"
    return f"{path}/{name}" if name else path


def a_slice(*addresses: str, **parts) -> dict:
    """Make a slice as it is sent."""
    return {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {"name": "s"},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [one]} for one in addresses],
        "ports": [{"port": 8080}],
        **parts,
    }


def an_event(api: Api, name: str = "e", **parts) -> dict:
    """Make an Event as it is sent."""
    return {
        "metadata": {"name": name},
        "involvedObject": {
            "kind": "Lease",
            "namespace": api.namespace,
            "name": "l",
            "uid": "u",
        },
        "reason": "BecameLeader",
        "message": "became leader",
        "type": "Normal",
        **parts,
    }


def created(api: Api, *addresses: str, **parts) -> dict:
    """Create a slice, and give what was answered."""
    answer = api.request("POST", slices(api), a_slice(*addresses, **parts))
    assert answer.status == 201, answer
    return answer.json


def applied(api: Api, manager: str, *addresses: str):
    """Apply a slice as one manager."""
    path = f"{slices(api, 's')}?fieldManager={manager}"
    return api.request(
        "PATCH", path, a_slice(*addresses), headers={"Content-Type": APPLY}
    )


def merged(api: Api, patch: dict, *, as_api: Api | None = None):
    """Merge a patch into the slice."""
    path, kind = slices(api, "s"), {"Content-Type": MERGE}
    return (as_api or api).request("PATCH", path, patch, headers=kind)


def test_slice_is_filled_in(api: Api):
    """Slices: conditions, names and protocols are there, and a generation."""
    made = created(api, "10.0.0.1")
    assert made["endpoints"] == [{"addresses": ["10.0.0.1"], "conditions": {}}]
    assert made["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]
    assert made["metadata"]["generation"] == 1
    assert api.request("GET", slices(api, "s")).json == made


def test_slice_without_lists_has_null_there(api: Api):
    """Slices: an absent list is shown as null, and so is an empty one."""
    body = {"metadata": {"name": "s"}, "addressType": "IPv6", "endpoints": []}
    assert api.request("POST", slices(api), body).status == 201
    found = api.request("GET", slices(api, "s")).json
    assert found["endpoints"] is None
    assert found["ports"] is None


def test_slice_counts_its_changes(api: Api):
    """Slices: an annotation alone is no new generation, an address is one."""
    created(api, "10.0.0.1")
    noted = merged(api, {"metadata": {"annotations": {"a": "b"}}})
    assert noted.json["metadata"]["generation"] == 1
    moved = merged(api, {"endpoints": [{"addresses": ["10.0.0.2"]}]})
    assert moved.json["metadata"]["generation"] == 2


def test_slice_is_never_created_by_a_put(api: Api):
    """Slices: unlike a Lease."""
    answer = api.request("PUT", slices(api, "s"), a_slice("10.0.0.1"))
    assert_refused(answer, 404, "NotFound", "endpointslices", '"s" not found')


def test_slice_may_be_replaced_without_a_version(api: Api):
    """Slices: so a version has to be sent where it is to count."""
    made = created(api, "10.0.0.1")
    answer = api.request("PUT", slices(api, "s"), a_slice("10.0.0.2"))
    assert answer.status == 200
    stale = made | {"endpoints": []}
    assert_refused(api.request("PUT", slices(api, "s"), stale), 409, "Conflict")


def test_slice_patch_with_a_version_is_conditional(api: Api):
    """Slices: what moves the address replaces just what was read."""
    version = created(api, "10.0.0.1")["metadata"]["resourceVersion"]
    patch = {
        "metadata": {"resourceVersion": version},
        "endpoints": [{"addresses": ["10.0.0.2"]}],
    }
    assert merged(api, patch).status == 200
    late = merged(api, patch | {"endpoints": [{"addresses": ["10.0.0.3"]}]})
    assert_refused(late, 409, "Conflict", "the object has been modified")
    found = api.request("GET", slices(api, "s")).json
    assert found["endpoints"][0]["addresses"] == ["10.0.0.2"]


def test_slice_is_created_by_apply_and_kept_from_another_manager(api: Api):
    """Slices: an apply that comes too late changes nothing of another manager's."""
    assert applied(api, "one", "10.0.0.1").status == 201
    late = applied(api, "two", "10.0.0.2")
    assert_refused(late, 409, "Conflict", "conflict", "one", ".endpoints")
    found = api.request("GET", slices(api, "s")).json
    assert found["endpoints"][0]["addresses"] == ["10.0.0.1"]


def test_slice_apply_is_kept_from_who_patched(api: Api):
    """Slices: nor of one that wrote by a patch."""
    assert applied(api, "one", "10.0.0.1").status == 201
    assert merged(api, {"endpoints": [{"addresses": ["10.0.0.2"]}]}).status == 200
    assert_refused(applied(api, "one", "10.0.0.3"), 409, "Conflict", ".endpoints")


def test_slice_rights_by_name_are_enough(api: Api, as_user, target):
    """Slices: a rule with resourceNames lets one be created, by an apply alone."""
    alice = as_user("alice")
    with target.granted("alice", [RULE], api.namespace):
        refused = alice.request("POST", slices(api), a_slice("10.0.0.1"))
        assert_refused(refused, 403, "Forbidden", "cannot create resource")
        assert applied(alice, "one", "10.0.0.1").status == 201
        version = alice.request("GET", slices(api, "s")).version
        patch = {"metadata": {"resourceVersion": version}, "endpoints": []}
        assert merged(api, patch, as_api=alice).status == 200
        other = alice.request("GET", slices(api, "other"))
        assert_refused(other, 403, "Forbidden", "cannot get resource")


@pytest.mark.parametrize(
    ("kind", "address", "why"),
    [
        ("IPv4", "127.0.0.1", "may not be in the loopback range"),
        ("IPv6", "::", "may not be unspecified (::)"),
        ("IPv4", "169.254.1.1", "may not be in the link-local range"),
        ("IPv4", "224.0.0.1", "may not be in the link-local multicast range"),
        ("IPv4", "a", "must be a valid IP address"),
        ("IPv4", "fd00::1", "must be an IPv4 address"),
        ("IPv6", "10.0.0.1", "must be an IPv6 address"),
        ("IPv6", "::1", "may not be in the loopback range"),
        ("IPv6", "fe80::1", "may not be in the link-local range"),
        ("IPv6", "FD00::1", 'must be in canonical form ("fd00::1")'),
    ],
)
def test_slice_addresses_are_judged(api: Api, kind, address, why):
    """Slices: an address that no pod can have is refused."""
    body = a_slice(address, addressType=kind)
    answer = api.request("POST", slices(api), body)
    assert_refused(answer, 422, "Invalid", "endpoints[0].addresses", why)


def test_slice_keeps_its_kind_of_address(api: Api):
    """Slices: IPv4 never becomes IPv6."""
    created(api, "10.0.0.1")
    patch = {"addressType": "IPv6", "endpoints": [{"addresses": ["fd00::1"]}]}
    assert_refused(merged(api, patch), 422, "Invalid", "addressType", "immutable")


@pytest.mark.parametrize(
    ("parts", "status", "why"),
    [
        ({"addressType": None}, 422, "addressType: Required value"),
        ({"addressType": "IPv5"}, 422, 'supported values: "FQDN", "IPv4", "IPv6"'),
        ({"endpoints": [{"addresses": []}]}, 422, "endpoints[0].addresses: Required"),
        ({"endpoints": "x"}, 400, "EndpointSlice.endpoints of type []v1.Endpoint"),
        ({"endpoints": ["x"]}, 400, "of type v1.Endpoint"),
    ],
)
def test_odd_slices_are_refused(api: Api, parts, status, why):
    """Slices: what is no slice is refused with its reason."""
    answer = api.request("POST", slices(api), a_slice("10.0.0.1") | parts)
    assert answer.status == status, answer
    assert why in answer.message


def test_slice_is_watched(api: Api):
    """Slices: a watch of one tells each change."""
    made = created(api, "10.0.0.1")
    version = made["metadata"]["resourceVersion"]
    chosen = "metadata.name=s"
    watch = api.watch(
        slices(api), watch=1, fieldSelector=chosen, resourceVersion=version
    )
    merged(api, {"endpoints": []})
    event = watch.next()
    assert event["type"] == "MODIFIED"
    assert event["object"]["endpoints"] is None
    watch.close()


def test_slices_are_chosen_by_the_label_of_their_service(api: Api):
    """Slices: that is how traffic finds them."""
    label = {"kubernetes.io/service-name": "billing"}
    created(api, "10.0.0.1", metadata={"name": "s", "labels": label})
    query = quote("kubernetes.io/service-name=billing")
    found = api.request("GET", f"{slices(api)}?labelSelector={query}").json
    assert [one["metadata"]["name"] for one in found["items"]] == ["s"]


# Events -----------------------------------------------------------------------


def test_event_is_created_with_all_its_parts(api: Api):
    """Events: what was not sent is shown empty."""
    sent = {"metadata": {"name": "e"}, "reason": "x"}
    sent["involvedObject"] = {"namespace": api.namespace}
    made = api.request("POST", events(api), sent)
    assert made.status == 201
    assert made.json["source"] == {}
    for key in ("firstTimestamp", "lastTimestamp", "eventTime"):
        assert made.json[key] is None
    assert made.json["reportingComponent"] == made.json["reportingInstance"] == ""


def test_event_is_in_the_namespace_of_its_object(api: Api):
    """Events: one about another namespace is refused."""
    sent = an_event(api) | {"involvedObject": {"namespace": "other"}}
    answer = api.request("POST", events(api), sent)
    assert_refused(answer, 422, "Invalid", "does not match event.namespace")


def test_events_are_chosen_by_what_they_are_about(api: Api):
    """Events: as `kubectl describe` asks for them."""
    api.request("POST", events(api), an_event(api))
    other = an_event(api, "f") | {"involvedObject": {"namespace": api.namespace}}
    api.request("POST", events(api), other)
    fields = ("kind=Lease", "name=l", f"namespace={api.namespace}", "uid=u")
    query = quote(",".join(f"involvedObject.{one}" for one in fields))
    found = api.request("GET", f"{events(api)}?fieldSelector={query}").json
    assert [one["metadata"]["name"] for one in found["items"]] == ["e"]
    refused = api.request("GET", f"{events(api)}?fieldSelector=foo=1")
    assert_refused(refused, 400, "BadRequest", "field label not supported: foo")


def test_event_of_odd_form_is_refused(api: Api):
    """Events: an object that is none is 400."""
    answer = api.request("POST", events(api), an_event(api) | {"involvedObject": "x"})
    what = "Event.involvedObject of type v1.ObjectReference"
    assert_refused(answer, 400, "BadRequest", what)


def test_event_is_made_once(api: Api):
    """Events: the same name again is refused."""
    assert api.request("POST", events(api), an_event(api)).status == 201
    again = api.request("POST", events(api), an_event(api))
    assert_refused(again, 409, "AlreadyExists")


def test_event_right_is_one_verb(api: Api, as_user, target):
    """Events: to create them is all that who writes them needs."""
    rule = {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}
    alice = as_user("alice")
    with target.granted("alice", [rule], api.namespace):
        assert alice.request("POST", events(api), an_event(api)).status == 201
        refused = alice.request("GET", events(api, "e"))
        assert_refused(refused, 403, "Forbidden", "cannot get resource")
