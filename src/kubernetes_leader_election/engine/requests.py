"""Carry out one request of the core, and return the answer as a message."""

from __future__ import annotations

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.kube_api import results as r
from kubernetes_leader_election.kube_api.call import Call
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.rights import ELECTION

ShortRequest = m.GetLease | m.CreateLease | m.UpdateLease


def carry_out(
    client: LeaseClient,
    namespace: str,
    name: str,
    request: ShortRequest,
    call: Call,
    *,
    needs: tuple[str, ...] = ELECTION,
) -> m.Response:
    """
    Make ``request`` and give the core's message for its result. Blocks; a worker's.

    ``needs`` are the rights to advise where one is missing.
    """
    if isinstance(request, m.GetLease):
        read = client.get(namespace, name, call=call, needs=needs)
        return _answer_read(request.request_id, read)
    result = client.replace(namespace, name, request.lease, call=call, needs=needs)
    return _answer_write(request.request_id, result)


def _answer_read(number: int, result: r.Ok | r.Failure) -> m.Response:
    match result:
        case r.Ok(lease=lease):
            return m.LeaseFetched(request_id=number, lease=lease)
        case r.NotFound():
            return m.LeaseNotFound(request_id=number)
        case r.Unknown(error=error):
            return m.OutcomeUnknown(request_id=number, error=error)
        case _:
            return m.RequestFailed(request_id=number, error=result.error)


def _answer_write(number: int, result: r.Ok | r.Failure) -> m.Response:
    match result:
        case r.Ok(lease=lease):
            return m.LeaseWritten(request_id=number, lease=lease)
        case r.Conflict(error=error):
            return m.WriteConflict(request_id=number, message=str(error))
        case r.NotFound(error=error):
            # The Lease is gone, or its resourceVersion came from another one.
            return m.WriteConflict(request_id=number, message=str(error))
        case r.Unknown(error=error):
            return m.OutcomeUnknown(request_id=number, error=error)
        case _:
            return m.RequestFailed(request_id=number, error=result.error)


def failed_unexpectedly(number: int, error: Exception) -> m.Response:
    """Answer for a worker that failed in a way nobody foresaw (fault 07)."""
    wrapped = LeaseApiError(f"an unexpected error in a request: {error!r}")
    wrapped.__cause__ = error
    return m.OutcomeUnknown(request_id=number, error=wrapped)
