import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI

from kubernetes_leader_election import Elector, Term

logging.basicConfig(level=logging.INFO, format="%(message)s")
elector = Elector(lease_name="shop", auto_close=False)  # the server has the signals


async def tidy_up(term: Term) -> None:
    while True:
        print("tidies up, token", term.fencing_token, flush=True)
        await asyncio.sleep(60)  # the job of the leader


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with elector.background(tidy_up):
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/leader")
async def leader() -> dict[str, str | bool | None]:
    return {"leader": elector.leader_identity, "here": elector.current_leader}
