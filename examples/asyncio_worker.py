"""
Work on one replica only, with asyncio.

The work is cancelled when the term is lost, early enough that no two replicas work at
once; then this one contends again. SIGTERM releases the Lease after the work has ended.
"""

import asyncio
import os

from kubernetes_leader_election import Elector, Term


async def work(term: Term) -> None:
    """Do a little every second, until the term is lost or the program ends."""
    print(f"{elector.identity} works, token {term.fencing_token}", flush=True)
    try:
        while True:
            await asyncio.sleep(1)
    finally:
        print(f"{elector.identity} has stopped: {term.reason}", flush=True)


elector = Elector(lease_name="asyncio-worker", identity=os.environ.get("POD_NAME"))

if __name__ == "__main__":
    asyncio.run(elector.run(work))
