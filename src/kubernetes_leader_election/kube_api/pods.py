"""The verbs on pods that the proof of a container's end needs: get and watch of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.kube_api.call import Call
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.failures import Request
from kubernetes_leader_election.kube_api.resources import PODS
from kubernetes_leader_election.kube_api.results import Answered, Failure
from kubernetes_leader_election.kube_api.transport import Wire
from kubernetes_leader_election.rights import PROVING


class PodClient:
    """
    Read and watch one pod, over the connections of a :class:`~.client.LeaseClient`.

    Deadlines, failures and TLS are the same as for Leases; a call blocks its thread
    and never raises for anything a server or network may do. A pod is untrusted JSON:
    only its kind, name, namespace and version are looked at here.
    """

    def __init__(self, client: LeaseClient) -> None:
        self._client = client

    def get(self, namespace: str, name: str, *, call: Call) -> Answered | Failure:
        """Read the pod with quorum; a missing one is a NotFound."""
        request = _request("get", namespace, name)
        wire = Wire(method="GET", path=PODS.path(namespace, name))
        return self._client.read(request, wire, call)

    def watch(
        self,
        namespace: str,
        name: str,
        resource_version: str,
        *,
        call: Call,
        on_event: Callable[[str, Mapping[str, Any]], None],
        silence: float | None = None,
        open_within: float = 30.0,
    ) -> LeaseApiError | None:
        """
        Watch the pod from just after ``resource_version`` until the watch ends.

        As :meth:`.client.LeaseClient.watch`, for a name that must not be empty.
        ``silence`` is how many seconds it may bring nothing, not even a bookmark.
        """
        if not name:
            raise ValueError("one pod is watched, never all of a namespace")
        return self._client.follow(
            _request("watch", namespace, name),
            resource_version,
            call=call,
            on_event=on_event,
            open_within=open_within,
            silence=silence,
        )


def _request(verb: str, namespace: str, name: str) -> Request:
    return Request(
        verb=verb, namespace=namespace, name=name, resource=PODS, needs=PROVING
    )
