"""One total deadline per call, kept from inside and from outside (rule 9, fault 26)."""

from __future__ import annotations

import re
import socket
import threading
import time

import pytest
from tests.node_page import PATIENCE

from kubernetes_leader_election.credentials import Credentials, explicit
from kubernetes_leader_election.credentials.base import Login, Server
from kubernetes_leader_election.kube_api import connection
from kubernetes_leader_election.kube_api.call import Call, boottime
from kubernetes_leader_election.kube_api.results import NotSent, Ok, Unknown

AT_ONCE = 15.0
"""Seconds that what is ended at once takes at most, on the busiest machine."""
SHORT, LONG = 0.6, 15.0
"""
Seconds for a call whose deadline is to pass: the long ones where the machine was too busy
to get as far as it should within the short ones.
"""


def rest():
    """Let the time between two parts of an answer that drips pass."""
    time.sleep(0.01)  # shorter than any limit on silence: that must not end it


def hang(peer):
    """Take the request and never answer."""
    peer.read()
    peer.wait_until_gone()


def drip(peer):
    """Answer with one byte now and then, always in time for a limit on silence."""
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        peer.send(b" ")
        rest()


def drip_headers(peer):
    """Never come to the end of the headers."""
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        peer.send(b"A: b\r\n")
        rest()


def never_ending_interim(peer):
    """Announce an answer for ever."""
    peer.read()
    while True:
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        rest()


SLOW = pytest.mark.parametrize(
    "handler",
    [hang, drip, drip_headers, never_ending_interim],
    ids=["hung answer", "dripping body", "dripping headers", "interim answers"],
)
SECURED = pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])


def start(serve, authority, handler, *, secured):
    """Start a server, and give the credentials to reach it."""
    tls = authority.server_context() if secured else None
    server = serve(handler, tls=tls)
    return server, explicit(
        server=server.url, ca_file=authority.ca_file if secured else None
    )


def run(function):
    """Run a function on a thread; give what to join and where its result will be."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()
    return thread, results


def abandon_a_write(client, lease, eventually, begun):
    """Abandon a write once it has begun; give its result, which is there at once."""
    call = Call()
    thread, results = run(lambda: client.replace("apps", "demo", lease(), call=call))
    eventually(begun)
    began = time.monotonic()
    call.abandon()
    thread.join(PATIENCE)
    assert time.monotonic() - began < AT_ONCE
    [result] = results
    return result


@SLOW
@SECURED
def test_deadline_covers_the_whole_answer(
    serve, connect, authority, lease, eventually, handler, secured
):
    """Rule 9: a total deadline, which a server that drips cannot stretch."""
    server, credentials = start(serve, authority, handler, secured=secured)
    client = connect(credentials)
    for seconds in (SHORT, LONG):
        began = time.monotonic()
        result = client.replace(
            "apps", "demo", lease(), call=Call(deadline=boottime() + seconds)
        )
        assert seconds - 0.1 < time.monotonic() - began < seconds + AT_ONCE
        if not isinstance(result, NotSent):
            break
    assert isinstance(result, Unknown)
    assert re.search(
        r"no complete answer came in [0-9]+\.[0-9]{2} s", str(result.error)
    )
    eventually(lambda: server.requests)
    assert len(server.requests) == 1  # whatever was not sent is not here


@SLOW
@SECURED
def test_abandon_ends_an_answer_at_once(
    serve, connect, authority, lease, eventually, handler, secured
):
    """Rule 9: the deadline is kept from outside, by cutting the worker's socket."""
    server, credentials = start(serve, authority, handler, secured=secured)
    client = connect(credentials)
    result = abandon_a_write(client, lease, eventually, lambda: server.requests)
    assert isinstance(result, Unknown)
    assert client.open_sockets == 0


def test_abandon_ends_a_handshake_that_hangs(
    serve, connect, authority, lease, eventually
):
    """Proves fault 26: TLS with a server that accepts and stays silent."""
    greeted = threading.Event()

    def be_silent(peer):
        peer.sock.recv(1)
        greeted.set()  # from here on the handshake waits for an answer
        peer.wait_until_gone()

    server = serve(be_silent)
    url = server.url.replace("http:", "https:")
    client = connect(explicit(server=url, ca_file=authority.ca_file))
    result = abandon_a_write(client, lease, eventually, greeted.is_set)
    assert isinstance(result, NotSent)
    assert result.error.outcome == "not done"


def test_deadline_covers_the_handshake(serve, connect, authority, lease):
    """Rule 9: connect and TLS count; nothing was sent, so nothing was done."""
    server = serve(lambda peer: peer.wait_until_gone())
    url = server.url.replace("http:", "https:")
    client = connect(explicit(server=url, ca_file=authority.ca_file))
    result = client.replace(
        "apps", "demo", lease(), call=Call(deadline=boottime() + 0.1)
    )
    assert isinstance(result, NotSent)


def drip_handshake(peer):
    """Send a TLS record byte by byte, which has no end for long."""
    peer.send(b"\x16\x03\x03\x40\x00")
    while True:
        peer.send(b"\x02")
        rest()


def test_deadline_covers_a_handshake_that_drips(serve, connect, authority, lease):
    """Rule 9: all waits of a handshake share the time there is."""
    server = serve(drip_handshake)
    url = server.url.replace("http:", "https:")
    client = connect(explicit(server=url, ca_file=authority.ca_file))
    began = time.monotonic()
    result = client.replace(
        "apps", "demo", lease(), call=Call(deadline=boottime() + 0.3)
    )
    assert isinstance(result, NotSent)
    # The server would go on for minutes.
    assert time.monotonic() - began < 30.0


@pytest.fixture
def full_listener():
    """Give the port of a listener that lets nobody in any more."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            waiting.append(sock)
        yield port
        for sock in waiting:
            sock.close()


def test_deadline_covers_a_connect_that_hangs(full_listener, connect, lease):
    """Proves fault 25: packets that vanish are no answer and no refusal."""
    client = connect(explicit(server=f"http://127.0.0.1:{full_listener}"))
    result = client.replace(
        "apps", "demo", lease(), call=Call(deadline=boottime() + 0.1)
    )
    assert isinstance(result, NotSent)


def test_abandon_ends_a_connect_that_hangs(full_listener, connect, lease, eventually):
    """Rule 9: a connect is ended from outside too."""
    client = connect(explicit(server=f"http://127.0.0.1:{full_listener}"))
    result = abandon_a_write(client, lease, eventually, lambda: client.open_sockets)
    assert isinstance(result, NotSent)


@pytest.mark.parametrize("step", ["_begin_to_connect", "_wait_until_connected"])
def test_abandon_right_before_a_step_of_a_connect_is_not_lost(
    full_listener, connect, lease, monkeypatch, step
):
    """Rule 9: a shutdown before a wait in the kernel would not end that."""
    client = connect(explicit(server=f"http://127.0.0.1:{full_listener}"))
    call, take = Call(), getattr(connection, step)

    def abandoned(*arguments):
        call.abandon()
        take(*arguments)

    monkeypatch.setattr(connection, step, abandoned)
    thread, results = run(lambda: client.replace("apps", "demo", lease(), call=call))
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert isinstance(results[0], NotSent)


def test_fault_45_lookup_that_hangs_is_given_up_with_its_thread(
    serve, connect, lease, monkeypatch, eventually
):
    """Rule 9: what comes back from a lookup after the deadline sends nothing."""
    server = serve(hang)
    looking, answer = threading.Event(), threading.Event()
    found = socket.getaddrinfo("127.0.0.1", server.port, type=socket.SOCK_STREAM)

    def slow_lookup(*_args, **_options):
        looking.set()
        answer.wait(PATIENCE)
        return found

    monkeypatch.setattr(socket, "getaddrinfo", slow_lookup)
    client, call = connect(server), Call()
    thread, results = run(lambda: client.replace("apps", "demo", lease(), call=call))
    assert looking.wait(PATIENCE)
    call.abandon()
    answer.set()
    thread.join(PATIENCE)
    assert isinstance(results[0], NotSent)
    monkeypatch.undo()
    with socket.create_connection(("127.0.0.1", server.port)) as last:
        # Connections are accepted in turn: an earlier one would be counted by now.
        name = last.getsockname()
        eventually(lambda: name in [p.sock.getpeername() for p in server.peers])
        assert server.connections == 1


def test_fault_45_lookup_that_fails_says_so(connect, lease, monkeypatch, call):
    """A name that cannot be looked up is named, and nothing was sent."""

    def fail(*_args, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    client = connect(explicit(server="https://no.such.host"))
    result = client.get("apps", "demo", call=call())
    assert isinstance(result, NotSent)
    assert "no.such.host cannot be looked up" in str(result.error)


@pytest.mark.parametrize("over", ["abandoned", "late"])
def test_call_that_is_over_sends_nothing(serve, connect, lease, over):
    """Rule 9: a request whose deadline has passed is never sent."""
    server = serve(hang)
    call = Call(deadline=boottime() - 1 if over == "late" else None)
    if over == "abandoned":
        call.abandon()
    result = connect(server).replace("apps", "demo", lease(), call=call)
    assert isinstance(result, NotSent)
    assert server.connections == 0


class SlowLogin(Login):
    """Take so long to find the token that the deadline passes."""

    def __init__(self):
        self.now = 0.0

    def headers(self, *, timeout):
        """Let time pass."""
        self.now += 3.0
        return ()


def test_call_that_ends_just_before_the_first_byte_sends_nothing(serve, connect, lease):
    """Rule 9: the clock is looked at right before the first byte."""

    def handle(peer):
        while peer.read() is not None:
            peer.reply(200, lease())

    server, login = serve(handle), SlowLogin()
    url = Server.parse(server.url, source="test")
    client = connect(Credentials(server=url, source="test", login=login))
    first = client.get("apps", "demo", call=Call(deadline=5.0, clock=lambda: login.now))
    assert isinstance(first, Ok)
    # The connection is there; only the login eats up the time.
    second = client.replace(
        "apps", "demo", lease(), call=Call(deadline=5.0, clock=lambda: login.now)
    )
    assert isinstance(second, NotSent)
    assert len(server.requests) == 1
    assert client.open_sockets == 0


@pytest.mark.slow
def test_deadline_covers_a_send_that_hangs(serve, connect, lease):
    """Rule 9: each request has its own time, on a connection that had more before."""

    def handle(peer):
        peer.read()
        peer.reply(200, lease())
        gone.wait(30)

    gone = threading.Event()
    client = connect(serve(handle))
    assert isinstance(
        client.get("apps", "demo", call=Call(deadline=boottime() + 60)), Ok
    )
    large = lease()
    large["metadata"]["annotations"] = {"large": "x" * 20_000_000}
    began = time.monotonic()
    call = Call(deadline=boottime() + 3)  # to write it down takes time as well
    try:
        assert isinstance(client.replace("apps", "demo", large, call=call), Unknown)
        assert time.monotonic() - began < 30.0
    finally:
        gone.set()


def test_one_address_that_hangs_leaves_time_for_the_next(
    serve, full_listener, connect, lease, monkeypatch
):
    """Proves fault 22: several addresses share the time there is."""

    def handle(peer):
        peer.read()
        peer.reply(200, lease())

    server = serve(handle)
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        for port in (full_listener, server.port)
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_o: found)
    client = connect(explicit(server="http://localhost"))
    for seconds in (1.0, 8.0):  # the longer ones for a machine that is too busy
        began = boottime()
        result = client.get("apps", "demo", call=Call(deadline=began + seconds))
        if isinstance(result, Ok) or boottime() < began + seconds:
            break
    assert isinstance(result, Ok)


def test_call_counts_on_the_clock_it_was_given():
    """The deadline is on the caller's clock, and never shows less than nothing."""
    now = [100.0]
    call = Call(deadline=103.0, clock=lambda: now[0])
    assert call.remaining() == 3.0
    call.limit(2.0)
    assert call.remaining() == 2.0
    call.limit(None)
    now[0] = 104.0
    assert call.remaining() == 0.0
    assert Call().remaining() is None


def test_abandon_may_come_twice_and_after_the_end(serve, connect, lease):
    """A call that is over can be abandoned; the connection in the pool is found dead."""

    def handle(peer):
        while peer.read() is not None:
            peer.reply(200, lease())

    server = serve(handle)
    client, call = connect(server), Call()
    assert isinstance(client.get("apps", "demo", call=call), Ok)
    call.abandon()
    call.abandon()
    assert isinstance(client.get("apps", "demo", call=Call()), Ok)
    assert server.connections == 1  # its socket was out of reach by then
