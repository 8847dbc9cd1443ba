"""
The arithmetic of an election's times, in whole milliseconds.

Five times make a rhythm: the renew interval R, the lease duration D, the renew
deadline L, the stop budget S and the timeout of one request T. Two rules bind them:

.. code-block:: text

    G2    L / (1 - rho) + S <= D / (1 + rho)    a leader stops before others start
    G8    R + 2 T <= L                          room for a second try before L

``rho`` bounds the *rate* error of clocks: a leader's clock may run slow by it while a
candidate's runs fast. Everything here is exact integer arithmetic, so that what was
accepted once is accepted everywhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.values import Value, replace

MAX_DURATION: Final = 2**31 - 1
"""Seconds: leaseDurationSeconds is an int32 on the wire."""
MIN_TIME: Final = 10
"""Milliseconds: below this a request cannot even reach a loopback server reliably."""
PARTS: Final = 1_000_000
"""``rho`` is counted in parts per million."""

MIN_STOP_BUDGET: Final = 500
"""Milliseconds. Measured: with 16 busy threads Python wakes up 541 ms late."""
MIN_REQUEST_TIMEOUT: Final = 500
"""Milliseconds: a slow but healthy API server still answers in this time."""
MAX_REQUEST_TIMEOUT: Final = 5_000
"""Milliseconds: client-go uses half of its renew deadline of 10 s."""

AFTER_RELEASE: Final = 0.025
"""Seconds: the longest contending delay after a release (rule 13)."""
AFTER_EXPIRY: Final = 0.4
"""Seconds: the longest contending delay after an expiry (rule 13)."""

OPTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "lease_duration": "lease_duration_sec",
        "renew_interval": "renew_interval_ms",
        "renew_deadline": "renew_deadline_sec",
        "request_timeout": "request_timeout_sec",
        "stop_budget": "stop_budget_sec",
    }
)
"""Field of a :class:`Wish` to public option, the one to change first coming first."""


class Wish(Value):
    """The times that somebody asked for; None is to be derived. Milliseconds."""

    renew_interval: int
    lease_duration: int | None = None
    """Whole seconds, as on the wire."""
    renew_deadline: int | None = None
    stop_budget: int | None = None
    request_timeout: int | None = None
    clock_rate_error: int
    """Parts per million."""


class Rhythm(Value):
    """Five times that may or may not work together. Milliseconds."""

    renew_interval: int
    lease_duration: int
    """Whole seconds, as on the wire."""
    renew_deadline: int
    stop_budget: int
    request_timeout: int
    clock_rate_error: int
    """Parts per million."""


def settle(wish: Wish) -> Rhythm:
    """
    Derive what the wish leaves open; refuse it when the times cannot work together.

    Raises:
        ConfigurationError: with the rule that breaks, its arithmetic, and one or two
            changes, each of which makes the whole accepted.

    """
    found = _settle(wish)
    if found is not None:
        return found
    tried = _fill(wish, wish.lease_duration or _least_duration(wish))
    ways = list(itertools.islice(suggestions(wish), 2))
    advice = ", or ".join(
        " with ".join(f"{name}={value}" for name, value in way.items()) for way in ways
    )
    raise ConfigurationError(
        f"These times cannot work together: {problem(tried)} Use {advice}.",
        option=next(iter(ways[0])),
    )


def problem(rhythm: Rhythm) -> str | None:
    """Say which rule ``rhythm`` breaks, with the arithmetic; None if it keeps all."""
    interval, timeout = rhythm.renew_interval, rhythm.request_timeout
    deadline, budget = rhythm.renew_deadline, rhythm.stop_budget
    rho = _decimal(rhythm.clock_rate_error, PARTS)
    duration = rhythm.lease_duration
    if deadline <= 0:
        return (
            f"lease_duration_sec={duration} leaves a leader no time at all: others may "
            f"start {duration} s / (1 + {rho}) = {_seconds(_candidate_waits(rhythm))} s "
            f"after a renewal, and stopping the work takes up to {_seconds(budget)} s "
            "of it (stop_budget_sec)."
        )
    if not keeps_g2(rhythm):
        return (
            "a leader must have stopped before others start (G2). It stops at most "
            f"renew_deadline_sec {_seconds(deadline)} s / (1 - {rho}) + stop_budget_sec "
            f"{_seconds(budget)} s = {_seconds(_leader_needs(rhythm))} s after a "
            f"renewal; others may start after lease_duration_sec {duration} s / "
            f"(1 + {rho}) = {_seconds(_candidate_waits(rhythm))} s."
        )
    if interval + 2 * timeout > deadline:
        return (
            "a renewal needs room for a second try. renew_interval_ms "
            f"{_seconds(interval)} s + 2 x request_timeout_sec {_seconds(timeout)} s = "
            f"{_seconds(interval + 2 * timeout)} s, but the leader stops at its renew "
            f"deadline of {_seconds(deadline)} s (renew_deadline_sec; it follows from "
            f"lease_duration_sec={duration} unless given)."
        )
    if duration > MAX_DURATION:
        return (
            f"the Lease would have to last {duration} s, and the API server takes at "
            f"most {MAX_DURATION} s (an int32)."
        )
    return None


def keeps_g2(rhythm: Rhythm) -> bool:
    """Tell whether L / (1 - rho) + S <= D / (1 + rho), exactly."""
    slow, fast = PARTS - rhythm.clock_rate_error, PARTS + rhythm.clock_rate_error
    # Both sides times (1 - rho)(1 + rho): nothing is rounded.
    return (
        rhythm.renew_deadline * PARTS * fast + rhythm.stop_budget * slow * fast
        <= rhythm.lease_duration * 1000 * PARTS * slow
    )


def suggestions(wish: Wish) -> Iterator[dict[str, int | float]]:
    """
    Give changes of a wish that does not work, each of which makes it work.

    Those that change the fewest options come first.
    """
    given = [field for field in OPTIONS if getattr(wish, field) is not None]
    for count in range(1, len(given) + 1):
        for fields in itertools.combinations(given, count):
            found = _settle_without(wish, fields)
            if found is not None:
                yield {
                    OPTIONS[field]: public_value(field, getattr(found, field))
                    for field in fields
                }


def public_value(field: str, value: int) -> int | float:
    """Turn a field of a rhythm into the number its public option takes."""
    if field in {"lease_duration", "renew_interval"}:
        return value
    return value // 1000 if value % 1000 == 0 else value / 1000


def _settle(wish: Wish) -> Rhythm | None:
    duration = wish.lease_duration or _least_duration(wish)
    found = _fill(wish, duration)
    return found if problem(found) is None else None


def _fill(wish: Wish, duration: int) -> Rhythm:
    """Derive deadline, budget and timeout from a duration, as the defaults say."""
    budget = wish.stop_budget
    if budget is None:
        budget = max(MIN_STOP_BUDGET, duration * 50)  # 5 % of D
    deadline = wish.renew_deadline
    if deadline is None:
        slow, fast = PARTS - wish.clock_rate_error, PARTS + wish.clock_rate_error
        # The largest whole L that G2 allows: (D / (1 + rho) - S) (1 - rho).
        bound = (duration * 1000 * PARTS - budget * fast) * slow // (PARTS * fast)
        deadline = min(duration * 750, bound)
    timeout = wish.request_timeout
    if timeout is None:
        spare = (deadline - wish.renew_interval) // 2
        timeout = max(MIN_REQUEST_TIMEOUT, min(MAX_REQUEST_TIMEOUT, spare))
    return Rhythm(
        renew_interval=wish.renew_interval,
        lease_duration=duration,
        renew_deadline=deadline,
        stop_budget=budget,
        request_timeout=timeout,
        clock_rate_error=wish.clock_rate_error,
    )


def _least_duration(wish: Wish) -> int:
    """Give the smallest whole second from 2 R that works, else just 2 R."""
    start = -(-2 * wish.renew_interval // 1000)

    def works(duration: int) -> bool:
        return problem(_fill(wish, duration)) is None

    return _smallest(works, start, MAX_DURATION) or start


def _settle_without(wish: Wish, fields: tuple[str, ...]) -> Rhythm | None:
    """Settle the wish with ``fields`` free; only a renew interval is never derived."""
    changes: dict[str, Any] = dict.fromkeys(fields)
    changes.pop("renew_interval", None)
    free = replace(wish, **changes)
    if "renew_interval" not in fields:
        return _settle(free)

    # Counted downwards, so that the search for the smallest finds the largest.
    def works(distance: int) -> bool:
        interval = wish.renew_interval - distance
        return _settle(replace(free, renew_interval=interval)) is not None

    distance = _smallest(works, 0, wish.renew_interval - MIN_TIME)
    if distance is None:
        return None
    interval = wish.renew_interval - distance
    for digits in (100, 10):
        # A round number reads better, where it works as well.
        rounded = interval // digits * digits
        found = (
            _settle(replace(free, renew_interval=rounded))
            if rounded >= MIN_TIME
            else None
        )
        if found is not None:
            return found
    return _settle(replace(free, renew_interval=interval))


def _smallest(works: Callable[[int], bool], low: int, high: int) -> int | None:
    """Find the smallest number from ``low`` to ``high`` that works, by bisection."""
    if low > high or not works(high):
        return None
    while low < high:
        middle = (low + high) // 2
        if works(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _leader_needs(rhythm: Rhythm) -> int:
    """Give L / (1 - rho) + S, rounded up to milliseconds."""
    slow = PARTS - rhythm.clock_rate_error
    return -(-rhythm.renew_deadline * PARTS // slow) + rhythm.stop_budget


def _candidate_waits(rhythm: Rhythm) -> int:
    """Give D / (1 + rho), rounded down to milliseconds."""
    fast = PARTS + rhythm.clock_rate_error
    return rhythm.lease_duration * 1000 * PARTS // fast


def _decimal(value: int, scale: int) -> str:
    whole, rest = divmod(value, scale)
    digits = f"{rest:0{len(str(scale)) - 1}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def _seconds(milliseconds: int) -> str:
    return _decimal(milliseconds, 1000)


# Presets ----------------------------------------------------------------------


class Preset(NamedTuple):
    """A named rhythm: what it is for, and the options it stands for."""

    purpose: str
    options: Mapping[str, int | float]


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "steady": Preset(
            "as quick to fail over as the defaults, but rides out an API outage of "
            "7.5 s; twice as many writes",
            MappingProxyType(
                {
                    "renew_interval_ms": 5_000,
                    "lease_duration_sec": 20,
                    "request_timeout_sec": 2.5,
                }
            ),
        ),
        "client-go": Preset(
            "client-go's usual 15/10/2: lease duration 15 s, renew deadline 10 s, one "
            "renewal every 2 s",
            MappingProxyType(
                {
                    "renew_interval_ms": 2_000,
                    "lease_duration_sec": 15,
                    "renew_deadline_sec": 10,
                }
            ),
        ),
        "fast": Preset(
            "takes over within 5.8 s of a crash; for a reliable API server nearby",
            MappingProxyType(
                {
                    "renew_interval_ms": 1_000,
                    "lease_duration_sec": 5,
                    "request_timeout_sec": 0.75,
                }
            ),
        ),
        "calm": Preset(
            "few writes and a long breath: rides out an API outage of 25 s, takes over "
            "within 67 s of a crash",
            MappingProxyType({"renew_interval_ms": 15_000, "lease_duration_sec": 60}),
        ),
    }
)
"""Other rhythms than the defaults, each with R <= D / 3."""


# What follows from a rhythm ---------------------------------------------------


class Timings(Value):
    """What a rhythm means for those who run it. Seconds, unless said otherwise."""

    renew_interval: float
    lease_duration: float
    renew_deadline: float
    stop_budget: float
    request_timeout: float
    leader_stops_within: float
    """G2: real time from a renewal's first byte until work is stopped, L/(1-rho)+S."""
    others_start_after: float
    """G2: the earliest real time after it at which another may lead, D/(1+rho)."""
    crash_fail_over: float
    """G6, worst: from the last renewal to the take-over, the network's time aside."""
    crash_fail_over_best: float
    """The least of it, from the crash: exact clocks, just before a renewal, D - R."""
    hand_over: float
    """G7, worst: from the end of the work to the new leader, the network aside."""
    outage_survived: float
    """G8: a leader survives every API outage that is shorter, L - R - T."""
    writes_per_minute: float
    """G9: what a leader costs."""
    quiet_candidates: bool
    """G9: whether a candidate sends nothing while it waits (R <= D / 2)."""


def timings_of(rhythm: Rhythm) -> Timings:
    """Derive everything a rhythm promises."""
    duration = float(rhythm.lease_duration)
    interval = rhythm.renew_interval / 1000
    rho = rhythm.clock_rate_error / PARTS
    delay = min(AFTER_EXPIRY, 0.05 * duration)
    outage = (
        rhythm.renew_deadline - rhythm.renew_interval - rhythm.request_timeout
    ) / 1000
    return Timings(
        renew_interval=interval,
        lease_duration=duration,
        renew_deadline=rhythm.renew_deadline / 1000,
        stop_budget=rhythm.stop_budget / 1000,
        request_timeout=rhythm.request_timeout / 1000,
        leader_stops_within=_leader_needs(rhythm) / 1000,
        others_start_after=_candidate_waits(rhythm) / 1000,
        crash_fail_over=duration / (1 - rho) + delay,
        crash_fail_over_best=duration - interval,
        hand_over=AFTER_RELEASE,
        outage_survived=outage,
        writes_per_minute=60 / interval,
        quiet_candidates=interval <= duration / 2,
    )
