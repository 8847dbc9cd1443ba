"""
One Lease over time: what changed, and for how long nobody led.

Expiry is judged as a candidate does, by :class:`...core.observation.Observation`: the
record stood still for its own duration on this machine's clock. Times that others
wrote are shown, never compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from kubernetes_leader_election.cli.observe.holders import Holder, recognise
from kubernetes_leader_election.cli.output import seconds
from kubernetes_leader_election.core.annotations import (
    CHALLENGE,
    STEP_DOWN,
    SUCCESSOR,
    is_challenged,
    noted_token,
)
from kubernetes_leader_election.core.observation import Observation
from kubernetes_leader_election.core.record import (
    ASSUMED_DURATION,
    LeaseRecord,
    Snapshot,
)
from kubernetes_leader_election.core.states import Fact
from kubernetes_leader_election.core.timing import Now, elapsed_for_candidate
from kubernetes_leader_election.text import quoted

FREE: Final = "free"
MISSING: Final = "missing"
EXPIRED: Final = "expired"
LEADS: Final = "leads"
"""Seen to renew, or seen to acquire."""
HELD: Final = "held"
"""Somebody's name stands in it; not yet seen to renew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something happened to a Lease. ``kind`` is a word for programs."""

    lease: str
    kind: str
    at: Now
    text: str
    """The same for people."""
    holder: str | None = None
    previous: str | None = None
    token: int | None = None
    transitions: int | None = None
    nobody_led: float | None = None
    """Seconds without a leader before this one, as seen from here."""
    crash_proof: str | None = None
    """Whether the end of who led before was proved, as ``status`` has it; None: no note."""


class Tracker:
    """Follow one Lease. Feed it what was seen; it says what changed."""

    def __init__(self, lease: str, began: Now) -> None:
        self.lease = lease
        self.began = began
        self.renewed: Now | None = None
        """When the record was last seen to change while somebody held it."""
        self.observation = Observation(ASSUMED_DURATION)
        self.announced_expiry = False
        self.last_holder: str | None = None
        self.last_gap: float | None = None
        self.leads_since: Now | None = None
        """When the present holder was seen to acquire; None: before we looked."""
        self._vacant: tuple[Now, str] | None = None
        self._proven = False
        self._seen_token: int | None = None

    # What is known -------------------------------------------------------------

    @property
    def snapshot(self) -> Snapshot | None:
        """The Lease as last seen; None where there is none, or nothing was seen."""
        return self.observation.snapshot

    @property
    def record(self) -> LeaseRecord | None:
        """The part of it that an election reads."""
        return self.observation.record

    @property
    def seen(self) -> bool:
        """Whether anything was seen, be it that there is no Lease."""
        return self.observation.since is not None

    @property
    def holder(self) -> Holder | None:
        """What kind of program holds it."""
        return None if self.snapshot is None else recognise(self.snapshot)

    @property
    def token(self) -> tuple[int, str] | None:
        """The fencing token of the present term, and who says so; None: not known."""
        noted = None if self.snapshot is None else noted_token(self.snapshot)
        if noted is not None:
            return noted, "noted by the holder"
        if self._seen_token is not None:
            return self._seen_token, "seen when it was acquired"
        return None

    def state(self, now: Now) -> str:
        """Return the state in one word."""
        if self.observation.missing or self.snapshot is None:
            return MISSING
        match self.observation.verdict(now):
            case Fact.FREE:
                return FREE
            case Fact.EXPIRED:
                return EXPIRED
            case _:
                return LEADS if self._proven else HELD

    def is_judged(self, now: Now) -> bool:
        """Return whether it is known for sure whether somebody leads."""
        return self.seen and self.state(now) != HELD

    def expires_in(self, now: Now) -> float | None:
        """Return the seconds until it counts as expired without another renewal."""
        if self.record is None or self.record.is_free:
            return None
        return max(0.0, self.observation.left(now))

    def quiet_for(self, now: Now) -> float | None:
        """Return the seconds since the record last changed, at least."""
        since = self.observation.since
        return None if since is None else elapsed_for_candidate(since, now)

    def nobody_led_for(self, now: Now) -> float | None:
        """Return the seconds since somebody led, as seen from here; None: not known."""
        return (
            None if self._vacant is None else now.monotonic - self._vacant[0].monotonic
        )

    # What happens ----------------------------------------------------------------

    def see(
        self, snapshot: Snapshot | None, at: Now, *, in_order: bool = False
    ) -> list[Change]:
        """
        Take in what was seen; give what is new.

        ``in_order`` says that nothing happened since the sighting before, so that a new
        holder's first record is the acquiring write itself.
        """
        observation = self.observation
        first, before = not self.seen, observation.record
        wished = self.snapshot.annotations if self.snapshot is not None else {}
        if snapshot is None:
            if not observation.see_missing(at):
                return []
            self.announced_expiry = self._proven = False
            self._seen_token = None
            return [self._gone(before, at, first=first)]
        if not first and observation.is_news(snapshot) is False:
            return []
        changed = observation.see(snapshot, at)
        changes = []
        if changed:
            self.announced_expiry = False
            changes += self._changed(
                before, snapshot, at, first=first, in_order=in_order
            )
        for name, said in ((STEP_DOWN, "step down"), (SUCCESSOR, "hand over")):
            value = snapshot.annotations.get(name)
            if isinstance(value, str) and value != wished.get(name):
                changes.append(self._wished(name, said, value, at))
        asked = snapshot.annotations.get(CHALLENGE)
        if asked != wished.get(CHALLENGE) and is_challenged(snapshot):
            changes.append(self._challenged(at))
        return changes

    def expire(self, at: Now) -> list[Change]:
        """Announce, once, that the Lease has run out. Call it after a fresh look."""
        if self.announced_expiry or self.state(at) != EXPIRED:
            return []
        self.announced_expiry, self._proven = True, False
        record = self.record
        assert record is not None  # noqa: S101 - only a held record expires
        since = self.observation.since
        if self._vacant is None and since is not None:
            self._vacant = (since, "last renewal")
        holder, quiet = record.holder_identity, seconds(self.quiet_for(at) or 0.0)
        text = f"expired: {quoted(holder)} did not renew it for {quiet}"
        return [self._change("expired", at, text, holder=holder)]

    def _change(self, kind: str, at: Now, text: str, **more: Any) -> Change:
        return Change(lease=self.lease, kind=kind, at=at, text=text, **more)

    def _gone(self, before: LeaseRecord | None, at: Now, *, first: bool) -> Change:
        holder = None if before is None or before.is_free else before.holder_identity
        if holder is not None:
            self._vacant = (at, "deletion")
            self.last_holder = holder
        text = "there is no such Lease yet" if first else "deleted"
        if holder is not None:
            text += f" while {quoted(holder)} held it"
        kind = "missing" if first else "deleted"
        return self._change(kind, at, text, previous=holder)

    def _changed(
        self,
        before: LeaseRecord | None,
        snapshot: Snapshot,
        at: Now,
        *,
        first: bool,
        in_order: bool,
    ) -> list[Change]:
        record = snapshot.record
        was = None if before is None or before.is_free else before.holder_identity
        if record.is_free:
            self._proven, self._seen_token = False, None
            return self._freed(was, at, first=first)
        same = was == record.holder_identity and before is not None
        if same and before is not None and before.acquire_time == record.acquire_time:
            self.renewed, self._proven = at, True
            self._vacant = None
            return []
        self._proven = not first
        previous_renewal, self.renewed = self.renewed, None if first else at
        gap, since = None, ""
        if self._vacant is not None:
            gap, since = elapsed_for_candidate(self._vacant[0], at), self._vacant[1]
        elif was is not None and previous_renewal is not None:
            gap, since = elapsed_for_candidate(previous_renewal, at), "last renewal"
        self._vacant = None
        previous = was or self.last_holder
        self.last_holder = record.holder_identity
        self.last_gap = gap
        self.leads_since = None if first else at
        # The fencing token is the version that the acquiring write returned: known
        # only to who saw that very write (G3), until the holder notes it.
        self._seen_token = snapshot.version if in_order and not first else None
        return [self._acquired(snapshot, at, previous, gap, since, first=first)]

    def _freed(self, was: str | None, at: Now, *, first: bool) -> list[Change]:
        if was is not None:
            self._vacant = (at, "release")
            self.last_holder = was
            return [
                self._change("released", at, f"{quoted(was)} released it", previous=was)
            ]
        return [self._change("free", at, "nobody holds it")] if first else []

    def _acquired(
        self,
        snapshot: Snapshot,
        at: Now,
        previous: str | None,
        gap: float | None,
        since: str,
        *,
        first: bool,
    ) -> Change:
        record, known = snapshot.record, self.token
        token = None if known is None else known[0]
        name = quoted(record.holder_identity)
        parts = [f"{name} holds it" if first else f"{name} leads"]
        if record.lease_transitions is not None:
            parts.append(f"transition {record.lease_transitions}")
        if token is not None:
            parts.append(f"token {token}")
        if gap is not None:
            parts.append(f"nobody led for {seconds(gap)} since the {since}")
        return self._change(
            "held" if first else "acquired",
            at,
            ", ".join(parts),
            holder=record.holder_identity,
            previous=None if first else previous,
            token=token,
            transitions=record.lease_transitions,
            nobody_led=gap,
        )

    def _challenged(self, at: Now) -> Change:
        record = self.record
        holder = None if record is None else record.holder_identity or None
        text = (
            f"{quoted(holder or '')} is asked whether it lives: its pod reports its end"
        )
        return self._change("asked whether it lives", at, text, holder=holder)

    def _wished(self, name: str, said: str, value: str, at: Now) -> Change:
        record = self.record
        holder = None if record is None else record.holder_identity or None
        asked = f"{quoted(holder) if holder else 'the holder'} is asked to {said}"
        if name == STEP_DOWN:
            return self._change("asked to step down", at, asked, holder=holder)
        asked += f" to {quoted(value)}"
        return self._change("successor named", at, asked, holder=holder)
