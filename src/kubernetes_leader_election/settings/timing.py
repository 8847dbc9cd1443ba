"""
The arithmetic of an election's times, in whole milliseconds.

Five times bind each other: the renew interval R, the lease duration D, the renew
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
from typing import Any, Final

from kubernetes_leader_election.core.record import MAX_INT32
from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.values import Value, replace

MAX_DURATION: Final = MAX_INT32
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

OPTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "lease_duration": "lease_duration_sec",
        "renew_interval": "renew_interval_ms",
        "renew_deadline": "renew_deadline_sec",
        "request_timeout": "request_timeout_sec",
        "stop_budget": "stop_budget_sec",
    }
)
"""Field of a :class:`RequestedTiming` to public option, the one to change first coming first."""


class RequestedTiming(Value):
    """The times that somebody asked for; None is to be derived. Milliseconds."""

    renew_interval: int
    lease_duration: int | None = None
    """Whole seconds, as on the wire."""
    renew_deadline: int | None = None
    stop_budget: int | None = None
    request_timeout: int | None = None
    clock_rate_error: int
    """Parts per million."""


class Timing(Value):
    """Five times that may or may not work together. Milliseconds."""

    renew_interval: int
    lease_duration: int
    """Whole seconds, as on the wire."""
    renew_deadline: int
    stop_budget: int
    request_timeout: int
    clock_rate_error: int
    """Parts per million."""


def solve(requested: RequestedTiming) -> Timing:
    """
    Derive what was left open; refuse it when the times cannot work together.

    Raises:
        ConfigurationError: with the rule that breaks, its arithmetic, and one or two
            changes, each of which makes the whole accepted.

    """
    found = _solve(requested)
    if found is not None:
        return found
    tried = _fill(requested, requested.lease_duration or _least_duration(requested))
    ways = list(itertools.islice(suggestions(requested), 2))
    advice = ", or ".join(
        " with ".join(f"{name}={value}" for name, value in way.items()) for way in ways
    )
    raise ConfigurationError(
        f"These times cannot work together: {problem(tried)} Use {advice}.",
        option=next(iter(ways[0])),
    )


def problem(timing: Timing) -> str | None:
    """Say which rule ``timing`` breaks, with the arithmetic; None if it keeps all."""
    interval, timeout = timing.renew_interval, timing.request_timeout
    deadline, budget = timing.renew_deadline, timing.stop_budget
    rho = _decimal(timing.clock_rate_error, PARTS)
    duration = timing.lease_duration
    if deadline <= 0:
        return (
            f"lease_duration_sec={duration} leaves a leader no time at all: others may "
            f"start {duration} s / (1 + {rho}) = {_seconds(_candidate_waits(timing))} s "
            f"after a renewal, and stopping the work takes up to {_seconds(budget)} s "
            "of it (stop_budget_sec)."
        )
    if not keeps_g2(timing):
        return (
            "a leader must have stopped before others start (G2). It stops at most "
            f"renew_deadline_sec {_seconds(deadline)} s / (1 - {rho}) + stop_budget_sec "
            f"{_seconds(budget)} s = {_seconds(_leader_needs(timing))} s after a "
            f"renewal; others may start after lease_duration_sec {duration} s / "
            f"(1 + {rho}) = {_seconds(_candidate_waits(timing))} s."
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


def keeps_g2(timing: Timing) -> bool:
    """Return whether L / (1 - rho) + S <= D / (1 + rho), exactly."""
    slow, fast = PARTS - timing.clock_rate_error, PARTS + timing.clock_rate_error
    # Both sides times (1 - rho)(1 + rho): nothing is rounded.
    return (
        timing.renew_deadline * PARTS * fast + timing.stop_budget * slow * fast
        <= timing.lease_duration * 1000 * PARTS * slow
    )


def suggestions(requested: RequestedTiming) -> Iterator[dict[str, int | float]]:
    """
    Yield changes of times that do not work, each of which makes it work.

    Those that change the fewest options come first. A way that leaves one of its
    options as it was is none: a shorter one says the same.
    """
    given = [field for field in OPTIONS if getattr(requested, field) is not None]
    for count in range(1, len(given) + 1):
        for fields in itertools.combinations(given, count):
            found = _solve_without(requested, fields)
            if found is not None and all(
                getattr(found, field) != getattr(requested, field) for field in fields
            ):
                yield {
                    OPTIONS[field]: public_value(field, getattr(found, field))
                    for field in fields
                }


def public_value(field: str, value: int) -> int | float:
    """Turn a field of a timing into the number its public option takes."""
    if field in {"lease_duration", "renew_interval"}:
        return value
    return value // 1000 if value % 1000 == 0 else value / 1000


def _solve(requested: RequestedTiming) -> Timing | None:
    duration = requested.lease_duration or _least_duration(requested)
    found = _fill(requested, duration)
    return found if problem(found) is None else None


def _fill(requested: RequestedTiming, duration: int) -> Timing:
    """Derive deadline, budget and timeout from a duration, as the defaults say."""
    budget = requested.stop_budget
    if budget is None:
        budget = max(MIN_STOP_BUDGET, duration * 50)  # 5 % of D
    deadline = requested.renew_deadline
    if deadline is None:
        rho = requested.clock_rate_error
        slow, fast = PARTS - rho, PARTS + rho
        # The largest whole L that G2 allows: (D / (1 + rho) - S) (1 - rho).
        bound = (duration * 1000 * PARTS - budget * fast) * slow // (PARTS * fast)
        deadline = min(duration * 750, bound)
    timeout = requested.request_timeout
    if timeout is None:
        spare = (deadline - requested.renew_interval) // 2
        timeout = max(MIN_REQUEST_TIMEOUT, min(MAX_REQUEST_TIMEOUT, spare))
    return Timing(
        renew_interval=requested.renew_interval,
        lease_duration=duration,
        renew_deadline=deadline,
        stop_budget=budget,
        request_timeout=timeout,
        clock_rate_error=requested.clock_rate_error,
    )


def _least_duration(requested: RequestedTiming) -> int:
    """Return the smallest whole second from 2 R that works, else just 2 R."""
    start = -(-2 * requested.renew_interval // 1000)

    def works(duration: int) -> bool:
        return problem(_fill(requested, duration)) is None

    return _smallest(works, start, MAX_DURATION) or start


def _solve_without(
    requested: RequestedTiming, fields: tuple[str, ...]
) -> Timing | None:
    """Solve with ``fields`` free; only a renew interval is never derived."""
    if {"renew_interval", "lease_duration"} <= set(fields):
        return _solve_near(requested, tuple(f for f in fields if f != "lease_duration"))
    changes: dict[str, Any] = dict.fromkeys(fields)
    changes.pop("renew_interval", None)
    free = replace(requested, **changes)
    if "renew_interval" not in fields:
        return _solve(free)

    # Counted downwards, so that the search for the smallest finds the largest.
    def works(distance: int) -> bool:
        interval = requested.renew_interval - distance
        return _solve(replace(free, renew_interval=interval)) is not None

    distance = _smallest(works, 0, requested.renew_interval - MIN_TIME)
    if distance is None:
        return None
    interval = requested.renew_interval - distance
    for digits in (100, 10):
        # A round number reads better, where it works as well.
        rounded = interval // digits * digits
        found = _solve(replace(free, renew_interval=rounded))
        if rounded >= MIN_TIME and found is not None:
            return found
    return _solve(replace(free, renew_interval=interval))


def _solve_near(requested: RequestedTiming, fields: tuple[str, ...]) -> Timing | None:
    """Solve with ``fields`` free, and the shortest duration from the one asked for."""
    asked = requested.lease_duration or 1

    def solved(duration: int) -> Timing | None:
        return _solve_without(replace(requested, lease_duration=duration), fields)

    found = _smallest(lambda d: solved(d) is not None, asked, MAX_DURATION)
    return None if found is None else solved(found)


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


def _leader_needs(timing: Timing) -> int:
    """Give L / (1 - rho) + S, rounded up to milliseconds."""
    slow = PARTS - timing.clock_rate_error
    return -(-timing.renew_deadline * PARTS // slow) + timing.stop_budget


def _candidate_waits(timing: Timing) -> int:
    """Return D / (1 + rho), rounded down to milliseconds."""
    fast = PARTS + timing.clock_rate_error
    return timing.lease_duration * 1000 * PARTS // fast


def _decimal(value: int, scale: int) -> str:
    whole, rest = divmod(value, scale)
    digits = f"{rest:0{len(str(scale)) - 1}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def _seconds(milliseconds: int) -> str:
    return _decimal(milliseconds, 1000)
