"""What rules of faults and of mutations have in common: for which verbs, and how often."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from kubernetes_leader_election.errors import ConfigurationError

__all__ = ["OBJECT_PATHS", "READS", "VERBS", "ActiveRule", "Rules"]

READS = ("get", "list")
VERBS = (*READS, "watch", "create", "update", "patch", "delete", "deletecollection")
OBJECT_PATHS = (
    "/apis/coordination.k8s.io/v1/",
    "/apis/discovery.k8s.io/v1/",
    "/api/v1/namespaces",
)
"""How the paths of requests for objects begin; others are about the server itself."""


class Rule(Protocol):
    """
    For which requests a rule is, and how often it acts.

    That is ``times``, after ``skip``, on a ``share`` of what matches.
    """

    @property
    def verb(self) -> str | tuple[str, ...] | None:
        """Return the verbs that it is for; None for all."""

    @property
    def path(self) -> str | None:
        """Return how the paths begin that it is for; None for all."""

    @property
    def times(self) -> int | None:
        """Return how often it acts before it is used up; None for ever."""

    @property
    def skip(self) -> int:
        """Return how many that match pass first."""

    @property
    def share(self) -> float:
        """Return the part that it acts on, at random."""


RuleT = TypeVar("RuleT", bound=Rule)


def is_about(rule: Rule, *, verb: str, path: str) -> bool:
    """Return whether a rule is for such a request; for objects, if it names none."""
    if rule.verb is None:
        if rule.path is None and not path.startswith(OBJECT_PATHS):
            return False
    elif verb not in _as_tuple(rule.verb):
        return False
    return rule.path is None or path.startswith(rule.path)


def _as_tuple(verb: str | tuple[str, ...]) -> tuple[str, ...]:
    return (verb,) if isinstance(verb, str) else verb


def check_rule(rule: Rule, what: object, fitting: tuple[str, ...]) -> None:
    """
    Refuse a rule that would never act, or on nothing that there is.

    Args:
        rule: for which verbs it is, and how often it acts.
        what: what it does, as messages name it.
        fitting: those on which it can act.

    Raises:
        ConfigurationError: such a number, or such a verb.

    """
    if not 0.0 < rule.share <= 1.0:
        raise ConfigurationError(
            f"share={rule.share} is no share: give more than 0 and at most 1",
            option="share",
        )
    if rule.times is not None and rule.times < 1:
        raise ConfigurationError(
            f"times={rule.times} would never act: give 1 or more, or every (None in Python)",
            option="times",
        )
    check_count("skip", rule.skip)
    if rule.verb is None:
        return
    verbs = _as_tuple(rule.verb)
    unknown = [one for one in verbs if one not in VERBS]
    if unknown or not verbs:
        raise ConfigurationError(
            f"verb={','.join(unknown)!r} is nothing a request does: "
            f"choose from {', '.join(VERBS)}",
            option="verb",
        )
    if not set(fitting) & set(verbs):
        raise ConfigurationError(
            f"{what} never acts on verb={','.join(verbs)!r}: "
            f"it is for {', '.join(fitting)}",
            option="verb",
        )


def check_count(option: str, value: int | None) -> None:
    """
    Refuse a number below 0.

    Raises:
        ConfigurationError: it is one.

    """
    if value is not None and value < 0:
        raise ConfigurationError(
            f"{option}={value} is less than nothing: give 0 or more", option=option
        )


def check_seconds(seconds: float | None) -> None:
    """
    Refuse what is no time to wait.

    Raises:
        ConfigurationError: it is below 0, or endless.

    """
    if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
        raise ConfigurationError(
            f"seconds={seconds} is no time to wait: give 0 or more", option="seconds"
        )


@dataclass(slots=True, eq=False)
class ActiveRule(Generic[RuleT]):
    """A rule in force; ``hits`` counts how often it acted."""

    rule: RuleT
    hits: int = 0
    seen: int = field(default=0, repr=False)

    @property
    def used_up(self) -> bool:
        """Return whether the rule has acted as often as it may."""
        return self.rule.times is not None and self.hits >= self.rule.times


class Rules(Generic[RuleT]):
    """
    The rules in force, in the order they were added; the first that acts wins.

    Every method may be called from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[ActiveRule[RuleT]] = []

    def _put(self, *rules: RuleT) -> list[ActiveRule[RuleT]]:
        active = [ActiveRule(rule) for rule in rules]
        with self._lock:
            self._active.extend(active)
        return active

    def remove(self, active: ActiveRule[RuleT]) -> None:
        """Take a rule back; it is no error if it is used up already."""
        with self._lock:
            if active in self._active:
                self._active.remove(active)

    def clear(self) -> None:
        """Take all rules back; what they hold stays held."""
        with self._lock:
            self._active.clear()

    def __iter__(self) -> Iterator[ActiveRule[RuleT]]:
        with self._lock:
            return iter(list(self._active))

    def __len__(self) -> int:
        with self._lock:
            return len(self._active)

    def _first(
        self, matches: Callable[[RuleT], bool], chance: Callable[[], float]
    ) -> RuleT | None:
        """Return the rule that acts, and count it."""
        with self._lock:
            for active in self._active:
                rule = active.rule
                if not matches(rule):
                    continue
                active.seen += 1
                if active.seen <= rule.skip or chance() >= rule.share:
                    continue
                active.hits += 1
                if active.used_up:
                    self._active.remove(active)
                return rule
        return None
