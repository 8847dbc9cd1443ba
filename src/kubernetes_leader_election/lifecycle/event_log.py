"""
The log lines of one elector: one a change, reasons in words, a repeated error once.

What is said in one place alone stands there, and is written by :meth:`EventLog.say`.
Each record of the standard library carries the facts as well, for logs that programs
read: lease, namespace, identity, token and reason, and the exception, if there is one.
Nothing here waits: lines are written on a thread of their own, as a log can stand still.
Whatever others may have written is escaped and cut before it is logged (fault 51).
"""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final

from kubernetes_leader_election.errors import LeaderElectionError
from kubernetes_leader_election.events import (
    PLANNED,
    ElectorEvent,
    Handler,
    LeadershipAcquired,
    LossReason,
)
from kubernetes_leader_election.lifecycle.handlers import name_of
from kubernetes_leader_election.lifecycle.log_throttle import LogThrottle
from kubernetes_leader_election.lifecycle.words import nobody_led, why_lost
from kubernetes_leader_election.process import native
from kubernetes_leader_election.process.log_thread import shared_log_thread
from kubernetes_leader_election.text import LONGEST_LINE, printable, shown

_KNOWN_TO_BIND: Final = ("loguru", "structlog")
"""Packages whose loggers take facts by `bind()`."""


_ELAPSED: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""A clock that goes on while the machine is suspended, as that of macOS does, too."""


def _elapsed() -> float:
    """Return seconds that go on while the machine is suspended."""
    return time.clock_gettime(_ELAPSED)


class EventLog:
    """
    Write what happens to one elector. Any thread; never blocks.

    Args:
        logger: the application's logger.
        where: returns the Lease in words, as far as it is known.
        about: returns lease, namespace and identity; must neither block nor raise.
        clock: returns seconds, of which differences are taken.

    """

    def __init__(
        self,
        logger: Any,
        *,
        where: Callable[[], str],
        about: Callable[[], Mapping[str, object]] = dict,
        clock: Callable[[], float] = _elapsed,
    ) -> None:
        self.logger = logger
        self._where = where
        self._about = about
        self._clock = clock
        self._throttle = LogThrottle()
        """Decides which errors are told again. Under the lock."""
        # Reentrant: the collector of garbage may close a scope here, which is reported.
        self._lock = native.RLock()
        self._renewed_at: float | None = None
        """When it was last known that the Lease is held; None: not in this term."""
        self._long_holder: str | None = None
        """Whose duration was warned of last; None: nobody's."""
        self._token: int | None = None
        """The fencing token of the term in progress, if it has one."""

    # The election -------------------------------------------------------------

    def acquired(self, event: LeadershipAcquired) -> None:
        """Log that a term began, and why it has no fencing token where it has none."""
        self.renewed()
        token, crash_proof = event.token_if_any, event.crash_proof
        self._token = token
        self.say(
            "info",
            "%s: %s is the leader, fencing token %s%s%s%s",
            self._where(),
            event.identity,
            _why_no_token(event) if token is None else token,
            nobody_led(event),
            f"; took over: {printable(crash_proof, longest=400)}"
            if crash_proof
            else "",
            f"; the end of who led before was not proven: {printable(event.no_proof, longest=400)}"
            if event.no_proof
            else "",
        )

    def assumed(self) -> None:
        """Warn that there is no election, and that every replica works."""
        more = ""
        if os.environ.get("KUBECONFIG"):
            more = (
                ". KUBECONFIG is set, and is not used outside a cluster unless asked "
                "for: every replica works. To take part in the election there, pass "
                "credentials=kubernetes_leader_election.credentials.kubeconfig()"
            )
        self.say(
            "warning",
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
            "%s: %s %s",
            self._where(),
            identity,
            why_lost(reason, detail),
            reason=reason,
        )
        self._token = None

    def leader_changed(self, holder: str | None) -> None:
        """Log who holds the Lease now: written by anybody, so escaped and cut."""
        held = "held by nobody" if holder is None else f"held by {shown(holder)}"
        self.say("info", "%s: %s", self._where(), held)

    def held_for_long(self, holder: str, duration: int) -> None:
        """Warn, once a holder, that nobody takes over for ``duration`` s if it is dead."""
        if holder == self._long_holder:
            return
        self._long_holder = holder
        days = f" ({duration // 86_400} days)" if duration >= 172_800 else ""
        self.say(
            "warning",
            "%s: its holder %s wrote a duration of %s s%s: if it is dead, nobody leads "
            "for so long. To free the Lease then: kubernetes-leader-election release "
            "--force",
            self._where(),
            shown(holder),
            duration,
            days,
        )

    def failed(self, error: LeaderElectionError) -> None:
        """Log an error that is tried again: at once, then at growing intervals."""
        with self._lock:
            line = self._throttle.line(str(error), now=time.monotonic())
        if line is not None:
            self.say("warning", "%s", printable(line, longest=LONGEST_LINE))

    # Code of the application --------------------------------------------------

    def trouble(
        self, text: str, trace: str = "", *, error: BaseException | None = None
    ) -> None:
        """Log what went wrong in code of the application; the election goes on."""
        text += trace and f"\n{trace}"
        self.say("error", "%s: %s", self._where(), text, error=error)

    def handler_raised(
        self, handler: Handler, event: ElectorEvent, error: BaseException
    ) -> None:
        """Log what a handler raised; the election and the other handlers go on."""
        text = f"the handler {name_of(handler)} of {event.name} raised"
        self.trouble(text, error=error)

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

    def error(
        self, msg: str, /, *args: object, exc_info: BaseException | None = None
    ) -> None:
        """Log what nobody foresaw; for the engine, which must not wait for a log."""
        self.say("error", msg, *args, error=exc_info)

    def say(
        self,
        level: str,
        text: str,
        *args: object,
        error: BaseException | None = None,
        reason: LossReason | None = None,
    ) -> None:
        """Log on a thread that may wait: a log handler can block."""
        facts = {**self._about(), "token": self._token, "reason": reason}
        shared_log_thread().call(
            lambda: _write(self.logger, level, text, args, facts=facts, error=error),
            may_drop=True,
        )


def _write(
    logger: Any,
    level: str,
    text: str,
    args: tuple[object, ...],
    *,
    facts: Mapping[str, object],
    error: BaseException | None,
) -> None:
    """Write a line as this kind of logger takes it."""
    if isinstance(logger, logging.Logger | logging.LoggerAdapter):
        write = getattr(logger, level)
        try:
            write(text, *args, exc_info=error, extra=facts)
        except KeyError:  # a record factory of the application has such a name itself
            write(text, *args, exc_info=error)
        return
    # As a whole: loguru and others would fill in {} where the standard library has %s.
    line = text % args if args else text
    if error is not None:
        line += "\n" + "".join(traceback.format_exception(error))
    if type(logger).__module__.partition(".")[0] in _KNOWN_TO_BIND:
        logger = logger.bind(**facts)
    getattr(logger, level)(line)


def _why_no_token(event: LeadershipAcquired) -> str:
    if event.assumed:
        return "none (assumed)"
    return "none (the resourceVersions of this server are not numbers)"
