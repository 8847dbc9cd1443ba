"""
The public testing kit: an embedded Lease API, a kubelet, faults, two proxies, moved clocks.

Names are imported when they are first used, so that a test run that needs none of
them does not pay for any.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubernetes_leader_election.testing.elector_clocks import ElectorClocks
    from kubernetes_leader_election.testing.faults import (
        Answer,
        ApplyLate,
        ApplyThenDrop,
        ApplyThenHang,
        CutWatch,
        Delay,
        DropBefore,
        Fault,
        Hang,
        LagWatch,
        SilenceWatch,
        StaleRead,
        Throttle,
    )
    from kubernetes_leader_election.testing.kubelet import Kubelet
    from kubernetes_leader_election.testing.lease_server import (
        LeaseServer,
        RequestRecord,
        Timings,
        User,
    )
    from kubernetes_leader_election.testing.mutating_proxy import MutatingProxy
    from kubernetes_leader_election.testing.mutations import Mutate, Mutated, Mutation
    from kubernetes_leader_election.testing.tcp_proxy import TcpProxy

__all__ = [
    "Answer",
    "ApplyLate",
    "ApplyThenDrop",
    "ApplyThenHang",
    "CutWatch",
    "Delay",
    "DropBefore",
    "ElectorClocks",
    "Fault",
    "Hang",
    "Kubelet",
    "LagWatch",
    "LeaseServer",
    "Mutate",
    "Mutated",
    "MutatingProxy",
    "Mutation",
    "RequestRecord",
    "SilenceWatch",
    "StaleRead",
    "TcpProxy",
    "Throttle",
    "Timings",
    "User",
]

_PLACES = {
    "ElectorClocks": "elector_clocks",
    "Kubelet": "kubelet",
    "LeaseServer": "lease_server",
    "Mutate": "mutations",
    "Mutated": "mutations",
    "MutatingProxy": "mutating_proxy",
    "Mutation": "mutations",
    "RequestRecord": "lease_server",
    "TcpProxy": "tcp_proxy",
    "Timings": "lease_server",
    "User": "lease_server",
}
"""Where a name is defined, if not among the faults."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place = _PLACES.get(name, "faults")
    return getattr(importlib.import_module(f"{__name__}.{place}"), name)
