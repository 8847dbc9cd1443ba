"""
The arithmetic of clocks: readings, the limits of a term, who may trust which clock.

A leader takes the *larger* of the elapsed times its clocks show, a candidate the
*smaller* (rule 14); so whatever one of them suspends or steps, the leader stops no
later and the candidate starts no earlier than it should.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kubernetes_leader_election.events import Origin
from kubernetes_leader_election.values import Value

MICROSECONDS = 1_000_000
ODD_DURATION: Final = 600
"""Seconds: with a longer lease nobody takes over in a time that people wait."""
GIVE_UP_AFTER: Final = 3
"""Request timeouts that a release, or the end of an acquire, may take (rule 12)."""


class Now(NamedTuple):
    """
    One reading of all clocks, given to the core with each input.

    ``boottime`` and ``monotonic`` decide; ``wall`` is written and never compared
    with a time that somebody else wrote.
    """

    boottime: float
    """CLOCK_BOOTTIME seconds: goes on in suspend (monotonic where there is none)."""
    monotonic: float
    """CLOCK_MONOTONIC seconds: stands still in suspend."""
    wall: int
    """Microseconds since 1970, UTC."""


class ElectionSettings(Value):
    """
    The settings of one election, checked by :mod:`..settings`. Seconds throughout.

    ``lease_duration`` is D, whole seconds, and is what is written; ``renew_interval``
    R; ``renew_deadline`` L; ``stop_budget`` S; ``request_timeout`` T;
    ``clock_rate_error`` rho.
    """

    lease_name: str
    namespace: str
    identity: str
    lease_duration: int
    renew_interval: float
    renew_deadline: float
    stop_budget: float
    request_timeout: float
    clock_rate_error: float
    """rho: how wrong the rate of a clock may be, as a share of 1."""
    observe: bool = False
    """Follow the Lease, never contend, never write."""
    crash_takeover: bool = False
    """Leave a note, and take over from a holder whose end is proved by its own."""
    crash_challenge: float = 1.0
    """Seconds that a holder whose end seems proved is given for an answer."""

    @property
    def origin(self) -> Origin:
        """What each event says of where it comes from."""
        return {
            "lease": self.lease_name,
            "namespace": self.namespace,
            "identity": self.identity,
        }

    @property
    def where(self) -> str:
        """The Lease in words, for messages."""
        return f"Lease {self.namespace}/{self.lease_name}"

    @property
    def first_pause(self) -> float:
        """Seconds from which pauses double; a few of them fit into a term."""
        return min(0.1, self.request_timeout / 8)


class Belief(NamedTuple):
    """
    How long one term may be trusted, fixed by the last write known to be applied.

    A value: whoever holds it can ask it on any thread at any time, with nothing
    else running (rule 15).
    """

    term: int
    token: int | None
    boottime_deadline: float
    monotonic_deadline: float
    wall_deadline: float
    """Microseconds since 1970: the deadline by a clock that a guest's pause shows."""
    wall_ahead_limit: float
    """Largest wall minus boottime, in seconds, that is no sign of a paused guest."""
    spare: float = 0.0
    """Seconds from the deadline, by a clock that is wrong by rho, until rivals may lead."""

    def remaining(self, now: Now) -> float:
        """Return the seconds left on the clock that shows the fewest; never below 0."""
        # Unpacked, not read by name: each input passes here, most of them twice.
        _, _, by_boottime, by_monotonic, by_wall, ahead_limit, _ = self
        boottime, monotonic, wall = now
        if wall / MICROSECONDS - boottime > ahead_limit:
            # Rule 14, fault 04: a paused guest sees only its wall clock jump.
            return 0.0
        # No min() and max() where each input passes: they take longer than the rest.
        left = by_boottime - boottime
        by_monotonic -= monotonic
        if by_monotonic < left:
            left = by_monotonic
        by_wall = (by_wall - wall) / MICROSECONDS
        if by_wall < left:
            left = by_wall
        return left if left > 0.0 else 0.0

    def holds(self, now: Now) -> bool:
        """Return whether the term can still be trusted at ``now``."""
        return self.remaining(now) > 0.0


def believe(
    *, term: int, token: int | None, sent: Now, settings: ElectionSettings
) -> Belief:
    """
    Return the belief that a write justifies which was ordered at ``sent``.

    ``sent`` is read before the first byte leaves (G2: stop before others start).
    """
    boottime, monotonic, wall = sent
    ahead, good_for = wall / MICROSECONDS - boottime, settings.renew_deadline
    rho, lasts = settings.clock_rate_error, settings.lease_duration
    return Belief(
        term,
        token,
        boottime + good_for,
        monotonic + good_for,
        # A third clock for the leader: it can shorten a term, never lengthen it.
        wall + int(good_for * MICROSECONDS),
        # Rule 14: a jump by more than D - L ends the term at once.
        ahead + (lasts - good_for),
        hard_limit(lasts, rho) - good_for,
    )


def hard_limit(lasts: float, rho: float) -> float:
    """
    Return when all work of a term has to be gone, on the leader's clock (G2).

    Seconds after its last renewal: its clock may be slow by ``rho``, and that of a
    rival, who waits ``lasts`` seconds, fast.
    """
    return lasts * (1.0 - rho) / (1.0 + rho)


def longest_deadline(lasts: float, settings: ElectionSettings) -> float:
    """
    Return the largest L that G2 allows under a record that lasts so many seconds.

    At or below 0 a leader cannot stop before others start.
    """
    rho = settings.clock_rate_error
    return (lasts / (1.0 + rho) - settings.stop_budget) * (1.0 - rho)


def cut_short(
    belief: Belief, *, since: Now, lasts: float, settings: ElectionSettings
) -> Belief:
    """
    Return the belief under a record that rivals may take over after ``lasts`` seconds.

    They count from ``since`` at the earliest. A belief only ever shrinks by this.
    """
    boottime, monotonic, wall = since
    good_for = longest_deadline(lasts, settings)
    return belief._replace(
        boottime_deadline=min(belief.boottime_deadline, boottime + good_for),
        monotonic_deadline=min(belief.monotonic_deadline, monotonic + good_for),
        wall_deadline=min(belief.wall_deadline, wall + int(good_for * MICROSECONDS)),
        wall_ahead_limit=min(
            belief.wall_ahead_limit, wall / MICROSECONDS - boottime + lasts - good_for
        ),
        # What the cut leaves for stopping; more, where it ended nothing sooner.
        spare=min(
            belief.spare, settings.stop_budget * (1.0 - settings.clock_rate_error)
        ),
    )


def elapsed_for_candidate(since: Now, now: Now) -> float:
    """Return the smaller elapsed time: a candidate never starts early (rule 14)."""
    monotonic, boottime = now.monotonic - since.monotonic, now.boottime - since.boottime
    return monotonic if monotonic < boottime else boottime


def elapsed_for_leader(since: Now, now: Now) -> float:
    """Return the larger elapsed time: a leader never stops late (rule 14)."""
    monotonic, boottime = now.monotonic - since.monotonic, now.boottime - since.boottime
    return monotonic if monotonic > boottime else boottime
