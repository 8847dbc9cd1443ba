"""
Follow Leases without ever writing: what commands that show and wait are built on.

One thread for each Lease reads and watches it, or one thread does so for a namespace:
a watch tells each change as it happens, a look now and then misses some. What they see
arrives in one queue, with the clocks read at its receipt; judging is left to
:class:`...core.observation.Observation`, as for any candidate (rules 1 and 2).
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Self

from kubernetes_leader_election.backoff import pause_after
from kubernetes_leader_election.cli.observe.cluster import REQUEST_WITHIN, Target
from kubernetes_leader_election.core.record import Snapshot, read_snapshot
from kubernetes_leader_election.core.timing import Now
from kubernetes_leader_election.engine.clocks import SystemClock
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.kube_api import results as r
from kubernetes_leader_election.kube_api.call import Call, boottime

POLL_EVERY: Final = 1.0
"""Seconds between two looks where watching is not permitted."""
FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 5.0
"""Seconds before trying again after an error: doubled from the one to the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One Lease as it was seen."""

    lease: str
    snapshot: Snapshot | None
    """None: there is no such Lease."""
    at: Now
    in_order: bool = False
    """Whether nothing can have happened between the sighting before and this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something went wrong and is tried again; ``lease`` is empty for all of them."""

    lease: str
    error: LeaseApiError
    at: Now


@dataclass(frozen=True, slots=True, kw_only=True)
class AllListed:
    """All Leases of the namespace were seen once more."""

    at: Now


@dataclass(frozen=True, slots=True, kw_only=True)
class Coarse:
    """Watching is not permitted: what is seen is up to ``POLL_EVERY`` old. Said once."""

    lease: str
    """Empty for all of them."""
    error: LeaseApiError
    at: Now


Seen = Sighting | Trouble | AllListed | Coarse


class LeaseWatcher:
    """
    See Leases of one namespace, or of all, from entering the block to leaving it.

    Args:
        target: Where.
        leases: What they are called there; None for all there are.
    """

    def __init__(self, target: Target, leases: Sequence[str] | None) -> None:
        self.target = target
        self._clock = SystemClock()
        self._seen: queue.SimpleQueue[Seen] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._calls: dict[str, Call] = {}
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        """The version of each Lease that was seen last; one thread writes of each."""
        works = [partial(self._follow, "", self._look_at_all)]
        if leases is not None:
            works = [
                partial(self._follow, x, partial(self._look_at, x)) for x in leases
            ]
        self._threads = [threading.Thread(target=x, daemon=True) for x in works]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with self._lock:
            calls = list(self._calls.values())
        for call in calls:
            call.abandon()
        for thread in self._threads:
            thread.join(timeout=1.0)

    def now(self) -> Now:
        """Read the clocks that sightings carry."""
        return self._clock.now()

    def next(self, timeout: float) -> Seen | None:
        """Return what was seen next; None if nothing was for ``timeout`` seconds."""
        with contextlib.suppress(queue.Empty):
            return self._seen.get(timeout=max(0.0, timeout))
        return None

    def look(self, lease: str) -> Sighting | Trouble:
        """Read a Lease now, on this thread."""
        return self._sighting(lease, self.target.get(lease))

    # On threads of their own

    def _follow(self, lease: str, look: Callable[[], str | LeaseApiError]) -> None:
        """
        Look, and watch from there on, until the block is left.

        Args:
            lease: its name; empty for all of them.
            look: tells what there is, and returns the version that a watch goes on from.

        """
        failures, early, may_watch = 0, 0, True
        while not self._stopping.is_set():
            found = look()
            if isinstance(found, LeaseApiError):
                self._seen.put(Trouble(lease=lease, error=found, at=self.now()))
                failures = self._wait_after(failures)
                continue
            if not may_watch:
                failures = 0
                self._stopping.wait(POLL_EVERY)
                continue
            began = self.now().monotonic
            error = self._watch(lease, found)
            if error is None or error.status == 410:
                failures = 0
                # Looked again at once, but not without end where each watch is cut off.
                lasted = self.now().monotonic - began
                early = early + 1 if lasted < LONGEST_PAUSE else 0
                if early > 1:
                    self._wait_after(early - 2)
            elif error.status == 403:
                may_watch = False
                self._seen.put(Coarse(lease=lease, error=error, at=self.now()))
            else:
                failures = self._wait_after(failures)

    def _wait_after(self, failures: int) -> int:
        """Wait after one more failure in a row; return how many there were with it."""
        self._stopping.wait(
            pause_after(failures, first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        )
        return failures + 1

    def _look_at(self, lease: str) -> str | LeaseApiError:
        call = self._begin(lease, Call(deadline=boottime() + REQUEST_WITHIN))
        result = self.target.client.get(
            *self.target.place_of(lease), call=call, needs=self.target.needs
        )
        found = self._sighting(lease, result)
        if isinstance(found, Trouble):
            return found.error
        self._seen.put(found)
        # Without a version a watch begins with what is there.
        return "" if found.snapshot is None else found.snapshot.resource_version

    def _look_at_all(self) -> str | LeaseApiError:
        call = self._begin("", Call(deadline=boottime() + REQUEST_WITHIN))
        found = list_all(self.target, call)
        if isinstance(found, LeaseApiError):
            return found
        at = self.now()
        for name, snapshot in found.snapshots.items():
            if self._known.get(name) != snapshot.resource_version:
                self._seen.put(Sighting(lease=name, snapshot=snapshot, at=at))
        for name in self._known.keys() - found.snapshots.keys():
            self._seen.put(Sighting(lease=name, snapshot=None, at=at))
        self._seen.put(AllListed(at=at))
        self._known = {x: y.resource_version for x, y in found.snapshots.items()}
        return found.resource_version

    def _watch(self, lease: str, version: str) -> LeaseApiError | None:
        def on_event(kind: str, found: r.LeaseObject) -> None:
            if kind == "BOOKMARK":
                return
            gone = kind == "DELETED"
            snapshot = None if gone else read_snapshot(found)
            name = self.target.key_of(found["metadata"])
            self._known.pop(name, None)
            if snapshot is not None:
                self._known[name] = snapshot.resource_version
            self._seen.put(
                Sighting(lease=name, snapshot=snapshot, at=self.now(), in_order=True)
            )

        return self.target.client.watch(
            self.target.scope,
            lease,
            version,
            call=self._begin(lease, Call()),
            on_event=on_event,
            needs=self.target.needs,
            selector=self.target.selector,
        )

    def _begin(self, key: str, call: Call) -> Call:
        with self._lock:
            self._calls[key] = call
        if self._stopping.is_set():
            call.abandon()
        return call

    def _sighting(self, lease: str, result: Any) -> Sighting | Trouble:
        at = self.now()
        match result:
            case r.Ok(lease=found):
                return Sighting(lease=lease, snapshot=read_snapshot(found), at=at)
            case r.NotFound():
                return Sighting(lease=lease, snapshot=None, at=at)
            case _:
                return Trouble(lease=lease, error=result.error, at=at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leases:
    """All Leases of a namespace, or of all, by what they are called there."""

    snapshots: dict[str, Snapshot]
    resource_version: str
    """Where a watch goes on from them."""


def list_all(target: Target, call: Call) -> Leases | LeaseApiError:
    """Read all Leases that are looked at, page by page."""
    found: dict[str, Snapshot] = {}
    token, version = "", ""
    while True:
        page = target.client.list(
            target.scope,
            call=call,
            continue_token=token,
            selector=target.selector,
        )
        if not isinstance(page, r.Listed):
            return page.error
        # The first page's: a later one may be newer, and its news would be missed.
        version = version or page.resource_version
        for item in page.items:
            metadata = item.get("metadata")
            if isinstance(metadata, dict) and isinstance(metadata.get("name"), str):
                found[target.key_of(metadata)] = read_snapshot(item)
        token = page.continue_token
        if not token:
            return Leases(snapshots=found, resource_version=version)
