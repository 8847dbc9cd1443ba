"""
One connection to the API server: opened, used and given up within its calls.

The request is written here, as one piece, and not by ``http.client``, because
``HTTPConnection`` opens a new connection behind one's back when the old one is gone,
shakes hands where nobody can interrupt it, and puts a token that cannot be sent into
its error message.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import select
import socket
import ssl
from collections.abc import Iterator
from typing import Any

from kubernetes_leader_election.credentials.base import (
    Credentials,
    Headers,
    Proxy,
    is_loopback,
)
from kubernetes_leader_election.kube_api.answer import (
    LARGEST_HEAD,
    Answer,
    Reader,
    read_head,
)
from kubernetes_leader_election.kube_api.call import Call, boottime
from kubernetes_leader_election.kube_api.tls import Socket, TlsSocket
from kubernetes_leader_election.process import native

_KEEPALIVE_IDLE = 15
_KEEPALIVE_INTERVAL = 5
_KEEPALIVE_COUNT = 3
_USER_TIMEOUT_MS = 30_000
"""A peer that is gone without a word is noticed within 30 s (fault 25)."""


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
        self._reader = Reader(sock)
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
        answer = read_head(reader, method)
        reader.budget = None if largest is None else largest + LARGEST_HEAD
        return answer

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
                call.check()
                # Without a wait in the kernel, which a shutdown before it would not end.
                _begin_to_connect(sock, address)
                call.attach(sock)
                remaining = call.check()
                if remaining is not None and left > 1:
                    # One address that swallows packets must not use up all the time.
                    remaining /= left
                _wait_until_connected(sock, remaining)
                # abandon() in the middle of it looks like success to some kernels.
                call.check()
        except OSError as error:
            failure = error
        else:
            _configure(sock)
            return sock
    call.check()
    raise failure


def _begin_to_connect(sock: socket.socket, address: Any) -> None:
    sock.setblocking(False)
    code = sock.connect_ex(address)
    if code not in (0, errno.EINPROGRESS, errno.EINTR):
        raise OSError(code, os.strerror(code))


def _wait_until_connected(sock: socket.socket, seconds: float | None) -> None:
    poll = native.original("select", "poll")()
    poll.register(sock, select.POLLOUT)
    if not poll.poll(None if seconds is None else max(seconds * 1000, 1)):
        raise TimeoutError("timed out")
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
    sock.setblocking(True)


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
    reader = Reader(sock)
    reader.call = call
    answer = read_head(reader, "CONNECT")
    if answer.status != http.HTTPStatus.OK or reader.leftover:
        why = ""
        if answer.status == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            why = ": it wants another user name and password"
        raise ConnectionRefusedError(f"it answered {answer.status}{why}")
