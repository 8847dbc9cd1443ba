"""
What the server says, word for word, where clients and people look at it.

Selectors, tokens, kinds in the wrong place, versions and times that cannot be had.
"""

from __future__ import annotations

import base64
import json

import pytest
from conformance_client import Api, Target, assert_refused, lease

from kubernetes_leader_election.testing.lease_server.api.validation import (
    NAME_PART_RULE,
    VALUE_RULE,
)

EXPECTED = "expected: in, notin, =, ==, !=, gt, lt"
PARSE = "unable to parse requirement: "
BAD_LABELS = {
    "l===1": f"{PARSE}found '=', expected: identifier",
    "l!==1": f"{PARSE}found '=', expected: identifier",
    "=1": "found '=', expected: !, identifier, or 'end of string'",
    ",l": "found ',', expected: !, identifier, or 'end of string'",
    "(l)": "found '(', expected: !, identifier, or 'end of string'",
    "l!": f"{PARSE}found '!', {EXPECTED}",
    "!!l": f"{PARSE}found '!', expected: identifier",
    "a b": f"{PARSE}found 'b', {EXPECTED}",
    "l gt 1": f"{PARSE}found 'gt', {EXPECTED}",
    "l in": f"{PARSE}found '' expected: '('",
    "l in a": f"{PARSE}found 'a' expected: '('",
    "l in (": f"{PARSE}found '', expected: ',', ')' or identifier",
    "l notin (a": f"{PARSE}found '', expected: ',' or ')'",
    "l in (a b)": f"{PARSE}found 'b', expected: ',' or ')'",
    "l,": "found '', expected: identifier after ','",
    "l,,m": "found ',', expected: identifier after ','",
    "l=a b": "found 'b', expected: ',' or 'end of string'",
    "l=a=b": "found '=', expected: ',' or 'end of string'",
    "l in (a))": "found ')', expected: ',' or 'end of string'",
    "!l=1": "found '=', expected: ',' or 'end of string'",
    "l>a": f"{PARSE}values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the "
    "value must be an integer",
    "l>-1": f'{PARSE}values[0][l]: Invalid value: "-1": {VALUE_RULE}',
    "l in (b,-a)": f'{PARSE}values[0][l]: Invalid value: "-a": {VALUE_RULE}',
    "/l": f'{PARSE}<nil>: Invalid value: "/l": prefix part must be non-empty',
    "l@": f'{PARSE}<nil>: Invalid value: "l@": {NAME_PART_RULE}',
}


@pytest.mark.parametrize("selector", BAD_LABELS)
def test_bad_label_selector_is_told_as_by_apimachinery(api: Api, selector):
    """Lists: what was found where what else was expected."""
    answer = api.list(labelSelector=selector)
    assert_refused(answer, 400, "BadRequest")
    assert answer.message == BAD_LABELS[selector]


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("n>1", ["b"]),
        ("n<2", ["a"]),
        ("n > 0,!m", ["a", "b"]),
        ("n in(1)", ["a"]),
        ("n in (1,,x)", ["a"]),
        ("n in (,2)", ["b"]),
        ("n notin ()", ["a", "b", "c"]),
        ("in in (in)", ["c"]),
        ("notin", []),
        (" n = 1 ", ["a"]),
        ("m!=", ["a", "b", "c"]),
    ],
)
def test_odd_label_selectors_select(api: Api, selector, found):
    """Lists: keywords are names as well, numbers are compared, blanks do not count."""
    for name, labels in (("a", {"n": "1"}), ("b", {"n": "2"}), ("c", {"in": "in"})):
        api.created(name, {"labels": labels})
    items = api.list(labelSelector=selector).json["items"]
    assert [one["metadata"]["name"] for one in items] == found


BAD_FIELDS = {
    "metadata.name===p": "invalid field selector: unescaped character in value: 61",
    "metadata.name=a=b": "invalid field selector: unescaped character in value: 61",
    "metadata.name=a\\b": "invalid field selector: invalid escape sequence: \\b",
    "metadata.name=p\\": "invalid field selector: invalid escape sequence: \\",
    "metadata.name": "invalid selector: 'metadata.name'; can't understand "
    "'metadata.name'",
}


@pytest.mark.parametrize("selector", BAD_FIELDS)
def test_bad_field_selector_is_told_as_by_apimachinery(api: Api, selector):
    """Lists: values have escapes, and an equals sign is none of them."""
    answer = api.list(fieldSelector=selector)
    assert_refused(answer, 400, "BadRequest")
    assert answer.message == BAD_FIELDS[selector]


def test_fields_of_other_kinds_have_other_words(api: Api):
    """Lists: a namespace is selected by other fields than a Lease."""
    answer = api.request("GET", "/api/v1/namespaces", fieldSelector="spec.x=1")
    assert_refused(answer, 400, "BadRequest")
    assert answer.message == "field label not supported: spec.x"


def token(content) -> str:
    """Encode as the server does: JSON in base64 for URLs, without padding."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


V = "meta.k8s.io/v1"
BAD_TOKENS = {
    "no base64": ("!!", "illegal base64 data at input byte 0"),
    "padding": (
        f"{token({'v': V, 'rv': 1, 'start': 'pp'})}=",
        "illegal base64 data at input byte 63",
    ),
    "no JSON": ("abc", "invalid character 'i' looking for beginning of value"),
    "half of it": (token(b'{"v":'), "unexpected end of JSON input"),
    "a list": (
        token([]),
        "json: cannot unmarshal array into Go value of type storage.continueToken",
    ),
    "another version": (
        token({"v": "x", "rv": 1, "start": "p"}),
        "server does not recognize this encoded version x",
    ),
    "nothing": (token({}), "server does not recognize this encoded version "),
    "a version of text": (
        token({"v": V, "rv": "x", "start": "p"}),
        (
            "json: cannot unmarshal string into Go struct field continueToken.rv of type "
            "int64"
        ),
    ),
    "no resourceVersion": (
        token({"v": V, "start": "p"}),
        f"incorrect encoded start resourceVersion (version {V})",
    ),
    "no key": (token({"v": V, "rv": 1}), f"encoded start key empty (version {V})"),
    "a key that goes up": (token({"v": V, "rv": 1, "start": "../p"}), "../p"),
}


@pytest.mark.parametrize(
    ("text", "why"), BAD_TOKENS.values(), ids=list(BAD_TOKENS.keys())
)
def test_bad_continue_token_is_told_as_by_the_server(api: Api, text, why):
    """Lists: a token that was not given out is refused, and why."""
    answer = api.list(limit=1, **{"continue": text})
    assert_refused(answer, 400, "BadRequest")
    prefix = "invalid continue token: continue key is not valid: "
    assert answer.message == prefix + why


def test_continue_token_has_the_form_of_the_server(api: Api):
    """Lists: version and the key that comes next; a version of -1 is the present."""
    for name in ("a", "b", "c"):
        api.created(name)
    metadata = api.list(limit=1).json["metadata"]
    given = metadata["continue"]
    content = json.loads(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)))
    assert content == {"v": V, "rv": int(metadata["resourceVersion"]), "start": "/a\0"}
    answer = api.list(**{"continue": token({"v": V, "rv": -1, "start": "b"})})
    assert [one["metadata"]["name"] for one in answer.json["items"]] == ["b", "c"]


def test_watch_that_begins_anew_has_no_pages(api: Api):
    """Watches: what begins with all there is cannot go on from a token."""
    answer = api.list(watch="1", timeoutSeconds="1", **{"continue": "abc"})
    assert_refused(answer, 422, "Invalid")
    assert answer.message == (
        'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: '
        "resourceVersionMatch is forbidden when continue is provided"
    )


@pytest.mark.slow
@pytest.mark.parametrize("query", [{"resourceVersionMatch": "Exact"}, {"limit": "1"}])
def test_list_of_a_version_that_is_forgotten(api: Api, query):
    """Lists: exact ones, and first pages, are of the very version, or not at all."""
    version = api.created()["metadata"]["resourceVersion"]
    api.created("q")
    api.forget_history()
    answer = api.list(resourceVersion=version, **query)
    assert_refused(answer, 410, "Expired")
    assert answer.message == "The resourceVersion for the provided list is too old."


def test_first_page_of_a_version_shows_that_version(api: Api):
    """Lists: a limit makes the version exact."""
    version = api.created("a")["metadata"]["resourceVersion"]
    api.created("b")
    answer = api.list(resourceVersion=version, limit="5")
    assert [one["metadata"]["name"] for one in answer.json["items"]] == ["a"]
    assert answer.json["metadata"]["resourceVersion"] == version


@pytest.mark.parametrize(
    ("kind", "version", "why"),
    [
        (
            "Pod",
            "v1",
            "converting (v1.Pod) to (coordination.Lease): unknown conversion",
        ),
        (
            "Role",
            "rbac.authorization.k8s.io/v1",
            "converting (v1.Role) to (coordination.Lease): unknown conversion",
        ),
        (
            "LeaseList",
            "coordination.k8s.io/v1",
            "converting (v1.LeaseList) to (coordination.Lease): unknown conversion",
        ),
        (
            "DeleteOptions",
            "coordination.k8s.io/v1",
            "converting (v1.DeleteOptions) to (coordination.Lease): unknown conversion",
        ),
        (
            "Deployment",
            "extensions/v1beta1",
            (
                "converting (v1beta1.Deployment) to (coordination.Lease): unknown "
                "conversion"
            ),
        ),
        (
            "Leese",
            "coordination.k8s.io/v1",
            (
                'no kind "Leese" is registered for version "coordination.k8s.io/v1" in '
                'scheme "pkg/runtime/scheme.go:111"'
            ),
        ),
        (
            "Pod",
            "coordination.k8s.io/v1",
            (
                'no kind "Pod" is registered for version "coordination.k8s.io/v1" in '
                'scheme "pkg/runtime/scheme.go:111"'
            ),
        ),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_wrong_kind_is_told_by_what_is_known_of_it(
    api: Api, method, kind, version, why
):
    """Form: a kind that exists cannot be converted, one that does not is not known."""
    document = {"kind": kind, "apiVersion": version, "metadata": {"name": "p"}}
    path = api.collection if method == "POST" else api.path("p")
    answer = api.request(method, path, document)
    short = version.rpartition("/")[2]
    assert_refused(answer, 400, "BadRequest")
    assert answer.message == (
        f'{kind} in version "{short}" cannot be handled as a Lease: {why}'
    )


def test_version_that_is_none_is_not_recognized(api: Api):
    """Form: an apiVersion has one slash at most."""
    answer = api.post({**lease(), "apiVersion": "a/b/c"})
    assert_refused(answer, 400, "BadRequest")
    assert answer.message.startswith(
        "the object provided is unrecognized (must be of type Lease): unexpected "
        "GroupVersion string: a/b/c ("
    )


def test_strategic_patch_does_not_change_the_kind(api: Api):
    """Patches: what is made in the type of the object stays of that type."""
    api.created()
    kind = "application/strategic-merge-patch+json"
    answer = api.patch({"kind": "Pod", "apiVersion": "v1"}, kind=kind)
    assert answer.status == 200
    assert answer.json["kind"] == "Lease"


def test_earlier_version_is_merged_as_the_present_one(api: Api):
    """Patches: a Lease of v1beta1 is one of v1."""
    api.created()
    answer = api.patch({"apiVersion": "coordination.k8s.io/v1beta1"})
    assert answer.status == 200
    assert answer.json["apiVersion"] == "coordination.k8s.io/v1"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_time_that_is_over_at_once(api: Api, method):
    """Time: what may take a nanosecond is not even begun."""
    before = api.created()
    body = {**before, "spec": {"holderIdentity": "b"}} if method == "PUT" else None
    answer = api.request(method, api.path("p"), body, timeout="1ns")
    assert answer.status == 504
    assert "did not complete within the allotted timeout" in answer.body.decode()
    assert api.get().json == before


def test_one_millisecond_is_over_at_once_here(embedded, api: Api):
    """Time: a real server answers in it now and then, or hangs up; this one never."""
    api.created()
    assert embedded is not None
    assert api.get(timeout="1ms").status == 504


def test_server_does_not_name_itself(api: Api):
    """Form: no Server header, on whatever is answered."""
    api.created()
    for answer in (api.get(), api.list(), api.get("none"), api.request("GET", "/x")):
        assert "Server" not in answer.headers


# From a plain `kubectl apply` to one on the server ------------------------------------

NOTE = "kubectl.kubernetes.io/last-applied-configuration"


def applied_plainly(api: Api, **spec) -> None:
    """Create a Lease as a plain `kubectl apply` does."""
    document = lease(**spec)
    noted = json.dumps(document, separators=(",", ":")) + "\n"
    metadata = {"annotations": {NOTE: noted}}
    answer = api.post(
        lease(metadata=metadata, **spec), fieldManager="kubectl-client-side-apply"
    )
    assert answer.status == 201, answer


def test_kubectl_goes_over_to_the_server(api: Api):
    """Apply: what a plain apply wrote is kubectl's, and its note follows."""
    applied_plainly(api, holderIdentity="a", leaseDurationSeconds=20)
    config = lease(holderIdentity="b <&>", leaseDurationSeconds=20)
    answer = api.apply(config, "kubectl")
    assert answer.status == 200, answer
    assert answer.json["spec"]["holderIdentity"] == "b <&>"
    assert answer.json["metadata"]["annotations"][NOTE] == (
        '{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"p"},'
        '"spec":{"holderIdentity":"b \\u003c\\u0026\\u003e","leaseDurationSeconds":20}}\n'
    )
    books = {
        (one["manager"], one["operation"]): one["fieldsV1"]
        for one in answer.json["metadata"]["managedFields"]
    }
    assert "f:holderIdentity" in books["kubectl", "Apply"]["f:spec"]
    plain = books["kubectl-client-side-apply", "Update"]
    assert "f:holderIdentity" not in plain.get("f:spec", {})


def test_what_others_changed_since_is_a_conflict_to_kubectl(api: Api):
    """Apply: only what still stands as it was applied is kubectl's own."""
    applied_plainly(api, holderIdentity="a", leaseDurationSeconds=20)
    api.patch({"spec": {"holderIdentity": "x"}}, fieldManager="hand")
    config = lease(holderIdentity="b", leaseDurationSeconds=30)
    answer = api.apply(config, "kubectl")
    assert_refused(answer, 409, "Conflict", 'conflict with "hand"', "holderIdentity")
    assert "leaseDurationSeconds" not in answer.message
    forced = api.apply(config, "kubectl", force="true").json
    assert '"holderIdentity":"b"' in forced["metadata"]["annotations"][NOTE]


def test_another_manager_than_kubectl_has_conflicts_as_ever(api: Api):
    """Apply: the note of a plain apply is nothing to others, and stays as it is."""
    applied_plainly(api, holderIdentity="a")
    config = lease(holderIdentity="b")
    before = api.get().json["metadata"]["annotations"]
    answer = api.apply(config, "other")
    assert_refused(answer, 409, "Conflict", "kubectl-client-side-apply")
    assert answer.message.count("holderIdentity") == 1
    forced = api.apply(config, "other", force="true").json
    assert forced["metadata"]["annotations"] == before


@pytest.mark.parametrize("note", ["", "no JSON", "[]", '{"apiVersion":"v1"}'])
def test_note_that_says_nothing_excuses_nothing(api: Api, note):
    """Apply: people may write anything into an annotation."""
    metadata = {"annotations": {NOTE: note}}
    api.post(lease(metadata=metadata, holderIdentity="a"), fieldManager="hand")
    answer = api.apply(lease(holderIdentity="b"), "kubectl")
    assert_refused(answer, 409, "Conflict", 'conflict with "hand"')


# Beside Leases -----------------------------------------------------------------------


def test_role_is_kept_as_it_was_sent(api: Api, target: Target):
    """Kinds: what a program needs beside its Lease can be applied, read and deleted."""
    assert target is not None
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{api.namespace}/roles"
    rules = [
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "verbs": ["get"],
        }
    ]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r"},
        "rules": rules,
    }
    assert api.request("POST", path, role).status == 201
    assert api.request("POST", path, role).status == 409
    found = api.request("GET", f"{path}/r").json
    assert found["rules"] == rules
    merge = {"Content-Type": "application/merge-patch+json"}
    changed = api.request("PATCH", f"{path}/r", {"rules": []}, merge).json
    assert not changed["rules"]
    assert changed["metadata"]["uid"] == found["metadata"]["uid"]
    assert len(api.request("GET", path).json["items"]) == 1
    assert api.request("DELETE", f"{path}/r").status == 200
    assert api.request("GET", f"{path}/r").status == 404
