"""
One term: its tries, what they prove, and the stamps they carry.
"""

from __future__ import annotations

from collections.abc import Iterable

from kubernetes_leader_election.core.observation import Observation
from kubernetes_leader_election.core.record import LeaseRecord, Snapshot, Stamp
from kubernetes_leader_election.core.timing import (
    MICROSECONDS,
    Belief,
    ElectionSettings,
    Now,
    believe,
    cut_short,
    elapsed_for_leader,
)
from kubernetes_leader_election.values import Value, replace


class Try(Value, kw_only=False):
    """One write that was ordered: its stamp, and the clocks when it was ordered."""

    stamp: Stamp
    sent: Now
    uid: str | None = None
    """Of the Lease that it replaces; None where it creates one."""
    base: str = ""
    """The newest resourceVersion known when it was ordered; empty: none was."""
    base_version: int | None = None
    """The same as a number; None where there is none, or it is not comparable."""
    crash_proof: str = ""
    """By what proof the Lease was free, for people; empty: by none."""
    no_proof: str = ""
    """Why nothing could prove the end of its holder, for people; empty: not known."""

    @classmethod
    def based_on(
        cls,
        observation: Observation,
        stamp: Stamp,
        sent: Now,
        crash_proof: str = "",
        no_proof: str = "",
    ) -> Try:
        """Return a write on the Lease as it is known."""
        snapshot = observation.snapshot
        return cls(
            stamp,
            sent,
            None if snapshot is None else snapshot.uid,
            observation.resource_version,
            observation.version,
            crash_proof,
            no_proof,
        )

    def is_overtaken_by(self, snapshot: Snapshot) -> bool:
        """
        Return whether what is seen proves that this write cannot come to stand there.

        A write lands on its base alone. Where something else stands that is newer
        than the base, it was replaced, or it never lands; what shows its stamp
        afterwards is a restore, or the creation of a Lease that was deleted
        meanwhile, and others may believe then (rule 5).
        """
        # A copy under another uid is none of ours: what we wrote is deleted.
        another = self.uid not in (None, snapshot.uid)
        return (another or not self.stamp.is_on(snapshot.record)) and (
            self.is_older_than(snapshot.resource_version, snapshot.version)
        )

    def seen_on(self, snapshot: Snapshot) -> Try:
        """Return the same, which knows its Lease from the first time that it is seen there."""
        if self.uid is not None or not self.stamp.is_on(snapshot.record):
            return self
        return replace(self, uid=snapshot.uid)

    def is_older_than(self, resource_version: str, version: int | None) -> bool:
        """
        Return whether news of this version came after what the write was based on.

        News that are no newer, as of a read that lags, prove nothing; where the
        versions cannot be compared, they count as newer.
        """
        if self.base and resource_version == self.base:
            return False
        base = self.base_version
        return base is None or version is None or version > base


class Stamper:
    """Make stamps that grow with real time whatever the wall clock does (rule 7)."""

    __slots__ = ("_at", "_identity", "_last")

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self._last: int | None = None
        self._at: Now | None = None

    def stamp(
        self, now: Now, *, acquire_time: int | None = None, holder: str | None = None
    ) -> Stamp:
        """Return a fresh stamp; without ``acquire_time`` both times are the new one."""
        renew_time = now.wall
        if self._last is not None and self._at is not None:
            elapsed = round(elapsed_for_leader(self._at, now) * MICROSECONDS)
            # client-go compares whole seconds: a stamp that only crept after a
            # backward step of the wall clock would look frozen to it.
            least = self._last + (elapsed if elapsed > 1 else 1)
            if renew_time < least:
                renew_time = least
        self._last, self._at = renew_time, now
        return Stamp(
            self._identity if holder is None else holder,
            renew_time if acquire_time is None else acquire_time,
            renew_time,
        )


class Term:
    """One uninterrupted leadership of one elector."""

    __slots__ = ("belief", "confirmed", "number", "pending", "token", "uid")

    def __init__(
        self,
        *,
        number: int,
        token: int | None,
        uid: str | None,
        confirmed: Try,
        belief: Belief,
        pending: Iterable[Try] = (),
    ) -> None:
        self.number = number
        self.token = token
        self.uid = uid
        self.confirmed = confirmed
        """The newest write known to be applied."""
        self.belief = belief
        self.pending = list(pending)
        """Writes since then whose outcome is open, oldest first."""

    def find(self, record: LeaseRecord) -> Try | None:
        """Return the write of this term that ``record`` proves to be the last applied."""
        if self.confirmed.stamp.is_on(record):
            return self.confirmed
        return find_try(self.pending, record)

    def try_to_renew(self, attempt: Try) -> None:
        """Remember a renewal that is ordered."""
        self.pending.append(attempt)

    def confirm(self, proved: Try, settings: ElectionSettings) -> None:
        """Take it that ``proved`` was applied; earlier ones cannot land any more."""
        self.pending = [
            t for t in self.pending if t.stamp.renew_time > proved.stamp.renew_time
        ]
        self.confirmed = proved
        self.belief = believe(
            term=self.number, token=self.token, sent=proved.sent, settings=settings
        )

    def cut_short(self, lasts: int, *, since: Now, settings: ElectionSettings) -> None:
        """Take it that others may take over ``lasts`` seconds after ``since``."""
        self.belief = cut_short(
            self.belief, since=since, lasts=lasts, settings=settings
        )

    def forget_unsent(self, stamp: Stamp) -> None:
        """Forget a write of which not a byte was sent: it cannot land."""
        self.pending = [t for t in self.pending if t.stamp is not stamp]

    def tries(self) -> list[Try]:
        """Return all writes of the term that the Lease may still come to carry."""
        return [self.confirmed, *self.pending]


def find_try(tries: list[Try], record: LeaseRecord) -> Try | None:
    """Return the try whose stamp ``record`` carries."""
    for attempt in tries:
        if attempt.stamp.is_on(record):
            return attempt
    return None
