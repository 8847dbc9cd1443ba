"""
A web application: every replica answers, and one of them does a job besides.

Run it under any ASGI server, for instance ``uvicorn examples.asgi_app:app``. The
elector lives in the application's lifespan: the server owns the signals, so
``auto_close`` is off and the end of the lifespan stops the elector. A job that fails is
logged and tried again, here or on another replica. With FastAPI or Starlette the body
of ``lifespan`` is what you pass as ``lifespan=``, and the probes of the pod are mounted
by ``app.mount("/election", observability.asgi(elector))``.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from kubernetes_leader_election import Elector, Term, observability

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# No identity: each worker has one of its own, with the pod's name and its process id.
elector = Elector(lease_name="asgi-app", auto_close=False)
election = observability.asgi(elector)


async def tidy_up(term: Term) -> None:
    """Do the job that only one replica does."""
    while True:
        term.ensure(1.0)
        await asyncio.sleep(1.0)


@contextlib.asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    """Contend as long as the application lives."""
    async with elector.background(tidy_up):
        yield


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answer who leads; this is plain ASGI, so that the example needs no framework."""
    if scope["type"] == "lifespan":
        await receive()
        async with lifespan():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"].startswith("/election/"):
        await election({**scope, "root_path": "/election"}, receive, send)
        return
    body = {"leader": elector.leader_identity, "here": elector.current_leader}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
