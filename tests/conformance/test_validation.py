"""Validation and decoding: what a Lease may be, and what is dropped."""

from __future__ import annotations

import pytest
from conformance_client import Api, assert_refused, changed, lease

STAMP = "2024-05-06T07:08:09.123456Z"


def test_every_field_is_optional(api: Api):
    """Validation: an empty spec, none, and null are the same."""
    for name, document in {
        "a": {"metadata": {"name": "a"}},
        "b": {"metadata": {"name": "b"}, "spec": None},
        "c": {"metadata": {"name": "c"}, "spec": {}},
    }.items():
        answer = api.post(document)
        assert answer.status == 201
        assert answer.json["spec"] == {}
        assert answer.json["metadata"]["name"] == name


def test_nothing_expires(api: Api):
    """Validation: the server does not care about an old renewTime."""
    api.created(leaseDurationSeconds=1, renewTime="2001-01-01T00:00:00.000000Z")
    assert api.get().status == 200


@pytest.mark.parametrize("seconds", [0, -1, -(2**31)])
def test_duration_must_be_positive(api: Api, seconds):
    """Validation: leaseDurationSeconds is at least 1."""
    answer = api.post(lease(leaseDurationSeconds=seconds))
    text = (
        f"spec.leaseDurationSeconds: Invalid value: {seconds}: must be greater than 0"
    )
    assert_refused(answer, 422, "Invalid", text)


def test_transitions_must_not_be_negative(api: Api):
    """Validation: leaseTransitions is at least 0."""
    answer = api.post(lease(leaseTransitions=-1))
    assert_refused(answer, 422, "Invalid", "must be greater than or equal to 0")


def test_all_findings_are_listed(api: Api):
    """Validation: one cause for each finding."""
    answer = api.post(lease(leaseDurationSeconds=0, leaseTransitions=-1))
    fields = [one["field"] for one in answer.json["details"]["causes"]]
    assert fields == ["spec.leaseDurationSeconds", "spec.leaseTransitions"]
    assert "is invalid: [spec.leaseDurationSeconds" in answer.message


def test_invalid_put_changes_nothing(api: Api):
    """Validation: updates are judged as well."""
    made = api.created(leaseTransitions=1)
    answer = api.put(changed(made, leaseTransitions=-1))
    assert_refused(answer, 422, "Invalid")
    assert api.get().json == made


@pytest.mark.parametrize(
    "holder",
    ["", "a b\n\x1b[31m", "é" * 100, "x" * 100_000],
    ids=["empty", "control characters", "not ASCII", "100 kB"],
)
def test_holder_is_free_text(api: Api, holder):
    """Validation: holderIdentity may be anything."""
    assert api.created(holderIdentity=holder)["spec"]["holderIdentity"] == holder


@pytest.mark.parametrize(
    "name", ["Upper", "under_score", "-dash", "dot.", "a" * 254, "sp ace"]
)
def test_name_is_a_subdomain(api: Api, name):
    """Validation: metadata.name is a DNS subdomain."""
    answer = api.post(lease(name))
    assert_refused(answer, 422, "Invalid", "metadata.name: Invalid value")


@pytest.mark.parametrize("name", ["a", "a.b-c.d", "0", "a" * 253])
def test_good_names(api: Api, name):
    """Validation: dots, dashes and digits are fine, up to 253 characters."""
    assert api.post(lease(name)).status == 201


def test_name_is_needed(api: Api):
    """Validation: a POST without a name is invalid."""
    answer = api.post(lease(None))
    assert_refused(answer, 422, "Invalid", "name or generateName is required")


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"a b": "c"}},
        {"labels": {"a": "c d"}},
        {"labels": {"a": "x" * 64}},
        {"annotations": {"a b": "c"}},
        {"annotations": {"a": "x" * 300_000}},
        {"finalizers": ["a b"]},
        {"ownerReferences": [{"kind": "Pod", "name": "x", "uid": "u"}]},
    ],
    ids=[
        "label key",
        "label value",
        "long label",
        "annotation key",
        "large annotations",
        "finalizer",
        "owner without version",
    ],
)
def test_metadata_keeps_its_rules(api: Api, metadata):
    """Validation: labels, annotations, finalizers and owners are judged."""
    assert_refused(api.post(lease("p", metadata)), 422, "Invalid", "metadata.")


@pytest.mark.parametrize(
    "spec",
    [
        b'{"leaseDurationSeconds":2147483648}',
        b'{"leaseDurationSeconds":15.0}',
        b'{"leaseDurationSeconds":1e1}',
        b'{"leaseDurationSeconds":"15"}',
        b'{"leaseTransitions":true}',
        b'{"holderIdentity":5}',
        b'{"holderIdentity":{}}',
        b'{"renewTime":1700000000}',
        b'"text"',
    ],
)
def test_wrong_types_are_400(api: Api, spec):
    """Decoding: overflow, fractions, strings for numbers, and the like."""
    answer = api.post(b'{"metadata":{"name":"p"},"spec":%b}' % spec)
    text = 'Lease in version "v1" cannot be handled as a Lease: json: cannot unmarshal '
    assert_refused(answer, 400, "BadRequest", text)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b'{"metadata":{"name":"p"}} x', b'{"a":NaN}'],
    ids=["nothing", "half an object", "list", "string", "trailing data", "NaN"],
)
def test_broken_json_is_400(api: Api, body):
    """Decoding: what is no JSON object at all."""
    text = "the object provided is unrecognized (must be of type Lease)"
    assert_refused(api.post(body), 400, "BadRequest", text)


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        ("Bogus", "coordination.k8s.io/v1"),
        ("Lease", "coordination.k8s.io/v9"),
        ("Lease", "v1"),
    ],
)
def test_other_kinds_are_400(api: Api, kind, version):
    """Decoding: another kind or version cannot be handled as a Lease."""
    answer = api.post({**lease(), "kind": kind, "apiVersion": version})
    assert_refused(answer, 400, "BadRequest", "cannot be handled as a Lease")


def test_old_version_is_400(api: Api):
    """Decoding: v1beta1 on a v1 path is refused, with words of its own."""
    answer = api.post({**lease(), "apiVersion": "coordination.k8s.io/v1beta1"})
    text = "does not match the expected API version (coordination.k8s.io/v1)"
    assert_refused(answer, 400, "BadRequest", text)


def test_kind_and_version_may_be_missing(api: Api):
    """Decoding: the path says what it is."""
    answer = api.post({"metadata": {"name": "p"}})
    assert answer.status == 201
    assert answer.json["kind"] == "Lease"
    assert answer.json["apiVersion"] == "coordination.k8s.io/v1"


def test_unknown_fields_are_dropped_with_a_warning(api: Api):
    """Decoding: unknown and misspelt fields are dropped; the client is told."""
    answer = api.post(lease(bogus=1, HolderIdentity="x"))
    assert answer.status == 201
    assert answer.json["spec"] == {}
    assert sorted(answer.warnings) == [
        '299 - "unknown field \\"spec.HolderIdentity\\""',
        '299 - "unknown field \\"spec.bogus\\""',
    ]


def test_last_duplicate_wins(api: Api):
    """Decoding: of equal keys the last counts, with a warning."""
    body = (
        b'{"metadata":{"name":"p"},"spec":{"holderIdentity":"a","holderIdentity":"b"}}'
    )
    answer = api.post(body)
    assert answer.json["spec"] == {"holderIdentity": "b"}
    assert answer.warnings == ['299 - "duplicate field \\"spec.holderIdentity\\""']


def test_strict_validation_refuses(api: Api):
    """Decoding: fieldValidation=Strict makes it 400."""
    answer = api.post(lease(bogus=1), fieldValidation="Strict")
    text = 'strict decoding error: unknown field "spec.bogus"'
    assert_refused(answer, 400, "BadRequest", text)
    assert api.get().status == 404


def test_ignored_validation_is_silent(api: Api):
    """Decoding: fieldValidation=Ignore drops without a word."""
    answer = api.post(lease(bogus=1), fieldValidation="Ignore")
    assert (answer.status, answer.warnings) == (201, [])


def test_field_validation_knows_three_values(api: Api):
    """Decoding: another value is 422."""
    answer = api.post(lease(), fieldValidation="strict")
    assert_refused(answer, 422, "Invalid", "fieldValidation: Unsupported value")


@pytest.mark.parametrize(
    "stamp",
    [
        "2024-05-06T07:08:09Z",
        "2024-05-06T07:08:09.1Z",
        "2024-05-06T07:08:09.123Z",
        "2024-05-06T07:08:09.1234567Z",
        "2024-05-06T07:08:09.123456789Z",
        "2024-05-06T07:08:09.123456z",
        "2024-05-06t07:08:09.123456Z",
        "2024-05-06 07:08:09.123456Z",
        "2024-05-06T07:08:09.123456",
        "2024-05-06T07:08:09.123456+0000",
        "2024-05-06T07:08:60.123456Z",
        "2024-02-30T07:08:09.123456Z",
        "",
    ],
)
def test_times_need_six_digits_and_a_zone(api: Api, stamp):
    """MicroTime: anything but six digits and Z or +hh:mm is 400, not 422."""
    answer = api.post(lease(renewTime=stamp))
    text = 'cannot be handled as a Lease: parsing time "'
    assert_refused(answer, 400, "BadRequest", text)


@pytest.mark.parametrize(
    ("stamp", "returned"),
    [
        (STAMP, STAMP),
        ("2024-05-06T07:08:09.000000Z", "2024-05-06T07:08:09.000000Z"),
        ("2024-05-06T07:08:09,123456Z", STAMP),
        ("2024-05-06T7:08:09.123456Z", STAMP),
        ("2024-05-06T09:38:09.123456+02:30", STAMP),
        ("2024-05-06T00:08:09.123456-07:00", STAMP),
    ],
)
def test_times_are_returned_in_utc(api: Api, stamp, returned):
    """MicroTime: a comma, one digit of hours, a zone; back come six digits and Z."""
    assert api.created(renewTime=stamp)["spec"]["renewTime"] == returned


def test_year_one_comes_back_as_null(api: Api):
    """MicroTime: Go's zero time is null."""
    made = api.created(renewTime="0001-01-01T00:00:00.000000Z")
    assert made["spec"] == {"renewTime": None}


def test_null_times_are_absent(api: Api):
    """MicroTime: a null that is sent is as good as nothing."""
    assert api.created(renewTime=None, acquireTime=None)["spec"] == {}


def test_gated_fields_are_dropped_silently(api: Api):
    """Gate: strategy and preferredHolder are dropped, even when strict."""
    answer = api.post(
        lease(strategy="OldestEmulationVersion", preferredHolder="x"),
        fieldValidation="Strict",
    )
    assert (answer.status, answer.warnings) == (201, [])
    assert answer.json["spec"] == {}


def test_gated_fields_are_booked(api: Api):
    """Gate: dropped as they are, the books have them."""
    made = api.created(strategy="OldestEmulationVersion")
    fields = made["metadata"]["managedFields"][0]["fieldsV1"]
    assert fields == {"f:spec": {"f:strategy": {}}}


def test_candidates_are_not_served(api: Api):
    """Gate: LeaseCandidate is not there by default."""
    path = f"/apis/coordination.k8s.io/v1beta1/namespaces/{api.namespace}"
    assert api.request("GET", f"{path}/leasecandidates").status == 404


MISSING = "/apis/coordination.k8s.io/v1/namespaces/no-such-namespace/leases"


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_creating_in_a_missing_namespace_is_404(api: Api, method):
    """Namespaces: the message is about the namespace, not the Lease."""
    path = MISSING if method == "POST" else f"{MISSING}/p"
    answer = api.request(method, path, lease())
    assert_refused(answer, 404, "NotFound")
    assert answer.message == 'namespaces "no-such-namespace" not found'
    assert answer.json["details"]["kind"] == "namespaces"


@pytest.mark.slow
def test_reading_in_a_missing_namespace(api: Api):
    """Namespaces: GET is a missing Lease, LIST is empty, a watch opens."""
    answer = api.request("GET", f"{MISSING}/p")
    assert answer.message == 'leases.coordination.k8s.io "p" not found'
    assert api.request("GET", MISSING).json["items"] == []
    assert api.watch(MISSING, watch="1", timeoutSeconds="1").rest() == []


def test_creating_in_a_terminating_namespace_is_403(api: Api):
    """Namespaces: creating is forbidden, with a cause; what exists goes on."""
    made = api.created(holderIdentity="a")
    assert api.request("DELETE", f"/api/v1/namespaces/{api.namespace}").status == 200
    for answer in (api.post(lease("q")), api.put(lease("q"), name="q")):
        assert_refused(answer, 403, "Forbidden", "because it is being terminated")
        assert answer.json["details"]["causes"] == [
            {
                "reason": "NamespaceTerminating",
                "message": f"namespace {api.namespace} is being terminated",
                "field": "metadata.namespace",
            }
        ]
    assert api.put(changed(made, holderIdentity="b")).status == 200
    assert api.get().status == 200
    assert api.delete().status == 200
