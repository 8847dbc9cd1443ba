"""
How well this elector hears: what a take-over with proof may be built on (rules 17 and 18).

A leader leaves its note only while a challenge would reach it: while its own watch is
open, and brought its previous write back in a third of what it asks to be given for an
answer. A candidate believes in a proof only for a term that it saw alive under its open
watch: what else stands there may have come back from a backup, and others may lead.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from kubernetes_leader_election.core.messages import PodNote
from kubernetes_leader_election.core.observation import Observation
from kubernetes_leader_election.core.record import LeaseRecord, Snapshot, Stamp
from kubernetes_leader_election.core.timing import (
    MICROSECONDS,
    ElectionSettings,
    Now,
    elapsed_for_candidate,
    elapsed_for_leader,
)
from kubernetes_leader_election.values import replace

SHARE: Final = 1 / 3
"""Of the challenge: how soon the watch has to bring a write back."""

TermName: TypeAlias = tuple[str | None, str, int | str | None]


class Hearing:
    """Judge the watch by what it brings, and the Lease by how it changes."""

    __slots__ = (
        "_alive",
        "_distrusted_for",
        "_distrusted_since",
        "_heard_on",
        "_settings",
        "_unheard",
        "note",
        "notes_first",
    )

    def __init__(self, settings: ElectionSettings) -> None:
        self._settings = settings
        self.note: PodNote | None = None
        """Where the proof of this process's end would be found; None: nowhere."""
        self.begin_life()

    def begin_life(self) -> None:
        """Forget what was heard before a start; the note stays where it was left."""
        self._unheard: tuple[Stamp, Now] | None = None
        """The newest write of the term, and when it was ordered; None: it was heard."""
        self._heard_on: int | None = None
        """The watch that brought the newest write back in time; None: none did."""
        self.notes_first = False
        """Whether the term has no renewal yet: the acquire could not carry a note."""
        self._alive: tuple[int, TermName] | None = None
        """The term that was last seen to be renewed or begun, and by which watch."""
        self._distrusted_since: Now | None = None
        """When the Lease went back, or became another one; None: it never did."""
        self._distrusted_for = 0.0
        """Seconds from then on in which nobody's end is believed."""

    def own(self, note: PodNote | None) -> None:
        """Take it that the proof of this process's end would be found there."""
        if note is not None:
            challenge = self._settings.crash_challenge
            note = replace(note, crash_challenge=challenge)
        self.note = note

    # Who leads ----------------------------------------------------------------

    def write_ordered(self, stamp: Stamp, now: Now, *, acquires: bool) -> None:
        """Take it that a write was ordered which the watch has to bring back."""
        self._unheard = (stamp, now)
        self.notes_first = acquires

    def hear(
        self, watch_id: int, before: Snapshot | None, snapshot: Snapshot, now: Now
    ) -> None:
        """
        Take what the watch brought: its own last write, or another one's.

        Args:
            watch_id: the open watch.
            before: what was known; None: nothing, or that it is gone.
            snapshot: what was brought.
            now: the clocks.

        """
        if self._unheard is not None:
            stamp, ordered_at = self._unheard
            if stamp.is_on(snapshot.record):
                late = elapsed_for_leader(ordered_at, now)
                in_time = late <= SHARE * self._settings.crash_challenge
                self._unheard, self._heard_on = None, watch_id if in_time else None
        if before is not None and before.uid == snapshot.uid:
            if _lives(before.record, snapshot.record):
                self._alive = (watch_id, term_of(snapshot))

    def note_to_leave(self, watch_id: int | None) -> PodNote | None:
        """Return the note that a renewal may carry, under the watch that is open now."""
        heard = self._unheard is None and self._heard_on is not None
        if not self._settings.crash_takeover or not heard:
            return None
        return self.note if self._heard_on == watch_id else None

    # Who waits ----------------------------------------------------------------

    def see(
        self,
        before: Snapshot | None,
        snapshot: Snapshot,
        observation: Observation,
        now: Now,
    ) -> None:
        """Take it that the record has changed, whoever brought that."""
        if before is None:
            return
        if before.uid != snapshot.uid or _went_back(before.record, snapshot.record):
            self.distrust(observation, now)

    def distrust(self, observation: Observation, now: Now) -> None:
        """Take it that what stands there may be of the past: wait in full first."""
        self._alive = None
        self._distrusted_since = now
        duration = float(self._settings.lease_duration)
        self._distrusted_for = max(duration, observation.wait)

    def may_be_proved(
        self, snapshot: Snapshot, note: PodNote, watch_id: int | None, now: Now
    ) -> bool:
        """Return whether a proof of this holder's end may be believed."""
        since = self._distrusted_since
        if since is not None:
            if elapsed_for_candidate(since, now) < self._distrusted_for:
                return False
        if self._is_former_self(note):
            return self._is_recent(snapshot, now)
        return self._alive is not None and self._alive == (watch_id, term_of(snapshot))

    def _is_former_self(self, note: PodNote) -> bool:
        """Return whether the process before this one, in its container, left the note."""
        own = self.note
        return (
            own is not None
            and own.nonce != note.nonce
            and (own.namespace, own.pod, own.uid, own.container)
            == (note.namespace, note.pod, note.uid, note.container)
        )

    def _is_recent(self, snapshot: Snapshot, now: Now) -> bool:
        """
        Return whether the former self wrote the record less than D ago.

        A container that starts anew has seen nothing, so what a backup brought back is
        told by its age. The wall clock is that of the writer, since a pod never leaves
        its node; where it was set meanwhile, the wait is longer, or that for an answer.
        """
        renewed = snapshot.record.renew_time
        if not isinstance(renewed, int):
            return False
        age = (now.wall - renewed) / MICROSECONDS
        # A stamp may be ahead of a clock that was set back (rule 7).
        return abs(age) < self._settings.lease_duration


def term_of(snapshot: Snapshot) -> TermName:
    """Return what tells one term from another: the Lease, the holder, its acquire time."""
    record = snapshot.record
    return snapshot.uid, record.holder_identity, record.acquire_time


def _went_back(before: LeaseRecord, record: LeaseRecord) -> bool:
    """Return whether a record is of the past of the one before, as after a restore."""
    if (record.lease_transitions or 0) < (before.lease_transitions or 0):
        return True
    same = record.acquire_time == before.acquire_time
    return same and not _grew(before.renew_time, record.renew_time)


def _lives(before: LeaseRecord, record: LeaseRecord) -> bool:
    """Return whether somebody renewed, or began a term, between the two."""
    if record.is_free:
        return False
    if (record.holder_identity, record.acquire_time) == (
        before.holder_identity,
        before.acquire_time,
    ):
        return _grew(before.renew_time, record.renew_time)
    return (record.lease_transitions or 0) > (before.lease_transitions or 0)


def _grew(before: int | str | None, time: int | str | None) -> bool:
    """Return whether a time is later; both were written by the same hand."""
    return isinstance(before, int) and isinstance(time, int) and time > before
