import asyncio
import contextlib
import logging

import kr8s
from kr8s.asyncio.objects import new_class

from kubernetes_leader_election import Elector, Term

logging.basicConfig(level=logging.INFO, format="%(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
Lease = new_class("Lease", "coordination.k8s.io/v1", asyncio=True)
elector = Elector(lease_name="shop")


async def reconcile(term: Term) -> None:
    api = await kr8s.asyncio.api()
    async for _, lease in api.async_watch(Lease, namespace="default"):
        print("reconciles", lease.name, flush=True)


with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it quietly
    asyncio.run(elector.run(reconcile))
