"""Electors while the API server and etcd die, freeze, forget and go back in time."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from controlplane.access import lease_path
from controlplane.control_plane import ControlPlane
from electors.candidates import CLIENT_GO_RHYTHM, QUICK, Rhythm, Setting
from electors.fleet import Fleet, leads_since

from kubernetes_leader_election.testing import TcpProxy

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PATIENT = Rhythm(duration=20, interval=1, deadline=14, timeout=3, stop_budget=1)
"""Rides out a restart of the API server, which takes some seconds."""


@pytest.fixture(scope="module")
def own() -> Iterator[ControlPlane]:
    """Start one pair for the tests below, which ill-treat it and heal it."""
    with ControlPlane() as started:
        yield started


def new_setting(own: ControlPlane, rhythm: Rhythm = QUICK) -> Setting:
    """Make a namespace, and give what all candidates of one election share."""
    namespace = own.namespace()
    verbs = ["get", "create", "update", "watch"]
    own.allow("alice", verbs, namespace=namespace, name="election")
    return Setting(
        kubeconfig=own.kubeconfig("alice"), namespace=namespace, rhythm=rhythm
    )


def test_election_goes_on_when_the_api_server_is_killed_and_restarted(
    fleet: Fleet, own: ControlPlane, tell: Callable[[str], None]
) -> None:
    """
    An API server that is gone for longer than L costs the term, and nothing else.

    fault 24, G2, G8; after the restart every known version is too old to watch from.
    """
    setting = new_setting(own)
    fleet.pair(partial(fleet.start, setting))
    for _ in range(3):
        leader = fleet.wait_leader()
        fleet.wait_renewals(leader, 1)
        own.apiserver.kill()
        fleet.wait_noted(leader, "lost", after=time.monotonic() - 1)
        fleet.wait_no_leader()
        restarted = time.monotonic()
        own.restart_apiserver()
        fleet.wait_leader(after=restarted)
    tell(f"3 x API server killed, 0 of {fleet.check().instants} instants")


def test_leader_keeps_its_term_when_the_api_server_restarts_within_its_deadline(
    fleet: Fleet, own: ControlPlane, tell: Callable[[str], None]
) -> None:
    """A restart shorter than L - R - T is ridden out (fault 24, G8)."""
    leader, other = fleet.pair(partial(fleet.start, new_setting(own, PATIENT)))
    for _ in range(2):
        began = time.monotonic()
        own.restart_apiserver()
        outage = time.monotonic() - began
        fleet.wait_renewals(leader, 2)
        longest = PATIENT.deadline - PATIENT.interval - PATIENT.timeout
        if outage < longest - 1:
            assert leader.happened("lost") == []
    assert other.happened("acquired") == []
    tell(f"2 x API server restarted, no term lost; {fleet.check().instants} instants")


def test_leader_keeps_its_term_when_etcd_freezes_for_less_than_its_deadline(
    fleet: Fleet, own: ControlPlane, tell: Callable[[str], None]
) -> None:
    """Etcd frozen for less than L - R - T costs nothing (fault 27, G8)."""
    rhythm = CLIENT_GO_RHYTHM
    leader, other = fleet.pair(partial(fleet.start, new_setting(own, rhythm)))
    frozen = rhythm.deadline - rhythm.interval - rhythm.timeout - 1.5
    for _ in range(3):
        with own.etcd.frozen():
            time.sleep(frozen)  # how long it stands still
        fleet.wait_renewals(leader, 1)
    assert leader.happened("lost") == []
    assert other.happened("acquired") == []
    fleet.check()
    tell(f"3 x etcd frozen for {frozen:g} s, no term lost")


def test_nobody_leads_when_etcd_freezes_for_more_than_the_deadline(
    fleet: Fleet, own: ControlPlane, tell: Callable[[str], None]
) -> None:
    """
    Etcd frozen for longer than L ends the term; writes that hang land late or never.

    fault 27, fault 28, fault 29, G1, G2.
    """
    fleet.pair(partial(fleet.start, new_setting(own)))
    for number in range(3):
        leader = fleet.wait_leader()
        fleet.wait_renewals(leader, 1)
        frozen = time.monotonic()
        with own.etcd.frozen():
            fleet.wait_noted(leader, "lost", after=frozen)
            fleet.wait_no_leader()
            lost = leader.happened("lost")[-1].instant
            assert lost - frozen < QUICK.deadline + QUICK.interval + 3
            time.sleep(number)  # thawed at another moment
            thawed = time.monotonic()  # before, as it may be led in the next moment
        fleet.wait_leader(after=thawed)
    tell(f"3 x etcd frozen past L, 0 of {fleet.check().instants} instants")


def test_candidates_see_every_change_when_etcd_is_compacted(
    fleet: Fleet, own: ControlPlane, tell: Callable[[str], None]
) -> None:
    """
    Compaction under open watches is not noticed; forgotten history is got over.

    fault 40.
    """
    leader, other = fleet.pair(partial(fleet.start, new_setting(own, PATIENT)))
    for _ in range(3):
        own.compact()
        fleet.wait_renewals(leader, 1)
    own.forget_history()
    fleet.wait_renewals(leader, 2)
    for _ in range(3):
        own.compact()
        fleet.wait_renewals(leader, 1)
    assert len(leader.happened("acquired")) == 1
    stopped = time.monotonic()
    leader.stop()
    # It heard of the release through a watch: waiting would take a whole lease.
    assert fleet.wait_leader(after=stopped, within=15) is other
    tell(f"6 compactions, 1 x history lost; {fleet.check().instants} instants")


def test_leader_leaves_when_etcd_is_restored_from_a_backup(
    fleet: Fleet, own: ControlPlane, tell: Callable[[str], None]
) -> None:
    """A restore brings an older record back: that is not ours any more (fault 41)."""
    fleet.pair(partial(fleet.start, new_setting(own)))
    backup = own.backup()
    leader = fleet.wait_leader()
    fleet.wait_renewals(leader, 4)
    restored = time.monotonic()
    own.restore(backup)
    fleet.wait_noted(leader, "lost", after=restored)
    fleet.wait_leader(after=restored)
    tell(f"1 x etcd restored, 0 of {fleet.check().instants} instants")


def test_leader_keeps_its_term_when_the_authority_is_rotated(
    fleet: Fleet, own: ControlPlane, tell: Callable[[str], None]
) -> None:
    """
    The file with the authorities is read again when the server shows another one.

    fault 46, G8: connections are reset, so each one has to be opened anew.
    """
    setting = new_setting(own)
    with TcpProxy(own.server_url) as proxy:
        config = own.kubeconfig("alice", server=proxy.url)
        patient = Setting(kubeconfig=config, namespace=setting.namespace)
        leader, other = fleet.pair(partial(fleet.start, patient))
        for _ in range(3):
            own.rotate_authority()
            proxy.reset()
            fleet.wait_renewals(leader, 2)
        assert leader.happened("lost") == []
        fleet.wait_renewals(leader, 1)
        stopped = time.monotonic()
        leader.stop()
        assert fleet.wait_leader(after=stopped) is other
    tell(f"3 x authority rotated, no term lost; {fleet.check().instants} instants")


def test_electors_live_through_a_frozen_api_server(
    fleet: Fleet, own: ControlPlane, tell: Callable[[str], None]
) -> None:
    """An API server that accepts connections and says nothing is an outage (fault 26)."""
    setting = new_setting(own)
    fleet.pair(partial(fleet.start, setting))
    for _ in range(2):
        leader = fleet.wait_leader()
        fleet.wait_renewals(leader, 1)
        frozen = time.monotonic()
        with own.apiserver.frozen():
            fleet.wait_noted(leader, "lost", after=frozen)
            fleet.wait_no_leader()
            thawed = time.monotonic()  # before, as it may be led in the next moment
        fleet.wait_leader(after=thawed)
    answer = own.request("GET", lease_path(setting.namespace, "election"))
    assert answer.status == http.client.OK
    holder = answer.json()["spec"]["holderIdentity"]
    assert holder == fleet.wait_leader().name
    assert leads_since(fleet.wait_leader()) is not None
    tell(f"2 x API server frozen, 0 of {fleet.check().instants} instants")
