"""The verbs against a server that answers like a kube-apiserver."""

from __future__ import annotations

import json

import pytest

from kubernetes_leader_election.kube_api.results import (
    Answered,
    Conflict,
    Listed,
    NotFound,
    NotSent,
    Ok,
    Refused,
    Unknown,
)

PATH = "/apis/coordination.k8s.io/v1/namespaces/apps/leases"


def always(status_code, value, **headers):
    """Make a handler that gives one answer to everything."""

    def handle(peer):
        while peer.read() is not None:
            peer.reply(status_code, value, **headers)

    return handle


def test_get_gives_the_lease(serve, connect, call, lease):
    """A GET asks for the one Lease, without resourceVersion: a quorum read."""
    server = serve(always(200, lease()))
    result = connect(server).get("apps", "demo", call=call())
    assert Ok(lease=lease()) == result
    [request] = server.requests
    path, _, query = request.target.partition("?")
    assert ("GET", f"{PATH}/demo") == (request.method, path)
    assert "resourceVersion" not in query


def test_request_tells_the_server_its_deadline(serve, connect, call, lease):
    """Rule 9: `timeout=` is sent to the server too, as a Go duration."""
    server = serve(always(200, lease()))
    connect(server).get("apps", "demo", call=call(30.0))
    _, _, query = server.requests[0].target.partition("?")
    name, _, value = query.partition("=")
    assert name == "timeout"
    assert value.endswith("ms")
    assert 15_000 < int(value.removesuffix("ms")) <= 30_000


def test_request_asks_for_plain_json(serve, connect, call, lease):
    """No compression is asked for, and the Host header names the server."""
    server = serve(always(200, lease()))
    connect(server).get("apps", "demo", call=call())
    headers = server.requests[0].headers
    assert headers["accept-encoding"] == "identity"
    assert headers["accept"] == "application/json"
    assert headers["host"] == f"127.0.0.1:{server.port}"
    assert headers["user-agent"] == "kubernetes-leader-election"


def test_replace_sends_the_lease_as_it_is(serve, connect, call, lease):
    """G5: resourceVersion and uid go back to the server, unknown fields too."""
    server = serve(always(200, lease("8")))
    written = lease(madeUp={"deep": [1, 2.5, None, "ü"]})
    result = connect(server).replace("apps", "demo", written, call=call())
    assert Ok(lease=lease("8")) == result
    assert server.requests[0].method == "PUT"
    assert json.loads(server.requests[0].body) == written


def test_replace_creates_with_201(serve, connect, call, lease):
    """Rule 6: a missing Lease is created by a PUT; 201 is success."""
    server = serve(always(201, lease("1")))
    new = lease()
    del new["metadata"]["resourceVersion"], new["metadata"]["uid"]
    assert Ok(lease=lease("1")) == connect(server).replace(
        "apps", "demo", new, call=call()
    )


@pytest.mark.parametrize(
    ("creating", "expected"),
    [(True, Conflict), (False, Refused)],
    ids=["a creating PUT that came too late", "any other 422"],
)
def test_422_must_be_specified_is_a_conflict_for_a_creating_put_only(
    serve, connect, call, lease, status, creating, expected
):
    """Rule 6: 422 "must be specified for an update" when somebody was faster."""
    text = "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    server = serve(always(422, status(422, "Invalid", text, kind="Lease")))
    written = lease()
    if creating:
        del written["metadata"]["resourceVersion"]
    result = connect(server).replace("apps", "demo", written, call=call())
    assert type(result) is expected
    assert result.error.outcome == "not done"


def test_creating_put_with_another_422_is_invalid(serve, connect, call, lease, status):
    """A creating PUT can be wrong in itself, which is no conflict."""
    text = "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"
    server = serve(always(422, status(422, "Invalid", text, kind="Lease")))
    new = lease()
    del new["metadata"]["resourceVersion"]
    result = connect(server).replace("apps", "demo", new, call=call())
    assert isinstance(result, Refused)
    assert "must be greater than 0" in str(result.error)


ANSWERS = [
    ("bad request", 400, "BadRequest", "no", {}, Refused, "not done"),
    ("not logged in", 401, "Unauthorized", "Unauthorized", {}, Refused, "not done"),
    ("no right", 403, "Forbidden", "no", {"kind": "leases"}, Refused, "not done"),
    (
        "no such Lease", 404, "NotFound", 'leases "demo" not found', {"kind": "leases"},
        NotFound, "not done",
    ),
    (
        "no such namespace", 404, "NotFound", 'namespaces "apps" not found',
        {"kind": "namespaces"}, Refused, "not done",
    ),
    (
        "namespace being deleted", 403, "Forbidden", "being terminated",
        {"kind": "leases", "causes": [{"reason": "NamespaceTerminating"}]},
        Refused, "not done",
    ),
    ("conflict", 409, "Conflict", "modified", {"kind": "leases"}, Conflict, "not done"),
    ("exists", 409, "AlreadyExists", "exists", {"kind": "leases"}, Conflict, "not done"),
    ("gone", 410, "Expired", "too old", {}, Refused, "not done"),
    ("too large", 413, "RequestEntityTooLarge", "limit", {}, Refused, "not done"),
    ("invalid", 422, "Invalid", "bad", {"kind": "Lease"}, Refused, "not done"),
    ("throttled", 429, "TooManyRequests", "later", {}, Refused, "not done"),
    ("server error", 500, "InternalError", "oops", {}, Unknown, "unknown"),
    ("bad gateway", 502, "", "oops", {}, Unknown, "unknown"),
    ("unavailable", 503, "ServiceUnavailable", "oops", {}, Unknown, "unknown"),
    ("timeout", 504, "Timeout", "oops", {}, Unknown, "unknown"),
    ("redirect", 307, "", "over there", {}, Unknown, "unknown"),
]  # fmt: skip


@pytest.mark.parametrize("verb", ["get", "replace"])
@pytest.mark.parametrize(
    ("code", "reason", "message", "details", "expected", "outcome"),
    [answer[1:] for answer in ANSWERS],
    ids=[answer[0] for answer in ANSWERS],
)
def test_client_tells_answers_apart(
    serve, connect, call, lease, status,
    verb, code, reason, message, details, expected, outcome,
):  # fmt: skip
    """Rule 10: done, not done or unknown; 409s by reason (fault 31), 429 (fault 32)."""
    server = serve(always(code, status(code, reason, message, **details)))
    client = connect(server)
    rest = [lease()] if verb == "replace" else []
    result = getattr(client, verb)("apps", "demo", *rest, call=call())
    assert type(result) is expected
    assert result.error.status == code
    assert result.error.outcome == outcome
    assert (reason or None) == result.error.reason
    assert "apps/demo" in str(result.error)
    assert server.url in str(result.error)
    assert len(server.requests) == 1  # fault 30: nothing is sent twice


def test_timeout_of_a_write_comes_as_text(serve, connect, call, lease):
    """A 504 as text/plain, JSON without kind and apiVersion, is understood."""
    body = (
        b'{"metadata":{},"status":"Failure","message":"Timeout: request did not complete'
        b' within the allotted timeout","reason":"Timeout","details":{},"code":504}'
    )
    server = serve(always(504, body, kind="text/plain; charset=utf-8"))
    result = connect(server).replace("apps", "demo", lease(), call=call())
    assert isinstance(result, Unknown)
    assert result.error.reason == "Timeout"
    assert "allotted timeout" in str(result.error)


def test_throttling_comes_as_text(serve, connect, call):
    """Proves fault 32: a 429 in plain text; Retry-After is passed on in seconds."""
    text = b"Too many requests, please try again later.\n"
    server = serve(always(429, text, kind="text/plain", Retry_After="3"))
    result = connect(server).get("apps", "demo", call=call())
    assert isinstance(result, Refused)
    assert result.error.retry_after == 3.0
    assert "try again later" in str(result.error)


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
def test_headers_of_an_answer_are_known_in_any_spelling(serve, connect, call, name):
    """Fault 32: HTTP/2 gateways write the names of headers in small letters."""
    server = serve(always(429, b"later", **{name: "7"}))
    assert connect(server).get("apps", "demo", call=call()).error.retry_after == 7.0


@pytest.mark.parametrize(
    "value", ["soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "1e9", "9" * 30]
)
def test_odd_retry_after_is_left_out(serve, connect, call, value):
    """A Retry-After that is no small number of seconds is not believed."""
    server = serve(always(429, b"later", Retry_After=value))
    assert connect(server).get("apps", "demo", call=call()).error.retry_after is None


@pytest.mark.parametrize(
    "body",
    [
        b"404 page not found\n",
        b"<html><h1>404</h1></html>",
        b'{"kind":"Status","status":"Failure","reason":"NotFound","details":{}}',
        b'{"kind":"Status","status":"Failure","reason":"NotFound","details":{"kind":"x"}}',
        b'{"paths":["/healthz"]}',
    ],
    ids=["unknown path", "a web server", "about nothing", "about another kind", "1.20"],
)
def test_404_that_does_not_speak_of_the_lease_is_not_free(serve, connect, call, body):
    """Rule 4: only the Lease API's own 404 about the Lease may mean "free"."""
    result = connect(serve(always(404, body))).get("apps", "demo", call=call())
    assert isinstance(result, Refused)
    assert "There is no Lease API" in str(result.error)


@pytest.mark.parametrize(
    ("code", "body", "said"),
    [
        (404, "404 page not found\n", ": 404 page not found."),
        (404, "404: Not Found", ": 404 Not Found."),
        (502, "HTTP/1.1 502 Bad Gateway", ": 502 Bad Gateway."),
        (503, "503", ": 503 no explanation."),
        (400, "4000 is too much", ": 400 4000 is too much."),
        (429, "rate limit: 429", ": 429 rate limit: 429."),
    ],
)
def test_number_of_an_answer_is_said_once(serve, connect, call, code, body, said):
    """Proxies and web servers begin their text with it."""
    server = serve(always(code, body.encode()))
    assert said in str(connect(server).get("apps", "demo", call=call()).error)


def test_403_names_the_verb_and_prints_the_rule(serve, connect, call, lease, status):
    """Proves fault 34: the message has what to add, as YAML that can be pasted."""
    import yaml

    text = (
        'leases.coordination.k8s.io "demo" is forbidden: User '
        '"system:serviceaccount:apps:web" cannot create resource "leases" in API group '
        '"coordination.k8s.io" in the namespace "apps"'
    )
    server = serve(always(403, status(403, "Forbidden", text, kind="leases")))
    result = connect(server).replace("apps", "demo", lease(), call=call())
    said = str(result.error)
    assert 'The verb "create" is missing' in said
    assert "system:serviceaccount:apps:web" in said
    assert "\n" not in said
    [rule] = yaml.safe_load(said[said.index("- {") :])
    assert rule == {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": ["demo"],
        "verbs": ["get", "create", "update", "watch"],
    }


def test_403_of_a_list_asks_for_the_rights_of_a_reader(serve, connect, call, status):
    """The rule printed for a list has `list` in it, no name, and nothing that writes."""
    text = (
        'leases.coordination.k8s.io is forbidden: User "bob" cannot list resource '
        '"leases" in API group "coordination.k8s.io" in the namespace "apps"'
    )
    server = serve(always(403, status(403, "Forbidden", text, kind="leases")))
    said = str(connect(server).list("apps", call=call()).error)
    assert "verbs: [get, list, watch]" in said
    assert "resourceNames" not in said


def test_missing_namespace_is_said_with_what_to_do(serve, connect, call, lease, status):
    """Proves fault 35: the message names the namespace and the option to set."""
    text = 'namespaces "apps" not found'
    server = serve(always(404, status(404, "NotFound", text, kind="namespaces")))
    said = str(connect(server).replace("apps", "demo", lease(), call=call()).error)
    assert "Namespace apps does not exist" in said


def test_error_text_of_a_server_is_data(serve, connect, call, status):
    """Proves fault 51: newlines and escape codes are escaped, long texts are cut."""
    server = serve(always(500, status(500, "", "a\x1b[31m\nb" + "x" * 5000)))
    said = str(connect(server).get("apps", "demo", call=call()).error)
    assert "a\\x1b[31m\\nb" in said
    assert said.isprintable()
    assert len(said) < 1000


def test_list_says_where_a_watch_goes_on_from_it(serve, connect, call, lease):
    """The version of the list; a watch without a name is of all Leases."""
    page = {"items": [lease()], "metadata": {"resourceVersion": "7"}}
    server = serve(always(200, page))
    client = connect(server)
    assert client.list("apps", call=call()).resource_version == "7"
    client.watch("apps", "", "7", call=call(), on_event=lambda *_: None)
    watched = server.requests[-1].target
    assert "resourceVersion=7" in watched
    assert "fieldSelector" not in watched


def test_list_gives_pages(serve, connect, call, lease):
    """A list comes page by page."""
    page = {"items": [lease()], "metadata": {"continue": "tok"}}
    server = serve(always(200, page))
    client = connect(server)
    result = client.list("apps", call=call(), limit=1)
    assert Listed(items=[lease()], continue_token="tok") == result
    client.list("apps", call=call(), continue_token="tok")
    first, second = (request.target for request in server.requests)
    assert first.startswith(f"{PATH}?limit=1&")
    assert second.startswith(f"{PATH}?limit=250&continue=tok")


@pytest.mark.parametrize("body", [{}, {"items": None}, {"items": [1]}, {"items": {}}])
def test_list_that_is_none_is_unknown(serve, connect, call, body):
    """Proves fault 49: types are checked in lists too."""
    assert isinstance(
        connect(serve(always(200, body))).list("apps", call=call()), Unknown
    )


def test_request_carries_any_other_question(serve, connect, call):
    """The doctor asks for versions and rights with the same credentials."""
    server = serve(always(201, {"status": {"allowed": True}}))
    client = connect(server, token="secret")
    result = client.request(
        "POST", "/apis/a/v1/reviews", call=call(), body={"spec": {}}
    )
    assert Answered(body={"status": {"allowed": True}}) == result
    assert server.requests[0].headers["authorization"] == "Bearer secret"
    assert server.requests[0].target == "/apis/a/v1/reviews"
    with pytest.raises(ValueError, match="not a path"):
        client.request("GET", "version\r\nX: y", call=call())


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_names_that_would_be_other_paths_are_refused(serve, connect, call, lease, name):
    """A name never turns into another path."""
    client = connect(serve(always(200, lease())))
    with pytest.raises(ValueError, match="not the name"):
        client.get("apps", name, call=call())


def test_names_are_quoted(serve, connect, call, lease):
    """A name is one part of the path, whatever is in it."""
    server = serve(always(200, lease()))
    connect(server).get("a/b", "c?d#e f", call=call())
    assert "/namespaces/a%2Fb/leases/c%3Fd%23e%20f?" in server.requests[0].target


def test_path_of_the_server_goes_before_every_path(serve, connect, call, lease):
    """A server behind a prefix, as clusters behind a gateway have it."""
    server = serve(always(200, lease()))
    server.url += "/k8s/clusters/c-1/"
    connect(server).get("apps", "demo", call=call())
    assert server.requests[0].target.startswith("/k8s/clusters/c-1/apis/")


def test_lease_that_is_no_json_is_not_sent(serve, connect, call, lease):
    """What cannot be written down is refused before anything is sent."""
    server = serve(always(200, lease()))
    for odd in (float("nan"), object(), {1: 2}.keys()):
        result = connect(server).replace("apps", "demo", lease(odd=odd), call=call())
        assert isinstance(result, NotSent)
        assert result.error.outcome == "not done"
    assert server.connections == 0
