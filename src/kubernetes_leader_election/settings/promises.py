"""What a choice of times means: fail-over, outages survived, writes, limits."""

from __future__ import annotations

from typing import Final

from kubernetes_leader_election.core import challenge, contending
from kubernetes_leader_election.core import timing as core_timing
from kubernetes_leader_election.process.limits import MOMENT, after_signal
from kubernetes_leader_election.settings.timing import (
    PARTS,
    Timing,
    _candidate_waits,
    _leader_needs,
)
from kubernetes_leader_election.values import Value

SHORT_OUTAGE: Final = 0.1
"""The share of a renew interval: who survives only shorter outages should know it."""
KILL_MARGIN: Final = 0.25
"""Seconds at most that `run` sends a KILL before the hard limit: death takes its time."""
TERM_MARGIN: Final = 0.05
"""Seconds at most that the watchdog of `run` leaves the first word to ``run`` itself."""


def kill_margin(spare: float) -> float:
    """Return the seconds from the KILL to the hard limit, if it is ``spare`` after L."""
    return min(KILL_MARGIN, spare / 4)


def term_margin(spare: float) -> float:
    """Return the seconds from the renew deadline to the TERM of the watchdog."""
    return min(TERM_MARGIN, spare / 10)


def outage_survived(
    *, renew_deadline: float, renew_interval: float, request_timeout: float
) -> float:
    """Return L - R - T: what is left of a term at least while all goes well (G8)."""
    return renew_deadline - renew_interval - request_timeout


# What follows from a timing ---------------------------------------------------


class Timings(Value):
    """What a choice of times means for those who run it. Seconds, unless said otherwise."""

    renew_interval: float
    """R: how often a leader renews."""
    lease_duration: float
    """D: how long others wait after the last renewal."""
    renew_deadline: float
    """L: how long a leader trusts itself after its last renewal."""
    stop_budget: float
    """S: how long its work may need to stop."""
    request_timeout: float
    """T: how long one request may take in all."""
    leader_stops_within: float
    """G2: real time from a renewal's first byte until work is stopped, L/(1-rho)+S."""
    others_start_after: float
    """G2: the earliest real time after it at which another may lead, D/(1+rho)."""
    hard_limit: float
    """G2, on the leader's own clock: its work has to be gone by then, D(1-rho)/(1+rho)."""
    run_kills_after: float
    """From the last renewal until ``run`` kills a command that has not ended."""
    grace: float | None
    """How long work may take to end in a planned stop; None: for ever."""
    after_signal: float | None
    """From SIGTERM until it ends the main thread at most, whose work does not stop."""
    release_within: float
    """From the end of the work until the Lease is released, or that was given up."""
    pod_needs: float | None
    """What a pod needs to end: the grace, the release, a moment; None: no time is enough."""
    crash_fail_over: float
    """G6, worst: from the last renewal to the take-over, the network's time aside."""
    crash_fail_over_best: float
    """The least of it, from the crash: exact clocks, just before a renewal, D - R."""
    crash_fail_over_proved: float
    """With crash_takeover, worst: from the kubelet's report, the network's time aside."""
    hand_over: float
    """G7, worst: from the end of the work to the new leader, the network aside."""
    outage_survived: float
    """G8: a leader survives every API outage that is shorter, L - R - T."""
    writes_per_minute: float
    """G9: what a leader costs."""
    quiet_candidates: bool
    """G9: whether a candidate sends nothing while it waits (R <= D / 2)."""


def timings_of(
    timing: Timing, *, grace: float | None, crash_challenge: float
) -> Timings:
    """
    Derive everything that these times promise.

    Args:
        timing: the five times.
        grace: of work in a planned stop; None: it has no end.
        crash_challenge: how long a leader is given to say that it lives.

    """
    release = core_timing.GIVE_UP_AFTER * timing.request_timeout / 1000
    duration = float(timing.lease_duration)
    interval = timing.renew_interval / 1000
    rho = timing.clock_rate_error / PARTS
    limit = core_timing.hard_limit(duration, rho)
    spare = limit - timing.renew_deadline / 1000
    return Timings(
        renew_interval=interval,
        lease_duration=duration,
        renew_deadline=timing.renew_deadline / 1000,
        stop_budget=timing.stop_budget / 1000,
        request_timeout=timing.request_timeout / 1000,
        leader_stops_within=_leader_needs(timing) / 1000,
        others_start_after=_candidate_waits(timing) / 1000,
        hard_limit=limit,
        run_kills_after=limit - kill_margin(spare),
        grace=grace,
        after_signal=None if grace is None else after_signal(grace),
        release_within=release,
        pod_needs=None if grace is None else grace + release + MOMENT,
        crash_fail_over=duration / (1 - rho)
        + contending.longest_after_expiry(duration),
        crash_fail_over_best=duration - interval,
        crash_fail_over_proved=challenge.ASK_WITHIN
        + crash_challenge
        + contending.AFTER_RELEASE,
        hand_over=contending.AFTER_RELEASE,
        outage_survived=outage_survived(
            renew_deadline=timing.renew_deadline,
            renew_interval=timing.renew_interval,
            request_timeout=timing.request_timeout,
        )
        / 1000,
        writes_per_minute=60 / interval,
        quiet_candidates=interval <= duration / 2,
    )


def warning_about(t: Timings) -> str:
    """Return what people should know before they choose these times; empty: nothing."""
    if t.outage_survived >= SHORT_OUTAGE * t.renew_interval:
        return ""
    return (
        f"A leader is lost in each API outage of {t.outage_survived * 1000:.0f} ms: that "
        f"is the renew deadline of {t.renew_deadline:g} s without the renew interval of "
        f"{t.renew_interval:g} s and one request. A longer lease_duration_sec, or a "
        "smaller renew_interval_ms or stop_budget_sec, leaves room."
    )
