"""
Cores with one mistake each, which the simulator has to find.

Nothing of this ships. Each bug is one changed rule: a subclass of the real core that
overrides one method. ``seeds`` is how many worlds of its profile are enough to find
it; the correct core survives the same ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core import record as rec
from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.core.election_state import Former
from kubernetes_leader_election.core.in_flight import InFlight
from kubernetes_leader_election.core.observation import Observation
from kubernetes_leader_election.core.record import Snapshot, Stamp
from kubernetes_leader_election.core.states import HOLDING, Fact, State
from kubernetes_leader_election.core.term import Stamper, Term, find_try
from kubernetes_leader_election.core.timing import (
    MICROSECONDS,
    Belief,
    ElectionSettings,
    Now,
    believe,
    cut_short,
)
from kubernetes_leader_election.events import LossReason
from kubernetes_leader_election.testing.simulation.plan import Profile
from kubernetes_leader_election.values import replace


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedBug:
    """One mistake, and how fast it must be found."""

    name: str
    election: type[Election]
    breaks: frozenset[str]
    """The guarantees that its first violation may name."""
    seeds: int
    profile: Profile = "default"


BUGS: dict[str, PlantedBug] = {}


def planted(
    breaks: str, *, seeds: int, profile: Profile = "default"
) -> Callable[[type[Election]], type[Election]]:
    """Register a mutated core under the name of its class, in words."""

    def register(election: type[Election]) -> type[Election]:
        name = "".join(
            f" {c.lower()}" if c.isupper() else c for c in election.__name__
        ).strip()
        BUGS[name] = PlantedBug(
            name=name,
            election=election,
            breaks=frozenset(breaks.split()),
            seeds=seeds,
            profile=profile,
        )
        return election

    return register


# Time ---------------------------------------------------------------------------


@planted("G1 G2", seeds=20)
class DeadlineCountedFromTheResponse(Election):
    """L runs from the answer, not from before the first byte (G2)."""

    def _take(self, snapshot: Snapshot) -> None:
        before = self._term.belief if self._term is not None else None
        super()._take(snapshot)
        term = self._term
        if term is not None and term.belief is not before:
            term.belief = believe(
                term=term.number,
                token=term.token,
                sent=self._now,
                settings=self.settings,
            )


@planted("G1 G2", seeds=20)
class DeadlineIsTheWholeLeaseDuration(Election):
    """L is D: nothing is left for stopping and for the clocks' errors (G2)."""

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        whole = replace(settings, renew_deadline=float(settings.lease_duration))
        super().__init__(whole, draw=draw)


class _MonotonicBelief(Election):
    @property
    def belief(self) -> Belief | None:
        belief = super().belief
        if belief is None:
            return None
        return belief._replace(
            boottime_deadline=float("inf"),
            wall_deadline=2**62,
            wall_ahead_limit=float("inf"),
        )


@planted("G1 G2", seeds=20)
class MonotonicClockOnTheLeaderSide(_MonotonicBelief):
    """The leader trusts the clock that stands still in suspend (rule 14)."""


@planted("G4 G5", seeds=60, profile="races")
class AnswerTakenBeforeALookAtTheClock(Election):
    """An answer that comes after L, but before its timer, renews the term (rule 15)."""

    def receive(self, message: m.Message, *, now: Now) -> None:
        self._answered = True
        super().receive(message, now=now)

    def handle_timer(self, *, now: Now) -> None:
        self._answered = False
        super().handle_timer(now=now)

    def _look_at_the_clock(self, now: Now, term: Term) -> None:
        if not self._answered:
            super()._look_at_the_clock(now, term)


@planted("G1 G8", seeds=300)
class NoLookAtTheWallClock(Election):
    """A paused guest that sees only its wall clock jump goes on (rule 14)."""

    @property
    def belief(self) -> Belief | None:
        belief = super().belief
        if belief is None:
            return None
        return belief._replace(wall_deadline=2**62, wall_ahead_limit=float("inf"))


class _WallTimed(Observation):
    __slots__ = ()

    def left(self, now: Now) -> float:
        record = self.record
        if record is None or not isinstance(record.renew_time, int):
            return super().left(now)
        return self.wait - (now.wall - record.renew_time) / MICROSECONDS


@planted("G1 G5", seeds=20)
class ExpiryByTheWallTimeOfTheRecord(Election):
    """Timestamps of others are compared with the own wall clock (rule 1)."""

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        super().__init__(settings, draw=draw)
        self._observation = _WallTimed(settings.lease_duration)


class _OwnDuration(Observation):
    __slots__ = ()

    def see(self, snapshot: Snapshot, now: Now) -> bool:
        changed = super().see(snapshot, now)
        self.wait = float(self._own_duration)
        return changed


@planted("G1 G5 G9", seeds=60)
class OwnDurationInsteadOfTheHolders(Election):
    """A candidate waits its own D, whatever the record says (rule 1)."""

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        super().__init__(settings, draw=draw)
        self._observation = _OwnDuration(settings.lease_duration)


class _ByVersion(Observation):
    __slots__ = ()

    def see(self, snapshot: Snapshot, now: Now) -> bool:
        before = self.resource_version
        changed = super().see(snapshot, now)
        if before != snapshot.resource_version:
            self.since = now
        return changed


@planted("G6 G8", seeds=60)
class CandidateTimesByResourceVersion(Election):
    """Whoever touches labels holds up the fail-over (rule 2)."""

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        super().__init__(settings, draw=draw)
        self._observation = _ByVersion(settings.lease_duration)


# What proves what ---------------------------------------------------------------


@planted("G1 G5", seeds=60)
class OwnIdentityTakenAsProof(Election):
    """A record with our name is taken for ours (rule 5)."""

    def _is_former(self) -> bool:
        record = self._observation.record
        return record is not None and record.holder_identity == self.settings.identity


@planted("G1 G5", seeds=60)
class MissingLeaseIsFreeAtOnce(Election):
    """A 404 is taken for free, whatever was seen before (rule 4)."""

    def _verdict(self) -> Fact | None:
        return Fact.FREE if self._observation.missing else super()._verdict()


@planted("G1 G2", seeds=20)
class UnknownOutcomeTakenAsDone(Election):
    """A renewal without an answer counts as applied (rule 10)."""

    def _on_unknown(self, request_id: int, error: Any) -> None:
        write, term = self._in_flight.write, self._term
        if (
            write is not None
            and write.request_id == request_id
            and term is not None
            and self.state in HOLDING
        ):
            proved = find_try(term.pending, rec.read_record(_as_lease(write.stamp)))
            if proved is not None:
                term.confirm(proved, self.settings)
        super()._on_unknown(request_id, error)


def _as_lease(stamp: Stamp) -> dict[str, Any]:
    return {
        "spec": {
            "holderIdentity": stamp.holder_identity,
            "acquireTime": rec.format_time(stamp.acquire_time),
            "renewTime": rec.format_time(stamp.renew_time),
        }
    }


@planted("G5 G8", seeds=60)
class UnknownOutcomeTakenAsNotDone(Election):
    """A write without an answer counts as never applied (rule 10)."""

    def _on_unknown(self, request_id: int, error: Any) -> None:
        write = self._in_flight.write
        if write is not None and write.request_id == request_id:
            self._on_failed(request_id, error)
            _forget_write(self, write.stamp)
        else:
            super()._on_unknown(request_id, error)


def _forget_write(election: Election, stamp: Stamp) -> None:
    election._tries = [t for t in election._tries if t.stamp != stamp]
    if election._term is not None:
        pending = election._term.pending
        election._term.pending = [t for t in pending if t.stamp != stamp]


@planted("G8", seeds=60)
class ConflictTakenAsLoss(Election):
    """A 409 ends the term, though our own write may have caused it (rule 10)."""

    def _on_conflict(self, message: m.WriteConflict) -> None:
        write = self._in_flight.write
        ours = write is not None and write.request_id == message.request_id
        super()._on_conflict(message)
        if ours and self.state in HOLDING:
            self._lose("another_holder", Fact.LOST)


@planted("G8", seeds=60, profile="rivals")
class WatchEventTrustedAsTruth(Election):
    """News older than what is known is believed (rules 11 and 16)."""

    def _on_watch_event(self, message: m.WatchEvent) -> None:
        if (
            message.request_id == self._in_flight.watch_id
            and message.type == "MODIFIED"
        ):
            self._watch_news = self._now.boottime
            self._take(rec.read_snapshot(message.object))
        else:
            super()._on_watch_event(message)


class _HearsBookmarks(Observation):
    __slots__ = ()

    def bookmark(self, resource_version: str, version: int | None) -> None:
        super().bookmark(resource_version, version)
        self.version = version


@planted("G8", seeds=200, profile="words")
class BookmarkTakenForAVersionOfTheLease(Election):
    """The Lease then looks older than what is known, as after a restore (rule 16)."""

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        super().__init__(settings, draw=draw)
        self._observation = _HearsBookmarks(settings.lease_duration)


@planted("G2", seeds=200)
class AcquireProvedTooLateIsLed(Election):
    """A term begins though L is over since its write was sent (rule 5)."""

    def _take_acquiring(self, snapshot: Snapshot) -> None:
        proved = find_try(self._tries, snapshot.record)
        if proved is not None:
            term = self._new_term(proved, snapshot)
            self._terms = term.number
            self._begin_term(term)
            self._emit(
                m.LeadershipAcquired(
                    **self.settings.origin, term=term.number, token_if_any=term.token
                )
            )


# Writing ------------------------------------------------------------------------


class _BlindOrders(InFlight):
    __slots__ = ()

    def order_write(self, lease: Any, **rest: Any) -> None:
        metadata = {k: v for k, v in lease["metadata"].items() if k != "uid"}
        super().order_write({**lease, "metadata": metadata}, **rest)


@planted("G5", seeds=5)
class NoUidOnThePut(Election):
    """Writes carry the resourceVersion only (G5)."""

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        super().__init__(settings, draw=draw)
        self._in_flight = _BlindOrders()


class _FrozenStamper(Stamper):
    __slots__ = ("_kept",)

    def stamp(
        self, now: Now, *, acquire_time: int | None = None, holder: str | None = None
    ) -> Stamp:
        if acquire_time is not None and self._last is not None:
            return Stamp(
                holder_identity=self._identity,
                acquire_time=acquire_time,
                renew_time=self._last,
            )
        return super().stamp(now, acquire_time=acquire_time, holder=holder)


@planted("G1 G2 G8", seeds=20)
class ByteIdenticalRenew(Election):
    """A renewal changes nothing, so the server stores nothing (rule 7)."""

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        super().__init__(settings, draw=draw)
        self._stamper = _FrozenStamper(settings.identity)


class _CreepingStamper(Stamper):
    __slots__ = ()

    def stamp(
        self, now: Now, *, acquire_time: int | None = None, holder: str | None = None
    ) -> Stamp:
        if self._last is not None and now.wall <= self._last:
            now = now._replace(wall=self._last + 1)
            self._at = now
        return super().stamp(now, acquire_time=acquire_time, holder=holder)


@planted("G1", seeds=60, profile="rivals")
class StampThatCreepsAfterABackwardStep(Election):
    """After a backward step of the wall clock stamps grow by microseconds (rule 7)."""

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        super().__init__(settings, draw=draw)
        self._stamper = _CreepingStamper(settings.identity)


@planted("G5 G8", seeds=60)
class LateRenewalAfterLoss(Election):
    """A term that is lost is still renewed (rule 11)."""

    def _settle(self) -> None:
        due = self._now.boottime >= self._write_at
        if (
            self.state is State.FENCED
            and self._term is not None
            and self._in_flight.write is None
            and self._observation.snapshot is not None
            and due
        ):
            self._renew()
        super()._settle()


@planted("G5", seeds=5, profile="quiet")
class LeaseOfWorkThatHangsIsNotRenewed(Election):
    """Work that will not end lives on while its Lease runs out (G5)."""

    def _renew(self) -> None:
        if self.state is State.DRAINING:
            self._write_at = float("inf")
        else:
            super()._renew()


@planted("G5", seeds=20)
class ReleaseBeforeTheWorkEnded(Election):
    """stop() releases at once, while work is still ending (G5)."""

    def _on_stop(self) -> None:
        super()._on_stop()
        if self.state is State.DRAINING:
            self._change(Fact.WORK_ENDED)


@planted("G5", seeds=300)
class ReleaseWithoutLookingWhoseItIs(Election):
    """After a conflict the release is sent again on whatever stands there (rule 12)."""

    def _take_releasing(self, snapshot: Snapshot) -> None:
        if snapshot.record.is_free:
            super()._take_releasing(snapshot)
        else:
            self._write_at = self._now.boottime


# Terms --------------------------------------------------------------------------


@planted("G1 G4", seeds=20)
class TermRevivesAfterItsLoss(Election):
    """The belief of a lost term goes on while its work ends (G4)."""

    @property
    def belief(self) -> Belief | None:
        if self.state is State.FENCED and self._term is not None:
            return self._term.belief
        return super().belief


@planted("G3", seeds=5)
class TokenIsTheTransitions(Election):
    """The token is leaseTransitions, which anybody may reset (G3)."""

    def _new_term(self, proved: Any, snapshot: Snapshot) -> Term:
        term = super()._new_term(proved, snapshot)
        term.token = snapshot.record.lease_transitions
        return term


@planted("G3", seeds=20)
class TokenOfTheFirstTerm(Election):
    """All terms of one process have the token of its first (G3)."""

    def _new_term(self, proved: Any, snapshot: Snapshot) -> Term:
        term = super()._new_term(proved, snapshot)
        self._first_token = getattr(self, "_first_token", term.token)
        term.token = self._first_token
        return term


@planted("G4", seeds=60)
class NewTermWhileOldWorkRuns(Election):
    """A lost term's work is not waited for before the next one (G4)."""

    def _lose(self, reason: LossReason, fact: Fact, detail: str = "") -> None:
        super()._lose(reason, fact, detail)
        if self.state is State.FENCED:
            self._change(Fact.WORK_ENDED)
            self._term = None

    def _on_work_ended(self, term: int) -> None:
        if self._term is not None and self._term.number == term:
            super()._on_work_ended(term)


@planted("G2 G5", seeds=200, profile="slow sends")
class AbandonedWriteIsLeftToItsSender(Election):
    """On a loss a renewal that was ordered is not called back (rule 11)."""

    def _lose(self, reason: LossReason, fact: Fact, detail: str = "") -> None:
        write, self._in_flight.write = self._in_flight.write, None
        super()._lose(reason, fact, detail)
        self._in_flight.write = write


@planted("G4", seeds=20, profile="words")
class WithdrawnAcquireIsLed(Election):
    """An acquire that landed after a stop is led, as if nobody had asked (rule 5)."""

    def _take_withdrawing(self, snapshot: Snapshot) -> None:
        super()._take_withdrawing(snapshot)
        if self.state is State.RELEASING:
            self.state = State.LEADER


@planted("G5", seeds=60, profile="words")
class LostLeaseIsReleasedAfterDraining(Election):
    """What was lost while it drained is released like any other (G5)."""

    def _lose(self, reason: LossReason, fact: Fact, detail: str = "") -> None:
        drained = self.state is State.DRAINING
        super()._lose(reason, fact, detail)
        if drained:
            self.state = State.RELEASING
            self._write_at = self._now.boottime
            self._give_up_at = self._now.boottime + self.settings.request_timeout


# Speed and quiet ----------------------------------------------------------------


@planted("G7", seeds=60)
class FreeLeaseIsWaitedForLikeAnExpiredOne(Election):
    """After a release candidates write as late as after an expiry (rule 13)."""

    def _contending_delay(self, fact: Fact) -> float:
        del fact
        return super()._contending_delay(Fact.EXPIRED) + 0.5


@planted("G9", seeds=60)
class EveryEventIsReadAgain(Election):
    """Each event of the watch is followed by a read (G9)."""

    def _on_watch_event(self, message: m.WatchEvent) -> None:
        super()._on_watch_event(message)
        self._want_read(0.0)


@planted("G9", seeds=20)
class LeaderReadsNowAndThen(Election):
    """One read for every four renewals (G9)."""

    def _renew(self) -> None:
        super()._renew()
        self._renewals = getattr(self, "_renewals", 0) + 1
        if self._renewals % 4 == 0:
            self._want_read(0.0)


@planted("G9", seeds=20)
class WatchIsOpenedAgainAtOnce(Election):
    """A watch that is too old is opened from the same version, at once (rule 16)."""

    def _watch_broke(self, error: Any) -> None:
        super()._watch_broke(error)
        self._watch_at = self._now.boottime


# Attacks ------------------------------------------------------------------------


@planted("G1 G2 G5", seeds=300)
class LateCreatingWriteIsOwnWhoeverLedSince(Election):
    """A creating write that lands after another led, and was deleted, is led (rule 5)."""

    def _forget_overtaken(self, snapshot: Snapshot) -> None:
        tries = self._tries
        super()._forget_overtaken(snapshot)
        self._tries = tries

    def _forget_deleted(self, resource_version: str, version: int | None) -> None:
        del resource_version, version


@planted("G1 G2 G5", seeds=300)
class FormerRecordIsFreeWhoeverLedSince(Election):
    """The record of an ended term that a backup brings back is taken (rule 5)."""

    def _forget_overtaken(self, snapshot: Snapshot) -> None:
        former = self._former
        super()._forget_overtaken(snapshot)
        self._former = former

    def _remember_term(self, term: Term) -> None:
        self._remember([Former(term.uid, attempt) for attempt in term.tries()])


@planted("G1 G2 G5", seeds=300)
class RivalSeenByALeaderIsNotNoted(Election):
    """The sighting that ends a term does not overtake its writes (rule 5)."""

    def _remember_term(self, term: Term) -> None:
        self._remember([Former(term.uid, attempt) for attempt in term.tries()])


@planted("G8", seeds=60)
class RefusedWriteIsForgotten(Election):
    """A status outweighs the stamp that is seen afterwards (rule 10)."""

    def _on_failed(self, request_id: int, error: Any) -> None:
        write = self._in_flight.write
        super()._on_failed(request_id, error)
        if write is not None and write.request_id == request_id:
            _forget_write(self, write.stamp)


@planted("G7 G8", seeds=200)
class ServerMayAskToWaitForDays(Election):
    """Retry-After is honoured whatever it says (fault 54)."""

    def _longest_asked(self) -> float:
        return float("inf")


@planted("G1 G2 G8", seeds=60)
class RecordCutShortIsNotMinded(Election):
    """The leader goes by its own D, and rivals by the record (rule 14)."""

    def _cut_to(self, snapshot: Snapshot) -> int | None:
        del snapshot


@planted("G2", seeds=300)
class CutRecordCountsFromTheLastLook(Election):
    """To read a record that was cut short again puts the deadline off (rule 14)."""

    def _take_in_term(self, snapshot: Snapshot, term: Term) -> None:
        super()._take_in_term(snapshot, term)
        lasts = self._cut_to(snapshot)
        if lasts is not None:
            whole = believe(
                term=term.number,
                token=term.token,
                sent=term.confirmed.sent,
                settings=self.settings,
            )
            term.belief = cut_short(
                whole, since=self._now, lasts=lasts, settings=self.settings
            )
