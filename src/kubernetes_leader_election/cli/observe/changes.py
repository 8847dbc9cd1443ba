"""Changes of leaders as they happen: for lines, and for the live table."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from kubernetes_leader_election.cli.option_names import as_options
from kubernetes_leader_election.text import quoted

if TYPE_CHECKING:
    from kubernetes_leader_election.cli.observe.cluster import Target
    from kubernetes_leader_election.cli.observe.lease_watcher import (
        LeaseWatcher,
    )
    from kubernetes_leader_election.cli.observe.tracker import Change, Tracker
    from kubernetes_leader_election.core.record import Snapshot

TICK: Final = 0.25
"""Seconds between two looks at the clock, and two drawings of the live table."""
COLOURS: Final = {
    "acquired": "green",
    "held": "green",
    "released": "yellow",
    "free": "yellow",
    "expired": "red",
    "deleted": "red",
    "trouble": "red",
}


def changes(
    watcher: LeaseWatcher, names: list[str] | None, for_sec: float | None
) -> Iterator[tuple[Change | None, dict[str, Tracker]]]:
    """
    Yield each change as it happens, and None at each tick, for ever or so long.

    Beside each change come the trackers of all Leases seen.
    """
    from kubernetes_leader_election.cli.observe.lease_watcher import (  # noqa: PLC0415 - help is quick
        POLL_EVERY,
        AllListed,
        Coarse,
        Sighting,
        Trouble,
    )
    from kubernetes_leader_election.cli.observe.tracker import Change, Tracker  # noqa: PLC0415 - help is quick

    began = watcher.now()
    trackers = {name: Tracker(name, began) for name in names or ()}
    failing: set[str] = set()
    looked = False
    while True:
        now = watcher.now()
        if for_sec is not None and now.monotonic - began.monotonic >= for_sec:
            return
        seen = watcher.next(TICK)
        absent: str | None = None
        if isinstance(seen, Sighting):
            if seen.lease not in trackers and seen.snapshot is None:
                continue
            failing.discard(seen.lease)
            failing.discard("")
            if seen.lease not in trackers:
                trackers[seen.lease] = Tracker(seen.lease, began)
                if seen.in_order:
                    # It was not there before: who holds it now has just acquired it.
                    trackers[seen.lease].see(None, seen.at)
            tracker = trackers[seen.lease]
            if not tracker.seen and seen.snapshot is None:
                absent = seen.lease
            before = tracker.snapshot
            for change in tracker.see(seen.snapshot, seen.at, in_order=seen.in_order):
                yield explained(change, watcher.target, before), trackers
        elif isinstance(seen, Trouble) and seen.lease not in failing:
            # Said once, until it works again.
            failing.add(seen.lease)
            text = f"{as_options(str(seen.error))} Trying again."
            lease = seen.lease or "*"
            yield Change(lease=lease, kind="trouble", at=seen.at, text=text), trackers
        elif isinstance(seen, Coarse):
            text = (
                f"watching is not permitted: read every {POLL_EVERY:g} s instead, so "
                "times are wrong by as much, and changes between two looks are not "
                f"seen. {as_options(str(seen.error))}"
            )
            lease = seen.lease or "*"
            yield Change(lease=lease, kind="trouble", at=seen.at, text=text), trackers
        elif isinstance(seen, AllListed) and not trackers:
            absent = ""
        if absent is not None and not looked:
            looked = True
            if text := _about_absent(watcher.target, absent):
                lease = absent or "*"
                told = Change(lease=lease, kind="missing", at=watcher.now(), text=text)
                yield told, trackers
        for tracker in trackers.values():
            if tracker.announced_expiry or tracker.state(watcher.now()) != "expired":
                continue
            # A silent watch must not make a holder look dead: look once more.
            again = watcher.look(tracker.lease)
            if isinstance(again, Sighting):
                before = tracker.snapshot
                for change in tracker.see(again.snapshot, again.at):
                    yield explained(change, watcher.target, before), trackers
                for change in tracker.expire(watcher.now()):
                    yield with_proof(change, watcher.target, tracker.snapshot), trackers
        yield None, trackers


def explained(change: Change, target: Target, before: Snapshot | None) -> Change:
    """Add what a take-over rests on to a change of what was there before."""
    if change.kind == "acquired" and asked_whether_it_lives(before):
        return with_proof(change, target, before)
    return change


def asked_whether_it_lives(snapshot: Snapshot | None) -> bool:
    """Return whether candidates had a proof of the holder's end, and asked it."""
    from kubernetes_leader_election.core.annotations import is_challenged  # noqa: PLC0415 - help is quick

    return snapshot is not None and is_challenged(snapshot)


def with_proof(change: Change, target: Target, snapshot: Snapshot | None) -> Change:
    """
    Add what the pod of the holder in a snapshot says of its end; blocks for a moment.

    To a take-over only a proof: without one it rests on something else.
    """
    from kubernetes_leader_election.cli.observe.holder_end import look_at_holder  # noqa: PLC0415 - help is quick

    end = look_at_holder(target, snapshot)
    if end is None or (change.kind == "acquired" and end.verdict != "proven"):
        return change
    text = f"{change.text}; {end.as_clause()}"
    return dataclasses.replace(change, text=text, crash_proof=end.verdict)


def _about_absent(target: Target, lease: str) -> str:
    """Say that there is nothing to see yet, and which name may be a wrong one."""
    from kubernetes_leader_election.cli.observe import whereabouts  # noqa: PLC0415 - help is quick

    if lease:
        return whereabouts.about_missing(target, lease)
    if target.everywhere:
        return "there are no Leases in any namespace yet."
    exists = whereabouts.namespace_exists(target)
    about = whereabouts.about_namespace(target, exists)
    name = quoted(target.namespace)
    return f"there are no Leases in the namespace {name} yet. {about}".rstrip()


def time_of(change: Change) -> str:
    """Return the time of day of a change, on this machine's clock."""
    moment = datetime.fromtimestamp(change.at.wall / 1_000_000, UTC).astimezone()
    return moment.strftime("%H:%M:%S.%f")[:-3]


def as_dict(change: Change, target: Target) -> dict[str, Any]:
    """Return a change in plain types, for programs."""
    namespace: str | None
    namespace, lease = target.place_of(change.lease)
    if target.everywhere and lease == change.lease:
        namespace = None  # of all of them
    moment = datetime.fromtimestamp(change.at.wall / 1_000_000, UTC)
    gap = change.nobody_led
    return {
        "time": moment.isoformat(),
        "namespace": namespace,
        "lease": lease,
        "change": change.kind,
        "holder": change.holder,
        "previous": change.previous,
        "token": change.token,
        "transitions": change.transitions,
        "nobody_led_sec": None if gap is None else round(gap, 6),
        "crash_proof": change.crash_proof,
        "text": change.text,
    }
