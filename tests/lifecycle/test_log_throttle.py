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


def test_error_that_keeps_coming_back_does_not_alternate_with_its_end():
    """As where no descriptor is left for a watch, and renewals go on as before."""
    throttle, lines = LogThrottle(), []
    for half in range(2 * 3600):
        now = half / 2
        lines.append(throttle.line("no watch: too many open files", now=now))
        lines.append(throttle.over(now=now + 0.25))
    said = [line for line in lines if line is not None]
    first, after, second, later = said[:4]
    assert first == second == "no watch: too many open files"
    assert after == later == "1 error in 0.2 s"
    assert said[4].endswith("(again, 20 times in 10 s)")
    assert said[5] == "20 errors in 9.8 s"
    assert len(said) == 24  # 2, and then a pair at each of the growing intervals


def test_error_that_comes_back_after_long_is_news_once_more():
    """Ten minutes without it: another trouble of the same kind."""
    throttle = LogThrottle()
    for now in (0.0, 1.0, 2.0, 3.0):
        throttle.line("connection refused", now=now)
        throttle.over(now=now + 0.5)
    assert throttle.line("connection refused", now=4.0) is None
    throttle.over(now=4.5)
    later = 4.0 + LONGEST_SILENCE
    assert throttle.line("connection refused", now=later) == "connection refused"


def test_other_error_is_logged_at_once_while_one_keeps_coming_back():
    """What is left out is that one alone."""
    throttle = LogThrottle()
    for now in (0.0, 1.0, 2.0):
        throttle.line("no watch", now=now)
        throttle.over(now=now + 0.5)
    assert throttle.line("certificate expired", now=3.0) == "certificate expired"
    assert throttle.over(now=3.5) is not None


def test_memory_of_errors_is_bounded():
    """Errors that are all different do not fill the memory (fault 18)."""
    throttle = LogThrottle()
    for number in range(10 * KINDS):
        assert throttle.line("x" * number, now=0.0) is not None
    assert len(throttle._kinds) == KINDS
