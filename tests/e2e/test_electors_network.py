"""Electors behind a network that loses packets: real ones, or held by the proxy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Protocol

import pytest
from controlplane.control_plane import ControlPlane
from electors.candidates import QUICK, Candidate, Setting
from electors.fleet import Fleet
from electors.network import Network, why_impossible

from kubernetes_leader_election.testing import TcpProxy

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


class Line(Protocol):
    """The way of one candidate to the server, which can be broken."""

    def black_hole(self, direction: Any = ...) -> None:
        """Lose everything, one way or both ways."""

    def heal(self) -> None:
        """Lose nothing any more."""


@pytest.fixture(scope="module")
def own() -> Iterator[ControlPlane]:
    """Start a pair that listens on all addresses, for hosts on networks of ours."""
    with ControlPlane(apiserver_flags=["--bind-address=0.0.0.0"]) as started:
        yield started


class Place:
    """Where candidates with lines of their own are started."""

    def __init__(self, own: ControlPlane, network: Network | None) -> None:
        self._own = own
        self._network = network
        self._stack = ExitStack()
        self._namespace = own.namespace()
        verbs = ["get", "create", "update", "watch"]
        own.allow("alice", verbs, namespace=self._namespace, name="election")
        self.lines: dict[str, Line] = {}

    def start(self, fleet: Fleet) -> Candidate:
        """Start a candidate with a line of its own."""
        line: Any
        if self._network is None:
            line = self._stack.enter_context(TcpProxy(self._own.server_url))
            setting = self._setting(line.url)
        else:
            line = self._network.host()
            address = f"https://{self._network.server}:{self._own.port}"
            setting = replace(self._setting(address), before=line.command)
        candidate = fleet.start(setting)
        self.lines[candidate.name] = line
        return candidate

    def _setting(self, server: str) -> Setting:
        config = self._own.kubeconfig("alice", server=server, server_name="localhost")
        return Setting(kubeconfig=config, namespace=self._namespace)

    def close(self) -> None:
        """Stop the proxies."""
        self._stack.close()


@contextmanager
def place_of(kind: str, own: ControlPlane) -> Iterator[Place]:
    """Set up a network of one kind."""
    with ExitStack() as stack:
        network = None
        if kind == "lost packets":
            if problem := why_impossible():
                message = f"no network namespaces: {problem}"
                pytest.skip(message)
            network = stack.enter_context(Network())
        place = Place(own, network)
        stack.callback(place.close)
        yield place


@pytest.fixture(params=["lost packets", "held by the proxy"])
def place(request: pytest.FixtureRequest, own: ControlPlane) -> Iterator[Place]:
    """Give a network: one of namespaces that loses packets, or a proxy that holds."""
    with place_of(request.param, own) as made:
        yield made


@pytest.mark.parametrize("direction", ["both", "to_server", "to_client"])
def test_leader_ends_in_time_and_comes_back_when_its_line_is_a_black_hole(
    fleet: Fleet, place: Place, direction: str, tell: Callable[[str], None]
) -> None:
    """
    Cut off one way or both ways, the leader ends its term before another begins one.

    fault 22 (both), fault 23 (answers lost: its renewals arrive), G1, G2, G8. After
    the line is healed the candidate contends again.
    """
    fleet.pair(lambda: place.start(fleet))
    for _ in range(2):
        leader = fleet.wait_leader()
        fleet.wait_renewals(leader, 1)
        cut = time.monotonic()
        place.lines[leader.name].black_hole(direction)
        fleet.wait_noted(leader, "lost", after=cut)
        lost = leader.happened("lost")[-1].instant
        assert lost - cut < QUICK.deadline + QUICK.interval + 3
        others = [c for c in fleet.candidates if c is not leader]
        successor = fleet.wait_leader(*others, after=cut)
        assert successor is not leader
        place.lines[leader.name].heal()
    # Whoever was healed last takes part again: it leads when the other one leaves.
    leader = fleet.wait_leader()
    stopped = time.monotonic()
    leader.stop()
    fleet.wait_leader(*(c for c in fleet.candidates if c.alive), after=stopped)
    tell(f"2 x black hole {direction}, 0 of {fleet.check().instants} instants")


def test_candidate_takes_over_after_its_own_line_was_a_black_hole(
    fleet: Fleet, place: Place
) -> None:
    """A candidate whose watch went silent finds out by itself (fault 25, rule 16)."""
    leader, other = fleet.pair(lambda: place.start(fleet))
    place.lines[other.name].black_hole()
    time.sleep(QUICK.duration)
    assert leader.happened("lost") == []
    place.lines[other.name].heal()
    fleet.wait_renewals(leader, 6)
    stopped = time.monotonic()
    leader.stop()
    assert fleet.wait_leader(after=stopped) is other
    fleet.check()


def test_leader_keeps_its_term_when_its_connections_are_half_open(
    fleet: Fleet, own: ControlPlane, tell: Callable[[str], None]
) -> None:
    """
    Connections whose other end died unnoticed cost one timeout, not the term.

    fault 25, G8: half an L is enough for a second try on a fresh connection.
    """
    with place_of("held by the proxy", own) as place:
        leader, other = fleet.pair(lambda: place.start(fleet))
        for _ in range(4):
            for line in place.lines.values():
                line.half_open()
            fleet.wait_renewals(leader, 2)
        assert leader.happened("lost") == []
        stopped = time.monotonic()
        leader.stop()
        assert fleet.wait_leader(after=stopped) is other
    tell(f"4 x half-open, no term lost; {fleet.check().instants} instants")


def test_election_goes_on_when_the_server_forgets_its_connections(
    fleet: Fleet, own: ControlPlane, tell: Callable[[str], None]
) -> None:
    """
    Half-open for real: the server is killed and restarted behind a black hole.

    fault 25: the end of the connections is lost with all other packets.
    """
    with place_of("lost packets", own) as place:
        fleet.pair(lambda: place.start(fleet))
        leader = fleet.wait_leader()
        for line in place.lines.values():
            line.black_hole()
        own.restart_apiserver()
        fleet.wait_no_leader()
        healed = time.monotonic()
        for line in place.lines.values():
            line.heal()
        fleet.wait_leader(after=healed)
        assert leader.alive
    tell(f"1 x server gone behind a black hole; {fleet.check().instants} instants")


def test_leader_keeps_its_term_when_its_connections_are_reset(
    fleet: Fleet, own: ControlPlane, tell: Callable[[str], None]
) -> None:
    """Resets in quick succession are met with fresh connections (fault 24, G8)."""
    with place_of("held by the proxy", own) as place:
        leader, _other = fleet.pair(lambda: place.start(fleet))
        for _ in range(10):
            place.lines[leader.name].reset()
            time.sleep(0.2)
        fleet.wait_renewals(leader, 2)
        assert leader.happened("lost") == []
    tell(f"10 x reset, no term lost; {fleet.check().instants} instants")
