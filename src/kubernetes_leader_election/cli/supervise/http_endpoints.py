"""
The HTTP endpoints of ``run``, from the standard library's server.

``/livez`` the elector works; ``/readyz`` it is in the race, leading or not, so that a
rollout never waits for leadership; ``/leaderz`` it leads; ``/`` the leader's name as
JSON, as the well-known side-cars give it; ``/metrics`` in Prometheus text.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Final

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.observability.metrics import CONTENT_TYPE

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
SLOWEST: Final = 10.0
"""Seconds that a client may take; a thread waits for it."""

Answer = tuple[int, str, str]
"""Status, content type, body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """What is answered, asked anew for each request. Any thread."""

    problem: Callable[[], str]
    """What is wrong with this process; nothing if it works."""
    absence: Callable[[], str]
    """Why it is not in the race; nothing if it is."""
    leads: Callable[[], bool]
    leader: Callable[[], str | None]
    metrics: Callable[[], str]

    def answer(self, path: str) -> Answer:
        """Answer a GET."""
        match path.partition("?")[0]:
            case "/livez" | "/healthz":
                return _verdict(self.problem())
            case "/readyz":
                return _verdict(self.absence())
            case "/leaderz":
                return _verdict("" if self.leads() else "this replica does not lead")
            case "/":
                return 200, JSON, json.dumps({"name": self.leader() or ""}) + "\n"
            case "/metrics":
                return 200, CONTENT_TYPE, self.metrics()
        return 404, TEXT, "there are /, /livez, /readyz, /leaderz and /metrics\n"


def _verdict(problem: str) -> Answer:
    return (503, TEXT, f"{problem}\n") if problem else (200, TEXT, "ok\n")


class _Handler(BaseHTTPRequestHandler):
    """Answer GET and HEAD from the endpoints."""

    endpoints: ClassVar[Endpoints]
    timeout = SLOWEST
    server_version = "kubernetes-leader-election"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with a body."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer without."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        status, kind, text = self.endpoints.answer(self.path)
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Log nothing: a probe comes every few seconds."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    dual_stack: ClassVar = False
    """Whether an IPv6 socket takes IPv4, too, whatever the system's default is."""

    def server_bind(self) -> None:
        """Bind; the lookup of the own name that the standard library does may hang."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.dual_stack:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that hang up."""


def serve(address: str, endpoints: Endpoints) -> tuple[str, int]:
    """
    Serve on an address from now on, on a daemon thread; give the address bound.

    Raises:
        ConfigurationError: it is no address, or cannot be bound.

    """
    host, port = parse_address(address)

    class Handler(_Handler):
        pass

    Handler.endpoints = endpoints

    # Probes and scrapers come from outside, by whichever protocol the cluster has.
    both = not host and socket.has_dualstack_ipv6()
    if both:
        host = "::"  # where it stays empty, that is every IPv4 address

    class Server(_Server):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        dual_stack = both

    try:
        server = Server((host, port), Handler)
    except (OSError, UnicodeError) as error:  # a name that is none fails to be encoded
        why = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"--http={address} cannot be served: {why}. Choose another address, or "
            "stop what uses this one.",
            option="http",
        ) from error
    threading.Thread(
        target=server.serve_forever, name="leader-election-http", daemon=True
    ).start()
    return str(server.server_address[0]), int(server.server_address[1])


def parse_address(address: str) -> tuple[str, int]:
    """
    Take HOST:PORT, [IPv6]:PORT, :PORT or PORT.

    The host is empty where none is named: all interfaces, IPv6 and IPv4.

    Raises:
        ConfigurationError: it is none of these.

    """
    host, _, port = address.rpartition(":")
    if not (re.fullmatch("[0-9]{1,5}", port) and int(port) < 65536):
        raise ConfigurationError(
            f"--http={address} is no address. Use for example --http=:8080, "
            "--http=127.0.0.1:8080 or --http='[::1]:8080'.",
            option="http",
        )
    return host.removeprefix("[").removesuffix("]"), int(port)
