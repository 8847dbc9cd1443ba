"""
What a mutating proxy may do to requests, answers and watches, and to which.

A :class:`Mutate` is a rule, as :class:`~.faults.Fault` is one for the embedded server: for the
next N, for every, or for a share of what matches, do one :class:`Mutation`. Beside the
rules a :class:`MutationPlan` can choose at random, by weights. Each choice depends on
the seed, the lane and the number of the request alone, not on what other lanes do.
Everything that was done is noted as a :class:`Mutated`, of which ``as_rule()`` makes
the rule that does it again.
"""

from __future__ import annotations

import enum
import json
import math
import random
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.testing.rules import (
    OBJECT_PATHS,
    VERBS,
    ActiveRule,
    Rules,
    check_rule,
    check_seconds,
    is_about,
)

__all__ = ["Mutate", "Mutated", "Mutation", "MutationPlan", "Occasion"]


class Mutation(enum.StrEnum):
    """What can be done; those whose names speak of a watch or event act on watches."""

    DROP_REQUEST = "drop-request"
    """The server never sees the request; the client's connection is reset."""
    HOLD_REQUEST = "hold-request"
    """The server gets it ``seconds`` late, whether or not the client still waits."""
    SEND_TWICE = "send-twice"
    """The server gets it twice; the client gets the second answer."""
    RESEND_LATER = "resend-later"
    """Served as it should be, and sent once more ``seconds`` later."""
    DROP_ANSWER = "drop-answer"
    """Applied; the client's connection is reset."""
    HOLD_ANSWER = "hold-answer"
    """Applied at once; the answer comes ``seconds`` late."""
    DUPLICATE_ANSWER = "duplicate-answer"
    """The answer comes twice on the connection: the second one answers nothing."""
    REPLAY_ANSWER = "replay-answer"
    """Applied; answered with the last answer to the same request of the same lane."""
    SWAP_ANSWER = "swap-answer"
    """Applied; answered with the last answer to another kind of request, or lane."""
    STALE_READ = "stale-read"
    """A read is answered with an older state of the object, without asking."""
    TRUNCATE_ANSWER = "truncate-answer"
    """Applied; the answer breaks off in the middle of its body."""
    OVERSIZE_ANSWER = "oversize-answer"
    """Applied; the answer has 16 MiB of blanks after its body."""
    FOREIGN_ANSWER = "foreign-answer"
    """Applied; the answer shows an object of another name."""
    FAIL_AFTER_APPLY = "fail-after-apply"
    """Applied; answered with ``status``, a 4xx or 5xx."""
    DROP_EVENT = "drop-event"
    """An event of a watch is left out."""
    DOUBLE_EVENT = "double-event"
    """An event comes twice."""
    REORDER_EVENTS = "reorder-events"
    """An event comes after the next one."""
    HOLD_EVENT = "hold-event"
    """An event, and all after it, comes ``seconds`` late."""
    SILENCE_WATCH = "silence-watch"
    """Nothing comes any more, and the connection stays open."""
    CUT_WATCH = "cut-watch"
    """The stream ends in the middle of an event."""
    WRONG_EVENT_TYPE = "wrong-event-type"
    """An event says ``event_type`` instead of what it is."""
    ERROR_EVENT = "error-event"
    """Instead of the event comes an ERROR, and the stream ends."""
    OLD_BOOKMARK = "old-bookmark"
    """Before the event comes a bookmark of an older version."""


EVENT_MUTATIONS = frozenset(
    {
        Mutation.DROP_EVENT,
        Mutation.DOUBLE_EVENT,
        Mutation.REORDER_EVENTS,
        Mutation.HOLD_EVENT,
        Mutation.SILENCE_WATCH,
        Mutation.CUT_WATCH,
        Mutation.WRONG_EVENT_TYPE,
        Mutation.ERROR_EVENT,
        Mutation.OLD_BOOKMARK,
    }
)
"""Those that act on single events of a watch."""

WATCH_REQUEST_MUTATIONS = frozenset(
    {Mutation.DROP_REQUEST, Mutation.HOLD_REQUEST, Mutation.FAIL_AFTER_APPLY}
)
"""Those that act on the request which opens a watch."""

HELD = frozenset(
    {
        Mutation.HOLD_REQUEST,
        Mutation.RESEND_LATER,
        Mutation.HOLD_ANSWER,
        Mutation.HOLD_EVENT,
    }
)
"""Those that take ``seconds``."""

STATUSES = (400, 401, 403, 404, 408, 409, 410, 422, 425, 429, 499, 500, 502, 503, 504)
"""What ``FAIL_AFTER_APPLY`` chooses from at random."""

HOLD = (0.1, 3.0)
"""The shortest and the longest time anything is held unless told otherwise, in seconds."""

EVENT_TYPES = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "SPLENDID", "")
"""What ``WRONG_EVENT_TYPE`` chooses from at random."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """
    One request, or one event of a watch, that something may be done to.

    ``number`` counts the requests of a lane, from "1"; an event adds its own: "7.3".
    """

    lane: str
    number: str
    verb: str
    path: str

    @property
    def is_event(self) -> bool:
        """Whether it is an event of a watch."""
        return "." in self.number

    @property
    def is_for_objects(self) -> bool:
        """Whether it is about objects: health checks are left as they are."""
        return self.path.startswith(OBJECT_PATHS)


@dataclass(frozen=True, slots=True)
class Mutate:
    """
    One rule: what to do, to which requests or events, how often.

    Everything left out matches all requests for objects. ``verb`` takes one or several;
    ``path`` matches the beginning; ``lane`` is that of one client. ``times`` is how often the rule acts
    before it is used up, None for ever; ``skip`` lets so many pass first; ``share``
    acts on that part of them at random. ``seconds``, ``status`` and ``event_type`` are
    for the mutations that speak of them, and chosen at random unless given.
    ``numbers`` are those of single occasions, as the log has them.
    """

    mutation: Mutation
    verb: str | tuple[str, ...] | None = None
    path: str | None = None
    lane: str | None = None
    times: int | None = 1
    skip: int = 0
    share: float = 1.0
    seconds: float | None = None
    status: int | None = None
    event_type: str | None = None
    numbers: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "mutation", _known(self.mutation))
        check_rule(self, self.mutation, fitting_verbs(self.mutation))
        check_seconds(self.seconds)
        if self.status is not None and not 400 <= self.status <= 599:
            raise ConfigurationError(
                f"status={self.status} is no failure: give 400 to 599", option="status"
            )
        for option, fits in (
            ("seconds", self.mutation in HELD),
            ("status", self.mutation is Mutation.FAIL_AFTER_APPLY),
            ("event_type", self.mutation is Mutation.WRONG_EVENT_TYPE),
        ):
            if getattr(self, option) is not None and not fits:
                raise ConfigurationError(
                    f"{self.mutation} has no {option}: leave it out", option=option
                )

    def matches(self, occasion: Occasion) -> bool:
        """Return whether the rule is about this request or event."""
        if not fits(self.mutation, occasion):
            return False
        if not is_about(self, verb=occasion.verb, path=occasion.path):
            return False
        if self.lane is not None and occasion.lane != self.lane:
            return False
        return self.numbers is None or occasion.number in self.numbers


def _known(mutation: Mutation) -> Mutation:
    try:
        return Mutation(mutation)
    except ValueError:
        raise ConfigurationError(
            f"{mutation!r} is no mutation: choose from {', '.join(Mutation)}",
            option="mutation",
        ) from None


def fitting_verbs(mutation: Mutation) -> tuple[str, ...]:
    """Return the verbs of requests on which a mutation can act."""
    if mutation in EVENT_MUTATIONS:
        return ("watch",)
    if mutation is Mutation.STALE_READ:
        return ("get",)
    if mutation in WATCH_REQUEST_MUTATIONS:
        return VERBS
    return tuple(one for one in VERBS if one != "watch")


def fits(mutation: Mutation, occasion: Occasion) -> bool:
    """Return whether a mutation can act on this request or event."""
    if (mutation in EVENT_MUTATIONS) is not occasion.is_event:
        return False
    return occasion.verb in fitting_verbs(mutation)


@dataclass(frozen=True, slots=True)
class Mutated:
    """
    What was done: to what, when, and with which details.

    ``instant`` is of CLOCK_MONOTONIC, which all processes of a machine share.
    """

    instant: float
    lane: str
    number: str
    verb: str
    path: str
    mutation: Mutation
    seconds: float | None = None
    status: int | None = None
    event_type: str | None = None

    def as_rule(self) -> Mutate:
        """Return the rule that does the same again, once."""
        return Mutate(
            self.mutation,
            lane=self.lane,
            numbers=(self.number,),
            seconds=self.seconds,
            status=self.status,
            event_type=self.event_type,
        )

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Mutated:
        """
        Read a line that :meth:`to_json` wrote.

        Raises:
            ConfigurationError: it is no such line.
        """
        try:
            read: dict[str, Any] = json.loads(line)
            return cls(**{**read, "mutation": Mutation(read["mutation"])})
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigurationError(
                f"{line[:80]!r} is no line of a mutation log: {error}",
                option="replay",
            ) from error


@dataclass(frozen=True, slots=True)
class _AtRandom:
    share: float
    weights: Mapping[Mutation, float]
    hold: tuple[float, float]


class MutationPlan(Rules[Mutate]):
    """The rules of a proxy, and what happens at random where none of them acts."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._base = chance.getrandbits(64)
        self._at_random: _AtRandom | None = None

    def add(self, *rules: Mutate) -> list[ActiveRule[Mutate]]:
        """Put rules in force, and return a handle for each."""
        return self._put(*rules)

    def clear(self) -> None:
        """Take all rules back and leave nothing to chance; what is held stays held."""
        super().clear()
        self._at_random = None

    def at_random(
        self,
        share: float,
        *,
        weights: Mapping[Mutation, float] | None = None,
        hold: tuple[float, float] = HOLD,
    ) -> None:
        """
        Do something to a share of all requests and events from now on.

        Args:
            share: Of what no rule acts on; from 0 to 1.
            weights: How often each mutation is chosen beside the others; those left
                out never are. All alike unless given.
            hold: The shortest and the longest time anything is held, in seconds.

        Raises:
            ConfigurationError: no share, no weights, or no times.
        """
        chosen = dict.fromkeys(Mutation, 1.0) if weights is None else dict(weights)
        if not 0.0 <= share <= 1.0:
            raise ConfigurationError(
                f"share={share} is no share: give 0 to 1", option="share"
            )
        if any(not (math.isfinite(w) and w >= 0) for w in chosen.values()):
            raise ConfigurationError(
                "weights must be numbers that are not below 0", option="weights"
            )
        if not 0.0 <= hold[0] <= hold[1] < math.inf:
            raise ConfigurationError(
                f"hold={hold} is no range of seconds: give (shortest, longest)",
                option="hold",
            )
        weighted = {_known(kind): weight for kind, weight in chosen.items() if weight}
        self._at_random = _AtRandom(share, weighted, hold)

    def pick(
        self, occasion: Occasion, impossible: Collection[Mutation] = ()
    ) -> Mutate | None:
        """
        Choose what is done to a request or event, with all details, and count it.

        Args:
            occasion: The request or event.
            impossible: What cannot be done to it now, as there is nothing to replay.
        """
        chance = random.Random(f"{self._base}:{occasion.lane}:{occasion.number}")
        at_random = self._at_random
        rule = self._first(
            lambda rule: rule.mutation not in impossible and rule.matches(occasion),
            chance.random,
        )
        if rule is not None:
            return _detailed(rule, chance, at_random.hold if at_random else HOLD)
        if at_random is None or not occasion.is_for_objects:
            return None
        if chance.random() >= at_random.share:
            return None
        kinds = [
            kind
            for kind in at_random.weights
            if kind not in impossible and fits(kind, occasion)
        ]
        if not kinds:
            return None
        weights = [at_random.weights[kind] for kind in kinds]
        (kind,) = chance.choices(kinds, weights)
        return _detailed(Mutate(kind), chance, at_random.hold)


def _detailed(rule: Mutate, chance: random.Random, hold: tuple[float, float]) -> Mutate:
    """Choose what a rule leaves open."""
    if rule.mutation in HELD and rule.seconds is None:
        return replace(rule, seconds=round(chance.uniform(*hold), 3))
    if rule.mutation is Mutation.FAIL_AFTER_APPLY and rule.status is None:
        return replace(rule, status=chance.choice(STATUSES))
    if rule.mutation is Mutation.WRONG_EVENT_TYPE and rule.event_type is None:
        return replace(rule, event_type=chance.choice(EVENT_TYPES))
    return rule


def rules_of(lines: Iterable[str]) -> list[Mutate]:
    """
    Return the rules that do again what a log of mutations tells.

    Args:
        lines: Of JSON, as :meth:`Mutated.to_json` makes them; empty ones are skipped.

    Raises:
        ConfigurationError: one is no such line.
    """
    return [Mutated.from_json(line).as_rule() for line in lines if line.strip()]
