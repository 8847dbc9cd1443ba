"""What the core is told of each result of the Lease API client."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.engine.requests import carry_out, failed_unexpectedly
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.kube_api import results as r
from kubernetes_leader_election.kube_api.call import Call

LEASE = {"metadata": {"name": "l", "resourceVersion": "7"}}
ERROR = LeaseApiError("no")


class Answering:
    """A client that has one answer to everything."""

    def __init__(self, result):
        self.result = result

    def get(self, *_, **__):
        """Give it."""
        return self.result

    def replace(self, *_, **__):
        """Give it."""
        return self.result


FAILURES = {
    r.NotSent: m.RequestFailed,
    r.Refused: m.RequestFailed,
    r.Unknown: m.OutcomeUnknown,
}
"""Failures that mean the same to a read and to a write (rule 10)."""
READS = {**FAILURES, r.NotFound: m.LeaseNotFound}
WRITES = {
    **FAILURES,
    r.Conflict: m.WriteConflict,
    # The Lease is gone: read, and look, as after any other conflict.
    r.NotFound: m.WriteConflict,
}


def told(result, request):
    """Carry a request out on a client that answers so."""
    return carry_out(Answering(result), "n", "l", request, Call())


@pytest.mark.parametrize(("result", "message"), READS.items(), ids=lambda t: t.__name__)
def test_core_is_told_of_each_result_of_a_read(result, message):
    """Rule 4: "not found" is the Lease's own 404, and nothing else is."""
    answer = told(result(error=ERROR), m.GetLease(request_id=3, deadline=1.0))
    assert (type(answer), answer.request_id) == (message, 3)


@pytest.mark.parametrize(
    ("result", "message"), WRITES.items(), ids=lambda t: t.__name__
)
@pytest.mark.parametrize("kind", [m.CreateLease, m.UpdateLease])
def test_core_is_told_of_each_result_of_a_write(result, message, kind):
    """Rule 10: done, not done or unknown; a conflict may be our own write."""
    answer = told(result(error=ERROR), kind(request_id=4, deadline=1.0, lease=LEASE))
    assert (type(answer), answer.request_id) == (message, 4)


def test_core_is_told_of_success():
    """The Lease as the server has it now is passed on whole."""
    read = told(r.Ok(lease=LEASE), m.GetLease(request_id=1, deadline=1.0))
    assert read == m.LeaseFetched(request_id=1, lease=LEASE)
    write = told(
        r.Ok(lease=LEASE), m.UpdateLease(request_id=2, deadline=1.0, lease=LEASE)
    )
    assert write == m.LeaseWritten(request_id=2, lease=LEASE)


def test_every_failure_is_in_the_table():
    """A result that is new has to be thought about for reads and for writes."""
    assert set(r.Failed.__subclasses__()) == set(WRITES)


def test_worker_that_failed_leaves_the_outcome_open():
    """Fault 07, rule 10: it may have failed after the write was applied."""
    cause = ZeroDivisionError("planted")
    answer = failed_unexpectedly(5, cause)
    assert (type(answer), answer.request_id) == (m.OutcomeUnknown, 5)
    assert answer.error.__cause__ is cause
