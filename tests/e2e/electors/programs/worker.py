"""
Candidates of this package: programs that work only while they lead.

Each elector has a log: what it believed, and when work was done, looked at every few
milliseconds. Nothing here waits for anything but the elector and the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from pathlib import Path
from typing import Any

from kubernetes_leader_election import elector as for_asyncio
from kubernetes_leader_election import sync as for_threads
from kubernetes_leader_election.credentials import kubeconfig
from kubernetes_leader_election.events import EVENTS
from kubernetes_leader_election.testing.belief_log import BeliefLog


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--front", choices=["threads", "asyncio"], required=True)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--lease", required=True)
    parser.add_argument("--identity", action="append", required=True)
    parser.add_argument("--log", type=Path, action="append", required=True)
    parser.add_argument("--duration", type=float, required=True)
    parser.add_argument("--interval-ms", type=float, required=True)
    parser.add_argument("--deadline", type=float, required=True)
    parser.add_argument("--timeout", type=float, required=True)
    parser.add_argument("--stop-budget", type=float, required=True)
    parser.add_argument("--work-period", type=float, default=0.005)
    parser.add_argument("--no-renewals", action="store_true")
    return parser.parse_args()


def build(options: argparse.Namespace, identity: str, log: BeliefLog) -> Any:
    """Make one elector, and have what happens to it noted."""
    front = for_asyncio if options.front == "asyncio" else for_threads
    elector = front.Elector(
        lease_name=options.lease,
        namespace=options.namespace,
        identity=identity,
        credentials=kubeconfig(options.kubeconfig),
        lease_duration_sec=options.duration,
        renew_interval_ms=options.interval_ms,
        renew_deadline_sec=options.deadline,
        request_timeout_sec=options.timeout,
        stop_budget_sec=options.stop_budget,
    )
    elector.on(EVENTS.LEADERSHIP_ACQUIRED, lambda e: log.note("acquired", str(e.token)))
    elector.on(EVENTS.LEADERSHIP_LOST, lambda e: log.note("lost", str(e.reason)))
    if not options.no_renewals:
        elector.on(EVENTS.LEASE_RENEWED, lambda _: log.note("renewed"))
    elector.on(EVENTS.ERROR, lambda e: log.note("error", str(e.error)))
    return elector


def watch_beliefs(electors: list[tuple[Any, BeliefLog]], period: float) -> None:
    """Ask over and over, from a thread of its own, who leads."""

    def ask() -> None:
        while True:
            for elector, log in electors:
                log.check("belief", lambda: elector.current_leader)
            time.sleep(period)

    threading.Thread(target=ask, daemon=True).start()


def run_on_threads(electors: list[tuple[Any, BeliefLog]], period: float) -> None:
    """Take part with threads, until a signal ends the process."""

    def take_part(elector: Any, log: BeliefLog) -> None:
        def work(term: for_threads.Term) -> None:
            while log.check("work", lambda: not term.lost.is_set()):
                time.sleep(period)

        elector.run(work)

    # The first one has the main thread: that is where signals end a program.
    for elector, log in electors[1:]:
        threading.Thread(target=take_part, args=(elector, log), daemon=True).start()
    take_part(*electors[0])


async def run_on_asyncio(electors: list[tuple[Any, BeliefLog]], period: float) -> None:
    """Take part with coroutines, until a signal ends the process."""

    async def take_part(elector: Any, log: BeliefLog) -> None:
        async def work(term: for_asyncio.Term) -> None:
            try:
                while log.check(  # noqa: ASYNC110 - the work is to look at the clock
                    "work", lambda: not term.lost.is_set()
                ):
                    await asyncio.sleep(period)
            finally:
                log.check("work", lambda: False)  # cancelled: this run is over

        await elector.run(work)

    await asyncio.gather(*(take_part(*each) for each in electors))


def main() -> None:
    """Take part until a signal ends the process."""
    options = parse()
    electors = []
    for identity, path in zip(options.identity, options.log, strict=True):
        log = BeliefLog(path)
        log.note("began", identity)
        electors.append((build(options, identity, log), log))
    watch_beliefs(electors, options.work_period)
    for _, log in electors:
        log.note("contending")
    if options.front == "asyncio":
        asyncio.run(run_on_asyncio(electors, options.work_period))
    else:
        run_on_threads(electors, options.work_period)


if __name__ == "__main__":
    main()
