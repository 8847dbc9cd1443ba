"""Durations and numbers, as options give them: read exactly, or refused with an example."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, SupportsIndex, cast

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.settings.timing import MAX_DURATION, MIN_TIME
from kubernetes_leader_election.text import shown

Duration = float | timedelta


def seconds_of(name: str, value: object) -> float:
    """
    Return a duration in seconds, given as a number of them or as a timedelta.

    Args:
        name: of what it was given as; one of those with an example here.
        value: what was given.

    Raises:
        ConfigurationError: it is no duration, or out of range.

    """
    exact = microseconds(name, {name: value})
    if exact is None:
        raise ConfigurationError(
            f"{name} must be a duration, not None. Use {name}={_EXAMPLES[name]}.",
            option=name,
        )
    return exact / 1e6


def milliseconds(
    name: str, options: Mapping[str, Any], *, up: bool = True
) -> int | None:
    """Read a duration in whole milliseconds, rounded; None when it was left out."""
    exact = microseconds(name, options)
    if exact is None:
        return None
    return -(-exact // 1000) if up else exact // 1000


_EXAMPLES: Final[Mapping[str, str]] = {
    "renew_interval_ms": "10000",
    "lease_duration_sec": "20",
    "renew_deadline_sec": "15",
    "stop_budget_sec": "1",
    "request_timeout_sec": "2.5",
    "liveness_timeout_sec": "20",
    "crash_challenge_sec": "1",
    "grace_sec": "20",
    "restart_max_delay_sec": "60",
}


def microseconds(name: str, options: Mapping[str, Any]) -> int | None:
    """Read a duration exactly; None when it was left out."""
    value = options.get(name)
    if value is None:
        return None
    example, scale = _EXAMPLES[name], 1000 if name.endswith("_ms") else 1_000_000
    if isinstance(value, timedelta):
        exact = value // timedelta(microseconds=1)
    else:
        unit = "in milliseconds" if scale == 1000 else "in seconds"
        given = number(name, value, example=example, unit=unit)
        scaled = given * scale
        # A float whose microseconds are none is out of range, too.
        exact = 0 if scaled in (math.inf, -math.inf) else round(scaled)
    if not MIN_TIME * 1000 <= exact <= MAX_DURATION * 1_000_000:
        raise ConfigurationError(
            f"{name}={shown(value)} is out of range: durations are at least "
            f"{MIN_TIME / 1000} s and at most {MAX_DURATION} s (leaseDurationSeconds is "
            f"an int32). Use {name}={example}.",
            option=name,
        )
    return exact


def number(name: str, value: object, *, example: str, unit: str) -> int | float:
    """Take an int, a float or what stands for an int (numpy); no bool, no text."""
    if isinstance(value, float):
        if math.isfinite(value):
            return value
    elif not isinstance(value, bool):
        try:
            return operator.index(cast(SupportsIndex, value))
        except TypeError:
            pass
    kind = " or a timedelta" if name in _EXAMPLES else ""
    raise ConfigurationError(
        f"{name} must be a finite number {unit}{kind}, not {shown(value)}. "
        f"Use {name}={example}.",
        option=name,
    )
