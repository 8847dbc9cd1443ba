"""How long a process waits for what a signal or its exit begins: the one home of it."""

from __future__ import annotations

from typing import Final

MOMENT: Final = 1.0
"""Seconds that a thread waits for a signal that is about to end it."""
EXIT: Final = 1.0
"""Seconds that the exit may take longer for a release: many round trips."""
LAST_WORDS: Final = 1.0
"""Seconds that the exit may take longer for lines that are still to be logged."""


def of_exit(request_timeout: float) -> float:
    """Return the seconds that the exit may take longer: one request may take that."""
    return max(EXIT, request_timeout)


def after_signal(grace: float) -> float:
    """Return the seconds from a signal until it ends the main thread at most."""
    return grace + MOMENT
