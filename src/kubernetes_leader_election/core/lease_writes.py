"""
What is written: the whole Lease of an acquire, a renewal and a release.

Everything that others wrote is kept, but for annotations that are about one term or one
record and would outlive it: wishes that were granted, the note of a token that is no
more, where the end of a holder would be proved, and the challenge to it.
Each write is remembered before it is ordered: what leaves may land (rule 9).
"""

from __future__ import annotations

from kubernetes_leader_election.core import annotations as notes
from kubernetes_leader_election.core import record as rec
from kubernetes_leader_election.core.pod_notes import note_of, with_note
from kubernetes_leader_election.core.record import Stamp
from kubernetes_leader_election.core.standing import Standing
from kubernetes_leader_election.core.term import Try


class LeaseWrites:
    """Order the writes of one elector; when they are due says its Election."""

    __slots__ = (
        "_hearing",
        "_in_flight",
        "_observation",
        "_own_writes",
        "_settings",
        "_standing",
    )

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._settings = standing.settings
        self._hearing = standing.challenge.hearing
        self._in_flight = standing.in_flight
        self._observation = standing.observation
        self._own_writes = standing.own_writes

    def acquire(self) -> None:
        """Order the write that may begin a term: on a free or expired Lease, or none."""
        now, settings = self._standing.now, self._settings
        observation, duration = self._observation, settings.lease_duration
        snapshot = observation.snapshot
        stamp = self._own_writes.stamp_acquire(now)
        if snapshot is None:
            lease = rec.created(
                name=settings.lease_name,
                namespace=settings.namespace,
                stamp=stamp,
                duration=duration,
            )
        else:
            lease = notes.without(
                rec.acquired(snapshot, stamp=stamp, duration=duration),
                notes.STEP_DOWN,
                notes.SUCCESSOR,
                notes.TOKEN,
                *notes.OF_CRASHES,
            )
        self._standing.contending.seek()
        watch_id = self._in_flight.watch_id
        told = self._standing.challenge.tell(snapshot, watch_id, now)
        note = None if snapshot is None else note_of(snapshot)
        nonce = None if note is None else note.nonce
        why = self._standing.notices.gap.why_unproved(nonce)
        attempt = Try.based_on(observation, stamp, now, crash_proof=told, no_proof=why)
        self._own_writes.try_to_acquire(attempt, observation.record)
        self._hearing.write_ordered(stamp, now, acquires=True)
        self._in_flight.order_write(
            lease,
            purpose="acquire",
            stamp=stamp,
            known=observation.version,
            now=now.boottime,
            deadline=now.boottime + settings.request_timeout,
            creates=snapshot is None,
        )

    def renew(self) -> None:
        """Order the write that goes on with the term, and notes its token for people."""
        now, settings, term = self._standing.now, self._settings, self._standing.term
        observation = self._observation
        assert term is not None
        assert observation.snapshot is not None
        # G2: what could only be sent after the term is not sent at all.
        timeout = min(term.belief.remaining(now), settings.request_timeout)
        stamp = self._own_writes.stamper.stamp(
            now, acquire_time=term.confirmed.stamp.acquire_time
        )
        term.try_to_renew(Try.based_on(observation, stamp, now))
        lease = rec.renewed(
            observation.snapshot, stamp=stamp, duration=settings.lease_duration
        )
        if settings.crash_takeover:
            lease = notes.without(lease, *notes.OF_CRASHES)
            note = self._hearing.note_to_leave(self._in_flight.watch_id)
            if note is not None:
                lease = with_note(lease, note)
            self._hearing.write_ordered(stamp, now, acquires=False)
        self._in_flight.order_write(
            notes.with_token(lease, token=term.token, acquire_time=stamp.acquire_time),
            purpose="renew",
            stamp=stamp,
            known=observation.version,
            now=now.boottime,
            deadline=now.boottime + timeout,
        )

    def release(self) -> None:
        """Order the write that frees the Lease; a successor that was named stays so."""
        now, snapshot = self._standing.now, self._observation.snapshot
        assert snapshot is not None
        stamp = self._own_writes.stamper.stamp(now, holder="")
        due = now.boottime + self._settings.request_timeout
        self._in_flight.order_write(
            notes.without(
                rec.released(snapshot, stamp=stamp),
                notes.STEP_DOWN,
                notes.TOKEN,
                *notes.OF_CRASHES,
            ),
            purpose="release",
            stamp=stamp,
            known=self._observation.version,
            now=now.boottime,
            deadline=min(self._standing.schedule.give_up_at, due),
        )

    def challenge(self) -> None:
        """Order the write that asks the holder whether it lives: one annotation."""
        now, snapshot = self._standing.now, self._observation.snapshot
        assert snapshot is not None
        record = snapshot.record
        acquired, renewed = record.acquire_time, record.renew_time
        assert isinstance(acquired, int)  # what is named by its times has such
        assert isinstance(renewed, int)
        self._standing.challenge.ask(now.boottime)
        self._in_flight.order_write(
            notes.challenged(snapshot),
            purpose="challenge",
            stamp=Stamp(record.holder_identity, acquired, renewed),
            known=self._observation.version,
            now=now.boottime,
            deadline=now.boottime + self._settings.request_timeout,
        )
