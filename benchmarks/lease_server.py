"""
Measure the embedded Lease API: start, writes, watches, memory.

The server runs in a process of its own, so that one core is its and the clients' work
is not counted. Run it on a quiet machine::

    python benchmarks/lease_server.py
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import resource
import selectors
import socket
import statistics
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from kubernetes_leader_election.testing import LeaseServer

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


def resident_mib() -> float:
    """Return the memory of this process in MiB, as Linux counts it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def serve(pipe: Connection, *, tls: bool) -> None:
    """Run a server and answer questions about it."""
    began = time.perf_counter()
    with LeaseServer(tls=tls) as server:
        ready = time.perf_counter()
        pipe.send((server.port, ready - began))
        while (question := pipe.recv()) != "stop":
            if question == "memory":
                pipe.send(resident_mib())
            elif question == "cpu":
                usage = resource.getrusage(resource.RUSAGE_SELF)
                pipe.send(usage.ru_utime + usage.ru_stime)
            elif question == "watches":
                pipe.send(server.open_watches)


def lease(name: str) -> dict[str, Any]:
    """Return a Lease of the usual size."""
    return {
        "metadata": {"name": name},
        "spec": {
            "holderIdentity": "elector-payments-7d4b9c6f5d-x2x7k-1",
            "leaseDurationSeconds": 20,
            "acquireTime": "2024-05-06T07:08:09.000000Z",
            "renewTime": "2024-05-06T07:08:09.000000Z",
            "leaseTransitions": 1,
        },
    }


class RawClient:
    """Renew Leases with as little work on this side as possible."""

    def __init__(self, port: int, names: list[str]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.bodies = {name: json.dumps(lease(name)).encode() for name in names}
        self.stamp = 0
        for name in names:
            self.put(name)

    def put(self, name: str) -> None:
        """Put one Lease with a fresh stamp and keep the answer for the next time."""
        body = self.bodies[name]
        self.stamp = (self.stamp + 1) % 1_000_000
        at = body.index(b'"renewTime":') + len(b'"renewTime":')
        at = body.index(b"Z", at) - 6
        body = body[:at] + b"%06d" % self.stamp + body[at + 6 :]
        head = (
            f"PUT {LEASES}/{name} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.socket.sendall(head.encode() + body)
        status = int(self.file.readline().split()[1])
        length = 0
        while (line := self.file.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        answer = self.file.read(length)
        if status >= 300:
            raise RuntimeError(f"PUT {name} was answered {status}: {answer!r}")
        self.bodies[name] = answer

    def close(self) -> None:
        """Hang up."""
        self.file.close()
        self.socket.close()


def writes(port: int, *, clients: int, leases: int, seconds: float) -> dict[str, float]:
    """Renew different Leases as fast as the server allows."""
    share = leases // clients
    workers = [
        RawClient(port, [f"w{one}-{number}" for number in range(share)])
        for one in range(clients)
    ]
    stop = time.monotonic() + seconds
    counts = [0] * clients
    slow: list[float] = []

    def work(index: int) -> None:
        client = workers[index]
        names = list(client.bodies)
        while time.monotonic() < stop:
            began = time.perf_counter()
            client.put(names[counts[index] % share])
            if index == 0:
                slow.append(time.perf_counter() - began)
            counts[index] += 1

    threads = [threading.Thread(target=work, args=(one,)) for one in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for worker in workers:
        worker.close()
    return {
        "writes_per_second": sum(counts) / seconds,
        "median_ms": statistics.median(slow) * 1e3,
        "p99_ms": sorted(slow)[int(len(slow) * 0.99)] * 1e3,
    }


def watches(port: int, *, count: int, rounds: int) -> dict[str, float]:
    """Open many watches on one Lease and time a change to each of them."""
    writer = RawClient(port, ["watched"])
    version = json.loads(writer.bodies["watched"])["metadata"]["resourceVersion"]
    path = (
        f"{LEASES}?watch=1&fieldSelector=metadata.name%3Dwatched"
        f"&resourceVersion={version}"
    )
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    chooser = selectors.DefaultSelector()
    open_ones = []
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall(request)
        open_ones.append(one)
        chooser.register(one, selectors.EVENT_READ)
    for one in open_ones:
        head = b""
        while b"\r\n\r\n" not in head:
            head += one.recv(4096)
    firsts, medians, lasts = [], [], []
    for _ in range(rounds):
        began = time.perf_counter()
        writer.put("watched")
        waiting = set(open_ones)
        heard: list[float] = []
        while waiting:
            for key, _events in chooser.select(10):
                data = key.fileobj.recv(65536)
                if key.fileobj in waiting and data.rstrip().endswith(b"}"):
                    waiting.discard(key.fileobj)
                    heard.append(time.perf_counter() - began)
        firsts.append(heard[0])
        medians.append(statistics.median(heard))
        lasts.append(heard[-1])
    for one in open_ones:
        one.close()
    writer.close()
    return {
        "first_ms": statistics.median(firsts) * 1e3,
        "median_ms": statistics.median(medians) * 1e3,
        "last_ms": statistics.median(lasts) * 1e3,
    }


def hundred_starts() -> float:
    """Return the median time in ms to start a server once everything is imported."""
    times = []
    for _ in range(100):
        began = time.perf_counter()
        with LeaseServer() as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port)
            connection.request("GET", "/readyz")
            connection.getresponse().read()
            times.append(time.perf_counter() - began)
            connection.close()
    return statistics.median(times) * 1e3


def main() -> None:
    """Measure everything and print it, one line each, or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--tls", action="store_true", help="measure with TLS")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--watches", type=int, default=1000)
    arguments = parser.parse_args()
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(there,), kwargs={"tls": arguments.tls}
    )
    process.start()
    port, starting = here.recv()

    def ask(question: str) -> float:
        here.send(question)
        return float(here.recv())

    found: dict[str, Any] = {
        "python": sys.version.split()[0],
        "start_ms": starting * 1e3,
        "memory_empty_mib": ask("memory"),
    }
    cpu = ask("cpu")
    began = time.perf_counter()
    found["writes"] = writes(port, clients=8, leases=1000, seconds=arguments.seconds)
    used, took = ask("cpu") - cpu, time.perf_counter() - began
    found["writes"]["server_cores"] = used / took
    # What one core does, however much of it the clients and others left.
    made = 1000 + found["writes"]["writes_per_second"] * arguments.seconds
    found["writes"]["per_core"] = made / used
    found["memory_1000_leases_mib"] = ask("memory")
    found["watches"] = watches(port, count=arguments.watches, rounds=20)
    found["memory_after_mib"] = ask("memory")
    here.send("stop")
    process.join(20)
    found["start_to_answer_ms"] = hundred_starts()
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for key, value in found.items():
        print(f"{key:26} {value if isinstance(value, str | dict) else f'{value:.1f}'}")


if __name__ == "__main__":
    main()
