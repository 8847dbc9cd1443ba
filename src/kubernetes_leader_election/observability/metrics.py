"""
Metrics of elections, in the text format of Prometheus, with no dependency.

Gauges are asked of the elector when they are read, so that they are true at that
instant, also of a process that was frozen; counters count its events.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, Literal, NamedTuple, Protocol

from kubernetes_leader_election.events import (
    EVENTS,
    ElectorEvent,
    ErrorOccurred,
    LeadershipAcquired,
    LeadershipLost,
)
from kubernetes_leader_election.leadership import ElectorState, Role
from kubernetes_leader_election.process import native

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The Content-Type to serve :meth:`Metrics.text` with."""

Labels = tuple[tuple[str, str], ...]
Samples = list[tuple[Labels, float]]
BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 3.5, 5, 10, 15, 20, 30, 60, 120, 300)
"""Seconds that the buckets of gaps hold at most; one more holds all others."""
GAP: Final = "leader_election_gap_seconds"
GAP_MEANING: Final = "For how long nobody led before a term of this elector, by reason."


class Distribution(NamedTuple):
    """How many values were at most as large as each of ``BUCKETS``, all, and their sum."""

    labels: Labels
    up_to: tuple[int, ...] = (0,) * len(BUCKETS)
    number: int = 0
    total: float = 0.0

    def plus(self, value: float) -> Distribution:
        """Return the same with one more value."""
        counts = zip(self.up_to, BUCKETS, strict=True)
        up_to = tuple(count + (value <= bound) for count, bound in counts)
        return Distribution(self.labels, up_to, self.number + 1, self.total + value)

    def buckets(self) -> list[tuple[str, float]]:
        """Return the counts, each with the bound as Prometheus writes it."""
        bounds = [str(float(bound)) for bound in BUCKETS]
        counts = [float(count) for count in (*self.up_to, self.number)]
        return list(zip([*bounds, "+Inf"], counts, strict=True))

    def samples(self) -> list[tuple[str, Labels, float]]:
        """Return them as Prometheus has them: suffix of the name, labels, value."""
        labels = self.labels
        return [
            *(
                ("_bucket", (*labels, ("le", bound)), count)
                for bound, count in self.buckets()
            ),
            ("_count", labels, float(self.number)),
            ("_sum", labels, self.total),
        ]


class Family(NamedTuple):
    """One metric: its name, and a value for each set of labels."""

    name: str
    """Without ``_total``, which counters carry in the text."""
    meaning: str
    samples: Samples
    kind: Literal["counter", "gauge"]


_gauge = partial(Family, kind="gauge")
_counter = partial(Family, kind="counter")


class Watched(Protocol):
    """The part of an elector, for asyncio or for threads, that metrics look at."""

    @property
    def lease_name(self) -> str:
        """The name of the Lease."""
        ...

    @property
    def namespace(self) -> str | None:
        """The namespace of the Lease."""
        ...

    @property
    def identity(self) -> str:
        """The name of this candidate."""
        ...

    @property
    def current_leader(self) -> bool:
        """Whether it leads now."""
        ...

    @property
    def state(self) -> ElectorState:
        """The state at this instant."""
        ...

    def remaining(self) -> float:
        """Return the seconds for which the Lease is provably held."""
        ...

    def on(self, event: str, handler: Callable[[Any], object]) -> object:
        """Call ``handler`` with every such event."""
        ...

    def off(self, event: str, handler: Callable[[Any], object]) -> object:
        """Call it no more."""
        ...


class _Tally:
    """The counters of one elector, and the elector."""

    def __init__(
        self, elector: Watched, tell_gap: Callable[[float, Labels], object]
    ) -> None:
        self.elector = elector
        self._tell_gap = tell_gap
        """Called with each gap, and its labels."""
        self.lock = native.Lock()
        self.events: Counter[EVENTS] = Counter()
        self.losses: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.gaps: dict[str, Distribution] = {}
        """How long nobody led before a term, by the reason."""

    def count(self, event: ElectorEvent) -> None:
        """Count an event: the handler of every one of them."""
        with self.lock:
            self.events[event.name] += 1
            if isinstance(event, LeadershipLost):
                self.losses[event.reason] += 1
            elif isinstance(event, ErrorOccurred):
                self.errors[type(event.error).__name__] += 1
        if isinstance(event, LeadershipAcquired):
            self._count_gap(event)

    def _count_gap(self, event: LeadershipAcquired) -> None:
        gap, why = event.gap_sec, event.why
        if gap is None or why is None:
            return  # it was not seen
        labels = (*self.labels(), ("why", why))
        with self.lock:
            known = self.gaps.get(why, Distribution(labels))
            self.gaps[why] = known.plus(gap)
        self._tell_gap(gap, labels)

    def labels(self) -> Labels:
        """Return the labels that tell this elector from others."""
        elector = self.elector
        return (
            ("namespace", elector.namespace or ""),
            ("lease", elector.lease_name),
            ("identity", elector.identity),
        )


class Metrics:
    """
    Count and measure what electors do. Any thread may call anything.

    .. code-block:: python

        metrics = Metrics()
        metrics.watch(elector)
        body, kind = metrics.text(), CONTENT_TYPE    # answer of GET /metrics
    """

    def __init__(self) -> None:
        self._tallies: tuple[_Tally, ...] = ()
        self._told_of_gaps: tuple[Callable[[float, Labels], object], ...] = ()
        """Called with each gap as it ends; see :meth:`on_gap`."""
        self._lock = native.Lock()

    def watch(self, elector: Watched) -> None:
        """Begin to count the events of ``elector``; before its start none is missed."""
        tally = _Tally(elector, self._tell_gap)
        for name in EVENTS:
            elector.on(name, tally.count)
        with self._lock:
            self._tallies = (*self._tallies, tally)

    def forget(self, elector: Watched) -> None:
        """Count and show it no more. Harmless if it is not watched."""
        with self._lock:
            gone = [t for t in self._tallies if t.elector is elector]
            self._tallies = tuple(t for t in self._tallies if t not in gone)
        for tally in gone:
            for name in EVENTS:
                elector.off(name, tally.count)

    def families(self) -> Iterator[Family]:
        """Yield every metric with its values at this instant."""
        tallies = self._tallies
        yield from _gauges(tallies)
        yield from _counters(tallies)

    def gaps(self) -> Iterator[Distribution]:
        """Yield how long nobody led before the terms of each elector, by reason."""
        for tally in self._tallies:
            with tally.lock:
                found = sorted(tally.gaps.items())
            yield from (distribution for _, distribution in found)

    def on_gap(self, record: Callable[[float, Labels], object]) -> None:
        """Call ``record`` with each gap from now on, in seconds; it must not block."""
        with self._lock:
            self._told_of_gaps = (*self._told_of_gaps, record)

    def _tell_gap(self, gap: float, labels: Labels) -> None:
        for record in self._told_of_gaps:
            record(gap, labels)

    def text(self) -> str:
        """Return all metrics in the text format of Prometheus, version 0.0.4."""
        lines: list[str] = []
        for family in self.families():
            name = family.name + ("_total" if family.kind == "counter" else "")
            lines += [f"# HELP {name} {family.meaning}", f"# TYPE {name} {family.kind}"]
            lines += [
                f"{name}{{{_rendered(labels)}}} {_number(value)}"
                for labels, value in family.samples
            ]
        lines += [f"# HELP {GAP} {GAP_MEANING}", f"# TYPE {GAP} histogram"]
        lines += [
            f"{GAP}{suffix}{{{_rendered(labels)}}} {_number(value)}"
            for distribution in self.gaps()
            for suffix, labels, value in distribution.samples()
        ]
        return "\n".join([*lines, ""])


def _gauges(tallies: tuple[_Tally, ...]) -> Iterator[Family]:
    leads: Samples = []
    left: Samples = []
    roles: Samples = []
    transitions: Samples = []
    master: dict[Labels, float] = {}
    for tally in tallies:
        elector, labels = tally.elector, tally.labels()
        leading, state = float(elector.current_leader), elector.state
        leads.append((labels, leading))
        left.append((labels, elector.remaining()))
        roles += [
            ((*labels, ("role", str(role))), float(role is state.role)) for role in Role
        ]
        if state.transitions is not None:
            transitions.append((labels, float(state.transitions)))
        name: Labels = (("name", elector.lease_name),)
        master[name] = max(master.get(name, 0.0), leading)
    yield _gauge("leader_election_leader", "1 while this elector leads, else 0.", leads)
    yield _gauge(
        "leader_election_remaining_seconds",
        "For how long the Lease is provably held without another renewal.",
        left,
    )
    yield _gauge(
        "leader_election_role",
        "1 for the role of this elector. Draining for long: work that does not stop.",
        roles,
    )
    yield _gauge(
        "leader_election_lease_transitions",
        "How often the Lease changed hands, as written in it.",
        transitions,
    )
    yield _gauge(
        "leader_election_master_status",
        "The same as leader_election_leader, under the name that client-go uses.",
        list(master.items()),
    )


def _counters(tallies: tuple[_Tally, ...]) -> Iterator[Family]:
    counted: dict[EVENTS, Samples] = {name: [] for name in EVENTS}
    losses: Samples = []
    errors: Samples = []
    for tally in tallies:
        labels = tally.labels()
        with tally.lock:
            for name in EVENTS:
                counted[name].append((labels, float(tally.events[name])))
            losses += [
                ((*labels, ("reason", reason)), float(count))
                for reason, count in sorted(tally.losses.items())
            ]
            errors += [
                ((*labels, ("error", error)), float(count))
                for error, count in sorted(tally.errors.items())
            ]
    acquired = counted[EVENTS.LEADERSHIP_ACQUIRED]
    renewed = counted[EVENTS.LEASE_RENEWED]
    changed = counted[EVENTS.LEADER_CHANGED]
    yield _counter("leader_election_terms_acquired", "Terms that began.", acquired)
    yield _counter("leader_election_terms_lost", "Terms that ended, by reason.", losses)
    yield _counter(
        "leader_election_renewals", "Renewals that are known to be applied.", renewed
    )
    yield _counter(
        "leader_election_leader_changes",
        "Changes of the holder that were seen.",
        changed,
    )
    yield _counter(
        "leader_election_errors",
        "Errors that were met and tried again, by kind.",
        errors,
    )


def _rendered(labels: Labels) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf"  # leadership is assumed: it has no end
    return str(int(value)) if value.is_integer() else f"{value:.3f}"
