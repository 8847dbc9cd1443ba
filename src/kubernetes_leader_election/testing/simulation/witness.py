"""
What is known of one process from outside, for the checkers.

Nothing here knows the core: what was shown to a process, what it ordered, and what it
said of its beliefs and its work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes_leader_election.testing.simulation.ends import Ends
from kubernetes_leader_election.testing.simulation.own_memory import OwnMemory
from kubernetes_leader_election.testing.simulation.store import Key, Stored

ASSUMED_DURATION = 20
"""Seconds a held Lease without a duration is good for (rule 3)."""


class Witness:
    """What is known from outside of one process, and of nothing else of it."""

    __slots__ = (
        "absent_since",
        "ambiguous",
        "answered",
        "app_alive",
        "asked_to_stop",
        "belief_since",
        "causes",
        "clocks_excused",
        "created",
        "cut_off_until",
        "cut_seen",
        "cut_stamp",
        "cut_until",
        "deletion",
        "disproved",
        "doubtful",
        "draining",
        "edits",
        "ends",
        "excused_work_until",
        "free_for",
        "free_since",
        "frozen",
        "heard_at",
        "hindered_at",
        "identity",
        "keeps_rules",
        "known",
        "last_applied_at",
        "last_applied_sent",
        "last_key",
        "last_ordered",
        "last_seen",
        "last_stamp",
        "lateness",
        "loss_excused",
        "lost_acquire",
        "lost_at",
        "marred",
        "memory",
        "name",
        "newest",
        "newest_mark",
        "newest_seen",
        "open_term",
        "ours",
        "own_duration",
        "polite",
        "proved",
        "proved_as",
        "ran_out",
        "ready_at",
        "recreates",
        "renew_deadline",
        "renew_interval",
        "request_timeout",
        "rests_until",
        "returned",
        "rival_seen_at",
        "rival_version",
        "rivals",
        "seen",
        "shown",
        "since",
        "stamp_rivals",
        "stamps",
        "stays_out_until",
        "stop_budget",
        "suspended",
        "term",
        "term_acquire",
        "term_uid",
        "token",
        "token_from",
        "tried",
        "wanted_since",
        "work_term",
        "work_unbudgeted",
        "written",
    )

    def __init__(
        self,
        *,
        name: str,
        identity: str,
        own_duration: int,
        renew_deadline: float,
        stop_budget: float = 0.0,
        renew_interval: float = 0.0,
        request_timeout: float = 0.0,
        lateness: float = 0.0,
        crash_challenge: float | None = None,
        ours: bool = True,
        keeps_rules: bool = True,
    ) -> None:
        self.name = name
        self.identity = identity
        self.ours = ours
        self.keeps_rules = keeps_rules
        self.own_duration = own_duration
        self.renew_deadline = renew_deadline
        self.stop_budget = stop_budget
        self.cut_stamp: tuple[object, ...] = ()
        """Uid, holder, acquire and renew time of the record of its own seen cut last."""
        self.cut_until = math.inf
        """CLOCK_BOOTTIME until which it may believe under a record that was cut short."""
        self.cut_seen = math.inf
        """CLOCK_BOOTTIME when it saw that a record it knew was cut short by an edit."""
        self.cut_off_until = -math.inf
        """CLOCK_BOOTTIME until which it seeks no term: each of its writes is cut."""
        self.edits = 0
        """Edits that cut its record short, each after a write of its own had landed."""
        self.marred = False
        """It saw no write of its own land since the last one of them."""
        self.proved: tuple[Any, Any] = ("", "")
        """Acquire and renew time of the newest write of its own that it was shown."""
        self.proved_as: Stored | None = None
        """The newest that it was shown of that write: whoever edits it makes it another."""
        self.renew_interval = renew_interval
        self.request_timeout = request_timeout
        self.lateness = lateness
        self.ends = Ends(crash_challenge, own_duration)
        """What it was shown of the ends of others."""
        # What it was shown.
        self.known: dict[int, Stored] = {}
        """Each Lease that it was shown, by version."""
        self.ambiguous: dict[int, float] = {}
        """
        Versions that were given again after a restore: for how many seconds that of
        their records is good which is good for the shortest, without the newest.
        """
        self.newest = 0
        self.seen: dict[Key, float] = {}
        self.last_key: Key | None = None
        self.last_seen: Stored | None = None
        self.newest_seen: Stored | None = None
        """The newest that it was shown: a read that was overtaken shows an older one."""
        self.since = 0.0
        """Its monotonic clock when the record that it was shown last was new to it."""
        self.newest_mark = (0, 0)
        """Restores and version of the newest record that it was shown."""
        self.rivals = 0
        """How often it was shown, as news, that others changed the Lease."""
        self.stamp_rivals: dict[tuple[object, ...], float] = {}
        """The same when each of its applied writes was ordered."""
        self.absent_since: float | None = None
        self.deletion = (0, 0)
        """Restores and version at the last deletion that was shown."""
        self.shown: int | None = None
        self.heard_at = -math.inf
        """CLOCK_MONOTONIC when it last heard of the Lease, or asked."""
        self.free_since = math.inf
        """CLOCK_MONOTONIC when it was first shown that the Lease is free now."""
        self.free_for: object = None
        """The successor that was named in it then."""
        self.rival_version = 0
        """Newest version that another held since its last term, and when it saw it."""
        self.rival_seen_at = -math.inf
        self.disproved = ""
        """What proves the loss of its term, and was shown to it just now."""
        self.doubtful = False
        """Nothing was shown to it since the outcome of a write was left open."""
        # What it wrote.
        self.memory = OwnMemory(identity)
        """Which writes of its own it cannot have forgotten."""
        self.stamps: set[tuple[object, ...]] = set()
        self.last_applied_sent = -math.inf
        self.last_applied_at = math.inf
        """When that was really; nothing is known where it is infinite."""
        self.last_ordered = -math.inf
        self.last_stamp = ""
        self.written: dict[object, tuple[float, ...]] = {}
        """Acquire and renew times of all its writes, and the clocks at each order."""
        self.created: dict[object, str] = {}
        """
        Those of them that created the Lease, with its uid: empty until it is shown it.
        """
        self.answered: float | None = None
        """CLOCK_BOOTTIME of the good answer to its last write; None: there is none."""
        self.tried: dict[object, None] = {}
        """Acquire times that it wrote after the one that began its term, oldest first."""
        self.ready_at = -math.inf
        """CLOCK_BOOTTIME since when nothing keeps it from renewing."""
        self.hindered_at = -math.inf
        """CLOCK_MONOTONIC of the last thing that kept it from contending."""
        # Its terms.
        self.loss_excused = False
        self.token: int | None = None
        self.token_from = (0, 0)
        self.term = 0
        self.ran_out = 0
        self.open_term = 0
        self.draining = False
        self.lost_at = math.inf
        self.lost_acquire: object = ""
        self.term_acquire: object = None
        self.term_uid = ""
        """Of the Lease that it led first by its present term."""
        self.belief_since: float | None = None
        self.work_term = 0
        self.returned = False
        """Its work returned, and nobody has said yet that nothing of it runs any more."""
        self.work_unbudgeted = False
        self.excused_work_until = -math.inf
        self.frozen = False
        self.clocks_excused = False
        """Somebody stepped its wall clock, so it cannot know how long it was paused."""
        self.suspended = False
        """Its CLOCK_MONOTONIC stood still once: no pause can be told by it."""
        self.recreates = False
        """The last it was shown is the deletion of the Lease that it led (rule 4)."""
        self.polite: bool | None = False
        """Its work just ended, and no other has led since; None: perhaps."""
        # What its application said.
        self.app_alive = True
        self.asked_to_stop = False
        self.wanted_since = -math.inf
        """CLOCK_MONOTONIC when it was last told what withdraws an acquire ordered before."""
        self.stays_out_until = -math.inf
        self.rests_until = -math.inf
        """CLOCK_BOOTTIME until which it stays out, whoever leads: its work failed."""
        self.causes: set[str] = set()
        """Reasons why its present term may end, besides what the Lease shows."""

    def begins_with(self, acquire: object) -> None:
        """Take an acquire for the one that its term goes by: none before it comes back."""
        self.term_acquire = acquire
        if self.cut_stamp and self.cut_stamp[2] != acquire:
            # What cut an acquire that it gave up says nothing of another one's record.
            self.cut_until = math.inf
        tried = list(self.tried)
        if acquire in tried:
            self.tried = dict.fromkeys(tried[tried.index(acquire) + 1 :])

    @property
    def leads(self) -> bool:
        """Return whether it holds a term, which may be draining."""
        works = self.work_term or self.returned
        return bool(self.open_term or (self.draining and works))

    def wrote(self, stored: Stored) -> bool:
        """Return whether it wrote a record, as far as it can know itself."""
        if stored.stamp in self.stamps:
            return True
        # What it creates has a uid that it does not know before it sees it.
        return (
            stored.uid == self.term_uid
            and stored.holder == self.identity
            and stored.key[3:5] in self.written
        )

    def wrote_itself(self, stored: Stored) -> bool:
        """Return whether it wrote a record on this very Lease, as far as it can know."""
        if stored.stamp in self.stamps:
            return True
        # A copy was made by others, but it cannot tell before it was shown the first.
        return self.created.get(stored.key[3:5]) in ("", stored.uid)

    @property
    def goes_by(self) -> tuple[Stored, ...]:
        """
        Return what the Lease may be to it: as it was shown last, or the newest of it.

        They differ after a read that lags, which counts unless it was overtaken.
        """
        shown = (self.last_seen, self.newest_seen)
        return tuple(stored for stored in shown if stored is not None)

    def duration_of(self, stored: Stored) -> int:
        """Return the seconds a held record is good for, to this process."""
        if stored.duration is None:
            return max(self.own_duration, ASSUMED_DURATION)
        return stored.duration


@dataclass(slots=True)
class Order:
    """One write as its process ordered it."""

    witness: Witness
    lease: Mapping[str, Any]
    boottime: float
    monotonic: float
    time: float
    was_newcomer: bool
    """Ordered by a process that had never seen the Lease held."""
    base: Stored | None
    absent_for: float
    rivals: int = 0
    since: float = 0.0
    """Of the witness, when it was ordered."""
    recreates: bool = False
    """It had the right then to create at once the Lease that it led (rule 4)."""
    asks: bool = False
    """It is a challenge, which changes no record (rule 19)."""
    follows: bool = False
    """The end of the holder was proved to it, which had not answered in time."""
