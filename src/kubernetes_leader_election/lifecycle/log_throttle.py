"""
Log a recurring error once, then at growing intervals.

The first is told at once; the same error again only after 10 s, 20 s, 40 s and so on
up to 10 minutes, with a count of what was left out.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final

from kubernetes_leader_election.backoff import pause_after

FIRST_SILENCE: Final = 10.0
"""Seconds: one renewal of the default rhythm."""
LONGEST_SILENCE: Final = 600.0
"""Seconds: who looks at a log once in a while still sees that it goes on."""
KINDS: Final = 32
"""Different errors that are remembered; the oldest is forgotten for a new one."""


class _Kind:
    """One error that keeps occurring."""

    __slots__ = ("said_at", "times_said", "unsaid")

    def __init__(self, *, said_at: float) -> None:
        self.said_at = said_at
        self.times_said = 0
        """How often it was said again."""
        self.unsaid = 0


class LogThrottle:
    """Decide which errors are told again. Pure: the time comes in."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[str, _Kind] = OrderedDict()
        self._first_at = 0.0
        self._count = 0

    def line(self, text: str, *, now: float) -> str | None:
        """Return the line to write for an error that occurred, or None for none."""
        if not self._count:
            self._first_at = now
        self._count += 1
        # Ports, request ids and durations differ from try to try.
        key = re.sub(r"\d+", "0", text)
        kind = self._kinds.pop(key, None)
        if kind is None:
            while len(self._kinds) >= KINDS:
                self._kinds.popitem(last=False)
            self._kinds[key] = _Kind(said_at=now)
            return text
        self._kinds[key] = kind
        waited = now - kind.said_at
        if waited < pause_after(
            kind.times_said, first=FIRST_SILENCE, longest=LONGEST_SILENCE
        ):
            kind.unsaid += 1
            return None
        times = kind.unsaid + 1
        again = (
            f" (again, {times} times in {waited:.0f} s)" if times > 1 else " (again)"
        )
        kind.said_at, kind.unsaid = now, 0
        kind.times_said += 1
        return text + again

    def over(self, *, now: float) -> str | None:
        """Forget all; give how many errors there were and for how long, if any."""
        if not self._count:
            return None
        count, lasted = self._count, now - self._first_at
        self._kinds.clear()
        self._count = 0
        return f"{count} error{'s' if count > 1 else ''} in {lasted:.1f} s"
