"""What rivals do that makes two leaders, and this package beside them does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from controlplane.access import Cluster, lease_path
from electors.candidates import Candidate, ClientGo, Setting
from electors.fleet import Fleet
from electors.mixed import RHYTHM, Start, takes_part, wait_handed_over

from kubernetes_leader_election.testing import TcpProxy

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def setting(mixed_setting: Setting) -> Setting:
    """Give what all candidates share."""
    return mixed_setting


def test_rival_works_on_after_it_was_frozen(
    fleet: Fleet, setting: Setting, rival: Start, tell: Callable[[str], None]
) -> None:
    """
    A known defect of the rivals: who wakes up late works on until it asks the server.

    Only a fencing token guards against that. Ours looks at the clock first, so the
    other way round nothing overlaps. Should this fail, a rival has become better:
    say so in docs/interoperation.md.
    """
    frozen = rival(setting)
    fleet.wait_leader(frozen)
    ours = fleet.start(setting)
    takes_part(ours)
    # The record is to be a renewed one, not the first: rivals tell of no renewal
    # that could be waited for.
    time.sleep(RHYTHM.interval)
    frozen.freeze()
    fleet.wait_leader(ours)
    thawed = time.monotonic()
    frozen.thaw()
    fleet.wait_no_leader(frozen)
    ends = [run[1] for run in frozen.log().runs("work")]
    stale = max(ends) - thawed
    assert stale > 0, "it did not work on"
    assert fleet.count().overlaps > 0
    assert ours.happened("lost") == []
    tell(f"{frozen.kind} frozen past its lease: stale work for {stale:.2f} s")


def in_a_black_hole(
    fleet: Fleet, setting: Setting, cluster: Cluster, rival: Start
) -> tuple[Candidate, bool]:
    """
    Cut a rival that leads off, and let ours take over.

    Returns:
        the rival, killed, and whether it still worked two intervals later.

    """
    with TcpProxy(cluster.server_url) as proxy:
        config = cluster.kubeconfig("carol", server=proxy.url)
        leader = rival(replace(setting, kubeconfig=config))
        fleet.wait_leader(leader)
        ours = fleet.start(setting)
        takes_part(ours)
        # The record is to be a renewed one, not the first: rivals tell of no renewal
        # that could be waited for.
        time.sleep(2 * RHYTHM.interval)
        cut = time.monotonic()
        proxy.black_hole()
        fleet.wait_leader(ours, after=cut)
        time.sleep(2 * RHYTHM.interval)  # what is measured: does it work so long after?
        still = leader is fleet.leader([leader])
        leader.kill()
    assert ours.happened("lost") == []
    return leader, still


def test_clientgo_ends_its_term_in_a_black_hole_unless_it_has_to_release(
    fleet: Fleet,
    setting: Setting,
    clientgo_elector: Path,
    control_plane: Cluster,
    tell: Callable[[str], None],
) -> None:
    """Without ReleaseOnCancel client-go stops before its lease is over: no overlap."""
    rival = partial(fleet.start, kind=ClientGo, program=clientgo_elector, release=False)
    _, still = in_a_black_hole(fleet, setting, control_plane, rival)
    assert not still
    tell(f"client-go without release: 0 of {fleet.check().instants} instants")


def test_clientgo_that_releases_works_on_in_a_black_hole(
    fleet: Fleet,
    setting: Setting,
    clientgo_elector: Path,
    control_plane: Cluster,
    tell: Callable[[str], None],
) -> None:
    """
    A known defect of client-go: with ReleaseOnCancel it releases before it cancels.

    The release hangs in the black hole, and the work goes on beside its successor's
    (fault 10: kubernetes/kubernetes#139504).
    """
    rival = partial(fleet.start, kind=ClientGo, program=clientgo_elector, release=True)
    _, still = in_a_black_hole(fleet, setting, control_plane, rival)
    overlaps = fleet.count().overlaps
    assert overlaps > 0
    assert not still
    tell(f"client-go with release: {overlaps} instants with two leaders")


@pytest.mark.parametrize(
    "rival", ["official Python package", "Node package"], indirect=True
)
def test_rival_works_on_in_a_black_hole(
    fleet: Fleet,
    setting: Setting,
    rival: Start,
    control_plane: Cluster,
    tell: Callable[[str], None],
) -> None:
    """
    A known defect of these two: requests without a deadline, and no clock meanwhile.

    The work goes on for as long as the black hole holds, beside its successor's.
    """
    leader, still = in_a_black_hole(fleet, setting, control_plane, rival)
    overlaps = fleet.count().overlaps
    assert overlaps > 0
    assert still
    tell(f"{leader.kind}: {overlaps} instants with two leaders, and no end")


def test_this_package_never_works_on_beside_a_rival(
    fleet: Fleet,
    setting: Setting,
    rival: Start,
    control_plane: Cluster,
    tell: Callable[[str], None],
) -> None:
    """Frozen, or in a black hole, ours has ended its term before a rival begins one."""
    with TcpProxy(control_plane.server_url) as proxy:
        config = control_plane.kubeconfig("carol", server=proxy.url)
        for fault in ("frozen", "cut off"):
            ours = fleet.start(replace(setting, kubeconfig=config))
            fleet.wait_leader(ours)
            fleet.wait_renewals(ours, 1)
            begun = time.monotonic()
            ours.freeze() if fault == "frozen" else proxy.black_hole()
            leader = wait_handed_over(fleet, partial(rival, setting), after=begun)
            ours.thaw()
            time.sleep(RHYTHM.interval)  # time in which it could do harm
            fleet.wait_noted(ours, "lost", after=begun)
            proxy.heal()
            for candidate in fleet.candidates:
                candidate.kill()
            control_plane.request(
                "DELETE", lease_path(setting.namespace, setting.lease)
            )
    tell(f"ours frozen and cut off beside {leader.kind}: 0 of {fleet.check().instants}")
