"""
What one process was shown of the ends of others, and what it owes to that (rules 17 to 19).

It says of no process that it has ended: only what a candidate may make of what it saw.
Nothing here knows the core.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Final

from kubernetes_leader_election.testing.simulation.store import Key, Stored

TOLERANCE: Final = 1e-5
"""Seconds; covers the rounding of floats and of whole microseconds, nothing else."""
MICROSECONDS: Final = 1_000_000
WALL: Final = 2
"""Place of the wall clock, in microseconds, in a reading of all clocks."""
LONGEST_PAUSE: Final = 31.0
"""Seconds at most between two tries to read a pod, and some more."""
MOST_QUESTIONS: Final = 20
"""Times that one process asks about one record: its pauses double (fault 24)."""
MOST_SEEKS: Final = 8
"""Watches on the pod of one holder within three seconds: pauses double here, too."""
SEEKS_WITHIN: Final = 3.0
GOOD_ORDER: Final = 1.0
"""Seconds that a watch on a pod has to last for its clean end to cost no pause."""


class Ends:
    """What is known from outside of one process about the ends that it may believe in."""

    __slots__ = (
        "_asked",
        "_distrusted_for",
        "_distrusted_since",
        "_seeks",
        "alive",
        "challenge",
        "heard_back",
        "knows",
        "nonce",
        "notes_first",
        "own_duration",
        "pod",
        "proofs",
        "questions",
        "refuted",
        "unreadable_at",
    )

    def __init__(self, challenge: float | None, own_duration: int) -> None:
        self.challenge = challenge
        """Seconds that it asks to be given for an answer; None: it has no such thing."""
        self.own_duration = own_duration
        """Seconds that its own record is good for."""
        self.pod = ""
        """The uid of the pod that it runs in; empty: it left no note there."""
        self.nonce = ""
        """What it left there itself."""
        self.proofs: set[str] = set()
        """Nonces of processes that it was shown to have ended, and nothing since."""
        self.refuted: set[str] = set()
        """Those of which it saw afterwards that they live."""
        self.alive: tuple[object, ...] | None = None
        """Uid, holder and acquire time of the term that its open watch showed alive."""
        self.questions: dict[tuple[int, Key], float] = {}
        """Versions and records in which it saw a challenge, and its monotonic clock then."""
        self.heard_back: tuple[tuple[object, object], float] | None = None
        """The write of its own that its open watch brought last, and CLOCK_BOOTTIME then."""
        self.notes_first = False
        """It ordered no renewal in its term yet: the first may come at once."""
        self.knows = False
        """It was shown the Lease in this life: what it sees first is no change."""
        self._distrusted_since = -math.inf
        """CLOCK_MONOTONIC when it was shown last that the Lease went back, or was gone."""
        self._distrusted_for = 0.0
        """Seconds from then on in which it may believe in no end."""
        self.unreadable_at = -math.inf
        """CLOCK_MONOTONIC when it could not read the pod of a holder last."""
        self._asked: tuple[Key | None, int] = (None, 0)
        """The record that it asked about last, and how often."""
        self._seeks: tuple[str, tuple[float, ...]] = ("", ())
        """Whose pod it watched last, by the nonce, and CLOCK_MONOTONIC at each begin."""

    # What it was shown --------------------------------------------------------

    def begins_life(self) -> None:
        """Take it that it starts anew, and has seen nothing."""
        self.alive, self._distrusted_since, self.knows = None, -math.inf, False
        self.proofs.clear()

    def opens_watch(self) -> None:
        """Take it that a new watch is ordered: by the one before it hears no more."""
        self.alive = self.heard_back = None

    def distrusts(self, monotonic: float, lasts: float) -> None:
        """Note that the Lease went back, was deleted, or became another one."""
        self.alive = None
        self._distrusted_since = monotonic
        self._distrusted_for = max(float(self.own_duration), lasts)

    def sees_change(self, before: Stored, stored: Stored) -> None:
        """Note that the record is another one than it was: so whatever was proved is void."""
        if self.proofs:
            noted = stored.noted
            if _term(before) == _term(stored):
                self.refuted |= self.proofs  # it lives, whatever its kubelet says
            elif noted is not None and noted[1] in self.proofs:
                self.refuted.add(noted[1])
            self.proofs.clear()

    def hears(self, before: Stored | None, stored: Stored) -> None:
        """Note what the open watch shows of who lives."""
        if before is None or not self.knows:
            return
        if before.uid != stored.uid or not stored.held:
            return
        if _lives(before.key, stored.key):
            self.alive = _term(stored)

    # What it may do -----------------------------------------------------------

    def may_ask(self, base: Stored, now: tuple[float, ...]) -> bool:
        """Return whether it may challenge a holder: rule 18."""
        noted = base.noted
        if noted is None or self.challenge is None:
            return False
        uid, nonce, _ = noted
        if now[1] - self._distrusted_since < self._distrusted_for - TOLERANCE:
            return False
        if nonce not in self.proofs or nonce in self.refuted:
            return False
        if uid == self.pod and nonce != self.nonce:
            return self._is_young(base.key[4], now)
        return self.alive == _term(base)

    def is_to_believe(self, base: Stored, now: tuple[float, ...]) -> bool:
        """Return whether it is to find out that this holder ends, and to follow it (G6)."""
        noted = base.noted
        if noted is None or self.challenge is None or noted[1] in self.refuted:
            return False
        if now[1] - self._distrusted_since < self._distrusted_for + TOLERANCE:
            return False
        # Where the pod could not be read it tries again, after half a minute at most.
        return self.alive == _term(base) and now[1] > self.unreadable_at + LONGEST_PAUSE

    def _is_young(self, renewed: Any, now: tuple[float, ...]) -> bool:
        """Return whether a record is younger than D by the clock of this machine."""
        if not isinstance(renewed, str) or len(now) <= WALL:
            return False
        age = now[WALL] / MICROSECONDS - datetime.fromisoformat(renewed).timestamp()
        return abs(age) < self.own_duration + TOLERANCE

    def may_follow(self, base: Stored, now: tuple[float, ...]) -> bool:
        """
        Return whether a holder's end is proved to it, and the time for an answer over.

        Its own clock counts, from when it was first shown the challenge that stands in
        the very version on which it writes (rule 19).
        """
        noted, asked_at = base.noted, self.questions.get((base.version, base.key))
        if noted is None or asked_at is None or not self.may_ask(base, now):
            return False
        assert self.challenge is not None
        given = max(self.challenge, noted[2])
        return now[1] - asked_at >= given - TOLERANCE

    def seeks_too_often(self, nonce: str, monotonic: float) -> bool:
        """Count a watch on a holder's pod; tell whether there were too many of late."""
        before, begun = self._seeks
        if before != nonce:
            begun = ()
        recent = [time for time in begun if time > monotonic - SEEKS_WITHIN]
        self._seeks = nonce, (*recent, monotonic)
        return len(recent) >= MOST_SEEKS

    def pod_watch_ended(self, monotonic: float, *, broken: bool) -> None:
        """Note that its watch on a pod is over; one that broke, or soon, costs a pause."""
        begun = self._seeks[1]
        if broken or monotonic - begun[-1] < GOOD_ORDER + TOLERANCE:
            self.unreadable_at = monotonic

    def asks_too_often(self, base: Stored) -> bool:
        """Count a question; tell whether it was asked about this record too often."""
        key, times = self._asked
        self._asked = (base.key, times + 1 if key == base.key else 1)
        return self._asked[1] > MOST_QUESTIONS


def _term(stored: Stored) -> tuple[object, ...]:
    return stored.uid, stored.holder, stored.key[3]


def _transitions(key: Key) -> int:
    return key[5] if isinstance(key[5], int) else 0


def is_of_the_past(before: Stored, stored: Stored) -> bool:
    """Return whether a record went back behind the one before, or is of another Lease."""
    was, key = before.key, stored.key
    if before.uid != stored.uid or _transitions(key) < _transitions(was):
        return True
    return key[3] == was[3] and not _grew(was[4], key[4])


def _lives(before: Key, key: Key) -> bool:
    """Return whether somebody renewed, or began a term, between the two."""
    if (before[1], before[3]) == (key[1], key[3]):
        return _grew(before[4], key[4])
    return _transitions(key) > _transitions(before)


def _grew(before: object, time: object) -> bool:
    return isinstance(before, str) and isinstance(time, str) and time > before
