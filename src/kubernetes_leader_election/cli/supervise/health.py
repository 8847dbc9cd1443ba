"""
Health checks of ``run``: whether this replica is fit to lead.

The checks run on a thread of their own and may hang; what follows from their results is
decided in one pure object, with the time as an argument.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shlex
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPlan:
    """What to check, how often, and what to make of it. Seconds."""

    command: str | None
    url: str | None
    interval: float
    timeout: float
    threshold: int
    """Failures in a row that make a leader unhealthy."""
    start_period: float
    """How long a command that has just started may fail without any consequence."""
    always: bool
    """Check candidates, too, and let none contend that is not healthy."""
    unhealthy_timeout: float
    """How long nobody may lead before an unhealthy candidate contends all the same."""


def problem_of(command: str | None, url: str | None) -> str:
    """Say what is wrong with a check before it is ever made; nothing if it can be."""
    if command is not None:
        try:
            words = shlex.split(command)
        except ValueError as error:
            return f"--health-command={command!r} cannot be split: {error}."
        if not words:
            return "--health-command is empty. Use for example --health-command='true'."
    if url is not None:
        try:
            parts = urlsplit(url)
            known = parts.scheme in ("http", "https") and bool(parts.hostname)
            known = known and parts.port != 0  # a port that is none raises here
        except ValueError:
            known = False
        if not known or not url.isascii() or not url.isprintable() or " " in url:
            return (
                f"--health-url={url} is no URL. Use for example "
                "--health-url=http://localhost:8080/healthz."
            )
    return ""


class Fitness:
    """
    Decide who is fit. Pure: the time comes in, CLOCK_MONOTONIC seconds.

    A candidate that is checked is fit only after its first success.
    """

    def __init__(self, plan: HealthPlan) -> None:
        self._plan = plan
        """What to make of the results."""
        self._failures = 0
        """Failed checks in a row, less those of a command that has just started."""
        self._healthy = not plan.always
        """What the checks have shown."""
        self._proved = False
        """Whether the command in progress was healthy once."""
        self._started_at: float | None = None
        """When that was started; None: there is none."""
        self._leaderless_since: float | None = None
        """Since when this one is not healthy and nobody leads, as far as is known."""
        self._desperate = False
        """Whether nobody led for so long that an unhealthy replica contends."""

    def started(self, now: float) -> None:
        """Note that the command has started: a leader gets time to become healthy."""
        self._started_at = now
        self._failures = 0
        self._proved = False

    def ended(self) -> None:
        """Note that the command is over."""
        self._started_at = None
        self._failures = 0
        if not self._plan.always:
            self._healthy = True

    def take(self, *, ok: bool, now: float) -> None:
        """Take the result of one check."""
        if ok:
            self._failures, self._healthy, self._proved = 0, True, True
            self._desperate = False
            return
        young = (
            self._started_at is not None
            and not self._proved
            and now - self._started_at < self._plan.start_period
        )
        if young:
            return
        self._failures += 1
        if self._failures >= self._plan.threshold:
            self._healthy = False

    def look(self, *, someone_leads: bool, now: float) -> None:
        """Note whether anybody leads: when all are unhealthy, one has to."""
        if someone_leads or self._healthy:
            self._leaderless_since = None
            return
        if self._leaderless_since is None:
            self._leaderless_since = now
        if now - self._leaderless_since >= self._plan.unhealthy_timeout:
            self._desperate = True

    @property
    def checks_candidates(self) -> bool:
        """Whether candidates are checked, too."""
        return self._plan.always

    @property
    def desperate(self) -> bool:
        """Whether it takes part although it is not healthy, since nobody else does."""
        return self._desperate and not self._healthy

    @property
    def fit(self) -> bool:
        """Whether to contend, or to go on leading."""
        return self._healthy or self._desperate


class HealthChecker:
    """
    Check again and again on a thread, and wake the loop with each result.

    Args:
        plan: what to check.
        wake: called on the thread after each result.
        variables: gives the environment of the health command.

    """

    def __init__(
        self,
        plan: HealthPlan,
        *,
        wake: Callable[[], None],
        variables: Callable[[], dict[str, str]],
    ) -> None:
        self._plan = plan
        self._wake = wake
        self._variables = variables
        self._results: queue.SimpleQueue[tuple[bool, str]] = queue.SimpleQueue()
        """On their way to the loop."""
        self._wanted = threading.Event()
        """Set while checks are to be made. By the loop."""
        self._over = threading.Event()
        """Set when no more are to be made, ever. By the loop."""
        self._thread = threading.Thread(
            target=self._serve, name="leader-election-health", daemon=True
        )
        """Makes the checks."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Check no more."""
        self._over.set()
        self._wanted.set()

    def want(self, *, wanted: bool) -> None:
        """Check from now on, or pause."""
        if wanted:
            self._wanted.set()
        else:
            self._wanted.clear()

    def take(self) -> list[tuple[bool, str]]:
        """Return the results since the last call, each with what was wrong."""
        results: list[tuple[bool, str]] = []
        with contextlib.suppress(queue.Empty):
            while True:
                results.append(self._results.get_nowait())
        return results

    def _serve(self) -> None:
        while True:
            self._wanted.wait()
            if self._over.is_set():
                return
            wrong = self._check()
            if self._wanted.is_set():
                self._results.put((not wrong, wrong))
                self._wake()
            self._over.wait(self._plan.interval)

    def _check(self) -> str:
        """Check once; give what was wrong, or nothing."""
        try:
            if self._plan.url is not None:
                return check_url(self._plan.url, self._plan.timeout)
            command = shlex.split(self._plan.command or "")
            return check_command(command, self._plan.timeout, self._variables())
        except Exception as error:  # noqa: BLE001 - a check that fails in any way has failed
            return str(error) or type(error).__name__


@dataclass(slots=True)
class Health:
    """The checks, and what they have shown."""

    checker: HealthChecker
    fitness: Fitness
    wrong: str = ""
    """What was wrong at the last check: said once, until it is well or fails otherwise."""


def check_command(command: list[str], timeout: float, variables: dict[str, str]) -> str:
    """Run a command; give what was wrong with it, or nothing."""
    import subprocess  # noqa: PLC0415 - most programs have no health command

    process = subprocess.Popen(  # noqa: S603 - running it is what was asked for
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **variables},
        start_new_session=True,
    )
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"took longer than {timeout:g} s"
    return "" if code == 0 else f"exit code {code}"


def check_url(url: str, timeout: float) -> str:
    """Ask a URL; give what was wrong with the answer, or nothing for 200 to 399."""
    from http import client  # noqa: PLC0415 - slow to import

    parts = urlsplit(url)
    secure = parts.scheme == "https"
    make = client.HTTPSConnection if secure else client.HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=timeout)
    path = parts.path or "/"
    try:
        connection.request("GET", f"{path}?{parts.query}" if parts.query else path)
        status = connection.getresponse().status
    finally:
        connection.close()
    return "" if 200 <= status < 400 else f"HTTP status {status}"
