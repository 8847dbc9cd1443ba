"""
A thousand candidates on one Lease: how many write after an expiry (rule 13).

All of them are electors of one engine, in one process: each has a watch of its own,
but they share one processor, so news reaches the last of them later than it would
reach a process of its own.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from multiprocessing.connection import Connection

from benchmarks.electors.figures import Figure
from benchmarks.electors.server import CANDIDATE, LEADER, Address, Questions, begin

from kubernetes_leader_election.core.life import AFTER_EXPIRY
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.sync import Elector

DURATION = 20
SHARE = 0.08
LEASE = "crowd"


def _lead(pipe: Connection, address: Address) -> None:
    with Elector(
        lease_name=LEASE,
        identity="first",
        lease_duration_sec=DURATION,
        renew_interval_ms=3000,
        **address.options(LEADER),
    ) as elector:
        elector.wait_until_leading(timeout=30)
        pipe.send("leads")
        pipe.recv()


def _stand(pipe: Connection, address: Address, count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * count + soft), hard))
    options = address.options(CANDIDATE)
    credentials = explicit(
        server=options.pop("server"),
        token=options.pop("token"),
        ca_file=options.pop("ca_file"),
    )
    acquired: list[float] = []
    electors = [
        Elector(
            lease_name=LEASE,
            identity=f"candidate-{number}",
            lease_duration_sec=DURATION,
            renew_interval_ms=3000,
            credentials=credentials,
            **options,
        )
        for number in range(count)
    ]
    for elector in electors:
        elector.on(
            "leadership_acquired", lambda _event: acquired.append(time.monotonic())
        )
        elector.start()
        elector.wait_for_leader(timeout=60)
    pipe.send("all stand")
    while not acquired:
        time.sleep(0.005)
    time.sleep(2)
    pipe.send(acquired)
    pipe.recv()
    os._exit(0)  # a thousand watches need no farewell


def measure(server: Questions, count: int) -> list[Figure]:
    """Kill the leader of a Lease that so many candidates watch."""
    leader, ours = begin(_lead, server.address)
    ours.recv()
    crowd, many = begin(_stand, server.address, count)
    many.recv()
    while server.watches() < count:
        time.sleep(0.1)
    time.sleep(4)
    assert leader.pid is not None
    os.kill(leader.pid, signal.SIGKILL)
    leader.join()
    acquired = many.recv()
    log = server.requests()
    last = max(at for at, user, verb, _, _ in log if (user, verb) == (LEADER, "update"))
    writers = [
        at
        for at, user, verb, name, _ in log
        if (user, verb, name) == (CANDIDATE, "update", LEASE) and at > last
    ]
    many.send("stop")
    crowd.join()
    writes = sum(at - last < DURATION + 2 for at in writers)
    late = acquired[0] - last - DURATION
    allowed = min(AFTER_EXPIRY, 0.05 * DURATION)
    return [
        Figure(
            what=f"{count} candidates: writes after an expiry",
            unit="% of all",
            n=count,
            median=100 * writes / count,
            p99=100 * writes / count,
            aim=f"<= {100 * SHARE:g} %",
            met=writes <= SHARE * count and len(acquired) == 1,
        ),
        Figure(
            what=f"{count} candidates: D to the winner's event",
            unit="s",
            n=1,
            median=late,
            p99=late,
            aim=f"<= {allowed:g} s (the contending delay) + 0.1 s",
            met=late <= allowed + 0.1,
        ),
    ]
