"""The one verb on Events that telling of an election needs: create."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubernetes_leader_election.kube_api.call import Call
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.decoding import encode
from kubernetes_leader_election.kube_api.failures import Request
from kubernetes_leader_election.kube_api.resources import EVENTS
from kubernetes_leader_election.kube_api.results import Answered, Failure
from kubernetes_leader_election.kube_api.transport import Wire
from kubernetes_leader_election.rights import TELLING


class EventClient:
    """Write Events of one namespace, over the connections of a :class:`~.client.LeaseClient`."""

    def __init__(self, client: LeaseClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    def create(self, event: Mapping[str, Any], *, call: Call) -> Answered | Failure:
        """Create the Event; a Conflict where there is one of its name. Blocks."""
        request = Request(
            verb="create",
            namespace=self._namespace,
            name=event["metadata"]["name"],
            resource=EVENTS,
            needs=TELLING,
        )
        path = EVENTS.path(self._namespace)
        wire = Wire(method="POST", path=path, body=encode(event))
        return self._client.read(request, wire, call)
