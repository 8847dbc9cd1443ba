"""
The public testing kit: an embedded Lease API, faults, a TCP proxy, moved clocks.

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
    from kubernetes_leader_election.testing.lease_server import (
        LeaseServer,
        RequestRecord,
        Timings,
        User,
    )
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
    "LagWatch",
    "LeaseServer",
    "RequestRecord",
    "SilenceWatch",
    "StaleRead",
    "TcpProxy",
    "Throttle",
    "Timings",
    "User",
]

_SERVER = frozenset({"LeaseServer", "RequestRecord", "Timings", "User"})


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _SERVER:
        place = "lease_server"
    elif name == "TcpProxy":
        place = "tcp_proxy"
    elif name == "ElectorClocks":
        place = "elector_clocks"
    else:
        place = "faults"
    return getattr(importlib.import_module(f"{__name__}.{place}"), name)
