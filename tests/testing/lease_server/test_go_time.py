"""Times and durations as Go reads and writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubernetes_leader_election.testing.lease_server.kubectl.go_time import (
    micro_time,
    parse_duration,
    time_to_seconds,
    write_micro,
)

# From the year 2 to the year 9999, in microseconds; zones have room on both ends.
MOMENTS = st.integers(min_value=0, max_value=9997 * 365 * 86_400_000_000).map(
    lambda micros: datetime(2, 1, 3, tzinfo=UTC) + timedelta(microseconds=micros)
)
ZONES = st.integers(min_value=-14 * 60, max_value=14 * 60)


@given(MOMENTS)
def test_what_is_written_is_read(moment):
    """Rule 8: UTC, six digits, Z; fault 52."""
    text = write_micro(moment)
    assert len(text) == 27
    assert micro_time(text) == text


@given(MOMENTS, ZONES)
def test_zones_are_the_same_instant(moment, minutes):
    """An instant has one form, whatever zone it came in."""
    zone = timezone(timedelta(minutes=minutes))
    sign = "+" if minutes >= 0 else "-"
    local = moment.astimezone(zone).replace(tzinfo=None)
    text = local.isoformat(timespec="microseconds")
    text += f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    assert micro_time(text) == write_micro(moment)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    """Whatever is sent, the answer is a time or a ValueError."""
    for read in (micro_time, time_to_seconds):
        try:
            found = read(text)
        except ValueError as error:
            assert str(error)  # noqa: PT017  # both outcomes are right
        else:
            assert found is None or found.endswith("Z")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "2024-05-06T07:08:09Z",
            (
                'parsing time "2024-05-06T07:08:09Z" as '
                '"2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000"'
            ),
        ),
        (
            "x",
            (
                'parsing time "x" as "2006-01-02T15:04:05.000000Z07:00": '
                'cannot parse "x" as "2006"'
            ),
        ),
        (
            "2024-13-06T07:08:09.000000Z",
            'parsing time "2024-13-06T07:08:09.000000Z": month out of range',
        ),
        (
            "2023-02-29T07:08:09.000000Z",
            'parsing time "2023-02-29T07:08:09.000000Z": day out of range',
        ),
        (
            "2024-05-06T07:08:09.000000Z!",
            'parsing time "2024-05-06T07:08:09.000000Z!": extra text: "!"',
        ),
    ],
)
def test_refusals_are_gos(text, message):
    """The words are those of Go's time package."""
    with pytest.raises(ValueError, match="parsing time") as refused:
        micro_time(text)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("3s", 3),
        ("1m30s", 90),
        ("1.5h", 5400),
        ("300ms", 0.3),
        (".5s", 0.5),
        ("-2s", -2),
        ("1us", 1e-6),
        ("1µs", 1e-6),
    ],
)
def test_durations_are_read(text, seconds):
    """Go durations, in seconds."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("5", "missing unit"),
        ("", "invalid duration"),
        ("s", "invalid duration"),
        ("5x", "unknown unit"),
        ("3s5", "missing unit"),
        ("-", "invalid duration"),
    ],
)
def test_bad_durations_are_refused(text, why):
    """As Go refuses them."""
    with pytest.raises(ValueError, match=why):
        parse_duration(text)
