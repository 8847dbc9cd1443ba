"""Requests and watches on Leases, over the standard library's ``http.client``."""

from kubernetes_leader_election.kube_api.call import Call, boottime
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.results import (
    Answered,
    Conflict,
    Failed,
    Failure,
    LeaseObject,
    Listed,
    NotFound,
    NotSent,
    Ok,
    Refused,
    Unknown,
)

__all__ = [
    "Answered",
    "Call",
    "Conflict",
    "Failed",
    "Failure",
    "LeaseClient",
    "LeaseObject",
    "Listed",
    "NotFound",
    "NotSent",
    "Ok",
    "Refused",
    "Unknown",
    "boottime",
]
