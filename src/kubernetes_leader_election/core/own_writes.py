"""
Is this record mine? Every write of this elector that may still stand in the Lease.

Our own name proves nothing (rule 5): a record is ours when it carries the stamp of a
write that we remember. What is remembered are the tries of the acquire under way, and
the writes of terms that are over; those of the present term are kept by
:class:`~.term.Term`. What another one overtook is forgotten at once (G1): when it
comes back, by a restore or a late creation, others may believe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from kubernetes_leader_election.core.observation import Observation
from kubernetes_leader_election.core.record import LeaseRecord, Snapshot, Stamp
from kubernetes_leader_election.core.term import Stamper, Term, Try, find_try
from kubernetes_leader_election.core.timing import (
    MICROSECONDS,
    ElectionSettings,
    Now,
)

FORMER_KEPT: Final = 32
"""Stamps of ended terms and late acquires that are remembered (rule 5)."""


class Former(NamedTuple):
    """A write of our own that is no longer looked for, but may still stand there."""

    uid: str | None
    """Of the Lease it was for; None where that is not known, as of one to be created."""
    attempt: Try

    @property
    def stamp(self) -> Stamp:
        """Return what it would show on the Lease."""
        return self.attempt.stamp

    def seen_on(self, snapshot: Snapshot) -> Former:
        """Return the same, which knows its Lease from the first time it is seen there."""
        attempt = self.attempt.seen_on(snapshot)
        return self if attempt is self.attempt else Former(attempt.uid, attempt)


_Written = TypeVar("_Written", Former, Try)


class OwnWrites:
    """Stamp writes, remember them, and recognise them. Owned by one elector."""

    __slots__ = (
        "_draw",
        "_identity",
        "former",
        "in_doubt",
        "refused",
        "ruled_out",
        "stamper",
        "tries",
    )

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        self._identity = settings.identity
        self._draw = draw
        self.stamper = Stamper(settings.identity)
        """Makes times that grow, whatever the wall clock does."""
        self.former: list[Former] = []
        """Writes of terms and lives that are over, oldest first."""
        self.tries: list[Try] = []
        """Acquires of this life that made no term, oldest first."""
        self.ruled_out: list[Stamp] = []
        """Those of them that no term may begin with any more."""
        self.in_doubt = False
        """Whether it is open what became of a write: nothing is written meanwhile."""
        self.refused = False
        """Whether that write was refused: one read decides (rule 10)."""

    # Writing ------------------------------------------------------------------

    def stamp_acquire(self, now: Now) -> Stamp:
        """Return the stamp of a write that is to begin a term."""
        stamp = self.stamper.stamp(now)
        # Two processes with one identity that write in the same microsecond are told
        # apart by the acquire time: nobody times anything by it (rule 5).
        return Stamp(
            holder_identity=stamp.holder_identity,
            acquire_time=stamp.renew_time - int(self._draw() * MICROSECONDS),
            renew_time=stamp.renew_time,
        )

    def try_to_acquire(self, attempt: Try, record: LeaseRecord | None) -> None:
        """Remember an acquire that is ordered, on the record as it is known."""
        self.tries = _latest([*self.tries, attempt], record)
        self.in_doubt = self.refused = False

    def doubt(self) -> None:
        """Take it that a write may have been applied, or may still be."""
        self.in_doubt = True

    def doubt_refused(self) -> None:
        """Take it that a write was refused, by one who need not know (rule 10)."""
        self.in_doubt = self.refused = True

    def end_doubt(self) -> None:
        """Take it that what became of the last write is known, or matters no more."""
        self.in_doubt = self.refused = False

    # Recognising --------------------------------------------------------------

    def find_try(self, snapshot: Snapshot) -> Try | None:
        """Return the acquire that the Lease shows; a copy under another uid shows none."""
        attempt = find_try(self.tries, snapshot.record)
        if attempt is None or attempt.uid not in (None, snapshot.uid):
            return None
        return attempt

    def is_ruled_out(self, attempt: Try) -> bool:
        """Return whether no term may begin with an acquire, though it stands there."""
        return attempt.stamp in self.ruled_out

    def rule_out(self, attempt: Try) -> None:
        """
        Take it that no term may begin with an acquire that stands there.

        It was seen cut short, or too late: whoever makes the record longer afterwards
        does not tell those who saw it before (G2), and a clock that steps back does not
        make it earlier (rule 14).
        """
        if not self.is_ruled_out(attempt):
            self.ruled_out.append(attempt.stamp)

    def later_than(self, proved: Try) -> list[Try]:
        """Return the tries after ``proved``, which may land on it yet."""
        return [t for t in self.tries if t.sent.boottime > proved.sent.boottime]

    def is_former(self, snapshot: Snapshot | None) -> bool:
        """Return whether the Lease is held by a term, life or try of ours that is over."""
        if snapshot is None:
            return False
        record = snapshot.record
        if record.holder_identity != self._identity:
            return False
        return self._is_of_former(snapshot) or self.find_try(snapshot) is not None

    def made(self, snapshot: Snapshot) -> bool:
        """Return whether a write remembered here looks like this, under any uid."""
        return (
            self._is_of_former(snapshot)
            or find_try(self.tries, snapshot.record) is not None
        )

    def _is_of_former(self, snapshot: Snapshot) -> bool:
        return bool(self.former) and any(
            # Another Lease of that name is none of ours, whatever stands in it.
            former.uid in (None, snapshot.uid)
            and former.attempt.stamp.is_on(snapshot.record)
            for former in self.former
        )

    # Remembering --------------------------------------------------------------

    def begin_term(self) -> None:
        """Take it that an acquire landed: nothing before it can come back."""
        self.tries, self.former, self.ruled_out = [], [], []
        self.end_doubt()

    def remember_term(self, term: Term, observation: Observation) -> None:
        """Remember what may still stand there of a term, but nothing overtaken."""
        if observation.missing:
            return  # of a Lease that is gone nothing comes back but by a restore
        snapshot, tries = observation.snapshot, term.tries()
        if snapshot is not None:
            # G1: the very sighting that ended the term may have overtaken them.
            tries = [t for t in tries if not t.is_overtaken_by(snapshot)]
        self._remember([Former(term.uid, t) for t in tries], observation.record)

    def end_life(self, record: LeaseRecord | None) -> None:
        """Stop: what was tried may land all the same, and is ours in the next life."""
        self._remember([Former(t.uid, t) for t in self.tries], record)
        self.tries, self.ruled_out = [], []

    def _remember(self, former: list[Former], record: LeaseRecord | None) -> None:
        self.former = _latest([*self.former, *former], record)

    # Forgetting ---------------------------------------------------------------

    def forget_overtaken(self, snapshot: Snapshot) -> None:
        """G1: what another one replaced comes back only when others may believe."""
        self.tries = [
            t.seen_on(snapshot) for t in self.tries if not t.is_overtaken_by(snapshot)
        ]
        self.former = [
            f.seen_on(snapshot)
            for f in self.former
            if not f.attempt.is_overtaken_by(snapshot)
        ]

    def forget_undone(self, snapshot: Snapshot) -> None:
        """G1: after a restore the next one may bring back whatever was undone."""
        record = snapshot.record
        self.tries = [t for t in self.tries if t.stamp.is_on(record)]
        self.former = [f for f in self.former if f.stamp.is_on(record)]

    def forget_deleted(self, resource_version: str, version: int | None) -> None:
        """G1: nor does what was deleted; ``version`` is that of the deletion."""
        self.tries = [
            t for t in self.tries if not t.is_older_than(resource_version, version)
        ]
        self.former = [
            f
            for f in self.former
            if not f.attempt.is_older_than(resource_version, version)
        ]

    def forget_replacing(self) -> None:
        """G1: there is no Lease now, so only what creates one can still land."""
        self.tries = [t for t in self.tries if t.uid is None]
        self.former = [f for f in self.former if f.uid is None]

    def forget_unsent(self, stamp: Stamp) -> None:
        """
        Forget a try of which not a byte was sent.

        An outage in which many are tried must not push out of memory what may have
        landed, or the term that still stands there (rule 5).
        """
        self.tries = [t for t in self.tries if t.stamp is not stamp]


def _latest(writes: list[_Written], record: LeaseRecord | None) -> list[_Written]:
    """Leave out what is too old to remember, but not what stands there now."""
    forgotten, kept = writes[:-FORMER_KEPT], writes[-FORMER_KEPT:]
    if forgotten and record is not None:
        kept = [w for w in forgotten if w.stamp.is_on(record)] + kept
    return kept
