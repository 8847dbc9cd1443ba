"""
A Lease API in a box: answers like a kube-apiserver, starts in milliseconds.

It shares no code with the election it is used to test.
"""

from __future__ import annotations

try:
    import aiohttp as _aiohttp
except ImportError as error:
    raise ImportError(
        "the embedded Lease API needs aiohttp: "
        "pip install 'kubernetes-leader-election[testing]'"
    ) from error

from kubernetes_leader_election.testing.lease_server.api.access import User
from kubernetes_leader_election.testing.lease_server.http.request_log import (
    RequestLog,
    RequestRecord,
)
from kubernetes_leader_election.testing.lease_server.server import LeaseServer
from kubernetes_leader_election.testing.lease_server.timings import Timings

__all__ = ["LeaseServer", "RequestLog", "RequestRecord", "Timings", "User"]

del _aiohttp
