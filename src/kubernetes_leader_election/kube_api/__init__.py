"""Requests and watches on Leases, over the standard library's ``http.client``."""

from kubernetes_leader_election.kube_api.call import Call, boottime
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.results import (
    AlreadyExists,
    Answered,
    Conflict,
    Failed,
    Failure,
    Forbidden,
    Gone,
    Invalid,
    LeaseObject,
    Listed,
    NamespaceMissing,
    NotFound,
    NotSent,
    Ok,
    Throttled,
    Unauthorised,
    Unknown,
)

__all__ = [
    "AlreadyExists",
    "Answered",
    "Call",
    "Conflict",
    "Failed",
    "Failure",
    "Forbidden",
    "Gone",
    "Invalid",
    "LeaseClient",
    "LeaseObject",
    "Listed",
    "NamespaceMissing",
    "NotFound",
    "NotSent",
    "Ok",
    "Throttled",
    "Unauthorised",
    "Unknown",
    "boottime",
]
