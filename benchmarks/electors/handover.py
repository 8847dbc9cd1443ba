"""
Clean hand-over: from the end of the old leader's work to the new leader's event.

Two processes lead in turn. The contending delay that the winner drew (rule 13) is
known from its core and taken off. Beside it, on the same server: the round trip of
one PUT, and the time from a PUT's sending until a watch of another client has it; as
far apart as the hand-overs are, since a machine that was idle is slower at first.
"""

from __future__ import annotations

import http.client
import json
import ssl
import statistics
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.electors.figures import Figure, figure
from benchmarks.electors.server import CANDIDATE, LEADER, Address, Questions, begin

from kubernetes_leader_election.core.contending import Contending
from kubernetes_leader_election.sync import Elector

LIMIT_MS = 35.0
LEASE = "hand-over"
SETTLED = 0.15
"""Seconds of a term: the other one has its watch open again by then."""


def _take_turns(pipe: Connection, address: Address, user: str, rounds: int) -> None:
    drawn = [0.0]
    real = Contending._delay  # noqa: SLF001 - what was drawn shows nowhere else

    def recording(self: Contending, *known: Any, **more: Any) -> float:
        drawn[0] = real(self, *known, **more)
        return drawn[0]

    Contending._delay = recording  # noqa: SLF001 - likewise
    acquired: list[tuple[float, float]] = []
    ended: list[float] = []
    elector = Elector(
        lease_name=LEASE, identity=user, preset="fast", **address.options(user)
    )
    elector.on(
        "leadership_acquired",
        lambda _event: acquired.append((time.monotonic(), drawn[0])),
    )
    with elector:
        for _ in range(rounds):
            with elector.leadership():
                time.sleep(SETTLED)
                ended.append(time.monotonic())
        pipe.send((acquired, ended))
        pipe.recv()


class _Client:
    """PUT and watch one Lease with nothing in between."""

    def __init__(self, address: Address) -> None:
        self._host = address.url.removeprefix("https://")
        self._context = ssl.create_default_context(cafile=address.ca_file)
        self._headers = {"Authorization": f"Bearer {address.tokens[LEADER]}"}
        self._connection = self._connect()

    def _connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._host, context=self._context)

    def put(self, name: str, holder: str) -> dict[str, Any]:
        path = f"/apis/coordination.k8s.io/v1/namespaces/default/leases/{name}"
        body = {"metadata": {"name": name}, "spec": {"holderIdentity": holder}}
        current = self._ask("GET", path)
        if "resourceVersion" in current.get("metadata", {}):
            body["metadata"] = current["metadata"]
        began = time.monotonic()
        answer = self._ask("PUT", path, body)
        return {"sent": began, "took": time.monotonic() - began, **answer}

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        sent = None if body is None else json.dumps(body)
        headers = {**self._headers, "Content-Type": "application/json"}
        self._connection.request(method, path, sent, headers)
        return json.loads(self._connection.getresponse().read())

    def watch(self, name: str, seen: dict[str, float]) -> None:
        path = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
        query = f"?watch=1&fieldSelector=metadata.name%3D{name}"
        connection = self._connect()
        connection.request("GET", path + query, headers=self._headers)
        answer = connection.getresponse()

        def read() -> None:
            while line := answer.readline():
                event = json.loads(line)
                seen[event["object"]["spec"]["holderIdentity"]] = time.monotonic()

        threading.Thread(target=read, daemon=True).start()


def _measure_path(address: Address, n: int) -> tuple[list[float], list[float]]:
    client, seen = _Client(address), dict[str, float]()
    client.put("path", "first")
    client.watch("path", seen)
    trips, deliveries = [], []
    for number in range(n):
        time.sleep(SETTLED)
        holder = f"holder-{number}"
        answer = client.put("path", holder)
        trips.append(1000 * answer["took"])
        patience = time.monotonic() + 5
        while holder not in seen and time.monotonic() < patience:
            time.sleep(0.0002)
        deliveries.append(1000 * (seen[holder] - answer["sent"]))
    return trips, deliveries


def measure(server: Questions, n: int) -> list[Figure]:
    """Hand over ``n`` times."""
    address = server.address
    trips, deliveries = _measure_path(address, n)
    pipes, processes = [], []
    for user in (LEADER, CANDIDATE):
        process, ours = begin(_take_turns, address, user, n // 2)
        pipes.append(ours)
        processes.append(process)
    told = [pipe.recv() for pipe in pipes]
    for pipe in pipes:
        pipe.send("go")
    for process in processes:
        process.join()
    ends = sorted((end, who) for who, (_, ended) in enumerate(told) for end in ended)
    starts = sorted(
        (at, drawn, who)
        for who, (acquired, _) in enumerate(told)
        for at, drawn in acquired
    )
    whole, bare = [], []
    for end, who in ends:
        later = next(((a, d, w) for a, d, w in starts if a > end), None)
        if later is None or later[2] == who:
            continue  # the last round, or one that the same process won again
        whole.append(1000 * (later[0] - end))
        bare.append(1000 * (later[0] - end - later[1]))
    path = statistics.median(trips) + statistics.median(deliveries)
    return [
        figure("PUT, round trip", trips, unit="ms", limit=1e9, aim="(for comparison)"),
        figure(
            "PUT sent to watch event elsewhere",
            deliveries,
            unit="ms",
            limit=1e9,
            aim="(for comparison)",
        ),
        figure(
            "hand-over less the delay drawn",
            bare,
            unit="ms",
            limit=3 * path,
            aim=f"median <= 3 x (PUT + delivery) = {3 * path:.1f} ms",
        ),
        figure("hand-over with the delay drawn", whole, unit="ms", limit=LIMIT_MS),
    ]
