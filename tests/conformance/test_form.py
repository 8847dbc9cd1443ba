"""Form: statuses, content types, paths and parameters."""

from __future__ import annotations

import gzip
import json

import pytest
from conformance_client import GROUP, Api, assert_refused, lease, with_metadata


def test_error_is_a_status(api: Api):
    """Form, errors: a Status with kind, version, message, reason, details, code."""
    answer = api.get()
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'leases.coordination.k8s.io "p" not found',
        "reason": "NotFound",
        "details": {"name": "p", "group": "coordination.k8s.io", "kind": "leases"},
        "code": 404,
    }


def test_error_details_name_the_resource_for_conflicts(api: Api):
    """Form, errors: details.kind is leases for Conflict and AlreadyExists."""
    made = api.created()
    exists = api.post(lease())
    conflict = api.put(with_metadata(made, resourceVersion="1"))
    assert exists.json["details"]["kind"] == "leases"
    assert conflict.json["details"]["kind"] == "leases"
    assert (exists.reason, conflict.reason) == ("AlreadyExists", "Conflict")


def test_error_details_name_the_kind_for_invalid_objects(api: Api):
    """Form, errors: details.kind is Lease for 422s of validation."""
    answer = api.post(lease(leaseDurationSeconds=0))
    assert answer.json["details"] == {
        "name": "p",
        "group": "coordination.k8s.io",
        "kind": "Lease",
        "causes": [
            {
                "reason": "FieldValueInvalid",
                "message": "Invalid value: 0: must be greater than 0",
                "field": "spec.leaseDurationSeconds",
            }
        ],
    }


@pytest.mark.parametrize(
    "path",
    ["/bogus", "/apis/bogus", "/apis/bogus.example.org/v1/leases"],
    ids=["unknown root", "unknown group", "unknown group and version"],
)
def test_unknown_path_is_plain_text(api: Api, path):
    """Form, errors: not every error is a Status; an unknown path is text."""
    answer = api.request("GET", path)
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.body == b"404 page not found\n"


def test_unknown_resource_of_a_known_group_is_a_status(api: Api):
    """Form, errors: within a known group version the 404 is a Status."""
    answer = api.request("GET", f"{GROUP}/namespaces/{api.namespace}/bogus")
    assert_refused(
        answer, 404, "NotFound", "the server could not find the requested resource"
    )
    assert answer.json["details"] == {}


@pytest.mark.parametrize("version", ["abc", "+5", "-1", "1.5"])
def test_unreadable_version_on_get_is_500(api: Api, version):
    """Form, versions: what cannot be read is 500 without a reason on GET."""
    answer = api.get(resourceVersion=version)
    assert_refused(answer, 500, None)
    assert "details" not in answer.json


def test_unreadable_version_on_put_is_500(api: Api):
    """Form, versions: what cannot be read is 500 on PUT."""
    made = api.created()
    answer = api.put(with_metadata(made, resourceVersion="abc"))
    assert_refused(answer, 500, None, 'strconv.ParseUint: parsing "abc"')


def test_unreadable_version_on_watch_is_500(api: Api):
    """Form, versions: what cannot be read is 500 on a watch, before it begins."""
    watch = api.watch(resourceVersion="abc")
    assert watch.status == 500
    assert json.loads(watch.response.read())["code"] == 500


def test_unreadable_version_on_list_is_400(api: Api):
    """Form, versions: a LIST says 400."""
    assert_refused(api.list(resourceVersion="abc"), 400, "BadRequest")


@pytest.mark.parametrize("timeout", ["5", "xyz", "3 s"])
def test_timeout_must_be_a_duration(api: Api, timeout):
    """Form, timeout: no Go duration, no answer but 400."""
    answer = api.get(timeout=timeout)
    assert_refused(
        answer, 400, "BadRequest", "invalid timeout specified in the request"
    )


@pytest.mark.parametrize("timeout", ["3s", "1m30s", "0", "0s", "1.5s", "300ms"])
def test_timeout_takes_go_durations(api: Api, timeout):
    """Form, timeout: durations of several units, fractions and zero are fine."""
    assert api.list(timeout=timeout).status == 200


def test_watch_ignores_timeout(api: Api):
    """Form, timeout: a watch does not look at it."""
    watch = api.watch(timeout="xyz", timeoutSeconds=1)
    assert watch.status == 200


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "application/json",
        "application/json; charset=latin-1",
        "APPLICATION/JSON",
    ],
    ids=["absent", "plain", "with a charset", "in capitals"],
)
def test_json_bodies_are_read(api: Api, kind):
    """Form, Content-Type: absent counts as JSON; charset and case do not matter."""
    answer = api.post(lease(), headers={"Content-Type": kind})
    assert answer.status == 201, answer


def test_yaml_bodies_are_read(api: Api):
    """Form, Content-Type: YAML works."""
    body = b"metadata:\n  name: p\nspec:\n  holderIdentity: yaml\n"
    answer = api.post(body, headers={"Content-Type": "application/yaml"})
    assert answer.status == 201
    assert answer.json["spec"] == {"holderIdentity": "yaml"}


def test_other_bodies_are_415(api: Api):
    """Form, Content-Type: anything else is refused."""
    answer = api.post(lease(), headers={"Content-Type": "text/plain"})
    assert_refused(
        answer,
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format",
    )


def test_large_bodies_are_413(api: Api):
    """Form, bodies: over 3 MiB is refused."""
    big = lease(holderIdentity="x" * (3 * 1024 * 1024))
    answer = api.post(big)
    assert_refused(answer, 413, "RequestEntityTooLarge", "limit is 3145728")


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "application/json",
        "text/html, application/json",
        "application/json;q=0.5, text/html",
    ],
)
def test_json_is_answered(api: Api, accept):
    """Form, Accept: the first type the server has; JSON for everything."""
    answer = api.request("GET", api.collection, headers={"Accept": accept})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("spec", "holder"),
    [
        ("{holderIdentity: !!binary aGFsbG8=}", "hallo"),
        ("{holderIdentity: !!timestamp 2001-01-01}", "2001-01-01"),
        ("!!set {a, b}", None),
    ],
    ids=["binary", "timestamp", "set"],
)
def test_yaml_tags_are_what_they_are_in_json(api: Api, spec, holder):
    """Form, bodies: what YAML has and JSON has not becomes text, or an object."""
    body = f"metadata: {{name: p}}\nspec: {spec}\n".encode()
    answer = api.post(body, headers={"Content-Type": "application/yaml"})
    assert answer.status == 201, answer.body
    assert answer.json["spec"].get("holderIdentity") == holder


@pytest.mark.parametrize(
    "value",
    ["!!set {a, b}", "!!omap [a: b]", "!!pairs [a: b]"],
    ids=["set", "ordered map", "pairs"],
)
def test_yaml_tags_that_do_not_fit_are_400(api: Api, value):
    """Form, bodies: a set or a list of pairs is no text."""
    body = f"metadata: {{name: p}}\nspec: {{holderIdentity: {value}}}\n".encode()
    answer = api.post(body, headers={"Content-Type": "application/yaml"})
    assert_refused(answer, 400, "BadRequest", "cannot be handled as a Lease")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_content_encoding_is_not_looked_at(api: Api, coding):
    """Form, bodies: what is JSON is read, whatever Content-Encoding says."""
    answer = api.post(lease(), headers={"Content-Encoding": coding})
    assert answer.status == 201, answer.body


def test_compressed_bodies_are_400(api: Api):
    """Form, bodies: nothing is unpacked, so that compressed JSON is no JSON."""
    body = gzip.compress(json.dumps(lease()).encode())
    answer = api.post(body, headers={"Content-Encoding": "gzip"})
    assert_refused(answer, 400, "BadRequest", "the object provided is unrecognized")


def test_yaml_is_answered(api: Api):
    """Form, Accept: YAML can be had."""
    answer = api.request("GET", api.collection, headers={"Accept": "application/yaml"})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/yaml"
    assert b"kind: LeaseList" in answer.body


def test_unknown_types_are_406(api: Api):
    """Form, Accept: nothing the server has is 406."""
    answer = api.request("GET", api.collection, headers={"Accept": "text/html"})
    assert_refused(
        answer, 406, "NotAcceptable", "Available representations: application/json"
    )


def test_wildcards_of_one_kind_are_406(api: Api):
    """Form, Accept: application/* is not understood, unlike the full wildcard."""
    answer = api.request("GET", api.collection, headers={"Accept": "application/*"})
    assert answer.status == 406


def test_watch_is_not_answered_in_yaml(api: Api):
    """Form, Accept: watches are JSON or protobuf only."""
    watch = api.watch(headers={"Accept": "application/yaml"}, timeoutSeconds=1)
    assert watch.status == 406


def test_trailing_slash_does_not_matter(api: Api):
    """Form, paths: a slash at the end is fine."""
    api.created()
    assert api.request("GET", f"{api.collection}/").status == 200
    assert api.request("GET", f"{api.path('p')}/").status == 200


def test_double_slash_is_404(api: Api):
    """Form, paths: an empty part is an unknown path."""
    answer = api.request("GET", "/apis//coordination.k8s.io/v1/leases")
    assert answer.status == 404


@pytest.mark.parametrize(
    ("method", "named"),
    [
        ("POST", True),
        ("PUT", False),
        ("PATCH", False),
        ("HEAD", True),
        ("OPTIONS", True),
        ("OPTIONS", False),
    ],
)
def test_wrong_methods_are_405(api: Api, method, named):
    """Form, methods: POST on a name, PUT on the collection, HEAD, OPTIONS."""
    path = api.path("p") if named else api.collection
    body = None if method in {"HEAD", "OPTIONS"} else lease()
    answer = api.request(method, path, body)
    assert answer.status == 405
    if method != "HEAD":
        assert_refused(answer, 405, "MethodNotAllowed", "does not allow this method")


def test_answers_carry_an_audit_id(api: Api):
    """Form, headers: each answer has an id of its own."""
    first, second = api.list(), api.list()
    assert first.headers["Audit-Id"]
    assert first.headers["Audit-Id"] != second.headers["Audit-Id"]
    assert first.headers["Cache-Control"] == "no-cache, private"


@pytest.mark.parametrize(
    ("value", "why"),
    [("9" * 25, "value out of range"), ("x", "invalid syntax")],
    ids=["too large", "no number"],
)
@pytest.mark.parametrize("key", ["limit", "timeoutSeconds"])
@pytest.mark.parametrize("watch", [True, False], ids=["watch", "list"])
def test_numbers_have_64_bits(api: Api, watch, key, value, why):
    """Form, numbers: limit and timeoutSeconds are Go's int64, for a watch too."""
    query = {key: value, **({"watch": "1"} if watch else {})}
    answer = api.list(**query)
    text = f'strconv.ParseInt: parsing "{value}": {why}'
    assert_refused(answer, 400, "BadRequest", text)


def test_pretty_is_indented(api: Api):
    """Form, pretty: humans get lines."""
    answer = api.list(pretty="true")
    assert b"\n  " in answer.body
    assert answer.json["kind"] == "LeaseList"
