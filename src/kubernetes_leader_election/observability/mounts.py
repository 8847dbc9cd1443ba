"""``observability.asgi()`` and ``wsgi()``: the health endpoints within an application."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

from kubernetes_leader_election.observability.endpoints import (
    TEXT,
    Answer,
    Asked,
    Endpoints,
    event_of,
)

LONGEST_STREAM: Final = 10.0
"""
Seconds after which a stream ends, and its client comes again.

Servers of ASGI wait for open requests when they stop, and tell no application so: a
stream without an end would hold up the end of every pod.
"""
RETRY: Final = "retry: 1000\n"
"""After how many milliseconds a client comes again."""

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
AsgiApplication = Callable[[Scope, Receive, Send], Awaitable[None]]
WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], list[bytes]]


def asgi(elector: Asked | Iterable[Asked]) -> AsgiApplication:
    """
    Return an ASGI application with the endpoints of :func:`~.serving.serve`.

    .. code-block:: python

        app.mount("/election", observability.asgi(elector))

    They answer from the event loop of the application, so not while that is stuck. A
    stream of ``/sse`` ends after ten seconds; a client of server-sent events asks again
    by itself.

    Args:
        elector: The elector to ask, or several.

    Raises:
        ConfigurationError: This is not an elector.

    """
    endpoints = Endpoints(elector)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                path: str = scope["path"].removeprefix(scope.get("root_path", ""))
                query = scope.get("query_string", b"").decode("latin-1")
                answer = endpoints.answer(scope["method"], f"{path or '/'}?{query}")
                await _respond(endpoints, answer, scope["method"], receive, send)
            case "lifespan":
                await _live(receive, send)
            case "websocket":
                await send({"type": "websocket.close", "code": 1000})

    return application


async def _live(receive: Receive, send: Send) -> None:
    """Answer a server that runs this application alone."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _respond(
    endpoints: Endpoints, answer: Answer, method: str, receive: Receive, send: Send
) -> None:
    if answer.stream is None or method == "HEAD":
        body = b"" if method == "HEAD" else answer.body.encode()
        await send(_start(answer, len(answer.body.encode())))
        await send({"type": "http.response.body", "body": body})
        return
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the stream
            loop.call_soon_threadsafe(changed.set)

    if not endpoints.subscribe(wake):
        full = Answer(503, TEXT, "too many streams are open already\n")
        await _respond(endpoints, full, method, receive, send)
        return
    gone = asyncio.ensure_future(_until_gone(receive))
    try:
        await send(_start(answer, None))
        await _stream(answer.stream, changed, gone, send)
    finally:
        endpoints.unsubscribe(wake)
        gone.cancel()


async def _stream(
    data_now: Callable[[], str],
    changed: asyncio.Event,
    gone: asyncio.Future[None],
    send: Send,
) -> None:
    """Send an event at each change, until the client goes or the time is over."""
    end = time.monotonic() + LONGEST_STREAM
    shown = ""
    prefix = RETRY
    while not gone.done():
        changed.clear()
        data = data_now()
        if data != shown:
            shown = data
            body = (prefix + event_of(data)).encode()
            prefix = ""
            await send({"type": "http.response.body", "body": body, "more_body": True})
        left = end - time.monotonic()
        if left <= 0:
            break
        news = asyncio.ensure_future(changed.wait())
        either: set[asyncio.Future[Any]] = {news, gone}
        await asyncio.wait(either, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        news.cancel()
    await send({"type": "http.response.body", "body": b""})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _start(answer: Answer, length: int | None) -> dict[str, Any]:
    headers = [
        ("content-type", answer.content_type),
        ("cache-control", "no-cache"),
        *answer.headers,
    ]
    if length is not None and answer.stream is None:
        headers.append(("content-length", str(length)))
    return {
        "type": "http.response.start",
        "status": answer.status,
        "headers": [(n.lower().encode(), v.encode()) for n, v in headers],
    }


def wsgi(elector: Asked | Iterable[Asked]) -> WsgiApplication:
    """
    Return a WSGI application with the endpoints of :func:`~.serving.serve`.

    .. code-block:: python

        app.wsgi_app = DispatcherMiddleware(
            app.wsgi_app, {"/election": observability.wsgi(elector)}
        )

    ``/sse`` sends the current event and ends, as a stream would occupy a worker; a client
    of server-sent events asks again by itself, every five seconds.

    Args:
        elector: The elector to ask, or several.

    Raises:
        ConfigurationError: This is not an elector.

    """
    endpoints = Endpoints(elector)

    def application(
        environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> list[bytes]:
        target = f"{environ.get('PATH_INFO') or '/'}?{environ.get('QUERY_STRING', '')}"
        method = environ["REQUEST_METHOD"]
        answer = endpoints.answer(method, target)
        text = answer.body
        if answer.stream is not None:
            text = "retry: 5000\n" + event_of(answer.stream())
        body = text.encode()
        phrase = HTTPStatus(answer.status).phrase
        headers = [
            ("Content-Type", answer.content_type),
            ("Cache-Control", "no-cache"),
            ("Content-Length", str(len(body))),
            *answer.headers,
        ]
        start_response(f"{answer.status} {phrase}", headers)
        return [] if method == "HEAD" else [body]

    return application
