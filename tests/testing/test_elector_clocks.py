"""Clocks that tests move: what a suspended or paused machine does to a leader."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator

import pytest

from kubernetes_leader_election.credentials import kubeconfig
from kubernetes_leader_election.errors import ProtocolMisuseError
from kubernetes_leader_election.events import EVENTS
from kubernetes_leader_election.process.process_end import EndTimer, ProcessEnd
from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing import ElectorClocks

PATIENCE = 30.0


@pytest.fixture
def leader(elector_clocks, lease_server_kubeconfig) -> Iterator[Elector]:
    """Give an elector that leads, under clocks that can be moved."""
    elector = Elector(credentials=kubeconfig(lease_server_kubeconfig), auto_close=False)
    elector.start()
    elector.wait_until_leading(PATIENCE)
    yield elector
    elector.stop(PATIENCE)


@pytest.mark.parametrize("move", ["suspend", "elapse"])
def test_leader_believes_nothing_after_a_suspend(leader, elector_clocks, move):
    """Time that no code of ours saw go by counts at once (fault 03, rule 14, rule 15)."""
    lost = threading.Event()
    leader.on(EVENTS.LEADERSHIP_LOST, lambda _: lost.set())
    getattr(elector_clocks, move)(60)
    assert not leader.current_leader
    assert lost.wait(PATIENCE)


def test_leader_ends_its_term_after_the_machine_was_paused(leader, elector_clocks):
    """The wall clock ran ahead of the others: a guest was paused (fault 04, rule 14)."""
    lost = threading.Event()
    leader.on(EVENTS.LEADERSHIP_LOST, lambda _: lost.set())
    elector_clocks.pause(60)
    assert lost.wait(PATIENCE)


def test_leader_goes_on_when_the_wall_clock_is_set_back(leader, elector_clocks):
    """Setting the clock back lengthens nothing and shortens nothing (fault 19)."""
    before = leader.remaining()
    elector_clocks.step_wall(-3600)
    assert leader.current_leader
    assert leader.remaining() <= before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such timers")
def test_hard_fence_ends_nothing_under_moved_clocks():
    """A clock that is set back would end the process of the tests by the kernel's."""
    number, gone_off = signal.SIGRTMIN + 7, threading.Event()
    times: list[int] = []
    end = ProcessEnd()
    end.number = number

    def note(*_: object) -> None:
        times.append(number)
        gone_off.set()

    former = signal.signal(number, note)
    try:
        timer = EndTimer(end)
        with ElectorClocks():
            timer.arm(boottime=1.0, wall=3e9)
        assert not times
        timer.arm(boottime=1.0, wall=3e9)
        assert gone_off.wait(PATIENCE)
        timer.call_off()
    finally:
        signal.signal(number, former)
    assert times == [number]


def test_clocks_are_moved_by_one_at_a_time(elector_clocks):
    """Two that move the same clocks would undo each other's work."""
    with pytest.raises(ProtocolMisuseError), ElectorClocks():
        pass


def test_clocks_are_right_again_afterwards():
    """Nothing of what was added stays."""
    from kubernetes_leader_election.engine.clocks import SystemClock

    clock = SystemClock()
    before = clock.now().boottime
    with ElectorClocks() as clocks:
        clocks.elapse(1000)
        assert clock.now().boottime >= before + 1000
        assert clock.now().monotonic >= clocks._monotonic
    assert clock.now().boottime < before + 1000
