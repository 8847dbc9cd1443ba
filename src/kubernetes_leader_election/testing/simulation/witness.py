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

from kubernetes_leader_election.testing.simulation.store import Key, Stored

ASSUMED_DURATION = 20
"""Seconds a held Lease without a duration is good for (rule 3)."""


class Witness:
    """What is known from outside of one process, and of nothing else of it."""

    __slots__ = (
        "absent_since",
        "belief_since",
        "cut_stamp",
        "cut_until",
        "deletion",
        "excused_work_until",
        "frozen",
        "identity",
        "keeps_rules",
        "last_applied_sent",
        "last_key",
        "last_seen",
        "loss_excused",
        "lost_at",
        "name",
        "newest",
        "open_term",
        "ours",
        "own_duration",
        "ran_out",
        "renew_deadline",
        "rivals",
        "seen",
        "shown",
        "since",
        "stamp_rivals",
        "stamps",
        "stop_budget",
        "term",
        "term_acquire",
        "token_from",
        "work_term",
        "work_unbudgeted",
    )

    def __init__(
        self,
        *,
        name: str,
        identity: str,
        own_duration: int,
        renew_deadline: float,
        stop_budget: float = 0.0,
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
        self.cut_until = math.inf
        """CLOCK_BOOTTIME until which it may believe under a record that was cut short."""
        self.seen: dict[Key, float] = {}
        self.last_key: Key | None = None
        self.last_seen: Stored | None = None
        self.since = 0.0
        """Its monotonic clock when the record that it was shown last was new to it."""
        self.newest = (0, 0)
        """Restores and version of the newest record that it was shown."""
        self.rivals = 0
        """How often it was shown, as news, that others changed the Lease."""
        self.stamp_rivals: dict[tuple[object, ...], float] = {}
        """The same when each of its applied writes was ordered."""
        self.absent_since: float | None = None
        self.deletion = (0, 0)
        """Restores and version at the last deletion that was shown."""
        self.stamps: set[tuple[object, ...]] = set()
        self.shown: int | None = None
        self.loss_excused = False
        self.token_from = (0, 0)
        self.term = 0
        self.ran_out = 0
        self.open_term = 0
        self.lost_at = math.inf
        self.term_acquire: object = None
        self.last_applied_sent = -math.inf
        self.belief_since: float | None = None
        self.work_term = 0
        self.work_unbudgeted = False
        self.excused_work_until = -math.inf
        self.frozen = False

    def duration_of(self, stored: Stored) -> int:
        """Give the seconds a held record is good for, to this process."""
        if stored.duration is None:
            return max(self.own_duration, ASSUMED_DURATION)
        return stored.duration


def stamp_of(stored: Stored) -> tuple[object, ...]:
    """Give what proves who wrote a record: uid, holder, and the exact times."""
    uid, holder, _, acquire_time, renew_time, _ = stored.key
    return (uid, holder, acquire_time, renew_time)


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
