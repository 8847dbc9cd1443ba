import asyncio
import contextlib
import logging

from lightkube import AsyncClient
from lightkube.resources.coordination_v1 import Lease

from kubernetes_leader_election import Elector, Term

logging.basicConfig(level=logging.INFO, format="%(message)s")
logging.getLogger("httpx2").setLevel(logging.WARNING)
elector = Elector(lease_name="shop")


async def reconcile(term: Term) -> None:
    client = AsyncClient(namespace="default")
    async for _, lease in client.watch(Lease):
        print("reconciles", lease.metadata.name, flush=True)


with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it quietly
    asyncio.run(elector.run(reconcile))
