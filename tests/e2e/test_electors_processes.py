"""Electors on a real kube-apiserver, when processes leave, die and stand still."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from controlplane.access import Cluster
from electors.candidates import QUICK, Candidate, Rhythm, Setting
from electors.fleet import Fleet, leads_since

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

FRONTS = pytest.mark.parametrize("front", ["threads", "asyncio"])
CROWDED = Rhythm(duration=6, interval=1, deadline=4, timeout=1.5)
"""Room for fifty TLS handshakes at once on two cores that have other work, too."""

SLACK = 6.0
"""Seconds allowed beside the bound of G6: the machine may be busy."""


@pytest.fixture
def setting(control_plane: Cluster, namespace: str) -> Setting:
    """Give what all candidates share; alice may do just what an election needs."""
    verbs = ["get", "create", "update", "watch"]
    control_plane.allow("alice", verbs, namespace=namespace, name="election")
    return Setting(kubeconfig=control_plane.kubeconfig("alice"), namespace=namespace)


def began(candidate: Candidate) -> float:
    """Return when the present term of a leader was first believed."""
    run = leads_since(candidate)
    assert run is not None
    return run[0]


def summary(name: str, times: list[float]) -> str:
    """Say how often something was done, and how long it took."""
    middle, worst = statistics.median(times), max(times)
    return f"{len(times)} x {name}, median {middle:.3f} s, longest {worst:.3f} s"


@FRONTS
def test_successor_leads_at_once_when_the_leader_stops(
    fleet: Fleet, setting: Setting, front: str, tell: Callable[[str], None]
) -> None:
    """A clean stop hands over without any overlap, and without waiting (G1, G7)."""
    fleet.start(setting, front=front)
    fleet.wait_leader()
    times = []
    for _ in range(6):
        successor = fleet.start(setting, front=front)
        fleet.wait_noted(successor, "began")
        leader = fleet.wait_leader()
        fleet.wait_noted(leader, "renewed")
        leader.stop()
        assert fleet.wait_leader(successor) is successor
        ended = leader.happened("work")[-1].instant
        times.append(began(successor) - ended)
    counted = fleet.check()
    assert max(times) < QUICK.duration
    tell(f"{summary('hand-over', times)}, 0 of {counted.instants} instants")


@FRONTS
def test_successor_leads_within_the_bound_when_the_leader_is_killed(
    fleet: Fleet, setting: Setting, front: str, tell: Callable[[str], None]
) -> None:
    """After kill -9 another one leads within G6 and never before (fault 01, G1, G6)."""
    fleet.start(setting, front=front)
    fleet.wait_leader()
    times = []
    for _ in range(5):
        successor = fleet.start(setting, front=front)
        fleet.wait_noted(successor, "began")
        # Two renewals after the successor came, it has surely seen one of them.
        leader = fleet.wait_leader()
        fleet.wait_renewals(leader, 2)
        killed = time.monotonic()
        leader.kill()
        assert fleet.wait_leader(successor) is successor
        times.append(began(successor) - killed)
    counted = fleet.check()
    assert max(times) < QUICK.duration / 0.9 + SLACK
    tell(f"{summary('kill -9', times)}, 0 of {counted.instants} instants")


@FRONTS
def test_frozen_leader_believes_nothing_when_it_wakes_up(
    fleet: Fleet, setting: Setting, front: str, tell: Callable[[str], None]
) -> None:
    """
    A leader frozen past its deadline does not work again before it leads again.

    fault 02, G1, rule 15: it looks at the clock before anything else.
    """
    for _ in range(2):
        fleet.start(setting, front=front)
    times = []
    for number in range(4):
        leader = fleet.wait_leader()
        frozen = time.monotonic()
        leader.freeze()
        try:
            other = fleet.wait_leader(
                *(c for c in fleet.candidates if c is not leader), after=frozen
            )
            times.append(began(other) - frozen)
            time.sleep(0.3 * number)  # thawed at another moment of the rival's term
        finally:
            leader.thaw()
        assert fleet.wait_noted(leader, "lost", after=frozen)
    counted = fleet.check()
    tell(f"{summary('SIGSTOP', times)}, 0 of {counted.instants} instants")


def test_leader_goes_on_when_frozen_for_less_than_its_deadline(
    fleet: Fleet, setting: Setting, tell: Callable[[str], None]
) -> None:
    """A freeze shorter than L - R costs no leadership (fault 02, G8)."""
    leader = fleet.start(setting)
    fleet.start(setting)
    leader = fleet.wait_leader()
    for _ in range(5):
        fleet.wait_renewals(leader, 1)
        leader.freeze()
        time.sleep(0.5)  # how long the freeze is
        leader.thaw()
    assert leader.happened("lost") == []
    assert len(leader.happened("acquired")) == 1
    tell(f"5 x SIGSTOP for 0.5 s, no term lost, 0 of {fleet.check().instants} instants")


def test_fifty_electors_have_one_leader_through_five_crashes(
    fleet: Fleet, setting: Setting, tell: Callable[[str], None]
) -> None:
    """
    Fifty electors in ten processes: one leader, while leading processes are killed.

    fault 44, G1.
    """
    calm = replace(setting, rhythm=CROWDED)
    for _ in range(10):
        fleet.start(calm, electors=5)
    fleet.wait_leader()
    for process in fleet.candidates:
        fleet.wait_noted(process, "began")
    for _ in range(5):
        leader = fleet.wait_leader()
        fleet.wait_noted(leader, "renewed")
        killed = time.monotonic()
        leader.kill()
        fleet.wait_leader(after=killed)
    tell(f"50 electors, 5 x kill -9, 0 of {fleet.check().instants} instants")
