"""
Faults for the embedded Lease API: what to do to which requests.

A :class:`Fault` is a rule: for the next N, for every, or for a share of the requests
that match, do one *action* instead of, before, or after the right thing. Rules are
values; the server holds them in a :class:`FaultPlan`, to which any thread may add while
requests are served.

.. code-block:: python

    with LeaseServer() as server:
        server.faults.add(Fault(ApplyThenDrop(), verb="update", times=1))
        server.faults.add(Fault(Delay(0.5), verb="update", user="a", times=None))
        server.faults.add(Fault(Throttle(retry_after=2), share=0.2, times=None))
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.testing.rules import (
    READS,
    VERBS,
    ActiveRule,
    Rules,
    check_count,
    check_rule,
    check_seconds,
    is_about,
)
from kubernetes_leader_election.text import did_you_mean, shown

__all__ = [
    "Action",
    "Answer",
    "ApplyLate",
    "ApplyThenDrop",
    "ApplyThenHang",
    "CutWatch",
    "Delay",
    "DropBefore",
    "Fault",
    "FaultPlan",
    "Hang",
    "LagWatch",
    "SilenceWatch",
    "StaleRead",
    "Throttle",
    "parse_fault",
]


@dataclass(frozen=True, slots=True)
class Delay:
    """Hold the request for so many seconds, then serve it."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """
    Answer with a status, without doing anything.

    The body is a ``Status`` with ``reason`` and ``message``, unless ``body`` is given:
    then it is sent as it is, as ``content_type``.
    """

    status: int
    reason: str = ""
    message: str = "a fault set by a test"
    retry_after: int | None = None
    body: str | None = None
    content_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Throttle:
    """Answer 429 as flow control does: plain text and a Retry-After in seconds."""

    retry_after: int = 1


@dataclass(frozen=True, slots=True)
class Hang:
    """Do nothing and answer nothing; after ``seconds``, if given, drop the client."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class DropBefore:
    """Drop the connection before the request has any effect."""


@dataclass(frozen=True, slots=True)
class ApplyThenDrop:
    """Do what was asked, then drop the connection instead of answering."""


@dataclass(frozen=True, slots=True)
class ApplyThenHang:
    """Do what was asked, then never answer (or drop after ``seconds``)."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ApplyLate:
    """
    Drop the connection at once (or never answer) and do what was asked later.

    The request is judged by the state it meets ``seconds`` later, as a request is that
    was stuck in a queue.
    """

    seconds: float
    hang: bool = False


@dataclass(frozen=True, slots=True)
class StaleRead:
    """Answer reads from ``versions`` changes of the object ago, as a lagging server."""

    versions: int = 1


@dataclass(frozen=True, slots=True)
class CutWatch:
    """Cut a watch in the middle of the line of event number ``after_events`` + 1."""

    after_events: int = 0


@dataclass(frozen=True, slots=True)
class SilenceWatch:
    """Keep a watch open and deliver nothing more after so many events."""

    after_events: int = 0


@dataclass(frozen=True, slots=True)
class LagWatch:
    """Deliver each event of a watch so many seconds late, in order."""

    seconds: float


Action = (
    Delay
    | Answer
    | Throttle
    | Hang
    | DropBefore
    | ApplyThenDrop
    | ApplyThenHang
    | ApplyLate
    | StaleRead
    | CutWatch
    | SilenceWatch
    | LagWatch
)

_WATCH_ACTIONS = (CutWatch, SilenceWatch, LagWatch)
_READ_ACTIONS = (StaleRead,)


class RequestFacts(Protocol):
    """What a rule may look at."""

    @property
    def verb(self) -> str:
        """Return the verb: get, list, watch, create, update, patch, delete, ..."""

    @property
    def name(self) -> str:
        """Return the name of the object, or ""."""

    @property
    def namespace(self) -> str:
        """Return the namespace, or ""."""

    @property
    def user(self) -> str:
        """Return the user the request was made as."""

    @property
    def user_agent(self) -> str:
        """Return the User-Agent."""

    @property
    def path(self) -> str:
        """Return the path."""


@dataclass(frozen=True, slots=True)
class Fault:
    """
    One rule: which requests, how many of them, and what happens.

    Everything left out matches all. ``verb`` takes one verb or several. ``times`` is
    how often the rule acts before it is used up, None for ever; ``skip`` lets so many
    matching requests pass first; ``share`` acts on that part of them at random.
    ``user_agent`` matches the beginning. Without ``path`` and ``verb`` a rule acts on
    requests for objects only, so that health checks stay as they are.
    """

    action: Action
    verb: str | tuple[str, ...] | None = None
    name: str | None = None
    namespace: str | None = None
    user: str | None = None
    user_agent: str | None = None
    path: str | None = None
    times: int | None = 1
    skip: int = 0
    share: float = 1.0

    def __post_init__(self) -> None:
        fitting: tuple[str, ...] = VERBS
        if isinstance(self.action, _WATCH_ACTIONS):
            fitting = ("watch",)
        elif isinstance(self.action, _READ_ACTIONS):
            fitting = READS
        check_rule(self, type(self.action).__name__, fitting)
        _check_action(self.action)

    def matches(self, request: RequestFacts) -> bool:
        """Return whether the rule is about this request."""
        if isinstance(self.action, _WATCH_ACTIONS) and request.verb != "watch":
            return False
        if isinstance(self.action, _READ_ACTIONS) and request.verb not in READS:
            return False
        if not is_about(self, verb=request.verb, path=request.path):
            return False
        if self.user_agent is not None and not request.user_agent.startswith(
            self.user_agent
        ):
            return False
        wanted = (
            (self.name, request.name),
            (self.namespace, request.namespace),
            (self.user, request.user),
        )
        return all(want is None or want == given for want, given in wanted)


def _check_action(action: Action) -> None:
    """Refuse an action that cannot be carried out."""
    for option in ("after_events", "versions", "retry_after"):
        check_count(option, getattr(action, option, None))
    check_seconds(getattr(action, "seconds", None))
    if isinstance(action, Answer) and not 200 <= action.status <= 599:
        raise ConfigurationError(
            f"status={action.status} is no answer to a request: give 200 to 599",
            option="status",
        )


class FaultPlan(Rules[Fault]):
    """The rules of a server; ``seed`` makes shares repeatable."""

    def __init__(self, *, seed: int | None = None) -> None:
        super().__init__()
        self._random = random.Random(seed)

    def add(self, fault: Fault) -> ActiveRule[Fault]:
        """Put a rule in force and give a handle to watch or remove it."""
        return self._put(fault)[0]

    def pick(self, request: RequestFacts) -> Action | None:
        """Choose what happens to a request, and count it."""
        if not self._active:
            return None
        fault = self._first(lambda rule: rule.matches(request), self._random.random)
        return fault.action if fault is not None else None


_BY_NAME: dict[str, tuple[Callable[..., Action], dict[str, type]]] = {
    "delay": (Delay, {"seconds": float}),
    "answer": (
        Answer,
        {"status": int, "reason": str, "message": str, "retry_after": int, "body": str},
    ),
    "throttle": (Throttle, {"retry_after": int}),
    "hang": (Hang, {"seconds": float}),
    "drop-before": (DropBefore, {}),
    "apply-then-drop": (ApplyThenDrop, {}),
    "apply-then-hang": (ApplyThenHang, {"seconds": float}),
    "apply-late": (ApplyLate, {"seconds": float}),
    "stale-read": (StaleRead, {"versions": int}),
    "cut-watch": (CutWatch, {"after_events": int}),
    "silence-watch": (SilenceWatch, {"after_events": int}),
    "lag-watch": (LagWatch, {"seconds": float}),
}
_RULE_OPTIONS: dict[str, type] = {
    "verb": str,
    "name": str,
    "namespace": str,
    "user": str,
    "user_agent": str,
    "path": str,
    "skip": int,
    "share": float,
}


def parse_fault(text: str) -> Fault:
    """
    Read a rule from words, as a command line has them.

    The first word names the action, the others are ``option=value``; ``times`` is a
    number or ``every``: ``apply-then-drop verb=update,patch name=payments times=3``.
    Quotes hold words together, as in a shell: ``answer status=403 message='no right'``.

    Raises:
        ConfigurationError: A word is unknown or a value does not fit; the message
            lists what is known.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigurationError(
            f"the fault {shown(text)} cannot be read: {error}.", option="fault"
        ) from error
    if not words or words[0] not in _BY_NAME:
        word = words[0] if words else ""
        raise ConfigurationError(
            f"unknown fault {shown(word)}.{did_you_mean(word, _BY_NAME)}",
            option="fault",
        )
    make, own = _BY_NAME[words[0]]
    action: dict[str, Any] = {}
    rule: dict[str, Any] = {}
    for word in words[1:]:
        key, equals, value = word.partition("=")
        key = key.replace("-", "_")
        if key == "times" and equals:
            rule["times"] = None if value == "every" else _read(int, key, value)
        elif key in own and equals:
            action[key] = _read(own[key], key, value)
        elif key in _RULE_OPTIONS and equals:
            rule[key] = _read(_RULE_OPTIONS[key], key, value)
        else:
            known = ", ".join([*own, "times", *_RULE_OPTIONS])
            raise ConfigurationError(
                f"the fault {words[0]!r} has no option {word!r}: it takes {known}",
                option="fault",
            )
    if "," in rule.get("verb", ""):
        rule["verb"] = tuple(rule["verb"].split(","))
    try:
        return Fault(make(**action), **rule)
    except TypeError as error:
        needed = ", ".join(f"{key}=" for key in own)
        raise ConfigurationError(
            f"the fault {words[0]!r} needs {needed}", option="fault"
        ) from error


def _read(kind: type, key: str, value: str) -> Any:
    try:
        return kind(value)
    except ValueError as error:
        raise ConfigurationError(
            f"{key}={value!r} is not a number", option="fault"
        ) from error
