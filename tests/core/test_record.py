"""Our view of a Lease: round trips, odd fields, hostile JSON, all forms of time."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubernetes_leader_election.core import record as rec
from kubernetes_leader_election.core import record as record_module
from kubernetes_leader_election.core.record import (
    MAX_INT32,
    LeaseRecord,
    Snapshot,
    Stamp,
    format_time,
    parse_time,
    read_record,
    read_snapshot,
    read_version,
)
from tests.core.harness import FUZZ

MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
"""What the API server takes: exactly six digits, and Z."""

FIRST = -62_135_596_800_000_000
"""The year 1, in microseconds since 1970."""
LAST = 253_402_300_799_999_999
"""The end of the year 9999."""

moments = st.integers(FIRST, LAST)
stamps = st.builds(
    Stamp, holder_identity=st.text(min_size=1), acquire_time=moments, renew_time=moments
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**320)
    | st.floats()
    | st.text()
    | st.sampled_from(["", "2024-01-01T00:00:00Z", "9999-99-99T99:99:99.999999Z"])
)
odd_json = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=8,
)
odd_specs = st.dictionaries(
    st.sampled_from(
        [
            "holderIdentity",
            "leaseDurationSeconds",
            "acquireTime",
            "renewTime",
            "leaseTransitions",
            "strategy",
        ]
    ),
    odd_json,
)
odd_metadata = st.dictionaries(
    st.sampled_from(["name", "uid", "resourceVersion", "annotations", "labels"]),
    odd_json,
)
odd_leases = st.dictionaries(st.text(), odd_json, max_size=2) | st.builds(
    lambda metadata, spec: {"metadata": metadata, "spec": spec},
    odd_metadata | odd_json,
    odd_specs | odd_json,
)


def snapshot_of(spec=None, **metadata):
    """Give a snapshot of a Lease with this spec."""
    metadata = {"name": "x", "uid": "u", "resourceVersion": "7", **metadata}
    return read_snapshot({"metadata": metadata, "spec": spec})


# Times ------------------------------------------------------------------------


@FUZZ
@given(moments)
def test_times_come_back_as_they_were_written(moment):
    """Rule 8, fault 52: what is written is read back to the microsecond."""
    assert parse_time(format_time(moment)) == moment


@FUZZ
@given(moments)
def test_times_are_written_with_six_digits(moment):
    """Rule 8, fault 52: times on the wire have UTC, exactly six digits, and Z."""
    assert MICRO_TIME.fullmatch(format_time(moment))


@pytest.mark.parametrize("fraction", [0, 1, 10, 999_999, 100_000, 500_000])
def test_no_fraction_is_shortened(fraction):
    """Rule 8, fault 52: a zero fraction is written out too, once in a million writes."""
    text = format_time(1_704_067_200_000_000 + fraction)
    assert text == f"2024-01-01T00:00:00.{fraction:06}Z"


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        pytest.param("2024-01-01T00:00:00Z", 0, id="no fraction"),
        pytest.param("2024-01-01T00:00:00.5Z", 500_000, id="one digit"),
        pytest.param("2024-01-01T00:00:00.123Z", 123_000, id="three digits"),
        pytest.param("2024-01-01T00:00:00.123456Z", 123_456, id="six digits"),
        pytest.param("2024-01-01T00:00:00.123456789Z", 123_456, id="nine digits"),
        pytest.param("2024-01-01T00:00:00z", 0, id="small z"),
        pytest.param("2024-01-01t00:00:00.000001Z", 1, id="small t"),
        pytest.param("2024-01-01 00:00:00Z", 0, id="blank for T"),
        pytest.param("2024-01-01T00:00:00+00:00", 0, id="offset of zero"),
        pytest.param("2024-01-01T00:00:00-00:00", 0, id="unknown offset"),
        pytest.param("2024-01-01T05:30:00.25+05:30", 250_000, id="east"),
        pytest.param("2023-12-31T16:00:00-08:00", 0, id="west, the day before"),
    ],
)
def test_any_rfc_3339_time_is_read(text, microseconds):
    """Fault 52: every form of RFC 3339 is the instant it means."""
    assert parse_time(text) == 1_704_067_200_000_000 + microseconds


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("yesterday", id="words"),
        pytest.param("2024-01-01T00:00:00", id="no zone"),
        pytest.param("2024-01-01", id="a day"),
        pytest.param("2024-01-01T00:00:60Z", id="a leap second"),
        pytest.param("2024-13-01T00:00:00Z", id="month 13"),
        pytest.param("\ud800", id="half a character"),
    ],
)
def test_times_that_cannot_be_read_are_kept_as_text(text):
    """Rule 3: what cannot be read as a time is data, and a change of it is seen."""
    assert parse_time(text) == text


@pytest.mark.parametrize("value", [0, 1.5, True, [], {"a": 1}, 10**5000], ids=type)
def test_times_of_another_type_are_kept_as_text(value):
    """Rule 3, fault 37: a time that is no text at all is data too."""
    assert isinstance(parse_time(value), str)
    assert parse_time(None) is None


# Records ----------------------------------------------------------------------


@FUZZ
@given(odd_leases)
def test_hostile_lease_is_data(lease):
    """Rule 3, faults 37 and 51: whatever stands in a Lease is read without trust."""
    snapshot = read_snapshot(lease)
    record = snapshot.record
    assert isinstance(record.holder_identity, str)
    assert record.is_free is (record.holder_identity == "")
    assert record.lease_duration is None or 1 <= record.lease_duration <= MAX_INT32
    assert record.lease_transitions is None or record.lease_transitions >= 0
    assert 1 <= record.duration(20) <= MAX_INT32
    assert isinstance(record.acquire_time, int | str | None)
    assert isinstance(record.renew_time, int | str | None)
    assert (
        snapshot.version is None or str(snapshot.version) == snapshot.resource_version
    )
    assert isinstance(snapshot.annotations, dict)
    assert read_snapshot(lease) == snapshot


@FUZZ
@given(odd_specs, stamps)
def test_own_write_is_recognised_over_any_spec(spec, stamp):
    """Rule 5: what we wrote over the oddest record is proved by its stamp."""
    snapshot = snapshot_of(spec)
    lease = rec.acquired(snapshot, stamp=stamp, duration=20)
    assert stamp.is_on(read_record(lease))
    again = rec.renewed(read_snapshot(lease), stamp=stamp, duration=20)
    assert stamp.is_on(read_record(again))


@FUZZ
@given(odd_specs, stamps, st.integers(1, MAX_INT32))
def test_record_survives_json(spec, stamp, duration):
    """A record that we wrote is the same after a trip over the wire."""
    lease = rec.acquired(snapshot_of({}), stamp=stamp, duration=duration)
    wire = json.loads(json.dumps(lease))
    assert read_record(wire) == LeaseRecord(
        holder_identity=stamp.holder_identity,
        lease_duration=duration,
        acquire_time=stamp.acquire_time,
        renew_time=stamp.renew_time,
        lease_transitions=1,
    )


@pytest.mark.parametrize(
    ("holder", "free"),
    [
        pytest.param(None, True, id="null"),
        pytest.param("", True, id="empty"),
        pytest.param("b", False, id="a name"),
        pytest.param(" ", False, id="a blank"),
        pytest.param(0, False, id="a number"),
        pytest.param(False, False, id="a bool"),
        pytest.param([], False, id="a list"),
    ],
)
def test_holder_is_free_when_empty_or_absent(holder, free):
    """Rule 3: holder empty or absent is free; anything else holds."""
    assert read_record({"spec": {"holderIdentity": holder}}).is_free is free


@pytest.mark.parametrize("spec", [None, {}, [], "text"], ids=repr)
def test_spec_may_be_missing(spec):
    """Rule 3: a Lease without a spec is a free one."""
    record = read_record({"spec": spec})
    assert record.is_free
    assert record.duration(30) == 30


@pytest.mark.parametrize(
    ("written", "own", "expected"),
    [
        pytest.param(None, 20, 20, id="absent, ours as long as the assumed"),
        pytest.param(None, 5, 20, id="absent, ours shorter"),
        pytest.param(None, 60, 60, id="absent, ours longer"),
        pytest.param(0, 20, 20, id="zero is unusable"),
        pytest.param(-1, 20, 20, id="negative is unusable"),
        pytest.param(True, 20, 20, id="a bool is unusable"),
        pytest.param(15.0, 60, 60, id="a float is unusable"),
        pytest.param("15", 60, 60, id="text is unusable"),
        pytest.param(1, 20, 1, id="the least"),
        pytest.param(MAX_INT32, 20, MAX_INT32, id="the most"),
        pytest.param(MAX_INT32 + 1, 20, MAX_INT32, id="more than the server takes"),
        pytest.param(10**400, 20, MAX_INT32, id="more than a float takes"),
    ],
)
def test_duration_is_the_records_own(written, own, expected):
    """Rule 3, fault 37: an absent duration is the larger of ours and 20 s."""
    record = read_record({"spec": {"leaseDurationSeconds": written}})
    assert record.duration(own) == expected
    assert float(record.duration(own)) == expected


def test_time_is_remembered_and_a_megabyte_in_its_place_is_not():
    """Fault 51: each renewal brings a record's times again, or whatever stands there."""
    record_module._read_time.cache_clear()
    for odd in ("x", "y"):
        record_module.parse_time("2026-01-01T00:00:00.000000Z")
        record_module.parse_time(odd * 1_000_000)
    kept = record_module._read_time.cache_info()
    assert (kept.hits, kept.misses) == (1, 1)


def test_largest_number_is_that_of_the_server():
    """Rule 3: an int32, which is what the API has; a smaller bound would cut waits."""
    assert MAX_INT32 == 2_147_483_647


def test_text_of_an_identity_is_kept_as_read():
    """Fault 51: newlines, escape codes and a megabyte are compared as they stand."""
    name = "\x1b[2J\n" + "x" * 1_000_000
    assert read_record({"spec": {"holderIdentity": name}}).holder_identity == name


def test_odd_holders_without_a_text_form_still_hold():
    """Rule 3, fault 49: what cannot even be printed is data, and holds."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    record = read_record({"spec": {"holderIdentity": deep, "renewTime": 10**5000}})
    assert record.holder_identity == "unprintable list"
    assert record.renew_time == "unprintable int"
    while deep:
        deep = deep[0]  # lest its end be as deep


@pytest.mark.parametrize(
    ("text", "number"),
    [
        pytest.param("1", 1, id="one"),
        pytest.param("4711", 4711, id="digits"),
        pytest.param("9" * 40, 10**40 - 1, id="40 digits"),
        pytest.param("9" * 41, None, id="41 digits"),
        pytest.param("0", None, id="zero"),
        pytest.param("007", None, id="leading zeros"),
        pytest.param("+5", None, id="a sign"),
        pytest.param("", None, id="empty"),
        pytest.param("abc", None, id="letters"),
        pytest.param("\u0665", None, id="digits of another script"),
        pytest.param("\u00b2", None, id="a superscript"),
        pytest.param(5, None, id="a number"),
        pytest.param(None, None, id="null"),
    ],
)
def test_resource_version_is_a_number_or_cannot_be_compared(text, number):
    """G3: resourceVersions are compared as numbers, or not at all."""
    assert read_version(text) == number


def test_snapshot_of_odd_metadata_has_no_uid_and_no_version():
    """Rule 3: metadata is not trusted either."""
    for metadata in (None, [], {"uid": 5, "resourceVersion": 5}):
        snapshot = read_snapshot({"metadata": metadata})
        assert (snapshot.uid, snapshot.resource_version) == (None, "")
        assert snapshot.version is None
        assert snapshot.annotations == {}


# Writing ----------------------------------------------------------------------

STAMP = Stamp(holder_identity="a", acquire_time=10, renew_time=11)


def test_stamp_needs_the_holder_and_both_times():
    """Rule 9: a match needs the holder too."""
    mine = read_record(rec.created(name="x", namespace="n", stamp=STAMP, duration=20))
    assert STAMP.is_on(mine)
    others = [
        Stamp(holder_identity="ab", acquire_time=10, renew_time=11),
        Stamp(holder_identity="a", acquire_time=11, renew_time=11),
        Stamp(holder_identity="a", acquire_time=10, renew_time=12),
    ]
    assert [s.is_on(mine) for s in others] == [False] * 3


def test_creating_write_has_no_version_and_no_uid():
    """Rule 6: a missing Lease is created by a PUT without resourceVersion and uid."""
    lease = rec.created(name="x", namespace="n", stamp=STAMP, duration=20)
    assert lease == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "x", "namespace": "n"},
        "spec": {
            "holderIdentity": "a",
            "leaseDurationSeconds": 20,
            "acquireTime": "1970-01-01T00:00:00.000010Z",
            "renewTime": "1970-01-01T00:00:00.000011Z",
            "leaseTransitions": 1,
        },
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(None, 1, id="absent counts as none"),
        pytest.param(0, 1, id="none"),
        pytest.param(7, 8, id="some"),
        pytest.param(MAX_INT32, MAX_INT32, id="the most the server takes"),
        pytest.param("7", 1, id="text is unusable"),
        pytest.param(-3, 1, id="negative is unusable"),
    ],
)
def test_acquiring_write_counts_transitions(before, after):
    """Rule 6: transitions go up by one; absent counts as 0."""
    lease = rec.acquired(
        snapshot_of({"leaseTransitions": before}), stamp=STAMP, duration=20
    )
    assert lease["spec"]["leaseTransitions"] == after


@pytest.mark.parametrize("write", ["acquired", "renewed", "released"])
def test_writes_keep_what_is_not_theirs(write):
    """Rule 6: unknown fields, labels, annotations, owner references are kept."""
    lease = {
        "metadata": {
            "uid": "u",
            "resourceVersion": "7",
            "labels": {"a": "b"},
            "ownerReferences": [{"kind": "Pod"}],
            "managedFields": [],
        },
        "spec": {"strategy": "OldestEmulationVersion", "holderIdentity": "b"},
        "futureField": {"x": 1},
    }
    more = {} if write == "released" else {"duration": 20}
    written = getattr(rec, write)(read_snapshot(lease), stamp=STAMP, **more)
    assert written["metadata"] is lease["metadata"]
    assert written["futureField"] == {"x": 1}
    assert written["spec"]["strategy"] == "OldestEmulationVersion"
    assert lease["spec"] == {
        "strategy": "OldestEmulationVersion",
        "holderIdentity": "b",
    }


def test_renewal_puts_a_changed_duration_right_and_keeps_transitions():
    """Rule 6: a renewal writes holder, duration and times, and nothing else."""
    before = snapshot_of({"leaseDurationSeconds": 3600, "leaseTransitions": 7})
    assert rec.renewed(before, stamp=STAMP, duration=20)["spec"] == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 20,
        "acquireTime": "1970-01-01T00:00:00.000010Z",
        "renewTime": "1970-01-01T00:00:00.000011Z",
        "leaseTransitions": 7,
    }


def test_releasing_write_is_free_and_short():
    """Rule 12: holder "", duration 1, fresh times, transitions kept."""
    before = snapshot_of({"holderIdentity": "a", "leaseTransitions": 7})
    lease = rec.released(before, stamp=STAMP)
    record = read_record(lease)
    assert record.is_free
    assert (record.lease_duration, record.lease_transitions) == (1, 7)
    assert (record.acquire_time, record.renew_time) == (10, 11)


def test_snapshots_are_values():
    """Two reads of one Lease are equal, and neither can be changed."""
    one = snapshot_of({"holderIdentity": "a"})
    assert one == snapshot_of({"holderIdentity": "a"})
    assert isinstance(one, Snapshot)
    with pytest.raises(AttributeError):
        one.uid = "v"
