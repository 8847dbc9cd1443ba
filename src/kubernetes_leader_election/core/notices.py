"""
What people are told of a Lease, once: who leads, who has our name, odd versions.
"""

from __future__ import annotations

from kubernetes_leader_election.core.gap import Gap
from kubernetes_leader_election.core.messages import LeaderChanged
from kubernetes_leader_election.core.record import Snapshot
from kubernetes_leader_election.core.timing import ElectionSettings
from kubernetes_leader_election.errors import LeaderElectionError, LeaseApiError


class Notices:
    """Word what is told, and remember that it was. Emits nothing itself."""

    __slots__ = (
        "_identity",
        "_namesake",
        "_odd_version",
        "_origin",
        "_where",
        "gap",
        "leader",
    )

    def __init__(self, settings: ElectionSettings) -> None:
        self._identity = settings.identity
        self._origin = settings.origin
        """What each event says of where it comes from."""
        self._where = settings.where
        """What errors are about."""
        self.gap = Gap()
        """Since when nobody leads."""
        self.leader: str | None = None
        """Who was last said to lead."""
        self._namesake: object = None
        """The acquire time of the last namesake that was told of: one term, once."""
        self._odd_version = False
        """Whether it was told that the server's versions are no numbers."""

    def error(self, what: str) -> LeaseApiError:
        """Return an error that names the Lease."""
        return LeaseApiError(f"{self._where}: {what}")

    def forget_leader(self) -> None:
        """Take it that the next life tells anew who leads."""
        self.leader = None

    def tell_leader(self, holder: str | None) -> LeaderChanged | None:
        """Return the news that another one leads, or nobody; None where it is none."""
        if holder == self.leader:
            return None
        self.leader = holder
        return LeaderChanged(**self._origin, holder_identity=holder)

    def tell_namesake(self, snapshot: Snapshot) -> LeaderElectionError | None:
        """Return the warning that another process has our identity (rule 5)."""
        if self._namesake == snapshot.record.acquire_time:
            return None
        self._namesake = snapshot.record.acquire_time
        return LeaderElectionError(
            f"another process holds {self._where} under the same identity "
            f"{self._identity!r}; give each process its own, such as the "
            "name of its pod with its process id"
        )

    def tell_odd_version(self, snapshot: Snapshot) -> LeaderElectionError | None:
        """Return the warning that a term has no token (G3)."""
        if self._odd_version:
            return None
        self._odd_version = True
        return self.error(
            f"the server's resourceVersion {snapshot.resource_version[:80]!r} "
            "is not a number, so this term has no fencing token"
        )
