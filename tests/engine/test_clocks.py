"""The clocks of this machine: each is read, and none is taken for another."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from kubernetes_leader_election.core.timing import MICROSECONDS
from kubernetes_leader_election.engine import clocks
from kubernetes_leader_election.engine.clocks import SystemClock
from kubernetes_leader_election.kube_api import call
from kubernetes_leader_election.kube_api.call import boottime

pytestmark = pytest.mark.skipif(
    not hasattr(time, "CLOCK_BOOTTIME"), reason="has one clock that counts from boot"
)
BOOTTIME, MONOTONIC, WALL = 5_000_000.0, 4_000_000.0, 1_900_000_000


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Give a machine that was suspended for a million seconds."""
    machine = SimpleNamespace(
        clock_gettime={time.CLOCK_BOOTTIME: BOOTTIME}.get,
        monotonic=lambda: MONOTONIC,
        time_ns=lambda: WALL * 1_000_000_000,
    )
    # Not in the module itself: other threads of this process go by that.
    for module in (clocks, call):
        monkeypatch.setattr(module, "time", machine)


def test_clocks_of_this_machine_are_all_read():
    """Rule 14: the boot time goes on in suspend, and is not the monotonic one."""
    assert SystemClock().now() == (BOOTTIME, MONOTONIC, WALL * MICROSECONDS)


def test_deadlines_of_requests_are_on_the_boottime():
    """Rule 9: on the clock of the core, which orders them: a suspend counts."""
    assert boottime() == BOOTTIME
