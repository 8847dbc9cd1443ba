"""
Measure planned hand-overs: ``python -m benchmarks.hand_over [-n 20] [NAME...]``.

One program after the other leads on an embedded Lease API and gets SIGTERM; a candidate
in this process waits for the Lease. Told are the seconds from the signal until that
candidate leads, by one clock (CLOCK_MONOTONIC), for each way in which a program may use
the elector. The work of each is over at once when it is told to end, so this is what
the election itself takes.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import signal
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from typing import Final

from kubernetes_leader_election import EVENTS
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing import LeaseServer

PATIENCE: Final = 60.0
"""Seconds to wait for a leader before this is given up."""
PRELUDE: Final = """
import asyncio, os, time
from kubernetes_leader_election import EVENTS, Elector, sync
from kubernetes_leader_election.credentials import explicit

def options():
    return dict(
        lease_name=os.environ["LEASE"],
        identity="program",
        credentials=explicit(server=os.environ["LEASE_URL"]),
    )
"""
PROGRAMS: Final[Mapping[str, str]] = {
    "polling": """
        elector = sync.Elector(**options())
        elector.start()
        while True:
            elector.current_leader
            time.sleep(0.05)  # polling is one way to use it
    """,
    "polling on a loop": """
        async def main():
            async with Elector(**options()) as elector:
                while True:
                    elector.current_leader
                    await asyncio.sleep(0.05)  # likewise
        asyncio.run(main())
    """,
    "scope in a thread": """
        with sync.Elector(**options()) as elector, elector.leadership() as term:
            term.lost.wait()
    """,
    "scope on a loop": """
        async def main():
            async with Elector(**options()) as elector, elector.leadership():
                await asyncio.Event().wait()
        asyncio.run(main())
    """,
    "run with on_stop": """
        async def main():
            asked = asyncio.Event()
            await Elector(**options()).run(lambda term: asked.wait(), on_stop=asked.set)
        asyncio.run(main())
    """,
    "events only": """
        elector = sync.Elector(**options())
        elector.on(EVENTS.LEADERSHIP_LOST, lambda event: None)
        elector.start()
        while True:
            time.sleep(1)  # until the signal ends it
    """,
    "kle run": "",
}
"""The source of each program; empty: the command line runs one."""


def command(name: str, server: LeaseServer, lease: str) -> list[str]:
    """Return the command that starts a program."""
    if PROGRAMS[name]:
        return [sys.executable, "-c", PRELUDE + textwrap.dedent(PROGRAMS[name])]
    kle = [sys.executable, "-m", "kubernetes_leader_election", "run", lease]
    where = ["--identity=program", "--namespace=default", f"--server={server.url}"]
    return [*kle, *where, "--quiet", "--", "sleep", "600"]


def hand_overs(name: str, server: LeaseServer, rounds: int) -> Iterator[float]:
    """Yield the seconds from the signal to the next leader, once a round."""
    for number in range(rounds):
        lease = f"{re.sub('[^a-z]', '-', name)}-{number}"
        led: queue.SimpleQueue[float] = queue.SimpleQueue()
        rival = Elector(
            lease_name=lease,
            identity="rival",
            credentials=explicit(server=server.url),
            auto_close=False,
        )
        rival.on(
            EVENTS.LEADERSHIP_ACQUIRED, lambda _, led=led: led.put(time.monotonic())
        )
        environment = {**os.environ, "LEASE": lease, "LEASE_URL": server.url}
        with subprocess.Popen(command(name, server, lease), env=environment) as program:
            try:
                wait_until_held(server, lease, program)
                rival.start()
                if rival.wait_for_leader(PATIENCE) != "program":
                    raise RuntimeError(f"{name} does not lead")
                time.sleep(0.2)  # past the first renewal of the watch
                sent = time.monotonic()
                program.send_signal(signal.SIGTERM)
                yield led.get(timeout=PATIENCE) - sent
            finally:
                rival.stop()
                program.kill()


def wait_until_held(
    server: LeaseServer, lease: str, program: subprocess.Popen[bytes]
) -> None:
    """Wait until the program leads."""
    until = time.monotonic() + PATIENCE
    while not ((server.lease(lease) or {}).get("spec") or {}).get("holderIdentity"):
        if program.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the program does not lead: {program.args!r}")
        time.sleep(0.01)  # between two looks, at the server and at the program


def main() -> None:
    """Print a line for each way to use the elector."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[2])
    parser.add_argument("-n", type=int, default=20, help="rounds of each; 20")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PROGRAMS))
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(PROGRAMS)
    if unknown:
        parser.error(f"no such program: {', '.join(unknown)}")
    print(f"{'':20} {'median':>8} {'least':>8} {'most':>8}   seconds, of {arguments.n}")
    with LeaseServer() as server:
        for name in arguments.names or PROGRAMS:
            took = sorted(hand_overs(name, server, arguments.n))
            half = statistics.median(took)
            print(f"{name:20} {half:8.3f} {took[0]:8.3f} {took[-1]:8.3f}", flush=True)


if __name__ == "__main__":
    main()
