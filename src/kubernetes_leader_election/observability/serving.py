"""``observability.serve()``: the health endpoints, on an address of their own."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.observability.endpoints import (
    Answer,
    Asked,
    Endpoints,
)
from kubernetes_leader_election.observability.http_address import listen
from kubernetes_leader_election.observability.http_server import HttpServer

_LONGEST_END = 5.0
"""Seconds to wait for the thread: it never waits for anybody itself."""


class HealthServer:
    """
    The health endpoints, served from a thread; made by :func:`serve`.
    """

    def __init__(
        self, endpoints: Endpoints, address: str, *, option: str = "address"
    ) -> None:
        listener = listen(address, option=option)
        try:
            name = listener.getsockname()
            # The thread has no reference to the electors: it ends when all others have
            # dropped theirs, as nobody can start them any more.
            answer = weakref.WeakMethod(endpoints.answer)
            self._server = HttpServer(listener, _asking(answer))
        except BaseException:
            listener.close()
            raise
        self._endpoints = endpoints
        self._host, self._port = str(name[0]), int(name[1])
        endpoints.subscribe(self._server.wake)
        gone = weakref.finalize(endpoints, self._server.end)
        gone.atexit = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.url}>"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are served, as for ``:0``."""
        return self._host, self._port

    @property
    def url(self) -> str:
        """The address as a URL, without a path."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    def close(self) -> None:
        """
        Serve no more: the address is free when this returns.

        Idempotent; does nothing in a child process, which serves nothing.
        """
        self._endpoints.unsubscribe(self._server.wake)
        self._server.close(_LONGEST_END)
        self._endpoints.forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _asking(
    answer: weakref.WeakMethod[Any],
) -> Callable[[str, str], Answer | None]:
    def ask(method: str, target: str) -> Answer | None:
        alive: Callable[[str, str], Answer] | None = answer()
        return None if alive is None else alive(method, target)

    return ask


def serve(elector: Asked | Iterable[Asked], address: str) -> HealthServer:
    """
    Serve health and metrics of an elector, or of several, from a thread of its own.

    .. code-block:: python

        with observability.serve(elector, ":8080") as health:
            print(health.address)

    - ``/livez``: the election works, and so does the application, if the elector has the
      option ``liveness``.
    - ``/readyz``: this replica takes part, leading or waiting.
    - ``/leaderz``: it leads.
    - ``/metrics``: all metrics, for Prometheus.
    - ``/``: who leads, as ``{"name": ..., "last_update": ...}``.
    - ``/sse``: the same as server-sent events, one at each change.

    The first three have status 503, and say why, where that is not so. With several
    electors it has to be so for all of them; ``?lease=NAME`` asks for one.

    Serving begins with the call, also before ``start()``. It ends with the block, with
    ``close()``, or when nobody has a reference to the electors any more. It does not end
    with ``stop()``: ``/readyz`` has 503 from then on, and the process, which is alive, may
    start again. A child process does not serve. Everybody who can reach the address can
    ask who leads; no credentials are needed.

    Args:
        elector: The elector to ask, or several.
        address: ``:8080`` is every address, IPv6 and IPv4; ``0.0.0.0:8080`` is IPv4 only;
            ``127.0.0.1:8080`` or ``[::1]:8080`` is this machine. Port 0 is a free one.

    Returns:
        The server, a context manager with ``address``, ``url`` and ``close()``.

    Raises:
        ConfigurationError: There is no elector, no such address, or it cannot be bound.
            Two processes cannot have the same one: where a server has several workers,
            mount ``asgi()`` or ``wsgi()`` instead.

    """
    endpoints = Endpoints(elector)
    try:
        health = HealthServer(endpoints, address)
    except ConfigurationError as error:
        endpoints.forget()
        raise ConfigurationError(
            f"{error} Each process needs one of its own: where a server has several "
            "workers, mount observability.asgi() or wsgi() instead."
            if error.__cause__ is not None
            else str(error),
            option="address",
        ) from error
    except BaseException:
        endpoints.forget()
        raise
    logging.getLogger("kubernetes_leader_election").info(
        "%s has /livez, /readyz, /leaderz, /metrics, / and /sse", health.url
    )
    return health
