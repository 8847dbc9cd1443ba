"""
One readable line for each thing that happens, and an error told once, not each try.

An API server that is down for an hour fails hundreds of tries. The first is told at
once; the same error is told again only after 10 s, 20 s, 40 s and so on up to 10
minutes, with a count of what was left out; and one line says that it is over.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never

from kubernetes_leader_election.events import (
    ElectorEvent,
    ErrorOccurred,
    LeaderChanged,
    LeadershipAcquired,
    LeadershipLost,
    LeaseRenewed,
    LossReason,
)
from kubernetes_leader_election.settings import shown

FIRST_SILENCE: Final = 10.0
"""Seconds: one renewal of the default rhythm."""
LONGEST_SILENCE: Final = 600.0
"""Seconds: who looks at a log once in a while still sees that it goes on."""
KINDS: Final = 32
"""Different errors that are remembered; the oldest is forgotten for a new one."""
LONGEST_LINE: Final = 2000
"""Characters: a server, or a Lease, may send any amount of text."""

REASONS: Final[Mapping[LossReason, str]] = {
    "another_holder": "another holds the Lease",
    "renew_deadline": "no renewal was known to be applied before the renew deadline",
    "deleted": "the Lease was deleted or replaced",
    "stopped": "stopped",
    "stepped_down": "stepped down",
    "work_ended": "its work ended",
    "failed": "the election itself failed",
}
"""What each reason of a loss means, in words."""
EXPECTED: Final = frozenset[LossReason]({"stopped", "stepped_down", "work_ended"})
"""Reasons that somebody asked for: no warning."""

Say = Callable[..., object]
"""Write a line: ``say(level, text, *args)``, as in :mod:`logging`."""


class LogLines:
    """
    Tell a log what happens to one elector. Any thread; blocks as the log does.

    ``say`` writes a line, by default with the log's method of the level's name.

    .. code-block:: python

        lines = LogLines(logging.getLogger("kubernetes_leader_election"))
        lines.tell(LeaderChanged(..., holder_identity="b"))
        # INFO Lease shop/billing: held by 'b'
    """

    def __init__(
        self,
        log: Any,
        *,
        say: Say | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say or (lambda level, *line: getattr(log, level)(*line))
        self._clock = clock
        self._lock = threading.Lock()
        self._repeats = Repeats()

    def tell(self, event: ElectorEvent) -> None:
        """Write the lines for an event, or none if it is the same error again."""
        where = f"Lease {event.namespace}/{event.lease}"
        match event:
            case LeadershipAcquired():
                self._over(where)
                how = (
                    "leadership is assumed, without a fencing token"
                    if event.assumed
                    else f"fencing token {event.token}"
                )
                self._write("info", f"{where}: {event.identity} leads now ({how})")
            case LeadershipLost(reason=reason, detail=detail):
                level = "info" if reason in EXPECTED else "warning"
                more = f" ({detail})" if detail else ""
                self._write(
                    level,
                    f"{where}: {event.identity} leads no longer: "
                    f"{REASONS.get(reason, reason)}{more}",
                )
            case LeaseRenewed(renew_time=moment):
                self._over(where)
                self._write("debug", f"{where}: renewed at {moment.isoformat()}")
            case LeaderChanged(holder_identity=holder):
                by = "nobody" if holder is None else shown(holder)
                self._write("info", f"{where}: held by {by}")
            case ErrorOccurred(error=error):
                with self._lock:
                    line = self._repeats.line(str(error), now=self._clock())
                if line is not None:
                    self._write("warning", line)
            case _:  # pragma: no cover
                assert_never(event)

    def _over(self, where: str) -> None:
        """Say that the errors are over, if any were kept back."""
        with self._lock:
            summary = self._repeats.over(now=self._clock())
        if summary:
            self._write("info", f"{where}: well again after {summary}")

    def _write(self, level: str, line: str) -> None:
        # As an argument: a percent sign in the line is not a format.
        self._say(level, "%s", one_line(line))


@dataclass(slots=True)
class _Kind:
    """One error that keeps occurring."""

    said_at: float
    silence: float
    unsaid: int = 0


class Repeats:
    """Decide which errors are told again. Pure: the time comes in."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[str, _Kind] = OrderedDict()
        self._first_at = 0.0
        self._count = 0

    def line(self, text: str, *, now: float) -> str | None:
        """Give the line to write for an error that occurred, or None for none."""
        if not self._count:
            self._first_at = now
        self._count += 1
        # Ports, request ids and durations differ from try to try.
        key = re.sub(r"\d+", "0", text)
        kind = self._kinds.pop(key, None)
        if kind is None:
            while len(self._kinds) >= KINDS:
                self._kinds.popitem(last=False)
            self._kinds[key] = _Kind(said_at=now, silence=FIRST_SILENCE)
            return text
        self._kinds[key] = kind
        waited = now - kind.said_at
        if waited < kind.silence:
            kind.unsaid += 1
            return None
        times = kind.unsaid + 1
        again = (
            f" (again, {times} times in {waited:.0f} s)" if times > 1 else " (again)"
        )
        kind.said_at, kind.unsaid = now, 0
        kind.silence = min(2 * kind.silence, LONGEST_SILENCE)
        return text + again

    def over(self, *, now: float) -> str | None:
        """Forget all; give how many errors there were and for how long, if any."""
        if not self._count:
            return None
        count, lasted = self._count, now - self._first_at
        self._kinds.clear()
        self._count = 0
        return f"{count} error{'s' if count > 1 else ''} in {lasted:.1f} s"


def one_line(text: str) -> str:
    """Escape what is not printable and cut what is too long (fault 51)."""
    cut = text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]}..."
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)
