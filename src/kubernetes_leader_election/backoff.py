"""How long to wait after failures in a row, before the next try."""

from __future__ import annotations


def pause_after(failures: int, *, first: float, longest: float) -> float:
    """
    Return the seconds to wait: ``first`` at first, and twice as long each time.

    Args:
        failures: How many there were in a row before this one.
        first: The pause after the first one.
        longest: The pause that no other exceeds.

    """
    return min(longest, first * 2.0 ** min(failures, 64))
