"""
Jobs of the leader in a pool of threads.

Each job holds the term while it runs: the Lease is released when the last one has ended,
though the work itself was told to stop before. A job that gets its thread after the term
was lost does not run.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor

from kubernetes_leader_election.sync import Elector, Term

pool = ThreadPoolExecutor(max_workers=4)


def job(term: Term, number: int) -> None:
    """Do something that takes its time, and cannot be interrupted."""
    with term.hold(f"job {number}"):
        time.sleep(0.5)
        print(f"job {number} done, token {term.fencing_token}", flush=True)


def work(term: Term) -> None:
    """Hand a job to the pool now and then, until the term is lost."""
    number = 0
    while not term.lost.wait(timeout=0.2):
        number += 1
        pool.submit(job, term, number)
    print(f"{elector.identity} hands out no more: {term.reason}", flush=True)


elector = Elector(lease_name="pool-worker", identity=os.environ.get("POD_NAME"))

if __name__ == "__main__":
    elector.run(work)
