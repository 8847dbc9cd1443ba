"""The TCP proxy: what each fault looks like from both ends."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest
from tests.node_page import eventually

from kubernetes_leader_election.errors import ProtocolMisuseError
from kubernetes_leader_election.testing import TcpProxy

PATIENCE = 30.0
SILENCE = 0.15


class EchoServer:
    """Send back what is received, and remember it."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.received = bytearray()
        self.closed = threading.Event()
        self.connections: list[socket.socket] = []
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                threading.Thread(
                    target=self._echo, args=(connection,), daemon=True
                ).start()

    def _echo(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                self.received += chunk
                connection.sendall(chunk)
        self.closed.set()

    def wait_for(self, data: bytes) -> None:
        """Wait until so much has arrived."""
        deadline = time.monotonic() + PATIENCE
        while bytes(self.received) != data:
            assert time.monotonic() < deadline, bytes(self.received)
            time.sleep(0.005)

    def close(self) -> None:
        """Close everything."""
        # A thread in accept keeps the listener alive until it is woken.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(PATIENCE)
        # Only then: one that was being accepted would be left open.
        for connection in self.connections:
            connection.close()


@pytest.fixture
def echo():
    """Give an echo server."""
    server = EchoServer()
    yield server
    server.close()


@pytest.fixture
def proxy(echo):
    """Give a proxy in front of it."""
    with TcpProxy(echo.url) as one:
        yield one


@pytest.fixture
def connect():
    """Give a function that connects to a lane."""
    made: list[socket.socket] = []

    def make(lane):
        one = socket.create_connection(("127.0.0.1", lane.port), timeout=PATIENCE)
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


def receive(connection: socket.socket, count: int) -> bytes:
    """Read so many bytes."""
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            break
        data += chunk
    return data


def is_silent(connection: socket.socket, seconds: float = SILENCE) -> bool:
    """Tell whether nothing comes for so long."""
    connection.settimeout(seconds)
    try:
        return connection.recv(1) is None
    except TimeoutError:
        return True
    finally:
        connection.settimeout(PATIENCE)


def test_proxy_carries_both_ways(proxy, connect):
    """Without a fault the proxy is not there."""
    connection = connect(proxy)
    payload = bytes(range(256)) * 1000
    sender = threading.Thread(target=connection.sendall, args=(payload,))
    sender.start()
    assert receive(connection, len(payload)) == payload
    sender.join()


def test_proxy_passes_on_the_end(proxy, connect, echo):
    """A client that hangs up hangs up at the server, and the other way round."""
    connection = connect(proxy)
    connection.sendall(b"x")
    assert receive(connection, 1) == b"x"
    connection.shutdown(socket.SHUT_WR)
    assert echo.closed.wait(PATIENCE)
    echo.connections[0].close()
    assert receive(connection, 1) == b""


def test_black_hole_swallows_both_ways(proxy, connect, echo):
    """Black hole: nothing arrives on either side, nothing closes (fault 22)."""
    connection = connect(proxy)
    connection.sendall(b"a")
    assert receive(connection, 1) == b"a"
    proxy.black_hole()
    connection.sendall(b"b")
    assert is_silent(connection)
    assert bytes(echo.received) == b"a"


def test_black_hole_to_the_client_lets_requests_through(proxy, connect, echo):
    """Black hole one way: requests arrive, answers do not (fault 23)."""
    connection = connect(proxy)
    proxy.black_hole("to_client")
    connection.sendall(b"a")
    echo.wait_for(b"a")
    assert is_silent(connection)


def test_black_hole_to_the_server_lets_answers_through(proxy, connect, echo):
    """Black hole the other way: what the server says is heard."""
    connection = connect(proxy)
    connection.sendall(b"a")
    assert receive(connection, 1) == b"a"
    proxy.black_hole("to_server")
    connection.sendall(b"b")
    echo.connections[0].sendall(b"event")
    assert receive(connection, 5) == b"event"
    assert bytes(echo.received) == b"a"


def test_healing_delivers_what_was_held(proxy, connect, echo):
    """Black hole healed: held bytes arrive, as TCP would resend them (fault 29)."""
    connection = connect(proxy)
    connection.sendall(b"a")
    assert receive(connection, 1) == b"a"
    proxy.black_hole()
    connection.sendall(b"late")
    assert is_silent(connection)
    proxy.heal()
    assert receive(connection, 4) == b"late"
    echo.wait_for(b"alate")


def test_connections_into_a_black_hole_are_made_later(proxy, connect):
    """Black hole: a client connects and hears nothing, until it heals."""
    proxy.black_hole()
    connection = connect(proxy)
    connection.sendall(b"a")
    assert is_silent(connection)
    proxy.heal()
    assert receive(connection, 1) == b"a"


@pytest.mark.slow
def test_delay_holds_every_byte(proxy, connect):
    """Delay: the round trip takes twice as long, and the order is kept."""
    proxy.delay(0.15)
    connection = connect(proxy)
    began = time.monotonic()
    connection.sendall(b"abc")
    assert receive(connection, 3) == b"abc"
    assert time.monotonic() - began >= 0.3


@pytest.mark.slow
def test_delay_does_not_add_up(proxy, connect):
    """Delay: it shifts the stream, it does not slow it down."""
    proxy.delay(0.2, "to_server")
    connection = connect(proxy)
    began = time.monotonic()
    for _ in range(40):
        connection.sendall(b"x")
        time.sleep(0.01)  # so that each arrives by itself
    assert receive(connection, 40) == b"x" * 40
    assert time.monotonic() - began < 40 * 0.2


def test_drip_sends_byte_by_byte(proxy, connect):
    """Drip: each byte comes alone, with a pause after it (fault 26)."""
    proxy.drip(0.02)
    connection = connect(proxy)
    began = time.monotonic()
    connection.sendall(b"0123456789")
    data = b""
    while len(data) < 10:
        data += connection.recv(10)
        # Whoever looks late finds more than one; none came before its time.
        assert (len(data) - 1) * 0.02 <= time.monotonic() - began + 0.005
    assert data == b"0123456789"


def test_reset_is_a_reset(proxy, connect):
    """Reset: the client sees RST, not an orderly end (fault 24)."""
    connection = connect(proxy)
    connection.sendall(b"a")
    assert receive(connection, 1) == b"a"
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        connection.recv(1)


def test_closing_is_orderly(proxy, connect):
    """Close: the client sees the end of the stream."""
    connection = connect(proxy)
    connection.sendall(b"a")
    assert receive(connection, 1) == b"a"
    proxy.lane().close_connections()
    assert connection.recv(1) == b""


def test_half_open_connections_are_silent(proxy, connect, echo):
    """Half-open: the server is gone, the client's side stays, silent (fault 25)."""
    connection = connect(proxy)
    connection.sendall(b"a")
    assert receive(connection, 1) == b"a"
    proxy.half_open()
    assert echo.closed.wait(PATIENCE)
    connection.sendall(b"b")
    assert is_silent(connection)
    fresh = connect(proxy)
    fresh.sendall(b"c")
    assert receive(fresh, 1) == b"c"


def test_refused_connections(proxy, connect):
    """Refuse: nobody listens; open connections stay (fault 24)."""
    connection = connect(proxy)
    connection.sendall(b"a")
    assert receive(connection, 1) == b"a"
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    connection.sendall(b"b")
    assert receive(connection, 1) == b"b"
    proxy.heal()
    assert connect(proxy)


def test_unreachable_server_resets(connect, proxy, echo):
    """A server that is gone resets the client."""
    echo.close()

    def ask():
        connection = connect(proxy)
        connection.sendall(b"a")
        return connection.recv(1)

    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        ask()


def test_lanes_have_faults_of_their_own(proxy, connect):
    """Lanes: one client in a black hole, another one well."""
    lost, well = proxy.lane("a"), proxy.lane("b")
    lost.black_hole()
    first, second = connect(lost), connect(well)
    first.sendall(b"a")
    second.sendall(b"b")
    assert receive(second, 1) == b"b"
    assert is_silent(first)
    assert proxy.lane("a") is lost
    eventually(lambda: lost.open_connections == 1)
    assert well.accepted == 1


def test_urls_keep_the_scheme(echo):
    """The proxy's address has the scheme of the server's."""
    with TcpProxy(echo.url.replace("http:", "https:")) as proxy:
        assert proxy.url == f"https://127.0.0.1:{proxy.port}"


def test_misuse_is_said(echo):
    """An address without a port, a second start, an order after the end."""
    with pytest.raises(ProtocolMisuseError):
        TcpProxy("http://127.0.0.1")
    proxy = TcpProxy(echo.url)
    with proxy, pytest.raises(ProtocolMisuseError):
        proxy.start()
    proxy.stop()
    with pytest.raises(ProtocolMisuseError):
        proxy.heal()
