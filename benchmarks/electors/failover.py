"""Crash fail-over: kill -9 of a leader of many Leases, from its last applied renewal."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection

from benchmarks.electors.figures import Figure, figure
from benchmarks.electors.server import CANDIDATE, LEADER, Address, Questions, begin

from kubernetes_leader_election.sync import Elector

ALLOWED = 0.5
"""Seconds over D."""


def _hold(
    pipe: Connection, address: Address, user: str, duration: int, names: list[str]
) -> None:
    electors = [
        Elector(
            lease_name=name,
            identity=user,
            lease_duration_sec=duration,
            renew_interval_ms=duration * 1000 // 3,
            **address.options(user),
        )
        for name in names
    ]
    acquired: dict[str, float] = {}
    for elector in electors:
        elector.on(
            "leadership_acquired",
            lambda event: acquired.setdefault(event.lease, time.monotonic()),
        )
        elector.start()
    for elector in electors:
        elector.wait_for_leader(timeout=60)
    pipe.send("known")
    while len(acquired) < len(names):
        time.sleep(0.01)
    pipe.send(acquired)
    pipe.recv()
    for elector in electors:
        elector.stop()


def _round(server: Questions, duration: int, names: list[str]) -> list[float]:
    leader, ours = begin(_hold, server.address, LEADER, duration, names)
    ours.recv(), ours.recv()
    heir, heirs = begin(_hold, server.address, CANDIDATE, duration, names)
    heirs.recv()
    time.sleep(duration * 0.4)
    assert leader.pid is not None
    os.kill(leader.pid, signal.SIGKILL)
    leader.join()
    acquired = heirs.recv()
    last = {
        name: answered
        for answered, user, verb, name, status in server.requests()
        if user == LEADER and verb == "update" and status in (200, 201)
    }
    heirs.send("stop")
    heir.join()
    return [acquired[name] - last[name] for name in names]


def measure(server: Questions, *, duration: int, rounds: int, leases: int) -> Figure:
    """Kill a leader of so many Leases so many times."""
    took: list[float] = []
    for number in range(rounds):
        names = [f"crash-{duration}-{number}-{i}" for i in range(leases)]
        took += _round(server, duration, names)
    return figure(
        f"crash fail-over, D = {duration} s",
        took,
        unit="s",
        limit=duration + ALLOWED,
        judged="p99",
    )
