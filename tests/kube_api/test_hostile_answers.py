"""Answers that no API server should give (fault 49), and how each one ends."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubernetes_leader_election.kube_api.decoding import (
    Undecodable,
    decode_object,
    object_problem,
)
from kubernetes_leader_election.kube_api.results import Ok, Unknown

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def once(data):
    """Make a handler that answers one request with these bytes and hangs up."""

    def handle(peer):
        if peer.read() is not None:
            peer.send(data)

    return handle


def sized(body, *headers):
    """Make a whole answer of a body."""
    lines = [HEAD.decode().strip(), *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
HOSTILE = {
    "nothing": b"",
    "half a status line": b"HTTP/1.1 20",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "a status that is no number": b"HTTP/1.1 abc OK\r\n\r\n",
    "endless status line": b"HTTP/1.1 200 " + b"x" * 200_000,
    "endless headers": HEAD + b"A: b\r\n" * 100_000,
    "one endless header": HEAD + b"A: " + b"b" * 200_000,
    "an interim answer and no final one": b"HTTP/1.1 100 Continue\r\n\r\n",
    "early hints as the answer": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "an empty body": sized(b""),
    "a body cut short": HEAD + b'Content-Length: 500\r\n\r\n{"kind":"Lease"',
    "a length that is negative": HEAD + b"Content-Length: -5\r\n\r\n{}",
    "a body larger than allowed": sized(b'"' + b"x" * 1_100_000 + b'"'),
    "a length larger than allowed": HEAD + b"Content-Length: 99999999999\r\n\r\n{",
    "chunks that never end": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"8000\r\n%s\r\n" % (b" " * 0x8000) * 40,
    "a chunk of negative size": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n{}\r\n",
    "a chunk without size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "chunks cut short": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "HTML": sized(b"<html><body>Please log in</body></html>"),
    "text": sized(b"ok"),
    "a list": sized(b"[]"),
    "null": sized(b"null"),
    "deep JSON": sized(DEEP),
    "deep lists": sized(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "a number of 5000 digits": sized(b'{"a":' + b"9" * 5000 + b"}"),
    "NaN": sized(b'{"a":NaN}'),
    "Infinity": sized(b'{"a":-Infinity}'),
    "a float that is infinite": sized(b'{"a":1e999}'),
    "not UTF-8": sized(b'{"a":"\xff\xfe"}'),
    "compressed, unasked": sized(gzip.compress(b"{}"), "Content-Encoding: gzip"),
    "a gzip bomb": sized(gzip.compress(b" " * 50_000_000, 1), "Content-Encoding: gzip"),
    "a failure that claims success": sized(
        b'{"kind":"Status","status":"Failure","code":500}'
    ),
    "a Status as the Lease": sized(b'{"kind":"Status","status":"Success"}'),
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
    b"Content-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_fault_49_odd_answer_to_a_write_is_unknown(serve, connect, call, lease, data):
    """Rule 10: whatever cannot be understood leaves the outcome of a write open."""
    server = serve(once(data))
    result = connect(server).replace("apps", "demo", lease(), call=call())
    assert isinstance(result, Unknown)
    assert result.error.outcome == "unknown"
    assert str(result.error).isprintable()
    assert len(server.requests) == 1  # fault 30


def test_answer_that_ends_before_its_length_is_unknown(serve, connect, call, lease):
    """Fault 49: what came so far is a whole Lease, and not what was sent all the same."""
    body = json.dumps(lease()).encode()

    def handle(peer):
        peer.read()
        head = HEAD + f"Content-Length: {len(body) + 1}\r\n\r\n".encode()
        peer.send(head + body)  # and hang up

    result = connect(serve(handle)).replace("apps", "demo", lease(), call=call())
    assert isinstance(result, Unknown)
    assert "in the middle of the answer" in str(result.error)


def change(path, value):
    """Make a Lease with one part of its identity changed; ... takes it away."""

    def make(lease):
        changed = lease()
        *parents, last = path
        inner = changed
        for key in parents:
            inner = inner[key]
        if value is ...:
            del inner[last]
        else:
            inner[last] = value
        return changed

    return make


ODD_LEASES = {
    "another kind": change(["kind"], "Pod"),
    "no metadata": change(["metadata"], ...),
    "metadata that is text": change(["metadata"], "x"),
    "another name": change(["metadata", "name"], "other"),
    "another namespace": change(["metadata", "namespace"], "other"),
    "no version": change(["metadata", "resourceVersion"], ...),
    "an empty version": change(["metadata", "resourceVersion"], ""),
    "a version that is a number": change(["metadata", "resourceVersion"], 7),
    "a uid that is a number": change(["metadata", "uid"], 7),
    "a spec that is a list": change(["spec"], []),
}


@pytest.mark.parametrize("make", ODD_LEASES.values(), ids=ODD_LEASES.keys())
def test_answer_that_is_not_the_lease_is_unknown(serve, connect, call, lease, make):
    """Proves fault 49: a 200 is believed only if it is the Lease that was written."""
    body = json.dumps(make(lease)).encode()
    server = serve(once(sized(body)))
    result = connect(server).replace("apps", "demo", lease(), call=call())
    assert isinstance(result, Unknown)
    assert "is not the Lease" in str(result.error)


@pytest.mark.parametrize(
    "spec",
    [None, {}, {"holderIdentity": 7}, {"leaseDurationSeconds": "x"}, {"x": [[[]]]}],
    ids=["null", "empty", "odd holder", "odd duration", "unknown fields"],
)
def test_spec_is_data(serve, connect, call, lease, spec):
    """Rule 3: anything odd in the spec is data, not an error of the client."""
    odd = {**lease(), "spec": spec}
    server = serve(once(sized(json.dumps(odd).encode())))
    assert Ok(lease=odd) == connect(server).get("apps", "demo", call=call())


def test_answers_in_small_pieces_and_chunks_are_put_together(
    serve, connect, call, lease
):
    """However an answer is cut on its way, it is the same answer."""
    body = json.dumps(lease(text="ü" * 50)).encode()

    def handle(peer):
        while peer.read() is not None:
            peer.begin_stream()
            for i in range(0, len(body), 7):
                peer.chunk(body[i : i + 7])
            peer.chunk(b"")

    server = serve(handle)
    client = connect(server)
    for _ in range(3):
        assert Ok(lease=lease(text="ü" * 50)) == client.get("apps", "demo", call=call())
    assert server.connections == 1


def test_answer_with_something_behind_it_costs_the_connection(
    serve, connect, call, lease
):
    """A second answer behind the first is never taken for the next one's."""
    first, second = (json.dumps(lease(v)).encode() for v in ("7", "666"))

    def handle(peer):
        if peer.read() is not None:
            peer.send(sized(first) + sized(second))
            peer.wait_until_gone()

    server = serve(handle)
    client = connect(server)
    for _ in range(2):
        assert Ok(lease=lease("7")) == client.get("apps", "demo", call=call())
    assert server.connections == 2


def test_redirect_is_not_followed(serve, connect, call, lease):
    """Security rule: a token never goes to another host."""
    other = serve(once(sized(json.dumps(lease()).encode())))
    location = f"Location: {other.url}/"
    server = serve(
        once(f"HTTP/1.1 307 X\r\n{location}\r\nContent-Length: 0\r\n\r\n".encode())
    )
    result = connect(server, token="canary").get("apps", "demo", call=call())
    assert isinstance(result, Unknown)
    assert "redirects" in str(result.error)
    assert other.connections == 0


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_decoder_gives_an_object_or_refuses(data):
    """Proves fault 49: no bytes make the decoder do anything else."""
    try:
        value = decode_object(data)
    except Undecodable:
        return
    assert isinstance(value, dict)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["metadata", "spec", "kind", "name", "resourceVersion", "uid"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["metadata", "spec", "kind"]), JSON))
def test_lease_check_never_raises(value):
    """Proves fault 49: whatever JSON comes as a Lease is judged, never tripped over."""
    problem = object_problem(value, "Lease", "apps", "demo")
    assert problem is None or isinstance(problem, str)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.binary(max_size=200))
def test_random_bytes_after_a_write_are_unknown(serve, connect, call, lease, data):
    """Proves fault 49: bytes at random never become a result that claims to know."""
    server = serve(once(HEAD[: len(data) * 2] + data))
    result = connect(server).replace("apps", "demo", lease(), call=call())
    assert isinstance(result, Unknown)
