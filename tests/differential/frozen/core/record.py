"""
Our view of a Lease: the five spec fields of an election, read without trust.

Whatever stands in a Lease is data (rule 3): odd fields never raise. Times are kept as
microseconds since 1970 where they can be read, else as the text that was found, so
that change is seen either way; they are compared with each other, never with a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

from tests.differential.frozen.core.messages import LeaseObject

ASSUMED_DURATION: Final = 20
"""Seconds; a Lease without a duration was made by the Node package, whose default this is."""

MAX_INT32: Final = 2**31 - 1
"""Largest leaseTransitions and leaseDurationSeconds the API server takes."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_NAIVE: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - UTC: written three times faster


def as_datetime(microseconds: int) -> datetime:
    """Return a time as people's code takes it: aware, UTC, to the microsecond."""
    # Not fromtimestamp: a float cannot hold every microsecond.
    return _EPOCH + timedelta(microseconds=microseconds)


@lru_cache(maxsize=64)
def format_time(microseconds: int) -> str:
    """Write a time as the API server wants it: UTC, six digits, Z (rule 8)."""
    minute, rest = divmod(microseconds, 60_000_000)
    second, rest = divmod(rest, 1_000_000)
    return f"{_format_minute(minute)}:{second:02}.{rest:06}Z"


@lru_cache(maxsize=64)
def _format_minute(minute: int) -> str:
    """Write the part of a time that many share."""
    return (_EPOCH_NAIVE + timedelta(0, minute * 60)).isoformat("T", "minutes")


def parse_time(value: object) -> int | str | None:
    """Read any RFC 3339 time as microseconds; keep what cannot be read as text."""
    if value is None:
        return None
    if not isinstance(value, str):
        return _odd(value)
    return _read_time(value) if len(value) < 40 else _parse_time(value)


def _parse_time(value: str) -> int | str:
    try:
        # Python 3.11 takes the Z of RFC 3339 in capitals only.
        moment = datetime.fromisoformat(value.upper())
    except ValueError:
        return value
    if moment.tzinfo is None:
        return value
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


_read_time = lru_cache(maxsize=64)(_parse_time)
"""An acquire time is read with every renewal, and each renewal more than once."""


class LeaseRecord(NamedTuple):
    """
    The spec of a Lease as far as an election reads it.

    Two records are equal when these fields are: that is what change means (rule 2).
    """

    holder_identity: str
    """Empty when nobody holds the Lease."""
    lease_duration: int | None
    """Seconds, as written; None when absent or unusable."""
    acquire_time: int | str | None
    renew_time: int | str | None
    lease_transitions: int | None

    @property
    def is_free(self) -> bool:
        """Return whether nobody holds the Lease, in any released form seen (rule 3)."""
        return not self.holder_identity

    def duration(self, own: int) -> int:
        """Return the seconds this record is good for; ``own`` is our D (rules 1, 3)."""
        if self.lease_duration is not None:
            return self.lease_duration
        return max(own, ASSUMED_DURATION)


class Stamp(NamedTuple):
    """What proves a record ours: the holder and the exact times that we wrote."""

    holder_identity: str
    acquire_time: int
    renew_time: int

    def is_on(self, record: LeaseRecord) -> bool:
        """Return whether ``record`` carries this stamp."""
        holder_identity, acquire_time, renew_time = self
        return (
            record.renew_time == renew_time
            and record.acquire_time == acquire_time
            and record.holder_identity == holder_identity
        )


class Snapshot(NamedTuple):
    """One Lease as it was read: the object, and what decisions are made on (G5)."""

    lease: LeaseObject
    record: LeaseRecord
    uid: str | None
    resource_version: str
    version: int | None
    """The resourceVersion as a number, None where it is not comparable."""

    @property
    def annotations(self) -> Mapping[str, Any]:
        """Return the annotations, empty when there are none or they are odd."""
        metadata = self.lease.get("metadata")
        if not isinstance(metadata, dict):
            return {}
        return _mapping(metadata.get("annotations"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _whole(value: object, least: int) -> int | None:
    if type(value) is int and value >= least:
        return min(value, MAX_INT32)
    return None


def _odd(value: object) -> str:
    """Return a text that changes when ``value`` does, as far as that can be had."""
    try:
        return repr(value)
    except (RecursionError, ValueError):  # nested too deeply, an int with 5000 digits
        return f"unprintable {type(value).__name__}"


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else _odd(value)


def read_record(lease: LeaseObject) -> LeaseRecord:
    """Read the spec of ``lease``, whatever stands in it."""
    spec = lease.get("spec")
    get = (spec if isinstance(spec, dict) else {}).get
    return LeaseRecord(
        _text(get("holderIdentity")),
        _whole(get("leaseDurationSeconds"), 1),
        parse_time(get("acquireTime")),
        parse_time(get("renewTime")),
        _whole(get("leaseTransitions"), 0),
    )


def read_version(value: object) -> int | None:
    """Read a resourceVersion as a number; None where it cannot be compared."""
    if not isinstance(value, str) or not value.isascii() or not value.isdigit():
        return None
    if value[0] == "0" or len(value) > 40:
        return None
    return int(value)


_last: Snapshot | None = None


def read_snapshot(lease: LeaseObject) -> Snapshot:
    """Read a Lease object into a snapshot, whatever stands in it."""
    global _last
    last = _last
    if last is not None and last.lease is lease:
        # Never changed in place, so nothing else can have become of it. A simulator
        # shows one object to many electors.
        return last
    metadata = lease.get("metadata")
    if not isinstance(metadata, dict):
        metadata = {}
    resource_version = metadata.get("resourceVersion")
    uid = metadata.get("uid")
    _last = snapshot = Snapshot(
        lease,
        read_record(lease),
        uid if isinstance(uid, str) else None,
        resource_version if isinstance(resource_version, str) else "",
        read_version(resource_version),
    )
    return snapshot


def _held(stamp: Stamp, duration: int) -> dict[str, object]:
    return {
        "holderIdentity": stamp.holder_identity,
        "leaseDurationSeconds": duration,
        "acquireTime": format_time(stamp.acquire_time),
        "renewTime": format_time(stamp.renew_time),
    }


def _with_spec(snapshot: Snapshot, changes: Mapping[str, object]) -> LeaseObject:
    """Copy the Lease with a changed spec; all else is kept as read (rule 6)."""
    return {
        **snapshot.lease,
        "spec": {**_mapping(snapshot.lease.get("spec")), **changes},
    }


def created(*, name: str, namespace: str, stamp: Stamp, duration: int) -> LeaseObject:
    """Return a new Lease held by us, to be created by a PUT (rule 6)."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**_held(stamp, duration), "leaseTransitions": 1},
    }


def acquired(snapshot: Snapshot, *, stamp: Stamp, duration: int) -> LeaseObject:
    """Return the Lease as ours, one transition further (rule 6)."""
    # The server takes no more than an int32; the count then stands still.
    transitions = min((snapshot.record.lease_transitions or 0) + 1, MAX_INT32)
    held = _held(stamp, duration)
    return _with_spec(snapshot, {**held, "leaseTransitions": transitions})


def renewed(snapshot: Snapshot, *, stamp: Stamp, duration: int) -> LeaseObject:
    """Return the Lease with a fresh stamp; a hand-changed duration is put right."""
    return _with_spec(snapshot, _held(stamp, duration))


def released(snapshot: Snapshot, *, stamp: Stamp) -> LeaseObject:
    """Return the Lease as free: no holder, a duration of 1, fresh times (rule 12)."""
    free = stamp._replace(holder_identity="")
    return _with_spec(snapshot, _held(free, 1))
