"""
The guarantees, checked from outside while a world runs.

Nothing here knows the core. What is known: real time, the stored Lease, which Lease
a process was shown and when (on its own clock), what it ordered, and its reports that
a belief or a piece of work began or ended. A world that breaks an assumption of a
guarantee says so with :meth:`Checks.excuse`, which switches off exactly that check,
for exactly as long as the broken assumption can matter.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes_leader_election.testing.simulation.store import RHO, Stored
from kubernetes_leader_election.testing.simulation.witness import (
    ASSUMED_DURATION,
    Order,
    Witness,
)
from kubernetes_leader_election.testing.simulation.writes import (
    LONGEST_ASKED,
    TOLERANCE,
    is_plain,
    mistakes,
)

MICROSECONDS = 1_000_000
WALL = 2
"""Place of the wall clock, in microseconds, in a reading of all clocks."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken guarantee."""

    time: float
    guarantee: str
    who: str
    text: str

    def __str__(self) -> str:
        return f"{self.time:.6f} {self.who} breaks {self.guarantee}: {self.text}"


class Checks:
    """
    Collect violations of G1-G5 as the world reports what happens.

    ``excuse_span`` is how long a broken assumption can matter, in seconds: the
    longest duration in the world on the slowest clock.
    """

    def __init__(
        self,
        *,
        excuse_span: float,
        report: Callable[[Violation], None],
        rho: float,
    ) -> None:
        self.violations: list[Violation] = []
        self.leader_changes = 0
        self.terms = 0
        self._report = report
        self._span = excuse_span
        self._rho = rho
        self._excused_until = -math.inf
        self._deletion_until = -math.inf
        self._deleted_uid = ""
        self._deleted_duration = 0
        self._restored_at = -math.inf
        self._restores = 0
        self._restored_to = 0
        self._believers: list[Witness] = []
        self._workers: list[Witness] = []
        self._acquired_versions: list[int] = []
        self._acquirers: list[Witness] = []
        self._last_leader: Witness | None = None

    @property
    def believers(self) -> list[Witness]:
        """Give the processes that believe now."""
        return self._believers

    @property
    def restores(self) -> int:
        """Tell how often the store went back to a backup."""
        return self._restores

    def broken(self, time: float, guarantee: str, who: str, text: str) -> None:
        """Record a violation."""
        violation = Violation(time, guarantee, who, text)
        self.violations.append(violation)
        self._report(violation)

    # Broken assumptions -------------------------------------------------------

    def excuse(self, time: float) -> None:
        """Somebody hand-wrote the Lease: beliefs may overlap for a while (G1, G2)."""
        self._excused_until = max(self._excused_until, time + self._span)

    def deleted(self, time: float, uid: str, duration: int | None = None) -> None:
        """
        The Lease was deleted: a process that never saw this one held may create it.

        Whoever saw it held waits in full (rule 4), so nothing is excused yet, unless
        what it saw was for less than the ``duration`` of the last holder.
        """
        self._deletion_until = max(self._deletion_until, time + self._span)
        self._deleted_uid = uid
        self._deleted_duration = duration or 0

    def restored(self, time: float, version: int) -> None:
        """
        The store went back in time: tokens may repeat, versions mean other things.

        Every process has to observe the record anew (rules 1 and 10).
        """
        self.excuse(time)
        self._restored_at = time
        self._restored_to = min(version, self._restored_to) or version
        self._restores += 1
        keep = bisect_right(self._acquired_versions, version)
        del self._acquired_versions[keep:], self._acquirers[keep:]

    def may_overlap(self, time: float) -> bool:
        """Tell whether an assumption of G1 is broken now."""
        return time < self._excused_until

    # G1, G2: belief -----------------------------------------------------------

    def belief_began(self, time: float, who: Witness, term: int) -> None:
        """Note that ``current_leader`` of a process became true."""
        if who.ours and term != who.open_term:
            text = f"believes in term {term}, open is term {who.open_term or None}"
            self.broken(time, "G4", who.name, text)
        if who.ours and term == who.ran_out:
            text = f"believes again in term {term}, whose time had run out"
            self.broken(time, "G4", who.name, text)
        for other in self._believers:
            if other.ours and (who.ours or who.keeps_rules):
                self._overlap(time, "G1", other, who)
        self._believers.append(who)
        who.belief_since = time
        if who is not self._last_leader:
            self.leader_changes += 1
            self._last_leader = who

    def belief_ended(self, time: float, who: Witness, *, ran_out: bool = False) -> None:
        """
        Note that ``current_leader`` of a process became false.

        ``ran_out``: because L was over by CLOCK_BOOTTIME, which never steps back.
        """
        late = time - who.last_applied_at - who.renew_deadline / (1.0 - RHO)
        if late > TOLERANCE and who.belief_since is not None and who.ours:
            if not who.clocks_excused:
                text = f"believed {late:.6f} s longer than any clock can excuse"
                self.broken(time, "G2", who.name, text)
        if ran_out:
            who.ran_out = who.open_term
        if who in self._believers:
            self._believers.remove(who)
        who.belief_since = None

    def belief_deadline(self, time: float, who: Witness, boottime: float) -> None:
        """
        Check the CLOCK_BOOTTIME at which a process will stop believing.

        G2: at most L after the order of the last write that the store applied.
        """
        latest = who.last_applied_sent + who.renew_deadline
        if boottime > latest + TOLERANCE and time > self._restored_at + self._span:
            text = (
                f"would believe {boottime - latest:.6f} s longer than L after its write"
            )
            self.broken(time, "G2", who.name, text)

    def _overlap(self, time: float, label: str, old: Witness, new: Witness) -> None:
        if not self.may_overlap(time):
            what = "believes" if label == "G1" else "works"
            text = f"leads while {old.name} still {what}"
            self.broken(time, label, new.name, text)

    # G2: work -----------------------------------------------------------------

    def work_began(self, time: float, who: Witness, term: int) -> None:
        """Note that the work of a term was started."""
        if who.work_term:
            text = f"starts work of term {term} while term {who.work_term} works"
            self.broken(time, "G4", who.name, text)
        for other in self._workers:
            if other.ours and (who.ours or who.keeps_rules):
                self._work_overlap(time, other, who)
        who.work_term = term
        who.work_unbudgeted = False
        who.excused_work_until = -math.inf
        self._workers.append(who)

    def work_ended(self, time: float, who: Witness) -> None:
        """Note that nothing of the work runs any more."""
        del time
        if who in self._workers:
            self._workers.remove(who)
        who.work_term = 0

    def work_outlives_budget(self, who: Witness) -> None:
        """Say that this work does not stop within S: G2 promises nothing for it."""
        who.work_unbudgeted = True

    def thawed(self, time: float, who: Witness, until: float) -> None:
        """
        Say that a process runs again, and that it had been stopped beyond its time.

        Its work may run until ``until``: no program can stop itself while it is
        frozen (fault 02: only a fence outside the process could).
        """
        who.excused_work_until = max(who.excused_work_until, until)
        for other in self._workers:
            if other is not who and who in self._workers and other.ours:
                self._work_overlap(time, who, other)

    def budget_over(self, time: float, who: Witness) -> None:
        """Check that work excused by a freeze is over, if another works now."""
        for other in self._workers:
            if other is not who and who in self._workers and other.ours:
                self._work_overlap(time, who, other)

    def _work_overlap(self, time: float, old: Witness, new: Witness) -> None:
        if old.work_unbudgeted or old.frozen or time < old.excused_work_until:
            return
        self._overlap(time, "G2", old, new)

    # G3, G4: terms ------------------------------------------------------------

    def acquired(
        self,
        time: float,
        who: Witness,
        term: int,
        token: int | None,
        *,
        boottime: float,
    ) -> None:
        """Note the event that a term began, and with it its work."""
        self.terms += 1
        if who.open_term:
            text = f"term {term} acquired while term {who.open_term} is open"
            self.broken(time, "G4", who.name, text)
        if term <= who.term:
            self.broken(time, "G4", who.name, f"term {term} after term {who.term}")
        if who.work_term:
            text = f"term {term} acquired while work of term {who.work_term} runs"
            self.broken(time, "G4", who.name, text)
        late = boottime - who.last_applied_sent - who.renew_deadline
        if late > TOLERANCE:
            text = f"begins term {term} {late:.6f} s later than L after its write"
            self.broken(time, "G2", who.name, text)
        who.term = who.open_term = term
        who.draining, who.lost_at = False, math.inf
        who.token, who.rival_version = token, 0
        if token is not None and token in who.known:
            began = who.known[token]
            who.term_uid, who.term_acquire = began.uid, began.key[3]
        who.tried.discard(who.term_acquire)
        who.causes.clear()
        self._check_token(time, who, token)

    def lost(self, time: float, who: Witness, term: int, *, drains: bool) -> None:
        """Note the event that a term ended; ``drains``: the Lease is still renewed."""
        if term != who.open_term:
            text = f"term {term} lost, open is term {who.open_term or None}"
            self.broken(time, "G4", who.name, text)
        who.open_term = 0
        if drains:
            who.lost_at = math.inf
        else:
            who.lost_at, who.cut_until = time, math.inf
        who.draining = drains
        who.lost_acquire = who.term_acquire

    def lost_because(self, time: float, who: Witness, reason: str) -> None:
        """Check the reason of a loss that the Lease has nothing to do with (G8)."""
        if reason == "stepped_down" and any(
            stored.asked == who.term_acquire for stored in who.known.values()
        ):
            return
        if reason not in who.causes:
            text = f"lost term {who.term} as {reason}, which nobody asked for"
            self.broken(time, "G8", who.name, text)

    def lost_to(self, time: float, who: Witness, stored: Stored | None) -> None:
        """
        Check a term that is said to be lost to what stands in the Lease now.

        G8: what proves nothing ends no term. A lagging read cannot be told from a
        restore, so it may.
        """
        if who.loss_excused or time < self._restored_at + self._span:
            return
        if stored is None or stored.stamp not in who.stamps:
            return
        if stored.key[3] == who.term_acquire:
            text = f"lost term {who.term}, though the Lease is its own as it wrote it"
            self.broken(time, "G8", who.name, text)

    def after_loss(self, time: float, who: Witness) -> None:
        """Check, once all that came with a loss is done, that belief ended too."""
        if who.belief_since is not None and not who.open_term:
            text = f"still believes in term {who.term} after it was lost"
            self.broken(time, "G4", who.name, text)

    def _check_token(self, time: float, who: Witness, token: int | None) -> None:
        if token is None:
            self.broken(time, "G3", who.name, "a term without a token")
            return
        if token != who.shown:
            text = f"token {token} is not the version that it was shown: {who.shown}"
            self.broken(time, "G3", who.name, text)
            return
        if time < self._restored_at + self._span:
            return
        at = bisect_right(self._acquired_versions, token) - 1
        if at < 0 or self._acquirers[at] is not who:
            owner = self._acquirers[at].name if at >= 0 else "nobody"
            text = f"token {token} is not of its own acquiring write but {owner}'s"
            self.broken(time, "G3", who.name, text)
            return
        # Versions count from lower on after a restore.
        begun = (self._restores, self._acquired_versions[at])
        if begun <= who.token_from:
            text = f"token {token} is of the write that began an earlier term"
            self.broken(time, "G3", who.name, text)
        who.token_from = begun

    # G5: writes ---------------------------------------------------------------

    def observed(
        self,
        who: Witness,
        monotonic: float,
        stored: Stored | None,
        *,
        deleted: bool = False,
    ) -> None:
        """Note that a process was shown a Lease, its deletion, or None: there is none."""
        if deleted and stored is not None:
            if stored.mark > who.newest_mark:
                who.newest_mark = stored.mark
                who.rivals += 1
        who.heard_at = monotonic
        who.doubtful = False
        if stored is None or deleted:
            who.back_at, who.back_to = monotonic, None
            who.polite = False  # what it gave back is gone
        if stored is None:
            if who.absent_since is None:
                who.absent_since = monotonic
            return
        version = stored.version
        if version > who.newest:
            who.newest = version
            if who.written or who.open_term or who.draining:
                self._judge_news(who, stored, monotonic, deleted=deleted)
        if deleted:
            if who.absent_since is None:
                who.absent_since = monotonic
            who.deletion = stored.mark
            return
        if who.known.setdefault(version, stored) is not stored:
            who.ambiguous.add(version)
            who.known[version] = stored
        mark = stored.mark
        if mark < who.deletion:
            return  # an answer from before the deletion that was shown already
        who.absent_since = None
        who.shown = version
        key = stored.key
        if key != who.last_key:
            who.last_key = key
            if stored.held:
                if mark >= who.newest_mark:
                    who.free_since = math.inf  # a read that lags shows nothing
                if who.cut_off_until > 0.0 and self._one_can_lead(who, stored):
                    who.cut_off_until = -math.inf
                if stored.holder != who.identity:
                    who.stays_out_until = -math.inf  # another led
            elif who.free_since == math.inf:
                who.free_since, who.free_for = monotonic, stored.successor
            who.last_seen = stored
            who.since = monotonic
            who.seen.setdefault(key, monotonic)
            if mark > who.newest_mark:
                who.newest_mark = mark
                if stored.held and stored.stamp not in who.stamps:
                    who.rivals += 1

    def _judge_news(
        self, who: Witness, stored: Stored, monotonic: float, *, deleted: bool
    ) -> None:
        """Note what news mean: who else held the Lease, and whether a term is lost."""
        if deleted:
            if who.open_term or who.draining:
                who.disproved = "the Lease is gone"
            return
        if (
            who.written
            and stored.held
            and (
                # A copy of its own record under another uid is nobody else's.
                stored.holder != who.identity or stored.key[3:5] not in who.written
            )
        ):
            who.rival_version, who.polite = stored.version, False
            who.rival_seen_at = who.seen.get(stored.key, monotonic)
        if who.open_term or who.draining:
            if not who.wrote(stored):
                who.disproved = f"{stored.holder or 'nobody'} holds the Lease"
                return
            acquire = stored.key[3]
            if acquire in who.tried:
                # An earlier try was seen to have landed and began this term, while this
                # one was under way: it lands on that, and the term goes on by its times.
                # It was ordered before the term, in which none may be (G4), and what
                # another wrote between the two would have been on a version of its own.
                who.term_acquire = acquire
                who.tried.discard(acquire)
            if stored.asked is not None and stored.asked == acquire and who.open_term:
                who.disproved = "it was asked to step down"

    def went_back(
        self, who: Witness, stored: Stored, known: int | None, monotonic: float
    ) -> None:
        """Note a read that shows an older version than was known when it was ordered."""
        if known is not None and who.shown == known and stored.version < known:
            who.back_at, who.back_to = monotonic, stored.key
            if who.open_term:
                who.disproved = "the Lease went back to an earlier version"

    def after_disproof(self, time: float, who: Witness) -> None:
        """Check that a term ended at once that was shown to be lost (rule 11)."""
        why, who.disproved = who.disproved, ""
        if who.open_term:
            text = f"goes on with term {who.open_term}, though it saw that {why}"
            self.broken(time, "G1", who.name, text)
        elif who.draining and "asked" not in why:
            who.draining = False
            who.lost_at, who.lost_acquire = time, who.term_acquire

    def ordered(
        self,
        time: float,
        who: Witness,
        lease: Mapping[str, Any],
        now: tuple[float, ...],
    ) -> Order:
        """Check a write as it is ordered, and take down what it is based on."""
        boottime, monotonic = now[:2]
        if who.ours:
            if not is_plain(time, who, lease, now):
                for guarantee, text in mistakes(
                    time, who, lease, now, restored=self._restores > 0
                ):
                    self.broken(time, guarantee, who.name, text)
            who.last_ordered, who.answered, who.cut_seen = boottime, None, math.inf
            who.heard_at = monotonic
        seen = who.last_seen
        absent = monotonic - who.absent_since if who.absent_since is not None else -1.0
        newcomer = seen is None or not seen.held
        # A label may have been touched since: then the record is older than its version.
        base = who.known.get(int(lease["metadata"].get("resourceVersion") or 0), seen)
        return Order(
            who,
            lease,
            boottime,
            monotonic,
            time,
            newcomer,
            base,
            absent,
            who.rivals,
            who.since,
        )

    def sent(self, time: float, order: Order, boottime: float) -> None:
        """Check that nothing is sent of a term that is lost or ran out (rule 11)."""
        who, spec = order.witness, order.lease["spec"]
        if not spec.get("holderIdentity"):
            return
        if spec.get("acquireTime") != who.term_acquire:
            return
        if who.lost_at < time:
            self.broken(time, "G5", who.name, "sends a renewal of a term that is lost")
        elif boottime > who.last_applied_sent + who.renew_deadline + TOLERANCE:
            self.broken(time, "G5", who.name, "sends a renewal of a term that ran out")

    def applied(
        self, time: float, order: Order, before: Stored | None, after: Stored
    ) -> None:
        """Check a write that changed the store, at the instant it did."""
        who = order.witness
        if after.held:
            if order.boottime >= who.last_applied_sent:
                who.last_applied_sent = order.boottime
                who.last_applied_at = order.time
        if (
            before is None
            or after.key[3] != before.key[3]
            or after.holder != before.holder
        ):
            if after.held:
                self._acquired_versions.append(after.version)
                self._acquirers.append(who)
                if not (who.open_term or (who.draining and who.work_term)):
                    # Else it is an earlier try, which lands while a later one leads.
                    who.term_acquire = after.key[3]
        if not who.ours:
            who.stamps.add(after.stamp)
            if before is None and time < self._deletion_until:
                self.excuse(time)  # client-go, too, creates a deleted Lease at once
            if before is not None and before.held and not who.keeps_rules:
                if before.stamp not in who.stamps:
                    self.excuse(time)  # it compares wall clocks: as good as an editor
            return
        if before is None:
            self._creates(time, order, after)
        else:
            self._replaces(time, order, before, after)
        stamp = after.stamp
        who.stamps.add(stamp)
        lawful = not self._is_of_another_past(order.base)
        who.stamp_rivals[stamp] = order.rivals if lawful else math.inf

    def _creates(self, time: float, order: Order, after: Stored) -> None:
        who = order.witness
        seen = who.last_seen
        if order.was_newcomer:
            # Who was shown another's record since it ordered this is no newcomer when
            # it lands: it must not take it for its own (rule 5). But whoever waits for
            # that record waits for less than the last holder may believe for.
            shorter = who.duration_of(after) < self._deleted_duration
            if time < self._deletion_until:
                if shorter or who.rivals == order.rivals:
                    self.excuse(time)
            return
        if self.may_overlap(time):
            return
        if time < self._deletion_until:
            if (
                seen is None
                or seen.uid != self._deleted_uid
                or who.duration_of(seen) < self._deleted_duration
            ):
                # It cannot know what came and went between its reads: a Lease, or a
                # holder for longer.
                self.excuse(time)
        if seen is None or seen.stamp in who.stamps:
            return
        needed = who.duration_of(seen)
        if order.absent_for < needed - TOLERANCE:
            text = (
                f"creates the Lease {max(0.0, order.absent_for):.3f} s after it saw it "
                f"gone; {seen.holder} had it for {needed} s"
            )
            self.broken(time, "G5", who.name, text)

    def _is_of_another_past(self, seen: Stored | None) -> bool:
        """Tell whether a record was undone by a restore since."""
        if seen is None or seen.restores == self._restores:
            return False
        return seen.version > self._restored_to

    def _replaces(
        self, time: float, order: Order, before: Stored, after: Stored
    ) -> None:
        who = order.witness
        metadata = order.lease["metadata"]
        if not metadata.get("uid") or not metadata.get("resourceVersion"):
            text = "replaces the Lease without its uid and resourceVersion"
            self.broken(time, "G5", who.name, text)
        if self._is_of_another_past(order.base):
            # After a restore versions are numbered anew: to the server this write is
            # one on the record that has the same number now.
            self.excuse(time)
            return
        if not after.held:
            if before.stamp not in who.stamps:
                self.broken(
                    time, "G5", who.name, f"releases what {before.holder} holds"
                )
            elif who.work_term:
                text = f"releases while work of term {who.work_term} runs"
                self.broken(time, "G5", who.name, text)
            return
        self._check_taken_back(time, order, before)
        if (
            not before.held
            or before.stamp in who.stamps
            or time < self._restored_at + self._span
        ):
            return
        if before.holder == who.identity and before.key[3] in who.tried:
            return
        since = who.seen.get(before.key)
        needed = who.duration_of(before)
        waited = order.monotonic - since if since is not None else -1.0
        if waited < needed - TOLERANCE:
            text = (
                f"takes over from {before.holder} after observing its record for "
                f"{max(0.0, waited):.3f} s; it was good for {needed} s"
            )
            self.broken(time, "G5", who.name, text)

    def _check_taken_back(self, time: float, order: Order, before: Stored) -> None:
        """
        Check that a record of its own that others overtook is waited for in full.

        It came back by a restore, or landed after a deletion: they may believe.
        """
        who = order.witness
        known = who.stamp_rivals.get(before.stamp, math.inf)
        if not before.held or known >= order.rivals:
            return
        base = order.base
        waited = order.monotonic - order.since
        needed = who.duration_of(before)
        if base is not None and base.key == before.key and waited < needed - TOLERANCE:
            text = (
                f"takes its own record back {waited:.3f} s after it was there again, "
                f"though others had the Lease since; it was good for {needed} s"
            )
            self.broken(time, "G5", who.name, text)

    # A record that is cut short -----------------------------------------------

    def cut_short(
        self,
        time: float,
        who: Witness,
        stored: Stored,
        now: tuple[float, ...],
        *,
        again: bool,
        old: bool,
    ) -> None:
        """
        Note that a process is shown its own record, good for less than it wrote.

        ``again``: it was shown that record before, so somebody edited it since; else
        the write itself came out so. ``old``: another record stands there by now.
        """
        if stored.key[3] != who.term_acquire or stored.stamp not in who.stamps:
            return
        lasts = ASSUMED_DURATION if stored.duration is None else stored.duration
        if lasts >= who.own_duration:
            return
        good_for = self._good_for(who, lasts)
        sent = now if again else who.written.get(stored.key[3:5], now)
        self._may_end(who, stored, good_for, lasts, sent, now, again=again)
        if old or time < self._restored_at + self._span:
            who.cut_until = math.inf  # whatever stands there now is seen soon
            return
        limit, stamp = max(now[0], sent[0] + good_for), stored.stamp
        # Each renewal begins anew; to see the same again puts nothing off.
        anew = stamp != who.cut_stamp
        who.cut_stamp = stamp
        who.cut_until = limit if anew else min(who.cut_until, limit)

    def _good_for(self, who: Witness, lasts: float) -> float:
        """Return the largest L that G2 allows under a record that lasts so long."""
        return (lasts / (1.0 + self._rho) - who.stop_budget) * (1.0 - self._rho)

    def _one_can_lead(self, who: Witness, stored: Stored) -> bool:
        """Tell whether a process can renew in time under a record like this one."""
        lasts = ASSUMED_DURATION if stored.duration is None else stored.duration
        needed = who.renew_interval + who.request_timeout
        return lasts >= who.own_duration or self._good_for(who, lasts) >= needed

    def _tries(self, who: Witness, stored: Stored, monotonic: float) -> bool:
        """Tell whether a record is what a process waits for: its last acquire."""
        return (
            stored.key[4] == who.last_stamp
            and stored.key[3] != who.lost_acquire
            and not who.forgot(stored.key)
            # Nor was it asked to withdraw, or to stay out.
            and not who.asked_to_stop
            and who.app_alive
            and monotonic >= who.hindered_at
        )

    def _may_end(
        self,
        who: Witness,
        stored: Stored,
        good_for: float,
        lasts: int,
        sent: tuple[float, ...],
        now: tuple[float, ...],
        *,
        again: bool,
    ) -> None:
        """Judge whether a term ends, and no other begins, because of a cut (rule 14)."""
        capped = not again and not self._one_can_lead(who, stored)
        held = who.open_term or (who.draining and who.work_term)
        if capped and (held or self._tries(who, stored, now[1])):
            pause = max(LONGEST_ASKED, float(who.own_duration))
            who.cut_off_until = now[0] + pause
            who.hindered_at = max(who.hindered_at, now[1] + pause)
        elif again and who.cut_seen == math.inf:
            who.cut_seen = now[0]
        passed = [b - a for a, b in zip(sent, now, strict=True)]
        if len(passed) > WALL:
            passed[WALL] /= MICROSECONDS
            jumped = passed[WALL] - passed[0] > lasts - good_for - TOLERANCE
        else:
            jumped = False
        if capped or jumped or max(passed) >= good_for - TOLERANCE:
            who.causes.add("renew_deadline")
            if not held or stored.version != who.newest:
                return
            if max(passed) > good_for + TOLERANCE:
                who.disproved = f"its record, cut to {lasts} s, is over"
            elif capped:
                who.disproved = f"each of its writes is cut to {lasts} s"

    def goes_by_its_record(self, time: float, who: Witness, boottime: float) -> None:
        """
        Check until when a process will believe after it saw its record cut short.

        G2: others take over when the record is over, not when it should be.
        """
        seen = who.last_seen
        if seen is not None and seen.duration == who.own_duration:
            who.cut_until = math.inf  # it was put right, or another's is seen
        elif boottime > who.cut_until + TOLERANCE:
            late = boottime - who.cut_until
            text = f"would believe {late:.6f} s longer than its record allows"
            self.broken(time, "G2", who.name, text)

    # The end of a process -----------------------------------------------------

    def died(self, time: float, who: Witness) -> None:
        """Note that a process is gone, and all that it did."""
        self.belief_ended(time, who)
        self.work_ended(time, who)
        who.open_term = 0
