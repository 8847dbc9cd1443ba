"""
Log a recurring error once, then at growing intervals.

The first is told at once; the same error again only after 10 s, 20 s, 40 s and so on
up to 10 minutes, with a count of what was left out. One that comes back after its end
is news; one that keeps doing so is not, as where a leader renews by the connection that
it has and no other can be opened: else two lines would alternate for ever.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final

from kubernetes_leader_election.backoff import pause_after

FIRST_SILENCE: Final = 10.0
"""Seconds: about the time of one renewal, unless another was asked for."""
LONGEST_SILENCE: Final = 600.0
"""Seconds: who looks at a log once in a while still sees that it goes on."""
KINDS: Final = 32
"""Different errors that are remembered; the oldest is forgotten for a new one."""


class _Kind:
    """One error that keeps occurring."""

    __slots__ = ("came_back", "last_at", "over", "said_at", "times_said", "unsaid")

    def __init__(self, *, said_at: float) -> None:
        self.said_at = self.last_at = said_at
        """When it was told last, and when it occurred last."""
        self.times_said = 0
        """How often it was said again."""
        self.unsaid = 0
        """How often it occurred since then."""
        self.over = False
        """Whether things have gone well since it occurred last."""
        self.came_back = False
        """Whether it has been news again after that."""

    def is_old(self, now: float) -> bool:
        """Return whether it ended so long ago that the next one is another trouble."""
        return self.over and now - self.last_at >= LONGEST_SILENCE

    def is_news(self, now: float) -> bool:
        """Return whether it is told at once."""
        return self.over and (self.is_old(now) or not self.came_back)


class LogThrottle:
    """Decide which errors are told again. Pure: the time comes in."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[str, _Kind] = OrderedDict()
        """What is known of each error, by its text; the one that occurred last is last."""
        self._first_at = 0.0
        """When the first one occurred since the last time that things went well."""
        self._count = 0
        """How many there were since then."""
        self._told = False
        """Whether a line was written of which no end was told yet."""

    def line(self, text: str, *, now: float) -> str | None:
        """Return the line to write for an error that occurred, or None for none."""
        if not self._count:
            self._first_at = now
        self._count += 1
        # Ports, request ids and durations differ from try to try.
        key = re.sub(r"\d+", "0", text)
        kind = self._kinds.pop(key, None)
        if kind is None or kind.is_news(now):
            while len(self._kinds) >= KINDS:
                self._kinds.popitem(last=False)
            news = self._kinds[key] = _Kind(said_at=now)
            news.came_back = kind is not None and not kind.is_old(now)
            self._told = True
            return text
        self._kinds[key] = kind
        kind.last_at, kind.over = now, False
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
        self._told = True
        return text + again

    def over(self, *, now: float) -> str | None:
        """
        Note that things go well; give how many errors there were and for how long, if any.

        None where the last line told of that already: errors since were not worth one.
        """
        for kind in self._kinds.values():
            kind.over = True
        if not self._told:
            return None
        count, lasted = self._count, now - self._first_at
        self._told, self._count = False, 0
        return f"{count} error{'s' if count > 1 else ''} in {lasted:.1f} s"
