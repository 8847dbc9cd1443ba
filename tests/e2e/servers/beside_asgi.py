"""Two ASGI applications: one leads in its lifespan, one is left to the server's hook."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from beside import note
from stamp import VERSION

from kubernetes_leader_election import Elector, Term
from kubernetes_leader_election.credentials import kubeconfig

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

elector = Elector(lease_name="beside", credentials=kubeconfig(), auto_close=False)


async def tidy_up(_: Term) -> None:
    """Do what only one replica does, and clean up, which takes its time."""
    note("begins", os.getpid(), VERSION)
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(
            0.3
        )  # cleaning up: an exit that does not wait for it cuts it
        note("ends", os.getpid())


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Lead for as long as the server runs."""
    if scope["type"] != "lifespan":
        await plain(scope, receive, send)
        return
    await receive()
    async with elector.background(tidy_up):
        note("starts", os.getpid())
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def plain(scope: dict[str, Any], _: Receive, send: Send) -> None:
    """Answer."""
    if scope["type"] == "lifespan":
        raise NotImplementedError  # which tells the server that there is none
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})
