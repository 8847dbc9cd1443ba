"""
One connection to the API server: opened, used and given up within its calls.

``http.client`` parses the answers; the request is written here, as one piece, because
``HTTPConnection`` opens a new connection behind one's back when the old one is gone,
shakes hands where nobody can interrupt it, and puts a token that cannot be sent into
its error message.
"""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import ssl
from collections.abc import Iterator
from typing import cast

from kubernetes_leader_election.credentials.base import (
    Credentials,
    Headers,
    Proxy,
    is_loopback,
)
from kubernetes_leader_election.kube_api.call import Call, boottime
from kubernetes_leader_election.kube_api.tls import Socket, TlsSocket
from kubernetes_leader_election.process import native

LARGEST_BODY = 1 << 20
"""A Lease is under 1 kB, a page of a list under 200 kB (fault 49)."""

_LARGEST_HEAD = 1 << 16
_PIECE = 1 << 16

_KEEPALIVE_IDLE = 15
_KEEPALIVE_INTERVAL = 5
_KEEPALIVE_COUNT = 3
_USER_TIMEOUT_MS = 30_000
"""A peer that is gone without a word is noticed within 30 s (fault 25)."""


class TooLargeError(http.client.HTTPException):
    """Say that an answer is larger than any answer of the Lease API."""


class SocketRegistry:
    """
    Know every open socket, so that a child process can close its copies of them.

    Only ``add``, ``discard`` and copying, each one step of the interpreter: what a
    fork finds is whole, and needs no lock that another thread may have held.
    """

    def __init__(self) -> None:
        self._sockets: set[Socket] = set()

    def __len__(self) -> int:
        return len(self._sockets)

    def add(self, sock: Socket) -> None:
        """Remember an open socket."""
        self._sockets.add(sock)

    def forget(self, sock: Socket) -> None:
        """Forget a socket that is part of another one now."""
        self._sockets.discard(sock)

    def close(self, sock: Socket) -> None:
        """Close a socket and forget it."""
        self._sockets.discard(sock)
        sock.close()

    def take_all(self) -> list[Socket]:
        """Return all sockets and forget them."""
        sockets = list(self._sockets)
        self._sockets = set()
        return sockets


class _Reader:
    """
    The part of a file that :class:`http.client.HTTPResponse` reads from.

    It has a budget, keeps the deadline of the call that is going on at each wait, and
    can tell whether the server has sent more than its answer.
    """

    closed = False

    def __init__(self, sock: Socket) -> None:
        self._sock = sock
        self._data = bytearray()
        self._at_end = False
        self.call: Call | None = None
        self.budget: int | None = 0

    def makefile(self, _mode: str) -> _Reader:
        """Be the file of the socket that this object is taken for."""
        return self

    @property
    def leftover(self) -> bool:
        """Return whether something was received and not read."""
        return bool(self._data)

    def readline(self, limit: int = -1) -> bytes:
        """Return one line with its end; less at the end of the stream or at ``limit``."""
        searched = 0
        while True:
            end = self._data.find(b"\n", searched) + 1
            if end and (limit < 0 or end <= limit):
                return self._take(end)
            if 0 <= limit <= len(self._data):
                return self._take(limit)
            searched = len(self._data)
            if not self._fill():
                return self._take(searched)

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes; fewer only at the end of the stream."""
        if size < 0:
            raise http.client.HTTPException("a length is negative")
        while len(self._data) < size and self._fill():
            pass
        return self._take(min(size, len(self._data)))

    def read1(self, size: int) -> bytes:
        """Return what there is, at most ``size`` bytes, after at most one wait."""
        if size < 0:
            raise http.client.HTTPException("a length is negative")
        if size and not self._data:
            self._fill()
        return self._take(min(size, len(self._data)))

    def flush(self) -> None:
        """Do nothing: nothing is written here."""

    def close(self) -> None:
        """Do nothing: the connection outlives its answers."""

    def _take(self, size: int) -> bytes:
        piece = bytes(self._data[:size])
        del self._data[:size]
        return piece

    def _fill(self) -> bool:
        if self._at_end:
            return False
        assert self.call is not None  # noqa: S101 - nothing is read between calls
        self.call.arm(self._sock)
        piece = self._sock.recv(_PIECE)
        if not piece:
            self._at_end = True
            return False
        if self.budget is not None:
            self.budget -= len(piece)
            if self.budget < 0:
                raise TooLargeError("the answer is too large")
        self._data += piece
        return True


class Answer:
    """The head of an answer; its body is read from the connection, once."""

    __slots__ = ("_reader", "_response", "status")

    def __init__(self, response: http.client.HTTPResponse, reader: _Reader) -> None:
        self._response = response
        self._reader = reader
        self.status = response.status

    def header(self, name: str) -> str:
        """Return a header of the answer; empty when it is not there."""
        return self._response.headers.get(name, "")

    def pieces(self) -> Iterator[bytes]:
        """
        Yield the body as it arrives.

        Raises:
            http.client.HTTPException: it ends before its end, or breaks the rules.
            OSError: the connection broke.
            CallOverError: the call is over.
        """
        response = self._response
        while piece := response.read1(_PIECE):
            yield piece
            if response.length == 0:
                break
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)

    def body(self) -> bytes:
        """
        Return the whole body.

        Raises:
            TooLargeError: it is larger than 1 MiB.
            http.client.HTTPException: it ends before its end, or breaks the rules.
            OSError: the connection broke.
            CallOverError: the call is over.
        """
        if self._response.length is not None and self._response.length > LARGEST_BODY:
            raise TooLargeError("the answer is too large")
        if self._reader.budget is None:
            # Asked for as a stream, and answered with an error of no known length.
            self._reader.budget = LARGEST_BODY
        return b"".join(self.pieces())

    @property
    def leaves_connection_usable(self) -> bool:
        """Tell, after the body, whether another request may follow on the connection."""
        # A server that has sent more than its answer is out of step: what comes next
        # would be taken for the answer to the next request.
        return not self._response.will_close and not self._reader.leftover


class Connection:
    """
    An open connection. Used by one thread at a time.

    ``context`` is what it was opened with; ``idle_since`` CLOCK_BOOTTIME seconds of its
    last use.
    """

    def __init__(
        self,
        sock: Socket,
        *,
        context: ssl.SSLContext | None,
        registry: SocketRegistry,
    ) -> None:
        self._sock = sock
        self._registry = registry
        self._reader = _Reader(sock)
        self.context = context
        self.idle_since = 0.0

    def send(
        self, method: str, target: str, headers: Headers, body: bytes | None, call: Call
    ) -> None:
        """
        Send one whole request.

        The caller has checked ``method``, ``target`` and ``headers`` for line breaks.

        Raises:
            CallOverError: the call is over and *nothing* was sent.
            OSError: the connection broke; the request may have been received.
        """
        lines = [f"{method} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join((*lines, "", "")).encode("ascii")
        call.attach(self._sock)
        call.arm(self._sock)
        self._sock.sendall(head + (body or b""))

    def receive(self, method: str, call: Call, *, largest: int | None) -> Answer:
        """
        Wait for the head of the answer.

        Args:
            method: Of the request.
            call: Bounds every wait.
            largest: Bytes that body and framing may have; None for a stream.

        Raises:
            http.client.HTTPException: it is not HTTP, or there is none.
            OSError: the connection broke.
            CallOverError: the call is over.
        """
        reader = self._reader
        reader.call = call
        reader.budget = _LARGEST_HEAD
        # It asks the socket for makefile() and nothing else.
        response = http.client.HTTPResponse(
            cast("socket.socket", reader), method=method
        )
        response.begin()
        reader.budget = None if largest is None else largest + _LARGEST_HEAD
        return Answer(response, reader)

    def settle(self) -> None:
        """Part from the call: the connection goes back to where it is kept."""
        self._reader.call = None
        self.idle_since = boottime()

    def is_usable(self) -> bool:
        """
        Look at an idle connection: anything to read on it means that it is dead.

        A close, a reset, a goodbye or an answer to nothing: none of them leaves a
        connection that a write may be risked on.
        """
        poll = native.original("select", "poll")()
        poll.register(self._sock, select.POLLIN | select.POLLPRI)
        if poll.poll(0):
            return False
        return not (isinstance(self._sock, TlsSocket) and self._sock.has_unread)

    def close(self, call: Call | None = None) -> None:
        """Close the connection; first take it out of the reach of ``call``."""
        if call is not None:
            call.detach()
        self._registry.close(self._sock)


def open_connection(
    credentials: Credentials,
    *,
    context: ssl.SSLContext | None,
    registry: SocketRegistry,
    call: Call,
) -> Connection:
    """
    Open a connection: look the host up, connect, go through the proxy, shake hands.

    Nothing of a request has been sent when this raises.

    Raises:
        OSError: one of the steps failed (``socket.gaierror``, ``ssl.SSLError``, ...).
        http.client.HTTPException: the proxy does not speak HTTP.
        CallOverError: the call is over.
    """
    server, proxy = credentials.server, credentials.proxy
    target = (server.host, server.port) if proxy is None else (proxy.host, proxy.port)
    plain = _connect(*target, registry, call, loopback_only=context is None)
    sock: Socket = plain
    with _closed_on_failure(plain, registry, call):
        if proxy is not None:
            _go_through(proxy, plain, server.authority, call)
        if context is not None:
            sock = _secure(plain, context, credentials.server_hostname, registry, call)
    return Connection(sock, context=context, registry=registry)


@contextlib.contextmanager
def _closed_on_failure(
    sock: Socket, registry: SocketRegistry, call: Call
) -> Iterator[None]:
    try:
        yield
    except BaseException:
        call.detach()
        registry.close(sock)
        raise


def _connect(
    host: str, port: int, registry: SocketRegistry, call: Call, *, loopback_only: bool
) -> socket.socket:
    call.check()
    # As bytes: text would load the tables of internationalised names, for nothing.
    look_up = native.original("socket", "getaddrinfo")
    found = look_up(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    if loopback_only and is_loopback(host):
        # "localhost" is whatever the resolver says; plain http trusts the kernel only.
        found = [entry for entry in found if is_loopback(str(entry[4][0]))]
    failure: OSError = OSError(f"no address was found for {host}")
    for left, (family, kind, protocol, _, address) in zip(
        range(len(found), 0, -1), found, strict=True
    ):
        sock: socket.socket = native.original("socket", "socket")(
            family, kind, protocol
        )
        registry.add(sock)
        try:
            with _closed_on_failure(sock, registry, call):
                call.attach(sock)
                call.arm(sock)
                remaining = call.remaining()
                if remaining is not None and left > 1:
                    # One address that swallows packets must not use up all the time.
                    sock.settimeout(max(remaining / left, 0.001))
                sock.connect(address)
                # abandon() in the middle of it looks like success to some kernels.
                call.check()
        except OSError as error:
            failure = error
        else:
            _configure(sock)
            return sock
    call.check()
    raise failure


def _configure(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", _KEEPALIVE_IDLE),
        ("TCP_KEEPINTVL", _KEEPALIVE_INTERVAL),
        ("TCP_KEEPCNT", _KEEPALIVE_COUNT),
        ("TCP_USER_TIMEOUT", _USER_TIMEOUT_MS),
    ):
        if hasattr(socket, option):  # not all of them exist outside Linux
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _secure(
    plain: socket.socket,
    context: ssl.SSLContext,
    hostname: str,
    registry: SocketRegistry,
    call: Call,
) -> TlsSocket:
    sock = TlsSocket(plain, context, hostname)
    registry.add(sock)
    registry.forget(plain)
    with _closed_on_failure(sock, registry, call):
        # abandon() goes on reaching the plain one, so a handshake that hangs can be ended.
        call.arm(sock)
        sock.do_handshake()
    return sock


def _go_through(proxy: Proxy, sock: socket.socket, authority: str, call: Call) -> None:
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    call.arm(sock)
    sock.sendall("\r\n".join((*lines, "", "")).encode("ascii"))
    reader = _Reader(sock)
    reader.call, reader.budget = call, _LARGEST_HEAD
    response = http.client.HTTPResponse(cast("socket.socket", reader), method="CONNECT")
    response.begin()
    if response.status != http.HTTPStatus.OK or reader.leftover:
        why = ""
        if response.status == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            why = ": it wants another user name and password"
        raise ConnectionRefusedError(f"it answered {response.status}{why}")
