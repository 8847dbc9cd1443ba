"""
Where the embedded server answers otherwise than a real one, and why that is right.

Everything else in this folder holds for both. The list is tested on both: an entry
that stops being a difference fails, and so has to go.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from conformance_client import GROUP, STRATEGIC, Api, lease

PROTOBUF = "application/vnd.kubernetes.protobuf"


@dataclass(frozen=True)
class Difference:
    """One probe, its two results, and the reason."""

    topic: str
    why: str
    probe: Callable[[Api], Any]
    embedded: Any
    real: Any


def accept_protobuf(api: Api) -> int:
    """Ask for protobuf and nothing else."""
    return api.request("GET", api.collection, headers={"Accept": PROTOBUF}).status


def send_protobuf(api: Api) -> tuple[int, str | None]:
    """Send something that calls itself protobuf."""
    answer = api.post(b"k8s\x00", headers={"Content-Type": PROTOBUF})
    return answer.status, answer.reason


def send_deep_json(api: Api) -> int:
    """Send a Lease with an unknown field that is nested five thousand times."""
    deep = b"[" * 5000 + b"]" * 5000
    return api.post(b'{"metadata":{"name":"p"},"deep":%b}' % deep).status


def send_deep_patch(api: Api) -> int:
    """Patch strategically with an unknown field that is nested two thousand times."""
    api.created()
    deep = b'{"a":' * 2000 + b"1" + b"}" * 2000
    return api.patch(b'{"deep":%b}' % deep, kind=STRATEGIC).status


def send_deep_yaml(api: Api) -> int:
    """Send YAML with an unknown field that is nested two thousand times."""
    body = b"metadata: {name: p}\ndeep: " + b"[" * 2000 + b"]" * 2000
    return api.post(body, headers={"Content-Type": "application/yaml"}).status


def send_null_key(api: Api) -> int:
    """Send YAML in which a key is null."""
    body = b"metadata: {name: p}\n~: 1\n"
    return api.post(body, headers={"Content-Type": "application/yaml"}).status


def patch_an_absent_list(api: Api) -> int:
    """Give a directive nobody knows for an element of a list that is not there."""
    api.created()
    patch = {"metadata": {"ownerReferences": [{"$patch": "x", "uid": "u"}]}}
    return api.patch(patch, kind=STRATEGIC).status


def fills_in_a_pod(api: Api) -> bool:
    """Ask whether the server says what it assumes of a pod."""
    path = f"/api/v1/namespaces/{api.namespace}/pods"
    spec = {"containers": [{"name": "c", "image": "i"}]}
    made = api.request("POST", path, {"metadata": {"name": "p"}, "spec": spec})
    api.request("DELETE", f"{path}/p?gracePeriodSeconds=0")
    return "restartPolicy" in made.json["spec"]


def ask_for_compression(api: Api) -> str | None:
    """Ask for gzip where it would pay."""
    api.created(holderIdentity="x" * 200_000)
    answer = api.request("GET", api.path("p"), headers={"Accept-Encoding": "gzip"})
    return answer.headers["Content-Encoding"]


def version_is_marked(api: Api) -> bool:
    """Look whether the version says it is an embedded server."""
    version: str = api.request("GET", "/version").json["gitVersion"]
    return version.endswith("+embedded")


def serves_config_maps(api: Api) -> int:
    """Ask for something that no election and no manifest of one needs."""
    return api.request("GET", "/api/v1/namespaces/default/configmaps").status


def discovers_by_post(api: Api) -> int:
    """Discover with the wrong method."""
    return api.request("POST", "/apis", {}).status


def describes_columns(api: Api) -> bool:
    """Look for the long description of a table's column."""
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    table = api.request("GET", api.collection, headers={"Accept": accept}).json
    return "Cannot be updated" in table["columnDefinitions"][0]["description"]


def offers_aggregated_discovery(api: Api) -> str:
    """Ask for all groups and resources in one document."""
    accept = (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
        "application/json"
    )
    return api.request("GET", "/apis", headers={"Accept": accept}).json["kind"]


def reads_yaml_booleans(api: Api) -> int:
    """Send a name that YAML 1.1 calls a truth."""
    body = b"metadata:\n  name: y\n"
    return api.post(body, headers={"Content-Type": "application/yaml"}).status


def reviews_keep_books(api: Api) -> bool:
    """Look for managed fields in a review, which nobody stores."""
    attributes = {"verb": "get", "resource": "leases", "group": GROUP.split("/")[2]}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = api.request("POST", path, {"spec": {"resourceAttributes": attributes}})
    return "managedFields" in answer.json["metadata"]


def escapes_angle_brackets(api: Api) -> bool:
    """Look how an angle bracket is written in JSON."""
    return b"\\u003c" in api.post(lease(holderIdentity="<")).body


DIFFERENCES = [
    Difference(
        "protobuf is not written",
        "a test server for JSON clients; the message still names it, as there",
        accept_protobuf,
        embedded=406,
        real=200,
    ),
    Difference(
        "protobuf is not read",
        "a test server for JSON clients",
        send_protobuf,
        embedded=(415, "UnsupportedMediaType"),
        real=(400, "BadRequest"),
    ),
    Difference(
        "nothing is compressed",
        "loopback does not need it",
        ask_for_compression,
        embedded=None,
        real="gzip",
    ),
    Difference(
        "the version is marked",
        "nobody should take this server for a cluster",
        version_is_marked,
        embedded=True,
        real=False,
    ),
    Difference(
        "What electors need and what `manifests` prints are all that is served",
        "unknown resources are refused in the words of the real server",
        serves_config_maps,
        embedded=404,
        real=200,
    ),
    Difference(
        "nothing is filled into the spec of a pod",
        "nobody runs it; what proves a container's end does not depend on it",
        fills_in_a_pod,
        embedded=False,
        real=True,
    ),
    Difference(
        "discovery is for GET alone",
        "a POST to /apis is a mistake worth seeing",
        discovers_by_post,
        embedded=405,
        real=200,
    ),
    Difference(
        "columns are described in few words",
        "the real server quotes its reference documentation",
        describes_columns,
        embedded=False,
        real=True,
    ),
    Difference(
        "discovery is not aggregated",
        "clients that ask for it take the plain documents as well",
        offers_aggregated_discovery,
        embedded="APIGroupList",
        real="APIGroupDiscoveryList",
    ),
    Difference(
        "y and n are text in YAML",
        "the YAML parsers disagree about one letter",
        reads_yaml_booleans,
        embedded=201,
        real=400,
    ),
    Difference(
        "reviews have no managed fields",
        "nobody stores a review",
        reviews_keep_books,
        embedded=False,
        real=True,
    ),
    Difference(
        "angle brackets are written as they are",
        "both are the same JSON; Go escapes for the sake of HTML",
        escapes_angle_brackets,
        embedded=False,
        real=True,
    ),
    Difference(
        "deeply nested patches are refused",
        "Python walks through a few hundred levels; it says so instead of breaking",
        send_deep_patch,
        embedded=400,
        real=200,
    ),
    Difference(
        "deeply nested YAML is refused",
        "Python's parser walks through a few hundred levels",
        send_deep_yaml,
        embedded=400,
        real=201,
    ),
    Difference(
        "a null key in YAML is an unknown field",
        "it is dropped with a warning, like every key nobody knows",
        send_null_key,
        embedded=201,
        real=400,
    ),
    Difference(
        "unknown directives for a new list are not passed over",
        "the element is judged as it stands, and lacks the fields of an owner",
        patch_an_absent_list,
        embedded=422,
        real=200,
    ),
]
if sys.version_info < (3, 13):
    DIFFERENCES.append(
        Difference(
            "deeply nested JSON is refused",
            "Python's parser stops at about a thousand levels, Go's at ten thousand",
            send_deep_json,
            embedded=400,
            real=201,
        )
    )
