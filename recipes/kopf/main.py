import asyncio
import contextlib
import logging
from typing import Any

import kopf

from kubernetes_leader_election import Elector, Term

logging.basicConfig(level=logging.INFO, format="%(message)s")
logging.getLogger("kopf").setLevel(logging.WARNING)
elector = Elector(lease_name="shop")
stop_flag = asyncio.Event()


@kopf.on.event("coordination.k8s.io", "v1", "leases")
def lease_seen(name: str, **_: Any) -> None:
    print("handles", name, flush=True)


async def operate(term: Term) -> None:
    stop_flag.clear()
    await kopf.operator(namespaces=["default"], standalone=True, stop_flag=stop_flag)


with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C of a replica that waits
    asyncio.run(elector.run(operate, on_stop=stop_flag.set))
