"""
Work on one replica only, without asyncio.

Nobody can cancel a thread: the work looks at ``term.lost`` often enough to end within
the stop budget. The Lease is never released under the feet of work that still runs.
"""

import os

from kubernetes_leader_election.sync import Elector, Term


def work(term: Term) -> None:
    """Do a little every second, until the term is lost or the program ends."""
    print(f"{elector.identity} works, token {term.fencing_token}", flush=True)
    while not term.lost.wait(timeout=1.0):
        term.check()
    print(f"{elector.identity} has stopped: {term.reason}", flush=True)


elector = Elector(lease_name="threaded-worker", identity=os.environ.get("POD_NAME"))

if __name__ == "__main__":
    elector.run(work)
