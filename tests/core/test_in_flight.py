"""Requests under way: numbered, one of a kind at a time, abandoned when not wanted."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.in_flight import InFlight
from kubernetes_leader_election.core.record import Stamp

STAMP = Stamp(holder_identity="a", acquire_time=1, renew_time=1)


def with_all_three():
    """Give orders with a read, a write and a watch under way."""
    orders = InFlight()
    orders.order_read(now=4.0, deadline=5.0, known=7)
    orders.order_write({"x": 1}, purpose="renew", stamp=STAMP, now=4.0, deadline=6.0)
    orders.order_watch("7")
    return orders


def test_requests_are_numbered_from_one():
    """A number names one request, so that a late answer is known as such."""
    assert with_all_three().out == [
        m.GetLease(request_id=1, deadline=5.0),
        m.UpdateLease(request_id=2, deadline=6.0, lease={"x": 1}),
        m.WatchLease(request_id=3, resource_version="7"),
    ]


def test_first_write_of_a_missing_lease_creates_it():
    """Rule 6: creating and updating are different orders."""
    orders = InFlight()
    orders.order_write(
        {}, purpose="acquire", stamp=STAMP, now=4.0, deadline=6.0, creates=True
    )
    assert orders.out == [m.CreateLease(request_id=1, deadline=6.0, lease={})]


def test_what_is_under_way_is_remembered():
    """Rule 9: each request has a deadline, and each write its stamp."""
    orders = with_all_three()
    assert orders.read is not None
    assert (orders.read.deadline, orders.read.known) == (5.0, 7)
    assert orders.write is not None
    assert (orders.write.purpose, orders.write.stamp) == ("renew", STAMP)
    assert orders.watch_id == 3


def test_abandoning_says_so_once():
    """A request that is not wanted any more is dropped, and only once."""
    orders = with_all_three()
    orders.out.clear()
    orders.abandon_all()
    orders.abandon_all()
    assert orders.out == [m.AbandonRequest(request_id=n) for n in (1, 2, 3)]
    assert (orders.read, orders.write, orders.watch_id) == (None, None, None)


def test_no_two_writes_or_watches_are_under_way():
    """One write and one watch at a time: a second one is a defect."""
    orders = with_all_three()
    with pytest.raises(AssertionError):
        orders.order_write({}, purpose="renew", stamp=STAMP, now=4.0, deadline=6.0)
    with pytest.raises(AssertionError):
        orders.order_watch("8")
