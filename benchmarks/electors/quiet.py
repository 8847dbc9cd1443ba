"""Requests while nothing goes wrong, counted at the server (G9)."""

from __future__ import annotations

import time
from collections import Counter
from multiprocessing.connection import Connection

from benchmarks.electors.figures import Figure
from benchmarks.electors.server import CANDIDATE, LEADER, Address, Questions, begin

from kubernetes_leader_election.sync import Elector

INTERVAL = 1.0
ROUNDS = 10
LEASE = "quiet"


def _take_part(pipe: Connection, address: Address, user: str) -> None:
    elector = Elector(
        lease_name=LEASE,
        identity=user,
        renew_interval_ms=int(INTERVAL * 1000),
        lease_duration_sec=4,
        **address.options(user),
    )
    with elector:
        elector.wait_for_leader(timeout=30)
        pipe.send("ready")
        pipe.recv()


def measure(server: Questions) -> list[Figure]:
    """Count the requests of a leader and a candidate over ten renewals."""
    pipes, processes = [], []
    for user in (LEADER, CANDIDATE):
        process, ours = begin(_take_part, server.address, user)
        ours.recv()
        pipes.append(ours)
        processes.append(process)
    time.sleep(2 * INTERVAL)
    # From just after one renewal to just after the tenth that follows.
    first = len(_renewals(server))
    while len(_renewals(server)) == first:
        time.sleep(0.01)
    server.forget()
    while len(_renewals(server)) < ROUNDS:
        time.sleep(0.01)
    counts: dict[str, Counter[str]] = {LEADER: Counter(), CANDIDATE: Counter()}
    for _, user, verb, _, _ in server.requests():
        counts[user][verb] += 1
    for pipe in pipes:
        pipe.send("stop")
    for process in processes:
        process.join()
    leader, candidate = counts[LEADER], sum(counts[CANDIDATE].values())
    others = sum(leader.values()) - leader["update"]
    return [
        _count("leader: writes over 10 renewals", leader["update"], ROUNDS),
        _count("leader: other requests over 10 renewals", others, 0),
        _count("waiting candidate: requests over 10 renewals", candidate, 0),
    ]


def _renewals(server: Questions) -> list[float]:
    return [
        at
        for at, user, verb, name, _ in server.requests()
        if (user, verb, name) == (LEADER, "update", LEASE)
    ]


def _count(what: str, counted: int, wanted: int) -> Figure:
    return Figure(
        what=what,
        unit="requests",
        n=1,
        median=counted,
        p99=counted,
        aim=f"= {wanted}",
        met=counted == wanted,
    )
