"""
What the health endpoints answer: for a server of one's own, a mount, and ``run``.

``/livez`` the election works; ``/readyz`` this replica is in the race, leading or not, so
that a rollout never waits for leadership; ``/leaderz`` it leads; ``/metrics`` in
Prometheus text; ``/`` and ``/sse`` the leader's name, once and at each change.

The last two are in the form of the well-known side-cars. ``{"name": ...}`` is that of
``leader-elector`` of kubernetes/contrib; ``last_update`` (RFC 3339) and the stream of
server-sent events at ``/sse``, one such object an event, are those of ``nais/elector``.

Nothing here opens a socket or blocks; any thread may ask.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.events import EVENTS, LeaderChanged
from kubernetes_leader_election.leadership import Health
from kubernetes_leader_election.observability.metrics import (
    CONTENT_TYPE,
    Metrics,
    Watched,
)
from kubernetes_leader_election.process import native

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"

MOST_STREAMS: Final = 16
"""Streams of events that are open at once, at most."""
KEEP_ALIVE: Final = 15.0
"""Seconds after which a stream without news sends a comment, to see who has gone."""


class Asked(Watched, Protocol):
    """The part of an elector, for asyncio or for threads, that the endpoints ask."""

    @property
    def leader_identity(self) -> str | None:
        """Who holds the Lease as last seen."""
        ...

    @property
    def health(self) -> Health:
        """Whether it works, and whether it is in the race."""
        ...


class Answer(NamedTuple):
    """One answer, or the beginning of a stream."""

    status: int
    content_type: str
    body: str
    headers: tuple[tuple[str, str], ...] = ()
    """Further ones."""
    stream: Callable[[], str] | None = None
    """
    The data of the next event, asked at each change; None: the answer is complete.

    An event is due where the data differ from that of the last one.
    """


class _Watch:
    """One elector, and since when its leader is the one that was seen last."""

    def __init__(self, elector: Asked) -> None:
        self.elector = elector
        self._lock = native.Lock()
        """Held to compare the leader with the one that was seen last."""
        self._name = ""
        """The leader as last seen; empty: nobody, or nothing is known."""
        self._since: datetime | None = None
        """When that changed, by this machine's clock; None: it never has."""

    def leader(self) -> dict[str, str]:
        """Return the leader's name, and when it was last seen to change."""
        name = self.elector.leader_identity or ""
        with self._lock:
            if name != self._name:
                self._name, self._since = name, datetime.now(UTC)
            since = self._since
        if since is None:
            return {"name": name}
        return {"name": name, "last_update": f"{since:%Y-%m-%dT%H:%M:%SZ}"}


class Endpoints:
    """
    Answer for one elector, or for several of one process. Any thread.

    Args:
        electors: whom to ask.
        problem: what else may be wrong with this process; empty: nothing.
        absence: why else it may not be in the race; empty: it is.

    Raises:
        ConfigurationError: there is no elector, or one is named twice.

    """

    def __init__(
        self,
        electors: Asked | Iterable[Asked],
        *,
        problem: Callable[[], str] = str,
        absence: Callable[[], str] = str,
    ) -> None:
        self._watches = tuple(_Watch(elector) for elector in _several(electors))
        """One for each elector, in the order that they were given in."""
        self._problem = problem
        """What else may be wrong, asked for each answer."""
        self._absence = absence
        """Why else it may not be in the race, asked for each answer."""
        self._wakers: tuple[Callable[[], object], ...] = ()
        """Who is called when a leader changes; replaced as a whole."""
        self._lock = native.Lock()
        """Held to replace ``_wakers``."""
        self._metrics = Metrics()
        for watch in self._watches:
            self._metrics.watch(watch.elector)
            watch.elector.on(EVENTS.LEADER_CHANGED, self._on_change)

    def forget(self) -> None:
        """Take the handlers off the electors. Harmless if that was done."""
        for watch in self._watches:
            self._metrics.forget(watch.elector)
            watch.elector.off(EVENTS.LEADER_CHANGED, self._on_change)

    def answer(self, method: str, target: str) -> Answer:
        """Answer a request: its method, and its target with the query."""
        if method not in {"GET", "HEAD"}:
            allowed = (("Allow", "GET, HEAD"),)
            return Answer(405, TEXT, "only GET and HEAD are answered\n", allowed)
        path, _, query = target.partition("?")
        try:
            chosen = self._chosen(query)
        except LookupError as error:
            return Answer(404, TEXT, f"{error.args[0]}\n")
        match path:
            case "/livez" | "/healthz":
                return _verdict(self._first_problem(chosen))
            case "/readyz":
                return _verdict(self._first_absence(chosen))
            case "/leaderz":
                return _verdict(self._not_led(chosen))
            case "/":
                return Answer(200, JSON, self._leaders(chosen) + "\n")
            case "/sse":
                return Answer(
                    200, EVENT_STREAM, "", stream=lambda: self._leaders(chosen)
                )
            case "/metrics":
                return Answer(200, CONTENT_TYPE, self._metrics.text())
        known = "there are /, /livez, /readyz, /leaderz, /metrics and /sse\n"
        return Answer(404, TEXT, known)

    def subscribe(self, waker: Callable[[], object]) -> bool:
        """
        Call ``waker`` whenever a leader changes, on any thread; it must not block.

        False where so many are told already that this one is not.
        """
        with self._lock:
            if len(self._wakers) >= MOST_STREAMS:
                return False
            self._wakers = (*self._wakers, waker)
            return True

    def unsubscribe(self, waker: Callable[[], object]) -> None:
        """Call it no more."""
        with self._lock:
            self._wakers = tuple(w for w in self._wakers if w is not waker)

    def _on_change(self, _event: LeaderChanged) -> None:
        for watch in self._watches:
            watch.leader()  # now: nobody may ask for long, and the time is of interest
        for waker in self._wakers:
            waker()

    def _chosen(self, query: str) -> tuple[_Watch, ...]:
        """Return the electors that a query is about: all, or that of ``lease=NAME``."""
        if "lease=" not in query:
            return self._watches  # as `?verbose`
        from urllib.parse import parse_qs  # noqa: PLC0415 - probes name no Lease

        (wanted, *_) = parse_qs(query).get("lease", [""])
        names = self._names()
        found = tuple(watch for watch, name in names.items() if name == wanted)
        if not found:
            known = ", ".join(names.values())
            raise LookupError(f"no such Lease here; there are: {known}")
        return found

    def _names(self) -> dict[_Watch, str]:
        """Return what tells the electors apart: the Lease, with its namespace if needed."""
        often = Counter(watch.elector.lease_name for watch in self._watches)
        names = {}
        for watch in self._watches:
            lease = watch.elector.lease_name
            space = watch.elector.namespace or "?"
            names[watch] = lease if often[lease] == 1 else f"{space}/{lease}"
        return names

    def _first_problem(self, chosen: tuple[_Watch, ...]) -> str:
        problems = (watch.elector.health.problem for watch in chosen)
        return self._problem() or next(filter(None, problems), "")

    def _first_absence(self, chosen: tuple[_Watch, ...]) -> str:
        absences = (watch.elector.health.absence for watch in chosen)
        return self._absence() or next(filter(None, absences), "")

    def _not_led(self, chosen: tuple[_Watch, ...]) -> str:
        missing = [watch for watch in chosen if not watch.elector.current_leader]
        if not missing:
            return ""
        if len(self._watches) == 1:
            return "this replica does not lead"
        names = self._names()
        return f"this replica does not lead {', '.join(names[w] for w in missing)}"

    def _leaders(self, chosen: tuple[_Watch, ...]) -> str:
        """Return the leader as JSON; of several Leases, an object with each by name."""
        if len(chosen) == 1:
            return json.dumps(chosen[0].leader())
        names = self._names()
        return json.dumps({names[watch]: watch.leader() for watch in chosen})


def _several(electors: Asked | Iterable[Asked]) -> tuple[Asked, ...]:
    """
    Take one elector or several.

    Raises:
        ConfigurationError: it is none, or the same one twice.

    """
    found: tuple[object, ...]
    found = tuple(electors) if isinstance(electors, Iterable) else (electors,)
    needed = ("health", "leader_identity", "on", "off")
    for one in found:
        if isinstance(one, type) or not all(hasattr(type(one), n) for n in needed):
            raise ConfigurationError(
                f"{type(one).__name__} is not an elector. Give an Elector, or a list of "
                "electors.",
                option="elector",
            )
    if not found or len({id(one) for one in found}) != len(found):
        raise ConfigurationError(
            "Give at least one elector, and each of them once.", option="elector"
        )
    return found  # type: ignore[return-value]  # as was just looked at


def _verdict(problem: str) -> Answer:
    return Answer(503, TEXT, f"{problem}\n") if problem else Answer(200, TEXT, "ok\n")


def event_of(data: str) -> str:
    """Return one server-sent event."""
    return f"data: {data}\n\n"
