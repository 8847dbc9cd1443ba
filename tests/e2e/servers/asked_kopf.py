"""An operator with Kopf that works while it leads, and is asked to end by its own flag."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import kopf
from beside import note

from kubernetes_leader_election import Elector, Term
from kubernetes_leader_election.credentials import kubeconfig

elector = Elector(lease_name="beside", credentials=kubeconfig())
stop_flag = asyncio.Event()
seen: set[int] = set()


@kopf.on.login()
def login(**given: Any) -> Any:
    """Log in as the election does."""
    return kopf.login_with_kubeconfig(**given)


@kopf.on.event("coordination.k8s.io", "v1", "leases")
def lease_seen(**_: Any) -> None:
    """Note once a term that the operator works."""
    if seen and not stop_flag.is_set():
        seen.clear()
        note("works", os.getpid())


async def operate(term: Term) -> None:
    """Be an operator for the time of a term."""
    stop_flag.clear()
    seen.add(term.number)
    note("begins", os.getpid(), term.number)
    try:
        await kopf.operator(clusterwide=True, standalone=True, stop_flag=stop_flag)
    finally:
        note("ends", os.getpid())


def ask() -> None:
    """Do what `on_stop=stop_flag.set` does, and note it."""
    note("asked", os.getpid())
    stop_flag.set()


async def main() -> None:
    """Lead until a signal comes; another one hands over."""
    tasks = set[asyncio.Task[None]]()

    def hand_over() -> None:
        tasks.add(asyncio.create_task(elector.step_down(stay_out=0)))

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, hand_over)
    await elector.run(operate, on_stop=ask)


asyncio.run(main())
