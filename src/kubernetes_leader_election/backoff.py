"""How long to wait after failures in a row, before the next try."""

from __future__ import annotations

from typing import Final

FIRST_DELAY: Final = 1.0
"""Seconds before the first restart; doubled with each. The kubelet begins with 10 s."""
GOOD_RUN: Final = 60.0
"""Seconds that work has to run for the next delay to be the first one again."""


def pause_after(failures: int, *, first: float, longest: float) -> float:
    """
    Return the seconds to wait: ``first`` at first, and twice as long each time.

    Args:
        failures: How many there were in a row before this one.
        first: The pause after the first one.
        longest: The pause that no other exceeds.

    """
    return min(longest, first * 2.0 ** min(failures, 64))


class RestartBackoff:
    """Give the delay before each restart of work that ends, or fails, too soon."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._restarts = 0

    def after(self, ran: float) -> float:
        """Return the seconds to wait after work that ran for so long."""
        if ran >= GOOD_RUN:
            self._restarts = 0
        self._restarts += 1
        return pause_after(self._restarts - 1, first=FIRST_DELAY, longest=self._longest)
