"""
Cores with one mistake each, which the simulator has to find.

Nothing of this ships. Each bug is one changed rule: a subclass of the real core, or of
a part of it, that overrides one method. ``seeds`` is how many worlds of its profile are
enough to find it; the correct core survives the same ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core import record as rec
from kubernetes_leader_election.core.annotations import POD
from kubernetes_leader_election.core.challenge import Challenge
from kubernetes_leader_election.core.commands import Commands
from kubernetes_leader_election.core.contending import Contending
from kubernetes_leader_election.core.cut_record import CutRecord
from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.core.hearing import Hearing
from kubernetes_leader_election.core.in_flight import InFlight
from kubernetes_leader_election.core.lease_writes import LeaseWrites
from kubernetes_leader_election.core.observation import Observation
from kubernetes_leader_election.core.observed import Observed
from kubernetes_leader_election.core.outcomes import Outcomes
from kubernetes_leader_election.core.own_writes import Former, OwnWrites
from kubernetes_leader_election.core.participation import Participation
from kubernetes_leader_election.core.record import Snapshot, Stamp
from kubernetes_leader_election.core.retry import Retry
from kubernetes_leader_election.core.standing import Standing
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


def in_words(mistaken: type[Any]) -> str:
    """Return the name of a class as words."""
    letters = (f" {c.lower()}" if c.isupper() else c for c in mistaken.__name__)
    return "".join(letters).strip()


class Assembled(Election):
    """A core of which some parts are others, by the way to them."""

    parts: ClassVar[dict[str, type[Any]]] = {}

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        super().__init__(settings, draw=draw)
        for way, kind in self.parts.items():
            # Several know each part, so the part itself has to become another.
            attrgetter(way)(self).__class__ = kind


def planted(
    breaks: str, *, seeds: int, profile: Profile = "default", part: str = ""
) -> Callable[[type[Any]], type[Any]]:
    """
    Register a mistaken core under the name of its class, in words.

    ``part`` is the way to the part of the core that the class takes the place of; the
    class is the whole core where it is empty.
    """

    def register(mistaken: type[Any]) -> type[Any]:
        name = in_words(mistaken)
        election = mistaken
        if part:
            parts = {"parts": {part: mistaken}}
            election = type(mistaken.__name__, (Assembled,), parts)
        BUGS[name] = PlantedBug(
            name=name,
            election=election,
            breaks=frozenset(breaks.split()),
            seeds=seeds,
            profile=profile,
        )
        return mistaken

    return register


# Time ---------------------------------------------------------------------------


@planted("G1 G2", seeds=20, part="_outcomes._observed")
class DeadlineCountedFromTheResponse(Observed):
    """L runs from the answer, not from before the first byte (G2)."""

    __slots__ = ()

    def take(self, snapshot: Snapshot) -> None:
        before = self._standing.term.belief if self._standing.term is not None else None
        super().take(snapshot)
        term = self._standing.term
        if term is not None and term.belief is not before:
            term.belief = believe(
                term=term.number,
                token=term.token,
                sent=self._standing.now,
                settings=self._settings,
            )


@planted("G1 G2", seeds=20)
class DeadlineIsTheWholeLeaseDuration(Election):
    """L is D: nothing is left for stopping and for the clocks' errors (G2)."""

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        whole = replace(settings, renew_deadline=float(settings.lease_duration))
        super().__init__(whole, draw=draw)


@planted("G1 G2", seeds=20)
class MonotonicClockOnTheLeaderSide(Election):
    """The leader trusts the clock that stands still in suspend (rule 14)."""

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


@planted("G1 G5", seeds=20, part="_observation")
class ExpiryByTheWallTimeOfTheRecord(Observation):
    """Timestamps of others are compared with the own wall clock (rule 1)."""

    __slots__ = ()

    def left(self, now: Now) -> float:
        record = self.record
        if record is None or not isinstance(record.renew_time, int):
            return super().left(now)
        return self.wait - (now.wall - record.renew_time) / MICROSECONDS


@planted("G1 G5 G9", seeds=60, part="_observation")
class OwnDurationInsteadOfTheHolders(Observation):
    """A candidate waits its own D, whatever the record says (rule 1)."""

    __slots__ = ()

    def see(self, snapshot: Snapshot, now: Now) -> bool:
        changed = super().see(snapshot, now)
        self.wait = float(self._own_duration)
        return changed


@planted("G6 G8", seeds=60, part="_observation")
class CandidateTimesByResourceVersion(Observation):
    """Whoever touches labels holds up the fail-over (rule 2)."""

    __slots__ = ()

    def see(self, snapshot: Snapshot, now: Now) -> bool:
        before = self.resource_version
        changed = super().see(snapshot, now)
        if before != snapshot.resource_version:
            self.since = now
        return changed


# What proves what ---------------------------------------------------------------


@planted("G1 G5", seeds=60, part="_own_writes")
class OwnIdentityTakenAsProof(OwnWrites):
    """A record with our name is taken for ours (rule 5)."""

    __slots__ = ()

    def is_former(self, snapshot: Snapshot | None) -> bool:
        return (
            snapshot is not None and snapshot.record.holder_identity == self._identity
        )


@planted("G1 G5", seeds=60, part="_standing")
class MissingLeaseIsFreeAtOnce(Standing):
    """A 404 is taken for free, whatever was seen before (rule 4)."""

    __slots__ = ()

    def verdict(self) -> Fact | None:
        return Fact.FREE if self.observation.missing else super().verdict()


@planted("G5", seeds=20, profile="storm", part="_contending")
class CreateAfterADeletionIsRepeated(Contending):
    """The right to create a deleted Lease at once is not used up by a try (rule 4)."""

    __slots__ = ()

    def seek(self) -> None:
        pass


@planted("G1 G2", seeds=20, part="_outcomes")
class UnknownOutcomeTakenAsDone(Outcomes):
    """A renewal without an answer counts as applied (rule 10)."""

    __slots__ = ()

    def on_unknown(self, request_id: int, error: Any) -> None:
        write, term = self._in_flight.write, self._standing.term
        if (
            write is not None
            and write.request_id == request_id
            and term is not None
            and self._standing.state in HOLDING
        ):
            proved = find_try(term.pending, rec.read_record(_as_lease(write.stamp)))
            if proved is not None:
                term.confirm(proved, self._standing.settings)
        super().on_unknown(request_id, error)


def _as_lease(stamp: Stamp) -> dict[str, Any]:
    return {
        "spec": {
            "holderIdentity": stamp.holder_identity,
            "acquireTime": rec.format_time(stamp.acquire_time),
            "renewTime": rec.format_time(stamp.renew_time),
        }
    }


@planted("G5 G8", seeds=60, part="_outcomes")
class UnknownOutcomeTakenAsNotDone(Outcomes):
    """A write without an answer counts as never applied (rule 10)."""

    __slots__ = ()

    def on_unknown(self, request_id: int, error: Any) -> None:
        write = self._in_flight.write
        if write is not None and write.request_id == request_id:
            self.on_failed(request_id, error)
            _forget_write(self._standing, write.stamp)
        else:
            super().on_unknown(request_id, error)


def _forget_write(standing: Standing, stamp: Stamp) -> None:
    standing.own_writes.forget_unsent(stamp)
    if standing.term is not None:
        standing.term.forget_unsent(stamp)


@planted("G8", seeds=60, part="_outcomes")
class ConflictTakenAsLoss(Outcomes):
    """A 409 ends the term, though our own write may have caused it (rule 10)."""

    __slots__ = ()

    def on_conflict(self, message: m.WriteConflict) -> None:
        write = self._in_flight.write
        ours = write is not None and write.request_id == message.request_id
        super().on_conflict(message)
        if ours and self._standing.state in HOLDING:
            self._standing.lose("another_holder", Fact.LOST)


@planted("G8", seeds=60, profile="rivals", part="_outcomes")
class WatchEventTrustedAsTruth(Outcomes):
    """News older than what is known is believed (rules 11 and 16)."""

    __slots__ = ()

    def on_watch_event(self, message: m.WatchEvent) -> None:
        if (
            message.request_id == self._in_flight.watch_id
            and message.type == "MODIFIED"
        ):
            snapshot = rec.read_snapshot(message.object)
            self._watch_policy.hear(self._standing.now.boottime, snapshot.version)
            self._observed.take(snapshot)
        else:
            super().on_watch_event(message)


@planted("G8", seeds=200, profile="words", part="_observation")
class BookmarkTakenForAVersionOfTheLease(Observation):
    """The Lease then looks older than what is known, as after a restore (rule 16)."""

    __slots__ = ()

    def bookmark(self, resource_version: str, version: int | None) -> None:
        super().bookmark(resource_version, version)
        self.version = version


@planted("G2", seeds=200, part="_outcomes._observed")
class AcquireProvedTooLateIsLed(Observed):
    """A term begins though L is over since its write was sent (rule 5)."""

    __slots__ = ()

    def _take_acquiring(self, snapshot: Snapshot) -> None:
        proved = find_try(self._own_writes.tries, snapshot.record)
        if proved is not None:
            term = self._new_term(proved, snapshot)
            self._standing.begin_term(term)
            self._standing.emit(
                m.LeadershipAcquired(
                    **self._standing.settings.origin,
                    term=term.number,
                    token_if_any=term.token,
                )
            )


# Writing ------------------------------------------------------------------------


@planted("G5", seeds=5, part="_in_flight")
class NoUidOnThePut(InFlight):
    """Writes carry the resourceVersion only (G5)."""

    __slots__ = ()

    def order_write(self, lease: Any, **rest: Any) -> None:
        metadata = {k: v for k, v in lease["metadata"].items() if k != "uid"}
        super().order_write({**lease, "metadata": metadata}, **rest)


@planted("G1 G2 G8", seeds=20, part="_own_writes.stamper")
class ByteIdenticalRenew(Stamper):
    """A renewal changes nothing, so the server stores nothing (rule 7)."""

    __slots__ = ()

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


@planted("G1", seeds=60, profile="rivals", part="_own_writes.stamper")
class StampThatCreepsAfterABackwardStep(Stamper):
    """After a backward step of the wall clock stamps grow by microseconds (rule 7)."""

    __slots__ = ()

    def stamp(
        self, now: Now, *, acquire_time: int | None = None, holder: str | None = None
    ) -> Stamp:
        if self._last is not None and now.wall <= self._last:
            now = now._replace(wall=self._last + 1)
            self._at = now
        return super().stamp(now, acquire_time=acquire_time, holder=holder)


@planted("G5 G8", seeds=60)
class LateRenewalAfterLoss(Election):
    """A term that is lost is still renewed (rule 11)."""

    def _settle(self) -> None:
        due = self._standing.now.boottime >= self._schedule.write_at
        if (
            self._standing.state is State.FENCED
            and self._standing.term is not None
            and self._in_flight.write is None
            and self._observation.snapshot is not None
            and due
        ):
            self._lease_writes.renew()
        super()._settle()


@planted("G5", seeds=5, profile="quiet", part="_lease_writes")
class LeaseOfWorkThatHangsIsNotRenewed(LeaseWrites):
    """Work that will not end lives on while its Lease runs out (G5)."""

    __slots__ = ()

    def renew(self) -> None:
        if self._standing.state is State.DRAINING:
            self._standing.schedule.write_next(float("inf"))
        else:
            super().renew()


@planted("G5", seeds=20, part="_commands")
class ReleaseBeforeTheWorkEnded(Commands):
    """stop() releases at once, while work is still ending (G5)."""

    __slots__ = ()

    def on_stop(self) -> None:
        super().on_stop()
        if self._standing.state is State.DRAINING:
            self._standing.change(Fact.WORK_ENDED)


@planted("G5", seeds=300, part="_outcomes._observed")
class ReleaseWithoutLookingWhoseItIs(Observed):
    """After a conflict the release is sent again on whatever stands there (rule 12)."""

    __slots__ = ()

    def _take_releasing(self, snapshot: Snapshot) -> None:
        if snapshot.record.is_free:
            super()._take_releasing(snapshot)
        else:
            self._schedule.write_next(self._standing.now.boottime)


# Terms --------------------------------------------------------------------------


@planted("G1 G4", seeds=20)
class TermRevivesAfterItsLoss(Election):
    """The belief of a lost term goes on while its work ends (G4)."""

    @property
    def belief(self) -> Belief | None:
        if self.state is State.FENCED and self._standing.term is not None:
            return self._standing.term.belief
        return super().belief


@planted("G3", seeds=5, part="_outcomes._observed")
class TokenIsTheTransitions(Observed):
    """The token is leaseTransitions, which anybody may reset (G3)."""

    __slots__ = ()

    def _new_term(self, proved: Any, snapshot: Snapshot) -> Term:
        term = super()._new_term(proved, snapshot)
        term.token = snapshot.record.lease_transitions
        return term


@planted("G3", seeds=20)
class TokenOfTheFirstTerm(Election):
    """All terms of one process have the token of its first (G3)."""

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        super().__init__(settings, draw=draw)
        tokens: list[int | None] = []

        class FirstToken(Observed):
            __slots__ = ()

            def _new_term(self, proved: Any, snapshot: Snapshot) -> Term:
                term = super()._new_term(proved, snapshot)
                tokens.append(term.token)
                term.token = tokens[0]
                return term

        self._outcomes._observed.__class__ = FirstToken


class _DoesNotWait(Standing):
    __slots__ = ()

    def lose(self, reason: LossReason, fact: Fact, detail: str = "") -> None:
        super().lose(reason, fact, detail)
        if self.state is State.FENCED:
            self.change(Fact.WORK_ENDED)
            self.end_term()


class _IsNotTold(Commands):
    __slots__ = ()

    def on_work_ended(self, number: int) -> None:
        if self._standing.is_in_term(number):
            super().on_work_ended(number)


@planted("G4", seeds=60)
class NewTermWhileOldWorkRuns(Assembled):
    """A lost term's work is not waited for before the next one (G4)."""

    parts: ClassVar = {"_standing": _DoesNotWait, "_commands": _IsNotTold}


@planted("G2 G5", seeds=200, profile="slow sends", part="_standing")
class AbandonedWriteIsLeftToItsSender(Standing):
    """On a loss a renewal that was ordered is not called back (rule 11)."""

    __slots__ = ()

    def lose(self, reason: LossReason, fact: Fact, detail: str = "") -> None:
        write, self.in_flight.write = self.in_flight.write, None
        super().lose(reason, fact, detail)
        self.in_flight.write = write


@planted("G4", seeds=20, profile="words", part="_outcomes._observed")
class WithdrawnAcquireIsLed(Observed):
    """An acquire that landed after a stop is led, as if nobody had asked (rule 5)."""

    __slots__ = ()

    def _take_withdrawing(self, snapshot: Snapshot) -> None:
        super()._take_withdrawing(snapshot)
        if self._standing.state is State.RELEASING:
            self._standing.state = State.LEADER


@planted("G5", seeds=60, profile="words", part="_standing")
class LostLeaseIsReleasedAfterDraining(Standing):
    """What was lost while it drained is released like any other (G5)."""

    __slots__ = ()

    def lose(self, reason: LossReason, fact: Fact, detail: str = "") -> None:
        drained = self.state is State.DRAINING
        super().lose(reason, fact, detail)
        if drained:
            self.state = State.RELEASING
            give_up_at = self.now.boottime + self.settings.request_timeout
            self.schedule.end_by(give_up_at, now=self.now.boottime)


# Speed and quiet ----------------------------------------------------------------


@planted("G7", seeds=60, part="_contending")
class FreeLeaseIsWaitedForLikeAnExpiredOne(Contending):
    """After a release candidates write as late as after an expiry (rule 13)."""

    __slots__ = ()

    def _delay(self, fact: Fact, snapshot: Snapshot | None, *, is_own: bool) -> float:
        del fact
        return super()._delay(Fact.EXPIRED, snapshot, is_own=is_own) + 0.5


@planted("G9", seeds=60, part="_outcomes")
class EveryEventIsReadAgain(Outcomes):
    """Each event of the watch is followed by a read (G9)."""

    __slots__ = ()

    def on_watch_event(self, message: m.WatchEvent) -> None:
        super().on_watch_event(message)
        self._standing.want_read(0.0)


@planted("G9", seeds=20)
class LeaderReadsNowAndThen(Election):
    """One read for every four renewals (G9)."""

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        super().__init__(settings, draw=draw)
        numbers = itertools.count(1)

        class NowAndThen(LeaseWrites):
            __slots__ = ()

            def renew(self) -> None:
                super().renew()
                if next(numbers) % 4 == 0:
                    self._standing.want_read(0.0)

        self._lease_writes.__class__ = NowAndThen


@planted("G9", seeds=20, part="_outcomes")
class WatchIsOpenedAgainAtOnce(Outcomes):
    """A watch that is too old is opened from the same version, at once (rule 16)."""

    __slots__ = ()

    def _watch_broke(self, error: Any) -> None:
        super()._watch_broke(error)
        self._watch_policy.open_from(self._standing.now.boottime)


# Attacks ------------------------------------------------------------------------


@planted("G1 G2 G5", seeds=300, part="_own_writes")
class LateCreatingWriteIsOwnWhoeverLedSince(OwnWrites):
    """A creating write that lands after another led, and was deleted, is led (rule 5)."""

    __slots__ = ()

    def forget_overtaken(self, snapshot: Snapshot) -> None:
        tries = self.tries
        super().forget_overtaken(snapshot)
        self.tries = tries

    def forget_deleted(self, resource_version: str, version: int | None) -> None:
        del resource_version, version


@planted("G1 G2 G5", seeds=300, part="_own_writes")
class RivalSeenByALeaderIsNotNoted(OwnWrites):
    """The sighting that ends a term does not overtake its writes (rule 5)."""

    __slots__ = ()

    def remember_term(self, term: Term, observation: Observation) -> None:
        former = [Former(term.uid, attempt) for attempt in term.tries()]
        self._remember(former, observation.record)


@planted("G1 G2 G5", seeds=300, part="_own_writes")
class FormerRecordIsFreeWhoeverLedSince(RivalSeenByALeaderIsNotNoted):
    """The record of an ended term that a backup brings back is taken (rule 5)."""

    __slots__ = ()

    def forget_overtaken(self, snapshot: Snapshot) -> None:
        former = self.former
        super().forget_overtaken(snapshot)
        self.former = former


@planted("G8", seeds=60, part="_outcomes")
class RefusedWriteIsForgotten(Outcomes):
    """A status outweighs the stamp that is seen afterwards (rule 10)."""

    __slots__ = ()

    def on_failed(self, request_id: int, error: Any) -> None:
        write = self._in_flight.write
        super().on_failed(request_id, error)
        if write is not None and write.request_id == request_id:
            _forget_write(self._standing, write.stamp)


@planted("G7 G8", seeds=200, part="_standing.retry")
class ServerMayAskToWaitForDays(Retry):
    """Retry-After is honoured whatever it says (fault 54)."""

    __slots__ = ()

    def longest_asked(self) -> float:
        return float("inf")


@planted("G1 G2 G8", seeds=60, part="_commands._cut_record")
class RecordCutShortIsNotMinded(CutRecord):
    """The leader goes by its own D, and rivals by the record (rule 14)."""

    __slots__ = ()

    def cut_to(self, snapshot: Snapshot) -> int | None:
        del snapshot


@planted("G2", seeds=300, part="_outcomes._observed")
class CutRecordCountsFromTheLastLook(Observed):
    """To read a record that was cut short again puts the deadline off (rule 14)."""

    __slots__ = ()

    def _take_in_term(self, snapshot: Snapshot, term: Term) -> None:
        super()._take_in_term(snapshot, term)
        lasts = self._cut_record.cut_to(snapshot)
        if lasts is not None:
            whole = believe(
                term=term.number,
                token=term.token,
                sent=term.confirmed.sent,
                settings=self._settings,
            )
            term.belief = cut_short(
                whole,
                since=self._standing.now,
                lasts=lasts,
                settings=self._settings,
            )


# Take-over with proof -----------------------------------------------------------


@planted("G5", seeds=100, profile="proofs", part="_standing.challenge")
class NoteIsNotBoundToTheRecord(Challenge):
    """A note counts with whatever record it was kept on (rule 17)."""

    __slots__ = ()

    def note(self, snapshot: Snapshot | None) -> m.PodNote | None:
        text = "" if snapshot is None else str(snapshot.annotations.get(POD, ""))
        fields = text.split(" ")
        if snapshot is None or not snapshot.record.holder_identity or len(fields) < 7:
            return None
        _, namespace, pod, uid, container, nonce, milliseconds, *_ = fields
        if nonce in self._refuted:
            return None  # else it is another bug as well
        return m.PodNote(
            namespace=namespace,
            pod=pod,
            uid=uid,
            container=container,
            nonce=nonce,
            crash_challenge=int(milliseconds) / 1000,
        )


@planted("G1 G5", seeds=20, profile="proofs", part="_standing.challenge")
class HolderIsNotAsked(Challenge):
    """Who has the proof takes over at once, and asks nobody (rule 19)."""

    __slots__ = ()

    def hear_question(self, snapshot: Snapshot | None, now: Now) -> None:
        if snapshot is not None:
            self._question = snapshot.resource_version, now

    def left(self, now: Now) -> float:
        return super().left(now) and 0.0


@planted("G1 G5", seeds=20, profile="proofs", part="_standing.challenge")
class TimeForAnAnswerIsCutShort(Challenge):
    """A candidate goes by half of what the holder asked for (rule 19)."""

    __slots__ = ()

    def left(self, now: Now) -> float:
        assert self.proved is not None
        return super().left(now) - self.proved.crash_challenge / 2


@planted("G1 G5", seeds=60, profile="proofs", part="_standing.challenge")
class AnswerIsIgnored(Challenge):
    """A record that changed meanwhile is taken all the same (rule 19)."""

    __slots__ = ()

    def see(
        self, before: Snapshot | None, snapshot: Snapshot, *, changed: bool
    ) -> None:
        del before, snapshot, changed

    def stands(self, snapshot: Snapshot | None, watch_id: int | None, now: Now) -> bool:
        del watch_id, now
        held = snapshot is not None and not snapshot.record.is_free
        return held and self.proved is not None

    def is_unanswered(
        self, snapshot: Snapshot | None, watch_id: int | None, now: Now
    ) -> bool:
        return self.asked and self.left(now) <= 0.0


@planted("G5", seeds=100, profile="proofs", part="_standing.challenge")
class NoteOfTheFormerInstanceCounts(Challenge):
    """The end of a process is taken for that of the next one in its container."""

    __slots__ = ()

    def see(
        self, before: Snapshot | None, snapshot: Snapshot, *, changed: bool
    ) -> None:
        del before, snapshot, changed

    def stands(self, snapshot: Snapshot | None, watch_id: int | None, now: Now) -> bool:
        note = self.to_be_sought(snapshot, watch_id, now)
        return (
            note is not None and self.proved is not None and note.uid == self.proved.uid
        )


@planted("G5", seeds=60, profile="proofs", part="_standing.challenge.hearing")
class ProofIsBelievedOfWhatWasNeverSeenAlive(Hearing):
    """A record that a read brought, or a backup, counts as one seen alive (rule 18)."""

    __slots__ = ()

    def may_be_proved(
        self, snapshot: Snapshot, note: m.PodNote, watch_id: int | None, now: Now
    ) -> bool:
        return True


@planted("G1", seeds=20, profile="proofs", part="_standing.challenge.hearing")
class NoteIsLeftWithoutHearing(Hearing):
    """A leader leaves its note whether a challenge would reach it or not (rule 17)."""

    __slots__ = ()

    def note_to_leave(self, watch_id: int | None) -> m.PodNote | None:
        return self.note if self._settings.crash_takeover else None


# How work ends ------------------------------------------------------------------


@planted("G7", seeds=60, profile="endings", part="_standing.participation")
class AnotherLeaderEndsThePauseOfFailedWork(Participation):
    """Two replicas whose work fails go round in a hot loop."""

    __slots__ = ()

    def see_another(self) -> None:
        self.come_back()


@planted("G7", seeds=60, profile="endings", part="_standing.participation")
class StepDownCutsThePauseOfFailedWorkShort(Participation):
    """Whatever was said last counts alone, as it did once."""

    __slots__ = ()

    def stay_out(self, until: float, *, whoever_leads: bool = False) -> None:
        self.come_back()
        super().stay_out(until, whoever_leads=whoever_leads)


@planted("G7", seeds=20, profile="endings", part="_commands")
class FailedWorkIsTriedAgainAtOnce(Commands):
    """Nobody else has a try: the pause is forgotten."""

    __slots__ = ()

    def on_end(self, word: m.EndAsked) -> None:
        super().on_end(word)
        self._standing.participation.come_back()


@planted("G5 G7", seeds=20, profile="endings", part="_commands")
class FailedWorkIsNotWaitedFor(Commands):
    """The Lease is released while jobs of guards run on, as work has failed."""

    __slots__ = ()

    def on_end(self, word: m.EndAsked) -> None:
        super().on_end(word)
        if word.failure is not None and self._standing.is_in_term(word.term):
            self._standing.change(Fact.WORK_ENDED)

    def on_work_ended(self, number: int) -> None:
        if self._standing.state is State.DRAINING:
            super().on_work_ended(number)
