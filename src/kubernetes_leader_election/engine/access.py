"""The seam between the driver of an election and whatever reaches its Lease."""

from __future__ import annotations

from typing import Protocol

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.engine.calls import Completed
from kubernetes_leader_election.kube_api.client import LeaseClient


class LeaseAccess(Protocol):
    """
    Carry out the orders of one core.

    Answers come through the engine's queue, each as a :class:`~.calls.Completed`.
    How many threads and connections that takes is not the driver's business, nor
    whether a watch serves one Lease or many: it orders one for its Lease, and gives
    that up.
    """

    @property
    def client(self) -> LeaseClient:
        """Whose idle connections are closed when nobody uses them any more."""
        ...

    def order(self, request: m.Request) -> None:
        """Begin with a request, or give one up. Never blocks. The engine's thread."""
        ...

    def take(self, completed: Completed) -> m.Response | None:
        """Return an answer, if it is to an order that still counts."""
        ...

    def abandon_all(self) -> None:
        """Give up all that was ordered: whoever did so is no more."""
        ...
