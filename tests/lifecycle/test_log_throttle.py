"""A repeated error is logged once, then at growing intervals, with a count."""

from __future__ import annotations

import itertools

from kubernetes_leader_election.lifecycle.log_throttle import (
    KINDS,
    LONGEST_SILENCE,
    LogThrottle,
)


def test_same_error_is_logged_again_at_growing_intervals():
    """An hour of an outage, one try a second, is told in a few counted lines."""
    throttle = LogThrottle()
    lines = [
        throttle.line(f"timed out after 2.{second:04d} s", now=float(second))
        for second in range(3600)
    ]
    said = [line for line in lines if line is not None]
    assert said[0] == "timed out after 2.0000 s"
    assert said[1] == "timed out after 2.0010 s (again, 10 times in 10 s)"
    assert said[2].endswith("(again, 20 times in 20 s)")
    assert said[3].endswith("(again, 40 times in 40 s)")
    assert len(said) == 11


def test_silence_has_a_limit():
    """However long it lasts, it is said every ten minutes."""
    throttle = LogThrottle()
    said_at = [s for s in range(20_000) if throttle.line("down", now=float(s))]
    pauses = [b - a for a, b in itertools.pairwise(said_at)]
    assert max(pauses) == LONGEST_SILENCE
    assert pauses == sorted(pauses)


def test_different_errors_are_logged_at_once():
    """A new error is never held back by an old one."""
    throttle = LogThrottle()
    errors = ("connection refused", "certificate expired", "connection refused")
    assert [throttle.line(error, now=0.0) for error in errors] == [*errors[:2], None]


def test_end_of_the_errors_is_counted_once_and_the_next_one_is_news():
    """One summary ends the story, and the next error is logged at once again."""
    throttle = LogThrottle()
    for second in range(5):
        throttle.line("connection refused", now=float(second))
    assert throttle.over(now=4.0) == "5 errors in 4.0 s"
    assert throttle.over(now=5.0) is None
    assert throttle.line("connection refused", now=6.0) == "connection refused"
    assert throttle.over(now=6.5) == "1 error in 0.5 s"


def test_memory_of_errors_is_bounded():
    """Errors that are all different do not fill the memory (fault 18)."""
    throttle = LogThrottle()
    for number in range(10 * KINDS):
        assert throttle.line("x" * number, now=0.0) is not None
    assert len(throttle._kinds) == KINDS
