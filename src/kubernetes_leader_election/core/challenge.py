"""
The end of a holder that its pod proves, and the challenge to it (rules 18 and 19).

The holder's note says where a kubelet would report its end. A candidate watches that
pod; once the end is proved, the holder is asked through the Lease whether it lives: by
one annotation that names the very record. Whoever lives renews at once, and any change
of the record voids the proof. If nothing changes for as long as the holder asked for,
the Lease counts as free, in exactly the state in which the question stood there.

A thousand candidates see the proof at the same instant. Each draws when it would ask
from a distribution that makes early times rare (feedback suppression); whoever sees
that another has asked waits along.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from kubernetes_leader_election.backoff import pause_after
from kubernetes_leader_election.core.annotations import is_challenged
from kubernetes_leader_election.core.hearing import Hearing, TermName, term_of
from kubernetes_leader_election.core.messages import PodNote
from kubernetes_leader_election.core.pod_notes import note_of
from kubernetes_leader_election.core.record import Snapshot
from kubernetes_leader_election.core.schedule import NEVER
from kubernetes_leader_election.core.timing import (
    ElectionSettings,
    Now,
    elapsed_for_candidate,
)
from kubernetes_leader_election.errors import LeaseApiError

ASK_WITHIN: Final = 0.3
"""Seconds from the proof in which somebody asks; one candidate alone asks at their end."""
RARENESS: Final = 14.0
"""How rare early times are: of a thousand candidates a handful ask before they see it."""
SEEK_AGAIN: Final = 300.0
"""Seconds between tries to watch a pod where that is not permitted."""
LONGEST_PAUSE: Final = 30.0
"""Seconds at most between tries where it fails otherwise; who lasts as long was good."""
GOOD_ORDER: Final = 1.0
"""Seconds that a watch has to last for its clean end to be no failure."""
REFUTED_KEPT: Final = 32
"""Notes that are remembered as refuted."""


class Challenge:
    """Keep the proof of one holder's end, and what it was asked. One elector's own."""

    __slots__ = (
        "_asked",
        "_draw",
        "_failures",
        "_question",
        "_read",
        "_refuted",
        "_settings",
        "_sought_at",
        "_sought_of",
        "_why",
        "ask_at",
        "hearing",
        "proved",
        "seek_at",
        "sought",
    )

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._draw = draw
        self.hearing = Hearing(settings)
        """How well this elector hears."""
        self._refuted: tuple[str, ...] = ()
        """Nonces of processes that lived on, or of which nothing can be proved."""
        self._read: tuple[Snapshot | None, PodNote | None] = (None, None)
        """The snapshot whose note was read last, and that note."""
        self.begin_life()

    def begin_life(self) -> None:
        """Forget whom proofs were sought of before a start; what is refuted stays so."""
        self.hearing.begin_life()
        self.sought: PodNote | None = None
        """Whose pod is watched, or is to be watched again at ``seek_at``."""
        self._sought_at = 0.0
        """When that watch was ordered last, on CLOCK_BOOTTIME."""
        self._sought_of: TermName | None = None
        """The term of whose holder it is the pod."""
        self.seek_at = NEVER
        """When the pod is to be watched again, on CLOCK_BOOTTIME."""
        self._failures = 0
        """Watches on pods in a row that could not be had."""
        self.proved: PodNote | None = None
        """Whose end is proved; None: nobody's."""
        self._why = ("", 0.0)
        """What proved it, as a clause for people, and its first sight on CLOCK_BOOTTIME."""
        self.ask_at = NEVER
        """When to ask the holder, unless another one does, on CLOCK_BOOTTIME."""
        self._asked = 0
        """Writes in a row that were to ask the holder."""
        self._question: tuple[str, Now] | None = None
        """The resourceVersion on which it stands, and when it was first seen there."""

    # The note -----------------------------------------------------------------

    def note(self, snapshot: Snapshot | None) -> PodNote | None:
        """Return the note on a Lease; None: there is none that could be proved."""
        if self._read[0] is not snapshot:
            noted = None if snapshot is None else note_of(snapshot)
            self._read = (snapshot, noted)
        note = self._read[1]
        return None if note is None or note.nonce in self._refuted else note

    def to_be_sought(
        self, snapshot: Snapshot | None, watch_id: int | None, now: Now
    ) -> PodNote | None:
        """Return whose pod is to be watched while this is known; None: nobody's."""
        note = self.note(snapshot)
        if note is None or snapshot is None:
            return None
        if not self.hearing.may_be_proved(snapshot, note, watch_id, now):
            return None
        return note

    # The proof ----------------------------------------------------------------

    def seek(self, note: PodNote, snapshot: Snapshot | None, now: float) -> None:
        """Take it that the pod of a note is watched from now on."""
        self.sought, self._sought_at, self.seek_at = note, now, NEVER
        self._sought_of = None if snapshot is None else term_of(snapshot)

    def is_sought_of(self, snapshot: Snapshot | None) -> bool:
        """Return whether it is the holder's pod: it may leave its note later again."""
        return snapshot is not None and term_of(snapshot) == self._sought_of

    def seek_no_more(self) -> None:
        """Take it that no pod is watched, nor is to be."""
        self.sought, self.seek_at = None, NEVER

    def prove(self, why: str, now: float) -> None:
        """Take it that the process has ended whose pod is watched."""
        if self.sought is not None and self.sought.nonce not in self._refuted:
            if self.proved != self.sought:
                self._why = why, now
            self.proved = self.sought

    def tell(self, snapshot: Snapshot | None, watch_id: int | None, now: Now) -> str:
        """Say for people by what proof the Lease is free; empty: by none."""
        if not self.is_unanswered(snapshot, watch_id, now):
            return ""
        why, seen = self._why
        return f"{why}, which was seen {now.boottime - seen:.1f} s before"

    def refute(self, nonce: str) -> None:
        """Take it that no proof with this nonce is ever to be believed."""
        if nonce not in self._refuted:
            self._refuted = (*self._refuted, nonce)[-REFUTED_KEPT:]
        if self.proved is not None and self.proved.nonce == nonce:
            self.void()

    def unreadable(self, error: LeaseApiError | None, now: float) -> None:
        """Take it that the pod cannot be watched now, or that its watch came to its end."""
        lasted = now - self._sought_at
        if lasted >= (GOOD_ORDER if error is None else LONGEST_PAUSE):
            self._failures = 0  # whatever it has proved: one may fail after each proof
        if error is None and lasted >= GOOD_ORDER:
            self.seek_at = now
            return
        self._failures += 1
        first, longest = self._settings.first_pause, LONGEST_PAUSE
        pause = pause_after(self._failures, first=first, longest=longest)
        if error is not None and error.status == 403:
            pause = SEEK_AGAIN
        self.seek_at = now + pause

    def void(self) -> None:
        """Take it that nothing is proved of whoever holds the Lease."""
        self.proved = None
        self.ask_no_more()

    def stands(self, snapshot: Snapshot | None, watch_id: int | None, now: Now) -> bool:
        """Return whether the end of the holder is proved, and may be believed."""
        if self.proved is None:
            return False
        return self.to_be_sought(snapshot, watch_id, now) == self.proved

    def see(
        self, before: Snapshot | None, snapshot: Snapshot, *, changed: bool
    ) -> None:
        """Take it that a Lease is seen: whether its record has changed, and what it was."""
        proved = self.proved
        if proved is None or not changed:
            return
        noted = note_of(snapshot)
        same_term = before is not None and term_of(before) == term_of(snapshot)
        if same_term or (noted is not None and noted.nonce == proved.nonce):
            # It lives: what its kubelet says of that process is wrong, or came too early.
            self.refute(proved.nonce)
        self.void()

    # The question -------------------------------------------------------------

    def begin(self, snapshot: Snapshot | None, now: Now) -> None:
        """Ask the holder after a random while, unless somebody has asked it already."""
        scale = math.expm1(RARENESS) * self._draw()
        self.ask_at = now.boottime + ASK_WITHIN * math.log1p(scale) / RARENESS
        self._asked = 0
        self._question = None
        self.hear_question(snapshot, now)

    def ask(self, now: float) -> None:
        """
        Take it that the holder is asked now, and ask again only after a pause.

        Something that takes the annotation away each time, a policy of the cluster or
        who keeps the Lease as it was, must not make that a hot loop (fault 24).
        """
        self._asked += 1
        first, longest = self._settings.first_pause, LONGEST_PAUSE
        self.ask_at = now + pause_after(self._asked, first=first, longest=longest)

    def hear_question(self, snapshot: Snapshot | None, now: Now) -> None:
        """Count the time for an answer from the first sight of the question."""
        if snapshot is None or not is_challenged(snapshot):
            self._question = None
        elif self._question is None or self._question[0] != snapshot.resource_version:
            # Rule 19: whoever touches the Lease meanwhile begins it anew.
            self._question = snapshot.resource_version, now

    def ask_no_more(self) -> None:
        """Take it that the holder is not asked any more."""
        self.ask_at = NEVER
        self._question = None

    @property
    def asked(self) -> bool:
        """Return whether the question was seen on the Lease."""
        return self._question is not None

    def left(self, now: Now) -> float:
        """Return the seconds that the holder still has for an answer."""
        if self._question is None or self.proved is None:
            return NEVER
        given = max(self._settings.crash_challenge, self.proved.crash_challenge)
        return given - elapsed_for_candidate(self._question[1], now)

    def is_unanswered(
        self, snapshot: Snapshot | None, watch_id: int | None, now: Now
    ) -> bool:
        """Return whether nobody answered, and nothing was touched since it was asked."""
        if self._question is None or snapshot is None:
            return False
        return (
            snapshot.resource_version == self._question[0]
            and self.left(now) <= 0.0
            and self.stands(snapshot, watch_id, now)
        )
