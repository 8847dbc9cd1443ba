"""
Times and durations exactly as a Go program reads and writes them.

A Lease's times need six fractional digits (``MicroTime``); the times of metadata take
any number and lose them. Both are read by a layout, element by element, and what is
refused names the first element that did not fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

__all__ = ["micro_time", "parse_duration", "time_to_seconds", "write_seconds"]

MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
SECONDS_LAYOUT = "2006-01-02T15:04:05Z07:00"

_ZERO = "0001-01-01T00:00:00"
# What every sane client sends needs no second look: it is returned as it came.
_USUAL = (
    r"(?!000[01])\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
    r"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
)
_USUAL_MICRO = re.compile(_USUAL + r"\.\d{6}Z", re.ASCII)
_USUAL_SECONDS = re.compile(_USUAL + "Z", re.ASCII)


class _MismatchError(Exception):
    """Name the layout element and the rest of the value that did not fit."""


class _Reader:
    """Consume a value from the left."""

    def __init__(self, value: str) -> None:
        self.rest = value

    def take(self, pattern: str) -> str:
        found = re.match(pattern, self.rest, re.ASCII)
        if found is None:
            raise _MismatchError
        self.rest = self.rest[found.end() :]
        return found.group()


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _parse(value: str, layout: str, *, micro: bool) -> datetime | None:
    """
    Read ``value``; None is Go's zero time.

    Raises:
        ValueError: With the text Go gives.
    """
    reader = _Reader(value)

    def refuse(why: str) -> ValueError:
        return ValueError(f"parsing time {_quoted(value)}{why}")

    def element(name: str, pattern: str) -> str:
        before = reader.rest
        try:
            return reader.take(pattern)
        except _MismatchError:
            where = f" as {_quoted(layout)}: cannot parse {_quoted(before)}"
            raise refuse(f"{where} as {_quoted(name)}") from None

    def number(name: str, pattern: str, low: int, high: int, what: str) -> int:
        parsed = int(element(name, pattern))
        if not low <= parsed <= high:
            raise refuse(f": {what} out of range")
        return parsed

    year = int(element("2006", r"\d{4}"))
    element("-", "-")
    month = number("01", r"\d{2}", 1, 12, "month")
    element("-", "-")
    day = int(element("02", r"\d{2}"))
    element("T", "T")
    hour = number("15", r"\d{1,2}", 0, 23, "hour")
    element(":", ":")
    minute = number("04", r"\d{2}", 0, 59, "minute")
    element(":", ":")
    second = number("05", r"\d{2}", 0, 59, "second")
    if micro:
        fraction = element(".000000", r"[.,]\d{6}")[1:]
    else:
        found = re.match(r"[.,](\d+)", reader.rest, re.ASCII)
        fraction = (found.group(1) + "000000")[:6] if found else "0"
        reader.rest = reader.rest[found.end() :] if found else reader.rest
    zone = element("Z07:00", r"Z|[+-]\d{2}:\d{2}")
    if zone != "Z" and (int(zone[1:3]) > 24 or int(zone[4:6]) > 60):
        raise refuse(": time zone offset hour out of range")
    if reader.rest:
        raise refuse(f": extra text: {_quoted(reader.rest)}")
    return _instant(
        (year, month, day, hour, minute, second), int(fraction), zone, refuse
    )


def _instant(
    fields: tuple[int, int, int, int, int, int],
    microsecond: int,
    zone: str,
    refuse: Callable[[str], ValueError],
) -> datetime | None:
    year, month, day, hour, minute, second = fields
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    lengths = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    if not 1 <= day <= lengths[month - 1]:
        raise refuse(": day out of range")
    try:
        local = datetime(
            year, month, day, hour, minute, second, microsecond, tzinfo=UTC
        )
        if zone != "Z":
            shift = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
            local = local - shift if zone[0] == "+" else local + shift
    except (ValueError, OverflowError):
        # Go goes below year 1 and beyond 9999; nobody's clock does.
        raise refuse(": year out of range") from None
    if microsecond == 0 and local.isoformat().startswith(_ZERO):
        return None
    return local


def micro_time(value: str) -> str | None:
    """
    Read a MicroTime and write it back in UTC with six digits and ``Z``.

    None stands for Go's zero time, which is written as null.

    Raises:
        ValueError: The value is not of the one form that is accepted.
    """
    if _USUAL_MICRO.fullmatch(value):
        return value
    parsed = _parse(value, MICRO_LAYOUT, micro=True)
    return write_micro(parsed) if parsed else None


def write_micro(moment: datetime) -> str:
    """Write an aware time as a MicroTime."""
    return (
        moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        + "Z"
    )


def time_to_seconds(value: str) -> str | None:
    """
    Read a time of metadata, and write it back in whole seconds.

    Raises:
        ValueError: The value is not RFC 3339.
    """
    if _USUAL_SECONDS.fullmatch(value):
        return value
    parsed = _parse(value, SECONDS_LAYOUT, micro=False)
    return write_seconds(parsed) if parsed else None


def write_seconds(moment: datetime) -> str:
    """Write an aware time in whole seconds, as metadata does."""
    return (
        moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
    )


_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}


def parse_duration(text: str) -> float:
    """
    Read a Go duration such as ``1m30s`` as seconds.

    Raises:
        ValueError: With the text Go gives.
    """
    rest = text.lstrip("+-") if text[:1] in {"+", "-"} else text
    sign = -1.0 if text.startswith("-") else 1.0
    if rest == "0":
        return 0.0
    if not rest:
        raise ValueError(f"time: invalid duration {_quoted(text)}")
    total = 0.0
    while rest:
        number = re.match(r"\d+\.?\d*|\.\d+", rest, re.ASCII)
        if number is None:
            raise ValueError(f"time: invalid duration {_quoted(text)}")
        rest = rest[number.end() :]
        unit = re.match(r"[^\d.]+", rest)
        if unit is None:
            raise ValueError(f"time: missing unit in duration {_quoted(text)}")
        if unit.group() not in _UNITS:
            raise ValueError(
                f"time: unknown unit {_quoted(unit.group())} in duration {_quoted(text)}"
            )
        total += float(number.group()) * _UNITS[unit.group()]
        rest = rest[unit.end() :]
    return sign * total
