"""Events: what is written of each, how many, and what becomes of those that fail."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.errors import LeaderElectionError
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.publish.event_writer import (
    AT_ONCE,
    EVERY,
    KEPT,
    EventWriter,
    event_allowance,
)
from kubernetes_leader_election.publish.lease_event import (
    LONGEST_MESSAGE,
    Happening,
    event_of,
)
from kubernetes_leader_election.testing import (
    Answer,
    ApplyThenDrop,
    Fault,
    LeaseServer,
)
from kubernetes_leader_election.values import replace
from tests.publish.told import Told

HAPPENING = Happening(
    reason="BecameLeader",
    message="a became leader",
    lease="billing",
    namespace="default",
    lease_uid="u",
    identity="a",
    at=datetime(2026, 11, 29, 20, 0, 0, 5, tzinfo=UTC),
)


@pytest.fixture
def server():
    """Give a Lease API of its own."""
    with LeaseServer() as server:
        yield server


class Clock:
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    """Give a clock."""
    return Clock()


@pytest.fixture
def begin(server, clock):
    """Give a function that returns a writer, of one life."""
    made = []

    def writer(allowance):
        made.append(
            EventWriter(
                LeaseClient(explicit(server=server.url)),
                "default",
                request_timeout=5.0,
                says=Told(),
                allowance=allowance,
                clock=clock,
            )
        )
        return made[-1]

    yield writer
    for one in made:
        one.close()


@pytest.fixture
def writer(begin):
    """Give a writer."""
    return begin(event_allowance())


def messages(server):
    """Return what was written."""
    return [event["message"] for event in server.events()]


def test_event_is_about_the_lease(server, writer):
    """As `kubectl describe` asks for it: kind, name, namespace and uid."""
    writer.take(HAPPENING)
    assert writer.work() is None
    (event,) = server.events()
    assert event["involvedObject"] == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "name": "billing",
        "namespace": "default",
        "uid": "u",
    }
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-11-29T20:00:00Z"
    assert (event["type"], event["reason"]) == ("Normal", "BecameLeader")
    assert event["source"]["component"] == "kubernetes-leader-election"


def test_what_nobody_wanted_is_a_warning():
    """So that it stands out."""
    kinds = {
        reason: event_of(replace(HAPPENING, reason=reason), suffix="x")["type"]
        for reason in (
            "BecameLeader",
            "TookOver",
            "GaveUpLeadership",
            "LostLeadership",
            "WorkDoesNotStop",
        )
    }
    assert [kind for kind, what in kinds.items() if what == "Warning"] == [
        "LostLeadership",
        "WorkDoesNotStop",
    ]


def test_long_and_odd_text_is_cut_and_escaped():
    """A server takes 1,024 characters, and a terminal no escape codes."""
    event = event_of(
        replace(HAPPENING, message="x" * 5000, identity="\x1b" * 300, lease="l" * 253),
        suffix="s" * 16,
    )
    assert len(event["message"]) == LONGEST_MESSAGE
    assert len(event["reportingInstance"]) <= 128
    assert event["reportingInstance"].isprintable()
    assert len(event["metadata"]["name"]) <= 253


def test_events_are_limited(server, writer, clock):
    """Fault 80: some in a row, then one in a while, with what was left out."""
    for _ in range(AT_ONCE + 5):
        writer.take(HAPPENING)
    writer.work()
    assert len(server.events()) == AT_ONCE
    clock.now += EVERY
    writer.take(HAPPENING)
    writer.work()
    assert messages(server)[-1] == "a became leader (5 before it were left out)"
    writer.take(HAPPENING)
    writer.work()
    assert len(server.events()) == AT_ONCE + 1


def test_lives_of_one_elector_are_limited_together(server, begin, clock):
    """Fault 80: one that is started again and again floods nobody."""
    allowance = event_allowance()
    for _ in range(AT_ONCE + 3):
        life = begin(allowance)
        life.take(HAPPENING)
        life.work()
    assert len(server.events()) == AT_ONCE
    clock.now += EVERY
    life = begin(allowance)
    life.take(HAPPENING)
    life.work()
    assert messages(server)[-1] == "a became leader (3 before it were left out)"


def test_dropped_event_hands_on_what_it_says_was_left_out(server, writer, clock):
    """Fault 80: by the next one that comes through."""
    for _ in range(AT_ONCE + 2):
        writer.take(HAPPENING)
    clock.now += EVERY
    writer.take(HAPPENING)  # it would say that two were left out
    server.faults.add(Fault(Answer(422, "Invalid", "no"), times=KEPT))
    for _ in range(KEPT):
        with pytest.raises(LeaderElectionError, match="422"):
            writer.work()
    clock.now += EVERY
    writer.take(HAPPENING)
    writer.work()
    left_out = AT_ONCE + 3
    assert messages(server) == [f"a became leader ({left_out} before it were left out)"]


def test_event_that_fails_is_sent_later_and_once(server, writer):
    """Fault 80: in its order."""
    server.faults.add(Fault(Answer(503, "ServiceUnavailable", "no"), times=1))
    writer.take(replace(HAPPENING, message="first"))
    writer.take(replace(HAPPENING, message="second"))
    with pytest.raises(LeaderElectionError, match="503"):
        writer.work()
    writer.work()
    assert messages(server) == ["first", "second"]


def test_event_that_was_applied_though_nobody_said_so_is_not_doubled(server, writer):
    """Its name is its own."""
    server.faults.add(Fault(ApplyThenDrop(), verb="create", times=1))
    writer.take(HAPPENING)
    with pytest.raises(LeaderElectionError):
        writer.work()
    writer.work()
    assert messages(server) == ["a became leader"]


def test_event_that_no_server_takes_is_dropped(server, writer):
    """It would hold up all others for ever."""
    server.faults.add(Fault(Answer(422, "Invalid", "no"), times=1))
    writer.take(replace(HAPPENING, message="first"))
    writer.take(replace(HAPPENING, message="second"))
    with pytest.raises(LeaderElectionError, match="422"):
        writer.work()
    writer.work()
    assert messages(server) == ["second"]


def test_oldest_event_is_dropped_where_too_many_wait(server, writer, clock):
    """Fault 80: an outage keeps no more than so many."""
    for number in range(KEPT + 3):
        clock.now += EVERY
        writer.take(replace(HAPPENING, message=str(number)))
    writer.work()
    found = messages(server)
    assert len(found) == KEPT
    assert found[0].startswith("3")
    assert found[-1] == f"{KEPT + 2} (one before it was left out)"


def test_missing_right_is_told_with_the_rule(server, writer):
    """Events have names of their own, so the rule names none."""
    server.faults.add(
        Fault(
            Answer(
                403,
                "Forbidden",
                'events is forbidden: User "x" cannot create resource "events" in API '
                'group "" in the namespace "default"',
            ),
            times=1,
        )
    )
    writer.take(HAPPENING)
    rule = r'- \{apiGroups: \[""\], resources: \[events\], verbs: \[create\]\}'
    with pytest.raises(LeaderElectionError, match=rule):
        writer.work()
