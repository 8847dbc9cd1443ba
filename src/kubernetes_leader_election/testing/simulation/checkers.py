"""
The guarantees, checked from outside while a world runs.

Nothing here knows the core. What is known: real time, the stored Lease, which Lease
a process was shown and when (on its own clock), what it ordered, and its reports that
a belief or a piece of work began or ended. A world that breaks an assumption of a
guarantee says so with :meth:`.assumptions.Assumptions.excuse`, which switches off exactly that check,
for exactly as long as the broken assumption can matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from kubernetes_leader_election.testing.simulation.shown_checkers import ShownChecks
from kubernetes_leader_election.testing.simulation.store import Stored
from kubernetes_leader_election.testing.simulation.witness import Order, Witness
from kubernetes_leader_election.testing.simulation.writes import (
    TOLERANCE,
    asks,
    is_plain,
    mistakes,
)


class Checks(ShownChecks):
    """
    Collect violations of G1-G5 as the world reports what happens.

    The highest of the layers that make it; each adds methods to the one below:

    - :class:`~.assumptions.Assumptions`: violations, and what excuses them.
    - :class:`~.term_checkers.TermChecks`: belief, work and terms (G1 to G4).
    - :class:`~.shown_checkers.ShownChecks`: what a process was shown (rules 11, 14).
    - here: what it writes, and what comes of that (G5).
    """

    # Writes -------------------------------------------------------------------

    def ordered(
        self,
        time: float,
        who: Witness,
        lease: Mapping[str, Any],
        now: tuple[float, ...],
    ) -> Order:
        """Check a write as it is ordered, and take down what it is based on."""
        boottime, monotonic = now[:2]
        recreates, question, follows = who.recreates, False, False
        if who.ours:
            question = asks(who, lease)
            base = who.known.get(int(lease["metadata"].get("resourceVersion") or 0))
            follows = base is not None and who.ends.may_follow(base, now)
            if not is_plain(time, who, lease, now):
                if not lease["metadata"].get("uid"):
                    spec = lease["spec"]
                    times = spec.get("acquireTime"), spec.get("renewTime")
                    who.created[times] = ""
                for guarantee, text in mistakes(
                    time, who, lease, now, restored=self.restores > 0
                ):
                    self.broken(time, guarantee, who.name, text)
            if not question:
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
            recreates,
            question,
            follows,
        )

    def sent(self, time: float, order: Order, boottime: float) -> None:
        """Check that nothing is sent of a term that is lost or ran out (rule 11)."""
        who, spec = order.witness, order.lease["spec"]
        if not spec.get("holderIdentity") or order.asks:
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
        if order.asks:
            self._check_asked(time, order, before)
            return
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
                if not who.leads:
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

    def _check_asked(self, time: float, order: Order, before: Stored | None) -> None:
        """Check that a challenge changes no record, whatever a policy makes of it (G5)."""
        if before is None or order.lease["spec"] != before.lease["spec"]:
            if not self._is_of_another_past(order.base):
                text = "changes the record of the holder that it asks"
                self.broken(time, "G5", order.witness.name, text)

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
        if seen is None or seen.stamp in who.stamps or order.recreates:
            return
        needed = who.duration_of(seen)
        if order.absent_for < needed - TOLERANCE:
            text = (
                f"creates the Lease {max(0.0, order.absent_for):.3f} s after it saw it "
                f"gone; {seen.holder} had it for {needed} s"
            )
            self.broken(time, "G5", who.name, text)

    def _is_of_another_past(self, seen: Stored | None) -> bool:
        """Return whether a record was undone by a restore since."""
        if seen is None or seen.restores == self.restores:
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
            if not who.wrote_itself(before):
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
            or who.wrote_itself(before)
            or time < self._restored_at + self._span
        ):
            return
        if before.holder == who.identity and before.key[3] in who.tried:
            return
        if order.follows and order.base is not None and before.key == order.base.key:
            return  # rule 19: it was asked on that very version, and did not answer
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
        needed = float(who.duration_of(before))
        if base is not None and base.version in who.ambiguous:
            # A restore gave its number again: it may go by the other record.
            needed = min(needed, who.ambiguous[base.version])
        if base is not None and base.key == before.key and waited < needed - TOLERANCE:
            text = (
                f"takes its own record back {waited:.3f} s after it was there again, "
                f"though others had the Lease since; it was good for {needed:g} s"
            )
            self.broken(time, "G5", who.name, text)

    # The end of a process -----------------------------------------------------

    def died(self, time: float, who: Witness) -> None:
        """Note that a process is gone, and all that it did."""
        self.belief_ended(time, who)
        self.work_ended(time, who)
        who.open_term = 0
