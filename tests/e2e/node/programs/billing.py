"""
The program of the pods: it works only while it leads, and writes down when.

Each line on standard output is one of the testing kit's log of beliefs, with the
instant taken before the question, on the monotonic clock that all pods of a machine
share. ``--command`` is the form that `kle run` starts: it works from start to end;
``--ask`` is the form that asks a side-car.

Signals, for tests: USR1 takes memory until the kernel objects; USR2 makes `/livez` fail.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kubernetes_leader_election import EVENTS
from kubernetes_leader_election.sync import Elector, Term
from kubernetes_leader_election.testing.belief_log import BeliefLog

PERIOD = 0.005
"""Seconds between two looks: the error of what is measured."""


class Worker:
    """What the probes and the signals of tests act on."""

    def __init__(self, log: BeliefLog) -> None:
        self.log = log
        self.live = True
        self.taken: list[bytes] = []
        signal.signal(signal.SIGUSR1, lambda *_: self._note("memory", self._take))
        signal.signal(signal.SIGUSR2, lambda *_: self._note("not-live", self._die))

    def _note(self, what: str, act: Any) -> None:
        self.log.note(what)
        threading.Thread(target=act, daemon=True).start()

    def _take(self) -> None:
        while True:
            self.taken.append(os.urandom(1 << 20))

    def _die(self) -> None:
        self.live = False


def answer_probes(worker: Worker, port: int) -> None:
    """Answer /livez and /readyz from a thread."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = {"/livez": 200 if worker.live else 500, "/readyz": 200}
            self.send_response(status.get(self.path, 404))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the log to what is measured."""

    server = ThreadingHTTPServer(("", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def lead(options: argparse.Namespace, worker: Worker) -> None:
    """Take part until a signal ends the program."""
    log = worker.log
    times = {"preset": options.preset} if options.preset else {}
    elector = Elector(
        lease_name=options.lease,
        identity=os.environ.get("POD_NAME"),
        namespace=os.environ.get("POD_NAMESPACE"),  # else the pod's own
        **times,
    )
    elector.on(EVENTS.LEADERSHIP_ACQUIRED, lambda e: log.note("acquired", str(e.token)))
    elector.on(EVENTS.LEADERSHIP_LOST, lambda e: log.note("lost", str(e.reason)))
    elector.on(EVENTS.LEASE_RENEWED, lambda _: log.note("renewed"))
    elector.on(EVENTS.ERROR, lambda e: log.note("error", str(e.error)))
    elector.on(EVENTS.LEADER_CHANGED, lambda e: log.note("leader", str(e.identity)))

    def work(term: Term) -> None:
        while log.check("work", lambda: not term.lost.is_set()):
            time.sleep(PERIOD)

    answer_probes(worker, options.port)
    elector.run(work)
    log.note("stopped")


def obey(options: argparse.Namespace, worker: Worker) -> None:
    """Work from start to end: `kle run` says when that is."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    deadline = time.monotonic() + options.seconds if options.seconds else float("inf")
    while not ended.is_set() and time.monotonic() < deadline:
        worker.log.check("work", lambda: True)
        time.sleep(PERIOD)
    work_on(worker.log, options.slow_stop)
    worker.log.check("work", lambda: False)
    worker.log.note("stopped")
    sys.exit(options.exit)


def work_on(log: BeliefLog, seconds: float) -> None:
    """Be slow to stop: what is done now is work like any other."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        log.check("work", lambda: True)
        time.sleep(PERIOD)


def ask(options: argparse.Namespace, worker: Worker) -> None:
    """Work while the side-car beside it says that this pod leads."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())

    def leads() -> bool:
        try:
            connection = http.client.HTTPConnection(options.ask, timeout=1)
            connection.request("GET", "/leaderz")
            return connection.getresponse().status == 200
        except OSError:
            return False  # nobody says so

    while not ended.is_set():
        worker.log.check("work", leads)
        time.sleep(PERIOD)
    worker.log.check("work", lambda: False)
    worker.log.note("stopped")


def main() -> None:
    """Lead, or obey."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lease", default=os.environ.get("LEASE", "billing"))
    parser.add_argument("--preset", default=os.environ.get("PRESET"))
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--command", action="store_true")
    parser.add_argument("--ask", help="host and port of the side-car")
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--exit", type=int, default=0)
    parser.add_argument("--slow-stop", type=float, default=0)
    options = parser.parse_args()
    log = BeliefLog(Path("/proc/self/fd/1"))
    log.note("began", os.environ.get("POD_NAME") or os.uname().nodename)
    worker = Worker(log)
    if options.ask:
        ask(options, worker)
    elif options.command:
        obey(options, worker)
    else:
        lead(options, worker)


if __name__ == "__main__":
    main()
