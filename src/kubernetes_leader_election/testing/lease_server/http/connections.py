"""The listener and the connections of the server, in its event loop."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from kubernetes_leader_election.testing.lease_server.http.exchange import BODY_LIMIT
from kubernetes_leader_election.testing.listening import close_listener, settle

__all__ = ["Connections", "listen"]

BACKLOG = 4096
HEADER_LIMIT = 1 << 20
"""Bytes of a request line or of a header; Go's limit for all of them together."""
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def listen(host: str, port: int) -> socket.socket:
    """
    Take a port; 0 takes a free one.

    Raises:
        OSError: The port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except BaseException:
        listening.close()
        raise
    return listening


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Leave out what only says that a client sent no HTTP: it has its 400."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


_LOG = logging.getLogger("kubernetes_leader_election.lease_server")
_LOG.addFilter(_is_worth_a_line)


class Connections:
    """Accept connections and hand their requests on; can be closed and opened again."""

    def __init__(
        self, handle: Handler, *, context: ssl.SSLContext | None, idle: float
    ) -> None:
        self._handle = handle
        self._context = context
        self._idle = idle
        self._web: web.Server | None = None
        self._listener: asyncio.Server | None = None

    async def open(self, listening: socket.socket) -> None:
        """Begin to accept."""
        self._web = web.Server(
            self._handle,
            request_factory=_make_request,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=self._idle,
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
            logger=_LOG,
            auto_decompress=False,  # a real server does not look at Content-Encoding
        )
        self._listener = await asyncio.get_running_loop().create_server(
            self._web, sock=listening, ssl=self._context, backlog=BACKLOG
        )

    async def close(self, *, patience: float | None = None) -> None:
        """
        Close the listener and every connection.

        With ``patience`` in seconds, requests in flight are finished first, as a real
        server does on SIGTERM; without it connections are reset, as on SIGKILL.
        """
        web_server, self._web = self._web, None
        if web_server is None or self._listener is None:
            return
        await close_listener(self._listener)
        if patience is not None:
            web_server.pre_shutdown()
            await web_server.shutdown(timeout=patience)
            return
        _abort(web_server)
        await settle()
        await web_server.shutdown(timeout=0.0)
        await settle()

    def abort(self) -> None:
        """Reset every open connection; new ones are accepted."""
        if self._web is not None:
            _abort(self._web)


def _abort(web_server: web.Server) -> None:
    for connection in web_server.connections:
        transport = connection.transport
        if transport is not None:
            transport.abort()


class _Request(web.BaseRequest):
    """A request whose answer has the headers of a real server."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        # A real server does not name itself; aiohttp leaves no other way to take it out.
        response.headers.popall("Server", None)


def _make_request(
    message: Any, payload: Any, protocol: Any, writer: Any, task: Any
) -> web.BaseRequest:
    """Build requests that may be as large as the real server allows."""
    return _Request(
        message,
        payload,
        protocol,
        writer,
        task,
        asyncio.get_running_loop(),
        client_max_size=BODY_LIMIT + 1,
    )
