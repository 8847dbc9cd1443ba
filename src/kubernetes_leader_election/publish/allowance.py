"""How much may be told in a while: some at once, then one now and then."""

from __future__ import annotations

from kubernetes_leader_election.process import native


class Allowance:
    """
    Count what is told, and what was left out. Any thread: lives of an elector share one.

    Args:
        at_once: how many may be told one after the other.
        every: seconds until one more may be, after that.

    """

    def __init__(self, *, at_once: int, every: float) -> None:
        self._lock = native.Lock()
        """Held for what follows: a life may begin while the last one still tells."""
        self._at_once = at_once
        self._every = every
        self._left = float(at_once)
        """How many may be told now. By ``take``, under the lock, as is the next."""
        self._seen_at: float | None = None
        """When that was; None: nothing was asked for yet. By ``take``."""
        self._left_out = 0
        """How many were left out since one was told. By ``take`` and ``leave_out``."""

    def take(self, now: float) -> int | None:
        """
        Return how many were left out before this one; None: it is left out as well.

        ``now`` is in seconds, on any clock that never goes back.
        """
        with self._lock:
            if self._seen_at is not None:
                gained = (now - self._seen_at) / self._every
                self._left = min(float(self._at_once), self._left + gained)
            self._seen_at = now
            if self._left < 1.0:
                self._left_out += 1
                return None
            self._left -= 1.0
            before, self._left_out = self._left_out, 0
            return before

    def leave_out(self, count: int) -> None:
        """Count ``count`` that were left out for another reason."""
        with self._lock:
            self._left_out += count
