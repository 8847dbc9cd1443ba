"""The keeper of a slice, on the embedded API: no former leader writes over a later one."""

from __future__ import annotations

import itertools

import pytest

from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.errors import LeaderElectionError
from kubernetes_leader_election.kube_api.call import Call
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.slices import SliceClient
from kubernetes_leader_election.publish.leader_slice import (
    Leader,
    Place,
    patch_of,
    slice_of,
)
from kubernetes_leader_election.publish.slice_keeper import (
    LOOK_AGAIN,
    Lead,
    Leave,
    SliceKeeper,
)
from kubernetes_leader_election.testing import Answer, Fault, LeaseServer
from kubernetes_leader_election.values import replace
from tests.publish.told import Told

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def server():
    """Give a Lease API to all tests of this file."""
    with LeaseServer() as server:
        yield server


@pytest.fixture
def stage(server):
    """Give a slice of its own, and two electors that may keep it."""
    stage = Stage(server)
    yield stage
    stage.close()


class Stage:
    """Two electors, one slice."""

    def __init__(self, server):
        self.server = server
        self.place = Place(
            namespace="default",
            service=f"s{next(NUMBERS)}",
            ports=({"name": "", "port": 8080, "protocol": "TCP"},),
            lease="billing",
        )
        self.first = Leader(
            identity="a", address="10.0.0.1", pod=None, lease_uid="u", token=10
        )
        self.second = replace(self.first, identity="b", address="10.0.0.2", token=20)
        self.client = LeaseClient(explicit(server=server.url))
        self.keepers = []

    def close(self):
        """Close all connections."""
        for keeper in self.keepers:
            keeper.close()
        self.client.close()

    def keeper(self, leader=None, still=lambda: True):
        """Return a keeper, and who hears of it; of a term unless told otherwise."""
        told = Told()
        keeper = SliceKeeper(
            LeaseClient(explicit(server=self.server.url)),
            self.place,
            request_timeout=5.0,
            says=told,
        )
        self.keepers.append(keeper)
        if leader is not None:
            keeper.take(Lead(leader=leader, still=still))
        return keeper, told

    def write(self, leader):
        """Write the slice as another elector would, whatever stands there."""
        slices = SliceClient(self.client, "default", self.place.service)
        there = self.server.endpoint_slice(self.place.service)
        if there is None:
            made = slice_of(self.place, leader)
            slices.create(made, manager=f"m{next(NUMBERS)}", call=Call())
        else:
            version = there["metadata"]["resourceVersion"]
            slices.patch(patch_of(self.place, leader), version=version, call=Call())
        assert self.address == leader.address

    def label(self):
        """Label the slice, as anybody may."""
        slices = SliceClient(self.client, "default", self.place.service)
        version = self.server.endpoint_slice(self.place.service)["metadata"]
        labels = {"metadata": {"labels": {"team": f"t{next(NUMBERS)}"}}}
        slices.patch(labels, version=version["resourceVersion"], call=Call())

    @property
    def path(self):
        """That of the slice."""
        root = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/"
        return root + self.place.service

    def remove(self):
        """Delete the slice."""
        self.client.request("DELETE", self.path, call=Call())
        assert self.server.endpoint_slice(self.place.service) is None

    @property
    def address(self):
        """The address in the slice; empty: there is none."""
        there = self.server.endpoint_slice(self.place.service)
        endpoints = (there or {}).get("endpoints") or ()
        return "".join(one["addresses"][0] for one in endpoints)

    @property
    def writes(self):
        """How many writes of this slice were sent."""
        return sum(
            one.path.endswith(self.place.service) and one.verb == "patch"
            for one in self.server.requests
        )


def test_missing_slice_is_made(stage):
    """By the first leader."""
    keeper, told = stage.keeper(stage.first)
    assert keeper.work() == LOOK_AGAIN
    assert stage.address == "10.0.0.1"
    assert told.wells == 1


def test_slice_that_is_as_it_should_be_is_not_written(stage):
    """A look costs one read."""
    keeper, _ = stage.keeper(stage.first)
    keeper.work()
    before = stage.writes
    keeper.work()
    assert stage.writes == before


def test_later_term_replaces_the_address_in_one_write(stage):
    """There is no instant without an address."""
    stage.write(stage.first)
    before = stage.writes
    stage.keeper(stage.second)[0].work()
    assert stage.address == "10.0.0.2"
    assert stage.writes == before + 1


def test_nothing_is_sent_after_the_loss(stage):
    """Fault 78: the clocks are looked at after the read, and before each write."""
    keeper, told = stage.keeper(stage.first, still=lambda: False)
    keeper.work()
    assert stage.writes == 0
    stage.write(stage.second)
    before = stage.writes
    # Not even the noted term keeps this one back.
    unnumbered = replace(stage.first, token=None)
    late, _ = stage.keeper(unnumbered, still=lambda: False)
    late.work()
    assert stage.writes == before
    assert told.failures == []


def frozen_in_its_look(stage, *, until):
    """Return a look that says yes, and then sleeps while the world goes on."""
    looks = iter([True])

    def still():
        leads = next(looks, False)
        if leads:
            until()
        return leads

    return still


def test_write_that_was_frozen_before_it_was_sent_is_refused(stage):
    """Fault 78: a later leader wrote meanwhile, so what was read is no more."""
    stage.write(stage.first)
    still = frozen_in_its_look(stage, until=lambda: stage.write(stage.second))
    # Not even the noted term helps: only the version that was read.
    stale, _ = stage.keeper(replace(stage.first, address="10.0.0.9", token=None), still)
    stale.work()
    assert stage.address == "10.0.0.2"


def test_creation_that_was_frozen_before_it_was_sent_is_refused(stage):
    """Fault 78: the same where there was no slice."""
    successor, _ = stage.keeper(stage.second)
    still = frozen_in_its_look(stage, until=successor.work)
    stale, _ = stage.keeper(replace(stage.first, token=None), still)
    stale.work()
    assert stage.address == "10.0.0.2"


def test_late_creation_of_a_slice_that_was_deleted_meanwhile_is_put_right(stage):
    """Fault 78: the one late write that nothing refuses; the leader's next look sees it."""
    successor, _ = stage.keeper(stage.second)

    def others_write_and_delete():
        successor.work()
        stage.remove()

    still = frozen_in_its_look(stage, until=others_write_and_delete)
    stage.keeper(stage.first, still)[0].work()
    assert stage.address == "10.0.0.1"
    assert successor.work() == LOOK_AGAIN
    assert stage.address == "10.0.0.2"


def test_two_leaders_by_mistake_leave_the_address_of_the_later_term(stage):
    """Fault 78: a clock that runs wronger than it may does not turn it back."""
    stage.write(stage.second)
    deluded, _ = stage.keeper(stage.first, still=lambda: True)
    with pytest.raises(LeaderElectionError, match=r"later term.*Delete it if"):
        deluded.work()
    assert stage.address == "10.0.0.2"


def test_write_that_loses_against_another_is_tried_again_at_once(stage):
    """As where somebody labels the slice in that instant."""
    stage.write(stage.first)
    disturbed = iter([True])

    def still():
        if next(disturbed, False):
            stage.write(replace(stage.first, pod="other"))
        return True

    keeper, told = stage.keeper(stage.second, still)
    assert keeper.work() == LOOK_AGAIN
    assert stage.address == "10.0.0.2"
    assert told.failures == []


def test_who_writes_again_and_again_is_told_of(stage):
    """Three tries, then a pause: no storm of writes."""
    stage.write(stage.first)
    pods = itertools.count()

    def still():
        stage.write(replace(stage.first, pod=f"p{next(pods)}"))
        return True

    keeper, _ = stage.keeper(stage.second, still)
    with pytest.raises(LeaderElectionError, match="again and again"):
        keeper.work()
    assert next(pods) == 3


def test_slice_that_was_changed_is_put_right(stage):
    """Fault 79: at the next look, and that is said."""
    keeper, told = stage.keeper(stage.first)
    keeper.work()
    stage.write(replace(stage.first, address="10.6.6.6"))
    keeper.work()
    assert stage.address == "10.0.0.1"
    assert "changed by somebody else" in told.notes[0]


def test_slice_that_was_deleted_is_made_again(stage):
    """Fault 79: at the next look."""
    keeper, _ = stage.keeper(stage.first)
    keeper.work()
    stage.remove()
    keeper.work()
    assert stage.address == "10.0.0.1"


def test_slice_of_another_election_is_left_alone(stage):
    """Fault 79: two programs that name one Service do not fight over it."""
    stage.write(stage.first)
    mine = stage.place
    stage.place = replace(mine, lease="other")
    other, _ = stage.keeper(stage.second)
    with pytest.raises(LeaderElectionError, match="leader of Lease 'billing'"):
        other.work()
    assert stage.address == "10.0.0.1"


def test_who_stops_takes_its_own_address_out(stage):
    """In one write, on the version that it wrote."""
    keeper, _ = stage.keeper(stage.first)
    keeper.work()
    before = stage.writes
    keeper.take(Leave(clear=True))
    keeper.work()
    assert stage.address == ""
    assert stage.writes == before + 1


def test_who_stops_leaves_the_address_of_its_successor(stage):
    """Fault 78: whatever it last knew."""
    keeper, _ = stage.keeper(stage.first)
    keeper.work()
    stage.write(stage.second)
    keeper.take(Leave(clear=True))
    keeper.work()
    assert stage.address == "10.0.0.2"


def test_who_stops_without_knowing_the_version_looks_first(stage):
    """As where its last answer was lost."""
    stage.write(stage.first)
    keeper, _ = stage.keeper(stage.first)
    keeper.take(Leave(clear=True))
    keeper.work()
    assert stage.address == ""
    stage.write(stage.second)
    other, _ = stage.keeper(replace(stage.first, token=None))
    other.take(Leave(clear=True))
    other.work()
    assert stage.address == "10.0.0.2"


def test_who_stops_takes_its_address_out_of_a_labelled_slice(stage):
    """Fault 79: it is another version, and has the address of this very term still."""
    keeper, _ = stage.keeper(stage.first)
    keeper.work()
    stage.label()
    keeper.take(Leave(clear=True))
    keeper.work()
    assert stage.address == ""


def test_who_stops_while_somebody_labels_the_slice_tries_three_times(stage):
    """No storm of writes: then there is a pause."""
    keeper, _ = stage.keeper(stage.first)
    keeper.work()
    before = stage.writes
    stage.server.faults.add(
        Fault(Answer(409, "Conflict", "no"), verb="patch", path=stage.path, times=3)
    )
    keeper.take(Leave(clear=True))
    with pytest.raises(LeaderElectionError, match="again and again"):
        keeper.work()
    assert stage.writes == before + 3
    keeper.work()
    assert stage.address == ""


def test_loss_leaves_the_address_for_the_next_leader(stage):
    """Fault 78: and a look that is due writes nothing any more."""
    keeper, _ = stage.keeper(stage.first)
    keeper.work()
    keeper.take(Leave(clear=False))
    stage.write(stage.second)
    assert keeper.work() is None
    assert stage.address == "10.0.0.2"


def test_missing_right_is_told_with_the_rule(stage):
    """The rule names the one slice."""
    stage.server.faults.add(
        Fault(
            Answer(
                403,
                "Forbidden",
                'endpointslices.discovery.k8s.io "s" is forbidden: User "x" cannot get '
                'resource "endpointslices" in API group "discovery.k8s.io" in the '
                'namespace "default"',
            ),
            verb="get",
            times=1,
        )
    )
    keeper, _ = stage.keeper(stage.first)
    rule = (
        r"apiGroups: \[discovery.k8s.io\], resources: \[endpointslices\], "
        rf"resourceNames: \[{stage.place.service}\], verbs: \[get, create, patch\]"
    )
    with pytest.raises(LeaderElectionError, match=rule):
        keeper.work()
