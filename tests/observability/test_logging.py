"""Tests of the log lines: one for each event, errors told at growing intervals."""

import itertools
import logging
from datetime import UTC, datetime

import pytest

from kubernetes_leader_election import events
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.lifecycle.log_throttle import (
    KINDS,
    LONGEST_SILENCE,
    LogThrottle,
)
from kubernetes_leader_election.observability.logging import REASONS, LogLines
from kubernetes_leader_election.text import one_line

WHO = {"lease": "billing", "namespace": "shop", "identity": "a"}


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self):
        """Tell the time that was set."""
        return self.now


@pytest.fixture(name="clock")
def _clock():
    """Give a clock at zero."""
    return Clock()


@pytest.fixture(name="said")
def _said():
    """Give the list that lines are written to."""
    return []


@pytest.fixture(name="lines")
def _lines(clock, said):
    """Give log lines that write to the list."""

    def say(level, text, *args):
        said.append((level, text % args))

    return LogLines(None, say=say, clock=clock)


def failed(text="connection refused"):
    """Make an error event."""
    return events.ErrorOccurred(**WHO, error=LeaseApiError(text))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            events.LeadershipAcquired(**WHO, term=1, token_if_any=41),
            ("info", "Lease shop/billing: a leads now (fencing token 41)"),
        ),
        (
            events.LeadershipAcquired(**WHO, term=1, token_if_any=None),
            (
                "info",
                (
                    "Lease shop/billing: a leads now "
                    "(no fencing token: the resourceVersions are not numbers)"
                ),
            ),
        ),
        (
            events.LeadershipAcquired(**WHO, term=1, token_if_any=None, assumed=True),
            (
                "info",
                (
                    "Lease shop/billing: a leads now "
                    "(leadership is assumed, without a fencing token)"
                ),
            ),
        ),
        (
            events.LeadershipLost(**WHO, term=1, token=41, reason="stopped"),
            ("info", "Lease shop/billing: a leads no longer: stopped"),
        ),
        (
            events.LeadershipLost(
                **WHO, term=1, token=41, reason="another_holder", detail="held by b"
            ),
            (
                "warning",
                (
                    "Lease shop/billing: a leads no longer: another holds the Lease "
                    "(held by b)"
                ),
            ),
        ),
        (
            events.LeaseRenewed(
                **WHO, term=1, token=41, renew_time=datetime(2026, 1, 2, tzinfo=UTC)
            ),
            ("debug", "Lease shop/billing: renewed at 2026-01-02T00:00:00+00:00"),
        ),
        (
            events.LeaderChanged(**WHO, holder_identity="b"),
            ("info", "Lease shop/billing: held by 'b'"),
        ),
        (
            events.LeaderChanged(**WHO, holder_identity=None),
            ("info", "Lease shop/billing: held by nobody"),
        ),
        (failed(), ("warning", "connection refused")),
    ],
    ids=lambda e: type(e).__name__,
)
def test_each_event_is_one_readable_line(lines, said, event, expected):
    """What happens is said in one line, at the level it deserves."""
    lines.tell(event)
    assert said == [expected]


def test_every_reason_of_a_loss_has_words():
    """No reason is left to be shown as a code word."""
    assert set(REASONS) == set(events.LossReason.__args__)


def test_lines_go_to_the_log_by_level(caplog):
    """Without a way of its own, a line goes to the log's method of its level."""
    lines = LogLines(logging.getLogger("test"))
    with caplog.at_level(logging.DEBUG):
        lines.tell(failed("100 % down"))
        lines.tell(events.LeaderChanged(**WHO, holder_identity=None))
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "100 % down"),
        ("INFO", "Lease shop/billing: held by nobody"),
    ]


def test_same_error_is_said_again_at_growing_intervals(lines, said, clock):
    """An hour of an outage, one try a second, is told in a few counted lines."""
    for second in range(3600):
        clock.now = float(second)
        lines.tell(failed(f"timed out after 2.{second:04d} s"))
    assert said[0] == ("warning", "timed out after 2.0000 s")
    assert said[1] == (
        "warning",
        "timed out after 2.0010 s (again, 10 times in 10 s)",
    )
    assert said[2][1].endswith("(again, 20 times in 20 s)")
    assert said[3][1].endswith("(again, 40 times in 40 s)")
    assert len(said) == 11


def test_silence_has_a_limit():
    """However long it lasts, it is said every ten minutes."""
    throttle = LogThrottle()
    said_at = [s for s in range(20_000) if throttle.line("down", now=float(s))]
    pauses = [b - a for a, b in itertools.pairwise(said_at)]
    assert max(pauses) == LONGEST_SILENCE
    assert pauses == sorted(pauses)


def test_different_errors_are_said_at_once(lines, said):
    """A new error is never held back by an old one."""
    lines.tell(failed("connection refused"))
    lines.tell(failed("certificate expired"))
    lines.tell(failed("connection refused"))
    assert [line for _, line in said] == ["connection refused", "certificate expired"]


@pytest.mark.parametrize(
    "success",
    [
        events.LeaseRenewed(
            **WHO, term=1, token=4, renew_time=datetime(2026, 1, 2, tzinfo=UTC)
        ),
        events.LeadershipAcquired(**WHO, term=1, token_if_any=4),
    ],
    ids=["renewed", "acquired"],
)
def test_success_says_that_errors_are_over(lines, said, clock, success):
    """One line ends the story, and the next error is told at once again."""
    for second in range(5):
        clock.now = float(second)
        lines.tell(failed())
    lines.tell(success)
    assert said[1] == ("info", "Lease shop/billing: well again after 5 errors in 4.0 s")
    lines.tell(success)
    lines.tell(failed())
    assert [line for level, line in said if level == "warning"] == [
        "connection refused",
        "connection refused",
    ]


def test_memory_of_errors_is_bounded():
    """Errors that are all different do not fill the memory (fault 18)."""
    throttle = LogThrottle()
    for number in range(10 * KINDS):
        assert throttle.line("x" * number, now=0.0) is not None
    assert len(throttle._kinds) == KINDS


def test_text_of_others_is_escaped_and_cut(lines, said):
    """Fault 51: line breaks and escape codes of others cannot forge log lines."""
    lines.tell(events.LeaderChanged(**WHO, holder_identity="b\nWARNING \x1b[31m"))
    lines.tell(events.LeaderChanged(**WHO, holder_identity="x" * 1_000_000))
    lines.tell(failed("bad\r\nLease shop/billing: a leads now"))
    assert all(line.isprintable() and len(line) < 200 for _, line in said)
    assert said[2][1] == "bad\\r\\nLease shop/billing: a leads now"
    assert len(one_line("y" * 1_000_000)) == 2003
