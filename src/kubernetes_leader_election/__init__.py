"""
Leader election for Python programs on Kubernetes Leases.

.. code-block:: python

    from kubernetes_leader_election import Elector

    async with Elector(lease_name="my-lease") as elector:
        async with elector.leadership() as term:
            await work(term)

For threads: :class:`kubernetes_leader_election.sync.Elector`. Names are imported when
they are first used.
"""

from __future__ import annotations

import importlib

# Type checkers know the name; importing it from typing would cost most of this import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kubernetes_leader_election.elector import Elector, Term
    from kubernetes_leader_election.errors import (
        ConfigurationError,
        CredentialsError,
        LeaderElectionError,
        LeadershipLostError,
        LeaseApiError,
        NoFencingTokenError,
        NotLeaderError,
        ProtocolMisuseError,
    )
    from kubernetes_leader_election.events import EVENTS
    from kubernetes_leader_election.leadership import NOT_LEADER, ElectorState, Role

# Here, as what is packed into one file (zipapp) has no metadata of an installation.
__version__ = "0.1.0"

_PLACES = {
    # The elector and what it gives
    "Elector": "elector",
    "Term": "elector",
    "ElectorState": "leadership",
    "Role": "leadership",
    "NOT_LEADER": "leadership",
    # Events
    "EVENTS": "events",
    # Errors
    "ConfigurationError": "errors",
    "CredentialsError": "errors",
    "LeaderElectionError": "errors",
    "LeadershipLostError": "errors",
    "LeaseApiError": "errors",
    "NoFencingTokenError": "errors",
    "NotLeaderError": "errors",
    "ProtocolMisuseError": "errors",
}

__all__ = [
    "EVENTS",
    "NOT_LEADER",
    "ConfigurationError",
    "CredentialsError",
    "Elector",
    "ElectorState",
    "LeaderElectionError",
    "LeadershipLostError",
    "LeaseApiError",
    "NoFencingTokenError",
    "NotLeaderError",
    "ProtocolMisuseError",
    "Role",
    "Term",
]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{place}"), name)
