"""
Give the Lease up when the event loop has been stuck for too long.

Only where that is safe: the resource checks the fencing token, so that what the stuck
work sends after its term is refused.
"""

import asyncio
import os

from kubernetes_leader_election import Elector, Term

elector = Elector(
    lease_name="liveness-loop",
    identity=os.environ.get("POD_NAME"),
    liveness="loop",
    liveness_timeout_sec=10,
)


async def work(term: Term) -> None:
    """Work in steps that are short, so that the loop turns in between."""
    while True:
        term.check()
        await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(elector.run(work))
