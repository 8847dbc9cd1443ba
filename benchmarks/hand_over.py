"""
Measure planned hand-overs: ``python -m benchmarks.hand_over [-n 20] [NAME...]``.

One program after the other leads and gets SIGTERM; a candidate in this process waits for
the Lease. The server is the control plane of the end-to-end tests, where it has been
built (``make controlplane``), else the embedded Lease API, without client-go. Told are the seconds from the signal until that
candidate leads, by one clock (CLOCK_MONOTONIC), for each way in which a program may use
the elector. The work of each is over at once when it is told to end, so this is what
the election itself takes.

Beside them, in the same run: two programs with client-go, with its default times. There
it is seconds until the Lease names the second one.
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
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

# Where the program with client-go is, the end-to-end tests know.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))

from controlplane import binaries
from controlplane.access import lease_path
from controlplane.control_plane import ControlPlane

from kubernetes_leader_election import EVENTS
from kubernetes_leader_election.credentials import kubeconfig
from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing import LeaseServer

CLIENT_GO: Final = "clientgo-elector"
QUIET: Final = subprocess.DEVNULL
PATIENCE: Final = 60.0
"""Seconds to wait for a leader before this is given up."""
PRELUDE: Final = """
import asyncio, os, time
from kubernetes_leader_election import EVENTS, Elector, sync
from kubernetes_leader_election.credentials import kubeconfig

def options():
    return dict(
        lease_name=os.environ["LEASE"], identity="program", credentials=kubeconfig()
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
    "guard in a thread": """
        elector = sync.Elector(**options())
        elector.start()
        while True:
            elector.call_if_leading(time.sleep, 0.02)  # a short job, by the clock
            time.sleep(0.03)
    """,
    "guard on a loop": """
        async def main():
            async with Elector(**options()) as elector:
                while True:
                    # a short job, by the clock
                    await elector.call_if_leading(asyncio.sleep, 0.02)
                    await asyncio.sleep(0.03)
        asyncio.run(main())
    """,
    "job in a thread": """
        elector = sync.Elector(**options())
        def job():
            while elector.current_leader:
                time.sleep(0.005)  # the signal comes in the middle of it
        elector.start()
        while True:
            elector.call_if_leading(job)
            time.sleep(0.03)
    """,
    "job on a loop": """
        async def main():
            async with Elector(**options()) as elector:
                async def job():
                    while elector.current_leader:
                        await asyncio.sleep(0.005)  # likewise
                while True:
                    await elector.call_if_leading(job)
                    await asyncio.sleep(0.03)
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
    "client-go": "",
}
"""The source of each program; empty: it is another one."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where the Leases are."""

    name: str
    config: Path
    """A kubeconfig for it."""
    spec: Callable[[str], dict[str, Any]]
    """Gives the spec of a Lease; empty: there is none."""
    rivals: bool
    """Whether client-go can be asked to lead there."""


@contextmanager
def any_server() -> Iterator[Server]:
    """Start the control plane, or the embedded Lease API where there is none."""
    try:
        binaries.find(["etcd", "kube-apiserver", "kubectl", CLIENT_GO])
    except binaries.MissingProgramError as error:
        print(f"client-go is left out: {error}")
        with LeaseServer() as embedded, tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "config"
            embedded.kubeconfig(path=config)

            def spec(lease: str) -> dict[str, Any]:
                return (embedded.lease(lease) or {}).get("spec") or {}

            yield Server("the embedded Lease API", config, spec, rivals=False)
        return
    with ControlPlane() as plane:

        def spec_there(lease: str) -> dict[str, Any]:
            answer = plane.request("GET", lease_path("default", lease))
            return answer.json().get("spec") or {}

        config = plane.kubeconfig()
        yield Server("kube-apiserver", config, spec_there, rivals=True)


def command(
    name: str, server: Server, lease: str, identity: str = "program"
) -> list[str]:
    """Return the command that starts a program."""
    if name == "client-go":
        program = str(binaries.find([CLIENT_GO])[CLIENT_GO])
        options = ["-kubeconfig", str(server.config), "-lease", lease, "-id", identity]
        return [program, *options]
    if PROGRAMS[name]:
        return [sys.executable, "-c", PRELUDE + textwrap.dedent(PROGRAMS[name])]
    kle = [sys.executable, "-m", "kubernetes_leader_election", "run", lease]
    where = ["--identity=program", "--namespace=default"]
    where += [f"--kubeconfig={server.config}", "--quiet"]
    return [*kle, *where, "--", "sleep", "600"]


@contextmanager
def rival(server: Server, lease: str) -> Iterator[Callable[[], float]]:
    """Give what waits until the candidate of this process leads, and returns when."""
    led: queue.SimpleQueue[float] = queue.SimpleQueue()
    elector = Elector(
        lease_name=lease,
        identity="rival",
        credentials=kubeconfig(server.config),
        auto_close=False,
    )
    elector.on(EVENTS.LEADERSHIP_ACQUIRED, lambda _: led.put(time.monotonic()))
    with elector:
        if elector.wait_for_leader(PATIENCE) != "program":
            raise RuntimeError("the program does not lead")
        time.sleep(0.2)  # past the first renewal of the watch
        yield lambda: led.get(timeout=PATIENCE)


@contextmanager
def rival_with_client_go(
    server: Server, lease: str, number: int
) -> Iterator[Callable[[], float]]:
    """Give the same of another program with client-go: until the Lease names it."""
    start = command("client-go", server, lease, "rival")
    with subprocess.Popen(start, stdout=QUIET, stderr=QUIET) as second:
        try:
            # It asks every 2 to 4.4 s: the signal comes at another moment each time.
            time.sleep(3.0 + number * 0.73 % 2.0)

            def wait() -> float:
                wait_until_held(server, lease, second, by="rival")
                return time.monotonic()

            yield wait
        finally:
            second.kill()


def hand_overs(name: str, server: Server, rounds: int) -> Iterator[float]:
    """Yield the seconds from the signal to the next leader, once a round."""
    for number in range(rounds):
        lease = f"{re.sub('[^a-z]', '-', name)}-{number}"
        environment = {**os.environ, "LEASE": lease, "KUBECONFIG": str(server.config)}
        start = command(name, server, lease)
        out = QUIET if name == "client-go" else None
        with subprocess.Popen(
            start, env=environment, stdout=out, stderr=out
        ) as program:
            try:
                wait_until_held(server, lease, program)
                with (
                    rival_with_client_go(server, lease, number)
                    if name == "client-go"
                    else rival(server, lease)
                ) as wait:
                    sent = time.monotonic()
                    program.send_signal(signal.SIGTERM)
                    yield wait() - sent
            finally:
                program.kill()


def wait_until_held(
    server: Server,
    lease: str,
    program: subprocess.Popen[bytes],
    by: str = "program",
) -> None:
    """Wait until the program leads."""
    until = time.monotonic() + PATIENCE
    while server.spec(lease).get("holderIdentity") != by:
        if program.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the program does not lead: {program.args!r}")
        time.sleep(0.002)  # between two looks, at the server and at the program


def main() -> None:
    """Print a line for each way to use the elector."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[2])
    parser.add_argument("-n", type=int, default=20, help="rounds of each; 20")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PROGRAMS))
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(PROGRAMS)
    if unknown:
        parser.error(f"no such program: {', '.join(unknown)}")
    with any_server() as server:
        said = f"seconds, of {arguments.n}, on {server.name}"
        print(f"{'':20} {'median':>8} {'least':>8} {'most':>8}   {said}", flush=True)
        for name in arguments.names or PROGRAMS:
            if name == "client-go" and not server.rivals:
                continue
            took = sorted(hand_overs(name, server, arguments.n))
            half = statistics.median(took)
            print(f"{name:20} {half:8.3f} {took[0]:8.3f} {took[-1]:8.3f}", flush=True)


if __name__ == "__main__":
    main()
