"""A server that says exactly what a test wants said, byte by byte."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from tests.node_page import PATIENCE

from kubernetes_leader_election.credentials import Credentials, explicit
from kubernetes_leader_election.kube_api.call import Call, boottime
from kubernetes_leader_election.kube_api.client import LeaseClient


@dataclass
class Received:
    """One request as the server saw it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, server: Server) -> None:
        self.sock = sock
        self.server = server
        self._file = sock.makefile("rb")

    def read(self) -> Received | None:
        """Read one request; None when the client is gone."""
        try:
            line = self._file.readline()
            if not line.strip():
                return None
            method, target, _ = line.decode().split(" ", 2)
            headers = {}
            while (line := self._file.readline()).strip():
                name, _, value = line.decode().partition(":")
                headers[name.strip().lower()] = value.strip()
            body = self._file.read(int(headers.get("content-length", 0)))
        except (OSError, ValueError):  # gone, or it speaks something else
            return None
        received = Received(method, target, headers, body)
        self.server.requests.append(received)
        return received

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.sock.sendall(data)

    def reply(
        self,
        status: int,
        value: object = None,
        *,
        kind: str = "application/json",
        **headers: str,
    ) -> None:
        """Send one whole answer: bytes as they are, anything else as JSON."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}"]
        lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        self.send("\r\n".join(lines).encode() + body)

    def begin_stream(self, status: int = 200) -> None:
        """Send the head of a chunked answer."""
        self.send(
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )

    def chunk(self, data: bytes) -> None:
        """Send one chunk of it; the empty one ends it."""
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def event(self, kind: str, thing: object) -> None:
        """Send one event of a watch."""
        self.chunk(json.dumps({"type": kind, "object": thing}).encode() + b"\n")

    def wait_until_gone(self) -> bytes:
        """Read until the client has closed or cut the connection."""
        received = b""
        with contextlib.suppress(OSError):
            while piece := self._file.read1(65536):
                received += piece
        return received


@dataclass
class Server:
    """A listening socket and what came to it."""

    listener: socket.socket
    url: str
    requests: list[Received] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    connections: int = 0
    handshakes_failed: int = 0

    @property
    def port(self) -> int:
        """Give the port it listens on."""
        return self.listener.getsockname()[1]


def lease(version: str = "7", **spec: object) -> dict:
    """Make the Lease that the tests are about."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": "demo",
            "namespace": "apps",
            "uid": "u-1",
            "resourceVersion": version,
        },
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, **spec},
    }


def status(code: int, reason: str = "", message: str = "", **details: object) -> dict:
    """Make a Status as the API server does."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": code,
    }


def eventually(condition: Callable[[], object], *, within: float = PATIENCE) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.002)


@pytest.fixture(name="lease")
def lease_fixture() -> Callable[..., dict]:
    """Give the maker of the Lease that the tests are about."""
    return lease


@pytest.fixture(name="status")
def status_fixture() -> Callable[..., dict]:
    """Give the maker of a Status."""
    return status


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., None]:
    """Give the way to wait for a condition."""
    return eventually


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers that give each connection to a handler, on a thread of its own."""
    servers: list[Server] = []
    threads: list[threading.Thread] = []

    def start(
        handler: Callable[[Peer], None],
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> Server:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, 0), family=family)
        shown = f"[{host}]" if ":" in host else host
        scheme = "http" if tls is None else "https"
        url = f"{scheme}://{shown}:{listener.getsockname()[1]}"
        server = Server(listener, url)

        def serve_one(sock: socket.socket) -> None:
            try:
                if tls is not None:
                    sock = tls.wrap_socket(sock, server_side=True)
            except OSError:
                server.handshakes_failed += 1
                sock.close()
                return
            peer = Peer(sock, server)
            server.peers.append(peer)
            try:
                handler(peer)
            except OSError:
                pass  # the client is gone, which many tests intend
            except BaseException as error:
                server.failures.append(error)
                raise
            finally:
                peer._file.close()
                sock.close()

        def accept() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                server.connections += 1
                thread = threading.Thread(target=serve_one, args=(sock,), daemon=True)
                thread.start()
                threads.append(thread)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        threads.append(thread)
        servers.append(server)
        return server

    yield start
    for server in servers:
        with contextlib.suppress(OSError):
            server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()
        for peer in server.peers:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(peer.sock, socket.SHUT_RDWR)
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a server's thread did not end"
    assert not [f for server in servers for f in server.failures]


@pytest.fixture
def connect() -> Iterator[Callable[..., LeaseClient]]:
    """Make clients that are closed, and must have left no socket open, at the end."""
    clients: list[LeaseClient] = []

    def make(server: Server | Credentials, **options: object) -> LeaseClient:
        credentials = (
            server
            if isinstance(server, Credentials)
            else explicit(server=server.url, **options)
        )
        client = LeaseClient(credentials)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()
        assert client.open_sockets == 0


@pytest.fixture
def call() -> Callable[..., Call]:
    """Make calls with a deadline some seconds from now."""

    def make(seconds: float = PATIENCE) -> Call:
        return Call(deadline=boottime() + seconds)

    return make


class Authority:
    """A certificate authority for one test run."""

    def __init__(self, directory: Path, name: str = "test CA") -> None:
        self.directory = directory
        self._ca = trustme.CA(organization_name=name)
        self.ca_file = directory / "ca.crt"
        self._ca.cert_pem.write_to_path(self.ca_file)

    def issue(self, name: str, *alternatives: str) -> tuple[Path, Path]:
        """Write a certificate and its key; give the names of the files."""
        files = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        issued = self._ca.issue_cert(*alternatives, common_name=name)
        issued.cert_chain_pems[0].write_to_path(files[0])
        issued.private_key_pem.write_to_path(files[1])
        return files

    def server_context(
        self,
        *alternatives: str,
        asks_clients: ssl.VerifyMode = ssl.CERT_NONE,
    ) -> ssl.SSLContext:
        """Give the context of a server with such a certificate, which may want one."""
        names = alternatives or ("127.0.0.1", "::1", "localhost")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue("server", *names))
        context.verify_mode = asks_clients
        context.load_verify_locations(self.ca_file)
        return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The CA that the tests' servers have their certificates from."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def other_authority(tmp_path: Path) -> Authority:
    """A CA that nobody has heard of."""
    directory = tmp_path / "other"
    directory.mkdir()
    return Authority(directory, "other CA")
