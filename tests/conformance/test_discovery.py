"""Discovery: what kubectl asks before it does anything."""

from __future__ import annotations

import pytest
from conformance_client import GROUP, Api, changed

AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json"
)
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def test_groups_list_the_coordination_group(api: Api):
    """Discovery: /apis lists the group with its version."""
    groups = {one["name"]: one for one in api.request("GET", "/apis").json["groups"]}
    group = groups["coordination.k8s.io"]
    assert group["preferredVersion"]["groupVersion"] == "coordination.k8s.io/v1"
    assert api.request("GET", "/apis/coordination.k8s.io").json["name"] == group["name"]


def test_leases_are_listed_with_their_verbs(api: Api):
    """Discovery: the group version lists leases and what can be done."""
    document = api.request("GET", GROUP).json
    assert document["kind"] == "APIResourceList"
    found = {one["name"]: one for one in document["resources"]}["leases"]
    assert found["kind"] == "Lease"
    assert found["singularName"] == "lease"
    assert found["namespaced"] is True
    assert set(found["verbs"]) == {
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
    }


def test_core_group_lists_namespaces(api: Api):
    """Discovery: /api/v1 has namespaces."""
    names = {one["name"] for one in api.request("GET", "/api/v1").json["resources"]}
    assert "namespaces" in names
    assert api.request("GET", "/api").json["versions"] == ["v1"]


@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_aggregated_discovery_may_be_asked_for(api: Api, path):
    """Discovery: kubectl asks for another form first, and takes the plain one."""
    answer = api.request("GET", path, headers={"Accept": AGGREGATED})
    assert answer.status == 200
    assert answer.json["kind"] in {
        "APIVersions",
        "APIGroupList",
        "APIGroupDiscoveryList",
    }


def test_version_says_which(api: Api):
    """Discovery: /version has major and minor."""
    version = api.request("GET", "/version").json
    assert version["major"] == "1"
    assert version["gitVersion"].startswith(f"v1.{version['minor']}.")


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/livez/ping"])
def test_health_is_ok(api: Api, path):
    """Discovery: health checks answer ok as text."""
    answer = api.request("GET", path)
    assert (answer.status, answer.body) == (200, b"ok")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_verbose_health_lists_the_checks(api: Api):
    """Discovery: verbose lists what was checked."""
    answer = api.request("GET", "/readyz", verbose="")
    assert b"[+]etcd ok" in answer.body
    assert answer.body.endswith(b"readyz check passed\n")


def test_metrics_count_requests(api: Api):
    """Discovery: /metrics counts by verb and code."""
    text = api.request("GET", "/metrics").body.decode()
    assert "# TYPE apiserver_request_total counter" in text
    assert 'verb="' in text


def test_schema_of_a_lease_is_there(api: Api):
    """Discovery: /openapi/v3 leads to the schema of a Lease."""
    index = api.request("GET", "/openapi/v3").json
    entry = index["paths"]["apis/coordination.k8s.io/v1"]
    path = entry["serverRelativeURL"]
    document = api.request("GET", path).json
    schema = document["components"]["schemas"]["io.k8s.api.coordination.v1.Lease"]
    assert {"metadata", "spec"} <= set(schema["properties"])


def test_tables_have_name_holder_and_age(api: Api):
    """Tables: rows hold cells, and the metadata of the object."""
    api.created(holderIdentity="a")
    table = api.request("GET", api.path("p"), headers={"Accept": TABLE}).json
    assert table["kind"] == "Table"
    names = [one["name"] for one in table["columnDefinitions"]]
    assert names == ["Name", "Holder", "Age"]
    (row,) = table["rows"]
    assert row["cells"][:2] == ["p", "a"]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert row["object"]["metadata"]["name"] == "p"


def test_tables_of_lists(api: Api):
    """Tables: a list is one table, with the list's version."""
    api.created("a")
    api.created("b")
    table = api.request("GET", api.collection, headers={"Accept": TABLE}).json
    assert [row["cells"][0] for row in table["rows"]] == ["a", "b"]
    assert table["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("include", "kind"), [("Object", "Lease"), ("Metadata", "PartialObjectMetadata")]
)
def test_tables_include_what_is_asked_for(api: Api, include, kind):
    """Tables: includeObject chooses."""
    api.created()
    answer = api.request(
        "GET", api.path("p"), headers={"Accept": TABLE}, includeObject=include
    )
    assert answer.json["rows"][0]["object"]["kind"] == kind


def test_watches_can_be_tables(api: Api):
    """Tables: kubectl get -w reads events of tables; only the first has columns."""
    made = api.created(holderIdentity="a")
    watch = api.watch(headers={"Accept": TABLE}, resourceVersion="0")
    first = watch.next()
    api.put(changed(made, holderIdentity="b"))
    second = watch.next()
    assert first["object"]["columnDefinitions"]
    assert not second["object"]["columnDefinitions"]
    assert second["object"]["rows"][0]["cells"][:2] == ["p", "b"]


def test_metadata_alone_can_be_had(api: Api):
    """Tables: PartialObjectMetadata is the object without its spec."""
    api.created(holderIdentity="a")
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    document = api.request("GET", api.path("p"), headers={"Accept": accept}).json
    assert document["kind"] == "PartialObjectMetadata"
    assert "spec" not in document


def test_unknown_forms_are_406(api: Api):
    """Tables: a form nobody knows."""
    accept = "application/json;as=Bogus;g=meta.k8s.io;v=v1"
    answer = api.request("GET", api.collection, headers={"Accept": accept})
    assert answer.status == 406


def test_events_of_an_object_can_be_listed(api: Api):
    """Discovery: kubectl describe asks for events; there are none."""
    answer = api.request("GET", f"/api/v1/namespaces/{api.namespace}/events")
    assert (answer.json["kind"], answer.json["items"]) == ("EventList", [])


def test_namespaces_can_be_read_and_listed(api: Api):
    """Namespaces: they are objects like others."""
    one = api.request("GET", f"/api/v1/namespaces/{api.namespace}").json
    assert (one["kind"], one["status"]["phase"]) == ("Namespace", "Active")
    assert one["spec"] == {"finalizers": ["kubernetes"]}
    listed = api.request("GET", "/api/v1/namespaces").json
    assert {"default", "kube-system", api.namespace} <= {
        item["metadata"]["name"] for item in listed["items"]
    }


def test_namespaces_are_made_once(api: Api):
    """Namespaces: creating one again is AlreadyExists."""
    document = {"metadata": {"name": api.namespace}}
    answer = api.request("POST", "/api/v1/namespaces", document)
    assert (answer.status, answer.reason) == (409, "AlreadyExists")


def test_default_namespace_cannot_be_deleted(api: Api):
    """Namespaces: some are immortal."""
    answer = api.request("DELETE", "/api/v1/namespaces/default")
    assert answer.status == 403
    assert "this namespace may not be deleted" in answer.message
