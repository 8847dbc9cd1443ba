"""
TLS over a plain socket, in memory: the socket below stays in our hands.

``ssl.SSLSocket`` is a socket itself. gevent puts another one in its place, whose waits
belong to a loop that the threads of an election do not have; its ``shutdown()`` takes the
TLS state away under the thread that uses it; and each of its steps may take the whole
timeout anew. Here the waits are those of the plain socket, until one instant.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

_PIECE = 1 << 16


class TlsSocket:
    """
    The part of a socket that a client needs, over TLS. Used by one thread at a time.

    Raises of its steps are those of ``ssl.SSLSocket``: ``ssl.SSLError`` and its kinds,
    TimeoutError, any other OSError.

    Args:
        plain: connected; closed with this one.
        context: what is believed, and which certificate is shown.
        hostname: which the server's certificate must name.

    """

    def __init__(
        self, plain: socket.socket, context: ssl.SSLContext, hostname: str
    ) -> None:
        self._plain = plain
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._received,
            self._to_send,
            # As bytes: text would load the tables of internationalised names.
            server_hostname=hostname.encode("ascii"),
        )
        self._until: float | None = None
        """The ``time.monotonic()`` until which waits may last; None: for ever."""

    @property
    def has_unread(self) -> bool:
        """Whether something was received that nobody has read, be it of TLS itself."""
        return bool(self._tls.pending() or self._received.pending)

    def do_handshake(self) -> None:
        """Agree with the server, and check who it is."""
        try:
            self._step(self._tls.do_handshake)
        except ssl.SSLError:
            with contextlib.suppress(OSError):  # what is raised says more
                self._send()  # the alert that tells the server why
            raise

    def recv(self, size: int) -> bytes:
        """Return what there is, at most ``size`` bytes; nothing once the server ended."""
        return self._step(self._tls.read, size)

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        while data:
            data = data[self._step(self._tls.write, data) :]

    def settimeout(self, seconds: float | None) -> None:
        """Let all waits from now on end after so many seconds in sum; None: never."""
        self._until = None if seconds is None else time.monotonic() + seconds
        self._plain.settimeout(seconds)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._plain.fileno()

    def shutdown(self, how: int) -> None:
        """End the waits of the plain socket, without a word of TLS. Any thread."""
        self._plain.shutdown(how)

    def close(self) -> None:
        """Close the plain socket, without a word of TLS."""
        self._plain.close()

    def detach(self) -> int:
        """Give the descriptor away; -1 if it is closed."""
        return self._plain.detach()

    def _step(
        self, step: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        while True:
            try:
                done = step(*args, **kwargs)
            except ssl.SSLWantReadError:
                self._send()
                self._receive()
            else:
                self._send()
                return done

    def _send(self) -> None:
        if self._to_send.pending:
            self._limit()
            self._plain.sendall(self._to_send.read())

    def _receive(self) -> None:
        self._limit()
        if piece := self._plain.recv(_PIECE):
            self._received.write(piece)
        else:
            self._received.write_eof()

    def _limit(self) -> None:
        if self._until is not None:
            left = self._until - time.monotonic()
            if left <= 0.0:
                raise TimeoutError("timed out")
            self._plain.settimeout(left)


Socket = socket.socket | TlsSocket
"""What a connection goes over."""
