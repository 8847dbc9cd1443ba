"""
One readable line for each thing that happens, and an error told once, not each try.

An API server that is down for an hour fails hundreds of tries. The first is told at
once; the same error is told again only after 10 s, 20 s, 40 s and so on up to 10
minutes, with a count of what was left out; and one line says that it is over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
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
from kubernetes_leader_election.lifecycle.log_throttle import LogThrottle
from kubernetes_leader_election.text import one_line, shown

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
PLANNED: Final = frozenset[LossReason]({"stopped", "stepped_down", "work_ended"})
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
        self._throttle = LogThrottle()

    def tell(self, event: ElectorEvent) -> None:
        """Write the lines for an event, or none if it is the same error again."""
        where = f"Lease {event.namespace}/{event.lease}"
        match event:
            case LeadershipAcquired():
                self._over(where)
                if event.assumed:
                    how = "leadership is assumed, without a fencing token"
                elif event.token_if_any is None:
                    how = "no fencing token: the resourceVersions are not numbers"
                else:
                    how = f"fencing token {event.token_if_any}"
                self._write("info", f"{where}: {event.identity} leads now ({how})")
            case LeadershipLost(reason=reason, detail=detail):
                level = "info" if reason in PLANNED else "warning"
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
                    line = self._throttle.line(str(error), now=self._clock())
                if line is not None:
                    self._write("warning", line)
            case _:  # pragma: no cover
                assert_never(event)

    def _over(self, where: str) -> None:
        """Say that the errors are over, if any were kept back."""
        with self._lock:
            summary = self._throttle.over(now=self._clock())
        if summary:
            self._write("info", f"{where}: well again after {summary}")

    def _write(self, level: str, line: str) -> None:
        # As an argument: a percent sign in the line is not a format.
        self._say(level, "%s", one_line(line))
