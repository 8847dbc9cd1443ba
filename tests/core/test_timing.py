"""The arithmetic of clocks: the leader's larger and the candidate's smaller time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubernetes_leader_election.core.timing import (
    MICROSECONDS,
    Now,
    believe,
    elapsed_for_candidate,
    elapsed_for_leader,
)
from tests.core.harness import FUZZ, WALL, Clock, settings

SENT = Now(1000.0, 500.0, WALL)
BELIEF = believe(term=1, token=7, sent=SENT, settings=settings())

seconds = st.floats(0.0, 1e6)


def after(boottime, monotonic=None, wall=None):
    """Give the clocks so many seconds after ``SENT``."""
    monotonic = boottime if monotonic is None else monotonic
    wall = boottime if wall is None else wall
    return Now(
        SENT.boottime + boottime,
        SENT.monotonic + monotonic,
        SENT.wall + round(wall * MICROSECONDS),
    )


@pytest.mark.parametrize(
    ("now", "left"),
    [
        pytest.param(after(0), 15.0, id="at once"),
        pytest.param(after(10), 5.0, id="when renewing"),
        pytest.param(after(15), 0.0, id="exactly at L"),
        pytest.param(after(16), 0.0, id="after L, never below zero"),
        pytest.param(after(14, 2), 1.0, id="boot time is ahead: suspended"),
        pytest.param(after(14, 2, 2), 1.0, id="boot time alone is ahead"),
        pytest.param(after(2, 14, 2), 1.0, id="monotonic time is ahead"),
        pytest.param(after(2, 2, 6), 9.0, id="the wall stepped 4 s forward"),
        pytest.param(after(2, 2, -3600), 13.0, id="the wall stepped back an hour"),
        pytest.param(after(2, 2, 6.999), 8.001, id="a jump of just under D - L"),
        pytest.param(after(2, 2, 7.001), 0.0, id="a jump of just over D - L"),
    ],
)
def test_belief_is_as_long_as_the_clock_that_shows_the_least(now, left):
    """Rule 14: the leader always takes the larger elapsed time."""
    assert BELIEF.remaining(now) == pytest.approx(left, abs=1e-6)
    assert BELIEF.holds(now) is (left > 0)


def test_belief_ends_exactly_at_the_deadline():
    """G2: at L belief is over; a microsecond before, it is not."""
    assert BELIEF.holds(after(14.999_999))
    assert not BELIEF.holds(after(15.0))


def test_belief_names_its_term_and_token():
    """Rule 15: a belief is a value that can be asked on any thread."""
    assert (BELIEF.term, BELIEF.token) == (1, 7)


@FUZZ
@given(st.floats(0.1, 1e5), st.floats(0.0, 4e9), seconds)
def test_belief_never_lasts_longer_than_its_deadline(deadline, boottime, late):
    """G2: whatever the numbers, rounding adds nothing that matters to L."""
    sent = Now(boottime, boottime, WALL)
    duration = math.ceil(deadline) + 1
    limits = settings(renew_deadline=deadline, lease_duration=duration)
    belief = believe(term=1, token=None, sent=sent, settings=limits)
    end = boottime + deadline + late
    now = Now(end, end, WALL + int((deadline + late) * MICROSECONDS))
    assert belief.remaining(now) <= 1e-6
    assert belief.remaining(sent) <= deadline + 1e-6


@FUZZ
@given(seconds, seconds, st.floats(-1e6, 1e6))
def test_candidate_takes_the_smaller_and_leader_the_larger_time(boot, mono, wall):
    """Rule 14: a candidate never starts early, a leader never stops late."""
    now = after(boot, mono, wall)
    assert elapsed_for_candidate(SENT, now) <= elapsed_for_leader(SENT, now)
    assert elapsed_for_candidate(SENT, now) == pytest.approx(min(boot, mono), abs=1e-6)
    assert elapsed_for_leader(SENT, now) == pytest.approx(max(boot, mono), abs=1e-6)


@FUZZ
@given(st.floats(0.0, 14.9), st.floats(-1e6, 1e6))
def test_no_step_of_the_wall_clock_lengthens_a_belief(gone, step):
    """Rule 14, fault 19: a wall clock jump lengthens nothing."""
    steady = BELIEF.remaining(after(gone))
    assert BELIEF.remaining(after(gone, gone, gone + step)) <= steady + 1e-6


def test_clock_of_the_harness_suspends_and_steps():
    """The clocks that tests turn by hand do what their names say."""
    clock = Clock()
    clock.suspend(5)
    clock.step_wall(-2)
    clock.advance(1)
    assert clock.now() == Now(1006.0, 501.0, WALL + 4 * MICROSECONDS)
