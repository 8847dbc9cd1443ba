"""What a choice of times means: fail-over, outages survived, writes, limits."""

from __future__ import annotations

from kubernetes_leader_election.core import contending
from kubernetes_leader_election.settings.timing import (
    PARTS,
    Timing,
    _candidate_waits,
    _leader_needs,
)
from kubernetes_leader_election.values import Value

# What follows from a timing ---------------------------------------------------


class Timings(Value):
    """What a choice of times means for those who run it. Seconds, unless said otherwise."""

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


def timings_of(timing: Timing) -> Timings:
    """Derive everything that these times promise."""
    duration = float(timing.lease_duration)
    interval = timing.renew_interval / 1000
    rho = timing.clock_rate_error / PARTS
    outage = (
        timing.renew_deadline - timing.renew_interval - timing.request_timeout
    ) / 1000
    return Timings(
        renew_interval=interval,
        lease_duration=duration,
        renew_deadline=timing.renew_deadline / 1000,
        stop_budget=timing.stop_budget / 1000,
        request_timeout=timing.request_timeout / 1000,
        leader_stops_within=_leader_needs(timing) / 1000,
        others_start_after=_candidate_waits(timing) / 1000,
        crash_fail_over=duration / (1 - rho)
        + contending.longest_after_expiry(duration),
        crash_fail_over_best=duration - interval,
        hand_over=contending.AFTER_RELEASE,
        outage_survived=outage,
        writes_per_minute=60 / interval,
        quiet_candidates=interval <= duration / 2,
    )
