"""
What a process was shown, and which conclusions it owes to that at once (rule 11).
"""

from __future__ import annotations

import math

from kubernetes_leader_election.testing.simulation.ends import is_of_the_past
from kubernetes_leader_election.testing.simulation.store import RHO, Stored
from kubernetes_leader_election.testing.simulation.term_checkers import TermChecks
from kubernetes_leader_election.testing.simulation.witness import (
    ASSUMED_DURATION,
    Witness,
)
from kubernetes_leader_election.testing.simulation.writes import (
    LONGEST_ASKED,
    TOLERANCE,
)

MICROSECONDS = 1_000_000
WALL = 2
"""Place of the wall clock, in microseconds, in a reading of all clocks."""


class ShownChecks(TermChecks):
    """Note what a process is shown, and check that it draws the conclusions."""

    def observed(
        self,
        who: Witness,
        monotonic: float,
        stored: Stored | None,
        *,
        deleted: bool = False,
        read: bool = False,
    ) -> None:
        """
        Note that a process was shown a Lease, its deletion, or None: there is none.

        ``read``: by a read, which shows what stands there now, whatever its number.
        """
        if deleted and stored is not None:
            if stored.mark > who.newest_mark:
                who.newest_mark = stored.mark
                who.rivals += 1
        late = stored is not None and not deleted and stored.mark < who.deletion
        # A read that finds nothing may have left before, as may one that was overtaken.
        if stored is not None and not late:
            who.recreates = (
                deleted
                and stored.held
                and who.open_term != 0
                and stored.uid == who.term_uid
                and stored.key[3] == who.term_acquire
            )
        who.heard_at = monotonic
        who.doubtful = False
        if stored is None or deleted:
            who.polite = False  # what it gave back is gone
        if deleted:
            who.memory.forget()
        elif stored is None:
            who.memory.shown_none()
        else:
            who.memory.shown(stored)
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
                who.ends.distrusts(monotonic, self._lasted(who))
        if deleted:
            if who.absent_since is None:
                who.absent_since = monotonic
            who.deletion = stored.mark
            return
        known = who.known.setdefault(version, stored)
        if known is not stored:
            lasts = who.duration_of(known) if known.held else 0.0
            who.ambiguous[version] = min(lasts, who.ambiguous.get(version, math.inf))
            who.known[version] = stored
        mark = stored.mark
        if late:
            # An answer from before the deletion that was shown already; yet by what is
            # read there its process finds that one can lead.
            if stored.held and self._one_can_lead(who, stored):
                who.cut_off_until = -math.inf
            return
        was_gone, who.absent_since = who.absent_since is not None, None
        if version >= who.newest or mark >= who.newest_mark:
            before, who.newest_seen = who.newest_seen, stored
            knew, who.ends.knows = who.ends.knows, True
            if knew and before is not None and before.key != stored.key:
                lasts = who.duration_of(stored) if stored.held else 0.0
                who.ends.sees_change(before, stored)
                if not was_gone and is_of_the_past(before, stored):
                    who.ends.distrusts(monotonic, lasts)
        if who.created.get(stored.key[3:5]) == "":
            who.created[stored.key[3:5]] = stored.uid
        # After a restore an event or an answer may have the number of what was shown
        # last: it is no newer by that, so the wait goes on (rule 11).
        given_again = version == who.shown and not read
        who.shown = version
        key, news = stored.key, mark > who.newest_mark
        if news:
            who.newest_mark = mark
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
            if not given_again:
                who.since = monotonic
            who.seen.setdefault(key, monotonic)
            if news and stored.held and stored.stamp not in who.stamps:
                who.rivals += 1
                if stored.holder != who.identity:
                    who.polite = False
                elif who.polite:
                    who.polite = None  # a copy of its own, or a namesake's

    def _lasted(self, who: Witness) -> float:
        """Return the seconds that the record was good for which it knew until now."""
        seen = who.newest_seen
        return who.duration_of(seen) if seen is not None and seen.held else 0.0

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
            # What it created it knows by its times alone, before it is shown that first.
            unseen = who.created.get(stored.key[3:5]) == ""
            if not who.wrote(stored) and not unseen:
                who.disproved = f"{stored.holder or 'nobody'} holds the Lease"
                return
            held = who.leads  # else it has drained
            if held and stored.uid != who.term_uid:
                # Perhaps a creating write of its own that came late: no less a loss.
                who.disproved = "another Lease has its name now"
                return
            acquire = stored.key[3]
            if held and acquire in who.tried:
                # An earlier try was seen to have landed and began this term, while this
                # one was under way: it lands on that, and the term goes on by its times.
                # It was ordered before the term, in which none may be (G4), and what
                # another wrote between the two would have been on a version of its own.
                who.begins_with(acquire)
            elif held and acquire != who.term_acquire:
                # On the number of a version that a restore gave again (rule 10).
                who.disproved = "an older record of its own holds the Lease"
            if stored.asked is not None and stored.asked == acquire and who.open_term:
                who.disproved = "it was asked to step down"

    def went_back(
        self, who: Witness, stored: Stored, known: int | None, monotonic: float
    ) -> None:
        """Note a read that shows an older version than was known when it was ordered."""
        if known is None or known <= stored.version:
            return
        if who.shown in (known, stored.version):
            # What is newer than this is news to it; an answer may have told it before.
            who.newest = stored.version
        if who.shown == known:
            if who.absent_since is None and who.ends.knows:
                who.ends.distrusts(monotonic, self._lasted(who))
            if who.polite:
                # Records of its own that it forgets by this (G1) are a rival's to it,
                # who led since its work ended: it may be last to go, or not.
                who.polite = None
            if who.open_term:
                who.disproved = "the Lease went back to an earlier version"

    def found_nothing(
        self, who: Witness, known: int | None, newest: int, monotonic: float
    ) -> None:
        """Note that there is no Lease, unless more was heard since the read was ordered."""
        if (known, newest) == (who.shown, who.newest):
            who.newest = 0  # it may be gone by a restore: what comes next is news to it
            who.ends.distrusts(monotonic, self._lasted(who))

    def after_disproof(self, time: float, who: Witness) -> None:
        """Check that a term ended at once that was shown to be lost (rule 11)."""
        why, who.disproved = who.disproved, ""
        if who.open_term:
            text = f"goes on with term {who.open_term}, though it saw that {why}"
            self.broken(time, "G1", who.name, text)
        elif "asked" not in why:
            self.lost_in_the_end(time, who)

    def lost_in_the_end(self, time: float, who: Witness) -> None:
        """Note that a term whose work ends is no longer held, of which no event tells."""
        if who.draining:
            who.draining = False
            who.lost_at, who.lost_acquire = time, who.term_acquire

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
        over: bool = False,
    ) -> None:
        """
        Note that a process is shown its own record, good for less than it wrote.

        ``again``: it was shown that record before, so somebody edited it since; else
        the write itself came out so. ``old``: another record stands there by now.
        ``over``: its term had ended by a clock, which is looked at first (rule 15).
        """
        # A copy of what it created is its own to it, when it was shown no other before.
        own = who.wrote(stored) or who.wrote_itself(stored)
        if stored.key[3] != who.term_acquire or not own:
            return
        lasts = ASSUMED_DURATION if stored.duration is None else stored.duration
        if lasts >= who.own_duration:
            return
        good_for = self._good_for(who, lasts)
        sent = now if again else who.written.get(stored.key[3:5], now)
        self._may_end(who, stored, good_for, lasts, sent, now, again=again, over=over)
        if old or time < self._restored_at + self._span:
            who.cut_until = math.inf  # whatever stands there now is seen soon
            return
        limit, stamp = max(now[0], sent[0] + good_for), stored.stamp
        # Each renewal begins anew, and so does each look of who does not lead yet: on what
        # was there before nobody can write. To see the same again puts nothing off.
        anew = stamp != who.cut_stamp or not who.leads
        who.cut_stamp = stamp
        who.cut_until = limit if anew else min(who.cut_until, limit)

    def _good_for(self, who: Witness, lasts: float) -> float:
        """Return the largest L that G2 allows under a record that lasts so long."""
        return (lasts / (1.0 + RHO) - who.stop_budget) * (1.0 - RHO)

    def _one_can_lead(self, who: Witness, stored: Stored) -> bool:
        """Return whether a process can renew in time under a record like this one."""
        lasts = ASSUMED_DURATION if stored.duration is None else stored.duration
        needed = who.renew_interval + who.request_timeout
        return lasts >= who.own_duration or self._good_for(who, lasts) >= needed

    def _tries(self, who: Witness, stored: Stored, monotonic: float) -> bool:
        """Return whether a record is what a process waits for: its last acquire."""
        ordered = who.written.get(stored.key[3:5], (0.0, monotonic))[1]
        return (
            stored.key[4] == who.last_stamp
            and stored.key[3] != who.lost_acquire
            # It was not ordered before a stop, a wish to step down or news that the
            # application is not alive, which withdraw it: whoever contends again waits
            # for nothing, and start() ends the pause of who cannot lead, too.
            and ordered >= who.wanted_since
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
        over: bool,
    ) -> None:
        """Judge whether a term ends, and no other begins, because of a cut (rule 14)."""
        capped = not again and not self._one_can_lead(who, stored)
        held = who.leads
        if capped and not over:
            pause = max(LONGEST_ASKED, float(who.own_duration))
            # Who was told of anything else meanwhile may take it for old news, or for
            # another's: when a restore brings it back, others' writes came out whole.
            if who.memory.knows(stored) and (held or self._tries(who, stored, now[1])):
                who.cut_off_until = now[0] + pause
            # Who is hindered already may pause for it, too.
            who.hindered_at = max(who.hindered_at, now[1] + pause)
        elif again and not over:
            if who.leads and not who.marred:
                who.marred = True
                who.edits += 1
            who.cut_seen = min(who.cut_seen, now[0])
        passed = [b - a for a, b in zip(sent, now, strict=True)]
        if len(passed) > WALL:
            passed[WALL] /= MICROSECONDS
            jumped = passed[WALL] - passed[0] > lasts - good_for - TOLERANCE
        else:
            jumped = False
        if capped or jumped or max(passed) >= good_for - TOLERANCE:
            who.causes.add("renew_deadline")
            if again and who.edits > 1:
                # Terms that end at once by an edit are begun more and more slowly.
                pause = max(LONGEST_ASKED, float(who.own_duration))
                who.hindered_at = max(who.hindered_at, now[1] + pause)
            if not held or stored.version != who.newest:
                return
            if stored.version in who.ambiguous:
                return  # it may know another by that number, and this is no news then
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
