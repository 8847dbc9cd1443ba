"""
G1 to G4, checked from outside: belief, work, and the terms that they belong to.
"""

from __future__ import annotations

import math
from bisect import bisect_right

from kubernetes_leader_election.testing.simulation.assumptions import Assumptions
from kubernetes_leader_election.testing.simulation.store import RHO, Stored
from kubernetes_leader_election.testing.simulation.witness import Witness
from kubernetes_leader_election.testing.simulation.writes import TOLERANCE


class TermChecks(Assumptions):
    """Check when processes believe, work, and say that a term begins or ends."""

    # G1, G2: belief -----------------------------------------------------------

    def belief_began(self, time: float, who: Witness, term: int) -> None:
        """Note that ``current_leader`` of a process became true."""
        if who.ours and term != who.open_term:
            text = f"believes in term {term}, open is term {who.open_term or None}"
            self.broken(time, "G4", who.name, text)
        if who.ours and term == who.ran_out:
            text = f"believes again in term {term}, whose time had run out"
            self.broken(time, "G4", who.name, text)
        for other in self.believers:
            if other.ours and (who.ours or who.keeps_rules):
                self._overlap(time, "G1", other, who)
        self.believers.append(who)
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
        if who in self.believers:
            self.believers.remove(who)
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
            who.term_uid = began.uid
            who.begins_with(began.key[3])
            if token not in who.ambiguous and not who.wrote_itself(began):
                text = f"begins term {term} on a record that it never wrote"
                self.broken(time, "G5", who.name, text)
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
        # A creating write of its own that came late has another uid (rule 10).
        if stored.uid == who.term_uid and stored.key[3] == who.term_acquire:
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
        begun = (self.restores, self._acquired_versions[at])
        if begun <= who.token_from:
            text = f"token {token} is of the write that began an earlier term"
            self.broken(time, "G3", who.name, text)
        who.token_from = begun
