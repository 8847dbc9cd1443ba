"""Ask a holder, through annotations on the Lease, to let another one lead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

import click

from kubernetes_leader_election.cli import exit_codes
from kubernetes_leader_election.cli.observe.cluster import Target, call
from kubernetes_leader_election.cli.observe.holders import recognise
from kubernetes_leader_election.cli.observe.lease_watcher import LeaseWatcher, Sighting
from kubernetes_leader_election.cli.observe.tracker import Tracker
from kubernetes_leader_election.cli.observe.whereabouts import about_missing
from kubernetes_leader_election.cli.output import emit, exact, note, seconds
from kubernetes_leader_election.core.annotations import STEP_DOWN, SUCCESSOR
from kubernetes_leader_election.core.record import (
    ASSUMED_DURATION,
    LeaseRecord,
    Snapshot,
    format_time,
    read_snapshot,
)
from kubernetes_leader_election.core.timing import Now
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.kube_api.results import Conflict, NotFound, Ok, Unknown
from kubernetes_leader_election.text import printable, quoted

TRIES: Final = 20
"""A renewal may come between our read and our write; it does so once in many times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a request went."""

    lease: str
    namespace: str
    asked: str | None = None
    """Who held the Lease."""
    successor: str | None = None
    leader: str | None = None
    """Who leads now; None: nobody, as far as was seen."""
    outcome: str
    """done; fell back; nobody took over; no answer; nobody to ask; cannot be asked."""
    took_sec: float | None = None
    nobody_led_sec: float | None = None
    """Seconds without a leader: until one was seen, or until the wait was over."""
    text: str

    @property
    def exit_code(self) -> int:
        """Whether all came as asked."""
        return exit_codes.OK if self.outcome == "done" else exit_codes.NO


def term_of(record: LeaseRecord) -> str:
    """Name the term of a record, as wishes do: by its acquire time on the wire."""
    moment = record.acquire_time
    return format_time(moment) if isinstance(moment, int) else str(moment or "")


def read(target: Target, lease: str) -> Snapshot | None:
    """
    Read a Lease; None if there is none.

    Raises:
        LeaseApiError: it cannot be read.

    """
    match target.get(lease):
        case Ok(lease=found):
            return read_snapshot(found)
        case NotFound():
            return None
        case failed:
            error: LeaseApiError = failed.error
            raise error


def annotate(
    target: Target, seen: Snapshot, lease: str, changes: Mapping[str, str | None]
) -> Snapshot | None:
    """
    Change annotations while the Lease is in the term that was seen; None if it is not.

    Each write carries version and uid of the snapshot it is based on (G5), so it never
    undoes a renewal or a take-over.

    Raises:
        LeaseApiError: the server refuses, or does not answer.

    """
    snapshot: Snapshot | None = seen
    for _ in range(TRIES):
        if snapshot is None or _term(snapshot) != _term(seen):
            return None
        if all(snapshot.annotations.get(k) == v for k, v in changes.items()):
            return snapshot
        match target.client.replace(
            target.namespace,
            lease,
            _with(snapshot, changes),
            call=call(),
            needs=target.needs,
        ):
            case Ok(lease=written):
                return read_snapshot(written)
            case Conflict() | Unknown() | NotFound():
                snapshot = read(target, lease)
            case failed:
                raise failed.error
    raise LeaseApiError(
        f"{target.namespace}/{lease} changed {TRIES} times while it was to be annotated. "
        "Try again.",
        outcome="not done",
    )


def _term(snapshot: Snapshot) -> tuple[object, object]:
    return snapshot.record.holder_identity, snapshot.record.acquire_time


def _with(snapshot: Snapshot, changes: Mapping[str, str | None]) -> dict[str, Any]:
    annotations = {**snapshot.annotations, **changes}
    kept = {k: v for k, v in annotations.items() if v is not None}
    metadata = {**snapshot.lease["metadata"], "annotations": kept}
    return {**snapshot.lease, "metadata": metadata}


def ask(target: Target, lease: str, *, successor: str | None, within: float) -> Answer:
    """
    Ask the holder to step down, wait, and say who leads then.

    Raises:
        LeaseApiError: the server refuses, or does not answer.

    """

    def answer(outcome: str, text: str, **more: Any) -> Answer:
        return Answer(
            lease=lease,
            namespace=target.namespace,
            outcome=outcome,
            text=f"{target.namespace}/{lease}: {text}",
            **more,
        )

    snapshot = read(target, lease)
    if snapshot is None or snapshot.record.is_free:
        what, why = "nobody holds it", ""
        if snapshot is None:
            what, why = "there is no such Lease", about_missing(target, lease)
        return answer("nobody to ask", f"{what}: nobody can be asked. {why}".rstrip())
    record, holder = snapshot.record, recognise(snapshot)
    asked, name = record.holder_identity, quoted(record.holder_identity)
    if successor is not None and successor == asked:
        return answer("done", f"{name} leads already.", leader=successor)
    assert holder is not None  # noqa: S101 - somebody holds it
    if holder.honours_wishes is False:
        text = (
            f"{name} cannot be asked: it is {printable(holder.kind)}, no elector of "
            f"this package ({printable(holder.because, longest=200)}). Stop that "
            "process instead: with SIGTERM, if it releases its Lease then."
        )
        return answer("cannot be asked", text, asked=asked, leader=asked)
    if holder.honours_wishes is None:
        note(f"{name} may not know of such wishes: {holder.because}.")
    with LeaseWatcher(target, [lease]) as watcher:
        tracker = Tracker(lease, watcher.now())
        tracker.see(snapshot, watcher.now())
        wish: dict[str, str | None] = {STEP_DOWN: term_of(record), SUCCESSOR: successor}
        note(_warning(record, name, successor))
        try:
            if annotate(target, snapshot, lease, wish) is not None:
                wait = seconds(within)
                note(f"{name} is asked to step down; waiting up to {wait} ...")
            took = _wait(watcher, tracker, within)
        except KeyboardInterrupt:
            _take_back(target, lease, wish)
            note("interrupted; the wish is taken back")
            raise
        about = partial(answer, asked=asked, successor=successor)
        if took is not None:
            return _led(about, asked, successor, tracker, took)
        _take_back(target, lease, wish)
        return _unanswered(about, asked, tracker, within, watcher.now())


def _warning(record: LeaseRecord, name: str, successor: str | None) -> str:
    """Say before the wish what cannot be known, and what it costs in the worst case."""
    lasts = exact(record.lease_duration or ASSUMED_DURATION)
    who = "another candidate waits. If none does"
    if successor is not None:
        who = (
            f"{quoted(successor)} waits. If it does not, another candidate leads a few "
            "seconds later; if none waits"
        )
    return (
        f"Candidates write nothing, so it is not known whether {who}, nobody leads "
        f"until {name} is back, about one lease duration ({lasts}) after it has stepped "
        "down."
    )


def _wait(watcher: LeaseWatcher, tracker: Tracker, within: float) -> float | None:
    """Wait until somebody has acquired the Lease; give how long it took, or None."""
    began = watcher.now().monotonic
    while (left := began + within - watcher.now().monotonic) > 0:
        seen = watcher.next(left)
        if not isinstance(seen, Sighting):
            continue
        for change in tracker.see(seen.snapshot, seen.at, in_order=seen.in_order):
            if change.kind == "acquired":
                return seen.at.monotonic - began
            if change.kind in {"released", "deleted"}:
                note(f"{change.text} after {seconds(seen.at.monotonic - began)}")
    return None


def _led(
    answer: Callable[..., Answer],
    old: str,
    successor: str | None,
    tracker: Tracker,
    took: float,
) -> Answer:
    """Say who took over, and whether that is who was asked for."""
    record = tracker.record
    assert record is not None  # noqa: S101 - somebody has just acquired it
    leader, gap = record.holder_identity, tracker.last_gap
    without = "" if gap is None else f"; nobody led for {seconds(gap)}"
    text, outcome = f"{quoted(leader)} leads now{without}.", "done"
    if leader == old:
        outcome = "nobody took over"
        text = f"{quoted(old)} leads again: no other candidate took over{without}."
    elif successor is not None and leader != successor:
        outcome = "fell back"
        text = (
            f"{quoted(successor)} did not take over in time, is it a candidate? "
            f"{quoted(leader)} leads now{without}."
        )
    return answer(
        outcome,
        text,
        leader=leader,
        took_sec=round(took, 6),
        nobody_led_sec=None if gap is None else round(gap, 6),
    )


def _unanswered(
    answer: Callable[..., Answer],
    old: str,
    tracker: Tracker,
    within: float,
    now: Now,
) -> Answer:
    """Say that nobody took over, or that the holder did not even step down."""
    name = quoted(old)
    if tracker.record is not None and not tracker.record.is_free:
        text = (
            f"{name} did not step down within {seconds(within)}; the wish is taken back. "
            "Is its process alive? `status` tells."
        )
        return answer("no answer", text, leader=old)
    gap = tracker.nobody_led_for(now)
    without = "" if gap is None else f"; nobody has led for {seconds(gap)}"
    text = (
        f"{name} stepped down and nobody took over within {seconds(within)}{without}: is "
        f"there another candidate? {name} itself contends again one lease duration "
        "after it stepped down."
    )
    so_far = None if gap is None else round(gap, 6)
    return answer("nobody took over", text, nobody_led_sec=so_far)


def _take_back(target: Target, lease: str, wish: Mapping[str, str | None]) -> None:
    """Take the wish off, so that it reaches nobody later on; no wish of others."""
    # Read anew: what was watched so far may be older than the wish.
    fresh = read(target, lease)
    if fresh is None:
        return
    ours = {k: None for k, v in wish.items() if v and fresh.annotations.get(k) == v}
    if ours:
        annotate(target, fresh, lease, ours)


def show(answer: Answer, output: str) -> None:
    """Print an answer and exit with its code."""
    if output == "text":
        click.echo(answer.text, err=answer.exit_code != exit_codes.OK)
    else:
        emit(asdict(answer), output)
    raise SystemExit(answer.exit_code)
