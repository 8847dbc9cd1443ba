"""
The program of the pods: it works only while it leads, and writes down when.

Each line on standard output is one of the testing kit's log of beliefs, with the
instant taken before the question, on the monotonic clock that all pods of a machine
share. ``--command`` is the form that `kle run` starts: it works from start to end, and
knows nothing of elections; ``--ask`` is the form that asks a side-car.

Signals, for tests: USR1 takes memory until the kernel objects; USR2 makes `/livez` fail;
HUP ends the program with exit code 1, and without a word to anybody.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

PERIOD = 0.005
"""Seconds between two looks: the error of what is measured."""


class Log:
    """Write down what is believed: every line is out when the call returns."""

    def __init__(self) -> None:
        self._last = False
        self._file: int | None = None

    def keep_in(self, folder: str) -> None:
        """Write to a file as well: standard output ends with the container's shim."""
        name = f"{folder}/{time.monotonic():.6f}"
        self._file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)

    def note(self, what: str, detail: str = "-") -> None:
        """Note that something happened now."""
        self._write(time.monotonic(), what, detail)

    def work(self, ask: Callable[[], bool]) -> bool:
        """Ask whether to work, and note the answer with the instant before."""
        before = time.monotonic()
        answer = ask()
        if answer or self._last:
            self._write(before, "work", "yes" if answer else "no")
        self._last = answer
        return answer

    def _write(self, instant: float, what: str, detail: str) -> None:
        line = f"{instant:.6f} {what} {detail}".replace("\n", " ").encode() + b"\n"
        if self._file is not None:
            os.write(self._file, line)
        try:
            os.write(1, line)
        except BrokenPipeError:
            if self._file is None:
                raise


LOG = Log()


def rest() -> None:
    """Let the time between two looks pass: so finely is measured who works when."""
    time.sleep(PERIOD)  # its period is what is measured, so nothing ends it earlier


class Health:
    """What the probes and the signals of tests act on."""

    def __init__(self) -> None:
        self.live = True
        self.taken: list[bytes] = []
        signal.signal(signal.SIGUSR1, lambda *_: self._act("memory", self._take))
        signal.signal(signal.SIGUSR2, lambda *_: self._act("not-live", self._die))
        signal.signal(signal.SIGHUP, lambda *_: os._exit(1))

    def _act(self, what: str, act: Callable[[], None]) -> None:
        LOG.note(what)
        threading.Thread(target=act, daemon=True).start()

    def _take(self) -> None:
        while True:
            self.taken.append(os.urandom(1 << 20))

    def _die(self) -> None:
        self.live = False


def answer_probes(health: Health, port: int) -> None:
    """Answer /livez and /readyz from a thread."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = {"/livez": 200 if health.live else 500, "/readyz": 200}
            self.send_response(status.get(self.path, 404))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the log to what is measured."""

    server = ThreadingHTTPServer(("", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def acquired(event: Any) -> None:
    """Note that a term began, why, and how the end of the leader before was proved."""
    LOG.note("acquired", str(event.token))
    # An earlier version of the package says nothing of proofs.
    if proof := getattr(event, "crash_proof", ""):
        LOG.note("proof", proof)
    if why := getattr(event, "why", ""):
        LOG.note("why", why)


def lead(options: argparse.Namespace, health: Health) -> None:
    """Take part until a signal ends the program."""
    # Not for the other forms, which are to start as quickly as any program.
    from kubernetes_leader_election import EVENTS
    from kubernetes_leader_election.sync import Elector, Term

    answer_probes(health, options.port)
    elector = Elector(
        lease_name=options.lease,
        identity=os.environ.get("POD_NAME"),
        namespace=os.environ.get("POD_NAMESPACE"),  # else the pod's own
        # Only where it is asked for: an earlier version does not know it.
        **({"crash_takeover": True} if options.crash_takeover else {}),
        **({"preset": options.preset} if options.preset else {}),
    )
    elector.on(EVENTS.LEADERSHIP_ACQUIRED, acquired)
    elector.on(EVENTS.LEADERSHIP_LOST, lambda e: LOG.note("lost", str(e.reason)))
    elector.on(EVENTS.LEASE_RENEWED, lambda _: LOG.note("renewed"))
    elector.on(EVENTS.ERROR, lambda e: LOG.note("error", str(e.error)))
    elector.on(
        EVENTS.LEADER_CHANGED, lambda e: LOG.note("leader", str(e.holder_identity))
    )

    def work(term: Term) -> None:
        while LOG.work(lambda: not term.lost.is_set()):
            rest()

    elector.run(work)


def obey(options: argparse.Namespace) -> None:
    """Work from start to end: `kle run` says when that is."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    deadline = time.monotonic() + options.seconds if options.seconds else float("inf")
    while not ended.is_set() and time.monotonic() < deadline:
        LOG.work(lambda: True)
        rest()
    slow = time.monotonic() + options.slow_stop
    while time.monotonic() < slow:
        LOG.work(lambda: True)
        rest()
    LOG.work(lambda: False)
    LOG.note("stopped")
    sys.exit(options.exit)


def ask(options: argparse.Namespace) -> None:
    """Work while the side-car beside it says that this pod leads."""
    import http.client

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
        LOG.work(leads)
        rest()
    LOG.work(lambda: False)
    LOG.note("stopped")


def main() -> None:
    """Lead, obey or ask."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lease", default="billing")
    parser.add_argument("--preset", default=os.environ.get("PRESET"))
    parser.add_argument("--crash-takeover", action="store_true")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--command", action="store_true")
    parser.add_argument("--ask", help="host and port of the side-car")
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--exit", type=int, default=0)
    parser.add_argument("--slow-stop", type=float, default=0)
    parser.add_argument("--log-folder", help="for a second copy of what is noted")
    options = parser.parse_args()
    if options.log_folder:
        LOG.keep_in(options.log_folder)
    LOG.note("began", os.uname().nodename)
    health = Health()
    if options.ask:
        ask(options)
    elif options.command:
        obey(options)
    else:
        lead(options, health)


if __name__ == "__main__":
    main()
