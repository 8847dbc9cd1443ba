"""
A thousand candidates on one Lease: how many write after an expiry (rule 13).

Measured twice. As a thousand simulated processes, each the real core with a clock and
a watch of its own, where an answer and a delivery take 1 to 10 ms: this is what the
aims are about. And as a thousand electors of one engine, for comparison: they share
one interpreter and two processors with the server, so how late news reaches the last
of them depends on what else the machine does.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from multiprocessing.connection import Connection

from benchmarks.electors.figures import Figure, figure
from benchmarks.electors.server import CANDIDATE, LEADER, Address, Questions, begin

from kubernetes_leader_election.core.contending import longest_after_expiry
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing.simulation.generate import make_plan
from kubernetes_leader_election.testing.simulation.trace import Recorder
from kubernetes_leader_election.testing.simulation.world import run_plan

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
    assert len(acquired) == 1, "more than one of them led"
    one = f"{count} electors of one process"
    share = [100 * writes / count]
    told = {"limit": float("inf"), "aim": "(for comparison)"}
    return [
        figure(f"{one}: writes after an expiry", share, unit="% of all", **told),
        figure(f"{one}: D to the winner's event", [late], unit="s", **told),
    ]


def _simulate(seed: int) -> tuple[float, float]:
    """Return the share that wrote after the leader died, and how late the winner led."""
    recorder = Recorder()
    plan = make_plan(seed, "thousand")
    run_plan(plan, recorder=recorder)
    first, died = next((s.who, s.end) for s in recorder.works if s.end is not None)
    assert died is not None
    # Applied, whether or not its answer still found the leader alive.
    renewed = max(
        at
        for at, who, text in recorder.lines
        if who == "Lease" and text.startswith(f"holder={first} ")
    )
    expired = renewed + DURATION
    winner = next(span.begin for span in recorder.beliefs if span.begin > expired)
    writes = sum(
        "UpdateLease" in span.text and expired <= span.begin < winner + 1.0
        for span in recorder.requests
    )
    return writes / len(plan.nodes), winner - expired


def simulate(seeds: int) -> list[Figure]:
    """Let the leader of a thousand simulated processes die."""
    found = [_simulate(seed) for seed in range(seeds)]
    shares, late = [100 * share for share, _ in found], [late for _, late in found]
    allowed = longest_after_expiry(DURATION)
    return [
        figure(
            "1000 simulated processes: writes after an expiry",
            shares,
            unit="% of all",
            limit=100 * SHARE,
            judged="p99",
        ),
        figure(
            "1000 simulated processes: D to the winner's belief",
            late,
            unit="s",
            limit=allowed + 0.05,
            judged="p99",
            aim=f"p99 <= {allowed:g} s (the contending delay) + 0.05 s",
        ),
    ]
