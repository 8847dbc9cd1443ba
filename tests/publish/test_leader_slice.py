"""What may be done with a slice that was found, and what is written into it."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubernetes_leader_election.publish.leader_slice import (
    Foreign,
    Leader,
    Ours,
    Place,
    judge,
    patch_of,
    slice_of,
)
from kubernetes_leader_election.values import replace

PLACE = Place(
    namespace="shop",
    service="billing-leader",
    ports=({"name": "", "port": 8080, "protocol": "TCP"},),
    lease="billing",
)
LEADER = Leader(
    identity="b", address="10.0.0.2", pod="billing-1", lease_uid="u", token=20
)
TERM = "kubernetes-leader-election/term"
MANAGER = "endpointslice.kubernetes.io/managed-by"


def found(leader=LEADER, place=PLACE):
    """Return the slice that a leader wrote, as the API gives it."""
    made = copy.deepcopy(slice_of(place, leader))
    made["metadata"] |= {"resourceVersion": "7", "uid": "s"}
    return made


def test_own_slice_is_as_it_should_be():
    """Nothing is to be written."""
    assert judge(found(), PLACE, LEADER) == Ours(
        version="7", is_current=True, is_own=True
    )


@pytest.mark.parametrize(
    "change",
    [
        {"address": "10.0.0.1"},
        {"identity": "a"},
        {"token": 10},
        {"pod": None},
        {"lease_uid": "earlier"},
        {"token": None},
    ],
)
def test_slice_of_an_earlier_term_may_be_replaced(change):
    """On the version that was read."""
    judged = judge(found(replace(LEADER, **change)), PLACE, LEADER)
    assert isinstance(judged, Ours)
    assert not judged.is_current


def test_slice_of_a_later_term_is_left_alone():
    """Fault 78: of two leaders by mistake the later one's address stays."""
    judged = judge(found(replace(LEADER, token=21)), PLACE, LEADER)
    assert isinstance(judged, Foreign)
    assert "later term" in judged.why


def test_later_token_of_another_lease_does_not_count():
    """A Lease that was made anew, or a slice from another cluster, stops nobody."""
    other = replace(LEADER, lease_uid="other", token=10**9)
    assert isinstance(judge(found(other), PLACE, LEADER), Ours)


def test_term_without_a_token_is_not_compared():
    """The look at the clocks alone decides then."""
    own = replace(LEADER, token=None)
    assert isinstance(judge(found(), PLACE, own), Ours)


def with_labels(**labels):
    """Return a slice with other labels."""
    made = found()
    made["metadata"]["labels"] = labels
    return made


def with_parts(**parts):
    """Return a slice with other parts."""
    return found() | parts


def being_deleted():
    """Return a slice that a finalizer holds."""
    made = found()
    made["metadata"]["deletionTimestamp"] = "2026-11-29T20:00:00Z"
    return made


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        (with_labels(), "made by somebody else"),
        (
            with_labels(**{MANAGER: "endpointslice-controller.k8s.io"}),
            "managed by 'endpointslice-controller.k8s.io'",
        ),
        (with_labels(**{MANAGER: "a\x1b\nb"}), r"managed by 'a\x1b\nb'"),
        (with_labels(**{MANAGER: 5}), "managed by no text"),
        (found(place=replace(PLACE, lease="other")), "leader of Lease 'other'"),
        (with_parts(addressType="IPv6"), "which cannot be changed"),
        (with_parts(addressType="FQDN"), "which cannot be changed"),
        (being_deleted(), "being deleted"),
    ],
)
def test_slice_of_somebody_else_is_left_alone(theirs, why):
    """Fault 79: never overwritten, and the reason is said, escaped."""
    judged = judge(theirs, PLACE, LEADER)
    assert isinstance(judged, Foreign)
    assert why in judged.why
    assert judged.why.isprintable()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "metadata",
                    "labels",
                    "annotations",
                    "endpoints",
                    "ports",
                    "addressType",
                    MANAGER,
                    TERM,
                    "kubernetes-leader-election/lease",
                    "x",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(list(found())), ANYTHING))
def test_any_content_is_judged(parts):
    """Fault 79: whatever stands there, it is judged, and never a mistake."""
    judged = judge(found() | parts, PLACE, LEADER)
    assert isinstance(judged, Ours | Foreign)


@given(ANYTHING)
def test_any_note_of_a_term_is_judged(note):
    """An unreadable term is no later one."""
    made = found()
    made["metadata"]["annotations"][TERM] = note
    judged = judge(made, PLACE, LEADER)
    assert isinstance(judged, Ours) or note.startswith("u ")


def test_what_others_added_is_kept():
    """Of a slice that is ours nothing else is written."""
    patch = patch_of(PLACE, LEADER)
    assert set(patch) == {"metadata", "endpoints", "ports"}
    assert set(patch["metadata"]) == {"labels", "annotations"}


def test_defaults_of_the_server_are_no_change():
    """What a server fills in is not written again and again."""
    made = found()
    made["endpoints"][0]["conditions"] = {"ready": True}
    made["endpoints"][0]["deprecatedTopology"] = None
    assert judge(made, PLACE, LEADER).is_current


def test_ipv6_address_makes_a_slice_of_its_type():
    """The API has a type for each."""
    made = slice_of(PLACE, replace(LEADER, address="fd00::1"))
    assert made["addressType"] == "IPv6"
