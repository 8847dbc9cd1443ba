"""Connections: kept, looked at, dropped, secured, and left alone after a fork."""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
import time

import pytest
from tests.node_page import PATIENCE

from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.credentials.base import (
    Credentials,
    Proxy,
    Server,
    StaticLogin,
    bearer,
)
from kubernetes_leader_election.credentials.trust import Trust
from kubernetes_leader_election.kube_api.call import Call, boottime
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.results import NotSent, Ok, Unknown


def answering(value):
    """Make a handler that gives the Lease to everybody."""

    def handle(peer):
        while peer.read() is not None:
            peer.reply(200, value)

    return handle


def hears_of_an_end(client):
    """Return whether the kernel knows that the server has closed the one connection."""
    [sock] = client._pool._registry._sockets
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLRDHUP)
    return poll.poll(0)


def test_connection_is_kept_for_the_next_request(serve, connect, call, lease):
    """A leader renews over one connection, not over a new one each time."""
    server = serve(answering(lease()))
    client = connect(server)
    for _ in range(5):
        assert isinstance(client.get("apps", "demo", call=call()), Ok)
    assert server.connections == 1


@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
def test_idle_connection_that_was_closed_is_noticed(
    serve, connect, call, lease, authority, eventually, secured
):
    """Proves fault 24: a write is never risked on a connection that looks dead."""

    def handle(peer):
        if peer.read() is not None:
            peer.reply(200, lease())  # and hang up

    server = serve(handle, tls=authority.server_context() if secured else None)
    client = connect(
        explicit(server=server.url, ca_file=authority.ca_file if secured else None)
    )
    for number in range(1, 4):
        result = client.replace("apps", "demo", lease(), call=call())
        assert isinstance(result, Ok)
        # Not by the server's end: the news may still be on its way through the kernel.
        eventually(lambda: hears_of_an_end(client))
        assert server.connections == number


def test_idle_connection_that_grew_old_is_not_used(
    serve, connect, call, lease, monkeypatch
):
    """Proves fault 25: a balancer may have dropped it without a word."""
    server = serve(answering(lease()))
    client = connect(server)
    client.get("apps", "demo", call=call())
    later = boottime() + 61
    monkeypatch.setattr(
        "kubernetes_leader_election.kube_api.pool.boottime", lambda: later
    )
    assert isinstance(client.get("apps", "demo", call=Call()), Ok)
    assert server.connections == 2


@pytest.mark.parametrize("how", ["close", "reset", "5xx and close"])
def test_fault_30_write_is_never_sent_twice(serve, connect, call, lease, how):
    """A server that commits and drops the connection sees one PUT, not two."""

    def handle(peer):
        while peer.read() is not None:
            if len(server.requests) == 1:
                peer.reply(200, lease())  # so that the PUT meets a kept connection
            elif how == "5xx and close":
                peer.reply(503, b"", Connection="close")
                return
            else:
                if how == "reset":
                    linger = struct.pack("ii", 1, 0)
                    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return

    server = serve(handle)
    client = connect(server)
    assert isinstance(client.get("apps", "demo", call=call()), Ok)
    result = client.replace("apps", "demo", lease(), call=call())
    assert isinstance(result, Unknown)
    assert [r.method for r in server.requests] == ["GET", "PUT"]
    assert client.open_sockets == 0  # fault 24: a fresh one after any failure


def test_fault_24_connection_that_failed_is_not_used_again(serve, connect, call, lease):
    """What stands behind an answer that was not read is no answer to the next write."""

    def handle(peer):
        while peer.read() is not None:
            if len(server.requests) == 1:
                peer.reply(200, lease(), Content_Encoding="gzip")
            else:
                peer.reply(200, lease())

    server = serve(handle)
    client = connect(server)
    assert isinstance(client.replace("apps", "demo", lease(), call=call()), Unknown)
    assert client.open_sockets == 0
    assert isinstance(client.replace("apps", "demo", lease(), call=call()), Ok)
    assert server.connections == 2


def test_connection_that_the_server_closes_is_not_kept(serve, connect, call, lease):
    """Fault 24: it says so in its answer, and hangs up whenever it comes to it."""

    def handle(peer):
        while peer.read() is not None:
            peer.reply(200, lease(), Connection="close")

    server = serve(handle)
    client = connect(server)
    for number in (1, 2):
        assert isinstance(client.replace("apps", "demo", lease(), call=call()), Ok)
        assert client.open_sockets == 0
        assert server.connections == number


def test_fault_24_refused_connection_is_said_plainly(connect, call, lease):
    """Nothing listens: nothing was sent, and the address is named."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = connect(explicit(server=f"http://127.0.0.1:{port}"))
    result = client.replace("apps", "demo", lease(), call=call())
    assert isinstance(result, NotSent)
    assert f"nothing listens at 127.0.0.1:{port}" in str(result.error)
    assert isinstance(result.error.__cause__, ConnectionRefusedError)


def test_sockets_are_told_to_notice_a_dead_peer(serve, connect, call, lease):
    """Proves fault 25: keepalive, a bound on unacknowledged data, no waiting to send."""
    server = serve(answering(lease()))
    client = connect(server)
    client.get("apps", "demo", call=call())
    [sock] = client._pool._registry._sockets
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000


def test_idle_connections_are_few(serve, connect, call, lease):
    """A burst of requests does not leave a burst of connections behind."""
    server = serve(answering(lease()))
    client = connect(server)
    pool = client._pool
    opened = [pool.open(None, call()) for _ in range(12)]
    for connection in opened:
        pool.give_back(connection)
    assert client.open_sockets == 8


def test_connection_that_comes_back_after_the_last_elector_stopped_is_closed(
    serve, connect, call, lease
):
    """A request under way at that moment leaves nothing open; the next one is served."""
    server = serve(answering(lease()))
    client = connect(server)
    pool = client._pool
    late = pool.open(None, call())
    client.close_idle()
    pool.give_back(late)
    assert client.open_sockets == 0
    assert isinstance(client.get("apps", "demo", call=call()), Ok)
    assert client.open_sockets == 1


def test_connection_that_nobody_gave_back_is_closed_with_the_client(
    serve, connect, call, lease
):
    """Fault 07: what failed in the middle may have forgotten it; the socket ends."""
    server = serve(answering(lease()))
    client = connect(server)
    client._pool.open(None, call())
    [forgotten] = client._pool._registry._sockets
    client.close()
    assert client.open_sockets == 1
    client.closer()()
    assert client.open_sockets == 0
    assert forgotten.fileno() == -1


def test_fault_47_ipv6_address_is_put_in_brackets(
    serve, connect, call, lease, authority
):
    """An IPv6 server works, in the URL, the Host header and the certificate."""
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        server = serve(
            answering(lease()), host="::1", tls=authority.server_context("::1")
        )
    except OSError:
        pytest.skip("this machine has no ::1")
    client = connect(explicit(server=server.url, ca_file=authority.ca_file))
    assert isinstance(client.get("apps", "demo", call=call()), Ok)
    assert server.requests[0].headers["host"] == f"[::1]:{server.port}"


# TLS ----------------------------------------------------------------------------


def test_certificate_of_another_ca_is_refused(
    serve, connect, call, lease, authority, other_authority
):
    """Security rule: verification is on, and what to check is said."""
    server = serve(answering(lease()), tls=authority.server_context())
    credentials = explicit(
        server=server.url, ca_file=other_authority.ca_file, token="canary-token"
    )
    result = connect(credentials).replace("apps", "demo", lease(), call=call())
    assert isinstance(result, NotSent)
    assert "certificate is not accepted" in str(result.error)
    assert "Check the CA" in str(result.error)
    assert server.requests == []


def test_certificate_of_another_name_is_refused(serve, connect, call, lease, authority):
    """The name in the certificate must be the server's, or the one that was named."""
    server = serve(answering(lease()), tls=authority.server_context("api.internal"))
    options = {"server": server.url, "ca_file": authority.ca_file}
    result = connect(explicit(**options)).get("apps", "demo", call=call())
    assert isinstance(result, NotSent)
    named = connect(explicit(**options, tls_server_name="api.internal"))
    assert isinstance(named.get("apps", "demo", call=call()), Ok)


@pytest.mark.parametrize(
    ("host", "name"), [("api.internal.", None), ("127.0.0.1", "api.internal.")]
)
def test_dot_that_ends_a_full_name_is_not_looked_for_in_the_certificate(
    serve, connect, call, lease, authority, monkeypatch, host, name
):
    """Such a name skips the resolver's search list; certificates are without it."""
    server = serve(answering(lease()), tls=authority.server_context("api.internal"))
    port = server.url.rpartition(":")[2]
    here, looked_up = socket.getaddrinfo("127.0.0.1", port), []
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda name, *_, **__: looked_up.append(name) or here
    )
    client = connect(
        explicit(
            server=f"https://{host}:{port}",
            ca_file=authority.ca_file,
            tls_server_name=name,
        )
    )
    assert isinstance(client.get("apps", "demo", call=call()), Ok)
    assert looked_up == [host.encode()]  # with the dot: that is what it is for


def test_large_bodies_pass_through_tls_both_ways(
    serve, connect, call, lease, authority
):
    """Many records of TLS each, and more than the kernel takes at once."""
    large = lease(holderIdentity="x" * 900_000)
    server = serve(answering(large), tls=authority.server_context())
    client = connect(explicit(server=server.url, ca_file=authority.ca_file))
    for _ in range(2):
        result = client.replace("apps", "demo", large, call=call())
        assert isinstance(result, Ok)
        assert result.lease == large
    assert [len(got.body) > 900_000 for got in server.requests] == [True, True]
    assert server.connections == 1


def test_server_is_told_why_its_certificate_is_refused(
    serve, connect, call, other_authority, authority, eventually
):
    """An alert reaches it, where a mere end would say nothing."""
    context, told = authority.server_context(), []

    def shake_hands(peer):
        with context.wrap_socket(
            peer.sock, server_side=True, do_handshake_on_connect=False
        ) as secured:
            try:
                secured.do_handshake()
                secured.recv(1)  # TLS 1.3: the alert comes after the server's part
            except ssl.SSLError as error:
                told.append(error.reason)

    server = serve(shake_hands)
    url = server.url.replace("http:", "https:")
    client = connect(explicit(server=url, ca_file=other_authority.ca_file))
    assert isinstance(client.get("apps", "demo", call=call()), NotSent)
    eventually(lambda: told)
    assert "UNKNOWN_CA" in told[0]


def test_insecure_believes_any_server(serve, connect, call, lease, authority):
    """insecure_skip_tls_verify does what it says, and only when asked for."""
    server = serve(answering(lease()), tls=authority.server_context("api.internal"))
    credentials = explicit(server=server.url, insecure_skip_tls_verify=True)
    assert isinstance(connect(credentials).get("apps", "demo", call=call()), Ok)


def test_client_certificate_is_shown(serve, connect, call, lease, authority):
    """A server that asks for a certificate gets the one of the options."""
    context = authority.server_context(asks_clients=ssl.CERT_REQUIRED)
    server = serve(answering(lease()), tls=context)
    certificate, key = authority.issue("client")
    options = {"server": server.url, "ca_file": authority.ca_file}
    with_one = explicit(**options, client_certificate=certificate, client_key=key)
    assert isinstance(connect(with_one).get("apps", "demo", call=call()), Ok)
    without = connect(explicit(**options)).get("apps", "demo", call=call())
    assert isinstance(without, Unknown | NotSent)


def test_plain_http_where_tls_is_expected_is_said(serve, connect, call, lease):
    """A TLS handshake with a server that speaks plain http fails as not sent."""
    server = serve(answering(lease()))
    url = server.url.replace("http:", "https:")
    result = connect(explicit(server=url)).get("apps", "demo", call=call())
    assert isinstance(result, NotSent)
    assert "TLS handshake failed" in str(result.error)


def test_fault_46_new_ca_is_read_when_the_server_has_a_new_certificate(
    serve, connect, call, lease, authority, other_authority, tmp_path
):
    """A CA file that is replaced is believed with the next connection."""
    ca = tmp_path / "mounted-ca.crt"
    ca.write_bytes(authority.ca_file.read_bytes())
    before = serve(answering(lease()), tls=authority.server_context())
    credentials = explicit(server=before.url, ca_file=ca)
    assert isinstance(connect(credentials).get("apps", "demo", call=call()), Ok)
    old = credentials.tls_context()
    times = ca.stat()
    replacement = other_authority.ca_file.read_bytes().ljust(times.st_size)
    ca.write_bytes(replacement)
    # Even a change that cannot be seen from outside is found when verifying fails.
    os.utime(ca, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = serve(answering(lease()), tls=other_authority.server_context())
    moved = Server.parse(after.url, source="test")
    credentials.server = moved
    assert isinstance(connect(credentials).get("apps", "demo", call=call()), Ok)
    assert credentials.tls_context() is not old


def test_fault_46_connections_of_the_old_ca_are_not_used(
    serve, connect, call, lease, authority, tmp_path
):
    """A new CA file means new connections: the old ones were verified by the old."""
    ca = tmp_path / "mounted-ca.crt"
    ca.write_bytes(authority.ca_file.read_bytes())
    server = serve(answering(lease()), tls=authority.server_context())
    client = connect(explicit(server=server.url, ca_file=ca))
    for _ in range(2):
        assert isinstance(client.get("apps", "demo", call=call()), Ok)
    assert server.connections == 1
    ca.write_bytes(authority.ca_file.read_bytes() + b"\n")
    assert isinstance(client.get("apps", "demo", call=call()), Ok)
    assert server.connections == 2


# Proxies -------------------------------------------------------------------------


def connect_proxy(target, requests, *, refuse=False):
    """Make the handler of a proxy that connects through to a port."""

    def handle(peer):
        request = peer.read()
        requests.append(request)
        if refuse:
            peer.reply(407, b"")
            return
        with socket.create_connection(("127.0.0.1", target)) as onward:
            peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            _pump(peer.sock, onward)

    return handle


def _pump(one, other):
    partner = {one: other, other: one}
    while True:
        for sock in select.select([one, other], [], [], 5)[0]:
            data = sock.recv(65536)
            if not data:
                return
            partner[sock].sendall(data)


@pytest.mark.parametrize("refuse", [False, True], ids=["connects", "refuses"])
def test_fault_48_proxy_connects_through_and_sees_no_token(
    serve, connect, call, lease, authority, refuse
):
    """Only CONNECT goes to the proxy in the open; the token goes through the tunnel."""
    server = serve(answering(lease()), tls=authority.server_context("api.internal"))
    seen = []
    proxy = serve(connect_proxy(server.port, seen, refuse=refuse))
    credentials = Credentials(
        server=Server.parse("https://api.internal:6443", source="test"),
        source="test",
        login=StaticLogin(bearer("canary"), description="the test's token"),
        trust=Trust(ca_file=str(authority.ca_file)),
        proxy=Proxy(host="127.0.0.1", port=proxy.port, authorization="Basic cHJveHk="),
    )
    result = connect(credentials).get("apps", "demo", call=call())
    assert (seen[0].method, seen[0].target) == ("CONNECT", "api.internal:6443")
    assert seen[0].headers["proxy-authorization"] == "Basic cHJveHk="
    assert "authorization" not in seen[0].headers
    if refuse:
        assert isinstance(result, NotSent)
        assert "407" in str(result.error)
    else:
        assert isinstance(result, Ok)
        assert server.requests[0].headers["authorization"] == "Bearer canary"
        assert "proxy-authorization" not in server.requests[0].headers


# Fork ----------------------------------------------------------------------------


def in_child(work):
    """Fork, run ``work`` in the child, and give its exit code (0: it was true)."""
    pid = os.fork()
    if pid == 0:  # pragma: no cover - the child's coverage is not collected
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return "the child hung"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("told", [True, False], ids=["told of the fork", "not told"])
def test_fault_15_child_leaves_the_parents_connection_alone(
    serve, connect, call, lease, authority, secured, told
):
    """After a fork the child closes its copies in silence and opens its own."""
    tls = authority.server_context() if secured else None
    server = serve(answering(lease()), tls=tls)
    client = connect(
        explicit(server=server.url, ca_file=authority.ca_file if secured else None)
    )
    assert isinstance(client.get("apps", "demo", call=call()), Ok)
    [inherited] = [sock.fileno() for sock in client._pool._registry._sockets]
    client._pool._lock.acquire()  # as if another thread were just using it
    client.credentials._lock.acquire()

    def child():
        if told:
            client.drop_after_fork()
            try:
                os.fstat(inherited)
            except OSError:
                pass
            else:
                return False
        return isinstance(client.get("apps", "demo", call=call()), Ok)

    try:
        assert in_child(child) == 0
    finally:
        client._pool._lock.release()
        client.credentials._lock.release()
    assert server.connections == 2
    for _ in range(3):
        assert isinstance(client.get("apps", "demo", call=call()), Ok)
    assert server.connections == 2  # the parent's one is as good as before


def test_closed_client_keeps_nothing(serve, call, lease):
    """After close() a request still works, and leaves nothing open."""
    server = serve(answering(lease()))
    client = LeaseClient(explicit(server=server.url))
    client.get("apps", "demo", call=call())
    client.close()
    assert client.open_sockets == 0
    assert isinstance(client.get("apps", "demo", call=call()), Ok)
    assert client.open_sockets == 0
