"""The rights, as verbs of RBAC, that each kind of user needs: on Leases and on the rest."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ADDRESSING",
    "ASKING",
    "ELECTION",
    "OBSERVING",
    "PROVING",
    "READING",
    "TELLING",
]

ELECTION: Final = ("get", "create", "update", "watch")
"""An elector, on its one Lease (rule 6)."""
OBSERVING: Final = ("get", "watch")
"""An elector that only follows the Lease."""
PROVING: Final = ("get", "watch")
"""A candidate that looks for the proof that a holder's container has ended: on pods."""
ADDRESSING: Final = ("get", "create", "patch")
"""An elector that keeps the leader's address in an EndpointSlice: on that one name."""
TELLING: Final = ("create",)
"""An elector that writes Events on its Lease: on Events."""
READING: Final = ("get", "list", "watch")
"""A person who looks at Leases."""
ASKING: Final = ("get", "update", "watch")
"""A person who asks a holder to let go, or frees a Lease."""
