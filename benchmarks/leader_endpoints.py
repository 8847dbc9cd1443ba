"""
Measure how long after a take-over the Service of the leader has moved.

Two electors in this process hand over to each other, by a step-down, again and again;
one watch sees the EndpointSlice of ``leader_endpoints``. From the instant at which the
handler of ``leadership_acquired`` is called to the one at which the watch shows the new
leader's address::

    python -m benchmarks.leader_endpoints --times 200           # the embedded API
    python -m benchmarks.leader_endpoints --times 200 --real    # a real API server

After a crash it is the same: the next leader does not know, nor ask, how the last one
ended. What comes before, the take-over itself, is measured by ``benchmarks.hand_over``
and ``benchmarks.crash_takeover``; what comes after, on each node, is kube-proxy's.
"""

from __future__ import annotations

import argparse
import os
import queue
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.credentials.base import Credentials
from kubernetes_leader_election.events import EVENTS
from kubernetes_leader_election.kube_api.call import Call
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.failures import Request
from kubernetes_leader_election.kube_api.resources import SLICES
from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing import LeaseServer

# The control plane of the end-to-end tests is used as it is.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))

SERVICE = "billing-leader"
AIM = 0.5
"""Seconds within which the slice is to have moved."""
PATIENCE = 60.0
"""Seconds until a run is given up."""


class Moves:
    """The addresses that a watch shows, each with its instant."""

    def __init__(self, client: LeaseClient) -> None:
        self._client = client
        self.call = Call()
        self._seen: queue.Queue[tuple[float, str]] = queue.Queue()
        threading.Thread(target=self._watch, daemon=True).start()

    def wait_for(self, address: str) -> float:
        """Return the instant at which the address was shown next."""
        while True:
            instant, shown = self._seen.get(timeout=PATIENCE)
            if shown == address:
                return instant

    def _watch(self) -> None:
        request = Request(
            verb="watch", namespace="default", name=SERVICE, resource=SLICES
        )

        def take(_kind: str, found: Mapping[str, Any]) -> None:
            for one in found.get("endpoints") or ():
                self._seen.put((time.monotonic(), one["addresses"][0]))

        self._client.follow(
            request, "0", call=self.call, on_event=take, open_within=PATIENCE
        )


@contextmanager
def api(*, real: bool) -> Iterator[Credentials]:
    """Run an API server; give the way to it."""
    if not real:
        with LeaseServer() as server:
            yield explicit(server=server.url)
        return
    from controlplane.control_plane import ControlPlane  # noqa: PLC0415 - built first

    with ControlPlane() as plane:
        yield explicit(
            server=plane.server_url, token=plane.token("admin"), ca_file=plane.ca_file
        )


def measured(credentials: Credentials, times: int) -> list[float]:
    """Hand over so often; return the seconds from each take-over to its move."""
    acquired: queue.Queue[tuple[float, str]] = queue.Queue()
    electors: dict[str, tuple[Elector, str]] = {}
    client = LeaseClient(credentials)
    with ExitStack() as running:
        running.callback(client.close)
        moves = Moves(client)
        running.callback(moves.call.abandon)
        for number, name in enumerate(("a", "b"), start=1):
            address = f"10.0.0.{number}"
            os.environ["POD_IP"] = address
            elector = Elector(
                lease_name="billing",
                identity=name,
                credentials=credentials,
                auto_close=False,
                leader_endpoints=f"{SERVICE}:8080",
            )
            electors[name] = elector, address
            elector.on(
                EVENTS.LEADERSHIP_ACQUIRED,
                lambda event: acquired.put((time.monotonic(), event.identity)),
            )
            running.enter_context(elector)
        found = []
        for round_number in range(times + 1):
            instant, leader = acquired.get(timeout=PATIENCE)
            elector, address = electors[leader]
            # It may have been shown before the handler was called.
            took = max(0.0, moves.wait_for(address) - instant)
            if round_number:  # the first one has nobody to take over from
                found.append(took)
            elector.step_down()
        return found


def summary(times: list[float]) -> str:
    """Say what is in the middle, what nine of ten stay below, and the longest."""
    ordered = sorted(times)
    ninth = ordered[max(0, -(-9 * len(ordered) // 10) - 1)]
    late = sum(one > AIM for one in ordered)
    return (
        f"n = {len(ordered)}: median {statistics.median(ordered) * 1000:.1f} ms, 90 % "
        f"within {ninth * 1000:.1f} ms, at most {ordered[-1] * 1000:.1f} ms; {late} later "
        f"than {AIM:g} s"
    )


def main() -> int:
    """Measure, and print the numbers; 1 if nine of ten are not within the aim."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--times", type=int, default=200, help="how many take-overs")
    parser.add_argument("--real", action="store_true", help="on a real API server")
    options = parser.parse_args()
    with api(real=options.real) as credentials:
        times = measured(credentials, options.times)
    print(summary(times))
    return int(sum(one > AIM for one in times) * 10 > len(times))


if __name__ == "__main__":
    sys.exit(main())
