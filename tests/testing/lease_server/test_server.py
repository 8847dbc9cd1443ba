"""The embedded server as its users see it: start, stop, and what it offers."""

from __future__ import annotations

import json
import socket
import struct
import time
from http.client import HTTPConnection, IncompleteRead

import pytest
from tests.node_page import PATIENCE, eventually

from kubernetes_leader_election.testing import Fault, LagWatch, LeaseServer
from kubernetes_leader_election.testing.lease_server.api import patches
from kubernetes_leader_election.testing.lease_server.watch import watching

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


def call(server, method, path, document=None, headers=None):
    """Make one request and give status and parsed body."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    try:
        body = None if document is None else json.dumps(document)
        kind = {"Content-Type": "application/json"} if body else {}
        connection.request(method, path, body, {**kind, **(headers or {})})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def lease(name="p", **spec):
    """Give a Lease to send."""
    return {"metadata": {"name": name}, "spec": spec}


def test_server_is_ready_within_50_ms():
    """Starting is cheap enough for every test: under 50 ms once imported."""
    LeaseServer().start().stop()
    fastest = 1.0
    deadline = time.monotonic() + PATIENCE  # by then a machine is idle for so long
    while fastest >= 0.05:
        assert time.monotonic() < deadline, fastest
        began = time.perf_counter()
        with LeaseServer() as server:
            fastest = min(fastest, time.perf_counter() - began)
            assert call(server, "GET", "/version")[0] == 200


def test_server_stores_a_lease():
    """What is PUT is there, and the server counts the requests."""
    with LeaseServer() as server:
        status, created = call(server, "PUT", f"{LEASES}/p", lease(holderIdentity="a"))
        assert status == 201
        assert call(server, "GET", f"{LEASES}/p") == (200, created)
        assert server.lease("p") == created
        assert dict(server.requests.counts()) == {"update": 1, "get": 1}


def test_server_stops_twice_without_error():
    """A second stop does nothing."""
    server = LeaseServer().start()
    server.stop()
    server.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"], ids=["IPv4", "IPv6"])
def test_server_gives_its_address(host):
    """The url can be used as it is, with brackets around IPv6 (fault 47)."""
    with LeaseServer(host=host) as server:
        assert str(server.port) in server.url
        assert ("[" in server.url) == (":" in host)


@pytest.mark.parametrize("path", ["?watch=1", ""], ids=["a watch", "a list"])
def test_client_that_hangs_up_is_no_error(caplog, path):
    """Whoever is gone before the answer leaves no line in the log, and no watch."""
    with LeaseServer() as server:
        request = f"GET {LEASES}{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                # Reset, not closed: so the server's first write fails.
                linger = struct.pack("ii", 1, 0)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                client.sendall(request)
        eventually(lambda: not server.open_watches)
    assert not caplog.records


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"a" * 2_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 2_000_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"no request at all\r\n\r\n",
    ],
    ids=["long line", "long header", "no host", "version of HTTP", "no HTTP"],
)
def test_what_is_no_request_leaves_no_traceback(caplog, request_):
    """Whoever speaks no HTTP hears 400 (or is cut off), and the log stays empty."""
    with LeaseServer() as server:
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
            try:
                client.sendall(request_)
                answer = client.recv(100)
            except ConnectionError:
                answer = b""  # it hung up before all was sent
        assert not answer or b" 400 " in answer
        assert call(server, "GET", "/version")[0] == 200
    assert not caplog.records


def test_defect_of_the_server_is_a_status_and_a_traceback(caplog, monkeypatch):
    """An unforeseen exception is a Status 500 to the client, and told in the log."""
    monkeypatch.setattr(patches, "read_patch", broken)
    with LeaseServer() as server:
        headers = {"Content-Type": "application/merge-patch+json"}
        status, answer = call(server, "PATCH", f"{LEASES}/p", {}, headers)
        assert call(server, "GET", "/version")[0] == 200
    assert (status, answer["kind"], answer["code"]) == (500, "Status", 500)
    assert answer["reason"] == "InternalError"
    assert answer["message"] == "Internal error occurred: ZeroDivisionError: a defect"
    (record,) = caplog.records
    assert record.exc_info[0] is ZeroDivisionError
    assert "PATCH /apis" in record.getMessage()


def test_defect_in_the_middle_of_an_answer_cuts_it(caplog, monkeypatch):
    """Where the answer has begun, no second one follows: the connection is cut."""
    monkeypatch.setattr(watching.Watching, "_faulty", broken)
    with LeaseServer() as server:
        server.faults.add(Fault(LagWatch(0.0)))
        assert call(server, "POST", LEASES, lease())[0] == 201
        connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        connection.request("GET", f"{LEASES}?watch=1")
        answer = connection.getresponse()
        with pytest.raises((IncompleteRead, ConnectionError)):
            answer.read()
        connection.close()
    assert [one.exc_info[0] for one in caplog.records] == [ZeroDivisionError]


def broken(*_arguments, **_options):
    """Fail as no code should."""
    raise ZeroDivisionError("a defect")
