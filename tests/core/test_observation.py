"""What a candidate knows of the Lease, and since when."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.core.observation import Observation
from kubernetes_leader_election.core.record import read_snapshot
from kubernetes_leader_election.core.states import Fact
from tests.core.harness import Clock


def snapshot(version="7", uid="u", labels=None, **spec):
    """Give a snapshot of a Lease held by b, unless said otherwise."""
    metadata = {"uid": uid, "resourceVersion": version, "labels": labels}
    spec = {"holderIdentity": "b", "leaseDurationSeconds": 15, **spec}
    return read_snapshot({"metadata": metadata, "spec": spec})


def seen(*snapshots, clock):
    """Give an observation that saw these."""
    observation = Observation(20)
    for one in snapshots:
        observation.see(one, clock.now())
    return observation


def test_nothing_known_is_no_verdict():
    """Before the first read nothing is held, free or expired."""
    observation = Observation(20)
    assert observation.verdict(Clock().now()) is None
    assert observation.record is None
    assert observation.left(Clock().now()) == 20.0


@pytest.mark.parametrize(
    ("gone", "verdict"),
    [
        pytest.param(0.0, Fact.HELD, id="at once"),
        pytest.param(14.999_999, Fact.HELD, id="just before"),
        pytest.param(15.0, Fact.EXPIRED, id="exactly at the record's duration"),
    ],
)
def test_held_lease_expires_after_its_own_duration(gone, verdict):
    """Rule 1: for *the record's own* duration, counted from its first receipt."""
    clock = Clock()
    observation = seen(snapshot(), clock=clock)
    clock.advance(gone)
    assert observation.verdict(clock.now()) is verdict


def test_change_is_judged_by_the_spec():
    """Rule 2: a controller that touches labels does not restart the wait."""
    clock = Clock()
    observation = seen(snapshot(), clock=clock)
    clock.advance(10)
    assert not observation.see(snapshot("9", labels={"x": "y"}), clock.now())
    clock.advance(5)
    assert observation.verdict(clock.now()) is Fact.EXPIRED
    assert observation.resource_version == "9"


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"holderIdentity": "c"}, id="holder"),
        pytest.param({"leaseDurationSeconds": 16}, id="duration"),
        pytest.param({"acquireTime": "2024-01-01T00:00:00.000000Z"}, id="acquire time"),
        pytest.param({"renewTime": "2024-01-01T00:00:00.000000Z"}, id="renew time"),
        pytest.param({"leaseTransitions": 1}, id="transitions"),
        pytest.param({"uid": "v"}, id="uid"),
    ],
)
def test_each_field_of_the_record_counts_as_change(changed):
    """Rule 1: uid, holder, duration, acquire and renew times, transitions."""
    clock = Clock()
    observation = seen(snapshot(), clock=clock)
    clock.advance(14)
    assert observation.see(snapshot("8", **changed), clock.now())
    clock.advance(14)
    assert observation.verdict(clock.now()) is Fact.HELD


def test_free_lease_is_free_at_once():
    """Rule 3: holder empty or absent = free at once."""
    clock = Clock()
    observation = seen(snapshot(holderIdentity=""), clock=clock)
    assert observation.verdict(clock.now()) is Fact.FREE


def test_missing_lease_is_free_to_a_process_with_no_history():
    """Rule 4: a process with no history may create at once."""
    observation, clock = Observation(20), Clock()
    assert observation.see_missing(clock.now())
    assert observation.verdict(clock.now()) is Fact.FREE


@pytest.mark.parametrize(
    ("before", "wait"),
    [
        pytest.param({"leaseDurationSeconds": 15}, 20.0, id="held for less than ours"),
        pytest.param({"leaseDurationSeconds": 60}, 60.0, id="held for more than ours"),
        pytest.param(
            {"holderIdentity": "", "leaseDurationSeconds": 60}, 20.0, id="released"
        ),
    ],
)
def test_missing_lease_that_was_seen_is_waited_for(before, wait):
    """Rule 4: 404 after having seen a held Lease starts a full wait."""
    clock = Clock()
    observation = seen(snapshot(**before), clock=clock)
    clock.advance(5)
    assert observation.see_missing(clock.now())
    clock.advance(wait - 0.001)
    assert not observation.see_missing(clock.now()), "seen again, not anew"
    assert observation.verdict(clock.now()) is Fact.HELD
    clock.advance(0.001)
    assert observation.verdict(clock.now()) is Fact.EXPIRED


def test_candidate_waits_by_the_slower_clock():
    """Rule 14, fault 03: time in suspend does not count for a candidate."""
    clock = Clock()
    observation = seen(snapshot(), clock=clock)
    clock.suspend(3600)
    assert observation.verdict(clock.now()) is Fact.HELD
    clock.advance(15)
    assert observation.verdict(clock.now()) is Fact.EXPIRED


@pytest.mark.parametrize(
    ("known", "news", "verdict"),
    [
        pytest.param("7", "8", True, id="newer"),
        pytest.param("7", "7", False, id="the same"),
        pytest.param("10", "9", False, id="older, by number and not by text"),
        pytest.param("7", "x8", None, id="not comparable"),
        pytest.param("x7", "8", None, id="known is not comparable"),
    ],
)
def test_news_is_newer_than_all_known(known, news, verdict):
    """Rule 11: resourceVersion not above the last one proves nothing."""
    observation = seen(snapshot(known), clock=Clock())
    assert observation.is_news(snapshot(news)) is verdict


def test_anything_is_news_when_nothing_is_known():
    """The first sighting is news whatever its version."""
    assert Observation(20).is_news(snapshot("x"))


def test_bookmark_moves_the_watch_and_nothing_else():
    """Rule 16: a bookmark says where a watch has come to, not what stands there."""
    observation = seen(snapshot("7"), clock=Clock())
    observation.bookmark("12", 12)
    assert observation.watch_from == "12"
    assert observation.resource_version == "7"
    observation.bookmark("3", 3)
    observation.bookmark("x", None)
    assert observation.watch_from == "12"
    assert observation.is_news(snapshot("8"))


def test_bookmark_counts_before_anything_else_was_heard():
    """Rule 16: a watch of a missing Lease may bring a bookmark first."""
    observation = Observation(20)
    observation.bookmark("12", 12)
    assert observation.watch_from == "12"


def test_forgetting_keeps_that_the_lease_existed():
    """Rule 4: whoever saw the Lease once has a history for good."""
    clock = Clock()
    observation = seen(snapshot(), clock=clock)
    observation.forget()
    assert observation.verdict(clock.now()) is None
    assert observation.record is None
    assert (observation.watch_from, observation.version) == ("", None)
    observation.see_missing(clock.now())
    assert observation.verdict(clock.now()) is Fact.HELD


@pytest.mark.parametrize(
    ("last", "wait"),
    [
        pytest.param(
            {"leaseDurationSeconds": 60}, 60.0, id="held for longer than ours"
        ),
        pytest.param({"leaseDurationSeconds": 5}, 20.0, id="held for less than ours"),
        pytest.param({"holderIdentity": ""}, 20.0, id="released"),
    ],
)
def test_lease_that_is_gone_after_a_restart_is_waited_for_as_its_holder_wrote(
    last, wait
):
    """Rule 4: stop() and start() do not shorten what was seen held (G5)."""
    clock = Clock()
    observation = seen(snapshot(), snapshot("8", **last), clock=clock)
    observation.forget()
    observation.see_missing(clock.now())
    assert observation.left(clock.now()) == wait
