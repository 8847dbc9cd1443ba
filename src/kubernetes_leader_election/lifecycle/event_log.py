"""
The log lines of one elector: one a change, reasons in words, a repeated error once.

What is said in one place alone stands there, and is written by :meth:`EventLog.say`.
Nothing here waits: lines are written on a thread of their own, as a log can stand still.
Whatever others may have written is escaped and cut before it is logged (fault 51).
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from kubernetes_leader_election.errors import LeaderElectionError
from kubernetes_leader_election.events import (
    PLANNED,
    REASONS,
    ElectorEvent,
    Handler,
    LossReason,
)
from kubernetes_leader_election.lifecycle.handlers import name_of
from kubernetes_leader_election.lifecycle.log_throttle import LogThrottle
from kubernetes_leader_election.process.log_thread import shared_log_thread
from kubernetes_leader_election.text import LONGEST_LINE, printable, shown


def _elapsed() -> float:
    """Return seconds that go on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class EventLog:
    """
    Write what happens to one elector. Any thread; never blocks.

    Args:
        logger: the application's logger.
        where: returns the Lease in words, as far as it is known.
        clock: returns seconds, of which differences are taken.

    """

    def __init__(
        self,
        logger: Any,
        *,
        where: Callable[[], str],
        clock: Callable[[], float] = _elapsed,
    ) -> None:
        self.logger = logger
        self._where = where
        self._clock = clock
        self._throttle = LogThrottle()
        # Reentrant: the collector of garbage may close a scope here, which is reported.
        self._lock = threading.RLock()
        self._renewed_at: float | None = None
        """When it was last known that the Lease is held; None: not in this term."""

    # The election -------------------------------------------------------------

    def acquired(self, identity: str, token: str) -> None:
        """Log that a term began; ``token`` is the fencing token, or why there is none."""
        self.renewed()
        self.say(
            "info",
            "%s: %s is the leader, fencing token %s",
            self._where(),
            identity,
            token,
        )

    def assumed(self) -> None:
        """Log that there is no election; a warning where one may have been meant."""
        level, more = "info", ""
        if os.environ.get("KUBECONFIG"):
            level = "warning"
            more = (
                ". KUBECONFIG is set, and is not used outside a cluster unless asked "
                "for: every replica works. To take part in the election there, pass "
                "credentials=kubernetes_leader_election.credentials.kubeconfig()"
            )
        self.say(
            level,
            "%s: this program does not run in a cluster and was given no credentials: "
            "leadership is assumed, no API is called%s",
            self._where(),
            more,
        )

    def unsaid_namespace(self, namespace: str) -> None:
        """Log where the pod is, if that is not where the Lease is and nobody said so."""
        pod = os.environ.get("POD_NAMESPACE")
        if pod and pod != namespace:
            self.say(
                "warning",
                "%s: POD_NAMESPACE is %s, and the Lease is in the namespace %s, as none "
                "was given. Give namespace=, or set KLE_NAMESPACE; for all replicas at "
                "once, as replicas in two namespaces have two leaders",
                self._where(),
                shown(pod),
                namespace,
            )

    def renewed(self) -> None:
        """Note that the Lease is held; log that errors are over, if there were any."""
        with self._lock:
            self._renewed_at = self._clock()
            summary = self._throttle.over(now=time.monotonic())
        if summary is not None:
            self.say("info", "%s: recovered after %s", self._where(), summary)

    def lost(self, identity: str, reason: LossReason, detail: str) -> None:
        """Log that a term ended, and why; a loss that nobody asked for is a warning."""
        with self._lock:
            renewed_at, self._renewed_at = self._renewed_at, None
        if reason == "renew_deadline" and renewed_at is not None:
            waited = self._clock() - renewed_at
            detail = detail or f"no renewal succeeded for {waited:.1f} s"
        self.say(
            "info" if reason in PLANNED else "warning",
            "%s: %s %s: %s%s",
            self._where(),
            identity,
            "gave up leadership" if reason in PLANNED else "lost leadership",
            REASONS.get(reason, reason),
            f" ({printable(detail, longest=LONGEST_LINE)})" if detail else "",
        )

    def leader_changed(self, holder: str | None) -> None:
        """Log who holds the Lease now: written by anybody, so escaped and cut."""
        held = "held by nobody" if holder is None else f"held by {shown(holder)}"
        self.say("info", "%s: %s", self._where(), held)

    def failed(self, error: LeaderElectionError) -> None:
        """Log an error that is tried again: at once, then at growing intervals."""
        with self._lock:
            line = self._throttle.line(str(error), now=time.monotonic())
        if line is not None:
            self.say("warning", "%s", printable(line, longest=LONGEST_LINE))

    # Code of the application --------------------------------------------------

    def trouble(self, text: str, trace: str = "") -> None:
        """Log what went wrong in code of the application; the election goes on."""
        self.say("error", "%s: %s%s", self._where(), text, trace and f"\n{trace}")

    def handler_raised(
        self, handler: Handler, event: ElectorEvent, error: BaseException
    ) -> None:
        """Log what a handler raised; the election and the other handlers go on."""
        name = name_of(handler)
        trace = "".join(traceback.format_exception(error))
        self.trouble(f"the handler {name} of {event.name} raised", trace)

    def too_late(self, event: ElectorEvent) -> None:
        """Log that handlers of an acquisition are not called: its term is over (G2)."""
        self.say(
            "warning",
            "%s: the Lease was lost before every handler of %s was called; the "
            "remaining handlers are not called, only those of the loss. An earlier "
            "handler took too long",
            self._where(),
            event.name,
        )

    # Writing ------------------------------------------------------------------

    def error(self, msg: str, /, *args: object) -> None:
        """Log what nobody foresaw; for the engine, which must not wait for a log."""
        self.say("error", msg, *args)

    def say(self, level: str, text: str, *args: object) -> None:
        """Log on a thread that may wait: a log handler can block."""
        shared_log_thread().call(
            lambda: getattr(self.logger, level)(text, *args), may_drop=True
        )
