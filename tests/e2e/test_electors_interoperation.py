"""Candidates of other libraries on the same Lease, on a real kube-apiserver."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from electors.candidates import Candidate, ClientGo, Official, Setting
from electors.fleet import Fleet
from electors.mixed import KINDS, RHYTHM, Start, takes_part, wait_handed_over

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def setting(mixed_setting: Setting) -> Setting:
    """Give what all candidates share."""
    return mixed_setting


def test_this_package_takes_over_when_a_rival_is_killed(
    fleet: Fleet, setting: Setting, rival: Start, tell: Callable[[str], None]
) -> None:
    """After kill -9 of a rival that leads, ours waits out its lease, no less."""
    for _ in range(2):
        leader = rival(setting)
        fleet.wait_leader(leader)
        ours = fleet.start(setting)
        takes_part(ours)
        # The record is to be a renewed one, not the first: rivals tell of no renewal
        # that could be waited for.
        time.sleep(2 * RHYTHM.interval)
        killed = time.monotonic()
        leader.kill()
        assert fleet.wait_leader(ours, after=killed) is ours
        ours.stop()
    tell(f"2 x {leader.kind} killed, 0 of {fleet.check().instants} instants")


def test_this_package_takes_over_when_a_rival_leaves(
    fleet: Fleet, setting: Setting, rival: Start, tell: Callable[[str], None]
) -> None:
    """A rival that is stopped leaves a record that ours understands."""
    for _ in range(2):
        leader = rival(setting)
        fleet.wait_leader(leader)
        ours = fleet.start(setting)
        takes_part(ours)
        # The record is to be a renewed one, not the first: rivals tell of no renewal
        # that could be waited for.
        time.sleep(RHYTHM.interval)
        stopped = time.monotonic()
        leader.stop()
        assert fleet.wait_leader(ours, after=stopped) is ours
        ours.stop()
    tell(f"2 x {leader.kind} stopped, 0 of {fleet.check().instants} instants")


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_rival_takes_over_when_this_package_is(
    how: str,
    fleet: Fleet,
    setting: Setting,
    rival: Start,
    tell: Callable[[str], None],
) -> None:
    """A rival understands the record of a leader of ours that died, and a release."""
    for _ in range(2):
        ours = fleet.start(setting)
        fleet.wait_leader(ours)
        fleet.wait_renewals(ours, 1)
        ended = time.monotonic()
        if how == "killed":
            ours.kill()
        else:
            ours.stop()
        leader = wait_handed_over(fleet, partial(rival, setting), after=ended)
        for candidate in fleet.candidates:
            candidate.kill()
    tell(f"2 x ours {how}, {leader.kind} leads, 0 of {fleet.check().instants}")


def test_three_kinds_share_one_lease_through_crashes_and_stops(
    fleet: Fleet,
    setting: Setting,
    clientgo_elector: Path,
    tell: Callable[[str], None],
) -> None:
    """Ours, client-go and the official package: nobody leads beside another."""
    start: list[Callable[[], Candidate]] = [
        partial(fleet.start, setting),
        partial(fleet.start, setting, ClientGo, program=clientgo_elector),
        partial(fleet.start, setting, Official),
    ]
    for each in start:
        takes_part(each())
    for number in range(5):
        leader = fleet.wait_leader()
        # The record is to be a renewed one, not the first: rivals tell of no renewal
        # that could be waited for.
        time.sleep(RHYTHM.interval)
        ended = time.monotonic()
        if number % 2:
            leader.stop()
        else:
            leader.kill()
        fleet.wait_leader(after=ended)
        again = next(k for k, c in enumerate(KINDS) if isinstance(leader, c))
        takes_part(start[again]())
    tell(f"3 kinds, 5 hand-overs, 0 of {fleet.check().instants} instants")
