"""The endpoints on a socket: whoever comes, the election goes on, and others are heard."""

from __future__ import annotations

import contextlib
import gc
import http.client
import json
import logging
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from kubernetes_leader_election import observability
from kubernetes_leader_election.observability import http_server
from kubernetes_leader_election.process.log_thread import shared_log_thread
from kubernetes_leader_election.sync import Elector
from tests.node_page import PATIENCE, eventually
from tests.observability.fakes import FakeElector

THREAD = "leader-election-http"


@pytest.fixture
def elector():
    """Give an elector."""
    return FakeElector()


@pytest.fixture
def health(elector):
    """Serve its health."""
    with observability.serve(elector, "127.0.0.1:0") as health:
        yield health


def get(health, path, method="GET"):
    """Ask once; give status, headers and body."""
    connection = http.client.HTTPConnection(*health.address, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()


def connect(health):
    """Open a connection."""
    return socket.create_connection(health.address, timeout=PATIENCE)


def threads():
    """Give the threads that serve."""
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


def test_probes_are_answered(health, elector):
    """By status, with a text for people."""
    assert get(health, "/livez")[::2] == (200, "ok\n")
    elector.absence = "stopping"
    assert get(health, "/readyz")[::2] == (503, "stopping\n")
    status, headers, body = get(health, "/metrics")
    assert (status, headers["Content-Type"][:10]) == (200, "text/plain")
    assert "leader_election_leader{" in body
    assert headers["Cache-Control"] == "no-cache"


def test_head_has_no_body(health):
    """But the length that there would be."""
    status, headers, body = get(health, "/livez", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "3", "")
    assert get(health, "/sse", "HEAD")[0] == 200


def test_address_is_that_which_was_bound(health):
    """Port 0 is any; the URL can be asked."""
    assert health.address[0] == "127.0.0.1"
    assert health.url == f"http://127.0.0.1:{health.address[1]}"
    assert str(health.address[1]) in repr(health)


def test_end_of_the_block_frees_the_address_and_ends_the_thread(elector):
    """At once, so that a test or a reload can bind it again."""
    before = set(threads())  # of others, which may end meanwhile
    with observability.serve(elector, "127.0.0.1:0") as health:
        host, port = health.address
        assert len(set(threads()) - before) == 1
        waiting = connect(health)
        eventually(lambda: health._server._clients)
    with observability.serve(elector, f"{host}:{port}") as again:
        assert get(again, "/livez")[0] == 200
        health.close()
        assert get(again, "/livez")[0] == 200
    eventually(lambda: not set(threads()) - before)
    with waiting:
        assert waiting.recv(1) == b"", "it was hung up on"
    assert elector.handlers.count("leader_changed") == 0


def test_server_ends_with_the_electors(elector):
    """Nobody who holds them is left: nobody can ever start them."""
    before = set(threads())  # of others, which may end meanwhile
    host, port = observability.serve(elector, "127.0.0.1:0").address
    own = set(threads()) - before
    gc.collect()
    with socket.create_connection((host, port), timeout=PATIENCE):
        pass  # the handle was dropped, and it goes on
    named = FakeElector(lease_name="named")
    second = observability.serve(named, "127.0.0.1:0")
    del named, second
    gc.collect()
    eventually(lambda: set(threads()) - before == own)
    assert get_from(host, port) == 200


def get_from(host, port):
    """Give the status of /livez there."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", "/livez")
        return connection.getresponse().status


def test_elector_is_asked_before_its_start_and_after_its_stop(lease_server):
    """A pod that starts up is alive, and not ready; so is one that ends."""
    elector = Elector(lease_name="served", server=lease_server.url, auto_close=False)
    with observability.serve(elector, "127.0.0.1:0") as health:
        assert get(health, "/livez")[0] == 200
        assert get(health, "/readyz")[::2] == (503, "not started yet\n")
        with elector:
            elector.wait_until_leading(PATIENCE)
            assert get(health, "/readyz")[0] == get(health, "/leaderz")[0] == 200
            leader = json.loads(get(health, "/")[2])
            assert leader["name"] == elector.identity
            assert 'role="leader"} 1' in get(health, "/metrics")[2]
        assert get(health, "/livez")[0] == 200
        assert get(health, "/readyz")[::2] == (503, "the elector has stopped\n")
        with elector:  # again
            eventually(lambda: get(health, "/readyz")[0] == 200)


# Streams --------------------------------------------------------------------------


def read_event(stream):
    """Read the next event of a stream; a comment is none."""
    while not (line := stream.readline()).startswith(b"data: "):
        assert line, "the stream has ended"
    assert stream.readline() == b"\n"
    return json.loads(line.removeprefix(b"data: "))


def test_stream_has_an_event_for_each_change(health, elector):
    """The present leader first; then at once, not at the next look."""
    with connect(health) as sock, sock.makefile("rb") as stream:
        sock.sendall(b"GET /sse HTTP/1.1\r\nHost: x\r\n\r\n")
        assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
        assert read_event(stream) == {"name": ""}
        for name in ("ada", "eve"):
            elector.see(name)
            assert read_event(stream)["name"] == name
    assert get(health, "/livez")[0] == 200


def test_stream_has_news_that_no_handler_tells(health, elector, monkeypatch):
    """Handlers of asyncio wait for their loop, which may be stuck."""
    with connect(health) as sock, sock.makefile("rb") as stream:
        sock.sendall(b"GET /sse HTTP/1.1\r\n\r\n")
        assert read_event(stream) == {"name": ""}
        elector.leader = "ada"
        assert read_event(stream)["name"] == "ada"


def test_stream_without_news_sends_comments(health, monkeypatch):
    """So that a client that has gone is noticed, and proxies keep the connection."""
    monkeypatch.setattr(http_server, "KEEP_ALIVE", 0.05)
    monkeypatch.setattr(http_server, "LOOK_EVERY", 0.05)
    with connect(health) as sock, sock.makefile("rb") as stream:
        sock.sendall(b"GET /sse HTTP/1.1\r\n\r\n")
        read_event(stream)
        assert stream.readline() == b":\n"


def test_streams_are_limited(health, elector):
    """The next one is refused, and probes are answered."""
    with contextlib.ExitStack() as open_ones:
        for _ in range(http_server.MOST_STREAMS):
            sock = open_ones.enter_context(connect(health))
            sock.sendall(b"GET /sse HTTP/1.1\r\n\r\n")
            assert sock.recv(15) == b"HTTP/1.1 200 OK"
        assert get(health, "/sse")[0] == 503
        assert get(health, "/livez")[0] == 200
        assert len(health._server._clients) <= http_server.MOST_STREAMS + 2


# Hostile clients ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /livez HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"BREW /livez HTTP/1.0\r\n\r\n", 405),
        (b"GET /livez\r\n\r\n", 400),
        (b"GET  /livez HTTP/1.1\r\n\r\n", 400),
        (b"GET /l\xc3\xa4nge HTTP/1.1\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\n", 400),
        (b"\x00\n", 400),
        (b"GET /livez HTTP/1.1\r\n" + b"X: " + b"x" * 9000, 431),
        (b"G" * 9000, 431),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"\r\nGET /livez HTTP/1.1\n\n", 200),
        (b"GET http://here:80/livez HTTP/1.1\r\n\r\n", 200),
        (b"GET //livez HTTP/1.1\r\n\r\n", 404),
        (b"GET /../../etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"GET /?lease=%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\n\r\n", 404),
    ],
)
def test_odd_requests_are_answered_in_one_line_and_closed(health, sent, status):
    """The answer comes through, though not all that was sent is read."""
    with connect(health) as sock:
        sock.sendall(sent)
        answer = b""
        while data := sock.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"Set-Cookie" not in answer.partition(b"\r\n\r\n")[0]
    assert get(health, "/livez")[0] == 200


def test_request_may_come_in_pieces(health):
    """As networks cut it."""
    with connect(health) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n":
            sock.sendall(bytes([byte]))
        assert sock.recv(15) == b"HTTP/1.1 200 OK"


def test_many_half_requests_hold_up_nobody(health):
    """Fault 72: slowloris: connections that say nothing, or half of it, are the first to go."""
    with contextlib.ExitStack() as open_ones:
        for number in range(3 * http_server.MOST_CLIENTS):
            sock = open_ones.enter_context(connect(health))
            with contextlib.suppress(ConnectionError):  # it was among the first
                sock.sendall(b"GET /livez HTTP/1.1\r\nX: "[: number % 30])
        assert get(health, "/livez")[0] == 200
        assert len(health._server._clients) <= http_server.MOST_CLIENTS
        probe = open_ones.enter_context(connect(health))
        probe.sendall(b"GET /livez ")
        for _ in range(10):
            open_ones.enter_context(connect(health))
        assert get(health, "/livez")[0] == 200
        probe.sendall(b"HTTP/1.1\r\n\r\n")
        assert probe.recv(15) == b"HTTP/1.1 200 OK", "who has waited longest went"


def test_who_is_slow_is_dropped(health, monkeypatch):
    """A connection costs a descriptor, which the election may need."""
    monkeypatch.setattr(http_server, "SLOWEST", 0.1)
    with connect(health) as sock:
        sock.sendall(b"GET /livez HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionResetError):  # it was dropped unread
            assert sock.recv(1) == b""
    eventually(lambda: not health._server._clients)


def test_who_reads_nothing_is_dropped(health, elector, monkeypatch):
    """An answer that nobody takes is not kept."""
    elector.problem = "x" * 20_000_000
    with connect(health) as sock:
        eventually(lambda: health._server._clients)
        monkeypatch.setattr(http_server, "SLOWEST", 0.3)  # for the answer alone
        sock.sendall(b"GET /livez HTTP/1.1\r\n\r\n")
        assert sock.recv(12) == b"HTTP/1.1 503"
        eventually(lambda: not health._server._clients)


def test_who_does_not_hang_up_is_dropped(health, monkeypatch):
    """The farewell has an end."""
    monkeypatch.setattr(http_server, "FAREWELL", 0.1)
    with connect(health) as sock:
        sock.sendall(b"GET /livez HTTP/1.1\r\n\r\n")
        assert sock.recv(12) == b"HTTP/1.1 200"
        eventually(lambda: not health._server._clients)


def test_no_descriptor_left_is_no_busy_loop(health, monkeypatch):
    """It waits a moment for one, drops who asks nothing, and goes on."""
    accept, refusals = http_server.accepted, []

    def refuse(listener):
        if len(refusals) < 3:
            refusals.append(time.monotonic())
            raise OSError(24, "Too many open files")
        return accept(listener)

    monkeypatch.setattr(http_server, "accepted", refuse)
    assert get(health, "/livez")[0] == 200
    assert refusals[2] - refusals[0] >= http_server.NO_ROOM


def test_answer_that_fails_is_logged_once(health, elector, monkeypatch, caplog):
    """G8: a defect of ours ends neither the server nor the process."""
    monkeypatch.setattr(
        FakeElector, "current_leader", property(lambda _: 1 / 0), raising=True
    )
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert get(health, "/leaderz")[::2] == (
                500,
                "ZeroDivisionError: see the log\n",
            )
        assert shared_log_thread().flush(PATIENCE)
    assert len(caplog.records) == 1
    assert get(health, "/livez")[0] == 200


def test_stream_that_fails_ends_alone(health, monkeypatch, caplog):
    """Neither the thread, nor what others ask of it."""
    with connect(health) as sock, sock.makefile("rb") as stream:
        sock.sendall(b"GET /sse HTTP/1.1\r\n\r\n")
        read_event(stream)
        with monkeypatch.context() as broken, caplog.at_level(logging.ERROR):
            broken.setattr(FakeElector, "leader_identity", property(lambda _: 1 / 0))
            health._server.wake()
            assert stream.read() == b""
            assert shared_log_thread().flush(PATIENCE)
    assert [record.exc_info[0] for record in caplog.records] == [ZeroDivisionError]
    assert get(health, "/")[0] == 200


def test_turn_that_fails_is_rested_after(health, monkeypatch):
    """No memory for the wait itself: it goes on when there is."""
    turn, failed = health._server._turn, threading.Event()

    def fail():
        if not failed.is_set():
            failed.set()
            raise MemoryError
        turn()

    monkeypatch.setattr(health._server, "_turn", fail)
    health._server.wake()
    assert failed.wait(PATIENCE)
    assert get(health, "/livez")[0] == 200


# Other processes ------------------------------------------------------------------


@pytest.mark.slow
def test_child_process_serves_nothing_and_keeps_no_address(health, elector):
    """Fault 15: else the address would stay taken when the parent is gone."""
    with connect(health) as waiting:
        eventually(lambda: health._server._clients)
        listener = health._server._listener.fileno()
        inode = Path(f"/proc/self/fd/{listener}").stat().st_ino
        assert inode in set(open_files())
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                health.close()  # harmless
                os.write(writer, b"kept" if inode in set(open_files()) else b"none")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(writer)
        with os.fdopen(reader, "rb") as told:
            assert told.read() == b"none"
        assert get(health, "/livez")[0] == 200
        waiting.sendall(b"GET /livez HTTP/1.1\r\n\r\n")
        assert waiting.recv(15) == b"HTTP/1.1 200 OK", "the parent's goes on"


def open_files():
    """Give what the descriptors of this process are, by inode."""
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the listing itself
            yield path.stat().st_ino


@pytest.mark.slow
def test_flood_of_requests_does_not_cost_the_lease(lease_server):
    """Fault 72: the thread that renews gets its turns beside one that is busy."""
    elector = Elector(
        lease_name="flooded",
        server=lease_server.url,
        auto_close=False,
        renew_interval_ms=300,
        lease_duration_sec=9,
    )
    losses, renewals, over = [], [], threading.Event()
    elector.on("leadership_lost", losses.append)
    elector.on("lease_renewed", renewals.append)
    with observability.serve(elector, "127.0.0.1:0") as health, elector:
        elector.wait_until_leading(PATIENCE)
        flooders = [
            threading.Thread(target=flood, args=(health, over)) for _ in range(4)
        ]
        for flooder in flooders:
            flooder.start()
        before = len(renewals)
        try:
            eventually(lambda: len(renewals) >= before + 5)
        finally:
            over.set()
        for flooder in flooders:
            flooder.join()
        assert losses == []


def flood(health, over):
    """Ask as fast as can be, and hang up in the middle of the answer."""
    while not over.is_set():
        with contextlib.suppress(OSError), connect(health) as sock:
            sock.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            sock.recv(1)
