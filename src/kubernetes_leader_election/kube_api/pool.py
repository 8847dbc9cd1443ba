"""Keep idle connections for the next request, and get rid of them after a fork."""

from __future__ import annotations

import contextlib
import ssl

from kubernetes_leader_election.credentials.base import Credentials
from kubernetes_leader_election.kube_api.call import Call, boottime
from kubernetes_leader_election.kube_api.connection import (
    Connection,
    SocketRegistry,
    open_connection,
)
from kubernetes_leader_election.process import native

_LONGEST_IDLE = 60.0
"""kube-apiserver closes idle connections after 90 s; a write must not meet that."""


class ConnectionPool:
    """
    The connections to one API server. Safe for threads.

    Args:
        credentials: Where the server is and how to reach it.
        most_idle: How many idle connections are kept.
    """

    def __init__(self, credentials: Credentials, *, most_idle: int) -> None:
        self._credentials = credentials
        self._most_idle = most_idle
        self._idle: list[Connection] = []
        self._lock = native.Lock()
        self._closed = False
        self._resting = False
        self._registry = SocketRegistry()

    @property
    def open_sockets(self) -> int:
        """Count the sockets that are open, idle or in use."""
        return len(self._registry)

    def take(self, context: ssl.SSLContext | None) -> Connection | None:
        """Return an idle connection that a request may be risked on, if there is one."""
        self._resting = False
        while True:
            with self._lock:
                if not self._idle:
                    return None
                # The last one used: the others may then grow old and be closed.
                connection = self._idle.pop()
            fresh = boottime() - connection.idle_since < _LONGEST_IDLE
            if fresh and connection.context is context and connection.is_usable():
                return connection
            connection.close()

    def open(self, context: ssl.SSLContext | None, call: Call) -> Connection:
        """
        Open a new connection; raises what :func:`.connection.open_connection` raises.

        A certificate that does not verify has the CA read again, once (fault 46).
        """
        try:
            return self._open(context, call)
        except ssl.SSLCertVerificationError:
            if not self._credentials.reload_trust(context, timeout=call.remaining()):
                raise
        context = self._credentials.tls_context(timeout=call.remaining())
        return self._open(context, call)

    def _open(self, context: ssl.SSLContext | None, call: Call) -> Connection:
        return open_connection(
            self._credentials, context=context, registry=self._registry, call=call
        )

    def give_back(self, connection: Connection) -> None:
        """Keep a connection whose last answer was read to its end."""
        connection.settle()
        with self._lock:
            self._idle.append(connection)
            keeps = not self._closed and not self._resting
            surplus = self._idle[: -self._most_idle if keeps else None]
            del self._idle[: len(surplus)]
        for old in surplus:
            old.close()

    def close(self) -> None:
        """Close the idle connections now, and those in use when they come back."""
        self._closed = True
        self.close_idle()

    def close_idle(self) -> None:
        """Close the idle connections, and what comes back before the next request."""
        with self._lock:
            self._resting = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def close_all(self) -> None:
        """Close every connection; nobody is left who could be using one."""
        self.close()
        # Fault 07: one that could not be closed or given back was forgotten.
        for sock in self._registry.take_all():
            sock.close()

    def drop_after_fork(self) -> None:
        """
        In a child process: close the copies of the parent's descriptors, in silence.

        No TLS goodbye and no shutdown: either would reach the server over the
        connection that the parent goes on using (fault 15).
        """
        self._lock = native.Lock()
        self._idle = []
        for sock in self._registry.take_all():
            descriptor = sock.detach()
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    native.original("os", "close")(descriptor)
