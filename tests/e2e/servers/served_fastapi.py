"""A FastAPI application with the health endpoints mounted, and a route for the leader."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from kubernetes_leader_election import Elector, Term, observability, sync
from kubernetes_leader_election.credentials import kubeconfig

credentials = kubeconfig()
elector = Elector(lease_name="served", credentials=credentials, auto_close=False)
threaded = sync.Elector(
    lease_name="served-too", credentials=credentials, auto_close=False
)
leading = observability.require_leader(elector)
leading_in_threads = observability.require_leader(threaded)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Contend for as long as the application lives."""
    async with elector:
        with threaded:
            yield


app = FastAPI(lifespan=lifespan)
app.mount("/election", observability.asgi(elector))


@app.post("/bill")
async def bill(term: Annotated[Term, Depends(leading)]) -> dict[str, object]:
    """Do what only the leader may."""
    return {"token": term.fencing_token, "pid": os.getpid()}


@app.post("/mail")
def mail(term: Annotated[sync.Term, Depends(leading_in_threads)]) -> dict[str, int]:
    """Do so in a worker thread."""
    return {"token": term.fencing_token}


async def charge(_: Request) -> PlainTextResponse:
    """Do so as Starlette has it, without dependencies."""
    async with asynccontextmanager(leading)() as term:
        return PlainTextResponse(str(term.fencing_token))


app.router.routes.append(Route("/charge", charge, methods=["POST"]))
