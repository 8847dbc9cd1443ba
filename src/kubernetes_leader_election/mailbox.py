"""Events on their way to the handlers: in order, bounded, the vital ones never lost."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from kubernetes_leader_election.events import (
    ElectorEvent,
    LeadershipAcquired,
    LeadershipLost,
)
from kubernetes_leader_election.work import Hold, TermWork

ROOM: Final = 256
"""Events that may wait; an elector sees a few in a minute, so this is a stuck handler."""


class Letter(NamedTuple):
    """One event, and what its delivery belongs to."""

    event: ElectorEvent
    work: TermWork | None
    """The work of the term in progress, if any."""
    hold: Hold | None
    """Ended when the handlers have run: that of a lost event holds up the release."""


class Mailbox:
    """Keep letters in their order. Any thread; never blocks."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # reentrant, as that of the work
        self._letters: deque[Letter] = deque()

    def __bool__(self) -> bool:
        """Tell whether letters wait."""
        return bool(self._letters)

    @property
    def is_full(self) -> bool:
        """Tell whether only vital letters are taken."""
        return len(self._letters) >= ROOM

    def put(self, letter: Letter) -> bool:
        """Add a letter; False if there was no room and it could be missed (G4)."""
        vital = isinstance(letter.event, LeadershipAcquired | LeadershipLost)
        with self._lock:
            if not vital and self.is_full:
                return False
            self._letters.append(letter)
        return True

    def take(self) -> Letter | None:
        """Give the oldest letter; None when there is none."""
        with self._lock:
            return self._letters.popleft() if self._letters else None

    def empty(self) -> list[Letter]:
        """Take all letters."""
        with self._lock:
            letters = list(self._letters)
            self._letters.clear()
        return letters


def drop(letters: Iterable[Letter]) -> int:
    """End the holds of letters that nobody delivers; tell how many were vital."""
    vital = 0
    for letter in letters:
        vital += isinstance(letter.event, LeadershipAcquired | LeadershipLost)
        if letter.hold is not None:
            letter.hold.end()
    return vital
