"""The rights on a Lease and on pods, as verbs of RBAC, that each kind of user needs."""

from __future__ import annotations

from typing import Final

__all__ = ["ASKING", "ELECTION", "OBSERVING", "PROVING", "READING"]

ELECTION: Final = ("get", "create", "update", "watch")
"""An elector, on its one Lease (rule 6)."""
OBSERVING: Final = ("get", "watch")
"""An elector that only follows the Lease."""
PROVING: Final = ("get", "watch")
"""A candidate that looks for the proof that a holder's container has ended: on pods."""
READING: Final = ("get", "list", "watch")
"""A person who looks at Leases."""
ASKING: Final = ("get", "update", "watch")
"""A person who asks a holder to let go, or frees a Lease."""
